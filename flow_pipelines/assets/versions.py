"""Code and data versions: when Dagster shows an asset as out of step with its inputs.

A data version is a hash of what the next asset goes by, and of nothing that changes by itself:
materializing again with nothing new leaves everything downstream in step.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import dagster as dg

from flow_pipelines.model import BatchSettings, Output, Submission, TableFormat

CODE = "1"
"""Raised when our assets make something else of the same inputs; Dagster then shows it."""


def planning_code(settings: BatchSettings) -> str:
    """Version what a `defs.yaml` says of the rows: a change of it asks for planning anew."""
    written = (
        settings.workflow,
        settings.prompts or settings.prompts_asset,
        dict(settings.parameters),
        settings.runs_per_prompt,
        *([asdict(settings.table_format)] if settings.table_format != TableFormat() else []),
    )
    return f"{CODE}-{_hash(written)}"


def planned_version(submissions: Iterable[Submission]) -> dg.DataVersion:
    """Version the planned rows: what would be sent, and whether the table has moved on since."""
    return _version((row.submission_key, row.request_hash, row.stale) for row in submissions)


def bought_version(submissions: Iterable[Submission]) -> dg.DataVersion:
    """Version what was bought: the provider runs, in whatever state they are."""
    return _version(
        (row.submission_key, row.provider_run_id) for row in submissions if row.submitted_at
    )


def stored_version(night: Iterable[tuple[Submission, Sequence[Output]]]) -> dg.DataVersion:
    """Version a night as it is stored: the state of every row, and the content of every image."""
    return _version(
        (
            row.submission_key,
            row.state.value,
            [output.stored.sha256 for output in outputs if output.stored],
        )
        for row, outputs in night
    )


def _version(rows: Iterable[Any]) -> dg.DataVersion:
    """Hash rows in whatever order they come; none of them is kept."""
    total = 0
    for row in rows:
        total += int.from_bytes(hashlib.sha256(json.dumps(row).encode()).digest())
    return dg.DataVersion(_hash(total))


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
