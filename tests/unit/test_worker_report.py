"""What passes over the pipe from a worker to its supervisor."""

from __future__ import annotations

import os

import pytest

from gateway.supervisor import RestartPolicy
from gateway.worker_report import MAX_REPORT_BYTES, REPORT_FD, Report, ReportPipe, die_with_supervisor


def test_report_reads_back_as_it_was_written() -> None:
    report = Report({"journal": "ok", "route apns/wallet": "no connection"})
    assert Report.decode(report.encode()) == report
    assert not report.ready
    assert Report({"journal": "ok"}).ready


@pytest.mark.parametrize("line", [b"", b"[]", b"3", b"{", b"\xff"])
def test_line_that_is_no_report_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # each has a message of its own
        Report.decode(line)


def test_report_that_is_too_long_is_replaced() -> None:
    line = Report({"x" * MAX_REPORT_BYTES: "ok"}).encode()
    assert len(line) < 100
    assert not Report.decode(line).ready


def test_pipe_never_blocks_and_outlives_its_reader() -> None:
    reader, writer = os.pipe()
    pipe = ReportPipe.from_env({REPORT_FD: str(writer)})
    assert pipe is not None
    for _ in range(100):
        pipe.send(Report({"x" * 10_000: "ok"}))
    os.close(reader)
    pipe.send(Report({"journal": "ok"}))
    os.close(writer)


def test_process_that_nobody_supervises_has_no_pipe() -> None:
    assert ReportPipe.from_env({}) is None
    die_with_supervisor({})


def test_restarts_wait_longer_each_time_up_to_the_cap() -> None:
    policy = RestartPolicy(base_s=0.1, cap_s=1.0, failed_cap_s=5.0)
    for deaths in range(100):
        full = min(1.0, 0.1 * 2**deaths)
        assert full / 2 <= policy.delay_s(deaths, 0) <= full
    assert 2.5 <= policy.delay_s(50, 1) <= 5.0
