"""Collecting: stored outputs, and nights that are done."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from flow_pipelines.ledger.contract import MAX_COLLECTIONS
from flow_pipelines.model import NightRecord
from flow_pipelines.model.errors import LedgerError
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    LedgerDriver,
    S,
    facts,
    key_of,
    new_night,
    refs,
)


def _succeeded(driver: LedgerDriver, *names: str) -> str:
    night = new_night()
    driver.plan(night)
    key = key_of(night, 0)
    driver.submit(key)
    driver.poll(key, S.SUCCEEDED, outputs=refs(*names))
    return key


def _night(driver: LedgerDriver, key: str) -> NightRecord:
    record = driver.ledger.night(driver.ledger.submission(key).night)
    assert record is not None
    return record


def test_a_stored_output_is_remembered_with_its_facts(driver: LedgerDriver) -> None:
    key = _succeeded(driver, "a")
    driver.ledger.record_output_problem(key, 0, "cut off after 3 bytes")
    problem = driver.ledger.outputs(_night(driver, key).night)[key][0]
    driver.clock.advance(5)

    driver.ledger.record_stored(key, 0, facts())
    stored = driver.ledger.outputs(_night(driver, key).night)[key][0]

    assert (problem.problem, problem.attempts, problem.stored) == ("cut off after 3 bytes", 1, None)
    assert (stored.problem, stored.attempts, stored.stored) == (None, 1, facts())
    assert stored.stored_at == driver.clock.now()


def test_storing_again_is_fine_with_the_same_content_only(driver: LedgerDriver) -> None:
    key = _succeeded(driver, "a")
    driver.ledger.record_stored(key, 0, facts())
    before = driver.everything(key)

    driver.ledger.record_stored(key, 0, facts())
    driver.ledger.record_output_problem(key, 0, "somebody else was faster")
    with pytest.raises(LedgerError, match="another content"):
        driver.ledger.record_stored(key, 0, facts("other"))

    assert driver.everything(key) == before


def test_an_output_that_was_never_seen_cannot_be_stored(driver: LedgerDriver) -> None:
    key = _succeeded(driver, "a")

    with pytest.raises(LedgerError, match="no output 1"):
        driver.ledger.record_stored(key, 1, facts())


def test_a_submission_is_collected_when_every_output_is_stored(driver: LedgerDriver) -> None:
    key = _succeeded(driver, "a", "b")
    driver.ledger.record_stored(key, 0, facts("a"))

    with pytest.raises(LedgerError, match=r"1 output\(s\) not stored"):
        driver.ledger.mark_collected(key)
    assert _night(driver, key).uncollected == 1
    driver.ledger.record_stored(key, 1, facts("b"))
    driver.ledger.mark_collected(key)
    collected_at = driver.clock.now()
    driver.clock.advance(5)
    driver.ledger.mark_collected(key)

    assert driver.ledger.submission(key).collected_at == collected_at
    assert _night(driver, key).uncollected == 0


def test_an_output_that_shows_up_late_has_to_be_collected_too(driver: LedgerDriver) -> None:
    key = _succeeded(driver, "a")
    driver.ledger.record_stored(key, 0, facts())
    driver.ledger.mark_collected(key)
    driver.ledger.night_collected(_night(driver, key).night, _night(driver, key).revision)

    driver.poll(key, S.SUCCEEDED, outputs=refs("a", "b"))

    assert driver.ledger.submission(key).collected_at is None
    assert _night(driver, key).uncollected == 1
    assert driver.ledger.nights_to_do(["posters"]) == [_night(driver, key)]


def test_every_step_of_collecting_moves_the_revision(driver: LedgerDriver) -> None:
    key = _succeeded(driver, "a")
    steps = [
        lambda: driver.ledger.record_output_problem(key, 0, "slow"),
        lambda: driver.ledger.record_stored(key, 0, facts()),
        lambda: driver.ledger.mark_collected(key),
    ]
    for step in steps:
        before = _night(driver, key).revision
        step()
        assert _night(driver, key).revision == before + 1


def test_a_night_is_done_when_its_tables_reach_its_revision(driver: LedgerDriver) -> None:
    key = _succeeded(driver)
    night = _night(driver, key).night
    driver.ledger.mark_collected(key)
    driver.ledger.request_work(night, "collect", not_before=driver.clock.now())
    revision = _night(driver, key).revision

    driver.ledger.night_collected(night, revision - 1)
    assert driver.ledger.nights_to_do(["posters"]) == [_night(driver, key)]
    driver.ledger.night_collected(night, revision)
    done = _night(driver, key)
    driver.ledger.night_collected(night, revision - 1)

    assert driver.ledger.nights_to_do(["posters"]) == []
    assert (done.collected_revision, done.collect_attempts) == (revision, 0)
    assert _night(driver, key) == done
    with pytest.raises(LedgerError, match="never had revision"):
        driver.ledger.night_collected(night, revision + 1)


def test_a_missing_output_keeps_its_night_listed_for_so_many_attempts(driver: LedgerDriver) -> None:
    key = _succeeded(driver, "a")
    night = _night(driver, key).night
    driver.ledger.record_output_problem(key, 0, "cut")
    for attempt in range(1, MAX_COLLECTIONS + 1):
        driver.ledger.night_collected(night, _night(driver, key).revision)
        assert [record.night for record in driver.ledger.nights_to_do(["posters"])] == [night]
        asked = driver.ledger.request_work(night, "collect", not_before=driver.clock.now())
        assert asked == attempt
        driver.clock.advance(60)

    driver.ledger.night_collected(night, _night(driver, key).revision)

    assert driver.ledger.nights_to_do(["posters"]) == []
    assert _night(driver, key).uncollected == 1


@pytest.mark.parametrize("state", list(S))
def test_a_collected_night_is_still_listed_while_something_is_open(
    driver: LedgerDriver, state: S
) -> None:
    key = driver.reach(state)
    if state is S.SUCCEEDED:
        driver.ledger.mark_collected(key)
    driver.ledger.night_collected(_night(driver, key).night, _night(driver, key).revision)

    listed = driver.ledger.nights_to_do(["posters"])

    ended = {S.SUCCEEDED, S.FAILED, S.CANCELED, S.SKIPPED}
    assert listed == ([] if state in ended else [_night(driver, key)])


def test_marks_and_submitters_are_remembered_and_move_no_revision(driver: LedgerDriver) -> None:
    key = driver.reach(S.PLANNED)
    before = _night(driver, key)
    marked_at = driver.clock.now()

    driver.ledger.mark_night(before.night)
    driver.ledger.note_submitter(before.night, "backfill-1", 5)
    driver.clock.advance(9)
    driver.ledger.mark_night(before.night)
    noted = _night(driver, key)
    driver.ledger.note_submitter(before.night, None, None)

    assert (noted.marked_at, noted.backfill_id, noted.submit_goal) == (marked_at, "backfill-1", 5)
    assert noted.revision == before.revision
    assert (_night(driver, key).backfill_id, _night(driver, key).submit_goal) == (None, None)


def test_an_unknown_kind_of_work_is_refused(driver: LedgerDriver) -> None:
    key = driver.reach(S.PLANNED)

    with pytest.raises(LedgerError, match="not known"):
        driver.ledger.request_work(
            _night(driver, key).night, "paint", not_before=driver.clock.now()
        )


def test_runs_are_collected_together_as_they_are_alone(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night, range(3))
    keys = [key_of(night, row) for row in range(3)]
    for key in keys:
        driver.submit(key)
        driver.poll(key, S.SUCCEEDED, outputs=refs(f"{key}-a", f"{key}-b"))
        driver.ledger.record_stored(key, 0, facts(f"{key}-a"))
    before = _night(driver, keys[0])

    driver.ledger.record_collected(night, {key: {1: facts(f"{key}-b")} for key in keys[:2]})

    after = _night(driver, keys[0])
    assert (before.uncollected, after.uncollected) == (3, 1)
    assert after.revision == before.revision + 1
    for key in keys[:2]:
        assert driver.ledger.submission(key).collected_at == driver.clock.now()
        assert driver.ledger.outputs(night)[key][1].stored == facts(f"{key}-b")
    driver.ledger.record_collected(night, {key: {1: facts(f"{key}-b")} for key in keys[:2]})
    assert _night(driver, keys[0]) == after


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({0: "a", 2: "c"}, "no output 2"),
        ({0: "a"}, r"1 output\(s\) not stored"),
        ({0: "other", 1: "b"}, "another content"),
    ],
)
def test_of_runs_collected_together_one_that_cannot_be_leaves_all_as_they_were(
    driver: LedgerDriver, wrong: dict[int, str], why: str
) -> None:
    night = new_night()
    driver.plan(night, range(2))
    good, bad = key_of(night, 0), key_of(night, 1)
    for key in (good, bad):
        driver.submit(key)
        driver.poll(key, S.SUCCEEDED, outputs=refs(f"{key}-a", f"{key}-b"))
    if "other" in wrong.values():
        driver.ledger.record_stored(bad, 0, facts("a"))
    before = driver.everything(good), driver.everything(bad)

    found = {
        good: {0: facts("a"), 1: facts("b")},
        bad: {index: facts(name) for index, name in wrong.items()},
    }
    with pytest.raises(LedgerError, match=why):
        driver.ledger.record_collected(night, found)
    assert (driver.everything(good), driver.everything(bad)) == before


def test_a_run_that_is_not_of_the_night_or_has_not_succeeded_is_not_collected(
    driver: LedgerDriver,
) -> None:
    key = _succeeded(driver, "a")
    other = new_night()
    driver.plan(other)
    with pytest.raises(LedgerError, match="has not all"):
        driver.ledger.record_collected(other, {key: {0: facts()}})
    with pytest.raises(LedgerError, match="not succeeded"):
        driver.ledger.record_collected(other, {key_of(other, 0): {}})


def test_what_is_damaged_gives_way_to_what_is_not_and_never_the_other_way_round(
    driver: LedgerDriver,
) -> None:
    key = _succeeded(driver, "a")
    damaged = replace(facts(), verified="damaged", s3_key="a.damaged.png", sha256="0" * 64)
    for found, stored in (
        (damaged, damaged),
        (replace(damaged, sha256="1" * 64), damaged),
        (facts(), facts()),
        (damaged, facts()),
    ):
        driver.ledger.record_stored(key, 0, found)
        [output] = driver.ledger.outputs_of([key])[key]
        assert output.stored is not None
        assert (output.stored.s3_key, output.stored.sha256) == (stored.s3_key, stored.sha256)
    with pytest.raises(LedgerError, match="another content"):
        driver.ledger.record_stored(key, 0, replace(facts(), sha256="2" * 64))


def test_what_is_too_large_is_settled_and_stored_all_the_same_when_it_comes(
    driver: LedgerDriver,
) -> None:
    key = _succeeded(driver, "a")
    with pytest.raises(LedgerError, match="not stored"):
        driver.ledger.mark_collected(key)
    driver.ledger.record_output_problem(key, 0, "too large", settled_above=512)
    [output] = driver.ledger.outputs_of([key])[key]
    assert (output.settled_above, output.problem, output.is_missing) == (512, "too large", False)
    driver.ledger.mark_collected(key)
    assert driver.ledger.submission(key).collected_at is not None
    driver.ledger.record_stored(key, 0, facts())
    [output] = driver.ledger.outputs_of([key])[key]
    assert (output.settled_above, output.problem) == (None, None)


def test_the_first_doubt_is_remembered(driver: LedgerDriver) -> None:
    key = _succeeded(driver, "a")
    first = driver.clock.now()
    for _ in range(2):
        driver.ledger.record_output_problem(key, 0, "a page", doubted=True)
        driver.clock.advance(60)
    [output] = driver.ledger.outputs_of([key])[key]
    assert (output.doubted_at, output.attempts) == (first, 2)


def test_a_content_is_found_wherever_it_is_stored(driver: LedgerDriver) -> None:
    keys = [_succeeded(driver, row) for row in ("a", "b")]
    stored = replace(facts(), sha256=uuid.uuid4().hex)
    assert driver.ledger.stored_with(stored.sha256) == []
    for key in keys:
        driver.ledger.record_stored(key, 0, stored)
    found = driver.ledger.stored_with(stored.sha256)
    assert sorted(one.submission_key for one in found) == sorted(keys)
    assert len(driver.ledger.stored_with(stored.sha256, limit=1)) == 1
