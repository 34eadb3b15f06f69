"""How submissions look in a terminal and as JSON."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flow_pipelines.cli.keys import SHORT
from flow_pipelines.ledger.database import chunks
from flow_pipelines.ledger.records import SecondRun
from flow_pipelines.model import Output, Submission, SubmissionState
from flow_pipelines.model.wording import reported_problem

_STYLES = {
    SubmissionState.SUCCEEDED: "green",
    SubmissionState.FAILED: "red",
    SubmissionState.UNRESOLVED: "bold yellow",
}
_NOTES = 20
"""Reasons that are told below a table; `--wide` and `--json` have them all."""
_ONE_LINE = 10_000
"""Columns enough for any row: the terminal breaks the lines, or a pager scrolls."""
_WIDE = ("night", "prompt", "state", "provider run", "cost USD", "submission key", "why")


Outputs = Callable[[Collection[str]], Mapping[str, Sequence[Output]]]
"""Keys of submissions → their outputs; see `RunLedger.outputs_of`."""


def print_submissions(
    submissions: Sequence[Submission], outputs_of: Outputs, *, found: int, wide: bool = False
) -> None:
    """Print a row a submission: what fits 80 columns and the reasons below, or all if `wide`.

    `found` is how many there are in all: what the table leaves out is said.
    """
    outputs = _outputs_to_store(submissions, outputs_of)
    reasons = {
        one.submission_key: _one_line(reported_problem(one, outputs.get(one.submission_key, ())))
        for one in submissions
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


def _outputs_to_store(
    submissions: Sequence[Submission], outputs_of: Outputs
) -> Mapping[str, Sequence[Output]]:
    """Return the outputs of the runs that ended well and are not all stored, by submission."""
    waiting = [one.submission_key for one in submissions if _waits(one)]
    return outputs_of(waiting) if waiting else {}


def _waits(one: Submission) -> bool:
    return one.state is SubmissionState.SUCCEEDED and one.collected_at is None


def _table(submissions: Sequence[Submission]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("night", "prompt"):
        table.add_column(column, overflow="fold")
    for column in ("state", "cost USD", "key"):
        table.add_column(column, no_wrap=True, justify="right" if "cost" in column else "left")
    for one in submissions:
        table.add_row(
            escape(str(one.night)),
            escape(_prompt(one)),
            _state(one),
            _cost(one),
            one.submission_key[:SHORT],
        )
    return table


def _wide_table(submissions: Sequence[Submission], reasons: Mapping[str, str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in _WIDE:
        table.add_column(column, no_wrap=True, justify="right" if "cost" in column else "left")
    for one in submissions:
        table.add_row(
            escape(str(one.night)),
            escape(_prompt(one)),
            _state(one),
            escape(one.provider_run_id or "–"),
            "–" if one.cost_usd is None else f"{one.cost_usd} ({one.cost_basis})",
            one.submission_key,
            escape(reasons[one.submission_key]),
        )
    return table


def _print_notes(reasons: Mapping[str, str]) -> None:
    noted = [(key, why) for key, why in reasons.items() if why]
    console = Console()
    if noted:
        console.print()
    for key, why in noted[:_NOTES]:
        console.print(f"{key[:SHORT]} [dim]{escape(why)}[/]", highlight=False)
    if len(noted) > _NOTES:
        console.print(f"… and {len(noted) - _NOTES} more; --wide has them all", highlight=False)


def print_second_runs(runs: Sequence[SecondRun]) -> None:
    """Print a line for each second run that nobody has looked into."""
    console = Console()
    for one in runs:
        if one.settled_why is None:
            key, run_id = one.submission_key[:SHORT], escape(one.provider_run_id)
            console.print(
                f"[bold red]{key} has a second provider run, {run_id}: both may be billed[/]",
                highlight=False,
            )


def _prompt(one: Submission) -> str:
    return f"{one.prompt_id}.{one.copy}" + (f" g{one.generation}" if one.generation else "")


def _state(one: Submission) -> str:
    facts = ["stale"] if one.stale else []
    if _waits(one):
        facts.append("not stored")
    marks = f" ({', '.join(facts)})" if facts else ""
    return f"[{_STYLES.get(one.state, 'cyan')}]{one.state}[/]{marks}"


def _cost(one: Submission) -> str:
    """Return money with `~` where it is an estimate."""
    if one.cost_usd is None:
        return "–"
    return f"{'~' if one.cost_basis == 'estimated' else ''}{one.cost_usd:f}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def print_submissions_json(submissions: Iterable[Submission], outputs_of: Outputs) -> None:
    """Print one JSON list as it is read; money as text, so that it stays exact, times in ISO 8601.

    `not_stored` has the reason of each output that is not stored, by its index; `run_ms_is_bound`
    says that its run took so long at most.
    """
    before = "[\n"
    for page in chunks(submissions):
        outputs = _outputs_to_store(page, outputs_of)
        for one in page:
            told = outputs.get(one.submission_key, ())
            problems = {output.output_index: output.problem for output in told if output.problem}
            record = {**_record(one), "not_stored": problems}
            text = json.dumps(record, indent=1, default=_plain)
            click.echo(before + textwrap.indent(text, " "), nl=False)
            before = ",\n"
    click.echo("[]" if before == "[\n" else "\n]")


def _record(one: Submission) -> dict[str, Any]:
    record = {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
    batch, partition_key = record.pop("night")
    bound = {"run_ms_is_bound": one.run_ms_is_bound}
    return {"batch": batch, "partition_key": partition_key, **record, **bound}


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return dict(value) if hasattr(value, "keys") else list(value)  # type: ignore[call-overload]
