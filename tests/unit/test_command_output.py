"""What commands print is readable in a pipe, and what is typed wrongly is told with the right form."""

from __future__ import annotations

import pytest
import typer

from gateway.commands.output import as_json, table
from gateway.commands.variables import to_values
from protos.walletpush.v1 import preference_pb2, template_pb2


def test_a_table_in_a_pipe_keeps_every_cell_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    long = ["ab" * 40, "2026-11-27T00:20:58.513Z", "x" * 50]
    table(("token", "at", "what"), [long])
    assert [line.split() for line in capsys.readouterr().out.splitlines() if "ab" in line] == [long]


def test_a_table_without_names_has_no_empty_head(capsys: pytest.CaptureFixture[str]) -> None:
    table(("", ""), [("title", "Hello")])
    assert [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()] == [["title", "Hello"]]


def test_a_no_is_told_in_json_where_it_is_asked_for() -> None:
    said = preference_pb2.Consent(actor="用户")
    assert as_json(said, {"granted": said.granted}) == '{"actor": "用户", "granted": false}'


@pytest.mark.parametrize(("kind", "shape"), [("MONEY", '{"money": '), ("LIST", '{"list": ')])
@pytest.mark.parametrize("text", ["12", "much", '{"price": 12}'])
def test_a_variable_that_does_not_fit_is_told_with_the_right_form(kind: str, shape: str, text: str) -> None:
    declared = template_pb2.Variable(name="price", type=f"VARIABLE_TYPE_{kind}")
    with pytest.raises(typer.BadParameter) as refused:
        to_values([f"price={text}"], template_pb2.Template(variables=[declared]))
    told = str(refused.value)
    assert told.startswith(f"price: {text!r} does not fit its type")
    assert f"it wants JSON such as {shape}" in told
