"""The part of the ledger's contract about what a night is to buy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from flow_pipelines.ledger.records import PlanOutcome
from flow_pipelines.model import (
    Night,
    NightPlan,
    PlannedRow,
    PromptRow,
    Regeneration,
    Workflow,
)


class NightPlans(Protocol):
    """See `contract.RunLedger` for what holds for every method."""

    def save_workflow(self, workflow: Workflow) -> None:
        """Keep a workflow under its version. Keeping it twice is fine."""

    def workflow(self, version: str) -> Workflow:
        """Return a kept workflow. Raises: LedgerError, when it was never kept."""

    def plan(
        self,
        plan: NightPlan,
        rows: Sequence[PromptRow],
        planned: Sequence[PlannedRow],
        render: Callable[[int], Sequence[PlannedRow]] | None = None,
    ) -> PlanOutcome:
        """Plan a night, or let what of it was never accepted follow the table as it is now.

        The table's `rows` are remembered either way (for regenerations and `stale`). While no
        intent was ever written, `planned` takes the place of what was planned before in
        generation 0, skipped and canceled rows included; what was imported stays. From the first
        intent on, what was or may have been accepted is frozen, and skipped and canceled rows
        stay. What was never accepted is `planned`, or `failed` without a provider run and with no
        newer generation:

        - a planned row takes the row, workflow, provider and account of now, in its generation
          (`render` gives the table's rows for another than 0); its intents stay counted;
        - a refused row becomes planned when its request differs from the refused one, else stays;
        - either is canceled, with that reason, when its row has left the table;
        - while a night has such rows, it takes this NightPlan, and new rows are planned; in a
          night without them they are counted as stale.

        What is to be sent anew by this waits for the next ask (`note_ask`) where the night was
        asked for before: no sensor buys it. A frozen row whose `content_hash` differs, or that is
        gone, is marked stale; one that came back is not stale any more.
        """

    def regenerate(
        self,
        night: Night,
        requested_by: str,
        scope: str,
        render: Callable[[int], Sequence[PlannedRow]],
        *,
        workflow_version: str | None = None,
    ) -> Regeneration:
        """Plan rows of a night again, once per (night, requested_by).

        They take the NightPlan as last planned, frozen night or not, and with it
        `workflow_version` where it is given: the version that `render` renders for.

        A first call takes the next generation, asks `render` for its rows and writes both; rows
        with a newer generation clear `stale` on nothing: the older submission stays as it was.
        `render` runs inside the transaction: it may read the ledger, and must not write to it.
        Every further call gives the regeneration of the first and plans nothing.
        """

    def prompt_rows(self, night: Night) -> Sequence[PromptRow]:
        """Return the rows of the table as last planned, in their order."""
