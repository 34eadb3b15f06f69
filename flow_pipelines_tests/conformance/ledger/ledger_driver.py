"""A ledger with a clock and short words for what tests do to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.ledger.contract import UNDER_WAY
from flow_pipelines.ledger.records import Heartbeat, PlanOutcome
from flow_pipelines.model import (
    CostBasis,
    JournalEntry,
    Night,
    NightPlan,
    OutputRef,
    PlannedRow,
    PromptRow,
    Receipt,
    RunReport,
    StoredFacts,
    Submission,
    SubmissionState,
)
from flow_pipelines_tests.fakes import ManualClock

S = SubmissionState
OWNER = "dagster-run-1"
PROVIDER = "floyo"
_nights = itertools.count(1)


def new_night(batch: str = "posters") -> Night:
    return Night(batch, f"night-{next(_nights)}")


def key_of(night: Night, number: int, copy: int = 0, generation: int = 0) -> str:
    return f"{night}#{number}.{copy}.{generation}"


def prompt_row(number: int, content: str = "first") -> PromptRow:
    return PromptRow(
        prompt_id=f"p{number}",
        row_number=number,
        prompt=f"a poster of city {number}",
        seed=2**64 - 1 - number,
        values={"prompt": f"a poster of city {number}", "big": 2**64 - 1, "a": None},
        content_hash=f"{content}-{number}",
    )


def planned_row(
    night: Night, number: int, *, copy: int = 0, generation: int = 0, content: str = "first"
) -> PlannedRow:
    return PlannedRow(
        submission_key=key_of(night, number, copy, generation),
        prompt_id=f"p{number}",
        row_number=number,
        copy=copy,
        generation=generation,
        prompt=f"a poster of city {number}",
        seed=2**64 - 1 - number,
        parameters={"z": 1.5, "a": 2**64 - 1, "text": "naïve \U0001f5fc"},
        content_hash=f"{content}-{number}",
        request_hash=f"request-{number}-{generation}-{content}",
    )


def night_plan(night: Night, **changes: Any) -> NightPlan:
    plan = NightPlan(
        night=night,
        provider=PROVIDER,
        resource="floyo",
        workflow="graph.json",
        workflow_version="version-1",
        run_timeout_seconds=3600.0,
        location="location",
    )
    return replace(plan, **changes)


def report(run: str, state: SubmissionState | None, **facts: Any) -> RunReport:
    status = "strange" if state is None else state.value.upper()
    return RunReport(provider_run_id=run, state=state, provider_status=status, **facts)


def facts(content: str = "content") -> StoredFacts:
    return StoredFacts(
        s3_key=f"images/{content}.png",
        media_type="image/png",
        size_bytes=len(content),
        sha256=content,
        width=8,
        height=8,
        bucket="pictures",
    )


def refs(*names: str) -> tuple[OutputRef, ...]:
    return tuple(OutputRef(output_id=name, file_name=f"{name}.png") for name in names)


def heartbeat(run_id: str, step_key: str = "step", *, night: Night | None = None) -> Heartbeat:
    """Make the sign of life of a step of a run, at the location `here`."""
    return Heartbeat(
        run_id=run_id,
        step_key=step_key,
        host="host",
        process="1 boot 2",
        batch=night.batch if night else "",
        partition_key=night.partition_key if night else "",
        location="here",
    )


def entry_of(row: Submission, **changes: Any) -> JournalEntry:
    """Make the journal's entry of a row's intent, as another copy of the ledger wrote it."""
    at = row.submitting_at or row.planned_at
    facts = {"intents": 1, "submitting_at": at, "reserved_usd": Decimal("0.25")}
    again = changes.pop("regeneration", None)
    return JournalEntry(
        sent=replace(row, **{**facts, **changes}),
        run_timeout_seconds=3600.0,
        location="location",
        regeneration=again,
    )


class LedgerDriver:
    """What tests do to a ledger, in one word each."""

    def __init__(self, url: str, clock: ManualClock | None = None) -> None:
        self.url = url
        self.clock = clock or ManualClock()
        self.ledger: RunLedger = open_ledger(url, self.clock, busy_seconds=20)

    def reopened(self) -> LedgerDriver:
        self.ledger.close()
        return LedgerDriver(self.url, self.clock)

    def plan(
        self, night: Night, numbers: Sequence[int] = (0,), content: str = "first", **changes: Any
    ) -> PlanOutcome:
        return self.ledger.plan(
            night_plan(night, **changes),
            [prompt_row(number, content) for number in numbers],
            [planned_row(night, number, content=content) for number in numbers],
        )

    def ask(self, night: Night, who: str | None = "", stop_after: int = 10) -> None:
        """Do what a run of `provider_runs` does before it sends anything."""
        self.ledger.mark_night(night)
        self.ledger.note_ask(night, who, stop_after)

    def refuse(self, key: str, kind: str | None = "alike", message: str = "HTTP 400") -> Submission:
        """Send a row and have it refused."""
        self.begin(key)
        return self.ledger.reject_submission(key, "bad", message, refusal=kind)

    def begin(
        self,
        key: str,
        *,
        owner: str = OWNER,
        estimate: str | None = "0.02",
        resource: str = "floyo",
        budget: str | None = None,
        daily: str | None = None,
    ) -> Submission:
        lease = f"submit:{key.split('#', maxsplit=1)[0]}"
        self.ledger.acquire_lease(lease, owner, 60)
        return self.ledger.begin_submission(
            key,
            lease=lease,
            owner=owner,
            resource=resource,
            body_sha256="",
            estimate_usd=None if estimate is None else Decimal(estimate),
            budget_usd=None if budget is None else Decimal(budget),
            daily_budget_usd=None if daily is None else Decimal(daily),
        )

    def receive(self, key: str, run: str | None = None, *, poll_in: float = 0) -> Submission:
        receipt = Receipt(provider_run_id=run or f"run {key}", provider_status="ok")
        at = self.clock.now() + timedelta(seconds=poll_in)
        return self.ledger.record_receipt(key, receipt, at)

    def submit(self, key: str, *, poll_in: float = 0, **how: Any) -> Submission:
        self.begin(key, **how)
        return self.receive(key, poll_in=poll_in)

    def poll(
        self, key: str, state: SubmissionState | None, cost: str | None = None, **said: Any
    ) -> Submission:
        return self.ledger.record_poll(
            key,
            report(f"run {key}", state, **said),
            next_poll_at=self.clock.now() + timedelta(seconds=10),
            cost_usd=None if cost is None else Decimal(cost),
            cost_basis=CostBasis.UNKNOWN if cost is None else CostBasis.CHARGED,
        )

    def wait_for_its_post(self, submission_key: str) -> None:
        """Let so much time pass that no POST of this submission is under way."""
        sent_at = self.ledger.submission(submission_key).submitting_at
        passed = self.clock.now() - (sent_at or self.clock.now())
        self.clock.advance(max((UNDER_WAY - passed).total_seconds(), 0.0))

    def settle_not_created(self, key: str, who: str = "ann", why: str = "looked") -> Submission:
        self.wait_for_its_post(key)
        return self.ledger.settle_not_created(key, who=who, why=why)

    def state(self, key: str) -> SubmissionState:
        return self.ledger.submission(key).state

    def reach(self, state: SubmissionState, night: Night | None = None) -> str:
        """Bring a submission of a night of its own into `state`; give its key."""
        night = night or new_night()
        self.plan(night)
        key = key_of(night, 0)
        for step in _WAYS[state]:
            step(self, key)
        assert self.state(key) is state
        return key

    def everything(self, key: str) -> tuple[object, ...]:
        """Return all that a refused event must leave as it is."""
        submission = self.ledger.submission(key)
        night = submission.night
        return (
            submission,
            self.ledger.night(night),
            self.ledger.outputs(night),
            self.ledger.settlements(key),
            self.ledger.reserved_usd(PROVIDER, self.clock.now()),
        )


Step = Callable[[LedgerDriver, str], object]


def _then_poll(state: SubmissionState) -> tuple[Step, ...]:
    return (lambda driver, key: driver.submit(key), lambda driver, key: driver.poll(key, state))


_WAYS: dict[SubmissionState, tuple[Step, ...]] = {
    S.PLANNED: (),
    S.SKIPPED: (lambda driver, key: driver.ledger.skip([key], "budget"),),
    S.SUBMITTING: (lambda driver, key: driver.begin(key),),
    S.UNRESOLVED: (
        lambda driver, key: driver.begin(key),
        lambda driver, key: driver.ledger.park_submission(key, "answer lost"),
    ),
    S.SUBMITTED: (lambda driver, key: driver.submit(key),),
    **{
        state: _then_poll(state)
        for state in (S.QUEUED, S.RUNNING, S.SUCCEEDED, S.FAILED, S.CANCELED)
    },
}
