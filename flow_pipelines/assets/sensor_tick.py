"""State of a sensor: the cursor that it keeps from tick to tick, and what one tick reports."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import dagster as dg
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from flow_pipelines.model.errors import FlowPipelinesError


class SensorCursor(BaseModel):
    """What earlier ticks saw and reported, as JSON that people can read. Losing it does no harm."""

    model_config = ConfigDict(populate_by_name=True)

    fingerprint: str = Field(default="", alias="seen")
    """Of the nights with something to do, as the last tick saw them."""
    changed_at: AwareDatetime | None = None
    """The first change that no cost report has yet."""
    observed: dict[str, tuple[int, int]] = Field(default_factory=dict, alias="told")
    """Night under way → generation, and the last tenth of it that was observed."""
    expected_since: dict[str, AwareDatetime] = Field(default_factory=dict)
    """Batch → when its schedule was first seen: what was due before is not missed."""
    last_nights: dict[str, str] = Field(default_factory=dict)
    """Batch → the last verdict on its last night that was reported."""
    compared_at: AwareDatetime | None = None
    """When all recent nights were last compared with the journal."""
    compare_after: str = ""
    """How far a comparison came that is not at its end."""
    left_out: list[str] = Field(default_factory=list)
    """Accounts that the last tick had no time for, by resource key: this one begins with them."""

    looked_at: AwareDatetime | None = None
    """When a tick last looked for runs whose host died."""
    looking_since: AwareDatetime | None = None
    """Since when ticks have looked for them without a gap."""

    @classmethod
    def read(cls, cursor: str | None) -> "SensorCursor":
        """Read a cursor; one that somebody edited is as good as none."""
        try:
            return cls.model_validate_json(cursor or "{}")
        except ValidationError:
            return cls()

    def write(self, words: Sequence[str]) -> str:
        """Return the cursor, with what is waiting in words: the UI shows it, the words first."""
        kept = {"waiting": words, **self.model_dump(mode="json", by_alias=True)}
        return json.dumps(kept, ensure_ascii=False)


SHOWN = 12
"""Messages in the cursor and the skip reason; further ones are counted."""

Item = str | dg.RunRequest | dg.AssetObservation | dg.AssetCheckEvaluation
"""What a part of a tick yields: a message for people, or something for Dagster."""


@dataclass
class TickReport:
    """What one tick has found so far."""

    messages: list[str] = field(default_factory=list)
    run_requests: list[dg.RunRequest] = field(default_factory=list)
    events: list[dg.AssetObservation | dg.AssetCheckEvaluation] = field(default_factory=list)

    def add(self, part: Iterable[Item]) -> None:
        """Take what a part of the tick yields; its error becomes a message, other parts go on."""
        try:
            for item in part:
                self._add(item)
        except FlowPipelinesError as error:
            self.messages.append(str(error))

    def _add(self, item: Item) -> None:
        if isinstance(item, str):
            self.messages.append(item)
        elif isinstance(item, dg.RunRequest):
            self.run_requests.append(item)
        else:
            self.events.append(item)

    def result(self, cursor: SensorCursor) -> dg.SensorResult:
        """Return it as Dagster takes it; the first messages are in the cursor, too."""
        shown = self.messages[:SHOWN] or ["nothing is waiting"]
        if len(self.messages) > SHOWN:
            shown.append(f"… and {len(self.messages) - SHOWN} more")
        return dg.SensorResult(
            run_requests=self.run_requests,
            skip_reason=None if self.run_requests else "; ".join(shown),
            cursor=cursor.write(shown),
            asset_events=self.events,
        )
