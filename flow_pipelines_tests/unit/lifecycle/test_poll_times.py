"""Runs are asked after when it pays: once where turns are short, often where none is wanted."""

from __future__ import annotations

from random import Random

import pytest

from flow_pipelines.bounded_cache import BoundedCache
from flow_pipelines.ledger.records import Workload
from flow_pipelines.lifecycle.durations import Durations
from flow_pipelines.lifecycle.poll_times import Demand, demand

MEDIAN, SIGMA = 30.0, 0.6
P95 = 80.5


def drawn(many: int, seed: int = 1) -> list[float]:
    rng = Random(seed)
    return [rng.lognormvariate(3.4012, SIGMA) for _ in range(many)]


def test_exact_run_times_give_their_quantiles() -> None:
    found = Durations((one, one) for one in drawn(256))
    assert found.age_at(0.5) == pytest.approx(MEDIAN, rel=0.15)
    assert found.age_at(0.95) == pytest.approx(P95, rel=0.2)


def test_bounds_from_polls_alone_give_the_quantiles_too() -> None:
    rng, bounds = Random(2), []
    for one in drawn(256):
        asked = sorted(rng.uniform(5, 120) for _ in range(3))
        before = max((at for at in asked if at < one), default=0.0)
        after = min((at for at in asked if at >= one), default=300.0)
        bounds.append((before, after))
    found = Durations(bounds)
    assert found.age_at(0.5) == pytest.approx(MEDIAN, rel=0.3)
    assert 55 < (found.age_at(0.95) or 0) < 125


def test_what_is_left_is_reckoned_from_what_has_not_ended() -> None:
    found = Durations((one, one) for one in drawn(256))
    fresh, old = found.age_at(0.5) or 0, found.age_at(0.5, after_seconds=60.0) or 0
    assert old > 60 > fresh


def test_beyond_every_run_that_was_measured_nothing_is_known() -> None:
    found = Durations([(10.0, 10.0)] * 8)
    assert found.age_at(0.5, after_seconds=100.0) is None
    assert found.share_ended_by(0.5) == 0.0


@pytest.mark.parametrize(
    ("waiting", "in_flight", "felt"),
    [(1, 5, Demand.BUSY), (0, 21, Demand.DRAINING), (0, 20, Demand.IDLE)],
)
def test_turns_are_wanted_for_what_waits(waiting: int, in_flight: int, felt: Demand) -> None:
    assert demand(Workload(waiting=waiting, in_flight=in_flight)) is felt


def test_what_is_remembered_grows_old_and_stays_bounded() -> None:
    kept: BoundedCache[str, int] = BoundedCache(10.0, 2)
    for number, name in enumerate("abc"):
        kept.put(name, number, now=0.0)
    assert [kept.get(name, now=10.0) for name in "abc"] == [None, 1, 2]
    assert kept.get("c", now=10.1) is None
