from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest

from flow_pipelines.asset_checks import check_results, check_specs
from flow_pipelines.assets.images import failures_table
from flow_pipelines.lifecycle import NightSummary
from flow_pipelines.lifecycle.verify import MissingFiles
from flow_pipelines.model import BatchSettings, Night

IMAGES = dg.AssetKey(["harbor", "images"])
SETTINGS = BatchSettings(
    name="harbor",
    provider="floyo",
    resource="floyo",
    workflow="graph.json",
    budget_usd=Decimal("0.10"),
)
GOOD = NightSummary(
    night=Night("harbor", "2026-11-02"),
    rows=4,
    succeeded=4,
    failed=0,
    canceled=0,
    unresolved=0,
    skipped=0,
    in_flight=0,
    planned=0,
    stale=0,
    without_image=0,
    images=4,
    stored=4,
    cost_usd=Decimal("0.10"),
    runs_cost_unknown=0,
    estimated_usd=Decimal("0.10"),
    flotime_ms=1000,
    run_seconds_p50=1.0,
    run_seconds_p95=2.0,
    stored_bytes=4000,
    duplicate_images=0,
    damaged=0,
    left_out=0,
    failures=(),
    pictures=(),
)


def judged(**changes: Any) -> dict[str, dg.AssetCheckResult]:
    results = check_results(IMAGES, SETTINGS, replace(GOOD, **changes))
    return {str(result.check_name): result for result in results}


def test_every_spec_gets_a_result() -> None:
    assert set(judged()) == {spec.name for spec in check_specs(IMAGES, None)}


def test_a_good_night_passes_everything_also_at_exactly_its_budget() -> None:
    assert [name for name, result in judged().items() if not result.passed] == []


WRONG = [
    ({"succeeded": 3, "failed": 1}, {"complete": "ERROR", "no_failed_runs": "ERROR"}),
    ({"succeeded": 3, "canceled": 1}, {"complete": "ERROR", "no_failed_runs": "ERROR"}),
    ({"succeeded": 3, "unresolved": 1}, {"complete": "ERROR", "no_unresolved_runs": "ERROR"}),
    ({"succeeded": 3, "skipped": 1}, {"complete": "ERROR", "within_budget": "ERROR"}),
    ({"succeeded": 3, "in_flight": 1}, {"complete": "WARN"}),
    ({"without_image": 1}, {"complete": "ERROR"}),
    ({"succeeded": 3, "in_flight": 1, "without_image": 1}, {"complete": "ERROR"}),
    ({"rows": 0, "succeeded": 0}, {"complete": "WARN"}),
    ({"damaged": 1}, {"images_decodable": "ERROR"}),
    ({"duplicate_images": 1}, {"no_duplicate_images": "WARN"}),
    ({"cost_usd": Decimal("0.100001")}, {"within_budget": "ERROR"}),
    ({"stale": 2}, {"prompts_current": "WARN"}),
]


@pytest.mark.parametrize(
    ("changes", "failing"), WRONG, ids=[", ".join(changes) for changes, _ in WRONG]
)
def test_each_fault_fails_its_check_as_loud_as_it_is(
    changes: dict[str, Any], failing: dict[str, str]
) -> None:
    failed = {
        name: result.severity.value
        for name, result in judged(**changes).items()
        if not result.passed
    }
    assert failed == failing


def test_a_batch_without_a_budget_is_within_it() -> None:
    settings = replace(SETTINGS, budget_usd=None)
    results = check_results(IMAGES, settings, replace(GOOD, cost_usd=Decimal(900)))
    assert all(result.passed for result in results)


def test_the_first_check_names_the_rows_without_a_picture_when_there_are_some() -> None:
    table = failures_table([{"prompt_id": "b", "error_message": "out of memory"}])
    night = replace(GOOD, succeeded=3, failed=1)
    told = {one.check_name: one for one in check_results(IMAGES, SETTINGS, night, table)}
    assert min(str(name) for name in told) == "complete"
    assert told["complete"].metadata["failures"] == table
    good = check_results(IMAGES, SETTINGS, GOOD, failures_table(()))
    assert not any("failures" in one.metadata for one in good)


@pytest.mark.parametrize(
    "absent", [MissingFiles(files=2), MissingFiles(unseen=1, why_unseen="access is denied")]
)
def test_a_night_is_not_complete_while_files_of_it_are_not_in_the_bucket(
    absent: MissingFiles,
) -> None:
    results = check_results(IMAGES, SETTINGS, replace(GOOD, in_flight=0), absent=absent)
    [complete] = [one for one in results if one.check_name == "complete"]
    assert not complete.passed
    assert complete.severity == dg.AssetCheckSeverity.ERROR
    assert absent.why_unseen in str(complete.description)
    if absent.files:
        told = f"flow-pipelines verify {GOOD.night.batch} --partition {GOOD.night.partition_key}"
        assert f"{told} --repair" in str(complete.description)


def test_a_whole_night_does_not_turn_the_mark_of_a_failed_one_yellow() -> None:
    assert judged()["complete"].severity == dg.AssetCheckSeverity.ERROR
