"""A ledger and its model side by side: what both have to agree on after every event."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from flow_pipelines.ledger.contract import MAX_COLLECTIONS
from flow_pipelines.model import (
    IN_FLIGHT,
    Night,
    SubmissionState,
)
from flow_pipelines.model.errors import (
    IllegalTransition,
    NightStopped,
    WaitsForAsk,
)
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    LedgerDriver,
    S,
    key_of,
)

LEASE_SECONDS = 100
_worlds = itertools.count()

nights = st.sampled_from(["one", "two"])
owners = st.sampled_from(["ann", "bob"])


@dataclass
class Row:
    """What the model remembers of a submission."""

    night: Night
    state: SubmissionState = S.PLANNED
    reserved: Decimal = Decimal(0)
    run: str | None = None
    outputs: list[str] = field(default_factory=list)
    stored: set[str] = field(default_factory=set)
    collected: bool = False
    claimed_by: str | None = None
    number: int = 0
    generation: int = 0
    content: str = "first"
    waits_for: int = 0
    ask: int | None = None
    refusal: str | None = None


@dataclass
class Asked:
    """What the model remembers of a night: who asked for it, and what came of that."""

    asks: int = 0
    asker: str = ""
    marked: bool = False
    begun: bool = False
    stopped: bool = False
    accepted: int = 0
    succeeded: int = 0
    failed: int = 0
    stop_after: int | None = None


class LedgerWorld(RuleBasedStateMachine):
    """One ledger, two nights of three rows, two workers; leases and time."""

    url: str
    reached: set[SubmissionState]

    def make(self) -> None:
        """Begin a world of its own in a shared database: batch and provider are its alone."""
        self.world = f"world{next(_worlds)}"
        self.driver = LedgerDriver(self.url)
        self.rows: dict[str, Row] = {}
        self.leases: dict[str, tuple[str, float]] = {}
        self.days: set[date] = set()
        self.requested: dict[str, int] = {}
        self.generations: Counter[Night] = Counter()
        # Other worlds leave it alone, as other code locations would.
        self.driver.ledger.claim_batch(self.world, self.world)
        self.asked: defaultdict[Night, Asked] = defaultdict(Asked)
        for name in ("one", "two"):
            night = Night(self.world, name)
            self.driver.plan(night, range(3), provider=self.world)
            for number in range(3):
                self.rows[key_of(night, number)] = Row(night, number=number)

    def teardown(self) -> None:
        if hasattr(self, "driver"):
            assert self.driver.ledger._database.engine.pool.checkedout() == 0
            self.driver.ledger.close()

    def _pick(self, choice: tuple[int, bool], *states: SubmissionState) -> str:
        number, fitting = choice
        fit = [key for key, row in self.rows.items() if fitting and row.state in states]
        keys = fit or list(self.rows)
        return keys[number % len(keys)]

    def _move(self, key: str, after: SubmissionState, event, *, only: SubmissionState) -> bool:
        """Do what the ledger must allow from `only` and refuse from everywhere else."""
        if self.rows[key].state is only:
            event()
            self._enter(key, after)
            return True
        with pytest.raises(IllegalTransition):
            event()
        return False

    def _enter(self, key: str, after: SubmissionState) -> None:
        """Let the model move a row, and count for its night's ask."""
        row = self.rows[key]
        night = self.asked[row.night]
        ended = row.state in IN_FLIGHT
        row.state = after
        if after is S.SUBMITTING:
            row.ask, row.refusal, night.begun = night.asks, None, True
        if row.ask != night.asks:
            return
        night.accepted += after is S.SUBMITTED
        night.succeeded += ended and after is S.SUCCEEDED
        night.failed += ended and after is S.FAILED
        enough = night.stop_after is not None and night.failed >= night.stop_after
        if after is S.FAILED and enough and not night.succeeded:
            night.stopped = True

    def _held_back(self, row: Row) -> type[Exception] | None:
        """Return what a planned row that may not be sent now is refused with."""
        night = self.asked[row.night]
        if night.stopped:
            return NightStopped
        return WaitsForAsk if row.waits_for > night.asks else None

    @rule(night=nights, owner=owners)
    def acquire(self, night: str, owner: str) -> None:
        name = f"submit:{self.world}/{night}"
        now = self.driver.clock.monotonic()
        holder, until = self.leases.get(name, (owner, 0.0))
        expected = holder == owner or until <= now
        assert self.driver.ledger.acquire_lease(name, owner, LEASE_SECONDS) is expected
        if expected:
            self.leases[name] = (owner, now + LEASE_SECONDS)

    @rule(night=nights, owner=owners)
    def release(self, night: str, owner: str) -> None:
        name = f"submit:{self.world}/{night}"
        self.driver.ledger.release_lease(name, owner)
        if self.leases.get(name, ("", 0.0))[0] == owner:
            del self.leases[name]

    @rule(seconds=st.sampled_from([1, 50, 100, 90_000]))
    def wait(self, seconds: int) -> None:
        self.driver.clock.advance(seconds)

    @rule()
    def reopen(self) -> None:
        self.driver = self.driver.reopened()

    @invariant()
    def both_remember_the_same(self) -> None:
        if not hasattr(self, "driver"):
            return
        for name in ("one", "two"):
            night = Night(self.world, name)
            mine = {key: row for key, row in self.rows.items() if row.night == night}
            outputs = self.driver.ledger.outputs(night)
            found = {
                one.submission_key: (
                    one.state,
                    one.reserved_usd,
                    one.provider_run_id,
                    [output.output_id for output in outputs.get(one.submission_key, ())],
                    one.collected_at is not None,
                )
                for one in self.driver.ledger.submissions(night)
            }
            assert found == {
                key: (row.state, row.reserved, row.run, row.outputs, row.collected)
                for key, row in mine.items()
            }
            self._sums_hold(night, list(mine.values()))
            self.reached.update(row.state for row in mine.values())

    def _sums_hold(self, night: Night, mine: list[Row]) -> None:
        record = self.driver.ledger.night(night)
        assert record is not None
        assert record.counts == Counter(row.state for row in mine)
        assert record.uncollected == sum(
            row.state is S.SUCCEEDED and not row.collected for row in mine
        )
        asked = self.asked[night]
        assert (record.asks, record.stopped is not None) == (asked.asks, asked.stopped)
        assert record.held == sum(
            row.state is S.PLANNED and row.waits_for > asked.asks for row in mine
        )
        ended = {S.SUCCEEDED, S.FAILED, S.CANCELED, S.SKIPPED}
        open_rows = any(row.state not in ended for row in mine)
        listed = night in {one.night for one in self.driver.ledger.nights_to_do([self.world])}
        behind = record.revision != record.collected_revision
        missing = record.uncollected > 0 and record.collect_attempts < MAX_COLLECTIONS
        assert listed == (open_rows or behind or missing)

    @invariant()
    def the_provider_days_hold_what_is_reserved(self) -> None:
        if not hasattr(self, "driver"):
            return
        total = sum(
            (
                self.driver.ledger.reserved_usd(self.world, datetime.combine(day, time(), UTC))
                for day in self.days
            ),
            Decimal(0),
        )
        assert total == sum((row.reserved for row in self.rows.values()), Decimal(0))
