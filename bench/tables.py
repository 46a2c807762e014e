"""A run for people: the same tables on the terminal and as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from rich.console import Group, JustifyMethod, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from bench.compare import Comparison, Verdict
from bench.machine import short
from bench.results import Figure, MachineFacts, ResultTable, RunResult, SectionResult, cell

_VERDICT_STYLES = {Verdict.WORSE: "bold red", Verdict.BETTER: "bold green", Verdict.DISTURBED: "yellow"}
_COLUMNS = ("figure", "median (smallest-largest)", "unit", "target", "", "quiet")


def figures_table(section: SectionResult) -> ResultTable:
    """Return all figures of a section, one row each."""
    return ResultTable(f"{section.section}: all figures", _COLUMNS, tuple(map(_row, section.figures)))


def missed(run: RunResult) -> list[Figure]:
    """Return the figures that did not reach their target."""
    return [figure for figure in run.figures().values() if figure.reached is False]


def rich_run(run: RunResult) -> RenderableType:
    """Return a run for the terminal."""
    parts: list[RenderableType] = [Text(line) for line in _heading(run)]
    for section in run.sections:
        parts.append(Rule(_section_title(section)))
        parts += [rich_table(table) for table in (*section.tables, figures_table(section))]
        parts += [Text(f"- {note}") for note in section.notes]
    return Group(*parts)


def markdown_run(run: RunResult, plots: Iterable[str] = ()) -> str:
    """Return a run as Markdown. plots: paths of images, relative to where the text will lie."""
    lines = [f"# Run of {_when(run)}", "", *(f"{line}  " for line in _heading(run)), ""]
    for section in run.sections:
        lines += [f"## {_section_title(section)}", "", *(f"- {note}" for note in section.notes), ""]
        lines += [markdown_table(table) for table in (*section.tables, figures_table(section))]
        lines += [f"![{path}]({path})\n" for path in plots if path.rpartition("/")[2].startswith(f"{section.section}-")]
    return "\n".join(lines)


def rich_comparison(found: Comparison) -> RenderableType:
    """Return two runs side by side for the terminal."""
    table = Table("figure", "unit", "old median", "new median", "change", "noise", "verdict")
    for column in table.columns[2:6]:
        column.justify = "right"
    for change in found.changes:
        medians = (f"{one.median:,.{digits(one.median)}f}" for one in (change.old, change.new))
        percents = (f"{change.percent:+.1f} %", f"{change.noise_percent:.1f} %")
        verdict = Text(change.verdict, style=_VERDICT_STYLES.get(change.verdict, ""))
        table.add_row(change.new.name, change.new.unit, *medians, *percents, verdict)
    parts: list[RenderableType] = [Text(f"warning: {warning}", style="yellow") for warning in found.warnings]
    parts += [table, *(Text(f"only in the old run: {name}", style="yellow") for name in found.gone)]
    parts += [Text(f"only in the new run: {name}") for name in found.added]
    counts = Counter(change.verdict for change in found.changes)
    return Group(*parts, Text(", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)))


def rich_table(table: ResultTable) -> Table:
    """Return a table for the terminal; columns of numbers are set to the right."""
    made = Table(title=Text(table.title), title_justify="left")
    for place, column in enumerate(table.columns):
        justify: JustifyMethod = "right" if _numeric(table, place) else "left"
        made.add_column(Text(column), justify=justify, overflow="fold", no_wrap=place == 0)
    for row in table.rows:
        made.add_row(*(Text(value, style="bold red" if "MISSED" in value else "") for value in row))
    return made


def markdown_table(table: ResultTable) -> str:
    """Return a table as Markdown, its title above it."""
    marks = ["---:" if _numeric(table, place) else "---" for place in range(len(table.columns))]
    rows = [_line(table.columns), _line(marks), *(_line(row) for row in table.rows)]
    return "\n".join([f"### {table.title}", "", *rows, ""])


def machine_line(machine: MachineFacts) -> str:
    """Return a machine in one line."""
    return f"{machine.cores} cores of {machine.cpu}, {machine.memory_mib / 1024:.1f} GiB, {machine.kernel}"


def digits(value: float) -> int:
    """Return how many decimals tell a value to about three digits."""
    size = abs(value)
    return 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 or size == 0 else 4


def _row(figure: Figure) -> tuple[str, ...]:
    target = "" if figure.target is None else f"{figure.target:,.{digits(figure.target)}f}"
    verdict = {None: "", True: "reached", False: "MISSED"}[figure.reached]
    quiet = "" if figure.quiet is None else f"{figure.quiet} of {len(figure.samples)}"
    return (figure.name, cell(figure.samples, digits(figure.median)), figure.unit, target, verdict, quiet)


def _heading(run: RunResult) -> Iterator[str]:
    yield f"{_when(run)}, commit {short(run.commit)}, " + ", ".join(f"{k} {v}" for k, v in run.options.items() if v)
    yield machine_line(run.machine)
    yield ", ".join(f"{name} {version}" for name, version in run.machine.versions.items())
    below = missed(run)
    if below:
        yield "MISSED: " + ", ".join(figure.name for figure in below)


def _section_title(section: SectionResult) -> str:
    return f"{section.section} ({section.seconds:,.0f} s)"


def _when(run: RunResult) -> str:
    return datetime.fromtimestamp(run.started_unix_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _numeric(table: ResultTable, place: int) -> bool:
    cells = [row[place] for row in table.rows if row[place]]
    return bool(cells) and all(value.lstrip("-+")[:1].isdigit() for value in cells)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(value.replace('|', chr(92) + '|') for value in cells)} |"
