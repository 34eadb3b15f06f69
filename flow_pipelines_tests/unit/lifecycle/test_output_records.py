"""What reached the bucket is noted, whatever goes wrong beside it."""

from __future__ import annotations

from typing import Any

import pytest

from flow_pipelines.lifecycle import collect, collect_night, output_records, wait_for_night
from flow_pipelines.model.errors import LedgerError, StorageError
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness


def finish(harness: LifecycleHarness, *prompts: str) -> list[str]:
    """Buy a night, poll it to its end, and give its submissions."""
    harness.plan(*prompts)
    harness.submit()
    assert wait_for_night(harness.ports, harness.night, owner="run-1", wait_seconds=600) == 0
    return [one.submission_key for one in harness.ledger.submissions(harness.night)]


def collected(harness: LifecycleHarness) -> list[str]:
    found = harness.ledger.submissions(harness.night)
    return [one.submission_key for one in found if one.collected_at is not None]


def test_where_the_ledger_refuses_many_at_once_each_is_noted_alone(
    harness: LifecycleHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = finish(harness, "a cat", "a dog", "a fox")

    def refuse(*_: Any) -> None:
        raise LedgerError("one of them is not as it should be")

    monkeypatch.setattr(harness.ledger, "record_collected", refuse)
    summary = collect_night(harness.night, harness.ports, owner="run-1")
    assert (summary.images, collected(harness)) == (3, keys)


def test_what_was_carried_before_the_bucket_refused_is_noted(
    harness: LifecycleHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = finish(harness, "a cat", "a dog")
    put_new = harness.store.put_new

    def once(key: str, *rest: Any, **more: Any) -> Any:
        if keys[1][:8] in key:
            raise StorageError("the bucket takes no more")
        return put_new(key, *rest, **more)

    monkeypatch.setattr(harness.store, "put_new", once)
    with pytest.raises(StorageError, match="no more"):
        collect_night(harness.night, harness.ports, owner="run-1")
    assert collected(harness) == keys[:1]


def test_more_runs_than_threads_are_given_at_a_time_are_all_collected(
    harness: LifecycleHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "PAGE", 2)
    keys = finish(harness, "a cat", "a dog", "a fox", "an owl", "a hare")

    summary = collect_night(harness.night, harness.ports, owner="run-1")

    assert (summary.images, collected(harness)) == (5, keys)


def test_what_was_carried_before_somebody_interrupted_is_noted(
    harness: LifecycleHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = finish(harness, "a cat", "a dog", "a fox")
    interruptions = iter([KeyboardInterrupt])
    real = output_records.wait

    def interrupted(*given: Any, **more: Any) -> Any:
        for one in interruptions:
            real(*given)
            raise one
        return real(*given, **more)

    monkeypatch.setattr(output_records, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        collect_night(harness.night, harness.ports, owner="run-1")

    assert collected(harness) == keys
