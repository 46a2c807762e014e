"""The rules as promtool sees them: sound, and right about what takes hours or days."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.commands.failure import BAD_RESULT, BAD_USAGE
from gateway.monitoring.export import export

HERE = Path(__file__).parent


def promtool(*words: str, cwd: Path | None = None) -> None:
    ended = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=110, check=False, cwd=cwd)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("divisor", [1, 60])
def test_what_is_exported_is_a_sound_configuration(tmp_path: Path, divisor: int) -> None:
    export(tmp_path, shorten=divisor)
    promtool("check", "config", "prometheus.yml", cwd=tmp_path)
    promtool("check", "rules", "--lint=all", "--lint-fatal", "rules/recording.yml", "rules/alerts.yml", cwd=tmp_path)


def test_one_command_writes_it_all_and_names_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["monitoring", "export", str(tmp_path / "watch"), "--target", "10.0.0.5:9090"])
    named = capsys.readouterr().out.split()
    assert ended.value.code == 0
    assert set(named) == {str(path) for path in (tmp_path / "watch").rglob("*") if path.is_file()}


@pytest.mark.parametrize("target", ["nonsense", "http://10.0.0.5:9090", "10.0.0.5:", "10.0.0.5:web"])
def test_a_target_without_host_and_port_is_wrong_usage(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["monitoring", "export", str(tmp_path / "watch"), "--target", target])
    assert ended.value.code == BAD_USAGE
    assert "is not host:port" in capsys.readouterr().err
    assert not (tmp_path / "watch").exists()


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "watch").write_text("in the way")
    with pytest.raises(SystemExit) as ended:
        main(["monitoring", "export", str(tmp_path / "watch" / "deeper")])
    assert ended.value.code == BAD_RESULT
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.timeout(120)
@pytest.mark.parametrize("series", ["monitoring_series.yml", "monitoring_days.yml"])
def test_alerts_wait_as_long_as_they_should_and_wake_nobody_for_less(series: str) -> None:
    promtool("test", "rules", str(HERE / series))
