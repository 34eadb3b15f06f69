"""Reading: lists in their order, filters, limits."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from flow_pipelines.ledger.records import Tally
from flow_pipelines.model import Night
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    PROVIDER,
    LedgerDriver,
    S,
    key_of,
    new_night,
    night_plan,
    planned_row,
    refs,
)


def test_submissions_come_by_row_copy_and_generation(driver: LedgerDriver) -> None:
    night = new_night()
    rows = [planned_row(night, number, copy=copy) for number in (2, 10, 1) for copy in (1, 0)]
    driver.ledger.plan(night_plan(night), [], rows)
    driver.ledger.regenerate(night, "run", "all", lambda _: [planned_row(night, 2, generation=1)])

    found = driver.ledger.submissions(night)

    assert [(s.row_number, s.copy, s.generation) for s in found] == [
        (1, 0, 0), (1, 1, 0), (2, 0, 0), (2, 0, 1), (2, 1, 0), (10, 0, 0), (10, 1, 0),
    ]  # fmt: skip
    assert driver.ledger.submissions(night, states=[]) == []
    assert driver.ledger.submissions(night, states={S.PLANNED, S.RUNNING}) == found
    assert driver.ledger.submissions(night, states={S.RUNNING}) == []


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7])
def test_pages_give_every_submission_once_in_the_same_order(
    driver: LedgerDriver, size: int
) -> None:
    night, other = new_night(), new_night()
    rows = [planned_row(night, number, copy=copy) for number in (2, 10, 1) for copy in (1, 0)]
    driver.ledger.plan(night_plan(night), [], rows)
    driver.plan(other, [0, 1])
    driver.ledger.regenerate(night, "run", "all", lambda _: [planned_row(night, 2, generation=1)])

    pages = list(driver.ledger.submission_pages(night, size=size))

    assert [one for page in pages for one in page] == driver.ledger.submissions(night)
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    assert list(driver.ledger.submission_pages(new_night())) == []


def test_pages_are_read_as_they_are_asked_for(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night, range(5))
    numbers = []
    for page in driver.ledger.submission_pages(night, states={S.PLANNED}, size=2):
        numbers.append([one.row_number for one in page])
        driver.begin(key_of(night, page[0].row_number))
        driver.ledger.skip([key_of(night, 3)], "budget")
    assert numbers == [[0, 1], [2, 4]]


def test_outputs_of_some_submissions_come_by_their_key(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night, range(3))
    for number in range(3):
        driver.begin(key_of(night, number))
        driver.receive(key_of(night, number))
    for number in (0, 2):
        driver.poll(key_of(night, number), S.SUCCEEDED, outputs=refs("b", "a"))

    keys = [key_of(night, 2), key_of(night, 1)]
    found = driver.ledger.outputs_of(keys)

    assert {key: [one.output_id for one in listed] for key, listed in found.items()} == {
        keys[0]: ["b", "a"]
    }
    assert found[keys[0]] == driver.ledger.outputs(night)[keys[0]]
    assert driver.ledger.outputs_of([]) == {}


def test_a_search_gives_the_latest_planned_first_page_by_page(driver: LedgerDriver) -> None:
    first, second = new_night(), new_night()
    driver.plan(first, [0, 1])
    driver.clock.advance(1)
    driver.plan(second, [0, 1])
    expected = [key_of(night, number) for night in (second, first) for number in (0, 1)]

    pages = [driver.ledger.search(limit=1, offset=offset) for offset in range(5)]

    assert [s.submission_key for page in pages for s in page] == expected
    assert [s.submission_key for s in driver.ledger.search()] == expected
    assert [s.submission_key for s in driver.ledger.search_all()] == expected
    assert driver.ledger.count_found() == len(expected)


def test_a_search_to_its_end_gives_every_submission_once(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night, range(1203))

    found = [s.submission_key for s in driver.ledger.search_all(batch=night.batch, state=S.PLANNED)]

    assert found == [key_of(night, number) for number in range(1203)]
    assert driver.ledger.count_found(batch=night.batch, state=S.PLANNED) == 1203
    assert next(driver.ledger.search_all()).submission_key == key_of(night, 0)


def test_a_search_narrows_by_everything_at_once(driver: LedgerDriver) -> None:
    night, cover = new_night(), new_night("covers")
    driver.plan(night, [0, 1])
    driver.plan(cover, provider="flora")
    driver.begin(key_of(night, 1))

    def found(**filters: object) -> list[str]:
        keys = [s.submission_key for s in driver.ledger.search(**filters)]
        assert [s.submission_key for s in driver.ledger.search_all(**filters)] == keys
        assert driver.ledger.count_found(**filters) == len(keys)
        return keys

    assert found(batch="covers") == found(provider="flora") == [key_of(cover, 0)]
    assert found(partition_key=night.partition_key, state=S.SUBMITTING) == [key_of(night, 1)]
    assert found(batch="posters", provider="flora") == []


def test_unresolved_submissions_come_by_their_intent(driver: LedgerDriver) -> None:
    keys = []
    for _ in range(3):
        keys.append(driver.reach(S.UNRESOLVED))
        driver.clock.advance(1)
    elsewhere = driver.reach(S.UNRESOLVED, new_night("covers"))
    driver.ledger.claim_batch("covers", "there")

    def found(**how: Any) -> list[str]:
        how = {"provider": PROVIDER, "resource": PROVIDER, **how}
        return [s.submission_key for s in driver.ledger.unresolved(**how)]

    assert found(location="here") == keys
    assert found(limit=1) == keys[:1]
    assert found() == [*keys, elsewhere]
    assert found(night=driver.ledger.submission(elsewhere).night) == [elsewhere]
    assert found(resource="floyo_second") == found(provider="flora") == []


def test_what_is_outstanding_is_told_by_account_and_batch(driver: LedgerDriver) -> None:
    start = driver.clock.now()
    night, gone = new_night(), new_night("gone")
    driver.plan(night, range(4))
    driver.plan(gone)
    driver.submit(key_of(night, 0), poll_in=20)
    driver.submit(key_of(night, 1), poll_in=10)
    driver.begin(key_of(night, 2), resource="floyo_second")
    driver.ledger.park_submission(key_of(night, 2), "lost")
    driver.submit(key_of(gone, 0), poll_in=30)
    driver.ledger.claim_batch("gone", "there")

    def told(**how: Any) -> list[tuple[str, str, int, int]]:
        found = driver.ledger.outstanding(**how)
        return [(one.resource, one.batch, one.in_flight, one.unresolved) for one in found]

    posters = [("floyo", "posters", 2, 0), ("floyo_second", "posters", 0, 1)]
    assert told() == [("floyo", "gone", 1, 0), *posters]
    assert told(location="here") == posters
    assert told(night=gone) == [("floyo", "gone", 1, 0)]
    due = [one.due_at for one in driver.ledger.outstanding(night=night)]
    assert due == [start + timedelta(seconds=10), None]


def test_nights_of_batches_that_nobody_names_are_told(driver: LedgerDriver) -> None:
    driver.plan(new_night())
    gone, away = new_night("gone"), new_night("away")
    driver.plan(gone)
    driver.plan(away)
    driver.ledger.claim_batch("away", "there")

    found = driver.ledger.nights_besides(["posters"], location="here")
    assert [record.night for record in found] == [gone]
    assert {record.night.batch for record in driver.ledger.nights_besides([])} == {
        "posters",
        "gone",
        "away",
    }
    assert len(driver.ledger.nights_besides([], limit=1)) == 1


def test_nights_with_something_to_do_come_by_their_latest_change(driver: LedgerDriver) -> None:
    nights = [new_night() for _ in range(3)]
    for night in nights:
        driver.plan(night)
        driver.clock.advance(1)
    driver.begin(key_of(nights[0], 0))
    other = new_night("covers")
    driver.plan(other)

    listed = driver.ledger.nights_to_do(["posters"])

    assert [record.night for record in listed] == [nights[0], nights[2], nights[1]]
    assert listed[0].counts == {S.SUBMITTING: 1}
    assert len(driver.ledger.nights_to_do(["posters", "covers"], limit=2)) == 2
    assert driver.ledger.nights_to_do([]) == []


def test_outputs_come_by_row_and_index(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night, [1, 0])
    for number in (1, 0):
        driver.submit(key_of(night, number))
        driver.poll(key_of(night, number), S.SUCCEEDED, outputs=refs("x", "a"))

    outputs = driver.ledger.outputs(night)

    assert list(outputs) == [key_of(night, 0), key_of(night, 1)]
    assert [o.output_index for o in outputs[key_of(night, 0)]] == [0, 1]


def test_records_of_several_nights_are_those_that_were_planned(driver: LedgerDriver) -> None:
    first, second, other = new_night(), new_night(), new_night("covers")
    for night in (first, second, other):
        driver.plan(night, [0, 1])
    crossed = Night(other.batch, first.partition_key)

    found = driver.ledger.night_records([first, other, crossed])

    assert found == {night: driver.ledger.night(night) for night in (first, other)}
    assert driver.ledger.night_records([]) == {}


def test_counts_of_all_states_add_up(driver: LedgerDriver) -> None:
    for state in (S.PLANNED, S.RUNNING, S.RUNNING):
        driver.reach(state)
    driver.reach(S.FAILED, new_night("covers"))

    assert driver.ledger.counts_by_state(["posters", "covers"]) == {
        S.PLANNED: 1,
        S.RUNNING: 2,
        S.FAILED: 1,
    }
    assert driver.ledger.counts_by_state(["covers"]) == {S.FAILED: 1}
    assert driver.ledger.counts_by_state([]) == {}


def test_a_night_is_summed_up_by_generation_and_state(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night, range(6))
    ends = []
    for number, cost in enumerate(("0.02", None, "0.000001")):
        driver.submit(key_of(night, number))
        driver.clock.advance(7)
        driver.poll(key_of(night, number), S.SUCCEEDED, cost=cost)
        ends.append(driver.clock.now())
    driver.submit(key_of(night, 3))
    sent_at = driver.clock.now()
    driver.clock.advance(5)
    driver.begin(key_of(night, 4))
    driver.ledger.reject_submission(key_of(night, 4), "bad", "never ran")
    again = [planned_row(night, 0, generation=1)]
    driver.ledger.regenerate(night, "run", "all", lambda _: again)
    driver.plan(new_night(), [0])

    assert driver.ledger.tallies(night) == [
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


def test_many_nights_are_summed_up_at_once_and_each_by_itself(driver: LedgerDriver) -> None:
    first = new_night()
    other = Night("covers", new_night().partition_key)
    crossed = Night(first.batch, other.partition_key)
    for night, rows in ((first, 2), (other, 1), (crossed, 3)):
        driver.plan(night, range(rows))
    driver.submit(key_of(first, 0))
    driver.clock.advance(60)
    driver.submit(key_of(first, 1))

    found = driver.ledger.tallies_of([first, other])

    assert found == {
        first: [
            Tally(generation=0, state=S.SUBMITTED, rows=2, last_sent_at=driver.clock.now()),
        ],
        other: [Tally(generation=0, state=S.PLANNED, rows=1)],
    }
    assert driver.ledger.tallies_of([]) == {}


def test_nothing_is_found_in_an_empty_ledger(driver: LedgerDriver) -> None:
    night = new_night()

    assert driver.ledger.night(night) is None
    assert driver.ledger.submissions(night) == driver.ledger.prompt_rows(night) == []
    assert driver.ledger.outputs(night) == {}
    assert driver.ledger.tallies(night) == []
    assert driver.ledger.search() == driver.ledger.cost_lines() == []
    assert driver.ledger.reserved_usd("floyo", driver.clock.now()) == 0


def test_runs_that_a_submission_has_are_known_at_their_provider_alone(driver: LedgerDriver) -> None:
    night, cover = new_night(), new_night("covers")
    driver.plan(night, [0, 1])
    driver.plan(cover, provider="flora")
    for key, run in ((key_of(night, 0), "run a"), (key_of(cover, 0), "run b")):
        driver.begin(key)
        driver.receive(key, run)
    asked = ["run a", "run b", "run c", *(f"run {number}" for number in range(600))]

    assert driver.ledger.known_runs("floyo", asked) == {"run a"}
    assert driver.ledger.known_runs("flora", asked) == {"run b"}
    assert driver.ledger.known_runs("floimg", asked) == set()
    assert driver.ledger.known_runs("floyo", []) == set()


def test_the_ledger_tells_which_provider_runs_it_knows(driver: LedgerDriver) -> None:
    key = driver.reach(S.RUNNING)

    assert driver.ledger.known_runs(PROVIDER, [f"run {key}", "another"]) == {f"run {key}"}
    assert driver.ledger.known_runs("flora", [f"run {key}"]) == set()
    assert driver.ledger.known_runs(PROVIDER, []) == set()
