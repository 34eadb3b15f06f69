"""What resource keys stand for, and what a night has planned for whom."""

from __future__ import annotations

from flow_pipelines_tests.conformance.ledger.desk import Desk, key_of, new_night


def test_what_a_resource_key_stood_for_first_is_kept_until_it_is_forgotten(desk: Desk) -> None:
    desk.ledger.forget_account("floyo")
    first = desk.ledger.keep_account("floyo", "floyo", frozenset())
    desk.clock.advance(10)
    known = desk.ledger.keep_account("floyo", "floyo", frozenset({"b", "a"}))
    other = desk.ledger.keep_account("floyo", "flora", frozenset({"c"}))

    assert first.identity == frozenset()
    assert known == other
    assert (known.provider, known.identity, known.seen_at) == ("floyo", {"a", "b"}, first.seen_at)
    assert desk.ledger.forget_account("floyo") == known
    assert desk.ledger.forget_account("floyo") is None


def test_what_is_planned_is_told_by_provider_and_workflow(desk: Desk) -> None:
    night = new_night()
    desk.plan(night, range(3))
    desk.submit(key_of(night, 0))

    [planned] = desk.ledger.planned_for(night)
    assert (planned.provider, planned.workflow_version, planned.rows) == ("floyo", "version-1", 2)
    assert planned.example == key_of(night, 1)
    assert desk.ledger.planned_for(new_night()) == []
