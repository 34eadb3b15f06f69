"""Stored files: which bucket they are in, and that they are gone."""

from __future__ import annotations

from dataclasses import replace

from flow_pipelines.model import Night, NightRecord, StoredFacts
from flow_pipelines_tests.conformance.ledger.desk import Desk, S, facts, key_of, new_night, refs

HERE = facts()
NOWHERE = replace(HERE, bucket=None)


def collected(desk: Desk, *found: StoredFacts) -> tuple[Night, str]:
    """Plan, buy and collect one run; give its night and key."""
    night = new_night()
    desk.plan(night)
    key = key_of(night, 0)
    desk.submit(key)
    desk.poll(key, S.SUCCEEDED, outputs=refs(*(str(index) for index in range(len(found)))))
    desk.ledger.record_collected(night, {key: dict(enumerate(found))})
    record = record_of(desk, night)
    desk.ledger.night_collected(night, record.revision)
    return night, key


def record_of(desk: Desk, night: Night) -> NightRecord:
    record = desk.ledger.night(night)
    assert record is not None
    return record


def stored(desk: Desk, key: str) -> list[StoredFacts | None]:
    return [output.stored for output in desk.ledger.outputs_of([key])[key]]


def test_a_stored_file_remembers_its_bucket(desk: Desk) -> None:
    _, key = collected(desk, HERE)
    assert stored(desk, key) == [HERE]


def test_a_bucket_is_noted_only_where_none_is_and_calls_for_no_new_tables(desk: Desk) -> None:
    other = replace(HERE, bucket="other")
    night, key = collected(desk, NOWHERE, other)
    before = record_of(desk, night)
    desk.ledger.note_bucket(night, {key: [0, 1, 7]}, "pictures")
    assert stored(desk, key) == [HERE, other]
    assert record_of(desk, night) == before


def test_nothing_is_noted_of_an_output_that_is_not_stored(desk: Desk) -> None:
    night = new_night()
    desk.plan(night)
    key = key_of(night, 0)
    desk.submit(key)
    desk.poll(key, S.SUCCEEDED, outputs=refs("a"))
    desk.ledger.note_bucket(night, {key: [0]}, "pictures")
    desk.ledger.record_stored(key, 0, NOWHERE)
    assert stored(desk, key) == [NOWHERE]


def test_a_missing_file_has_to_be_collected_again(desk: Desk) -> None:
    night, key = collected(desk, HERE, replace(HERE, sha256="other"))
    assert desk.ledger.record_missing(key, {0: HERE}, "lost: it is gone") == 1
    gone, kept = desk.ledger.outputs_of([key])[key]
    assert (gone.stored, gone.stored_at, gone.problem) == (None, None, "lost: it is gone")
    assert kept.stored is not None
    assert desk.ledger.submission(key).collected_at is None
    record = record_of(desk, night)
    assert record.uncollected == 1
    assert record.revision != record.collected_revision
    assert desk.ledger.nights_to_do([night.batch]) == [record]

    desk.ledger.record_collected(night, {key: {0: HERE}})
    assert record_of(desk, night).uncollected == 0
    assert desk.ledger.outputs_of([key])[key][0].problem is None


def test_what_was_stored_somewhere_else_meanwhile_is_not_missing(desk: Desk) -> None:
    night, key = collected(desk, HERE)
    before = record_of(desk, night)
    for looked_at in (replace(HERE, bucket="other"), NOWHERE, replace(HERE, s3_key="other")):
        assert desk.ledger.record_missing(key, {0: looked_at, 5: HERE}, "lost") == 0
    assert stored(desk, key) == [HERE]
    assert record_of(desk, night) == before
