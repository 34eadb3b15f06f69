"""The part of the ledger's contract about what everything cost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from flow_pipelines.ledger.records import CostLine, SpendLine


class Spending(Protocol):
    """What was spent, by night and by time; see `contract.RunLedger`."""

    def cost_lines(
        self,
        batches: Collection[str] | None = None,
        *,
        since: datetime | None = None,
        changed_since: datetime | None = None,
    ) -> Sequence[CostLine]:
        """Return cost by night and provider, for submissions planned since `since`.

        `changed_since` leaves out nights whose revision was raised before it; the others are
        given whole.
        """

    def spend(self, since: datetime, until: datetime) -> Sequence[SpendLine]:
        """Return what was bought from `since` to before `until`, by provider and batch.

        A submission counts at the time of its intent, as in a provider's daily budget.
        """
