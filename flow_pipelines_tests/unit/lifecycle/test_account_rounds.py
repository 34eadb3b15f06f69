"""Many accounts in one round: side by side, each as promptly as if it were alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from flow_pipelines.lifecycle import Round, serve_accounts
from flow_pipelines.lifecycle.account_rounds import AT_ONCE, GRACE_SECONDS
from flow_pipelines.model.errors import ProviderUnavailable, SubmitOutcomeUnknown
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness
from flow_pipelines_tests.unit.lifecycle.test_accounts import Account, use

REAL_SECONDS = 15.0
"""Longest that threads wait for each other; nothing waits so long unless a test fails."""


def accounts(harness: LifecycleHarness, number: int, runs: int = 1) -> list[Account]:
    """Buy so many runs with each of so many accounts, all due."""
    made = [Account(f"a{place:02}") for place in range(number)]
    harness.others.update({"floyo": made[0], **{one.label: one for one in made[1:]}})
    harness.plan(*(f"cat {row}" for row in range(number * runs)))
    for resource in ("floyo", *(one.label for one in made[1:])):
        use(harness, resource, limit=runs)
    harness.clock.advance(600)
    return made


def serve(
    harness: LifecycleHarness, first: tuple[str, ...] | list[str] = (), seconds: float = 32.0
) -> Round:
    return serve_accounts(
        harness.ports_of("floyo"),
        harness.ledger.outstanding(),
        owner="tick",
        budget_seconds=seconds,
        first=first,
    )


@contextmanager
def hanging(*hung: Account) -> Iterator[Callable[[], None]]:
    """Let accounts hang until the block ends; what is yielded waits until all of them do."""
    answers, all_hang = threading.Event(), threading.Barrier(len(hung) + 1)

    def hang(_run: str) -> None:
        all_hang.wait(REAL_SECONDS)
        answers.wait(REAL_SECONDS)

    for account in hung:
        account.on_poll = hang
    try:
        yield lambda: all_hang.wait(REAL_SECONDS)
    finally:
        answers.set()


def when_released(
    harness: LifecycleHarness, resources: set[str], then: Callable[[], object]
) -> None:
    """Call `then` once each of these accounts has ended its polls."""
    release, left = harness.ledger.release_claims, set(resources)

    def noting(owner: str) -> None:
        release(owner)
        resource = owner.rpartition("/")[2]
        if resource in left:
            left.discard(resource)
            if not left:
                then()

    harness.ledger.release_claims = noting  # type: ignore[method-assign]


@pytest.mark.case(
    "a sensor of five accounts and more shared its 40 s among them and polled nothing",
    "accounts are polled side by side, each for the whole time",
    area="nobody polls",
)
def test_as_many_accounts_as_there_are_threads_are_polled_side_by_side(
    harness: LifecycleHarness,
) -> None:
    made = accounts(harness, AT_ONCE)
    together = threading.Barrier(AT_ONCE)
    for account in made:
        account.on_poll = lambda _run: together.wait(REAL_SECONDS) and None

    done = serve(harness)

    assert done.errors == []
    assert harness.states() == ["succeeded"] * AT_ONCE


def test_each_account_has_the_whole_time(harness: LifecycleHarness) -> None:
    first, second = accounts(harness, 2, runs=4)
    together = threading.Barrier(2)

    def slow(_run: str) -> None:
        if together.wait(REAL_SECONDS) == 0:
            harness.clock.advance(5)  # for both of them: they poll at the same time
        together.wait(REAL_SECONDS)

    first.on_poll = second.on_poll = slow
    serve(harness, seconds=19.0)
    assert (len(first.polls), len(second.polls)) == (4, 4)


def test_more_accounts_than_threads_all_get_their_turn(harness: LifecycleHarness) -> None:
    made = accounts(harness, AT_ONCE + 3)
    done = serve(harness)
    assert [len(account.polls) for account in made] == [1] * len(made)
    assert done.left_out == []


def test_more_accounts_than_threads_share_the_time(harness: LifecycleHarness) -> None:
    last, *others = accounts(harness, AT_ONCE + 1, runs=3)  # "floyo" comes after "a01" …
    together = threading.Barrier(AT_ONCE)

    def slow(_run: str) -> None:
        if together.wait(REAL_SECONDS) == 0:
            harness.clock.advance(10)
        together.wait(REAL_SECONDS)

    for account in others:
        account.on_poll = slow
    serve(harness, seconds=36.0)
    # Two shares of 18 s: ten accounts begin two polls of 10 s each, the eleventh has what is left.
    assert {len(account.polls) for account in others} == {2}
    assert len(last.polls) == 3


@pytest.mark.case(
    "an account that does not answer held up all accounts behind it, and the tick's other parts",
    "the others are polled meanwhile; when the time is over the tick goes on and names it",
    area="nobody polls",
)
def test_an_account_that_hangs_delays_no_other(harness: LifecycleHarness) -> None:
    hung, *others = accounts(harness, 3)
    with hanging(hung) as wait_for_it:

        def over() -> None:
            wait_for_it()
            harness.clock.advance(32.0 + GRACE_SECONDS)

        when_released(harness, {account.label for account in others}, over)
        done = serve(harness)
        assert harness.states().count("succeeded") == 2

    assert done.errors == ["floyo: no answer came in time; a later round polls it again"]
    assert done.left_out == []


def test_accounts_behind_others_that_hang_are_left_out_of_the_round(
    harness: LifecycleHarness,
) -> None:
    made = accounts(harness, AT_ONCE + 2)
    *hung, last = made[1:]
    with hanging(*hung) as wait_for_them:
        over = threading.Thread(target=lambda: (wait_for_them(), harness.clock.advance(99)))
        over.start()
        done = serve(harness)
        over.join(REAL_SECONDS)
        assert done.left_out == [last.label, "floyo"]
        assert not last.polls
        assert not made[0].polls


def test_who_was_left_out_comes_first_and_the_turns_go_round(harness: LifecycleHarness) -> None:
    made = accounts(harness, 4)
    done = serve(harness, first=["a03", "gone", "a01"], seconds=0.0)
    assert not any(account.polls for account in made)
    assert done.left_out == ["a03", "a01", "a02", "floyo"]


def test_what_is_said_is_in_the_order_of_accounts(
    harness: LifecycleHarness,
) -> None:
    made = accounts(harness, 4)
    in_turn = [threading.Event() for _ in made]

    def fail(number: int) -> Callable[[str], None]:
        def answer(_run: str) -> None:
            if number + 1 < len(made):  # the last account fails first
                in_turn[number + 1].wait(REAL_SECONDS)
            in_turn[number].set()
            raise ProviderUnavailable(f"down {number}", provider="floyo", operation="get_run")

        return answer

    for number, account in enumerate(made):
        account.on_poll = fail(number)
    done = serve(harness)
    assert ["down" in line for line in done.errors] == [True] * 4
    # Sorted by resource key: a01, a02, a03, floyo.
    assert [line.partition("down ")[2][0] for line in done.errors] == ["1", "2", "3", "0"]


def test_what_accounts_log_is_logged_by_the_thread_that_began_the_round(
    harness: LifecycleHarness,
) -> None:
    made = accounts(harness, 4)
    logged_by = set()
    harness.lines = NotingList(lambda: logged_by.add(threading.get_ident()))

    def detached_meanwhile(run: str) -> None:
        rows = harness.ledger.submissions(harness.night)
        [key] = [row.submission_key for row in rows if row.provider_run_id == run]
        harness.ledger.detach(key, who="ana", why="another's run")

    for account in made:
        account.on_poll = detached_meanwhile
    serve(harness)
    assert len([line for line in harness.lines if "a poll came too late" in line]) == len(made)
    assert logged_by == {threading.get_ident()}


def test_one_that_ends_does_not_release_what_another_has_claimed(
    harness: LifecycleHarness,
) -> None:
    first, second = accounts(harness, 2)
    ended, claimed = threading.Event(), list[object]()

    def look(_run: str) -> None:
        ended.wait(REAL_SECONDS)
        claimed.extend(
            harness.ledger.claim_due("other", provider="floyo", resource="floyo", limit=5)
        )

    first.on_poll = look
    when_released(harness, {second.label}, ended.set)
    serve(harness)
    assert claimed == []


def test_a_fault_of_ours_is_raised_once_the_others_are_served(harness: LifecycleHarness) -> None:
    first, second = accounts(harness, 2)

    def broken(_run: str) -> None:
        raise KeyError("ours")

    first.on_poll = broken
    with pytest.raises(KeyError, match="ours"):
        serve(harness)
    assert len(second.polls) == 1


def test_recovering_begins_with_nothing_when_the_time_is_over(harness: LifecycleHarness) -> None:
    def lose(_request: object, _number: int) -> None:
        raise SubmitOutcomeUnknown("lost", provider="floyo", operation="create_run")

    asked: list[object] = []

    def find(request: object, _since: object) -> list[object]:
        asked.append(request)
        harness.clock.advance(33)
        return []

    harness.provider.on_submit = lose
    harness.provider.find = find  # type: ignore[method-assign,assignment]
    harness.plan("a cat", "a dog")
    harness.submit("run-1")
    harness.clock.advance(600)
    done = serve(harness, seconds=32.0)
    assert len(asked) == 1
    assert done.unresolved == 2


class NotingList(list[str]):
    """A list that tells when something is appended."""

    def __init__(self, appended: Callable[[], None]) -> None:
        super().__init__()
        self._appended = appended

    def append(self, line: str) -> None:
        self._appended()
        super().append(line)
