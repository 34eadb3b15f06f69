"""What the bucket's journal keeps of one intent: all that rebuilds its row in another ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from flow_pipelines.model.states import SubmissionState
from flow_pipelines.model.submission import Night, NightPlan, Regeneration, Submission

FORMAT = 1
_OF_ROW = (
    "prompt_id", "row_number", "copy", "generation", "prompt", "seed", "content_hash",
    "request_hash",
)  # fmt: skip
_OF_PLAN = ("provider", "resource", "workflow", "workflow_version")


class Decision(NamedTuple):
    """What was decided about a submission before this intent."""

    action: str
    who: str
    why: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class JournalEntry:
    """One intent, as it was written."""

    sent: Submission
    """What planning and intent wrote of it; nothing of any provider run."""
    run_timeout_seconds: float
    location: str
    """Both of the night."""
    regeneration: Regeneration | None = None
    """What planned it; None for generation 0."""
    decisions: tuple[Decision, ...] = ()

    @property
    def plan(self) -> NightPlan:
        """Return the plan of a night in which this row was planned."""
        return NightPlan(
            night=self.sent.night,
            **{name: getattr(self.sent, name) for name in _OF_PLAN},
            run_timeout_seconds=self.run_timeout_seconds,
            location=self.location,
        )

    def to_json(self) -> str:
        """Return canonical JSON that `from_json` reads back: of one intent always the same."""
        sent, again = self.sent, self.regeneration
        data = {
            "format": FORMAT,
            **sent.night._asdict(),
            "submission_key": sent.submission_key,
            "intent": sent.intents,
            "ledger_id": sent.intent_ledger_id,
            "at": _written(sent.submitting_at or sent.planned_at),
            "reserved_usd": str(sent.reserved_usd),
            "body_sha256": sent.body_sha256,
            "dagster_run_id": sent.dagster_run_id,
            **{name: getattr(sent, name) for name in _OF_PLAN},
            "row": {name: getattr(sent, name) for name in _OF_ROW},
            "parameters": dict(sent.parameters),
            "planned_at": _written(sent.planned_at),
            "run_timeout_seconds": self.run_timeout_seconds,
            "location": self.location,
            "regeneration": None if again is None else _of_regeneration(again),
            "decisions": [[*decision[:3], _written(decision.at)] for decision in self.decisions],
        }
        return json.dumps(data, sort_keys=True, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> JournalEntry:
        """Read what `to_json` wrote. Raises: ValueError, KeyError, TypeError for anything else."""
        data = json.loads(text)
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']} is of another version of flow-pipelines")
        sent = _sent(data)
        again = data["regeneration"]
        return cls(
            sent=sent,
            run_timeout_seconds=float(data["run_timeout_seconds"]),
            location=str(data["location"]),
            regeneration=None if again is None else _regeneration(sent, again),
            decisions=tuple(
                Decision(action, who, why, _read(at)) for action, who, why, at in data["decisions"]
            ),
        )


def _sent(data: Mapping[str, Any]) -> Submission:
    return Submission(
        submission_key=str(data["submission_key"]),
        night=Night(data["batch"], data["partition_key"]),
        **{name: data["row"][name] for name in _OF_ROW},
        **{name: data[name] for name in _OF_PLAN},
        parameters=data["parameters"],
        state=SubmissionState.UNRESOLVED,
        planned_at=_read(data["planned_at"]),
        submitting_at=_read(data["at"]),
        reserved_usd=Decimal(data["reserved_usd"]),
        dagster_run_id=data["dagster_run_id"],
        intents=int(data["intent"]),
        intent_ledger_id=data["ledger_id"],
        body_sha256=data["body_sha256"],
    )


def _of_regeneration(again: Regeneration) -> dict[str, Any]:
    return {
        "requested_by": again.requested_by,
        "scope": again.scope,
        "created_at": _written(again.created_at),
        "rows": again.rows,
    }


def _regeneration(sent: Submission, data: Mapping[str, Any]) -> Regeneration:
    return Regeneration(
        night=sent.night,
        generation=sent.generation,
        requested_by=data["requested_by"],
        scope=data["scope"],
        created_at=_read(data["created_at"]),
        rows=int(data["rows"]),
    )


def _written(at: datetime) -> str:
    return at.isoformat()


def _read(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(text)
    return at
