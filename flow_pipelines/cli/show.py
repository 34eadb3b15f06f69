"""How submissions look in a terminal and as JSON, and nights while they are under way."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from flow_pipelines.cli.environment import SHORT_KEY
from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.database import chunks
from flow_pipelines.ledger.records import SecondRun
from flow_pipelines.lifecycle import NightProgress, night_progress
from flow_pipelines.model import ENDED, Night, Output, Submission, SubmissionState
from flow_pipelines.model.wording import money, reported_problem

_STYLES = {
    SubmissionState.SUCCEEDED: "green",
    SubmissionState.FAILED: "red",
    SubmissionState.UNRESOLVED: "bold yellow",
}
_NOTES = 20
"""Most reasons printed below a table; `--wide` and `--json` have them all."""
_ONE_LINE = 10_000
"""Columns enough for any row: the terminal breaks the lines, or a pager scrolls."""
_WIDE = ("night", "prompt", "state", "provider run", "cost USD", "submission key", "why")

REDRAW_SECONDS = 2.0
_LOOK_FOR_NIGHTS = 8
"""Nights that began meanwhile are looked for once in so many redraws."""
_MOST_SUBMISSIONS = 1_000
"""Most submissions of a state that are searched for nights under way."""
_MOST_NIGHTS = 20
_OPEN = [state for state in SubmissionState if state not in {*ENDED, SubmissionState.UNRESOLVED}]


def print_submissions(
    submissions: Sequence[Submission], ledger: RunLedger, *, found: int, wide: bool
) -> None:
    """Print a row a submission: what fits 80 columns and the reasons below, or all if `wide`.

    Below stand the second runs that nobody has looked into.

    `found` is how many there are in all: what the table leaves out is said.
    """
    outputs = _outputs_to_store(submissions, ledger)
    reasons = {
        row.submission_key: _one_line(reported_problem(row, outputs.get(row.submission_key, ())))
        for row in submissions
    }
    if not submissions:
        Console().print("Nothing in the ledger answers to that.")
    elif wide:
        Console(width=_ONE_LINE).print(_wide_table(submissions, reasons))
    else:
        Console().print(_table(submissions))
        _print_notes(reasons)
    left_out = found - len(submissions)
    if left_out > 0:
        click.echo(f"{left_out} more left out: --limit shows more of them, --json all")
    _print_second_runs(ledger.second_runs([row.submission_key for row in submissions]))


def _outputs_to_store(
    submissions: Sequence[Submission], ledger: RunLedger
) -> Mapping[str, Sequence[Output]]:
    """Return the outputs of the runs that ended well and are not all stored, by submission."""
    waiting = [row.submission_key for row in submissions if _waits(row)]
    return ledger.outputs_of(waiting) if waiting else {}


def _waits(row: Submission) -> bool:
    return row.state is SubmissionState.SUCCEEDED and row.collected_at is None


def _table(submissions: Sequence[Submission]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("night", "prompt"):
        table.add_column(column, overflow="fold")
    for column in ("state", "cost USD", "key"):
        table.add_column(column, no_wrap=True, justify="right" if "cost" in column else "left")
    for row in submissions:
        table.add_row(*_first_cells(row), _cost(row), row.submission_key[:SHORT_KEY])
    return table


def _wide_table(submissions: Sequence[Submission], reasons: Mapping[str, str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in _WIDE:
        table.add_column(column, no_wrap=True, justify="right" if "cost" in column else "left")
    for row in submissions:
        table.add_row(
            *_first_cells(row),
            escape(row.provider_run_id or "–"),
            "–" if row.cost_usd is None else f"{row.cost_usd} ({row.cost_basis})",
            row.submission_key,
            escape(reasons[row.submission_key]),
        )
    return table


def _print_notes(reasons: Mapping[str, str]) -> None:
    noted = [(key, why) for key, why in reasons.items() if why]
    console = Console()
    if noted:
        console.print()
    for key, why in noted[:_NOTES]:
        console.print(f"{key[:SHORT_KEY]} [dim]{escape(why)}[/]", highlight=False)
    if len(noted) > _NOTES:
        console.print(f"… and {len(noted) - _NOTES} more; --wide has them all", highlight=False)


def _print_second_runs(runs: Sequence[SecondRun]) -> None:
    """Print a line for each second run that nobody has looked into."""
    console = Console()
    for run in runs:
        if run.settled_why is None:
            key, run_id = run.submission_key[:SHORT_KEY], escape(run.provider_run_id)
            console.print(
                f"[bold red]{key} has a second provider run, {run_id}: both may be billed[/]",
                highlight=False,
            )


def _first_cells(row: Submission) -> tuple[str, str, str]:
    """Return night, prompt and state, as both tables have them."""
    generation = f" g{row.generation}" if row.generation else ""
    return escape(str(row.night)), escape(f"{row.prompt_id}.{row.copy}{generation}"), _state(row)


def _state(row: Submission) -> str:
    facts = ["stale"] if row.stale else []
    if _waits(row):
        facts.append("not stored")
    marks = f" ({', '.join(facts)})" if facts else ""
    return f"[{_STYLES.get(row.state, 'cyan')}]{row.state}[/]{marks}"


def _cost(row: Submission) -> str:
    """Return money with `~` where it is an estimate."""
    if row.cost_usd is None:
        return "–"
    return f"{'~' if row.cost_basis == 'estimated' else ''}{row.cost_usd:f}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def print_submissions_json(submissions: Iterable[Submission], ledger: RunLedger) -> None:
    """Print one JSON list as it is read; money as text, so that it stays exact, times in ISO 8601.

    `not_stored` has the reason of each output that is not stored, by its index; `run_ms_is_bound`
    says that its run took so long at most.
    """
    before = "[\n"
    for page in chunks(submissions):
        outputs = _outputs_to_store(page, ledger)
        for row in page:
            waiting = outputs.get(row.submission_key, ())
            problems = {each.output_index: each.problem for each in waiting if each.problem}
            record = {**_record(row), "not_stored": problems}
            text = json.dumps(record, indent=1, default=_plain)
            click.echo(before + textwrap.indent(text, " "), nl=False)
            before = ",\n"
    click.echo("[]" if before == "[\n" else "\n]")


def _record(row: Submission) -> dict[str, Any]:
    record = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    batch, partition_key = record.pop("night")
    bound = {"run_ms_is_bound": row.run_ms_is_bound}
    return {"batch": batch, "partition_key": partition_key, **record, **bound}


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return dict(value) if hasattr(value, "keys") else list(value)  # type: ignore[call-overload]


def watch(
    ledger: RunLedger,
    clock: Clock,
    console: Console,
    *,
    batch: str | None = None,
    partition_key: str | None = None,
    provider: str | None = None,
) -> None:
    """Draw how far each night has come until none is under way. Reads the ledger only."""
    search = partial(
        ledger.search,
        batch=batch,
        partition_key=partition_key,
        provider=provider,
        limit=_MOST_SUBMISSIONS,
    )
    bars = _Bars(console)
    nights: list[Night] = []
    turn = 0
    with bars.progress:
        while True:
            if turn % _LOOK_FOR_NIGHTS == 0:
                nights += [one for one in _under_way(ledger, search) if one not in nights]
            now = clock.now()
            watched = nights[:_MOST_NIGHTS]
            shown = [night_progress(night, ledger.tallies(night), now) for night in watched]
            bars.draw(shown)
            if not any(one.under_way for one in shown):
                break
            turn += 1
            clock.sleep(REDRAW_SECONDS)
    if not nights:
        console.print("No night is under way.")
    if len(nights) > _MOST_NIGHTS:
        console.print(f"… and {len(nights) - _MOST_NIGHTS} more nights: see --batch, --partition.")


class _Bars:
    def __init__(self, console: Console) -> None:
        self._tasks: dict[Night, TaskID] = {}
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            console=console,
        )

    def draw(self, shown: Collection[NightProgress]) -> None:
        for bar in shown:
            if bar.night not in self._tasks:
                self._tasks[bar.night] = self.progress.add_task(str(bar.night), facts="")
            self.progress.update(
                self._tasks[bar.night], total=bar.rows, completed=bar.ended, facts=_facts(bar)
            )


def _facts(bar: NightProgress) -> str:
    counts = ((bar.failed, "failed"), (bar.unresolved, "unresolved"), (bar.skipped, "skipped"))
    facts = [f"{count} {word}" for count, word in counts if count]
    facts.append(money(bar.cost_usd))
    if bar.expected_end_at is not None:
        facts.append(f"ends about {bar.expected_end_at:%H:%M} UTC")
    return ", ".join(facts)


def _under_way(ledger: RunLedger, search: Callable[..., Sequence[Submission]]) -> Collection[Night]:
    """Find nights with something open that somebody asked to buy, by name."""
    found = {one.night for state in _OPEN for one in search(state=state)}
    records = [ledger.night(night) for night in sorted(found)]
    return [record.night for record in records if record is not None and record.marked_at]
