"""Collecting: stored outputs, and nights that are done."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from flow_pipelines.ledger.contract import MAX_COLLECTIONS
from flow_pipelines.model import NightRecord
from flow_pipelines.model.errors import LedgerError
from flow_pipelines_tests.conformance.ledger.desk import Desk, S, facts, key_of, new_night, refs


def _succeeded(desk: Desk, *names: str) -> str:
    night = new_night()
    desk.plan(night)
    key = key_of(night, 0)
    desk.submit(key)
    desk.poll(key, S.SUCCEEDED, outputs=refs(*names))
    return key


def _night(desk: Desk, key: str) -> NightRecord:
    record = desk.ledger.night(desk.ledger.submission(key).night)
    assert record is not None
    return record


def test_a_stored_output_is_remembered_with_its_facts(desk: Desk) -> None:
    key = _succeeded(desk, "a")
    desk.ledger.record_output_problem(key, 0, "cut off after 3 bytes")
    problem = desk.ledger.outputs(_night(desk, key).night)[key][0]
    desk.clock.advance(5)

    desk.ledger.record_stored(key, 0, facts())
    stored = desk.ledger.outputs(_night(desk, key).night)[key][0]

    assert (problem.problem, problem.attempts, problem.stored) == ("cut off after 3 bytes", 1, None)
    assert (stored.problem, stored.attempts, stored.stored) == (None, 1, facts())
    assert stored.stored_at == desk.clock.now()


def test_storing_again_is_fine_with_the_same_content_only(desk: Desk) -> None:
    key = _succeeded(desk, "a")
    desk.ledger.record_stored(key, 0, facts())
    before = desk.everything(key)

    desk.ledger.record_stored(key, 0, facts())
    desk.ledger.record_output_problem(key, 0, "somebody else was faster")
    with pytest.raises(LedgerError, match="another content"):
        desk.ledger.record_stored(key, 0, facts("other"))

    assert desk.everything(key) == before


def test_an_output_that_was_never_seen_cannot_be_stored(desk: Desk) -> None:
    key = _succeeded(desk, "a")

    with pytest.raises(LedgerError, match="no output 1"):
        desk.ledger.record_stored(key, 1, facts())


def test_a_submission_is_collected_when_every_output_is_stored(desk: Desk) -> None:
    key = _succeeded(desk, "a", "b")
    desk.ledger.record_stored(key, 0, facts("a"))

    with pytest.raises(LedgerError, match=r"1 output\(s\) not stored"):
        desk.ledger.mark_collected(key)
    assert _night(desk, key).uncollected == 1
    desk.ledger.record_stored(key, 1, facts("b"))
    desk.ledger.mark_collected(key)
    collected_at = desk.clock.now()
    desk.clock.advance(5)
    desk.ledger.mark_collected(key)

    assert desk.ledger.submission(key).collected_at == collected_at
    assert _night(desk, key).uncollected == 0


def test_an_output_that_shows_up_late_has_to_be_collected_too(desk: Desk) -> None:
    key = _succeeded(desk, "a")
    desk.ledger.record_stored(key, 0, facts())
    desk.ledger.mark_collected(key)
    desk.ledger.night_collected(_night(desk, key).night, _night(desk, key).revision)

    desk.poll(key, S.SUCCEEDED, outputs=refs("a", "b"))

    assert desk.ledger.submission(key).collected_at is None
    assert _night(desk, key).uncollected == 1
    assert desk.ledger.nights_to_do(["posters"]) == [_night(desk, key)]


def test_every_step_of_collecting_moves_the_revision(desk: Desk) -> None:
    key = _succeeded(desk, "a")
    steps = [
        lambda: desk.ledger.record_output_problem(key, 0, "slow"),
        lambda: desk.ledger.record_stored(key, 0, facts()),
        lambda: desk.ledger.mark_collected(key),
    ]
    for step in steps:
        before = _night(desk, key).revision
        step()
        assert _night(desk, key).revision == before + 1


def test_a_night_is_done_when_its_tables_reach_its_revision(desk: Desk) -> None:
    key = _succeeded(desk)
    night = _night(desk, key).night
    desk.ledger.mark_collected(key)
    desk.ledger.request_work(night, "collect", not_before=desk.clock.now())
    revision = _night(desk, key).revision

    desk.ledger.night_collected(night, revision - 1)
    assert desk.ledger.nights_to_do(["posters"]) == [_night(desk, key)]
    desk.ledger.night_collected(night, revision)
    done = _night(desk, key)
    desk.ledger.night_collected(night, revision - 1)

    assert desk.ledger.nights_to_do(["posters"]) == []
    assert (done.collected_revision, done.collect_attempts) == (revision, 0)
    assert _night(desk, key) == done
    with pytest.raises(LedgerError, match="never had revision"):
        desk.ledger.night_collected(night, revision + 1)


def test_a_missing_output_keeps_its_night_listed_for_so_many_attempts(desk: Desk) -> None:
    key = _succeeded(desk, "a")
    night = _night(desk, key).night
    desk.ledger.record_output_problem(key, 0, "cut")
    for attempt in range(1, MAX_COLLECTIONS + 1):
        desk.ledger.night_collected(night, _night(desk, key).revision)
        assert [record.night for record in desk.ledger.nights_to_do(["posters"])] == [night]
        asked = desk.ledger.request_work(night, "collect", not_before=desk.clock.now())
        assert asked == attempt
        desk.clock.advance(60)

    desk.ledger.night_collected(night, _night(desk, key).revision)

    assert desk.ledger.nights_to_do(["posters"]) == []
    assert _night(desk, key).uncollected == 1


@pytest.mark.parametrize("state", list(S))
def test_a_collected_night_is_still_listed_while_something_is_open(desk: Desk, state: S) -> None:
    key = desk.reach(state)
    if state is S.SUCCEEDED:
        desk.ledger.mark_collected(key)
    desk.ledger.night_collected(_night(desk, key).night, _night(desk, key).revision)

    listed = desk.ledger.nights_to_do(["posters"])

    ended = {S.SUCCEEDED, S.FAILED, S.CANCELED, S.SKIPPED}
    assert listed == ([] if state in ended else [_night(desk, key)])


def test_marks_and_submitters_are_remembered_and_move_no_revision(desk: Desk) -> None:
    key = desk.reach(S.PLANNED)
    before = _night(desk, key)
    marked_at = desk.clock.now()

    desk.ledger.mark_night(before.night)
    desk.ledger.note_submitter(before.night, "backfill-1", 5)
    desk.clock.advance(9)
    desk.ledger.mark_night(before.night)
    noted = _night(desk, key)
    desk.ledger.note_submitter(before.night, None, None)

    assert (noted.marked_at, noted.backfill_id, noted.submit_goal) == (marked_at, "backfill-1", 5)
    assert noted.revision == before.revision
    assert (_night(desk, key).backfill_id, _night(desk, key).submit_goal) == (None, None)


def test_an_unknown_kind_of_work_is_refused(desk: Desk) -> None:
    key = desk.reach(S.PLANNED)

    with pytest.raises(LedgerError, match="not known"):
        desk.ledger.request_work(_night(desk, key).night, "paint", not_before=desk.clock.now())


def test_runs_are_collected_together_as_they_are_alone(desk: Desk) -> None:
    night = new_night()
    desk.plan(night, range(3))
    keys = [key_of(night, row) for row in range(3)]
    for key in keys:
        desk.submit(key)
        desk.poll(key, S.SUCCEEDED, outputs=refs(f"{key}-a", f"{key}-b"))
        desk.ledger.record_stored(key, 0, facts(f"{key}-a"))
    before = _night(desk, keys[0])

    desk.ledger.record_collected(night, {key: {1: facts(f"{key}-b")} for key in keys[:2]})

    after = _night(desk, keys[0])
    assert (before.uncollected, after.uncollected) == (3, 1)
    assert after.revision == before.revision + 1
    for key in keys[:2]:
        assert desk.ledger.submission(key).collected_at == desk.clock.now()
        assert desk.ledger.outputs(night)[key][1].stored == facts(f"{key}-b")
    desk.ledger.record_collected(night, {key: {1: facts(f"{key}-b")} for key in keys[:2]})
    assert _night(desk, keys[0]) == after


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({0: "a", 2: "c"}, "no output 2"),
        ({0: "a"}, r"1 output\(s\) not stored"),
        ({0: "other", 1: "b"}, "another content"),
    ],
)
def test_of_runs_collected_together_one_that_cannot_be_leaves_all_as_they_were(
    desk: Desk, wrong: dict[int, str], why: str
) -> None:
    night = new_night()
    desk.plan(night, range(2))
    good, bad = key_of(night, 0), key_of(night, 1)
    for key in (good, bad):
        desk.submit(key)
        desk.poll(key, S.SUCCEEDED, outputs=refs(f"{key}-a", f"{key}-b"))
    if "other" in wrong.values():
        desk.ledger.record_stored(bad, 0, facts("a"))
    before = desk.everything(good), desk.everything(bad)

    found = {
        good: {0: facts("a"), 1: facts("b")},
        bad: {index: facts(name) for index, name in wrong.items()},
    }
    with pytest.raises(LedgerError, match=why):
        desk.ledger.record_collected(night, found)
    assert (desk.everything(good), desk.everything(bad)) == before


def test_a_run_that_is_not_of_the_night_or_has_not_succeeded_is_not_collected(desk: Desk) -> None:
    key = _succeeded(desk, "a")
    other = new_night()
    desk.plan(other)
    with pytest.raises(LedgerError, match="has not all"):
        desk.ledger.record_collected(other, {key: {0: facts()}})
    with pytest.raises(LedgerError, match="not succeeded"):
        desk.ledger.record_collected(other, {key_of(other, 0): {}})


def test_what_is_damaged_gives_way_to_what_is_not_and_never_the_other_way_round(desk: Desk) -> None:
    key = _succeeded(desk, "a")
    damaged = replace(facts(), verified="damaged", s3_key="a.damaged.png", sha256="0" * 64)
    for found, stored in (
        (damaged, damaged),
        (replace(damaged, sha256="1" * 64), damaged),
        (facts(), facts()),
        (damaged, facts()),
    ):
        desk.ledger.record_stored(key, 0, found)
        [output] = desk.ledger.outputs_of([key])[key]
        assert output.stored is not None
        assert (output.stored.s3_key, output.stored.sha256) == (stored.s3_key, stored.sha256)
    with pytest.raises(LedgerError, match="another content"):
        desk.ledger.record_stored(key, 0, replace(facts(), sha256="2" * 64))


def test_what_is_too_large_is_settled_and_stored_all_the_same_when_it_comes(desk: Desk) -> None:
    key = _succeeded(desk, "a")
    with pytest.raises(LedgerError, match="not stored"):
        desk.ledger.mark_collected(key)
    desk.ledger.record_output_problem(key, 0, "too large", settled_above=512)
    [output] = desk.ledger.outputs_of([key])[key]
    assert (output.settled_above, output.problem, output.is_missing) == (512, "too large", False)
    desk.ledger.mark_collected(key)
    assert desk.ledger.submission(key).collected_at is not None
    desk.ledger.record_stored(key, 0, facts())
    [output] = desk.ledger.outputs_of([key])[key]
    assert (output.settled_above, output.problem) == (None, None)


def test_the_first_doubt_is_remembered(desk: Desk) -> None:
    key = _succeeded(desk, "a")
    first = desk.clock.now()
    for _ in range(2):
        desk.ledger.record_output_problem(key, 0, "a page", doubted=True)
        desk.clock.advance(60)
    [output] = desk.ledger.outputs_of([key])[key]
    assert (output.doubted_at, output.attempts) == (first, 2)


def test_a_content_is_found_wherever_it_is_stored(desk: Desk) -> None:
    keys = [_succeeded(desk, row) for row in ("a", "b")]
    stored = replace(facts(), sha256=uuid.uuid4().hex)
    assert desk.ledger.stored_with(stored.sha256) == []
    for key in keys:
        desk.ledger.record_stored(key, 0, stored)
    found = desk.ledger.stored_with(stored.sha256)
    assert sorted(one.submission_key for one in found) == sorted(keys)
    assert len(desk.ledger.stored_with(stored.sha256, limit=1)) == 1
