"""Stored files: which bucket they are in, and that they are gone."""

from __future__ import annotations

from dataclasses import replace

from flow_pipelines.model import Night, NightRecord, StoredFacts
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    LedgerDriver,
    S,
    facts,
    key_of,
    new_night,
    refs,
)

HERE = facts()
NOWHERE = replace(HERE, bucket=None)


def collected(driver: LedgerDriver, *found: StoredFacts) -> tuple[Night, str]:
    """Plan, buy and collect one run; give its night and key."""
    night = new_night()
    driver.plan(night)
    key = key_of(night, 0)
    driver.submit(key)
    driver.poll(key, S.SUCCEEDED, outputs=refs(*(str(index) for index in range(len(found)))))
    driver.ledger.record_collected(night, {key: dict(enumerate(found))})
    record = record_of(driver, night)
    driver.ledger.night_collected(night, record.revision)
    return night, key


def record_of(driver: LedgerDriver, night: Night) -> NightRecord:
    record = driver.ledger.night(night)
    assert record is not None
    return record


def stored(driver: LedgerDriver, key: str) -> list[StoredFacts | None]:
    return [output.stored for output in driver.ledger.outputs_of([key])[key]]


def test_a_stored_file_remembers_its_bucket(driver: LedgerDriver) -> None:
    _, key = collected(driver, HERE)
    assert stored(driver, key) == [HERE]


def test_a_bucket_is_noted_only_where_none_is_and_calls_for_no_new_tables(
    driver: LedgerDriver,
) -> None:
    other = replace(HERE, bucket="other")
    night, key = collected(driver, NOWHERE, other)
    before = record_of(driver, night)
    driver.ledger.note_bucket(night, {key: [0, 1, 7]}, "pictures")
    assert stored(driver, key) == [HERE, other]
    assert record_of(driver, night) == before


def test_nothing_is_noted_of_an_output_that_is_not_stored(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night)
    key = key_of(night, 0)
    driver.submit(key)
    driver.poll(key, S.SUCCEEDED, outputs=refs("a"))
    driver.ledger.note_bucket(night, {key: [0]}, "pictures")
    driver.ledger.record_stored(key, 0, NOWHERE)
    assert stored(driver, key) == [NOWHERE]


def test_a_missing_file_has_to_be_collected_again(driver: LedgerDriver) -> None:
    night, key = collected(driver, HERE, replace(HERE, sha256="other"))
    assert driver.ledger.record_missing(key, {0: HERE}, "lost: it is gone") == 1
    gone, kept = driver.ledger.outputs_of([key])[key]
    assert (gone.stored, gone.stored_at, gone.problem) == (None, None, "lost: it is gone")
    assert kept.stored is not None
    assert driver.ledger.submission(key).collected_at is None
    record = record_of(driver, night)
    assert record.uncollected == 1
    assert record.revision != record.collected_revision
    assert driver.ledger.nights_to_do([night.batch]) == [record]

    driver.ledger.record_collected(night, {key: {0: HERE}})
    assert record_of(driver, night).uncollected == 0
    assert driver.ledger.outputs_of([key])[key][0].problem is None


def test_what_was_stored_somewhere_else_meanwhile_is_not_missing(driver: LedgerDriver) -> None:
    night, key = collected(driver, HERE)
    before = record_of(driver, night)
    for looked_at in (replace(HERE, bucket="other"), NOWHERE, replace(HERE, s3_key="other")):
        assert driver.ledger.record_missing(key, {0: looked_at, 5: HERE}, "lost") == 0
    assert stored(driver, key) == [HERE]
    assert record_of(driver, night) == before
