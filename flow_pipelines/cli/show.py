"""How submissions look in a terminal and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flow_pipelines.model import Submission, SubmissionState

_STYLES = {
    SubmissionState.SUCCEEDED: "green",
    SubmissionState.FAILED: "red",
    SubmissionState.UNRESOLVED: "bold yellow",
}


def print_submissions(submissions: Sequence[Submission]) -> None:
    """Print a table, a row a submission."""
    table = Table(box=None, pad_edge=False)
    for column in ("night", "prompt", "state", "provider run", "cost USD"):
        table.add_column(column, overflow="fold", justify="right" if "cost" in column else "left")
    table.add_column("submission key", no_wrap=True)  # it is what people copy
    for one in submissions:
        table.add_row(
            str(one.night),
            escape(
                f"{one.prompt_id}.{one.copy}" + (f" g{one.generation}" if one.generation else "")
            ),
            f"[{_STYLES.get(one.state, 'cyan')}]{one.state}[/]{_note(one)}",
            escape(one.provider_run_id or "–"),
            "–" if one.cost_usd is None else f"{one.cost_usd} ({one.cost_basis})",
            one.submission_key,
        )
    Console().print(table if submissions else "Nothing in the ledger answers to that.")


def _note(one: Submission) -> str:
    why = one.error_message or one.reason
    facts = ["stale"] if one.stale else []
    if one.state is SubmissionState.SUCCEEDED and one.collected_at is None:
        facts.append("not stored yet")
    facts += [why] if why else []
    return f" {escape('; '.join(facts))}" if facts else ""


def print_submissions_json(submissions: Sequence[Submission]) -> None:
    """Print one JSON list; money as text, so that it stays exact, times in ISO 8601."""
    click.echo(json.dumps([_record(one) for one in submissions], indent=1, default=_plain))


def _record(one: Submission) -> dict[str, Any]:
    record = {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
    batch, partition_key = record.pop("night")
    return {"batch": batch, "partition_key": partition_key, **record}


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return dict(value) if hasattr(value, "keys") else list(value)  # type: ignore[call-overload]
