"""A night in numbers: what its materialization says, exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from flow_pipelines.ledger.contract import RunLedger
from flow_pipelines.lifecycle.plan import latest
from flow_pipelines.model import Night, Output, Submission, SubmissionState

_S = SubmissionState


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
    stale: int
    without_image: int
    """Succeeded rows that have no image, or not all of them, in the bucket."""
    images: int
    """Stored files; a text that a workflow gives as well is stored, too, and no image."""
    cost_usd: Decimal
    runs_cost_unknown: int
    estimated_usd: Decimal
    flotime_ms: int
    run_seconds_p50: float
    run_seconds_p95: float
    stored_bytes: int
    duplicate_images: int
    """Stored images whose content another image of the night has too."""
    undecodable_images: int
    """Outputs that arrived and were refused as images."""
    failures: Sequence[Mapping[str, str]]
    """A row for each current submission without its picture, with the reason."""
    picture_keys: Sequence[str]
    """S3 keys of a few images, for a preview."""

    @property
    def cost_per_image_usd(self) -> float:
        """Give the cost of the night divided by its images; 0 without images."""
        return float(self.cost_usd / self.images) if self.images else 0.0

    def metadata(self) -> dict[str, int | float]:
        """Give the numbers of DESIGN §2.6: always the same keys, so that Dagster plots them."""
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


def summarize_night(ledger: RunLedger, night: Night) -> NightSummary:
    """Sum a night up from the ledger alone. Free; safe to repeat."""
    submissions = ledger.submissions(night)
    outputs = ledger.outputs(night)
    current = list(latest(submissions).values())
    stored = [output for rows in outputs.values() for output in rows if output.stored]
    incomplete = [s for s in current if s.state is _S.SUCCEEDED and _incomplete(s, outputs)]
    durations = sorted(s.run_ms / 1000 for s in submissions if s.run_ms is not None)
    pictures = [output for output in stored if output.kind == "file"]
    digests = {output.stored.sha256 for output in pictures if output.stored}
    record = ledger.night(night)
    return NightSummary(
        night=night,
        **_count(current),
        stale=record.stale if record else 0,
        without_image=len(incomplete),
        images=len(pictures),
        cost_usd=sum((s.cost_usd for s in submissions if s.cost_usd is not None), Decimal(0)),
        runs_cost_unknown=sum(_cost_unknown(s) for s in submissions),
        estimated_usd=sum(
            (s.cost_usd for s in submissions if s.cost_usd and s.cost_basis == "estimated"),
            Decimal(0),
        ),
        flotime_ms=sum(s.flotime_ms or 0 for s in submissions),
        run_seconds_p50=_quantile(durations, 0.5),
        run_seconds_p95=_quantile(durations, 0.95),
        stored_bytes=sum(output.stored.size_bytes for output in stored if output.stored),
        duplicate_images=len(pictures) - len(digests),
        undecodable_images=sum(
            output.problem is not None and output.stored is None
            for rows in outputs.values()
            for output in rows
        ),
        failures=[_failure(s, outputs) for s in current if s in incomplete or _is_failure(s)],
        picture_keys=[output.stored.s3_key for output in pictures[:4] if output.stored],
    )


def _count(current: Sequence[Submission]) -> dict[str, int]:
    states = [submission.state for submission in current]
    ended = {
        name: states.count(state)
        for name, state in (
            ("succeeded", _S.SUCCEEDED),
            ("failed", _S.FAILED),
            ("canceled", _S.CANCELED),
            ("unresolved", _S.UNRESOLVED),
            ("skipped", _S.SKIPPED),
        )
    }
    return {
        "rows": len(current),
        **ended,
        "in_flight": len(current) - sum(ended.values()),
        "planned": states.count(_S.PLANNED),
    }


def _incomplete(submission: Submission, outputs: Mapping[str, Sequence[Output]]) -> bool:
    mine = outputs.get(submission.submission_key, ())
    return not mine or any(output.stored is None for output in mine)


def _is_failure(submission: Submission) -> bool:
    return submission.state in {_S.FAILED, _S.CANCELED, _S.UNRESOLVED, _S.SKIPPED}


def _cost_unknown(submission: Submission) -> bool:
    """A run that may have been billed, and nobody knows how much."""
    if submission.state is _S.UNRESOLVED:
        return True
    ended = submission.state in {_S.SUCCEEDED, _S.FAILED, _S.CANCELED}
    return ended and submission.provider_run_id is not None and submission.cost_usd is None


def _failure(submission: Submission, outputs: Mapping[str, Sequence[Output]]) -> Mapping[str, str]:
    mine = outputs.get(submission.submission_key, ())
    problems = [output.problem for output in mine if output.stored is None and output.problem]
    reason = submission.error_message or submission.reason or "; ".join(problems)
    if not reason and submission.state is _S.SUCCEEDED:
        reason = "not collected yet" if mine else "the provider run ended without an output"
    return {
        "prompt_id": submission.prompt_id,
        "copy": str(submission.copy),
        "prompt": submission.prompt,
        "state": submission.state.value,
        "error_code": submission.error_code or "",
        "error_message": reason,
        "provider_run_id": submission.provider_run_id or "",
        "submission_key": submission.submission_key,
    }


def _quantile(ordered: Sequence[float], share: float) -> float:
    if not ordered:
        return 0.0
    return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 3)
