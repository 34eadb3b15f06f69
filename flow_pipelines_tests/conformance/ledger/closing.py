"""Finish, archive and close a night, for the tests of closed nights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from flow_pipelines.ledger.archived_rows import Row
from flow_pipelines.ledger.closed_records import NightArchive
from flow_pipelines.model import Night
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    OWNER,
    LedgerDriver,
    S,
    facts,
    key_of,
    new_night,
    refs,
)

PRUNER = "pruner"


def finished(driver: LedgerDriver, night: Night | None = None) -> Night:
    """Return a night of four rows: two stored, one failed, one skipped; its tables are written."""
    night = night or new_night()
    driver.plan(night, range(4))
    driver.ask(night)
    for number in (0, 1):
        key = key_of(night, number)
        driver.submit(key)
        driver.poll(key, S.SUCCEEDED, "0.033333", outputs=refs("a", "b"), flotime_ms=1500)
        for index in (0, 1):
            driver.ledger.record_stored(key, index, replace(facts(), verified="decoded"))
        driver.ledger.mark_collected(key)
    driver.submit(key_of(night, 2))
    driver.poll(key_of(night, 2), S.FAILED, "0.01")
    driver.ledger.skip([key_of(night, 3)], "budget")
    driver.ledger.release_lease(f"submit:{night}", OWNER)
    written(driver, night)
    driver.clock.advance(86_400)
    return night


def written(driver: LedgerDriver, night: Night) -> None:
    record = driver.ledger.night(night)
    assert record is not None
    driver.ledger.night_collected(night, record.revision)


def archive(driver: LedgerDriver, night: Night) -> tuple[NightArchive, dict[str, list[Row]]]:
    rows: dict[str, list[Row]] = {}

    def write(name: str, each: Iterable[Row]) -> None:
        rows[name] = list(each)

    return replace(driver.ledger.archive_rows(night, write), place="s3://b/closed.json"), rows


def close(driver: LedgerDriver, night: Night, archived: NightArchive | None = None) -> bool:
    archived = archived or archive(driver, night)[0]
    for kind in ("submit", "collect"):
        driver.ledger.acquire_lease(f"{kind}:{night}", PRUNER, 60)
    now = driver.clock.now()
    return driver.ledger.close_night(archived, before=now, owner=PRUNER)


def why_open(driver: LedgerDriver, night: Night) -> str | None:
    return driver.ledger.why_open(night, before=driver.clock.now(), owner=PRUNER)


def sums(driver: LedgerDriver, night: Night) -> tuple[object, ...]:
    """Return everything that is summed up of a night, or told of it in a line."""
    ledger, now = driver.ledger, driver.clock.now()
    first = now - timedelta(days=40)
    record = ledger.night(night)
    assert record is not None
    return (
        ledger.tallies(night),
        [line for line in ledger.cost_lines() if line.night == night],
        [line for line in ledger.cost_lines(changed_since=first) if line.night == night],
        [line for line in ledger.cost_lines(since=first) if line.night == night],
        ledger.spend(first.replace(hour=0, minute=0, second=0, microsecond=0), now),
        ledger.counts_by_state([night.batch]),
        ledger.reserved_usd("floyo", now - timedelta(days=1)),
        record.counts,
    )
