"""`flow-pipelines collect`, and what `doctor` says of runs that nobody polls."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta

import pytest

from flow_pipelines.cli.doctor_accounts import check_runs
from flow_pipelines.cli.findings import Mark
from flow_pipelines.cli.location import Accounts
from flow_pipelines.clock import SystemClock
from flow_pipelines.model import SubmissionState
from flow_pipelines_tests.unit.cli.conftest import NIGHT, Machine

S = SubmissionState


@pytest.fixture
def gone(machine: Machine) -> Iterator[Machine]:
    """A night of which two rows were bought, and whose batch is in no code any more."""
    folder = machine.add_batch()
    machine.control.configure(median_seconds=0.01)
    machine.buy(2)
    shutil.rmtree(folder)
    machine.forget_module()
    yield machine
    machine.control.configure(median_seconds=3600.0)


def fall_due(machine: Machine) -> None:
    for one in machine.ledger.submissions(NIGHT, states={S.SUBMITTED}):
        machine.ledger.mark_due(one.submission_key)


@pytest.mark.case(
    "a batch that is in no code any more cannot be stored: its asset is gone",
    "flow-pipelines collect polls and stores its nights from the ledger alone",
)
def test_a_night_of_a_batch_that_is_gone_is_polled_and_stored(gone: Machine) -> None:
    early = gone.type("collect", NIGHT.batch)
    assert early.exit_code == 1
    assert "2 still at the provider" in early.output

    fall_due(gone)
    stored = gone.type("collect", NIGHT.batch, "--partition", NIGHT.partition_key)
    assert stored.exit_code == 0, stored.output
    said = f"{NIGHT}: 2 file(s) stored; nothing of what was bought is missing; 1 row(s) were not"
    assert said in stored.output
    assert gone.states() == [S.SUCCEEDED, S.SUCCEEDED, S.PLANNED]
    record = gone.ledger.night(NIGHT)
    assert record is not None
    assert (record.uncollected, record.collected_revision) == (0, record.revision)
    assert gone.control.state()["floyo"].runs_billed == 2


def test_with_its_account_gone_it_says_how_many_runs_wait(machine: Machine) -> None:
    machine.add_batch(NIGHT.batch, "resource: floyo_studio")
    machine.buy(2)
    said = machine.type("collect", NIGHT.batch)
    assert said.exit_code == 1
    assert "2 run(s) at floyo wait for the account 'floyo_studio'" in said.output


def test_what_the_ledger_does_not_know_is_named(machine: Machine) -> None:
    for words, says in (
        (("nothing",), "no batch 'nothing' is in this ledger"),
        ((NIGHT.batch, "--partition", "x"), "posters/x is not in this ledger"),
    ):
        said = machine.type("collect", *words)
        assert said.exit_code == 1
        assert says in said.output


@pytest.mark.case(
    "nobody polls a night, its code location renamed: doctor was green",
    "red an hour after a poll was due, with batch, account, count and since when",
)
def test_runs_that_nobody_polls_are_red(gone: Machine) -> None:
    gone.ledger.claim_batch(NIGHT.batch, "a location of before")
    now, accounts = SystemClock().now(), Accounts()
    [fresh] = check_runs(gone.ledger, accounts, now)
    [late] = check_runs(gone.ledger, accounts, now + timedelta(hours=2))

    assert fresh.mark is Mark.GREEN
    assert late.mark is Mark.RED
    assert "posters (a location of before): 2 run(s) at floyo, account 'floyo'" in late.says
    assert "flow-pipelines collect posters" in (late.do or "")


def test_runs_whose_account_is_not_configured_are_red(machine: Machine) -> None:
    machine.add_batch(NIGHT.batch, "resource: floyo_studio")
    machine.buy(1)
    now = SystemClock().now()
    [unknown] = check_runs(machine.ledger, Accounts({}), now)
    [known] = check_runs(machine.ledger, Accounts.of(machine.definitions), now)
    assert (unknown.mark, known.mark) == (Mark.RED, Mark.GREEN)
    assert "1 run(s) at floyo wait for the account 'floyo_studio'" in unknown.says


def test_what_a_resource_key_stood_for_is_forgotten_on_a_persons_word(machine: Machine) -> None:
    machine.add_batch()
    machine.buy(1)
    said = machine.type("ledger", "forget-account", "floyo").output
    assert "'floyo' was an account of floyo since" in said
    assert "1 run(s) were sent with it" in said
    assert "Nothing was kept" in machine.type("ledger", "forget-account", "floyo").output
