"""Several collectors at one night: every object once and whole, and tables that show all of it."""

from __future__ import annotations

from collections.abc import Sequence

from flow_pipelines.lifecycle import submit_night, wait_for_night
from flow_pipelines_tests.faults.hands import jobs
from flow_pipelines_tests.faults.hands.hand import Hands
from flow_pipelines_tests.faults.hands.place import NIGHT, PICTURES, ROWS, Host, Place
from flow_pipelines_tests.faults.hands.verdict import assert_collected_once, downloads

IMAGES = ROWS * PICTURES


def run_the_night(place: Place, host: Host) -> None:
    """Buy it and see every run end; nothing is stored yet."""
    submit_night(place.settings, NIGHT, host.ports, owner="bought")
    assert wait_for_night(host.ports, NIGHT, owner="waits", wait_seconds=600) == 0


def test_collectors_that_begin_at_once_store_each_object_once(
    place: Place, host: Host, hands: Hands, names: Sequence[str]
) -> None:
    run_the_night(place, host)

    collecting = hands.together(jobs.collect, place, [[name] for name in names])
    found = [hand.outcome().gave for hand in collecting]

    assert found == [IMAGES] * len(names)
    assert set(downloads(host).values()) == {1}
    assert_collected_once(host, images=IMAGES)


def test_collectors_whose_clocks_give_them_the_same_lease_still_store_each_object_once(
    place: Place, host: Host, hands: Hands, names: Sequence[str]
) -> None:
    run_the_night(place, host)

    each = [[name, number * 60.0] for number, name in enumerate(names)]
    collecting = hands.together(jobs.collect, place, each)
    outcomes = [hand.outcome() for hand in collecting]

    assert {outcome.error for outcome in outcomes} <= {"", "LeaseLost"}
    assert IMAGES in [outcome.gave for outcome in outcomes]
    assert_collected_once(host, images=IMAGES)
