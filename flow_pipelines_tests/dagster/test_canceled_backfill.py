"""A backfill canceled in the UI, under a real daemon: what runs is ended, what ended stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pytest

from flow_pipelines.cli.webserver import UNFINISHED
from flow_pipelines.clock import SystemClock
from flow_pipelines.model import Night
from flow_pipelines_tests.dagster.backfills import backfill_status, start_backfill
from flow_pipelines_tests.dagster.machine import BATCH, ROWS, Machine, running_machine
from flow_pipelines_tests.dagster.test_end_to_end import EVERYTHING

pytestmark = pytest.mark.kills

ENDLESS = ROWS // 2
"""Runs of the second night that do not end by themselves; of the third, none does."""
IDLE_SECONDS = 75.0
"""Two ticks of a sensor at the slowest."""

_CANCEL = """
mutation($id: String!) { cancelPartitionBackfill(backfillId: $id) { __typename
  ... on PythonError { message }
  ... on CancelBackfillSuccess { backfillId } } }
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with running_machine(tmp_path_factory.mktemp("canceled")) as machine:
        yield machine


@pytest.fixture(scope="module")
def nights(machine: Machine) -> list[Night]:
    return [machine.requested(machine.schedule(nights_ago=days)) for days in (3, 2, 1)]


def states(machine: Machine, night: Night) -> Mapping[str, int]:
    """Count the newest generation of each row by its state."""
    newest = {one.prompt_id: one for one in machine.ledger.submissions(night)}
    return Counter(one.state.value for one in newest.values())


def is_settled(machine: Machine, night: Night) -> bool:
    """Return whether the night's tables are as new as its rows, and its pictures stored."""
    record = machine.ledger.night(night)
    if record is None or record.uncollected:
        return False
    return record.revision == record.collected_revision


def is_idle(machine: Machine, nights: Sequence[Night]) -> bool:
    if machine.webserver.runs(statuses=UNFINISHED):
        return False
    return all(is_settled(machine, night) for night in nights)


def runs_of_nights(machine: Machine) -> int:
    """Count the Dagster runs so far; the cost report's comes once all is still."""
    keys = [run.tags.get("dagster/run_key", "") for run in machine.webserver.runs()]
    return sum(not key.startswith("cost_report/") for key in keys)


def at_the_provider(machine: Machine) -> Mapping[str, int]:
    return Counter(run.state for run in machine.sandbox.control.runs("floyo"))


def end_of(machine: Machine, backfill: str) -> str:
    def ended() -> bool:
        return backfill_status(machine.webserver, backfill) not in {"REQUESTED", "CANCELING"}

    machine.wait_until(ended, backfill)
    return backfill_status(machine.webserver, backfill)


def regenerating(machine: Machine, night: Night, scope: str) -> str:
    """Start a backfill with a regeneration in the dialog's run config."""
    run_config = {"ops": {f"{BATCH}__provider_runs": {"config": {"regenerate": scope}}}}
    return start_backfill(machine.webserver, EVERYTHING, [night.partition_key], run_config)


def test_canceling_a_backfill_ends_its_provider_runs_and_no_others(
    machine: Machine, nights: list[Night]
) -> None:
    first, second, third = nights
    control = machine.sandbox.control
    control.configure(slots=3 * ROWS)  # runs without an end keep nobody waiting
    for night, count in ((second, ENDLESS), (third, ROWS)):
        details = {"contains": night.partition_key, "count": count}
        control.add_fault("floyo", "create_run", "never_ends", **details)
    backfill = start_backfill(
        machine.webserver, EVERYTHING, [night.partition_key for night in nights]
    )
    machine.wait_until(lambda: machine.is_collected(first), str(first))
    machine.wait_until(
        lambda: (
            states(machine, second)["succeeded"] == ROWS - ENDLESS
            and states(machine, third)["running"] == ROWS
        ),
        "runs in flight",
    )

    machine.webserver.query(_CANCEL, id=backfill)

    assert end_of(machine, backfill) == "CANCELED"
    assert [states(machine, night) for night in nights] == [
        {"succeeded": ROWS},
        {"succeeded": ROWS - ENDLESS, "canceled": ENDLESS},
        {"canceled": ROWS},
    ]
    assert at_the_provider(machine) == {
        "succeeded": 2 * ROWS - ENDLESS,
        "canceled": ROWS + ENDLESS,
    }
    assert machine.meter().requests["cancel_run"] == ROWS + ENDLESS


def test_afterwards_what_had_ended_is_stored_and_all_is_still(
    machine: Machine, nights: list[Night]
) -> None:
    machine.wait_until(lambda: is_idle(machine, nights), "an idle daemon")
    assert [len(machine.images(night)) for night in nights] == [ROWS, ROWS - ENDLESS, 0]
    bought, runs = machine.meter().runs_billed, runs_of_nights(machine)

    SystemClock().sleep(IDLE_SECONDS)

    assert is_idle(machine, nights)
    assert (machine.meter().runs_billed, runs_of_nights(machine)) == (bought, runs)


def test_the_same_backfill_again_buys_nothing(machine: Machine, nights: list[Night]) -> None:
    bought = machine.meter().runs_billed

    backfill = start_backfill(
        machine.webserver, EVERYTHING, [night.partition_key for night in nights]
    )

    assert end_of(machine, backfill) == "COMPLETED_SUCCESS"
    assert machine.meter().runs_billed == bought
    assert states(machine, nights[2]) == {"canceled": ROWS}


def test_a_backfill_that_asks_for_what_is_missing_buys_that_once(
    machine: Machine, nights: list[Night]
) -> None:
    bought = machine.meter().runs_billed

    backfills = [regenerating(machine, night, "failed") for night in nights[1:]]

    assert [end_of(machine, one) for one in backfills] == ["COMPLETED_SUCCESS"] * 2
    assert machine.meter().runs_billed == bought + ENDLESS + ROWS
    assert machine.meter().duplicate_bills == 0
    assert [states(machine, night) for night in nights] == [{"succeeded": ROWS}] * 3
    assert [len(machine.images(night)) for night in nights] == [ROWS] * 3
