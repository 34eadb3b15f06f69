"""Reading: lists in their order, filters, limits."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from flow_pipelines.ledger.records import Tally
from flow_pipelines.model import Night
from flow_pipelines_tests.conformance.ledger.desk import (
    PROVIDER,
    Desk,
    S,
    key_of,
    new_night,
    night_plan,
    planned_row,
    refs,
)


def test_submissions_come_by_row_copy_and_generation(desk: Desk) -> None:
    night = new_night()
    rows = [planned_row(night, number, copy=copy) for number in (2, 10, 1) for copy in (1, 0)]
    desk.ledger.plan(night_plan(night), [], rows)
    desk.ledger.regenerate(night, "run", "all", lambda _: [planned_row(night, 2, generation=1)])

    found = desk.ledger.submissions(night)

    assert [(s.row_number, s.copy, s.generation) for s in found] == [
        (1, 0, 0), (1, 1, 0), (2, 0, 0), (2, 0, 1), (2, 1, 0), (10, 0, 0), (10, 1, 0),
    ]  # fmt: skip
    assert desk.ledger.submissions(night, states=[]) == []
    assert desk.ledger.submissions(night, states={S.PLANNED, S.RUNNING}) == found
    assert desk.ledger.submissions(night, states={S.RUNNING}) == []


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7])
def test_pages_give_every_submission_once_in_the_same_order(desk: Desk, size: int) -> None:
    night, other = new_night(), new_night()
    rows = [planned_row(night, number, copy=copy) for number in (2, 10, 1) for copy in (1, 0)]
    desk.ledger.plan(night_plan(night), [], rows)
    desk.plan(other, [0, 1])
    desk.ledger.regenerate(night, "run", "all", lambda _: [planned_row(night, 2, generation=1)])

    pages = list(desk.ledger.submission_pages(night, size=size))

    assert [one for page in pages for one in page] == desk.ledger.submissions(night)
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    assert list(desk.ledger.submission_pages(new_night())) == []


def test_pages_are_read_as_they_are_asked_for(desk: Desk) -> None:
    night = new_night()
    desk.plan(night, range(5))
    numbers = []
    for page in desk.ledger.submission_pages(night, states={S.PLANNED}, size=2):
        numbers.append([one.row_number for one in page])
        desk.begin(key_of(night, page[0].row_number))
        desk.ledger.skip([key_of(night, 3)], "budget")
    assert numbers == [[0, 1], [2, 4]]


def test_outputs_of_some_submissions_come_by_their_key(desk: Desk) -> None:
    night = new_night()
    desk.plan(night, range(3))
    for number in range(3):
        desk.begin(key_of(night, number))
        desk.receive(key_of(night, number))
    for number in (0, 2):
        desk.poll(key_of(night, number), S.SUCCEEDED, outputs=refs("b", "a"))

    keys = [key_of(night, 2), key_of(night, 1)]
    found = desk.ledger.outputs_of(keys)

    assert {key: [one.output_id for one in listed] for key, listed in found.items()} == {
        keys[0]: ["b", "a"]
    }
    assert found[keys[0]] == desk.ledger.outputs(night)[keys[0]]
    assert desk.ledger.outputs_of([]) == {}


def test_a_search_gives_the_latest_planned_first_page_by_page(desk: Desk) -> None:
    first, second = new_night(), new_night()
    desk.plan(first, [0, 1])
    desk.clock.advance(1)
    desk.plan(second, [0, 1])
    expected = [key_of(night, number) for night in (second, first) for number in (0, 1)]

    pages = [desk.ledger.search(limit=1, offset=offset) for offset in range(5)]

    assert [s.submission_key for page in pages for s in page] == expected
    assert [s.submission_key for s in desk.ledger.search()] == expected
    assert [s.submission_key for s in desk.ledger.search_all()] == expected
    assert desk.ledger.count_found() == len(expected)


def test_a_search_to_its_end_gives_every_submission_once(desk: Desk) -> None:
    night = new_night()
    desk.plan(night, range(1203))

    found = [s.submission_key for s in desk.ledger.search_all(batch=night.batch, state=S.PLANNED)]

    assert found == [key_of(night, number) for number in range(1203)]
    assert desk.ledger.count_found(batch=night.batch, state=S.PLANNED) == 1203
    assert next(desk.ledger.search_all()).submission_key == key_of(night, 0)


def test_a_search_narrows_by_everything_at_once(desk: Desk) -> None:
    night, cover = new_night(), new_night("covers")
    desk.plan(night, [0, 1])
    desk.plan(cover, provider="flora")
    desk.begin(key_of(night, 1))

    def found(**filters: object) -> list[str]:
        keys = [s.submission_key for s in desk.ledger.search(**filters)]
        assert [s.submission_key for s in desk.ledger.search_all(**filters)] == keys
        assert desk.ledger.count_found(**filters) == len(keys)
        return keys

    assert found(batch="covers") == found(provider="flora") == [key_of(cover, 0)]
    assert found(partition_key=night.partition_key, state=S.SUBMITTING) == [key_of(night, 1)]
    assert found(batch="posters", provider="flora") == []


def test_unresolved_submissions_come_by_their_intent(desk: Desk) -> None:
    keys = []
    for _ in range(3):
        keys.append(desk.reach(S.UNRESOLVED))
        desk.clock.advance(1)
    elsewhere = desk.reach(S.UNRESOLVED, new_night("covers"))
    desk.ledger.claim_batch("covers", "there")

    def found(**how: Any) -> list[str]:
        how = {"provider": PROVIDER, "resource": PROVIDER, **how}
        return [s.submission_key for s in desk.ledger.unresolved(**how)]

    assert found(location="here") == keys
    assert found(limit=1) == keys[:1]
    assert found() == [*keys, elsewhere]
    assert found(night=desk.ledger.submission(elsewhere).night) == [elsewhere]
    assert found(resource="floyo_second") == found(provider="flora") == []


def test_what_is_outstanding_is_told_by_account_and_batch(desk: Desk) -> None:
    start = desk.clock.now()
    night, gone = new_night(), new_night("gone")
    desk.plan(night, range(4))
    desk.plan(gone)
    desk.submit(key_of(night, 0), poll_in=20)
    desk.submit(key_of(night, 1), poll_in=10)
    desk.begin(key_of(night, 2), resource="floyo_second")
    desk.ledger.park_submission(key_of(night, 2), "lost")
    desk.submit(key_of(gone, 0), poll_in=30)
    desk.ledger.claim_batch("gone", "there")

    def told(**how: Any) -> list[tuple[str, str, int, int]]:
        found = desk.ledger.outstanding(**how)
        return [(one.resource, one.batch, one.in_flight, one.unresolved) for one in found]

    posters = [("floyo", "posters", 2, 0), ("floyo_second", "posters", 0, 1)]
    assert told() == [("floyo", "gone", 1, 0), *posters]
    assert told(location="here") == posters
    assert told(night=gone) == [("floyo", "gone", 1, 0)]
    due = [one.due_at for one in desk.ledger.outstanding(night=night)]
    assert due == [start + timedelta(seconds=10), None]


def test_nights_of_batches_that_nobody_names_are_told(desk: Desk) -> None:
    desk.plan(new_night())
    gone, away = new_night("gone"), new_night("away")
    desk.plan(gone)
    desk.plan(away)
    desk.ledger.claim_batch("away", "there")

    found = desk.ledger.nights_besides(["posters"], location="here")
    assert [record.night for record in found] == [gone]
    assert {record.night.batch for record in desk.ledger.nights_besides([])} == {
        "posters",
        "gone",
        "away",
    }
    assert len(desk.ledger.nights_besides([], limit=1)) == 1


def test_nights_with_something_to_do_come_by_their_latest_change(desk: Desk) -> None:
    nights = [new_night() for _ in range(3)]
    for night in nights:
        desk.plan(night)
        desk.clock.advance(1)
    desk.begin(key_of(nights[0], 0))
    other = new_night("covers")
    desk.plan(other)

    listed = desk.ledger.nights_to_do(["posters"])

    assert [record.night for record in listed] == [nights[0], nights[2], nights[1]]
    assert listed[0].counts == {S.SUBMITTING: 1}
    assert len(desk.ledger.nights_to_do(["posters", "covers"], limit=2)) == 2
    assert desk.ledger.nights_to_do([]) == []


def test_outputs_come_by_row_and_index(desk: Desk) -> None:
    night = new_night()
    desk.plan(night, [1, 0])
    for number in (1, 0):
        desk.submit(key_of(night, number))
        desk.poll(key_of(night, number), S.SUCCEEDED, outputs=refs("x", "a"))

    outputs = desk.ledger.outputs(night)

    assert list(outputs) == [key_of(night, 0), key_of(night, 1)]
    assert [o.output_index for o in outputs[key_of(night, 0)]] == [0, 1]


def test_records_of_several_nights_are_those_that_were_planned(desk: Desk) -> None:
    first, second, other = new_night(), new_night(), new_night("covers")
    for night in (first, second, other):
        desk.plan(night, [0, 1])
    crossed = Night(other.batch, first.partition_key)

    found = desk.ledger.night_records([first, other, crossed])

    assert found == {night: desk.ledger.night(night) for night in (first, other)}
    assert desk.ledger.night_records([]) == {}


def test_counts_of_all_states_add_up(desk: Desk) -> None:
    for state in (S.PLANNED, S.RUNNING, S.RUNNING):
        desk.reach(state)
    desk.reach(S.FAILED, new_night("covers"))

    assert desk.ledger.counts_by_state(["posters", "covers"]) == {
        S.PLANNED: 1,
        S.RUNNING: 2,
        S.FAILED: 1,
    }
    assert desk.ledger.counts_by_state(["covers"]) == {S.FAILED: 1}
    assert desk.ledger.counts_by_state([]) == {}


def test_a_night_is_summed_up_by_generation_and_state(desk: Desk) -> None:
    night = new_night()
    desk.plan(night, range(6))
    ends = []
    for number, cost in enumerate(("0.02", None, "0.000001")):
        desk.submit(key_of(night, number))
        desk.clock.advance(7)
        desk.poll(key_of(night, number), S.SUCCEEDED, cost=cost)
        ends.append(desk.clock.now())
    desk.submit(key_of(night, 3))
    sent_at = desk.clock.now()
    desk.clock.advance(5)
    desk.begin(key_of(night, 4))
    desk.ledger.reject_submission(key_of(night, 4), "bad", "never ran")
    again = [planned_row(night, 0, generation=1)]
    desk.ledger.regenerate(night, "run", "all", lambda _: again)
    desk.plan(new_night(), [0])

    assert desk.ledger.tallies(night) == [
        Tally(generation=0, state=S.FAILED, rows=1),
        Tally(generation=0, state=S.PLANNED, rows=1),
        Tally(generation=0, state=S.SUBMITTED, rows=1, last_sent_at=sent_at),
        Tally(
            generation=0,
            state=S.SUCCEEDED,
            rows=3,
            cost_usd=Decimal("0.020001"),
            ends=3,
            first_end_at=ends[0],
            last_end_at=ends[2],
        ),
        Tally(generation=1, state=S.PLANNED, rows=1),
    ]


def test_many_nights_are_summed_up_at_once_and_each_by_itself(desk: Desk) -> None:
    first = new_night()
    other = Night("covers", new_night().partition_key)
    crossed = Night(first.batch, other.partition_key)
    for night, rows in ((first, 2), (other, 1), (crossed, 3)):
        desk.plan(night, range(rows))
    desk.submit(key_of(first, 0))
    desk.clock.advance(60)
    desk.submit(key_of(first, 1))

    found = desk.ledger.tallies_of([first, other])

    assert found == {
        first: [
            Tally(generation=0, state=S.SUBMITTED, rows=2, last_sent_at=desk.clock.now()),
        ],
        other: [Tally(generation=0, state=S.PLANNED, rows=1)],
    }
    assert desk.ledger.tallies_of([]) == {}


def test_nothing_is_found_in_an_empty_ledger(desk: Desk) -> None:
    night = new_night()

    assert desk.ledger.night(night) is None
    assert desk.ledger.submissions(night) == desk.ledger.prompt_rows(night) == []
    assert desk.ledger.outputs(night) == {}
    assert desk.ledger.tallies(night) == []
    assert desk.ledger.search() == desk.ledger.cost_lines() == []
    assert desk.ledger.reserved_usd("floyo", desk.clock.now()) == 0


def test_runs_that_a_submission_has_are_known_at_their_provider_alone(desk: Desk) -> None:
    night, cover = new_night(), new_night("covers")
    desk.plan(night, [0, 1])
    desk.plan(cover, provider="flora")
    for key, run in ((key_of(night, 0), "run a"), (key_of(cover, 0), "run b")):
        desk.begin(key)
        desk.receive(key, run)
    asked = ["run a", "run b", "run c", *(f"run {number}" for number in range(600))]

    assert desk.ledger.known_runs("floyo", asked) == {"run a"}
    assert desk.ledger.known_runs("flora", asked) == {"run b"}
    assert desk.ledger.known_runs("floimg", asked) == set()
    assert desk.ledger.known_runs("floyo", []) == set()


def test_the_ledger_tells_which_provider_runs_it_knows(desk: Desk) -> None:
    key = desk.reach(S.RUNNING)

    assert desk.ledger.known_runs(PROVIDER, [f"run {key}", "another"]) == {f"run {key}"}
    assert desk.ledger.known_runs("flora", [f"run {key}"]) == set()
    assert desk.ledger.known_runs(PROVIDER, []) == set()
