"""Which host holds which night: the ledger knows the run, the code location noted its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from flow_pipelines.lifecycle import collect_lease
from flow_pipelines.lifecycle.ports import submit_lease
from flow_pipelines.model import Night
from flow_pipelines_tests.cluster.hosts import Cluster

Part = Literal["submitting", "collecting"]
PARTS: Mapping[Part, tuple[Callable[[Night], str], str]] = {
    "submitting": (submit_lease, "provider_runs"),
    "collecting": (collect_lease, "images"),
}


@dataclass(frozen=True)
class Holders:
    """The holders of some nights."""

    cluster: Cluster
    nights: Sequence[Night]

    def of(self, part: Part) -> list[tuple[Night, str]]:
        """Return the nights whose lease somebody holds, with the host that he works on."""
        lease_of, step = PARTS[part]
        held = self.cluster.ledger.leases([lease_of(night) for night in self.nights])
        places = self._places(step)
        return [
            (night, places[held[lease_of(night)].owner])
            for night in self.nights
            if lease_of(night) in held and held[lease_of(night)].owner in places
        ]

    def _places(self, step: str) -> dict[str, str]:
        """Return the host on which each Dagster run last began a step of this kind."""
        notes = [json.loads(line) for line in self.cluster.notes.read_text().splitlines()]
        return {note["run_id"]: note["host"] for note in notes if note["step"].endswith(step)}
