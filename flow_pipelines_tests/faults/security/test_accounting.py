"""Ways in which money could be spent twice, or unasked: none of them does."""

from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from flow_pipelines.lifecycle import (
    agenda,
)
from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import (
    ConfigurationError,
    SubmitOutcomeUnknown,
    WrongLedger,
)
from flow_pipelines_tests.faults.security.accounting import (
    DAY,
    FACTS,
    again,
    buy,
    collect,
    copy_of_ledger,
    end_runs,
    restore,
    wanted,
)
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness


def test_nobody_finds_regenerated_rows_before_their_limit_is_known(
    harness: LifecycleHarness,
) -> None:
    buy(harness, "a cat", "a dog", "a bird")
    collect(harness)
    seen: list[object] = []

    def plan_more() -> None:
        again(harness, "run-2", "all")()
        found = agenda(harness.ledger, harness.clock, batches=[harness.night.batch])
        seen.append((found.todos, harness.ledger.night(harness.night).submit_goal))

    summary = harness.submit("run-2", limit=1, regeneration=plan_more)

    assert seen == [((), 4)]
    assert (summary.submitted, summary.left_planned) == (1, 2)
    assert ("submit", None) not in wanted(harness)
    assert len(harness.provider.posts) == 4


def test_a_process_that_dies_after_planning_a_regeneration_leaves_its_limit(
    harness: LifecycleHarness,
) -> None:
    buy(harness, "a cat", "a dog", "a bird")
    collect(harness)

    def plan_and_die() -> None:
        again(harness, "run-2", "all")()
        harness.provider.before_turn = _die

    with pytest.raises(SystemExit):
        harness.submit("run-2", limit=1, regeneration=plan_and_die)

    assert wanted(harness) == [("submit", 1)]


def _die() -> None:
    raise SystemExit


def test_a_regeneration_that_is_refused_lets_nothing_else_be_bought(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat", "a dog", "a bird")
    harness.submit(limit=1)
    with pytest.raises(ConfigurationError, match="no such prompt_ids"):
        harness.submit("run-2", regeneration=again(harness, "run-2", {"prompt_ids": ["typo"]}))
    assert "submit" not in [kind for kind, _ in wanted(harness)]
    assert len(harness.provider.posts) == 1


def test_two_people_who_regenerate_failed_rows_at_once_buy_them_once(
    harness: LifecycleHarness,
) -> None:
    harness.provider.on_poll = lambda run: _failed(harness, run)
    buy(harness, "a cat", "a dog")
    end_runs(harness)
    assert harness.states() == ["failed"] * 2
    meet, results = threading.Barrier(2), []
    ledger = harness.ledger
    plain = ledger.save_workflow

    def together(workflow: Any) -> None:
        plain(workflow)
        meet.wait(10)  # both have looked at the night by now

    ledger.save_workflow = together  # type: ignore[method-assign]
    threads = [
        threading.Thread(target=lambda who=who: results.append(again(harness, who, "failed")()))
        for who in ("anna", "ben")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(one.rows for one in results) == [0, 2]


def _failed(harness: LifecycleHarness, run: str) -> Any:
    from dataclasses import replace

    report = harness.provider.finished(run, outputs=0)
    return replace(report, state=SubmissionState.FAILED, error_code="oom")


def test_one_asker_regenerates_once_however_often_and_nothing_else_later(
    harness: LifecycleHarness,
) -> None:
    buy(harness, "a cat", "a dog")
    collect(harness)
    for _ in range(2):
        harness.submit("retry", regeneration=again(harness, "root-run", "all"))
    with pytest.raises(ConfigurationError, match="Start a new run"):
        harness.submit("retry", regeneration=again(harness, "root-run", {"prompt_ids": ["p0"]}))
    assert len(harness.provider.posts) == 4


def test_what_may_have_been_bought_is_not_regenerated(harness: LifecycleHarness) -> None:
    def lose(_request: Any, _number: int) -> None:
        raise SubmitOutcomeUnknown("lost", **FACTS)

    harness.provider.on_submit = lose
    buy(harness, "a cat")
    for scope in ("failed", "changed", "all", {"prompt_ids": ["p0"]}):
        harness.submit("again", regeneration=again(harness, str(scope), scope))
    assert len(harness.provider.posts) == 1


# -- limits and budgets -------------------------------------------------------------------------


def test_a_budget_leaves_rows_beyond_a_limit_planned(harness: LifecycleHarness) -> None:
    harness.with_settings(budget_usd=Decimal("0.01"), price_usd_per_run=Decimal("0.01"))
    harness.plan("a cat", "a dog", "a bird", "a fish")
    summary = harness.submit(limit=2)
    assert (summary.submitted, summary.skipped, summary.left_planned) == (1, 1, 2)
    assert "submit" not in [kind for kind, _ in wanted(harness)]


def test_a_daily_budget_counts_an_intent_on_the_day_that_it_was_made(
    harness: LifecycleHarness,
) -> None:
    before_midnight = harness.clock.now().replace(hour=23, minute=59, second=50)
    harness.clock.advance((before_midnight - harness.clock.now()).total_seconds())
    first_day = harness.clock.now()
    price = Decimal("0.01")
    harness.with_settings(daily_budget_usd=price, price_usd_per_run=price)
    harness.provider.on_submit = lambda _request, _number: harness.clock.advance(30)
    harness.plan("a cat", "a dog")
    summary = harness.submit()
    assert summary.submitted == 2  # one on each side of midnight
    harness.clock.advance(DAY)
    collect(harness)
    reserved = [
        harness.ledger.reserved_usd("floyo", first_day + timedelta(days=d)) for d in range(3)
    ]
    assert reserved == [price, price, Decimal(0)]


def test_a_budget_without_a_price_buys_nothing_and_a_regeneration_plans_nothing(
    harness: LifecycleHarness,
) -> None:
    buy(harness, "a cat")
    collect(harness)
    harness.provider.price = None
    harness.with_settings(budget_usd=Decimal(1))
    with pytest.raises(ConfigurationError, match="nobody knows what a run"):
        harness.submit("run-2", regeneration=again(harness, "run-2", "all"))
    assert harness.states() == ["succeeded"]


# -- ledgers ------------------------------------------------------------------------------------


def forget_journal(harness: LifecycleHarness) -> None:
    """Leave the bucket as a version without a journal did."""
    for key in list(harness.store.list_keys(harness.store.key(harness.night.batch, "_journal/"))):
        harness.store.delete(key)


@pytest.mark.parametrize("journal", [True, False], ids=["journal", "no journal"])
def test_a_ledger_restored_from_the_middle_of_a_night_does_not_buy_its_rest_again(
    harness: LifecycleHarness, tmp_path: Path, journal: bool
) -> None:
    harness.plan("a cat", "a dog", "a bird")
    harness.submit(limit=1)
    copy_of_ledger(harness, tmp_path / "backup.db")
    harness.submit()
    collect(harness)
    restore(harness, tmp_path / "backup.db")
    if not journal:
        forget_journal(harness)

    with pytest.raises(WrongLedger, match=r"old(er)? copy of itself"):
        harness.submit("run-3")

    assert len(harness.provider.posts) == 3
    # By the journal each is known to be sent, and by the night's table which run it has.
    rest = "submitted" if journal else "planned"
    assert harness.states() == ["submitted", rest, rest]


@pytest.mark.parametrize("journal", [True, False], ids=["journal", "no journal"])
def test_a_ledger_restored_from_before_a_night_does_not_buy_it_again(
    harness: LifecycleHarness, tmp_path: Path, journal: bool
) -> None:
    harness.plan("a cat")
    copy_of_ledger(harness, tmp_path / "backup.db")
    harness.submit()
    restore(harness, tmp_path / "backup.db")
    harness.plan("a cat")
    if not journal:
        forget_journal(harness)

    with pytest.raises(WrongLedger, match="older copy" if journal else "was bought before"):
        harness.submit("run-3")

    assert len(harness.provider.posts) == 1


@pytest.mark.parametrize("journal", [True, False], ids=["journal", "no journal"])
def test_a_ledger_restored_from_before_a_regeneration_does_not_buy_it_again(
    harness: LifecycleHarness, tmp_path: Path, journal: bool
) -> None:
    buy(harness, "a cat")
    collect(harness)
    copy_of_ledger(harness, tmp_path / "backup.db")
    harness.submit("run-2", regeneration=again(harness, "run-2", "all"))
    collect(harness)
    restore(harness, tmp_path / "backup.db")
    if not journal:
        forget_journal(harness)

    with pytest.raises(WrongLedger, match="older copy" if journal else "bought before"):
        harness.submit("run-3", regeneration=again(harness, "run-2", "all"))

    assert len(harness.provider.posts) == 2


def test_rows_that_an_old_copy_cancels_no_longer_stop_a_night(
    harness: LifecycleHarness, tmp_path: Path
) -> None:
    harness.plan("a cat", "a dog")
    harness.submit(limit=1)
    copy_of_ledger(harness, tmp_path / "backup.db")
    harness.submit()
    collect(harness)
    restore(harness, tmp_path / "backup.db")
    forget_journal(harness)
    harness.ledger.cancel_planned(harness.keys(SubmissionState.PLANNED), "bought, says the bucket")
    collect(harness)
    assert harness.submit("run-3").submitted == 0
    assert harness.states() == ["succeeded", "canceled"]


def test_an_unreadable_table_of_a_night_stops_buying(harness: LifecycleHarness) -> None:
    from flow_pipelines.model.errors import StorageError

    harness.plan("a cat", "a dog")
    harness.submit(limit=1)
    forget_journal(harness)
    key = harness.store.key(harness.night.batch, harness.night.partition_key, "runs.parquet")
    harness.store.put(key, b"PAR1 not a table", media_type="application/octet-stream")
    with pytest.raises(StorageError, match="cannot be read"):
        harness.submit("run-2")
    assert len(harness.provider.posts) == 1


# -- what people settle -------------------------------------------------------------------------
