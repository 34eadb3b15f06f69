"""Everything that can happen to a submission, done to a ledger and to its model."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from flow_pipelines.model import (
    IN_FLIGHT,
    TRANSITIONS,
    CostBasis,
    Night,
    Receipt,
    SubmissionState,
)
from flow_pipelines.model.errors import (
    BudgetExceeded,
    FlowPipelinesError,
    IllegalTransition,
    LeaseLost,
    LedgerError,
)
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    S,
    facts,
    key_of,
    planned_row,
    refs,
    report,
)
from flow_pipelines_tests.properties.ledger_world import LedgerWorld, Row, nights, owners

BUDGET = Decimal("0.05")

rows = st.integers(0, 2)
# Which row an event meets: mostly one that it fits, sometimes any.
choices = st.tuples(st.integers(0, 50), st.sampled_from([True, True, True, False]))
amounts = st.sampled_from(["0", "0.01", "0.02", "0.049999"]).map(Decimal)
said = st.sampled_from(
    [S.QUEUED, S.QUEUED, S.RUNNING, S.RUNNING, S.SUCCEEDED, S.FAILED, S.CANCELED, S.SUBMITTED, None]
)
names = st.lists(st.sampled_from("abcd"), max_size=4)


class LedgerMachine(LedgerWorld):
    """The life of submissions, in any order."""

    @initialize(stages=st.lists(st.integers(0, 3), min_size=6, max_size=6))
    def open(self, stages: list[int]) -> None:
        """Bring rows to where most of the life of a submission happens."""
        self.make()
        for number, stage in enumerate(stages):
            if stage:
                self.acquire(list(self.rows.values())[number].night.partition_key, "ann")
                self.begin((number, False), "ann", Decimal("0.01"))
            if stage > 1:
                self.receive((number, False))

    @rule(choice=choices, owner=owners, estimate=amounts)
    def begin(self, choice: tuple[int, bool], owner: str, estimate: Decimal) -> None:
        key = self._pick(choice, S.PLANNED)
        row = self.rows[key]
        lease = f"submit:{row.night}"
        holder, until = self.leases.get(lease, ("", 0.0))
        spent = sum((r.reserved for r in self.rows.values() if r.night == row.night), Decimal(0))

        def event() -> None:
            self.driver.ledger.begin_submission(
                key, lease=lease, owner=owner, resource=self.world, body_sha256="",
                estimate_usd=estimate, budget_usd=BUDGET, daily_budget_usd=None,
            )  # fmt: skip

        if holder != owner or until <= self.driver.clock.monotonic():
            with pytest.raises(LeaseLost):
                event()
        elif row.state is S.PLANNED and (held_back := self._held_back(row)):
            with pytest.raises(held_back):
                event()
        elif row.state is S.PLANNED and spent + estimate > BUDGET:
            with pytest.raises(BudgetExceeded):
                event()
        elif self._move(key, S.SUBMITTING, event, only=S.PLANNED):
            row.reserved = estimate
            self.days.add(self.driver.clock.now().date())

    @rule(choice=choices)
    def receive(self, choice: tuple[int, bool]) -> None:
        key = self._pick(choice, S.SUBMITTING)
        receipt = Receipt(provider_run_id=f"run {key}")
        now = self.driver.clock.now()
        if self._move(
            key,
            S.SUBMITTED,
            lambda: self.driver.ledger.record_receipt(key, receipt, now),
            only=S.SUBMITTING,
        ):
            self.rows[key].run = receipt.provider_run_id

    @rule(choice=choices)
    def attach(self, choice: tuple[int, bool]) -> None:
        key = self._pick(choice, S.UNRESOLVED)
        receipt = Receipt(provider_run_id=f"run {key}")
        if self._move(
            key,
            S.SUBMITTED,
            lambda: self.driver.ledger.attach(key, receipt, who="ann", why="found"),
            only=S.UNRESOLVED,
        ):
            self.rows[key].run = receipt.provider_run_id

    @rule(choice=choices, how=st.sampled_from(["return", "reject", "park", "settle", "late"]))
    def leave(self, choice: tuple[int, bool], how: str) -> None:
        is_late = how in {"settle", "late"}
        key = self._pick(choice, S.UNRESOLVED if is_late else S.SUBMITTING)
        ledger = self.driver.ledger
        sent = ledger.submission(key)
        after, only, event = {
            "return": (S.PLANNED, S.SUBMITTING, lambda: ledger.return_to_plan(key, "429")),
            "reject": (S.FAILED, S.SUBMITTING, lambda: ledger.reject_submission(key, None, "bad")),
            "park": (S.UNRESOLVED, S.SUBMITTING, lambda: ledger.park_submission(key, "lost")),
            "settle": (
                S.PLANNED,
                S.UNRESOLVED,
                lambda: self.driver.settle_not_created(key),
            ),
            "late": (
                S.FAILED,
                S.UNRESOLVED,
                lambda: ledger.settle_refused(sent, S.FAILED, code=None, why="bad"),
            ),
        }[how]
        if self._move(key, after, event, only=only) and how != "park":
            self.rows[key].reserved = Decimal(0)

    @rule()
    def park_abandoned(self) -> None:
        now = self.driver.clock.monotonic()
        abandoned = {
            key
            for key, row in self.rows.items()
            if row.state is S.SUBMITTING
            and self.leases.get(f"submit:{row.night}", ("", 0.0))[1] <= now
        }
        parked = self.driver.ledger.park_abandoned(location=self.world)
        assert {one.submission_key for one in parked} == abandoned
        for key in abandoned:
            self.rows[key].state = S.UNRESOLVED

    @rule(picked=st.lists(choices, max_size=2), skip=st.booleans())
    def drop(self, picked: list[tuple[int, bool]], skip: bool) -> None:
        keys = {self._pick(choice, S.PLANNED) for choice in picked}
        planned = {key for key in keys if self.rows[key].state is S.PLANNED}
        event = self.driver.ledger.skip if skip else self.driver.ledger.cancel_planned
        assert event(keys, "enough") == len(planned)
        for key in planned:
            self.rows[key].state = S.SKIPPED if skip else S.CANCELED

    @rule(choice=choices, state=said, cost=st.none() | amounts, seen=names)
    def poll(
        self,
        choice: tuple[int, bool],
        state: SubmissionState | None,
        cost: Decimal | None,
        seen: list[str],
    ) -> None:
        key = self._pick(choice, *IN_FLIGHT, S.SUCCEEDED)
        row = self.rows[key]

        def event() -> None:
            self.driver.ledger.record_poll(
                key,
                report(f"run {key}", state, outputs=refs(*seen)),
                next_poll_at=self.driver.clock.now() + timedelta(seconds=50),
                cost_usd=cost,
                cost_basis=CostBasis.UNKNOWN if cost is None else CostBasis.ESTIMATED,
            )

        if row.run is None or row.state not in IN_FLIGHT | {S.SUCCEEDED, S.FAILED, S.CANCELED}:
            with pytest.raises(IllegalTransition):
                event()
            return
        event()
        row.claimed_by = None
        if row.state in IN_FLIGHT and state in TRANSITIONS[row.state]:
            self._enter(key, state)
            if state not in IN_FLIGHT and cost is not None:
                row.reserved = cost
        if row.state not in IN_FLIGHT:
            new = [name for name in dict.fromkeys(seen) if name not in row.outputs]
            row.outputs += new
            row.collected = row.collected and not new

    @rule(owner=owners, limit=st.integers(1, 3))
    def claim(self, owner: str, limit: int) -> None:
        free = {
            key
            for key, row in self.rows.items()
            if row.state in IN_FLIGHT and row.claimed_by in {None, owner}
        }
        got = self.driver.ledger.claim_due(
            owner, provider=self.world, resource="floyo", limit=limit, ttl_seconds=10**6
        )
        keys = {one.submission_key for one in got}
        assert keys <= free
        for key in keys:
            self.rows[key].claimed_by = owner

    @rule(choice=choices)
    def mark_due(self, choice: tuple[int, bool]) -> None:
        key = self._pick(choice, *IN_FLIGHT)
        row = self.rows[key]
        marked = self.driver.ledger.mark_due(key)
        if row.state not in IN_FLIGHT:
            assert marked
            return
        assert marked is (row.claimed_by is None)
        due_at = self.driver.ledger.submission(key).next_poll_at
        assert due_at is not None
        assert not marked or due_at <= self.driver.clock.now()

    @rule(owner=owners)
    def release_claims(self, owner: str) -> None:
        self.driver.ledger.release_claims(owner)
        for row in self.rows.values():
            if row.claimed_by == owner:
                row.claimed_by = None

    @rule(choice=choices, index=st.integers(0, 3))
    def store(self, choice: tuple[int, bool], index: int) -> None:
        key = self._pick(choice, S.SUCCEEDED)
        row = self.rows[key]
        if index >= len(row.outputs):
            with pytest.raises(LedgerError):
                self.driver.ledger.record_stored(key, index, facts())
            return
        self.driver.ledger.record_stored(key, index, facts(row.outputs[index]))
        row.stored.add(row.outputs[index])

    @rule(choice=choices)
    def collect(self, choice: tuple[int, bool]) -> None:
        key = self._pick(choice, S.SUCCEEDED)
        row = self.rows[key]
        if row.state is S.SUCCEEDED and row.stored == set(row.outputs):
            self.driver.ledger.mark_collected(key)
            row.collected = True
            return
        with pytest.raises(FlowPipelinesError):
            self.driver.ledger.mark_collected(key)

    @rule(night=nights, asker=st.sampled_from(["run-1", "run-2"]), number=rows)
    def regenerate(self, night: str, asker: str, number: int) -> None:
        where = Night(self.world, night)
        name = f"{night} {asker}"
        if name not in self.requested:
            self.generations[where] += 1
            self.requested[name] = self.generations[where]
            key = key_of(where, number, generation=self.requested[name])
            self.rows[key] = Row(where, number=number, generation=self.requested[name])
        given = self.driver.ledger.regenerate(
            where, asker, "all", lambda new: [planned_row(where, number, generation=new)]
        )
        assert given.generation == self.requested[name]

    @rule(night=nights)
    def tables_written(self, night: str) -> None:
        record = self.driver.ledger.night(Night(self.world, night))
        assert record is not None
        self.driver.ledger.night_collected(record.night, record.revision)
