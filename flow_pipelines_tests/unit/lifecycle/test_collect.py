"""From finished runs to verified objects and tables."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from flow_pipelines.lifecycle import (
    Ports,
    agenda,
    collect_night,
    poll_due,
    regenerate,
    summarize_night,
    wait_for_night,
)
from flow_pipelines.model import Night, RunReport, SubmissionState
from flow_pipelines.model.errors import RateLimited, TransferError
from flow_pipelines_tests.fake_provider import png
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness


def finish(harness: LifecycleHarness, *prompts: str) -> None:
    """Buy a night and poll it to its end."""
    harness.plan(*prompts)
    harness.submit()
    assert wait_for_night(harness.ports, harness.night, owner="run-1", wait_seconds=600) == 0


def table(harness: LifecycleHarness, name: str) -> pd.DataFrame:
    """Read one of the night's tables from the bucket."""
    key = harness.store.key(harness.night.batch, harness.night.partition_key, name)
    return pd.read_parquet(io.BytesIO(harness.store.get(key) or b""))


def images(harness: LifecycleHarness) -> list[str]:
    """List the night's images in the bucket."""
    folder = harness.store.key(harness.night.batch, harness.night.partition_key, "images")
    return list(harness.store.list_keys(folder))


def test_a_night_is_stored_whole_with_both_tables(harness: LifecycleHarness) -> None:
    harness.with_settings(price_usd_per_run=Decimal("0.01"))
    finish(harness, "a cat", "a dog")
    summary = collect_night(harness.night, harness.ports, owner="run-1")
    assert (summary.images, summary.failed, summary.in_flight) == (2, 0, 0)
    assert summary.cost_usd == Decimal("0.02")
    runs, manifest = table(harness, "runs.parquet"), table(harness, "manifest.parquet")
    assert list(runs["status"]) == ["succeeded", "succeeded"]
    assert sum(manifest["cost_usd"]) == Decimal("0.02")
    assert len(images(harness)) == len(manifest) == 2
    assert runs["flotime_ms"].sum() == summary.flotime_ms == 3000


def test_collecting_again_fetches_and_changes_nothing(harness: LifecycleHarness) -> None:
    finish(harness, "a cat")
    collect_night(harness.night, harness.ports, owner="run-1")
    before = images(harness)

    def explode(output_id: str) -> bytes:
        raise AssertionError(output_id)

    harness.provider.on_fetch = explode
    collect_night(harness.night, harness.ports, owner="run-2")
    assert images(harness) == before


def test_a_truncated_picture_is_kept_as_damaged_and_gives_way_to_a_whole_one(
    harness: LifecycleHarness,
) -> None:
    finish(harness, "a cat", "a dog")
    bad = "file_run_0001_0"
    harness.provider.on_fetch = lambda output_id: png(output_id)[:40] if output_id == bad else None
    summary = collect_night(harness.night, harness.ports, owner="run-1")
    assert (summary.images, summary.without_image, summary.damaged) == (1, 0, 1)
    assert sorted(key.rpartition(".0.")[2] for key in images(harness)) == ["damaged.png", "png"]
    harness.provider.on_fetch = lambda _id: None
    posts = len(harness.provider.posts)
    summary = collect_night(harness.night, harness.ports, owner="run-2")
    assert (summary.images, summary.damaged) == (2, 0)
    assert list(table(harness, "manifest.parquet")["verified"]) == ["decoded", "decoded"]
    assert len(harness.provider.posts) == posts


def test_what_is_damaged_is_looked_for_once_a_collection_and_asks_for_none_itself(
    harness: LifecycleHarness,
) -> None:
    finish(harness, "a cat")
    fetches: list[str] = []

    def cut(output_id: str) -> bytes:
        fetches.append(output_id)
        return png(output_id)[:40]

    harness.provider.on_fetch = cut
    collect_night(harness.night, harness.ports, owner="run-1")
    before, record = len(fetches), harness.ledger.night(harness.night)
    collect_night(harness.night, harness.ports, owner="run-2")
    assert len(fetches) == before + 1
    assert harness.ledger.night(harness.night) == record
    assert harness.ledger.nights_to_do([harness.night.batch]) == []


@pytest.mark.case(
    "a CDN's error page under 200 in the place of a picture: fetched again and again, red for ever",
    "it is fetched again for a day, by the sensor, and then kept as damaged",
)
def test_a_page_in_the_place_of_a_picture_is_fetched_for_a_day_and_then_kept(
    harness: LifecycleHarness,
) -> None:
    finish(harness, "a cat")
    harness.provider.on_fetch = lambda _id: b"<html>Just a moment</html>"
    began, collections = harness.clock.now(), 0
    summary = collect_night(harness.night, harness.ports, owner="run-0")
    while summary.without_image:
        assert images(harness) == []
        assert harness.clock.now() - began < timedelta(days=2)
        todos = agenda(harness.ledger, harness.clock, batches=[harness.night.batch]).todos
        if todos:
            collections += 1
            summary = collect_night(harness.night, harness.ports, owner=f"run-{collections}")
        harness.clock.advance(600)
    assert harness.clock.now() - began > timedelta(days=1)
    assert collections > 5
    assert [key.rpartition(".0.")[2] for key in images(harness)] == ["damaged.bin"]
    assert (summary.images, summary.damaged) == (0, 1)
    assert harness.ledger.nights_to_do([harness.night.batch]) == []
    harness.provider.on_fetch = lambda _id: None
    assert collect_night(harness.night, harness.ports, owner="later").images == 1
    assert [key.rpartition(".0.")[2] for key in images(harness)] == ["damaged.bin", "png"]


@pytest.mark.case(
    "a file above the limit was downloaded anew with each collection, and its row stayed red",
    "it is told once, counts as settled, and is fetched when max_output_bytes is raised",
)
def test_a_file_above_the_limit_is_told_once_and_fetched_when_the_limit_is_raised(
    harness: LifecycleHarness,
) -> None:
    finish(harness, "a cat", "a dog")
    fetches: list[str] = []
    content = png("large") + bytes(2000)

    def large(output_id: str) -> bytes | None:
        fetches.append(output_id)
        return content if output_id == "file_run_0001_0" else None

    harness.provider.on_fetch = large
    ports = replace(harness.ports, max_output_bytes=1000)
    summary = collect_night(harness.night, ports, owner="run-1")
    assert (summary.images, summary.without_image, summary.left_out) == (1, 0, 1)
    assert harness.ledger.nights_to_do([harness.night.batch]) == []
    before = len(fetches)
    collect_night(harness.night, ports, owner="run-2")
    assert (len(fetches), sum("max_output_bytes" in line for line in harness.lines)) == (before, 1)
    summary = collect_night(harness.night, harness.ports, owner="run-3")
    assert (summary.images, summary.left_out) == (2, 0)


@pytest.mark.parametrize(("told", "fetches"), [(30.0, [0.0, 30.0, 60.0]), (61.0, [0.0])])
def test_a_download_is_repeated_no_sooner_than_it_was_told_or_left_for_later(
    harness: LifecycleHarness, told: float, fetches: list[float]
) -> None:
    finish(harness, "a cat")
    began, seen = harness.clock.monotonic(), list[float]()

    def refuse(_output_id: str) -> bytes:
        seen.append(harness.clock.monotonic() - began)
        raise RateLimited(
            "wait", provider="floyo", operation="download_file", retry_after_seconds=told
        )

    harness.provider.on_fetch = refuse
    assert collect_night(harness.night, harness.ports, owner="run-1").images == 0
    assert seen == pytest.approx(fetches)


def test_an_html_page_is_never_stored_as_a_picture(harness: LifecycleHarness) -> None:
    finish(harness, "a cat")
    harness.provider.on_fetch = lambda _id: b"<html><script>alert(1)</script></html>"
    summary = collect_night(harness.night, harness.ports, owner="run-1")
    assert (summary.images, images(harness)) == (0, [])


def test_a_run_that_ends_without_output_does_not_look_like_a_success(
    harness: LifecycleHarness,
) -> None:
    harness.provider.on_poll = lambda run: harness.provider.finished(run, outputs=0)
    finish(harness, "a cat")
    summary = collect_night(harness.night, harness.ports, owner="run-1")
    assert (summary.succeeded, summary.without_image) == (1, 1)
    assert "without an output" in summary.failures[0]["error_message"]


def test_outputs_that_were_not_listed_at_the_end_are_asked_for_when_collecting(
    harness: LifecycleHarness,
) -> None:
    harness.provider.on_poll = lambda run: harness.provider.finished(run, outputs=0)
    finish(harness, "a cat")
    assert collect_night(harness.night, harness.ports, owner="run-1").images == 0
    harness.provider.on_poll = lambda run: harness.provider.finished(run, outputs=2)
    summary = collect_night(harness.night, harness.ports, owner="run-2")
    assert (summary.images, summary.without_image) == (2, 0)
    polls = len(harness.provider.polls)
    collect_night(harness.night, harness.ports, owner="run-3")
    assert len(harness.provider.polls) == polls


def test_several_outputs_share_the_runs_cost_exactly(harness: LifecycleHarness) -> None:
    harness.with_settings(price_usd_per_run=Decimal("0.01"))
    harness.provider.on_poll = lambda run: harness.provider.finished(run, outputs=3)
    finish(harness, "a cat")
    collect_night(harness.night, harness.ports, owner="run-1")
    assert sum(table(harness, "manifest.parquet")["cost_usd"]) == Decimal("0.01")


def test_failed_runs_stand_in_the_table_with_their_reason(harness: LifecycleHarness) -> None:
    def fail(run: str) -> RunReport | None:
        if run != "run_0001":
            return None
        report = harness.provider.finished(run, outputs=0)
        return replace(
            report, state=SubmissionState.FAILED, error_code="oom", error_message="out of memory"
        )

    harness.provider.on_poll = fail
    finish(harness, "a cat", "a dog")
    summary = collect_night(harness.night, harness.ports, owner="run-1")
    assert (summary.failed, summary.images) == (1, 1)
    assert summary.failures[0]["error_code"] == "oom"
    assert table(harness, "runs.parquet")["error_code"].iloc[0] == "oom"


def test_a_run_that_never_ends_is_collected_around_and_failed_after_seven_days(
    harness: LifecycleHarness,
) -> None:
    running = RunReport(
        provider_run_id="run_0001", state=SubmissionState.RUNNING, provider_status="processing"
    )
    harness.provider.on_poll = lambda run: running if run == "run_0001" else None
    harness.plan("a cat", "a dog")
    harness.submit()
    assert wait_for_night(harness.ports, harness.night, owner="run-1", wait_seconds=300) == 1
    assert collect_night(harness.night, harness.ports, owner="run-1").images == 1
    harness.clock.advance(6 * 86400)
    poll_due(harness.ports, owner="s", budget_seconds=40)
    assert summarize_night(harness.ledger, harness.night).in_flight == 1
    harness.clock.advance(2 * 86400)
    poll_due(harness.ports, owner="s", budget_seconds=40)
    assert summarize_night(harness.ledger, harness.night).failed == 1


def test_a_generation_that_is_planned_while_a_night_is_summed_up_counts_in_the_next(
    harness: LifecycleHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.plan("a cat", "a dog", "a fox")
    harness.submit()
    pages = harness.ledger.submission_pages

    def one_by_one(night: Night, **_: Any) -> Any:
        for number, page in enumerate(pages(night, size=1)):
            yield page
            if number == 0:
                regenerate(harness.settings, night, harness.ports, requested_by="r", scope="all")

    monkeypatch.setattr(harness.ledger, "submission_pages", one_by_one)
    assert (
        summarize_night(harness.ledger, harness.night).rows,
        harness.states().count("planned"),
    ) == (3, 3)
    monkeypatch.undo()
    assert summarize_night(harness.ledger, harness.night).rows == 3


def finish_for_links(harness: LifecycleHarness, *prompts: str) -> Ports:
    """Finish a night whose outputs are opened by links only, as one process does."""
    harness.provider.capabilities = replace(harness.provider.capabilities, durable_outputs=False)
    ports = harness.ports
    harness.plan(*prompts)
    harness.submit()
    wait_for_night(ports, harness.night, owner="run-1", wait_seconds=600)
    return ports


def test_links_of_a_poll_in_this_process_save_asking_for_them_again(
    harness: LifecycleHarness,
) -> None:
    ports = finish_for_links(harness, "a cat", "a dog")
    before = len(harness.provider.polls)

    summary = collect_night(harness.night, ports, owner="run-1")

    assert (summary.images, len(harness.provider.polls)) == (2, before)


def test_a_link_that_is_dead_is_asked_for_anew(harness: LifecycleHarness) -> None:
    ports = finish_for_links(harness, "a cat")
    before, refused = len(harness.provider.polls), []

    def dead_at_first(output_id: str) -> bytes:
        if len(harness.provider.polls) == before:
            refused.append(output_id)
            raise TransferError("the link gives HTTP 403")
        return png(output_id)

    harness.provider.on_fetch = dead_at_first
    summary = collect_night(harness.night, ports, owner="run-1")

    assert refused
    assert (summary.images, len(harness.provider.polls)) == (1, before + 1)
