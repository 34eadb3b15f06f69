"""Two backfills of the same partition: what was asked for once is bought once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from flow_pipelines.lifecycle import submit_night, wait_for_night
from flow_pipelines_tests.faults.hands import jobs
from flow_pipelines_tests.faults.hands.hand import Hands
from flow_pipelines_tests.faults.hands.place import NIGHT, PROVIDER, ROWS, Host, Place
from flow_pipelines_tests.faults.hands.verdict import assert_bought_once


@pytest.fixture
def failed(place: Place, host: Host) -> Host:
    """Return a night that was bought, one run of which failed."""
    place.control.add_fault(PROVIDER, "create_run", "run_fails")
    submit_night(place.settings, NIGHT, host.ports, owner="bought")
    assert wait_for_night(host.ports, NIGHT, owner="waits", wait_seconds=600) == 0
    return host


def finish(host: Host) -> None:
    """Do what the sensor does once the backfills are over: submit what is still planned."""
    submit_night(host.place.settings, NIGHT, host.ports, owner="sensor")


def generations(host: Host) -> Counter[int]:
    return Counter(one.generation for one in host.ledger.submissions(NIGHT))


@pytest.mark.parametrize("requesters", [1, 2])
def test_backfills_that_regenerate_at_once_buy_a_failed_row_once(
    place: Place, failed: Host, hands: Hands, names: Sequence[str], requesters: int
) -> None:
    each = [[f"backfill-{n % requesters}", name] for n, name in enumerate(names)]

    outcomes = [hand.outcome() for hand in hands.together(jobs.regenerate_and_buy, place, each)]
    finish(failed)

    assert {outcome.error for outcome in outcomes} <= {"", "LeaseLost"}
    record = failed.ledger.night(NIGHT)
    assert record is not None
    assert record.generation == requesters
    assert generations(failed).total() == ROWS + 1
    assert_bought_once(failed, runs=ROWS + 1)


def test_a_plain_backfill_beside_one_that_regenerates_adds_nothing(
    place: Place, failed: Host, hands: Hands
) -> None:
    gate = hands.gate(2)
    plain = hands.start(jobs.buy, place, gate, "plain")
    on_purpose = hands.start(jobs.regenerate_and_buy, place, gate, "backfill-1", "on purpose")

    outcomes = [plain.outcome(), on_purpose.outcome()]
    finish(failed)

    assert {outcome.error for outcome in outcomes} <= {"", "LeaseLost"}
    assert generations(failed) == {0: ROWS, 1: 1}
    assert_bought_once(failed, runs=ROWS + 1)
