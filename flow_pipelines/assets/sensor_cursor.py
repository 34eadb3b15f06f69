"""A sensor's cursor: what it keeps from tick to tick, readable by people."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass
class SensorCursor:
    """What earlier ticks saw and reported. Losing it does no harm."""

    fingerprint: str = ""
    """Of the nights with something to do, as the last tick saw them."""
    changed_at: datetime | None = None
    """The first change that no cost report has yet."""
    observed: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Night under way → generation, and the last tenth of it that was observed."""
    expected_since: dict[str, datetime] = field(default_factory=dict)
    """Batch → when its schedule was first seen: what was due before is not missed."""
    last_nights: dict[str, str] = field(default_factory=dict)
    """Batch → the last verdict on its last night that was told."""
    compared_at: datetime | None = None
    """When all recent nights were last compared with the journal."""
    compare_after: str = ""
    """How far a comparison came that is not at its end."""

    @classmethod
    def read(cls, cursor: str | None) -> "SensorCursor":
        """Read a cursor; one that somebody edited is as good as none."""
        try:
            data = json.loads(cursor or "{}")
            at = data.get("changed_at")
            told = data.get("told", {}).items()
            return cls(
                str(data.get("seen", "")),
                _moment(at) if at else None,
                {str(night): (int(pair[0]), int(pair[1])) for night, pair in told},
                {str(name): _moment(at) for name, at in data.get("expected_since", {}).items()},
                {str(name): str(told) for name, told in data.get("last_nights", {}).items()},
                _moment(data["compared_at"]) if data.get("compared_at") else None,
                str(data.get("compare_after", "")),
            )
        except (ValueError, AttributeError, TypeError, IndexError, KeyError):
            return cls()

    def write(self, words: Sequence[str]) -> str:
        """Return the cursor, with what is waiting in words: the UI shows it."""
        told = {
            "waiting": words,  # first: a sensor's page in the UI shows its cursor
            "seen": self.fingerprint,
            "changed_at": self.changed_at.isoformat() if self.changed_at else None,
            "told": self.observed,
            "expected_since": {name: at.isoformat() for name, at in self.expected_since.items()},
            "last_nights": self.last_nights,
            "compared_at": self.compared_at.isoformat() if self.compared_at else None,
            "compare_after": self.compare_after,
        }
        return json.dumps(told, ensure_ascii=False)


def _moment(text: str) -> datetime:
    """Read a moment. Raises: ValueError, also for one without a time zone."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(text)
    return at
