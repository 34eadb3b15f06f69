"""`flow-pipelines cancel`, at the stand-ins and on a real ledger."""

from __future__ import annotations

import pytest

from flow_pipelines.model import Night
from flow_pipelines.model import SubmissionState as S
from flow_pipelines_tests.unit.cli.conftest import NIGHT, ON_FLOIMG, Machine

NIGHT_WORDS = ("--batch", NIGHT.batch, "--partition", NIGHT.partition_key)


def test_a_night_is_canceled_here_and_at_the_provider(machine: Machine) -> None:
    machine.add_batch()
    machine.buy(limit=2)

    said = machine.type("cancel", *NIGHT_WORDS, "--yes")

    assert said.exit_code == 0, said.output
    assert "1 will not be sent" in said.output
    assert "2 canceled at Floyo" in said.output
    assert machine.states() == [S.CANCELED] * 3
    assert {run.state for run in machine.control.runs("floyo")} == {"canceled"}
    assert "has ended" in machine.type("cancel", *NIGHT_WORDS).output


def test_nothing_is_canceled_without_a_yes(machine: Machine) -> None:
    machine.add_batch()
    machine.buy(limit=1)
    before = machine.states()

    asked = machine.type("cancel", *NIGHT_WORDS, answer="n\n")

    assert asked.exit_code == 1
    assert f"{NIGHT}: 2 not sent yet; 1 at Floyo" in asked.output
    assert machine.states() == before
    assert machine.type("cancel", *NIGHT_WORDS, answer="y\n").exit_code == 0
    assert machine.states() == [S.CANCELED] * 3


def test_one_submission_is_canceled_by_the_beginning_of_its_key(machine: Machine) -> None:
    machine.add_batch()
    machine.buy(limit=1)
    first, second, _ = machine.ledger.submissions(NIGHT)

    said = machine.type("cancel", second.submission_key[:8], "--yes", "--why", "a slip")

    assert said.exit_code == 0, said.output
    assert machine.states() == [first.state, S.CANCELED, S.PLANNED]
    assert machine.ledger.submission(second.submission_key).reason == "a slip"


def test_a_provider_that_cannot_cancel_is_said_to(machine: Machine) -> None:
    machine.add_batch("labels", **ON_FLOIMG)
    night = Night("labels", "2025-11-21")
    machine.buy(limit=1, night=night)

    said = machine.type("cancel", "--batch", "labels", "--yes")

    assert said.exit_code == 1
    assert "1 cannot be canceled at FloImg" in said.output
    assert machine.states(night)[1:] == [S.CANCELED, S.CANCELED]
    assert machine.states(night)[0] in {S.SUBMITTED, S.QUEUED, S.RUNNING}


def test_rows_that_were_not_sent_are_canceled_without_a_key(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.add_batch()
    machine.buy(limit=1)
    sent, *planned = machine.ledger.submissions(NIGHT)
    monkeypatch.delenv("FLOYO_API_KEY")

    refused = machine.type("cancel", sent.submission_key, "--yes")
    assert refused.exit_code == 1
    assert "FLOYO_API_KEY is not set" in refused.output

    keys = [one.submission_key for one in planned]
    assert machine.type("cancel", *keys, "--yes").exit_code == 0
    assert machine.states() == [sent.state, S.CANCELED, S.CANCELED]


def test_a_second_account_is_found_in_the_module_that_has_it(machine: Machine) -> None:
    machine.add_batch(NIGHT.batch, "resource: floyo_studio")
    machine.buy(1)

    unknown = machine.type("cancel", *NIGHT_WORDS, "--yes")
    assert unknown.exit_code == 1
    assert "1 run(s) at floyo wait for the account 'floyo_studio'" in unknown.output
    assert "--module" in unknown.output
    assert machine.states() == [S.SUBMITTED, S.CANCELED, S.CANCELED]

    known = machine.type("cancel", *NIGHT_WORDS, "--yes", "-m", machine.definitions)
    assert known.exit_code == 0, known.output
    assert machine.states() == [S.CANCELED] * 3


def test_a_night_that_nobody_planned_is_no_night(machine: Machine) -> None:
    said = machine.type("cancel", *NIGHT_WORDS, "--yes")
    assert said.exit_code == 1
    assert f"{NIGHT} is not in this ledger" in said.output


@pytest.mark.case(
    "`flow-pipelines cancel --batch nope` said that there was nothing to cancel, exit code 0",
    "a batch that the ledger does not know is an error",
)
def test_a_batch_that_nobody_planned_is_no_batch(machine: Machine) -> None:
    said = machine.type("cancel", "--batch", "nope", "--yes")
    assert said.exit_code == 1
    assert "'nope'" in said.output


@pytest.mark.parametrize(
    "words", [(), ("a-key", "--batch", "posters"), ("a-key", "--partition", "2025-11-21")]
)
def test_what_to_cancel_is_said_in_one_way(machine: Machine, words: tuple[str, ...]) -> None:
    said = machine.type("cancel", *words)
    assert said.exit_code == 2
    assert "Give either KEYs, or --batch" in said.output
