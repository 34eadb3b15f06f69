"""What one tick of a sensor has found: messages for people, run requests and events for Dagster."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import dagster as dg

from flow_pipelines.assets.sensor_cursor import SensorCursor
from flow_pipelines.model.errors import FlowPipelinesError

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
