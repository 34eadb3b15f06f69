"""Recover and poll for every account that has runs outstanding, side by side, in bounded time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from flow_pipelines.clock import Clock
from flow_pipelines.ledger.records import Outstanding
from flow_pipelines.lifecycle.accounts import Problems, each_account
from flow_pipelines.lifecycle.poll import poll_due
from flow_pipelines.lifecycle.ports import Ports, Workplace
from flow_pipelines.lifecycle.recover import recover
from flow_pipelines.model import Night
from flow_pipelines.model.errors import FlowPipelinesError

AT_ONCE = 10
"""Accounts served side by side: each takes a thread, and for moments a connection to the ledger."""
NIGHT_SECONDS = 60.0
"""For polling what is due of one night before it is collected; a further call goes on."""
GRACE_SECONDS = 10.0
"""For requests under way when the time is over; what takes longer ends by itself, unattended."""
_LOOK_EVERY_SECONDS = 0.1


@dataclass(kw_only=True)
class Round(Problems):
    """What a round came to."""

    unresolved: int = 0
    """Submissions whose outcome is still unknown."""
    left_out: list[str] = field(default_factory=list)
    """Accounts that no time was left for, by resource key, in turn: `first` of the next round."""


def serve_accounts(  # noqa: PLR0913 - what narrows it, each by its name
    work: Workplace,
    waiting: Iterable[Outstanding],
    *,
    owner: str,
    budget_seconds: float,
    location: str | None = None,
    night: Night | None = None,
    first: Sequence[str] = (),
) -> Round:
    """Poll for each account in `waiting`, side by side; recover first, unless of one `night`.

    Each has all the time; where there are more than AT_ONCE, they share it, beginning with `first`.
    What is wrong with one, even that it does not answer, neither stops nor delays the others.
    Spends requests, never money. Safe to repeat and to run in many processes.
    """
    done = Round()
    visits = [
        _Visit(ports, owner=owner, location=location, night=night)
        for ports in each_account(work, waiting, done.note)
    ]
    turns = _in_turn(visits, first)
    _visit_all(turns, work.clock, budget_seconds)
    done.left_out = [visit.resource for visit in turns]
    for visit in visits:
        visit.tell(done, work)
    return done


def serve_night(work: Workplace, night: Night, *, owner: str) -> Round:
    """Poll what is due of one night, within a minute, once `open_night` has settled the rest."""
    waiting = work.ledger.outstanding(night=night)
    return serve_accounts(work, waiting, owner=owner, budget_seconds=NIGHT_SECONDS, night=night)


class _Visit:
    """One account's part of a round. Its thread writes to it; who tells of it only reads."""

    def __init__(
        self, ports: Ports, *, owner: str, location: str | None, night: Night | None
    ) -> None:
        self.resource = ports.resource
        self._lines: list[str] = []
        # Threads do not log: their lines would come in whatever order, and after the step's end.
        self._ports = replace(ports, log=self._lines.append)
        # Who ends releases what its owner has claimed: the others' claims are their own.
        self._owner, self._location, self._night = f"{owner}/{self.resource}", location, night
        self._done = Round()
        self._begun = self._ended = False
        self._failure: BaseException | None = None

    def serve(self, budget_seconds: float) -> None:
        """Serve the account; keep what goes wrong."""
        self._begun = True
        try:
            self._serve(budget_seconds)
        except FlowPipelinesError as error:
            self._done.note(f"{self.resource}: {error}")
        except BaseException as error:  # noqa: BLE001 - raised by `tell`
            self._failure = error
        finally:
            self._ended = True

    def _serve(self, budget_seconds: float) -> None:
        clock = self._ports.clock
        deadline = clock.monotonic() + budget_seconds
        if self._night is None:  # of one night `open_night` has settled what it could just now
            found = recover(self._ports, location=self._location, until=deadline)
            self._done.unresolved += found.waiting
        polled = poll_due(
            self._ports,
            owner=self._owner,
            budget_seconds=max(deadline - clock.monotonic(), 0.0),
            location=self._location,
            night=self._night,
        )
        for line in polled.errors:
            self._done.note(line)

    def tell(self, done: Round, work: Workplace) -> None:
        """Add what came of it to the round. Raises: what is no error of ours."""
        for line in list(self._lines):
            work.log(line)
        if self._failure is not None:
            raise self._failure
        done.unresolved += self._done.unresolved
        for line in list(self._done.errors):
            done.note(line)
        if self._begun and not self._ended:
            done.note(f"{self.resource}: no answer came in time; a later round polls it again")


def _in_turn(visits: Sequence[_Visit], first: Sequence[str]) -> deque[_Visit]:
    place = {resource: number for number, resource in enumerate(first)}
    return deque(sorted(visits, key=lambda visit: place.get(visit.resource, len(place))))


def _visit_all(waiting: deque[_Visit], clock: Clock, budget_seconds: float) -> None:
    """Take accounts from `waiting` and serve them from threads, until the time is over."""
    deadline = clock.monotonic() + budget_seconds
    share = budget_seconds / max(1, -(-len(waiting) // AT_ONCE))
    lock = threading.Lock()

    def serve_next() -> bool:
        with lock:
            left = deadline - clock.monotonic()
            if not waiting or left <= 0:
                return False
            visit = waiting.popleft()
        visit.serve(min(share, left) if waiting else left)
        return True

    def serve_on() -> None:
        while serve_next():
            pass

    threads = [
        threading.Thread(target=serve_on, name=f"serve accounts {number}", daemon=True)
        for number in range(min(AT_ONCE, len(waiting)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive() and clock.monotonic() < deadline + GRACE_SECONDS:
            thread.join(_LOOK_EVERY_SECONDS)
