"""The ledger's contract, in prose. `flow_pipelines_tests/conformance` proves it on each database.

The ledger is the only durable memory of what was bought. Four rules hold for every method:

1. One method is one transaction: it happens wholly or not at all, also when the process dies.
2. A change of state goes through `model.states.check_transition`, inside the transaction, on the
   row as it is then. An illegal one raises `IllegalTransition` and changes nothing.
3. Times come from the injected clock, never from the database. They are UTC-aware.
4. Every query that can meet many rows is answered by an index; every list has a `limit` or
   belongs to one night.

Leases decide who may work: `submit:<batch>/<partition_key>` to buy, `collect:<…>` to store. The
holder is named by `owner` (the Dagster run id), so a later step of the same run takes its lease
over. A lease past its `expires_at` is free. Methods that spend check the lease in their own
transaction, so a holder that slept too long cannot buy.

Money: `reserved_usd` of a submission is 0 while planned, its estimate from the intent on, its cost
once that is known, 0 again when it is proven that nothing was bought. A budget is compared with
the sum of `reserved_usd` (all generations of the night; all batches of the account on the UTC day
of the intent) in the very transaction that writes the intent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from flow_pipelines.ledger.batch_locations import BatchLocations
from flow_pipelines.ledger.journaled import Journaled
from flow_pipelines.ledger.night_asks import NightAsks
from flow_pipelines.ledger.night_pages import NightPages
from flow_pipelines.ledger.night_plans import NightPlans
from flow_pipelines.ledger.night_sums import NightSums
from flow_pipelines.ledger.permits import Permits
from flow_pipelines.ledger.proofs import Proofs
from flow_pipelines.ledger.provider_files import ProviderFiles
from flow_pipelines.ledger.records import (
    AccountStop,
    CostLine,
    Lease,
    Pause,
    PlanOutcome,
    Settlement,
    SpendLine,
)
from flow_pipelines.ledger.run_times import RunTimes
from flow_pipelines.ledger.spending import Spending
from flow_pipelines.ledger.stored_files import StoredFiles
from flow_pipelines.ledger.under_way import UnderWay
from flow_pipelines.model import (
    CostBasis,
    Night,
    NightRecord,
    Output,
    Receipt,
    RunReport,
    StoredFacts,
    Submission,
    SubmissionState,
)

__all__ = [
    "MAX_ATTEMPTS",
    "MAX_COLLECTIONS",
    "REFUSED_ALIKE",
    "UNDER_WAY",
    "AccountStop",
    "CostLine",
    "Lease",
    "Pause",
    "PlanOutcome",
    "RunLedger",
    "Settlement",
    "SpendLine",
]

MAX_ATTEMPTS = 8
"""Dagster runs that are asked for, for one kind of work on one night, before a person has to look;
a receipt, or outputs stored to the last, starts the count anew."""

MAX_COLLECTIONS = 13
"""The same for collections: as they come ever more slowly, they reach over a day and more, after
which what cannot be an output is kept as what the provider gives for it."""

REFUSED_ALIKE = 3
"""Equal refusals of a night's rows, without one acceptance, that are taken for a fault of all."""

UNDER_WAY = timedelta(minutes=15)
"""How long after its intent a POST may be under way, as any host's clock tells: it begins within a
minute, each of its timeouts is a minute or less, and clocks are five minutes apart at the most."""


class RunLedger(
    BatchLocations,
    Journaled,
    NightAsks,
    NightPages,
    NightPlans,
    NightSums,
    Permits,
    Proofs,
    ProviderFiles,
    RunTimes,
    Spending,
    StoredFiles,
    UnderWay,
    Protocol,
):
    """See the module's text for what holds for every method."""

    ledger_id: str
    """Made once, when the ledger is created; the bucket remembers it."""

    # -- reading ----------------------------------------------------------------------------

    def submission(self, submission_key: str) -> Submission:
        """Return one submission. Raises: SubmissionNotFound."""

    def submissions(
        self, night: Night, *, states: Collection[SubmissionState] | None = None
    ) -> Sequence[Submission]:
        """Return a night's submissions by row, copy and generation."""

    def known_runs(self, provider: str, provider_run_ids: Collection[str]) -> AbstractSet[str]:
        """Return those of these provider runs that a submission of this ledger has."""

    def search(
        self,
        *,
        batch: str | None = None,
        partition_key: str | None = None,
        provider: str | None = None,
        state: SubmissionState | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> Sequence[Submission]:
        """Return submissions of any night, the latest planned first."""

    def night(self, night: Night) -> NightRecord | None:
        """Return a night with its counts; None when it was never planned."""

    def night_records(self, wanted: Collection[Night]) -> Mapping[Night, NightRecord]:
        """Return those of these nights that were ever planned, with their counts."""

    def nights_to_do(self, batches: Collection[str], limit: int = 200) -> Sequence[NightRecord]:
        """Return nights of these batches that have something planned, unsettled, in flight, not in
        the tables yet (`revision` ≠ `collected_revision`), or not in the bucket yet (`uncollected`,
        for MAX_COLLECTIONS collections), with counts. The latest change comes first: tonight is
        never hidden behind what has waited for a person for weeks."""

    def outputs(self, night: Night) -> Mapping[str, Sequence[Output]]:
        """Return a night's outputs by submission key, in their order."""

    def reserved_usd(self, resource: str, day: datetime) -> Decimal:
        """Return what counts against the account's daily budget on the UTC day of `day`."""

    # -- a submission's life ----------------------------------------------------------------

    def mark_night(self, night: Night) -> None:
        """Note that the bucket is about to be told of this night (`NightRecord.marked_at`)."""

    def note_submitter(self, night: Night, backfill_id: str | None, goal: int | None) -> None:
        """Remember the backfill whose run submits for this night now, or that there is none, and
        how many submissions of the night may be sent in all before somebody asks again
        (`NightRecord.submit_goal`; None: all that are planned). Moves no revision."""

    def begin_submission(  # noqa: PLR0913 - what one transaction checks and writes
        self,
        submission_key: str,
        *,
        lease: str,
        owner: str,
        resource: str,
        body_sha256: str,
        estimate_usd: Decimal | None,
        budget_usd: Decimal | None,
        daily_budget_usd: Decimal | None,
        planned: Submission | None = None,
    ) -> Submission:
        """Write the intent: planned → submitting, with its reservation. Then POST, at once.

        `planned` is the row as it was read and prepared. `resource` is the account that it is sent
        with, whatever it was planned for; with this ledger's id and `body_sha256` it stays with the
        intent. Counts the intent. `estimate_usd` is the price of the run and its
        reservation; None: nobody knows one, nothing is reserved.

        Raises: Paused; LeaseLost, unless `owner` holds `lease` now; NightStopped; WaitsForAsk,
        also when the row is to send something else than `planned`; BudgetExceeded, with its scope,
        when `estimate_usd` on top of what is reserved exceeds a budget (equal is within);
        IllegalTransition. Nothing is changed then.
        """

    def record_receipt(
        self,
        submission_key: str,
        receipt: Receipt,
        next_poll_at: datetime,
        *,
        sent: Submission | None = None,
    ) -> Submission:
        """Write the receipt: submitting → submitted. Resets the night's attempts.

        Here and in the next three, `sent` is what `begin_submission` gave. With it, an answer
        that comes so late that its row has another intent by now is an IllegalTransition: it
        proves nothing about that one.
        Raises: IllegalTransition; LedgerError, when another submission has this provider run.
        """

    def return_to_plan(
        self, submission_key: str, reason: str, *, sent: Submission | None = None
    ) -> Submission:
        """submitting → planned: proven not accepted. The reservation is given back."""

    def reject_submission(
        self,
        submission_key: str,
        code: str | None,
        message: str,
        *,
        sent: Submission | None = None,
        refusal: str | None = None,
    ) -> Submission:
        """submitting → failed: this row is at fault. The reservation is given back.

        `refusal` says alike of what is the same fault (`model.refusals`) and stays with the row.
        The night's third of one kind since it was asked for (`note_ask`), with no acceptance
        since, stops the night: those three are planned again, here and in `settle_refused`.
        """

    def park_submission(
        self, submission_key: str, reason: str, *, sent: Submission | None = None
    ) -> Submission:
        """submitting → unresolved. The reservation stays: it may have been bought."""

    def settle_refused(
        self,
        sent: Submission,
        after: SubmissionState,
        *,
        code: str | None,
        why: str,
        refusal: str | None = None,
    ) -> Submission:
        """unresolved → planned, or failed: the refusal of the POST of intent `sent`, which came
        after others had parked it. The reservation is given back, and a settlement kept.

        Only where no copy of that POST is ever sent: it proves nothing about a copy.
        Raises: IllegalTransition, also when the row has another intent by now.
        """

    def settle_not_created(self, submission_key: str, *, who: str, why: str) -> Submission:
        """unresolved → planned, on a person's word; who, when and why are kept.

        Raises: SettledTooEarly, within UNDER_WAY of the intent, while the run that wrote it holds
        the night's submit lease, and while a copy may be under way: a POST that is still on its
        way would be billed beside the next one. IllegalTransition.
        """

    def skip(self, submission_keys: Collection[str], reason: str) -> int:
        """planned → skipped; what is not planned is left alone. Gives how many."""

    def cancel_planned(self, submission_keys: Collection[str], reason: str) -> int:
        """planned → canceled; what is not planned is left alone. Gives how many."""

    def release_claims(self, owner: str) -> None:
        """Release what `owner` claimed and did not poll."""

    def record_poll(
        self,
        submission_key: str,
        report: RunReport,
        *,
        next_poll_at: datetime | None,
        cost_usd: Decimal | None,
        cost_basis: CostBasis,
        sealed_links: Mapping[str, str] = {},
    ) -> Submission:
        """Write what a poll or cancel said, and end the claim.

        A state that goes back (running → queued) or is unknown keeps the state and counts the
        poll. A poll that changes neither state nor outputs moves no revision. An ended run sets
        `finished_at`, `run_ms` (the report's, else since `submitted_at`), `flotime_ms`, cost,
        `reserved_usd`, and its outputs: each `output_id` gets the next index that no output, nor
        a detached one, ever had, in the order of the report, once and for ever; twice in a report
        is one output. A report for a run that ended before may add outputs, which clears
        `collected_at`, and a charge that was not told before, in the place of the cost; no more.
        `sealed_links` (by `output_id`) are kept with outputs that are new until those
        are stored. A link that is not sealed never gets here.
        """

    def postpone_poll(self, submission_key: str, next_poll_at: datetime, reason: str) -> None:
        """Ask again later: the poll, or the search for an unresolved run, failed. Ends the claim,
        counts no poll, moves no revision; works in flight and unresolved, else does nothing."""

    def mark_due(self, submission_key: str, at: datetime | None = None) -> bool:
        """Let an in-flight submission be asked after now, because somebody said that it ended, or
        no later than `at`, because there is time to.

        Never touches the state, and moves no revision; one that is due already, or not in flight,
        is left as it is. False: a poll of it is under way, and may miss what was said; mark it
        again when that has ended. Raises: SubmissionNotFound.
        """

    # -- collecting -------------------------------------------------------------------------

    def record_stored(self, submission_key: str, output_index: int, facts: StoredFacts) -> None:
        """Note that an output is in the bucket, with how far it was verified. Again with the same
        facts: fine. What is damaged gives way to what is not, never the other way round. Raises:
        LedgerError, when it is known to be stored with another content and neither is damaged."""

    def record_output_problem(
        self,
        submission_key: str,
        output_index: int,
        problem: str,
        *,
        doubted: bool = False,
        settled_above: int | None = None,
    ) -> None:
        """Note why an output could not be stored this time; counts an attempt.

        `doubted`: what came cannot be it; the first time is kept. `settled_above`: it is larger
        than that many bytes, so that it counts as settled and not as missing.
        """

    def mark_collected(self, submission_key: str) -> None:
        """Set `collected_at`. Raises: LedgerError unless succeeded and every output is stored, or
        settled."""

    def record_collected(
        self, night: Night, found: Mapping[str, Mapping[int, StoredFacts]]
    ) -> None:
        """Do `record_stored` for each of `found`, by submission key and index, and then
        `mark_collected` for each key, all in one transaction. Raises: LedgerError, as they do."""

    def night_collected(self, night: Night, revision: int) -> None:
        """Note that the tables were written from `revision`; resets the collect attempts unless
        an output is still missing.

        The night needs collecting again once its revision has moved past it.
        """

    def request_work(self, night: Night, kind: str, *, not_before: datetime) -> int | None:
        """Count a sensor's request (`submit` or `collect`) for a Dagster run; give its number.

        None when the last request of that kind was after `not_before`. Moves no revision.
        """
