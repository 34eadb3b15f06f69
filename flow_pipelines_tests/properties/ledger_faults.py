"""What is asked for, refused alike and mended, done to a ledger and to its model."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from flow_pipelines.ledger.contract import REFUSED_ALIKE
from flow_pipelines.model import Night, SubmissionState
from flow_pipelines_tests.conformance.ledger.ledger_driver import S, key_of
from flow_pipelines_tests.properties.ledger_machine import LedgerMachine
from flow_pipelines_tests.properties.ledger_world import Row, nights

kinds = st.sampled_from(["alike", "alike", "alike", "other"])
contents = st.sampled_from(["first", "second"])


class FaultsMachine(LedgerMachine):
    """The life of nights whose rows share faults, and whose table changes."""

    @initialize(refused=st.sampled_from([0, 0, 1, 2]), ask=st.booleans())
    def open(self, refused: int, ask: bool) -> None:
        """Bring nights to where rows are refused, and one of them to its third refusal."""
        self.make()
        for night in ("one", "two"):
            self.acquire(night, "ann")
            if ask:
                self.ask(night, "ann", 1)
        for number in range(refused):
            self._refuse(key_of(Night(self.world, "one"), number), "alike")

    @rule(night=nights, who=st.sampled_from([None, "", "ann", "bob"]), stop_after=st.integers(1, 2))
    def ask(self, night: str, who: str | None, stop_after: int) -> None:
        where = Night(self.world, night)
        self.driver.ask(where, who, stop_after)
        asked = self.asked[where]
        asked.marked, asked.stop_after = True, stop_after
        if who is not None and (who == "" or who != asked.asker):
            asked.asks, asked.asker, asked.stopped = asked.asks + 1, who, False
            asked.accepted = asked.succeeded = asked.failed = 0

    @rule(night=nights, kinds=st.lists(kinds, min_size=1, max_size=3))
    def refuse(self, night: str, kinds: list[str]) -> None:
        """Send planned rows and have them refused."""
        self.acquire(night, "ann")
        for kind in kinds:
            self._refuse(self._planned(night), kind)

    @rule(night=nights, state=st.sampled_from([None, S.SUCCEEDED, S.FAILED, S.FAILED]))
    def run(self, night: str, state: SubmissionState | None) -> None:
        """Send a row and hear how it ended, or nothing yet."""
        self.acquire(night, "ann")
        choice = (list(self.rows).index(self._planned(night)), False)
        self.begin(choice, "ann", Decimal(0))
        self.receive(choice)
        if state is not None:
            self.poll(choice, state, None, [])

    def _planned(self, night: str) -> str:
        """Return a planned row of a night, else any."""
        mine = [key for key, row in self.rows.items() if row.night.partition_key == night]
        return next((key for key in mine if self.rows[key].state is S.PLANNED), mine[0])

    def _refuse(self, key: str, kind: str) -> None:
        row = self.rows[key]
        if row.state is S.PLANNED:
            number = list(self.rows).index(key)
            self.begin((number, False), "ann", Decimal(0))

        def event() -> None:
            self.driver.ledger.reject_submission(key, "bad", "HTTP 400", refusal=kind)

        if not self._move(key, S.FAILED, event, only=S.SUBMITTING):
            return
        row.refusal, row.reserved = kind, Decimal(0)
        asked = self.asked[row.night]
        alike = [
            one
            for one in self._of(row.night)
            if (one.state, one.refusal, one.ask) == (S.FAILED, kind, asked.asks)
        ]
        if len(alike) >= REFUSED_ALIKE and not asked.accepted and row in alike:
            asked.stopped = True
            for one in alike:
                one.state = S.PLANNED

    @rule(
        night=nights,
        numbers=st.sets(st.integers(0, 4), min_size=1).map(sorted),
        content=contents,
    )
    def plan_again(self, night: str, numbers: list[int], content: str) -> None:
        where = Night(self.world, night)
        self.driver.plan(where, numbers, content=content, provider=self.world)
        asked = self.asked[where]
        never_accepted = [row for row in self._of(where) if self._never_accepted(row)]
        if asked.begun and not never_accepted:
            return
        next_ask = asked.asks + asked.marked
        if not asked.begun:
            self._forget(where, set(numbers))
        for row in (row for row in never_accepted if not row.generation):
            self._follow(row, content, next_ask, gone=row.number not in numbers)
        known = {row.number for row in self._of(where)}
        for number in set(numbers) - known:
            self.rows[key_of(where, number)] = Row(
                where, number=number, content=content, waits_for=next_ask
            )

    def _of(self, night: Night) -> Iterable[Row]:
        return [row for row in self.rows.values() if row.night == night]

    def _never_accepted(self, row: Row) -> bool:
        same = [one for one in self._of(row.night) if one.number == row.number]
        newest = all(one.generation <= row.generation for one in same)
        return row.state is S.PLANNED or (row.state is S.FAILED and not row.run and newest)

    def _forget(self, night: Night, numbers: set[int]) -> None:
        """Take out what a night that never sent anything is planned without."""
        for key, row in list(self.rows.items()):
            gone = row.state is not S.PLANNED or row.number not in numbers
            if row.night == night and not row.generation and gone:
                del self.rows[key]

    @staticmethod
    def _follow(row: Row, content: str, next_ask: int, *, gone: bool) -> None:
        if gone:
            row.state = S.CANCELED
        elif row.content != content:
            row.state, row.content, row.waits_for = S.PLANNED, content, next_ask
