"""What one process keeps between its calls: never the truth, and lost without harm."""

from __future__ import annotations

from collections.abc import Sequence

from flow_pipelines.bounded_cache import BoundedCache
from flow_pipelines.ledger.records import Workload
from flow_pipelines.lifecycle.durations import Durations
from flow_pipelines.model import OutputRef

LINK_SECONDS = 600.0
"""How long a link from a poll is used before a fresh one is requested."""
DURATIONS_SECONDS = 20.0
WORKLOAD_SECONDS = 1.5


class ProcessCaches:
    """Measured durations and workload, and links from recent polls.

    Links open pictures: they are never printed, and leave this process only sealed.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.durations: BoundedCache[str, tuple[Durations | None]] = BoundedCache(
            DURATIONS_SECONDS, 200
        )
        self.workload: BoundedCache[str, Workload] = BoundedCache(WORKLOAD_SECONDS, 20)
        self.links: BoundedCache[str, Sequence[OutputRef]] = BoundedCache(LINK_SECONDS, 2000)
