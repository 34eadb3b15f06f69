"""What resource keys stand for, and what a night has planned for whom."""

from __future__ import annotations

from flow_pipelines_tests.conformance.ledger.ledger_driver import LedgerDriver, key_of, new_night


def test_what_a_resource_key_stood_for_first_is_kept_until_it_is_forgotten(
    driver: LedgerDriver,
) -> None:
    driver.ledger.forget_account("floyo")
    first = driver.ledger.keep_account("floyo", "floyo", frozenset())
    driver.clock.advance(10)
    known = driver.ledger.keep_account("floyo", "floyo", frozenset({"b", "a"}))
    other = driver.ledger.keep_account("floyo", "flora", frozenset({"c"}))

    assert first.identity == frozenset()
    assert known == other
    assert (known.provider, known.identity, known.seen_at) == ("floyo", {"a", "b"}, first.seen_at)
    assert driver.ledger.forget_account("floyo") == known
    assert driver.ledger.forget_account("floyo") is None


def test_what_is_planned_is_told_by_provider_and_workflow(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night, range(3))
    driver.submit(key_of(night, 0))

    [planned] = driver.ledger.planned_for(night)
    assert (planned.provider, planned.workflow_version, planned.rows) == ("floyo", "version-1", 2)
    assert planned.example == key_of(night, 1)
    assert driver.ledger.planned_for(new_night()) == []
