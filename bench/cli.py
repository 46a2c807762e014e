"""The commands of `python -m bench`. Exit codes: 0 done; 1 a section failed or something is worse; 2 wrong usage."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import stored
from bench.catalogue import ENTRIES, Entry, MissingSection, UnknownSection, entry, load
from bench.compare import compare
from bench.machine import commit, facts
from bench.progress import PipeProgress, SilentProgress
from bench.results import RunResult, SectionResult, write_section
from bench.runner import Runner
from bench.section import BenchOptions, Scale
from bench.tables import markdown_run, rich_comparison, rich_run

BAD_RESULT, USAGE, INTERRUPTED = 1, 2, 130
_FILE_WIDTH = 140
_DEFAULTS = BenchOptions()

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip

ScaleOption = Annotated[Scale, typer.Option(help="smoke: seconds a section; quick: a minute; full: for tables.")]
RepeatsOption = Annotated[int, typer.Option(min=1, max=50, help="How often each figure is taken.")]
PeerOption = Annotated[list[str] | None, typer.Option("--peer", help="A gateway to run beside; repeatable.")]
SoakOption = Annotated[int, typer.Option("--soak-s", min=10, max=86_400, help="How long the soak lasts, in seconds.")]
RunArgument = Annotated[Path, typer.Argument(help="A run: its directory, its run.json, or a name in bench/results.")]


@app.command("run")
def run_sections(
    only: Annotated[list[str] | None, typer.Option(help="Sections by letter or name, with commas.")] = None,
    scale: ScaleOption = Scale.FULL,
    repeats: RepeatsOption = _DEFAULTS.repeats,
    peer: PeerOption = None,
    soak: Annotated[bool, typer.Option("--soak", help="Run the soak too.")] = False,
    soak_s: SoakOption = _DEFAULTS.soak_s,
    out: Annotated[Path | None, typer.Option(help="Where the run's files go.")] = None,
) -> None:
    """Run sections, each in a process of its own, and write values, tables and plots.

    `python -m bench` without a command is this.
    """
    options = BenchOptions(scale, repeats, tuple(peer or ()), soak_s)
    chosen = _chosen(only, soak=soak)
    started_unix_ms, of = time.time_ns() // 1_000_000, commit()
    directory = out or stored.new_directory(started_unix_ms, of)
    directory.mkdir(parents=True, exist_ok=True)
    machine, told = facts(), _told(options)

    def run(results: tuple[SectionResult, ...]) -> RunResult:
        return RunResult(of, started_unix_ms, machine, told, results)

    console = _console()
    outcome = Runner(directory, options, console).run(chosen, lambda results: stored.write(run(results), directory))
    if outcome.results:
        console.print(rich_run(run(outcome.results)))
        console.print(f"\nValues, tables and plots: {stored.write_report(run(outcome.results), directory)}")
    if outcome.failed:
        console.print(f"[bold red]failed: {', '.join(outcome.failed)}[/]")
        raise typer.Exit(BAD_RESULT)


@app.command("list")
def list_sections() -> None:
    """Tell the sections."""
    table = Table("", "name", "what", "runs")
    for one in ENTRIES:
        try:
            title = load(one).title
        except MissingSection as missing:
            title = str(missing)
        table.add_row(one.letter, one.name, Text(title), "by default" if one.by_default else "when asked for")
    _console().print(table)


@app.command("compare")
def compare_runs(old: RunArgument, new: RunArgument) -> None:
    """Tell what became better or worse from OLD to NEW, and how much is noise; exit code 1 on a regression."""
    comparison = compare(stored.read(old), stored.read(new))
    _console().print(rich_comparison(comparison))
    if comparison.regressions:
        raise typer.Exit(BAD_RESULT)


@app.command("table")
def table(result: RunArgument, markdown: Annotated[bool, typer.Option("--markdown")] = False) -> None:
    """Print a run's tables."""
    run = stored.read(result)
    if markdown:
        print(markdown_run(run))
    else:
        _console().print(rich_run(run))


@app.command("plot")
def plot(result: RunArgument) -> None:
    """Draw a run's plots again and write its tables."""
    print(stored.write_report(stored.read(result), stored.find(result).parent))


@app.command("section", hidden=True)
def section(
    name: str,
    json: Annotated[Path, typer.Option()],
    scale: ScaleOption = Scale.FULL,
    repeats: RepeatsOption = _DEFAULTS.repeats,
    peer: PeerOption = None,
    soak_s: SoakOption = _DEFAULTS.soak_s,
    progress_fd: Annotated[int | None, typer.Option()] = None,
) -> None:
    """Be the process of one section: measure and write its values."""
    progress = SilentProgress() if progress_fd is None else PipeProgress(progress_fd)
    found = load(entry(name))
    write_section(found.run(BenchOptions(scale, repeats, tuple(peer or ()), soak_s), progress), json)


def main(words: Sequence[str]) -> None:
    """Run one command and exit with its code; options alone mean `run`."""
    asks_help = {"-h", "--help"} & set(words)
    named = words and not words[0].startswith("-")
    try:
        app(args=[*words] if named or asks_help else ["run", *words], prog_name="python -m bench")
    except (UnknownSection, stored.NoRun) as wrong:
        _leave(str(wrong), USAGE)
    except ValidationError as wrong:
        _leave(f"not a run of this bench: {wrong}", USAGE)
    except MissingSection as missing:
        _leave(str(missing), BAD_RESULT)
    except KeyboardInterrupt:
        _leave("interrupted", INTERRUPTED)


def _console() -> Console:
    """Return the terminal, or for a file something wide enough for whole names."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, _FILE_WIDTH))


def _leave(message: str, code: int) -> None:
    sys.stderr.write(f"bench: {message}\n")
    sys.exit(code)


def _chosen(only: list[str] | None, *, soak: bool) -> list[Entry]:
    """Return the sections that were asked for, in the catalogue's order."""
    words = [word for words in only or () for word in words.split(",") if word.strip()]
    named = {entry(word) for word in words} or {one for one in ENTRIES if one.by_default}
    return [one for one in ENTRIES if one in named or (soak and one.name == "soak")]


def _told(options: BenchOptions) -> dict[str, str]:
    return {"scale": options.scale, "repeats": str(options.repeats), "peers": " ".join(options.peers)}
