"""What happens in a cell: a night up to the faulty call, the fault, and all that follows."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from flow_pipelines.model import ENDED, Output, Receipt, Submission
from flow_pipelines.model import SubmissionState as S
from flow_pipelines.model.errors import FlowPipelinesError
from flow_pipelines.provider import Purpose
from flow_pipelines.sandbox.meter import RequestRecord
from flow_pipelines_tests.faults.alphabet.faults import PATIENCE_SECONDS, SLOW_SECONDS
from flow_pipelines_tests.faults.alphabet.harness import NIGHT, AlphabetHarness
from flow_pipelines_tests.faults.alphabet.vocabulary import Call, Fault, Outcome, Person, Way

RUN_SECONDS = 300.0
WHILE_RUNNING, LATER, HOURS = 15.0, 400.0, 7200.0
ALONE = (60, 200, 600, 2000, 8000, 30_000, 86_400)
"""Seconds between ticks once the fault is over: hours, and the day that a 429 may ask for."""
DAYS = (86_400 * 3, 86_400 * 4, 86_400)
REAL_SECONDS = 10.0


class Story:
    """One cell, from its beginning to its end."""

    def __init__(self, harness: AlphabetHarness, call: Call, fault: Fault) -> None:
        self.harness, self.call, self.fault = harness, call, fault
        self.seen: Sequence[RequestRecord] = ()
        """The requests that the fault has hit."""

    def tell(self) -> Outcome:
        """Live through it and say what came of it."""
        self._before()
        with self._faulty():
            self._under_the_fault()
        self.seen = self.harness.requests_under_faults()
        after, stored = self._state(), self._is_stored()
        kept = not stored and any(one.stored for one in self._outputs())
        stop = self.harness.ledger.account_stop(self.harness.name, self.harness.began_at)
        self.harness.connect()
        person = self._afterwards()
        return Outcome(
            after=after,
            stored=stored,
            kept=kept,
            account_stopped=stop is not None,
            person=person,
            end=self._state() or S.PLANNED,
            bills=self.harness.reading().runs_billed,
            pictures=self._is_stored(),
        )

    # ---- up to the fault, and with it -------------------------------------------------------

    def _before(self) -> None:
        if self.call is Call.WORKFLOW:
            return
        self.harness.plan()
        if self.call in {Call.SUBMIT, Call.TOKEN}:
            # A submitter that has its token, and is then kept from its work.
            if self.fault.way is Way.LATE:
                self.harness.provider.take_turn(Purpose.SUBMIT)
            return
        if self.fault.at_birth:
            self._add_fault(self.harness.operation(Call.SUBMIT))
        self.harness.submit()
        self._wait_and_tick(WHILE_RUNNING)
        if self.call is Call.DOWNLOAD:
            self.harness.clock.advance(LATER)
            self.harness.poll()

    @contextlib.contextmanager
    def _faulty(self) -> Iterator[None]:
        way = self.fault.way
        if way is Way.OUTAGE:
            with self.harness.sandbox.outage():
                yield
            return
        if way is Way.PATIENCE:
            self.harness.connect(impatient=self.call, read_seconds=PATIENCE_SECONDS)
        if way is Way.LATE:
            self.harness.clock.advance(HOURS)
        elif not self.fault.at_birth:
            self._add_fault(self.harness.operation(self.call))
        try:
            yield
        finally:
            if way is Way.PATIENCE:
                self._let_the_slow_finish()
            self.harness.control.clear_faults()

    def _add_fault(self, operation: str) -> None:
        details = {name: self._filled(value) for name, value in self.fault.details.items()}
        self.harness.control.add_fault(
            self.harness.name, operation, self.fault.action, count=None, **details
        )

    def _filled(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return value.replace("{key}", self.harness.key).replace(
            "{elsewhere}", self.harness.shared.elsewhere.url
        )

    def _let_the_slow_finish(self) -> None:
        """Wait until the stand-in has done what nobody waits for any more, to the last request."""
        time.sleep(SLOW_SECONDS)  # noqa: TID251 - the slowness under test is the server's own
        operation = self.harness.operation(self.call)
        deadline = time.monotonic() + REAL_SECONDS
        while time.monotonic() < deadline and not self.harness.reading().requests.get(operation):
            time.sleep(0.02)  # noqa: TID251 - the slowness under test is the server's own

    def _under_the_fault(self) -> None:
        harness = self.harness
        with contextlib.suppress(FlowPipelinesError):
            if self.call is Call.WORKFLOW:
                harness.plan()
            if self.call in {Call.WORKFLOW, Call.SUBMIT, Call.TOKEN}:
                harness.submit()
            elif self.call is Call.POLL:
                self._wait_and_tick(WHILE_RUNNING)
                self._wait_and_tick(LATER)
            elif self.call is Call.CANCEL:
                harness.cancel()
            if self.call in {Call.POLL, Call.DOWNLOAD}:
                harness.collect()

    # ---- after the fault --------------------------------------------------------------------

    def _afterwards(self) -> Person:
        self._alone()
        if self._is_over():
            return Person.NOBODY
        person = self._by_a_person()
        self._alone()
        return person

    def _alone(self) -> None:
        """Let the machine go on by itself."""
        if self._state() is None:
            return
        for seconds in ALONE:
            if self._is_over():
                return
            self._wait_and_tick(seconds)
        for seconds in DAYS:
            if self._state() not in {S.SUBMITTED, S.QUEUED, S.RUNNING}:
                return
            self._wait_and_tick(seconds)

    def _by_a_person(self) -> Person:
        harness, submission = self.harness, self._submission()
        if submission is None:
            harness.plan()
        if submission is not None and submission.state is S.UNRESOLVED:
            self._settle(submission)
            return Person.SETTLES
        if submission is None or submission.state is S.PLANNED:
            harness.submit()
        else:
            harness.collect()
        return Person.ASKS_AGAIN

    def _settle(self, submission: Submission) -> None:
        """Look at the provider's own pages, and tell what is there."""
        runs, ledger = self.harness.control.runs(self.harness.name), self.harness.ledger
        key, told = submission.submission_key, {"who": "ada", "why": "seen in the dashboard"}
        if runs:
            ledger.attach(key, Receipt(provider_run_id=runs[0].id), **told)
        else:
            ledger.settle_not_created(key, **told)

    def _wait_and_tick(self, seconds: float) -> None:
        self.harness.clock.advance(seconds)
        self.harness.tick()

    # ---- what can be seen -------------------------------------------------------------------

    def _submission(self) -> Submission | None:
        found = self.harness.ledger.submissions(NIGHT)
        return found[0] if found else None

    def _state(self) -> S | None:
        submission = self._submission()
        return submission.state if submission else None

    def _outputs(self) -> list[Output]:
        return [one for rows in self.harness.ledger.outputs(NIGHT).values() for one in rows]

    def _is_stored(self) -> bool:
        """Return whether the bucket has every picture that the stand-in drew, and nothing else."""
        world = self.harness.sandbox.world
        drawn = {
            hashlib.sha256(world.studio.png(output.picture)).hexdigest()
            for run in world.life.runs(self.harness.name)
            for output in run.outputs
        }
        stored = {one.stored.sha256 for one in self._outputs() if one.stored}
        return bool(drawn) and drawn == stored

    def _is_over(self) -> bool:
        state = self._state()
        return state in ENDED and (state is not S.SUCCEEDED or self._is_stored())
