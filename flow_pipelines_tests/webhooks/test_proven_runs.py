"""Callbacks of runs whose row has gone another way since, and of intents of other ledgers."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import update

from flow_pipelines.ledger.schema import submissions
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    PROVIDER,
    S,
    entry_of,
    key_of,
    new_night,
)
from flow_pipelines_tests.webhooks.conftest import Post

ANOTHER = "0" * 32
"""The id of another ledger, whose secret is the same."""


def make_old(post: Post, key: str) -> None:
    """Let the last intent of a row be one of a version that sent the submission key alone."""
    with post.ledger.ledger._database.write() as connection:
        row = submissions.c.submission_key == key
        connection.execute(update(submissions).where(row).values(intent_ledger_id=None))


def send(post: Post, *, then: str) -> str:
    """Write an intent of a new row, and what became of it; give its key."""
    night = new_night()
    post.ledger.plan(night)
    key, ledger = key_of(night, 0), post.ledger.ledger
    post.ledger.begin(key)
    if then == "refused":
        ledger.reject_submission(key, "bad", "no such node")
        return key
    if then == "not created":
        ledger.park_submission(key, "lost")
        post.ledger.settle_not_created(key)
        return key
    ledger.return_to_plan(key, "429")
    if then == "canceled":
        ledger.cancel_planned([key], "enough")
    if then == "skipped":
        ledger.skip([key], "budget")
    return key


@pytest.mark.case(
    "a row was planned again, canceled or failed though its run exists; its callback was refused",
    "the callback attaches the run to the row, which is not bought again",
)
@pytest.mark.parametrize("then", ["429", "not created", "canceled", "skipped", "refused"])
def test_a_run_that_exists_after_all_is_attached_by_its_callback(post: Post, then: str) -> None:
    key = send(post, then=then)
    night = post.submission(key).night
    reserved = post.ledger.ledger.reserved_usd(PROVIDER, post.clock.now())
    post.ledger.ledger.night_collected(night, post.ledger.ledger.night(night).revision)

    assert post.tell(key, "run x", event="whd_1").status == 204

    found, record = post.submission(key), post.ledger.ledger.night(night)
    assert (found.state, found.provider_run_id) == (S.SUBMITTED, "run x")
    assert post.is_due(key)
    assert (found.reason, found.error_code, found.error_message) == (None, None, None)
    assert found.reserved_usd == Decimal("0.02")
    assert record.revision != record.collected_revision
    assert post.ledger.ledger.nights_to_do([night.batch])[0].night == night
    spent = post.ledger.ledger.reserved_usd(PROVIDER, found.submitting_at)
    assert spent == reserved + Decimal("0.02")
    attached = post.ledger.ledger.settlements(key)[-1]
    assert (attached.action, attached.who, attached.provider_run_id) == (
        "attach", "callback", "run x",
    )  # fmt: skip


def test_it_counts_on_the_day_of_its_intent(post: Post) -> None:
    key = send(post, then="429")
    sent_at = post.submission(key).submitting_at
    before = post.ledger.ledger.reserved_usd(PROVIDER, sent_at)
    post.clock.advance(86400)

    post.tell(key, "run x")

    assert post.ledger.ledger.reserved_usd(PROVIDER, sent_at) == before + Decimal("0.02")
    assert post.submission(key).submitting_at == sent_at


def test_a_row_of_which_this_copy_of_the_ledger_knows_no_intent_gets_its_run(post: Post) -> None:
    key = post.ledger.reach(S.PLANNED)

    assert post.tell(key, "run x").status == 204

    found = post.submission(key)
    assert (found.state, found.intents) == (S.SUBMITTED, 1)
    assert found.intent_ledger_id == post.ledger.ledger.ledger_id
    assert found.submitting_at == post.clock.now()
    again = post.ledger.plan(found.night, [0], content="second")
    assert again.planned == 0, "the night is frozen"


@pytest.mark.case(
    "two ledgers with one batch name on one account made the same callback addresses",
    "an address of another ledger is refused as none of ours",
)
@pytest.mark.parametrize("state", list(S))
def test_a_callback_of_another_ledgers_run_changes_nothing(post: Post, state: S) -> None:
    key = post.ledger.reach(state)
    before = post.ledger.everything(key)

    assert post.tell_at(post.path_of(key, ANOTHER), "run x").status == 404

    assert post.ledger.everything(key) == before
    assert post.ledger.ledger.second_runs([key]) == []


def test_an_address_of_before_settles_an_intent_of_before(post: Post) -> None:
    key = post.ledger.reach(S.UNRESOLVED)
    make_old(post, key)

    assert post.tell_at(post.path_of(key, None), "run x").status == 204

    assert post.submission(key).provider_run_id == "run x"


@pytest.mark.parametrize("state", [S.PLANNED, S.UNRESOLVED, S.SUBMITTING])
def test_an_address_of_before_gives_no_run_to_another_intent(post: Post, state: S) -> None:
    key = post.ledger.reach(state)
    before = post.ledger.everything(key)

    assert post.tell_at(post.path_of(key, None), "run x").status in {404, 409}

    assert post.ledger.everything(key) == before


def test_a_run_of_an_intent_of_before_that_was_sent_again_is_a_second_one(post: Post) -> None:
    key = send(post, then="429")
    post.ledger.submit(key)

    assert post.tell_at(post.path_of(key, None), "run of before").status == 409

    [second] = post.ledger.ledger.second_runs([key])
    assert second.provider_run_id == "run of before"


@pytest.mark.case(
    "a callback named a second run for a row that had one: it was written to a log and forgotten",
    "it is kept until a person has looked; both may be billed",
)
def test_a_second_run_is_kept_until_a_person_has_looked(post: Post) -> None:
    key = post.ledger.reach(S.SUCCEEDED)
    ledger = post.ledger.ledger

    assert [post.tell(key, "run y").status for _ in range(2)] == [409, 409]

    [open_one] = [one for one in ledger.unsettled_second_runs() if one.submission_key == key]
    assert open_one.provider_run_id == "run y"
    ledger.settle_second_run(key, "run y", who="ann", why="refunded")
    assert [one for one in ledger.unsettled_second_runs() if one.submission_key == key] == []
    post.tell(key, "run y", event="again")
    [kept] = ledger.second_runs([key])
    assert kept.settled_why == "refunded"


def test_a_detached_run_is_not_attached_by_its_callback_and_the_true_one_is(post: Post) -> None:
    key = post.ledger.reach(S.SUBMITTED)
    post.ledger.ledger.detach(key, who="ann", why="not mine")
    before = post.ledger.everything(key)

    assert post.tell(key, f"run {key}").status == 204
    assert post.ledger.everything(key) == before
    assert "a person detached" in "\n".join(post.lines)

    assert post.tell(key, "the true run").status == 204
    assert post.submission(key).provider_run_id == "the true run"


@pytest.mark.case(
    "the ledger was restored, and the callback of a run that it did not know of was refused",
    "once the journal was taken in, the callback attaches its run, with the reservation of then",
)
def test_a_callback_attaches_its_run_to_a_row_that_came_from_the_journal(post: Post) -> None:
    night, ledger = new_night(), post.ledger.ledger
    post.ledger.plan(night)
    key = key_of(night, 0)
    entry = entry_of(post.submission(key), intent_ledger_id=ledger.ledger_id)
    assert list(ledger.import_intents(night, [entry], [])) == [key]
    assert post.submission(key).state is S.UNRESOLVED

    assert post.tell(key, "run of then").status == 204

    found = post.submission(key)
    assert (found.state, found.provider_run_id) == (S.SUBMITTED, "run of then")
    assert (found.intents, found.reserved_usd) == (1, Decimal("0.25"))
