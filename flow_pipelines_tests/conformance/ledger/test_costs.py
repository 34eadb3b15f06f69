"""What everything cost, by night and by the time of purchase."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from flow_pipelines.model import CostBasis
from flow_pipelines_tests.conformance.ledger.desk import (
    PROVIDER,
    Desk,
    S,
    facts,
    key_of,
    new_night,
    refs,
    report,
)


def test_only_nights_that_changed_since_are_given_and_those_whole(desk: Desk) -> None:
    old, touched = new_night(), new_night()
    for night in (old, touched):
        desk.plan(night, range(2))
        for number in range(2):
            desk.submit(key_of(night, number))
            desk.poll(key_of(night, number), S.SUCCEEDED, cost="0.1", outputs=refs("a"))
    before = desk.clock.now()
    desk.clock.advance(3600)
    desk.ledger.record_stored(key_of(touched, 0), 0, facts())

    lines = desk.ledger.cost_lines(changed_since=desk.clock.now())

    assert [(line.night, line.runs, line.images) for line in lines] == [(touched, 2, 1)]
    assert lines[0].cost_usd == Decimal("0.2")
    assert lines[0].bought_at == before
    assert len(desk.ledger.cost_lines(changed_since=before)) == 2
    assert desk.ledger.cost_lines(changed_since=desk.clock.now() + timedelta(seconds=1)) == []


def test_a_night_that_was_only_planned_was_bought_at_no_time(desk: Desk) -> None:
    desk.plan(new_night())

    [line] = desk.ledger.cost_lines()

    assert (line.runs, line.cost_usd, line.bought_at) == (0, Decimal(0), None)


def test_a_cost_is_unknown_once_a_run_ended_without_one_or_may_exist(desk: Desk) -> None:
    desk.reach(S.RUNNING)
    desk.reach(S.PLANNED)
    for state in (S.SUCCEEDED, S.FAILED, S.UNRESOLVED):
        desk.reach(state)

    lines = desk.ledger.cost_lines()

    assert sum(line.runs_cost_unknown for line in lines) == 3
    assert sum(line.runs for line in lines) == 3


def test_spend_counts_what_was_sent_in_the_span_by_provider_and_batch(desk: Desk) -> None:
    start = desk.clock.now()
    posters, covers = new_night("posters"), new_night("covers")
    for night in (posters, covers):
        desk.plan(night, range(2))
    desk.submit(key_of(posters, 0))
    desk.poll(key_of(posters, 0), S.SUCCEEDED, cost="0.1")
    desk.ledger.record_poll(
        (desk.submit(key_of(covers, 0))).submission_key,
        report(f"run {key_of(covers, 0)}", S.SUCCEEDED),
        next_poll_at=None,
        cost_usd=Decimal("0.000003"),
        cost_basis=CostBasis.ESTIMATED,
    )
    desk.clock.advance(60)
    later = desk.clock.now()
    desk.submit(key_of(posters, 1))
    desk.poll(key_of(posters, 1), S.SUCCEEDED)

    first = desk.ledger.spend(start, later)
    second = desk.ledger.spend(later, later + timedelta(seconds=1))

    assert [(one.provider, one.batch, one.runs, one.cost_usd) for one in first] == [
        (PROVIDER, "covers", 1, Decimal("0.000003")),
        (PROVIDER, "posters", 1, Decimal("0.1")),
    ]
    assert [one.estimated_usd for one in first] == [Decimal("0.000003"), 0]
    assert [(one.batch, one.cost_usd, one.runs_cost_unknown) for one in second] == [
        ("posters", 0, 1)
    ]
    assert desk.ledger.spend(later + timedelta(seconds=1), later + timedelta(days=9)) == []
