"""What each failure of a provider proves, for every registered provider."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import (
    AccountRejected,
    KeyAlreadyKnown,
    NotFound,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    SubmitOutcomeUnknown,
    UnexpectedAnswer,
)
from flow_pipelines.provider import ListsCandidates, Purpose
from flow_pipelines.providers import profile
from flow_pipelines_tests.conformance.providers.account import Account
from flow_pipelines_tests.conformance.providers.conftest import Operations

S = SubmissionState


def _submissions(account: Account, operations: Operations) -> int:
    """Count the paid requests that arrived, answered or not."""
    return [one.operation for one in account.requests(1)].count(operations.submit)


@pytest.mark.parametrize(
    ("action", "details", "billed"),
    [
        ("drop_after_accept", {}, 1),
        ("drop_before_accept", {}, 0),
        ("refuse", {}, 0),
        ("bad_json", {}, 1),
        ("html_200", {}, 0),
        ("status", {"status": 500}, 0),
        ("status", {"status": 502, "body": "<html>bad gateway</html>"}, 0),
        ("status", {"status": 503, "headers": {"retry-after": "1"}}, 0),
        ("status", {"status": 504}, 0),
        ("status", {"status": 200, "body": {}}, 0),
        ("status", {"status": 200, "body": []}, 0),
        ("status", {"status": 302, "headers": {"location": "/"}}, 0),
    ],
    ids=str,
)
def test_a_lost_or_unclear_answer_to_a_submit_is_unknown_and_sent_once(
    account: Account, operations: Operations, action: str, details: dict[str, Any], billed: int
) -> None:
    account.fault(operations.submit, action, **details)
    with pytest.raises(SubmitOutcomeUnknown):
        account.buy()
    assert _submissions(account, operations) == 1
    assert account.meter().runs_billed == billed


def test_a_provider_that_cannot_be_reached_has_accepted_nothing(
    account: Account, operations: Operations
) -> None:
    order = account.order()
    with account.sandbox.outage(), pytest.raises(ProviderUnavailable):
        account.provider.submit(order)
    assert account.meter().runs_billed == 0
    assert _submissions(account, operations) == 0


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestRejected),
        (401, AccountRejected),
        (402, AccountRejected),
        (403, AccountRejected),
        (404, NotFound),
        (405, RequestRejected),
        (413, RequestRejected),
        (415, RequestRejected),
        (429, RateLimited),
    ],
)
def test_a_refused_submit_says_whose_fault_it_is_and_is_not_billed(
    account: Account, operations: Operations, status: int, error: type[ProviderError]
) -> None:
    account.fault(operations.submit, "status", status=status, count=None)
    # A token that was taken before may have ended: the first refusal of it has it renewed.
    renews = status == 401 and profile(account.name).sign_in is not None
    if renews:
        with pytest.raises(ProviderUnavailable):
            account.buy()
    with pytest.raises(error) as caught:
        account.buy()
    assert caught.value.status == status
    assert caught.value.provider == account.name
    assert _submissions(account, operations) == (2 if renews else 1)
    assert account.meter().runs_billed == 0


@pytest.mark.parametrize(
    ("status", "proven"), [(409, SubmitOutcomeUnknown), (422, RequestRejected)]
)
def test_a_conflict_proves_nothing_unless_a_documented_key_is_known_by_it(
    account: Account, operations: Operations, status: int, proven: type[ProviderError]
) -> None:
    account.fault(operations.submit, "status", status=status, count=None)
    with pytest.raises(ProviderError) as caught:
        account.buy()
    keyed = account.provider.capabilities.replays
    assert type(caught.value) is (KeyAlreadyKnown if keyed else proven)
    assert _submissions(account, operations) == 1


def test_a_refused_submit_holds_the_next_one_for_as_long_as_told(
    account: Account, operations: Operations
) -> None:
    account.fault(operations.submit, "status", status=429, headers={"retry-after": "33"})
    with pytest.raises(RateLimited) as caught:
        account.buy()
    assert caught.value.retry_after_seconds == 33.0
    before = account.clock.monotonic()
    account.provider.take_turn(Purpose.SUBMIT)
    assert account.clock.monotonic() - before >= 33.0


@pytest.mark.parametrize(
    ("action", "details"),
    [
        ("drop_before_accept", {}),
        ("drop_after_accept", {}),
        ("refuse", {}),
        ("status", {"status": 500}),
        ("status", {"status": 503, "body": "<html>"}),
    ],
    ids=str,
)
def test_a_lost_poll_is_asked_again(
    account: Account, operations: Operations, action: str, details: dict[str, Any]
) -> None:
    run_id = account.buy()
    account.fault(operations.poll, action, **details)
    assert account.poll(run_id).state in {S.SUBMITTED, S.QUEUED, S.RUNNING}
    assert account.meter().runs_billed == 1


def test_a_poll_waits_after_a_429_as_long_as_told(account: Account, operations: Operations) -> None:
    run_id = account.buy()
    account.fault(operations.poll, "status", status=429, headers={"retry-after": "21"})
    before = account.clock.monotonic()
    assert account.poll(run_id).provider_run_id == run_id
    assert account.clock.monotonic() - before >= 21.0


def test_polls_that_go_on_failing_end_within_their_budget(
    account: Account, operations: Operations
) -> None:
    run_id, before = account.buy(), account.clock.monotonic()
    account.fault(operations.poll, "status", status=503, count=None)
    with pytest.raises(ProviderUnavailable) as caught:
        account.poll(run_id)
    assert caught.value.provider_run_id == run_id
    assert account.clock.monotonic() - before < 90


@pytest.mark.parametrize(
    ("action", "details"),
    [
        ("html_200", {}),
        ("bad_json", {}),
        ("status", {"status": 200, "body": []}),
        ("status", {"status": 200, "body": {}}),
    ],
    ids=str,
)
def test_a_poll_answered_with_anything_but_a_run_is_unexpected(
    account: Account, operations: Operations, action: str, details: dict[str, Any]
) -> None:
    run_id = account.buy()
    account.fault(operations.poll, action, **details)
    with pytest.raises(UnexpectedAnswer):
        account.poll(run_id)
    assert account.poll(run_id).provider_run_id == run_id


def test_a_run_whose_answer_was_lost_is_found(account: Account, operations: Operations) -> None:
    since, order = account.clock.now() - timedelta(seconds=60), account.order()
    account.buy()
    account.fault(operations.submit, "drop_after_accept")
    with pytest.raises(SubmitOutcomeUnknown):
        account.buy(order)
    made = account.control.runs(account.name)[0].id
    found = [receipt.provider_run_id for receipt in account.provider.find(order, since)]
    assert found == ([made] if account.provider.capabilities.find else [])
    assert account.meter().runs_billed == 2


def test_a_run_that_was_never_made_is_not_found(account: Account) -> None:
    since = account.clock.now()
    account.buy()
    assert list(account.provider.find(account.order(), since)) == []


def test_a_list_without_names_gives_candidates(account: Account, operations: Operations) -> None:
    if not isinstance(account.provider, ListsCandidates):
        return
    since, order = account.clock.now() - timedelta(seconds=60), account.order()
    stranger = account.buy()
    account.fault(operations.submit, "drop_after_accept")
    with pytest.raises(SubmitOutcomeUnknown):
        account.buy(order)
    found = account.provider.candidates(order, since, account.clock.now())
    made = account.control.runs(account.name)[0].id
    assert [one.provider_run_id for one in found] == [made, stranger]
    assert all(one.created_at is not None for one in found)
