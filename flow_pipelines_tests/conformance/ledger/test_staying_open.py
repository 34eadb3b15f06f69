"""What may still change keeps its night open."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flow_pipelines.model import Night
from flow_pipelines.model.errors import LeaseLost, NightOpen
from flow_pipelines_tests.conformance.ledger.closing import (
    PRUNER,
    archive,
    close,
    finished,
    why_open,
    written,
)
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    OWNER,
    LedgerDriver,
    S,
    facts,
    key_of,
    new_night,
    planned_row,
    refs,
)


def _planned(driver: LedgerDriver, night: Night) -> None:
    driver.ledger.regenerate(night, "run", "all", lambda n: [planned_row(night, 0, generation=n)])
    written(driver, night)


def _second_run(driver: LedgerDriver, night: Night) -> None:
    driver.ledger.note_second_run(key_of(night, 0), "another")


def _missing(driver: LedgerDriver, night: Night) -> None:
    driver.ledger.record_missing(key_of(night, 0), {0: facts()}, "it is gone")
    written(driver, night)


def _late_output(driver: LedgerDriver, night: Night) -> None:
    driver.poll(key_of(night, 0), S.SUCCEEDED, outputs=refs("a", "b", "late"))
    written(driver, night)


def _behind(driver: LedgerDriver, night: Night) -> None:
    driver.poll(key_of(night, 0), S.SUCCEEDED, "0.05", outputs=refs("a", "b"))


def _detached(driver: LedgerDriver, night: Night) -> None:
    driver.ledger.detach(key_of(night, 0), who="ann", why="not its own")
    written(driver, night)


def _collecting(driver: LedgerDriver, night: Night) -> None:
    driver.clock.advance(3600)
    driver.ledger.acquire_lease(f"collect:{night}", "another run", 60)


def _submitting(driver: LedgerDriver, night: Night) -> None:
    driver.clock.advance(3600)
    driver.ledger.acquire_lease(f"submit:{night}", "another run", 60)


def _copying(driver: LedgerDriver, night: Night) -> None:
    driver.clock.advance(3600)
    driver.ledger.acquire_lease(f"replay:{key_of(night, 2)}", "another run", 60)


_OPEN = {
    "planned": (_planned, "1 of its rows are planned"),
    "second run": (_second_run, "1 second run.s. wait for a person"),
    "gone": (_missing, "1 of its outputs are neither stored nor called lost"),
    "late output": (_late_output, "1 of its outputs are neither stored nor called lost"),
    "behind": (_behind, "its tables in the bucket are behind"),
    "unresolved": (_detached, "1 of its rows are unresolved"),
    "collecting": (_collecting, "another run works on it now"),
    "submitting": (_submitting, "another run works on it now"),
    "copying": (_copying, "a copy of a request of it may be under way"),
}


@pytest.mark.parametrize("what", _OPEN)
def test_a_night_of_which_something_may_change_stays_open(driver: LedgerDriver, what: str) -> None:
    change, said = _OPEN[what]
    night = finished(driver)
    archived, _ = archive(driver, night)
    assert why_open(driver, night) is None
    change(driver, night)
    if not what.endswith("ing"):
        driver.clock.advance(3600)
    rows = driver.ledger.submissions(night)
    with pytest.raises((NightOpen, LeaseLost), match=said):
        close(driver, night, archived)
    assert driver.ledger.submissions(night) == rows
    record = driver.ledger.night(night)
    assert record is not None
    assert record.closed_at is None


def test_what_was_called_lost_keeps_no_night_open(driver: LedgerDriver) -> None:
    night = finished(driver)
    driver.ledger.record_missing(key_of(night, 0), {0: facts()}, "lost: it is not there any more")
    written(driver, night)
    driver.clock.advance(3600)
    assert why_open(driver, night) is None
    assert close(driver, night)
    assert driver.ledger.nights_to_do([night.batch]) == []


def test_a_succeeded_run_without_any_output_keeps_its_night_open(driver: LedgerDriver) -> None:
    night = new_night()
    driver.reach(S.SUCCEEDED, night)
    driver.ledger.release_lease(f"submit:{night}", OWNER)
    written(driver, night)
    driver.clock.advance(3600)
    assert why_open(driver, night) == "1 of its rows are not collected"


@pytest.mark.parametrize("state", sorted(set(S) - {S.SUCCEEDED, S.FAILED, S.CANCELED, S.SKIPPED}))
def test_what_has_not_ended_keeps_its_night_open(driver: LedgerDriver, state: S) -> None:
    night = driver.ledger.submission(driver.reach(state)).night
    driver.ledger.release_lease(f"submit:{night}", OWNER)
    written(driver, night)
    driver.clock.advance(3600)
    assert why_open(driver, night) == f"1 of its rows are {state.value}"


def test_a_night_that_changed_since_is_left_alone(driver: LedgerDriver) -> None:
    night = finished(driver)
    archived, _ = archive(driver, night)
    record = driver.ledger.night(night)
    assert record is not None
    changed_at = driver.clock.now() - timedelta(days=1)
    for kind in ("submit", "collect"):
        driver.ledger.acquire_lease(f"{kind}:{night}", PRUNER, 60)
    with pytest.raises(NightOpen, match="it changed at"):
        driver.ledger.close_night(archived, before=changed_at, owner=PRUNER)
    assert driver.ledger.nights_before(changed_at) == []
    assert driver.ledger.nights_before(driver.clock.now()) == [night]


def test_rows_that_changed_since_they_were_archived_stay(driver: LedgerDriver) -> None:
    night = finished(driver)
    archived, _ = archive(driver, night)
    driver.ledger.note_key_known(key_of(night, 2), "409")  # moves no revision
    with pytest.raises(NightOpen, match="its rows changed while they were archived"):
        close(driver, night, archived)
    assert len(driver.ledger.submissions(night)) == 4


def test_who_closes_a_night_holds_both_of_its_leases(driver: LedgerDriver) -> None:
    night = finished(driver)
    archived, _ = archive(driver, night)
    driver.ledger.acquire_lease(f"submit:{night}", PRUNER, 60)
    with pytest.raises(LeaseLost):
        driver.ledger.close_night(archived, before=driver.clock.now(), owner=PRUNER)
    assert len(driver.ledger.submissions(night)) == 4


def test_a_batch_without_partitions_keeps_its_only_night(driver: LedgerDriver) -> None:
    night = finished(driver, Night("posters", "all"))
    assert why_open(driver, night) == "its batch has no other partition, and could never buy again"
