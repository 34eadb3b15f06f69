"""A night that was bought with several accounts, and accounts that are not what they were."""

from __future__ import annotations

from collections import Counter

import pytest

from flow_pipelines.lifecycle import (
    collect_night,
    open_night,
    poll_due,
    regenerate,
    serve_accounts,
    wait_for_night,
)
from flow_pipelines.lifecycle.cancel import cancel_night
from flow_pipelines.model import Receipt, SubmissionState
from flow_pipelines.model.errors import (
    AccountMissing,
    ConfigurationError,
    SubmitOutcomeUnknown,
    UnexpectedAnswer,
)
from flow_pipelines.provider import Capabilities, SubmitRequest
from flow_pipelines_tests.fake_provider import FakeProvider
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness
from flow_pipelines_tests.unit.lifecycle.test_recover_and_agenda import die_in_the_post

FACTS = {"provider": "floyo", "operation": "create_run"}


class Account(FakeProvider):
    """An account that knows its own runs only."""

    def __init__(self, label: str, name: str = "floyo", *owners: str) -> None:
        super().__init__()
        self.label, self.name, self.owners = label, name, frozenset(owners)
        self.asked = 0

    def accept(self, request: SubmitRequest) -> Receipt:
        run_id = f"{self.label}_{len(self.runs) + 1}"
        self.runs[run_id] = request
        return Receipt(provider_run_id=run_id)

    def identity(self) -> frozenset[str]:
        self.asked += 1
        return self.owners


def use(harness: LifecycleHarness, resource: str, limit: int | None = None) -> None:
    """Let the batch name an account, and submit with it as a run does."""
    harness.with_settings(resource=resource)
    owner = f"run-{harness.clock.now()}"
    open_night(harness.night, harness.ports, owner=owner)
    harness.submit(owner, limit=limit)
    harness.clock.advance(60)


def two_accounts(harness: LifecycleHarness) -> tuple[Account, Account]:
    first, second = Account("a"), Account("b")
    harness.others.update(floyo=first, floyo_b=second)
    return first, second


@pytest.mark.case(
    "resource: changed in mid-night and back, one answer lost in between: billed on both accounts",
    "every prompt is billed once; each run is found, polled and stored with its own account",
)
def test_a_night_over_two_accounts_is_billed_once_and_stored_whole(
    harness: LifecycleHarness,
) -> None:
    first, second = two_accounts(harness)

    def accept_and_lose(request: SubmitRequest, _number: int) -> None:
        second.accept(request)
        raise SubmitOutcomeUnknown("lost", **FACTS)

    second.on_submit = accept_and_lose
    harness.plan("a cat", "a dog", "a bird", "a fish")
    use(harness, "floyo", limit=1)
    use(harness, "floyo_b", limit=1)
    assert harness.states().count("unresolved") == 1
    use(harness, "floyo")
    assert wait_for_night(harness.ports, harness.night, owner="run", wait_seconds=600) == 0
    summary = collect_night(harness.night, harness.ports, owner="run")

    prompts = Counter(one.submission_key for one in (*first.posts, *second.posts))
    assert sorted(prompts.values()) == [1, 1, 1, 1]
    assert (len(first.runs), len(second.runs)) == (3, 1)
    assert {run[0] for run in first.polls} == {"a"}
    assert {run[0] for run in second.polls} == {"b"}
    assert (summary.succeeded, summary.images) == (4, 4)


def test_each_account_is_asked_for_its_own_runs_only(harness: LifecycleHarness) -> None:
    first, second = two_accounts(harness)
    harness.plan("a cat", "a dog")
    use(harness, "floyo", limit=1)
    use(harness, "floyo_b")
    poll_due(harness.ports_of("floyo_b"), owner="sensor", budget_seconds=30)
    assert (len(first.polls), len(second.polls)) == (0, 1)


@pytest.mark.case(
    "provider: changed in mid-night: the runs at the one before were never polled or stored",
    "they are polled, stored and summed up beside those at the new provider",
)
def test_a_night_over_two_providers_is_polled_stored_and_summed_up(
    harness: LifecycleHarness,
) -> None:
    harness.others.update(floyo=Account("a"), flora=Account("f", "flora"))
    harness.plan("a cat", "a dog")
    use(harness, "floyo", limit=1)
    cancel_night(
        harness.night, harness.ports, why="moved", keys=harness.keys(SubmissionState.PLANNED)
    )
    harness.with_settings(provider="flora", resource="flora")
    harness.plan()
    regenerate(harness.settings, harness.night, harness.ports, requested_by="ann", scope="failed")
    use(harness, "flora")
    wait_for_night(harness.ports, harness.night, owner="run", wait_seconds=600)
    summary = collect_night(harness.night, harness.ports, owner="run")

    assert [len(harness.others[name].runs) for name in ("floyo", "flora")] == [1, 1]
    assert (summary.rows, summary.succeeded, summary.images) == (2, 2, 2)


@pytest.mark.case(
    "provider: changed under planned rows: KeyError after the intent, rows parked that were "
    "never sent",
    "refused before the first intent, with the rows, what they were planned for, and the ways out",
)
def test_rows_planned_for_another_provider_stop_the_run_before_any_intent(
    harness: LifecycleHarness,
) -> None:
    harness.others.update(floyo=Account("a"), flora=Account("f", "flora"))
    harness.plan("a cat", "a dog")
    use(harness, "floyo", limit=1)
    harness.with_settings(provider="flora", resource="flora")
    with pytest.raises(ConfigurationError, match=r"1 row\(s\) are planned for floyo") as caught:
        harness.submit("run-2")
    assert "flow-pipelines cancel --batch posters" in str(caught.value)
    assert harness.states() == ["submitted", "planned"]
    assert [one.intents for one in harness.ledger.submissions(harness.night)] == [1, 0]


def test_what_cannot_be_made_a_request_stops_the_run_before_any_intent(
    harness: LifecycleHarness,
) -> None:
    def broken(request: SubmitRequest) -> None:
        return request.workflow.body["slug"]

    harness.provider.prepare = broken  # type: ignore[method-assign,assignment]
    harness.plan("a cat")
    with pytest.raises(ConfigurationError, match="KeyError: 'slug'"):
        harness.submit()
    assert harness.states() == ["planned"]
    assert harness.ledger.submissions(harness.night)[0].intents == 0


@pytest.mark.case(
    "an account is not configured any more: its runs were never mentioned",
    "it is named with the number of runs that wait for it, and the others go on",
)
def test_an_account_that_is_gone_is_named_and_stops_no_other(harness: LifecycleHarness) -> None:
    two_accounts(harness)
    harness.plan("a cat", "a dog", "a bird")
    use(harness, "floyo", limit=1)
    use(harness, "floyo_b")
    del harness.others["floyo_b"]
    ports = harness.ports_of("floyo")

    done = serve_accounts(
        ports, harness.ledger.outstanding(), owner="sensor", budget_seconds=30, location=None
    )
    wait_for_night(ports, harness.night, owner="run", wait_seconds=600)
    summary = collect_night(harness.night, ports, owner="run")
    canceled = cancel_night(harness.night, ports, why="enough")

    said = "2 run(s) at floyo wait for the account 'floyo_b'"
    assert said in " ".join(done.errors)
    assert said in " ".join(harness.lines)
    assert said in " ".join(canceled.errors)
    assert (summary.images, summary.in_flight, canceled.going_on) == (1, 2, 2)


def test_a_resource_that_is_another_providers_now_is_not_the_account(
    harness: LifecycleHarness,
) -> None:
    harness.others.update(floyo=Account("a"), main=Account("f", "flora"))
    with pytest.raises(AccountMissing, match="'main' is flora's here, not floyo's"):
        harness.ports_of("floyo").for_account("main", "floyo")


# -- whose account a resource key is -------------------------------------------------------------


def submit_as(harness: LifecycleHarness, *owners: str) -> Account:
    account = Account("-".join(owners) or "nobody", "floyo", *owners)
    harness.others["floyo"] = account
    harness.submit(f"run-{owners}", limit=1)
    return account


@pytest.mark.case(
    "the key under a resource was another account's: what was bought before is not found there",
    "refused before the intent, where the provider tells whose it is; a rotated key is fine",
)
def test_another_account_under_the_same_resource_key_is_refused(harness: LifecycleHarness) -> None:
    harness.plan("a cat", "a dog", "a bird")
    assert submit_as(harness, "w1", "w2").asked == 1
    submit_as(harness, "w2", "w3")
    with pytest.raises(ConfigurationError, match="another account at floyo") as caught:
        submit_as(harness, "w9")
    assert "flow-pipelines ledger forget-account floyo" in str(caught.value)
    assert harness.states() == ["submitted", "submitted", "planned"]
    assert harness.ledger.submissions(harness.night)[2].intents == 0

    harness.ledger.forget_account("floyo")
    submit_as(harness, "w9")
    assert harness.states() == ["submitted"] * 3


def test_an_account_of_another_provider_under_the_same_key_is_refused(
    harness: LifecycleHarness,
) -> None:
    harness.ledger.keep_account("floyo", "flora", frozenset())
    harness.plan("a cat")
    with pytest.raises(AccountMissing, match="is floyo's now, and was flora's"):
        harness.submit()
    assert harness.states() == ["planned"]


def test_who_cannot_be_asked_or_tells_nothing_is_no_reason_to_stop(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat", "a dog")
    submit_as(harness)

    class Strange(Account):
        def identity(self) -> frozenset[str]:
            raise UnexpectedAnswer("odd", provider="floyo", operation="list_workspaces")

    harness.others["floyo"] = Strange("s")
    harness.submit("run-2")
    assert harness.states() == ["submitted"] * 2


def test_nobody_is_asked_when_nothing_is_planned(harness: LifecycleHarness) -> None:
    harness.plan("a cat")
    submit_as(harness, "w1")
    assert submit_as(harness, "w1").asked == 0


# -- a worker that died between intent and receipt -----------------------------------------------


def test_who_opens_a_night_settles_what_a_dead_process_left(harness: LifecycleHarness) -> None:
    harness.plan("a cat", "a dog")
    die_in_the_post(harness, accepted=True)
    open_night(harness.night, harness.ports, owner="run-2")
    assert harness.states() == ["submitting", "planned"]
    harness.clock.advance(46)
    open_night(harness.night, harness.ports, owner="run-2")
    assert harness.states() == ["submitted", "planned"]


def test_a_retry_of_the_same_run_does_not_wait_for_its_own_lease(harness: LifecycleHarness) -> None:
    harness.provider.capabilities = Capabilities()
    harness.plan("a cat")
    die_in_the_post(harness, accepted=True)
    open_night(harness.night, harness.ports, owner="dead")
    assert harness.states() == ["unresolved"]
    assert any("see `flow-pipelines resolve`" in line for line in harness.lines)
