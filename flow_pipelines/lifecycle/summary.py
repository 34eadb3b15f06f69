"""Final numbers of a night, as shown in the metadata of its materialization."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.archive import NightRows
from flow_pipelines.model import (
    Night,
    NightRecord,
    Output,
    StoredFacts,
    Submission,
    SubmissionState,
)
from flow_pipelines.model.output import NEVER
from flow_pipelines.model.wording import why_no_picture

_S = SubmissionState
PICTURES = 4
"""Images that a summary names, for a preview."""
_ENDED = {
    "succeeded": _S.SUCCEEDED,
    "failed": _S.FAILED,
    "canceled": _S.CANCELED,
    "unresolved": _S.UNRESOLVED,
    "skipped": _S.SKIPPED,
}
_COUNTED = (
    "without_image",
    "images",
    "runs_cost_unknown",
    "flotime_ms",
    "stored",
    "stored_bytes",
    "damaged",
    "left_out",
)


@dataclass(frozen=True, kw_only=True)
class NightSummary:
    """Counts, money and time of a night.

    States are counted over the current rows (the latest generation of each row and copy) and add
    up to `rows`; money, FloTime and images are summed over everything bought.
    """

    night: Night
    rows: int
    succeeded: int
    failed: int
    canceled: int
    unresolved: int
    skipped: int
    in_flight: int
    """Not ended yet: planned, being submitted, or at the provider."""
    planned: int
    """The part of `in_flight` that was not sent yet."""
    submitting: int = 0
    """The part of `in_flight` that is being sent, or was by a process that died: perhaps bought."""
    stale: int
    without_image: int
    """Succeeded rows that have no image, or not all of them, in the bucket."""
    images: int
    """Stored pictures, videos and sounds; whatever else a workflow gives is stored, too."""
    stored: int
    """Outputs in the bucket, whatever they are."""
    cost_usd: Decimal
    runs_cost_unknown: int
    estimated_usd: Decimal
    flotime_ms: int
    run_seconds_p50: float
    run_seconds_p95: float
    stored_bytes: int
    duplicate_images: int
    """Stored images whose content another image of the night has too."""
    damaged: int
    """Stored outputs that break, or are not what was promised."""
    left_out: int
    """Outputs that are larger than is stored of a file."""
    failures: Sequence[Mapping[str, str]]
    """A row for each current submission without its picture, with the reason."""
    pictures: Sequence[StoredFacts]
    """A few images, for a preview."""
    stopped: str | None = None
    """Why nothing more is sent until somebody asks again; None: it was not stopped."""
    held: int = 0
    """The part of `planned` that waits for somebody to ask."""

    @property
    def cost_per_image_usd(self) -> float:
        """Return the cost of the night divided by its images; 0 without images."""
        return float(self.cost_usd / self.images) if self.images else 0.0

    def metadata(self) -> dict[str, int | float]:
        """Return the numbers of the metadata: always the same keys, so that Dagster plots them."""
        return {
            "rows": self.rows,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "canceled": self.canceled,
            "unresolved": self.unresolved,
            "skipped": self.skipped,
            "in_flight": self.in_flight,
            "stale": self.stale,
            "images": self.images,
            "cost_usd": float(self.cost_usd),
            "runs_cost_unknown": self.runs_cost_unknown,
            "flotime_ms": self.flotime_ms,
            "cost_per_image_usd": self.cost_per_image_usd,
            "run_seconds_p50": self.run_seconds_p50,
            "run_seconds_p95": self.run_seconds_p95,
            "stored_bytes": self.stored_bytes,
        }


def summarize_night(ledger: RunLedger, night: Night, rows: NightRows | None = None) -> NightSummary:
    """Sum a night up from the ledger alone, a page at a time. Free; safe to repeat.

    `rows`: what its rows are read from instead, of a closed night.
    """
    record, rows = ledger.night(night), rows or ledger
    newest = _newest(rows, night) if record and record.generation else None
    sums = _Sums(night)
    for submission, outputs in rows.each_with_outputs(night):
        sums.add(submission, outputs)
        row = (submission.prompt_id, submission.copy)
        # A generation that was planned since is the next summary's.
        if submission.generation == (0 if newest is None else newest.get(row)):
            sums.add_current(submission, outputs)
    return sums.summary(record)


def _newest(rows: NightRows, night: Night) -> Mapping[tuple[str, int], int]:
    """Return the latest generation of each row and copy."""
    newest: Counter[tuple[str, int]] = Counter()
    for submission in rows.each_submission(night):
        row = (submission.prompt_id, submission.copy)
        newest[row] = max(newest[row], submission.generation)
    return newest


class _Sums:
    """A night's sums as its submissions come by."""

    def __init__(self, night: Night) -> None:
        self.night = night
        self.states: Counter[SubmissionState] = Counter()
        self.counted: Counter[str] = Counter()
        self.cost_usd = self.estimated_usd = Decimal(0)
        self.seconds = array("d")
        self.digests: set[str] = set()
        self.failures: list[Mapping[str, str]] = []
        self.pictures: list[StoredFacts] = []

    def add(self, submission: Submission, outputs: Sequence[Output]) -> None:
        """Add what counts of every submission: what was paid for, and what came of it."""
        cost = submission.cost_usd or Decimal(0)
        self.cost_usd += cost
        self.estimated_usd += cost if submission.cost_basis == "estimated" else 0
        self.counted["runs_cost_unknown"] += _cost_unknown(submission)
        self.counted["flotime_ms"] += submission.flotime_ms or 0
        if submission.run_ms is not None:
            self.seconds.append(submission.run_ms / 1000)
        for output in outputs:
            self._add_output(output)

    def _add_output(self, output: Output) -> None:
        facts = output.stored
        if facts is None:
            self.counted["left_out"] += output.settled_above not in {None, NEVER}
            return
        self.counted["stored"] += 1
        self.counted["stored_bytes"] += facts.size_bytes
        self.counted["damaged"] += facts.is_damaged
        if output.kind == "file" and facts.is_media:
            self.counted["images"] += 1
            self.digests.add(facts.sha256)
        if facts.is_shown and len(self.pictures) < PICTURES:
            self.pictures.append(facts)

    def add_current(self, submission: Submission, outputs: Sequence[Output]) -> None:
        """Add what counts of the latest generation of a row alone: how it stands."""
        self.states[submission.state] += 1
        incomplete = submission.state is _S.SUCCEEDED and _incomplete(outputs)
        self.counted["without_image"] += incomplete
        if incomplete or _is_failure(submission):
            self.failures.append(_failure(submission, outputs))

    def summary(self, record: NightRecord | None) -> NightSummary:
        """Return the sums."""
        seconds, rows = sorted(self.seconds), self.states.total()
        ended = {name: self.states[state] for name, state in _ENDED.items()}
        counted = {name: self.counted[name] for name in _COUNTED}
        return NightSummary(
            night=self.night,
            rows=rows,
            **ended,
            in_flight=rows - sum(ended.values()),
            planned=self.states[_S.PLANNED],
            submitting=self.states[_S.SUBMITTING],
            stale=record.stale if record else 0,
            stopped=record.stopped if record else None,
            held=record.held if record else 0,
            **counted,
            cost_usd=self.cost_usd,
            estimated_usd=self.estimated_usd,
            run_seconds_p50=_quantile(seconds, 0.5),
            run_seconds_p95=_quantile(seconds, 0.95),
            duplicate_images=counted["images"] - len(self.digests),
            failures=self.failures,
            pictures=self.pictures,
        )


def _incomplete(outputs: Sequence[Output]) -> bool:
    return not outputs or any(output.is_missing for output in outputs)


def _is_failure(submission: Submission) -> bool:
    return submission.state in {_S.FAILED, _S.CANCELED, _S.UNRESOLVED, _S.SKIPPED}


def _cost_unknown(submission: Submission) -> bool:
    """A run that may have been billed, and nobody knows how much."""
    if submission.state is _S.UNRESOLVED:
        return True
    ended = submission.state in {_S.SUCCEEDED, _S.FAILED, _S.CANCELED}
    return ended and submission.provider_run_id is not None and submission.cost_usd is None


def _failure(submission: Submission, outputs: Sequence[Output]) -> Mapping[str, str]:
    return {
        "prompt_id": submission.prompt_id,
        "copy": str(submission.copy),
        "prompt": submission.prompt,
        "state": submission.state.value,
        "error_code": submission.error_code or "",
        "error_message": why_no_picture(submission, outputs),
        "provider_run_id": submission.provider_run_id or "",
        "submission_key": submission.submission_key,
    }


def _quantile(ordered: Sequence[float], share: float) -> float:
    if not ordered:
        return 0.0
    return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 3)
