"""`flow-pipelines ledger prune`, and what the other commands say of a night that was pruned."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from flow_pipelines.clock import SystemClock
from flow_pipelines.ledger.schema import nights
from flow_pipelines.storage.places import uri_of
from flow_pipelines_tests.unit.cli.conftest import NIGHT, Machine

LATER = (SystemClock().now() - timedelta(days=1)).date().isoformat()


def age(machine: Machine) -> None:
    """Let the night have changed ten days ago."""
    with machine.ledger._database.write() as connection:
        long_ago = SystemClock().now() - timedelta(days=10)
        connection.execute(nights.update().values(changed_at=long_ago))


@pytest.fixture
def bought(machine: Machine) -> Machine:
    machine.add_batch()
    machine.control.configure(median_seconds=0.01)
    machine.buy(3)
    for row in machine.ledger.submissions(NIGHT):
        machine.ledger.mark_due(row.submission_key)
    assert machine.type("collect", NIGHT.batch).exit_code == 0
    machine.control.configure(median_seconds=3600.0)
    age(machine)
    return machine


def prune(machine: Machine, *words: str) -> str:
    said = machine.type("ledger", "prune", "--before", LATER, *words)
    assert said.exit_code == 0, said.output
    return said.output


def test_a_night_is_pruned_once_and_a_dry_run_says_so_before(bought: Machine) -> None:
    assert f"{NIGHT}: would be closed" in prune(bought, "--dry-run")
    assert len(bought.ledger.submissions(NIGHT)) == 3
    assert "0 night(s) closed, 0 stay open" in prune(bought, "--batch", "another")
    said = prune(bought)
    assert f"{NIGHT}: closed, archived at s3://" in said
    assert "1 night(s) closed, 0 stay open." in said
    assert bought.ledger.submissions(NIGHT) == []
    assert "0 night(s) closed, 0 stay open." in prune(bought)


def test_a_night_under_way_stays_and_says_why(machine: Machine) -> None:
    machine.add_batch()
    machine.buy(1)
    age(machine)
    said = prune(machine)
    assert f"{NIGHT}: stays open: 2 of its rows are planned" in said
    assert len(machine.ledger.submissions(NIGHT)) == 3


def test_a_day_that_has_not_begun_is_refused(machine: Machine) -> None:
    said = machine.type("ledger", "prune", "--before", "2999-01-01")
    assert said.exit_code != 0
    assert "has not begun" in str(said.exception) + said.output


def test_a_closed_night_is_a_line_below_the_runs(bought: Machine) -> None:
    prune(bought)
    said = bought.type("runs").output
    assert "Closed nights" in said
    assert f"{NIGHT}: 3 succeeded, 3 images" in said
    as_json = bought.type("runs", "--json")
    assert json.loads(as_json.stdout) == []
    assert "1 closed night(s)" in as_json.stderr
    assert "Closed nights" not in bought.type("runs", "--batch", "another").output
    assert "Closed nights" not in bought.type("runs", "--provider", "flora").output


def test_a_stored_picture_of_a_closed_night_is_traced_as_before(bought: Machine) -> None:
    [stored, *_] = next(iter(bought.ledger.outputs(NIGHT).values()))
    assert stored.stored is not None
    place = uri_of(stored.stored) or ""
    before = bought.type("trace", place).output
    prune(bought)

    said = bought.type("trace", place)
    assert said.exit_code == 0
    assert said.output.startswith(before)
    assert "its row is in the archive, s3://" in said.output


def test_verify_and_collect_know_a_closed_night(bought: Machine) -> None:
    prune(bought)
    verified = bought.type("verify", NIGHT.batch)
    assert (verified.exit_code, "3 files, all as they were stored" in verified.output) == (0, True)
    [key] = list(bought.ports("floyo").store.list_keys(_folder(bought) + "/images/", limit=1))
    bought.ports("floyo").store.delete(key)
    repaired = bought.type("verify", NIGHT.batch, "--repair")
    assert repaired.exit_code == 1
    assert "is closed: it was pruned" in repaired.output
    collected = bought.type("collect", NIGHT.batch, "--partition", NIGHT.partition_key)
    assert collected.exit_code == 0
    assert "is closed: it was pruned" in collected.output
    assert bought.type("collect", NIGHT.batch).exit_code == 0


def _folder(machine: Machine) -> str:
    return machine.ports("floyo").store.key(*NIGHT)


def test_a_row_of_a_closed_night_is_shown_and_its_second_run_settled(bought: Machine) -> None:
    [key, *_] = [row.submission_key for row in bought.ledger.submissions(NIGHT)]
    prune(bought)
    bought.ledger.note_late_run(key, "another")

    shown = bought.type("resolve", key[:8]).output
    assert f"{key}: of {NIGHT}, which is closed" in shown
    assert "a callback named another run, another" in shown
    assert "second provider run, another" in bought.type("runs").output
    refused = bought.type("resolve", key, "--detach", "--why", "not its own")
    assert "is closed: it was pruned" in str(refused.exception) + refused.output
    settled = bought.type("resolve", key, "--settle-second", "another", "--why", "refunded")
    assert settled.exit_code == 0
    assert "another" not in bought.type("runs").output
    assert ": refunded" in bought.type("resolve", key).output
    assert "no submission" in bought.type("resolve", "f" * 32).output
