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
from flow_pipelines_tests.unit.lifecycle.conftest import Lab


def test_nobody_finds_regenerated_rows_before_their_limit_is_known(lab: Lab) -> None:
    buy(lab, "a cat", "a dog", "a bird")
    collect(lab)
    seen: list[object] = []

    def plan_more() -> None:
        again(lab, "run-2", "all")()
        found = agenda(lab.ledger, lab.clock, batches=[lab.night.batch])
        seen.append((found.todos, lab.ledger.night(lab.night).submit_goal))

    summary = lab.submit("run-2", limit=1, regeneration=plan_more)

    assert seen == [((), 4)]
    assert (summary.submitted, summary.left_planned) == (1, 2)
    assert ("submit", None) not in wanted(lab)
    assert len(lab.provider.posts) == 4


def test_a_process_that_dies_after_planning_a_regeneration_leaves_its_limit(lab: Lab) -> None:
    buy(lab, "a cat", "a dog", "a bird")
    collect(lab)

    def plan_and_die() -> None:
        again(lab, "run-2", "all")()
        lab.provider.before_turn = _die

    with pytest.raises(SystemExit):
        lab.submit("run-2", limit=1, regeneration=plan_and_die)

    assert wanted(lab) == [("submit", 1)]


def _die() -> None:
    raise SystemExit


def test_a_regeneration_that_is_refused_lets_nothing_else_be_bought(lab: Lab) -> None:
    lab.plan("a cat", "a dog", "a bird")
    lab.submit(limit=1)
    with pytest.raises(ConfigurationError, match="no such prompt_ids"):
        lab.submit("run-2", regeneration=again(lab, "run-2", {"prompt_ids": ["typo"]}))
    assert "submit" not in [kind for kind, _ in wanted(lab)]
    assert len(lab.provider.posts) == 1


def test_two_people_who_regenerate_failed_rows_at_once_buy_them_once(lab: Lab) -> None:
    lab.provider.on_poll = lambda run: _failed(lab, run)
    buy(lab, "a cat", "a dog")
    end_runs(lab)
    assert lab.states() == ["failed"] * 2
    meet, results = threading.Barrier(2), []
    ledger = lab.ledger
    plain = ledger.save_workflow

    def together(workflow: Any) -> None:
        plain(workflow)
        meet.wait(10)  # both have looked at the night by now

    ledger.save_workflow = together  # type: ignore[method-assign]
    threads = [
        threading.Thread(target=lambda who=who: results.append(again(lab, who, "failed")()))
        for who in ("anna", "ben")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(one.rows for one in results) == [0, 2]


def _failed(lab: Lab, run: str) -> Any:
    from dataclasses import replace

    report = lab.provider.finished(run, outputs=0)
    return replace(report, state=SubmissionState.FAILED, error_code="oom")


def test_one_asker_regenerates_once_however_often_and_nothing_else_later(lab: Lab) -> None:
    buy(lab, "a cat", "a dog")
    collect(lab)
    for _ in range(2):
        lab.submit("retry", regeneration=again(lab, "root-run", "all"))
    with pytest.raises(ConfigurationError, match="Start a new run"):
        lab.submit("retry", regeneration=again(lab, "root-run", {"prompt_ids": ["p0"]}))
    assert len(lab.provider.posts) == 4


def test_what_may_have_been_bought_is_not_regenerated(lab: Lab) -> None:
    def lose(_request: Any, _number: int) -> None:
        raise SubmitOutcomeUnknown("lost", **FACTS)

    lab.provider.on_submit = lose
    buy(lab, "a cat")
    for scope in ("failed", "changed", "all", {"prompt_ids": ["p0"]}):
        lab.submit("again", regeneration=again(lab, str(scope), scope))
    assert len(lab.provider.posts) == 1


# -- limits and budgets -------------------------------------------------------------------------


def test_a_budget_leaves_rows_beyond_a_limit_planned(lab: Lab) -> None:
    lab.with_settings(budget_usd=Decimal("0.01"), price_usd_per_run=Decimal("0.01"))
    lab.plan("a cat", "a dog", "a bird", "a fish")
    summary = lab.submit(limit=2)
    assert (summary.submitted, summary.skipped, summary.left_planned) == (1, 1, 2)
    assert "submit" not in [kind for kind, _ in wanted(lab)]


def test_a_daily_budget_counts_an_intent_on_the_day_that_it_was_made(lab: Lab) -> None:
    before_midnight = lab.clock.now().replace(hour=23, minute=59, second=50)
    lab.clock.advance((before_midnight - lab.clock.now()).total_seconds())
    first_day = lab.clock.now()
    price = Decimal("0.01")
    lab.with_settings(daily_budget_usd=price, price_usd_per_run=price)
    lab.provider.on_submit = lambda _request, _number: lab.clock.advance(30)
    lab.plan("a cat", "a dog")
    summary = lab.submit()
    assert summary.submitted == 2  # one on each side of midnight
    lab.clock.advance(DAY)
    collect(lab)
    reserved = [lab.ledger.reserved_usd("floyo", first_day + timedelta(days=d)) for d in range(3)]
    assert reserved == [price, price, Decimal(0)]


def test_a_budget_without_a_price_buys_nothing_and_a_regeneration_plans_nothing(lab: Lab) -> None:
    buy(lab, "a cat")
    collect(lab)
    lab.provider.price = None
    lab.with_settings(budget_usd=Decimal(1))
    with pytest.raises(ConfigurationError, match="nobody knows what a run"):
        lab.submit("run-2", regeneration=again(lab, "run-2", "all"))
    assert lab.states() == ["succeeded"]


# -- ledgers ------------------------------------------------------------------------------------


def forget_journal(lab: Lab) -> None:
    """Leave the bucket as a version without a journal did."""
    for key in list(lab.store.list_keys(lab.store.key(lab.night.batch, "_journal/"))):
        lab.store.delete(key)


@pytest.mark.parametrize("journal", [True, False], ids=["journal", "no journal"])
def test_a_ledger_restored_from_the_middle_of_a_night_does_not_buy_its_rest_again(
    lab: Lab, tmp_path: Path, journal: bool
) -> None:
    lab.plan("a cat", "a dog", "a bird")
    lab.submit(limit=1)
    copy_of_ledger(lab, tmp_path / "backup.db")
    lab.submit()
    collect(lab)
    restore(lab, tmp_path / "backup.db")
    if not journal:
        forget_journal(lab)

    with pytest.raises(WrongLedger, match=r"old(er)? copy of itself"):
        lab.submit("run-3")

    assert len(lab.provider.posts) == 3
    # By the journal each is known to be sent, and by the night's table which run it has.
    rest = "submitted" if journal else "planned"
    assert lab.states() == ["submitted", rest, rest]


@pytest.mark.parametrize("journal", [True, False], ids=["journal", "no journal"])
def test_a_ledger_restored_from_before_a_night_does_not_buy_it_again(
    lab: Lab, tmp_path: Path, journal: bool
) -> None:
    lab.plan("a cat")
    copy_of_ledger(lab, tmp_path / "backup.db")
    lab.submit()
    restore(lab, tmp_path / "backup.db")
    lab.plan("a cat")
    if not journal:
        forget_journal(lab)

    with pytest.raises(WrongLedger, match="older copy" if journal else "was bought before"):
        lab.submit("run-3")

    assert len(lab.provider.posts) == 1


@pytest.mark.parametrize("journal", [True, False], ids=["journal", "no journal"])
def test_a_ledger_restored_from_before_a_regeneration_does_not_buy_it_again(
    lab: Lab, tmp_path: Path, journal: bool
) -> None:
    buy(lab, "a cat")
    collect(lab)
    copy_of_ledger(lab, tmp_path / "backup.db")
    lab.submit("run-2", regeneration=again(lab, "run-2", "all"))
    collect(lab)
    restore(lab, tmp_path / "backup.db")
    if not journal:
        forget_journal(lab)

    with pytest.raises(WrongLedger, match="older copy" if journal else "bought before"):
        lab.submit("run-3", regeneration=again(lab, "run-2", "all"))

    assert len(lab.provider.posts) == 2


def test_rows_that_an_old_copy_cancels_no_longer_stop_a_night(lab: Lab, tmp_path: Path) -> None:
    lab.plan("a cat", "a dog")
    lab.submit(limit=1)
    copy_of_ledger(lab, tmp_path / "backup.db")
    lab.submit()
    collect(lab)
    restore(lab, tmp_path / "backup.db")
    forget_journal(lab)
    lab.ledger.cancel_planned(lab.keys(SubmissionState.PLANNED), "bought, says the bucket")
    collect(lab)
    assert lab.submit("run-3").submitted == 0
    assert lab.states() == ["succeeded", "canceled"]


def test_an_unreadable_table_of_a_night_stops_buying(lab: Lab) -> None:
    from flow_pipelines.model.errors import StorageError

    lab.plan("a cat", "a dog")
    lab.submit(limit=1)
    forget_journal(lab)
    key = lab.store.key(lab.night.batch, lab.night.partition_key, "runs.parquet")
    lab.store.put(key, b"PAR1 not a table", media_type="application/octet-stream")
    with pytest.raises(StorageError, match="cannot be read"):
        lab.submit("run-2")
    assert len(lab.provider.posts) == 1


# -- what people settle -------------------------------------------------------------------------
