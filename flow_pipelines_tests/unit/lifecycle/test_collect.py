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
from flow_pipelines_tests.unit.lifecycle.conftest import Lab


def finish(lab: Lab, *prompts: str) -> None:
    """Buy a night and poll it to its end."""
    lab.plan(*prompts)
    lab.submit()
    assert wait_for_night(lab.ports, lab.night, owner="run-1", wait_seconds=600) == 0


def table(lab: Lab, name: str) -> pd.DataFrame:
    """Read one of the night's tables from the bucket."""
    key = lab.store.key(lab.night.batch, lab.night.partition_key, name)
    return pd.read_parquet(io.BytesIO(lab.store.get(key) or b""))


def images(lab: Lab) -> list[str]:
    """List the night's images in the bucket."""
    folder = lab.store.key(lab.night.batch, lab.night.partition_key, "images")
    return list(lab.store.list_keys(folder))


def test_a_night_is_stored_whole_with_both_tables(lab: Lab) -> None:
    lab.with_settings(price_usd_per_run=Decimal("0.01"))
    finish(lab, "a cat", "a dog")
    summary = collect_night(lab.night, lab.ports, owner="run-1")
    assert (summary.images, summary.failed, summary.in_flight) == (2, 0, 0)
    assert summary.cost_usd == Decimal("0.02")
    runs, manifest = table(lab, "runs.parquet"), table(lab, "manifest.parquet")
    assert list(runs["status"]) == ["succeeded", "succeeded"]
    assert sum(manifest["cost_usd"]) == Decimal("0.02")
    assert len(images(lab)) == len(manifest) == 2
    assert runs["flotime_ms"].sum() == summary.flotime_ms == 3000


def test_collecting_again_fetches_and_changes_nothing(lab: Lab) -> None:
    finish(lab, "a cat")
    collect_night(lab.night, lab.ports, owner="run-1")
    before = images(lab)

    def explode(output_id: str) -> bytes:
        raise AssertionError(output_id)

    lab.provider.on_fetch = explode
    collect_night(lab.night, lab.ports, owner="run-2")
    assert images(lab) == before


def test_a_truncated_picture_is_kept_as_damaged_and_gives_way_to_a_whole_one(lab: Lab) -> None:
    finish(lab, "a cat", "a dog")
    bad = "file_run_0001_0"
    lab.provider.on_fetch = lambda output_id: png(output_id)[:40] if output_id == bad else None
    summary = collect_night(lab.night, lab.ports, owner="run-1")
    assert (summary.images, summary.without_image, summary.damaged) == (1, 0, 1)
    assert sorted(key.rpartition(".0.")[2] for key in images(lab)) == ["damaged.png", "png"]
    lab.provider.on_fetch = lambda _id: None
    posts = len(lab.provider.posts)
    summary = collect_night(lab.night, lab.ports, owner="run-2")
    assert (summary.images, summary.damaged) == (2, 0)
    assert list(table(lab, "manifest.parquet")["verified"]) == ["decoded", "decoded"]
    assert len(lab.provider.posts) == posts


def test_what_is_damaged_is_looked_for_once_a_collection_and_asks_for_none_itself(lab: Lab) -> None:
    finish(lab, "a cat")
    fetches: list[str] = []

    def cut(output_id: str) -> bytes:
        fetches.append(output_id)
        return png(output_id)[:40]

    lab.provider.on_fetch = cut
    collect_night(lab.night, lab.ports, owner="run-1")
    before, record = len(fetches), lab.ledger.night(lab.night)
    collect_night(lab.night, lab.ports, owner="run-2")
    assert len(fetches) == before + 1
    assert lab.ledger.night(lab.night) == record
    assert lab.ledger.nights_to_do([lab.night.batch]) == []


@pytest.mark.case(
    "a CDN's error page under 200 in the place of a picture: fetched again and again, red for ever",
    "it is fetched again for a day, by the sensor, and then kept as damaged",
)
def test_a_page_in_the_place_of_a_picture_is_fetched_for_a_day_and_then_kept(lab: Lab) -> None:
    finish(lab, "a cat")
    lab.provider.on_fetch = lambda _id: b"<html>Just a moment</html>"
    began, collections = lab.clock.now(), 0
    summary = collect_night(lab.night, lab.ports, owner="run-0")
    while summary.without_image:
        assert images(lab) == []
        assert lab.clock.now() - began < timedelta(days=2)
        todos = agenda(lab.ledger, lab.clock, batches=[lab.night.batch]).todos
        if todos:
            collections += 1
            summary = collect_night(lab.night, lab.ports, owner=f"run-{collections}")
        lab.clock.advance(600)
    assert lab.clock.now() - began > timedelta(days=1)
    assert collections > 5
    assert [key.rpartition(".0.")[2] for key in images(lab)] == ["damaged.bin"]
    assert (summary.images, summary.damaged) == (0, 1)
    assert lab.ledger.nights_to_do([lab.night.batch]) == []
    lab.provider.on_fetch = lambda _id: None
    assert collect_night(lab.night, lab.ports, owner="later").images == 1
    assert [key.rpartition(".0.")[2] for key in images(lab)] == ["damaged.bin", "png"]


@pytest.mark.case(
    "a file above the limit was downloaded anew with each collection, and its row stayed red",
    "it is told once, counts as settled, and is fetched when max_output_bytes is raised",
)
def test_a_file_above_the_limit_is_told_once_and_fetched_when_the_limit_is_raised(lab: Lab) -> None:
    finish(lab, "a cat", "a dog")
    fetches: list[str] = []
    content = png("large") + bytes(2000)

    def large(output_id: str) -> bytes | None:
        fetches.append(output_id)
        return content if output_id == "file_run_0001_0" else None

    lab.provider.on_fetch = large
    ports = replace(lab.ports, max_output_bytes=1000)
    summary = collect_night(lab.night, ports, owner="run-1")
    assert (summary.images, summary.without_image, summary.left_out) == (1, 0, 1)
    assert lab.ledger.nights_to_do([lab.night.batch]) == []
    before = len(fetches)
    collect_night(lab.night, ports, owner="run-2")
    assert (len(fetches), sum("max_output_bytes" in line for line in lab.lines)) == (before, 1)
    summary = collect_night(lab.night, lab.ports, owner="run-3")
    assert (summary.images, summary.left_out) == (2, 0)


@pytest.mark.parametrize(("told", "fetches"), [(30.0, [0.0, 30.0, 60.0]), (61.0, [0.0])])
def test_a_download_is_repeated_no_sooner_than_it_was_told_or_left_for_later(
    lab: Lab, told: float, fetches: list[float]
) -> None:
    finish(lab, "a cat")
    began, seen = lab.clock.monotonic(), list[float]()

    def refuse(_output_id: str) -> bytes:
        seen.append(lab.clock.monotonic() - began)
        raise RateLimited(
            "wait", provider="floyo", operation="download_file", retry_after_seconds=told
        )

    lab.provider.on_fetch = refuse
    assert collect_night(lab.night, lab.ports, owner="run-1").images == 0
    assert seen == pytest.approx(fetches)


def test_an_html_page_is_never_stored_as_a_picture(lab: Lab) -> None:
    finish(lab, "a cat")
    lab.provider.on_fetch = lambda _id: b"<html><script>alert(1)</script></html>"
    summary = collect_night(lab.night, lab.ports, owner="run-1")
    assert (summary.images, images(lab)) == (0, [])


def test_a_run_that_ends_without_output_does_not_look_like_a_success(lab: Lab) -> None:
    lab.provider.on_poll = lambda run: lab.provider.finished(run, outputs=0)
    finish(lab, "a cat")
    summary = collect_night(lab.night, lab.ports, owner="run-1")
    assert (summary.succeeded, summary.without_image) == (1, 1)
    assert "without an output" in summary.failures[0]["error_message"]


def test_outputs_that_were_not_listed_at_the_end_are_asked_for_when_collecting(lab: Lab) -> None:
    lab.provider.on_poll = lambda run: lab.provider.finished(run, outputs=0)
    finish(lab, "a cat")
    assert collect_night(lab.night, lab.ports, owner="run-1").images == 0
    lab.provider.on_poll = lambda run: lab.provider.finished(run, outputs=2)
    summary = collect_night(lab.night, lab.ports, owner="run-2")
    assert (summary.images, summary.without_image) == (2, 0)
    polls = len(lab.provider.polls)
    collect_night(lab.night, lab.ports, owner="run-3")
    assert len(lab.provider.polls) == polls


def test_several_outputs_share_the_runs_cost_exactly(lab: Lab) -> None:
    lab.with_settings(price_usd_per_run=Decimal("0.01"))
    lab.provider.on_poll = lambda run: lab.provider.finished(run, outputs=3)
    finish(lab, "a cat")
    collect_night(lab.night, lab.ports, owner="run-1")
    assert sum(table(lab, "manifest.parquet")["cost_usd"]) == Decimal("0.01")


def test_failed_runs_stand_in_the_table_with_their_reason(lab: Lab) -> None:
    def fail(run: str) -> RunReport | None:
        if run != "run_0001":
            return None
        report = lab.provider.finished(run, outputs=0)
        return replace(
            report, state=SubmissionState.FAILED, error_code="oom", error_message="out of memory"
        )

    lab.provider.on_poll = fail
    finish(lab, "a cat", "a dog")
    summary = collect_night(lab.night, lab.ports, owner="run-1")
    assert (summary.failed, summary.images) == (1, 1)
    assert summary.failures[0]["error_code"] == "oom"
    assert table(lab, "runs.parquet")["error_code"].iloc[0] == "oom"


def test_a_run_that_never_ends_is_collected_around_and_failed_after_seven_days(lab: Lab) -> None:
    running = RunReport(
        provider_run_id="run_0001", state=SubmissionState.RUNNING, provider_status="processing"
    )
    lab.provider.on_poll = lambda run: running if run == "run_0001" else None
    lab.plan("a cat", "a dog")
    lab.submit()
    assert wait_for_night(lab.ports, lab.night, owner="run-1", wait_seconds=300) == 1
    assert collect_night(lab.night, lab.ports, owner="run-1").images == 1
    lab.clock.advance(6 * 86400)
    poll_due(lab.ports, owner="s", budget_seconds=40)
    assert summarize_night(lab.ledger, lab.night).in_flight == 1
    lab.clock.advance(2 * 86400)
    poll_due(lab.ports, owner="s", budget_seconds=40)
    assert summarize_night(lab.ledger, lab.night).failed == 1


def test_a_generation_that_is_planned_while_a_night_is_summed_up_counts_in_the_next(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.plan("a cat", "a dog", "a fox")
    lab.submit()
    pages = lab.ledger.submission_pages

    def one_by_one(night: Night, **_: Any) -> Any:
        for number, page in enumerate(pages(night, size=1)):
            yield page
            if number == 0:
                regenerate(lab.settings, night, lab.ports, requested_by="r", scope="all")

    monkeypatch.setattr(lab.ledger, "submission_pages", one_by_one)
    assert (summarize_night(lab.ledger, lab.night).rows, lab.states().count("planned")) == (3, 3)
    monkeypatch.undo()
    assert summarize_night(lab.ledger, lab.night).rows == 3


def finish_for_links(lab: Lab, *prompts: str) -> Ports:
    """Finish a night whose outputs are opened by links only, as one process does."""
    lab.provider.capabilities = replace(lab.provider.capabilities, durable_outputs=False)
    ports = lab.ports
    lab.plan(*prompts)
    lab.submit()
    wait_for_night(ports, lab.night, owner="run-1", wait_seconds=600)
    return ports


def test_links_of_a_poll_in_this_process_save_asking_for_them_again(lab: Lab) -> None:
    ports = finish_for_links(lab, "a cat", "a dog")
    before = len(lab.provider.polls)

    summary = collect_night(lab.night, ports, owner="run-1")

    assert (summary.images, len(lab.provider.polls)) == (2, before)


def test_a_link_that_is_dead_is_asked_for_anew(lab: Lab) -> None:
    ports = finish_for_links(lab, "a cat")
    before, refused = len(lab.provider.polls), []

    def dead_at_first(output_id: str) -> bytes:
        if len(lab.provider.polls) == before:
            refused.append(output_id)
            raise TransferError("the link gives HTTP 403")
        return png(output_id)

    lab.provider.on_fetch = dead_at_first
    summary = collect_night(lab.night, ports, owner="run-1")

    assert refused
    assert (summary.images, len(lab.provider.polls)) == (1, before + 1)
