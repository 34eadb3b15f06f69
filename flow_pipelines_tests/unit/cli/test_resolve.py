"""`flow-pipelines resolve`, at the stand-ins and on a real ledger."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests

from flow_pipelines.lifecycle.requests import label_of
from flow_pipelines.model import Submission
from flow_pipelines.model import SubmissionState as S
from flow_pipelines_tests.unit.cli.conftest import GRAPH, NIGHT, Machine

ON_FLORA = {
    "provider": "flora",
    "workflow": "city-poster",
    "parameters": '{"prompt": "{prompt}"}',
}
WHY = ("--why", "seen in the account")


def lose(machine: Machine, provider: str = "floyo") -> Submission:
    """Buy one row whose answer is lost; nothing was made of it."""
    operation = {"floyo": "create_run", "flora": "create_technique_run"}[provider]
    machine.control.add_fault(provider, operation, "drop_before_accept", count=1)
    machine.buy(limit=1)
    [lost] = machine.ledger.submissions(NIGHT, states={S.UNRESOLVED})
    return lost


def stranger(machine: Machine, name: str = "a click") -> str:
    """Let somebody else run something at Floyo on the same account."""
    ports = machine.ports("floyo")
    run = ports.provider.client.create_run(GRAPH, name=name)
    return str(run.id)


@pytest.fixture
def lost(machine: Machine) -> Submission:
    machine.add_batch()
    return lose(machine)


@pytest.mark.case(
    "a typo in `resolve --attach` was accepted, and could never be undone",
    "the provider is asked first; what it does not know is refused",
)
def test_a_run_that_the_provider_does_not_know_is_refused(
    machine: Machine, lost: Submission
) -> None:
    said = machine.type("resolve", lost.submission_key, "--attach", "run_tyPo", *WHY)

    assert said.exit_code == 1
    assert "floyo knows no run run_tyPo" in said.output
    assert machine.ledger.submission(lost.submission_key) == lost


def test_a_run_that_another_submission_has_is_refused(machine: Machine, lost: Submission) -> None:
    machine.buy(limit=1)
    [owner] = machine.ledger.submissions(NIGHT, states={S.SUBMITTED})
    assert owner.provider_run_id is not None

    said = machine.type("resolve", lost.submission_key, "--attach", owner.provider_run_id, *WHY)

    assert said.exit_code == 1
    assert f"already belongs to submission {owner.submission_key}" in said.output
    assert machine.ledger.submission(lost.submission_key) == lost


@pytest.mark.case(
    "`resolve --attach` took a run whose own name says that somebody else made it",
    "a run that the provider calls by another name than was sent is refused, unless --unchecked",
)
def test_a_run_of_another_name_is_refused(machine: Machine, lost: Submission) -> None:
    attach = ("resolve", lost.submission_key, "--attach", stranger(machine), *WHY)

    said = machine.type(*attach)

    assert said.exit_code == 1
    for words in ("'a click'", lost.submission_key, "somebody else's", "--unchecked"):
        assert words in said.output
    assert machine.ledger.submission(lost.submission_key) == lost
    assert machine.type(*attach, "--unchecked").exit_code == 0


def test_a_run_of_its_own_name_is_taken(machine: Machine, lost: Submission) -> None:
    run_id = stranger(machine, label_of(lost, lost.intent_ledger_id))
    assert machine.type("resolve", lost.submission_key, "--attach", run_id, *WHY).exit_code == 0


@pytest.mark.parametrize(("minutes", "code"), [(4, 0), (6, 1)])
def test_a_run_from_before_the_request_is_refused(
    machine: Machine, lost: Submission, minutes: int, code: int
) -> None:
    from sqlalchemy import update

    from flow_pipelines.ledger.schema import submissions

    run_id = stranger(machine, label_of(lost, lost.intent_ledger_id))
    later = lost.submitting_at + timedelta(minutes=minutes)
    with machine.ledger._database.write() as connection:
        row = submissions.c.submission_key == lost.submission_key
        connection.execute(update(submissions).where(row).values(submitting_at=later))

    said = machine.type("resolve", lost.submission_key, "--attach", run_id, *WHY)

    assert said.exit_code == code, said.output
    assert ("it is somebody else's" in said.output) is bool(code)


def test_where_the_provider_cannot_be_asked_a_persons_word_alone_will_do(
    machine: Machine, lost: Submission
) -> None:
    machine.control.add_fault("floyo", "retrieve_run", "status", status=401, count=None)
    attach = ("resolve", lost.submission_key, "--attach", "run_42", *WHY)

    asked = machine.type(*attach)
    assert asked.exit_code == 1
    assert "--unchecked" in asked.output
    assert machine.ledger.submission(lost.submission_key) == lost

    assert machine.type(*attach, "--unchecked").exit_code == 0
    assert machine.ledger.submission(lost.submission_key).provider_run_id == "run_42"


def test_the_account_that_it_was_sent_with_is_asked(
    machine: Machine, lost: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = stranger(machine)
    monkeypatch.delenv("FLOYO_API_KEY")

    said = machine.type("resolve", lost.submission_key, "--attach", run_id, *WHY)

    assert said.exit_code == 1
    assert "FLOYO_API_KEY" in said.output


@pytest.mark.case(
    "while Floyo's list of runs failed, `resolve` said that no run may be the row's",
    "it says that the runs could not be listed, and that there may be one",
)
def test_a_list_that_cannot_be_read_is_not_an_empty_one(machine: Machine, lost: Submission) -> None:
    empty = " ".join(machine.type("resolve", lost.submission_key).output.split())
    machine.control.add_fault("floyo", "search_runs", "status", status=404, count=None)
    broken = " ".join(machine.type("resolve", lost.submission_key).output.split())

    assert "No run that floyo lists here may be its." in empty
    assert "The runs at floyo could not be listed" in broken
    assert "No run that" not in broken
    for said in (empty, broken):
        assert "there may be one, and it is billed" in said
        assert "--attach RUN_ID" in said


@pytest.mark.case(
    "`resolve --detach` of a row without a run: unresolved may not become unresolved",
    "it says that there is no run to detach",
)
def test_where_there_is_no_run_nothing_is_detached(machine: Machine, lost: Submission) -> None:
    said = machine.type("resolve", lost.submission_key, "--detach", *WHY)
    assert said.exit_code == 1
    assert "has no provider run to detach" in said.output


def test_an_attachment_is_undone_and_both_are_shown(machine: Machine, lost: Submission) -> None:
    key, run_id = lost.submission_key, stranger(machine)
    attached = machine.type("resolve", key, "--attach", run_id, "--unchecked", *WHY)
    assert attached.exit_code == 0, attached.output

    said = machine.type("resolve", key, "--detach", "--why", "a stranger's")

    assert said.exit_code == 0, said.output
    found = machine.ledger.submission(key)
    assert (found.state, found.provider_run_id) == (S.UNRESOLVED, None)
    shown = machine.type("resolve", key)
    assert shown.exit_code == 0, shown.output
    for words in ("attach", "detach", run_id, "seen in the account"):
        assert words in " ".join(shown.output.split())


def test_a_second_run_is_shown_until_a_person_has_looked(
    machine: Machine, lost: Submission
) -> None:
    key = lost.submission_key
    machine.ledger.note_second_run(key, "run_two")
    assert "second provider run, run_two" in " ".join(machine.type("runs").output.split())

    said = machine.type("resolve", key, "--settle-second", "run_two", "--why", "refunded")

    assert said.exit_code == 0, said.output
    assert "run_two" not in machine.type("runs").output
    assert "refunded" in machine.type("resolve", key).output


def test_runs_that_may_be_its_are_listed_with_time_cost_and_link(machine: Machine) -> None:
    machine.add_batch(NIGHT.batch, **ON_FLORA)
    lost = lose(machine, "flora")
    machine.buy(limit=1)
    [own] = machine.ledger.submissions(NIGHT, states={S.SUBMITTED})
    made = requests.post(
        f"{machine.control_url}/flora/api/v1/techniques/city-poster/runs",
        json={"inputs": [{"id": "prompt", "type": "text", "value": "mine"}], "mode": "async"},
        headers={"Authorization": "Bearer sk_live_sandbox_key_0001"},
        timeout=10,
    ).json()

    shown = machine.type("resolve", lost.submission_key)

    text = "".join(shown.output.split())
    assert shown.exit_code == 0, shown.output
    assert made["run_id"] in text
    assert own.provider_run_id not in text
    assert f"{lost.submitting_at:%Y-%m-%d}" in text
    assert "http" in text
    assert machine.ledger.submission(lost.submission_key).state is S.UNRESOLVED
