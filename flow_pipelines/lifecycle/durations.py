"""Empirical run-time distribution of a workflow, estimated from poll observations."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

FEWEST = 6
"""Run times from which a distribution is made; fewer tell too little."""
_RATIO = 1.08
_SHORTEST_SECONDS = 1.0
_BINS = 140
"""Up to some thirteen hours."""
_ROUNDS = 12
_NOTHING = 1e-9

EDGES: Sequence[float] = tuple(_SHORTEST_SECONDS * _RATIO**number for number in range(_BINS))


class Durations:
    """The distribution of a workflow's run times.

    Most are known only as bounds: still at work at one poll, ended at the next. The estimate is
    the one that makes these bounds likeliest (Turnbull 1976, by expectation and maximization).
    """

    def __init__(self, bounds: Iterable[tuple[float, float]]) -> None:
        """Take shortest and longest seconds of each run."""
        spans = [_span(*one) for one in bounds]
        self._ended_by = list(accumulate(_weights(spans)))

    def share_ended_by(self, age_seconds: float) -> float:
        """Return the share of runs that have ended at an age."""
        last = bisect_right(EDGES, age_seconds) - 1
        return self._ended_by[last] if last >= 0 else 0.0

    def age_at(self, share: float, after_seconds: float = 0.0) -> float | None:
        """Return the age at which `share` of the runs have ended that had not `after_seconds`.

        None: hardly any run was ever that long.
        """
        before = self.share_ended_by(after_seconds)
        if 1.0 - before < _NOTHING:
            return None
        wanted = before + share * (1.0 - before)
        last = bisect_left(self._ended_by, wanted - _NOTHING)
        return max(EDGES[min(last, _BINS - 1)], after_seconds)


def _span(shortest: float, longest: float) -> tuple[int, int]:
    """Return the first and last bin that a run time may lie in; a bin ends at its edge."""
    first = min(bisect_left(EDGES, shortest), _BINS - 1)
    return first, max(min(bisect_left(EDGES, longest), _BINS - 1), first)


def _weights(spans: Sequence[tuple[int, int]]) -> Sequence[float]:
    """Return each bin's share of the runs.

    Each round is O(bins + spans): a span adds a constant factor to all of its bins, so only the
    change at its two ends is stored (a difference array).
    """
    weights = [1.0 / _BINS] * _BINS
    for _ in range(_ROUNDS):
        below = [0.0, *accumulate(weights)]
        changes = [0.0] * (_BINS + 1)
        for first, last in spans:
            # Never 0: a round leaves every span at least the weight of one run.
            share = 1.0 / (below[last + 1] - below[first])
            changes[first] += share
            changes[last + 1] -= share
        factors = accumulate(changes[:-1])
        weights = [
            weight * max(factor, 0.0) / len(spans)
            for weight, factor in zip(weights, factors, strict=True)
        ]
    return weights
