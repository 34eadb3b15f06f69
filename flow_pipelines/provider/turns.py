"""A booking sheet: which turns under one account's rate limit are taken, and who may take the next.

Turns lie on a grid, one every interval. A turn that nobody took may still be taken for a while
after its time, back to back with others; that is the burst. Whatever the burst did, no span of
`most` intervals ever holds more than `most` turns.

While others ask as well, purposes share the turns ahead: submits book the even ones, polls the odd
ones, so neither can starve the other. What is left over when its time has come is anybody's.
Polls come in ticks: what submits took of theirs between two ticks is owed to them. While it is, and
polls ask one after the other, submits leave them every second of their own turns. So a night of
hours is polled as it is bought, and no turn is kept for polls that do not come.
A backfill gives way to tonight's submits: it takes what they leave, and one turn in ten.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from flow_pipelines.provider.ports import Purpose, TurnRequest

BACKFILL_SHARE = 10
"""While tonight's submits ask, a backfill may book one turn in so many."""
ACTIVE_INTERVALS = 8
ACTIVE_SECONDS = 3.0
"""Who asked so many intervals or seconds ago, whichever is longer, still counts as asking."""
OWED_WITHIN = timedelta(seconds=60)
"""Turns are owed to polls that asked so long ago; before that, they had nothing to ask."""
MOST_OWED = 30
"""More than a sensor misses between two ticks; what it missed beyond it is forgotten."""
IN_A_ROW = 4
"""Polls that came one after the other, before more of them are waited for."""
NEAR_INTERVALS = 4
"""Polls further apart do not come one after the other; a turn this near goes to who is there."""
CUT = 0.85
"""What is left of the pace after a 429, and again after the next one in another window."""
CUT_APART = timedelta(seconds=60)
CUT_LASTS = timedelta(hours=1)
"""After so long without a 429 one cut is taken back: others may have used the account then."""
MOST_CUTS = 12

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass
class TurnSheet:
    """The turns of one account; times are whole microseconds since 1970."""

    anchor: int = 0
    """Time of turn 0 of the grid."""
    interval: int = 0
    turns: list[tuple[int, int]] = field(default_factory=list)
    """When each begins, which may be later than its place on the grid, and that place; sorted."""
    asked: dict[str, int] = field(default_factory=dict)
    """Purpose → when it asked last."""
    cuts: int = 0
    cut_at: int = 0
    owed: int = 0
    """Turns of polls that others took while polls were not there."""
    in_a_row: int = 0
    """Polls that asked, each soon after the one before."""

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None) -> TurnSheet:
        """Read what `stored` gave; None is an account that nobody used yet."""
        if not stored:
            return cls()
        turns = [(int(begins), int(place)) for begins, place in stored["turns"]]
        known = {name: stored[name] for name in cls.__dataclass_fields__ if name in stored}
        return cls(**{**known, "turns": turns})

    def stored(self) -> dict[str, Any]:
        """Return it as JSON keeps it."""
        return {**vars(self), "turns": [list(turn) for turn in self.turns]}

    def book(self, ask: TurnRequest, now: datetime, held_until: datetime | None) -> float | None:
        """Book a turn; return the seconds to wait for it. None: beyond patience, nothing booked.

        That somebody asked is noted either way.
        """
        present = micros(now)
        earliest = max(present, micros(held_until) if held_until else present)
        latest = present + round(ask.patience_seconds * 1e6)
        if ask.interval_seconds <= 0:
            return (earliest - present) / 1e6 if earliest <= latest else None
        self._move_on(ask, present, earliest)
        others = self._others(ask.purpose, present)
        self._notice_polls(ask.purpose, present)
        self.asked[ask.purpose.value] = present
        taken = sorted(place for _, place in self.turns)
        place = self._first_place(ask, earliest)
        while (begins := max(place, earliest)) <= latest:
            free = _is_free(taken, place, self.interval)
            if free and self._may_take(ask, others, place, present) and self._fits(ask, begins):
                insort(self.turns, (begins, place))
                self._note_owed(ask.purpose, place)
                return (begins - present) / 1e6
            place += self.interval
        return None

    def cut(self, now: datetime) -> None:
        """Slow down after a 429; one of the same minute as the last changes nothing more."""
        present = micros(now)
        if self.cuts and present < self.cut_at + CUT_APART // _MICROSECOND:
            return
        self.cuts = min(self.cuts_now(present) + 1, MOST_CUTS)
        self.cut_at = present

    def cuts_now(self, present: int) -> int:
        """Return the cuts that still count."""
        lapsed = (present - self.cut_at) // (CUT_LASTS // _MICROSECOND)
        return max(self.cuts - lapsed, 0)

    def _move_on(self, ask: TurnRequest, present: int, earliest: int) -> None:
        """Forget what is past, and begin the grid anew after a rest or for another pace."""
        interval = round(ask.interval_seconds * 1e6 / CUT ** self.cuts_now(present))
        kept = interval * max(ask.most or 0, ask.burst)
        del self.turns[: bisect_right(self.turns, (present - kept, present))]
        rested = earliest - (ask.burst - 1) * interval
        after = max((place for _, place in self.turns), default=rested - interval) + interval
        if after <= rested:
            self.anchor = rested
        elif interval != self.interval:
            self.anchor = after
        self.interval = interval

    def _others(self, purpose: Purpose, present: int) -> frozenset[Purpose]:
        horizon = max(ACTIVE_INTERVALS * self.interval, round(ACTIVE_SECONDS * 1e6))
        return frozenset(
            other
            for other in Purpose
            if other is not purpose and self.asked.get(other.value, 0) > present - horizon
        )

    def _first_place(self, ask: TurnRequest, earliest: int) -> int:
        """Return the oldest place of the grid that is not lost yet."""
        oldest = earliest - (ask.burst - 1) * self.interval
        return self.anchor + max(-((self.anchor - oldest) // self.interval), 0) * self.interval

    def _may_take(
        self, ask: TurnRequest, others: frozenset[Purpose], place: int, present: int
    ) -> bool:
        """Return whether a free place is this purpose's to take."""
        number = self._number(place)
        backfills = number % BACKFILL_SHARE == 0
        if ask.purpose is Purpose.BACKFILL and Purpose.SUBMIT in others:
            return backfills or place <= present - (ask.burst // 2) * self.interval
        if place <= present:
            return True
        if ask.purpose is Purpose.POLL:
            wanted = self.in_a_row >= IN_A_ROW
            return number % 2 == 1 or not others or (wanted and self._owes(number))
        if ask.purpose is Purpose.SUBMIT and Purpose.BACKFILL in others and backfills:
            return False
        if Purpose.POLL not in others:
            return True
        return number % 2 == 0 and not (self._owes(number) and self._awaits_polls(place, present))

    def _number(self, place: int) -> int:
        return (place - self.anchor) // self.interval

    def _owes(self, number: int) -> bool:
        """Return whether a turn of submits may be a poll's, in the place of one it missed."""
        return self.owed > 0 and number % 4 == 0

    def _awaits_polls(self, place: int, present: int) -> bool:
        """Return whether a poll will probably come for this turn; if not, who is near takes it."""
        near = NEAR_INTERVALS * self.interval
        if place > present + near:
            return True
        return self.in_a_row >= IN_A_ROW and self.asked[Purpose.POLL.value] > present - near

    def _note_owed(self, purpose: Purpose, place: int) -> None:
        polls = self._number(place) % 2 == 1
        if purpose is Purpose.POLL and not polls:
            self.owed = max(self.owed - 1, 0)
        elif purpose is not Purpose.POLL and polls and Purpose.POLL.value in self.asked:
            self.owed = min(self.owed + 1, MOST_OWED)

    def _notice_polls(self, purpose: Purpose, present: int) -> None:
        """Count polls that come one after the other; owe nothing where none came for a while."""
        latest = self.asked.get(Purpose.POLL.value, 0)
        if latest <= present - OWED_WITHIN // _MICROSECOND:
            self.asked.pop(Purpose.POLL.value, None)
            self.owed = self.in_a_row = 0
        if purpose is Purpose.POLL:
            soon = latest > present - NEAR_INTERVALS * self.interval
            self.in_a_row = min(self.in_a_row + 1, IN_A_ROW) if soon else 1

    def _fits(self, ask: TurnRequest, begins: int) -> bool:
        """Return whether one more turn keeps `most` in every span that has it."""
        if ask.most is None or len(self.turns) < ask.most:
            return True
        times = [at for at, _ in self.turns]
        index = bisect_right(times, begins)
        times.insert(index, begins)
        span = ask.most * self.interval
        return all(
            times[last] - times[last - ask.most] >= span
            for last in range(max(index, ask.most), len(times))
        )


def _is_free(taken: list[int], place: int, interval: int) -> bool:
    """Return whether nothing lies within an interval of a place, on this grid or an older one."""
    behind = bisect_right(taken, place - interval)
    return behind == len(taken) or taken[behind] >= place + interval


def micros(moment: datetime) -> int:
    """Return microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND
