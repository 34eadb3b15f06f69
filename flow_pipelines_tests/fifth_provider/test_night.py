"""A whole night at a provider that nothing but its own file and two registries know."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest

from flow_pipelines import PromptBatchComponent, provider_resource
from flow_pipelines.ledger import RunLedger
from flow_pipelines.model import Night, SubmissionState
from flow_pipelines.redaction import redact
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines_tests.dagster.conftest import (
    CLOCK,
    NIGHT,
    Project,
    World,
    empty_environment,
    instance,
    ledger,
    materialize,
    project,
    world,
)
from flow_pipelines_tests.fifth_provider.lumen import LumenClient
from flow_pipelines_tests.fifth_provider.stand_in import Lumen

__all__ = ["empty_environment", "instance", "ledger", "project", "world"]

BATCH = """\
type: flow_pipelines.PromptBatchComponent
attributes:
  name: lanterns
  provider: lumen
  workflow: lantern
  prompts: prompts.csv
  parameters: {words: "{prompt}", number: "{seed}"}
  partitions_def: {type: daily, start_date: "2026-11-01", timezone: UTC}
  budget_usd: 1.00
"""
LANTERNS = Night("lanterns", NIGHT)


@pytest.fixture(scope="module")
def sandbox_server(registered: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    tuning = Tuning(
        median_seconds=1.0,
        time_scale=100.0,
        slots=8,
        max_picture_side=64,
        requests_per_window=100_000,  # the night's hours are seconds to the stand-in
    )
    bucket = tmp_path_factory.mktemp("bucket")
    with Sandbox(
        SandboxSettings(port=0, bucket_port=0, bucket_folder=bucket, tuning=tuning)
    ) as sandbox:
        yield sandbox


def tick(defs: dg.Definitions, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    repository = defs.get_repository_def()
    sensor = repository.get_sensor_def("lumen_runs_sensor")
    with dg.build_sensor_context(
        instance=instance,
        repository_def=repository,
        sensor_name=sensor.name,
        resources=repository.get_top_level_resources(),
    ) as context:
        return list(sensor.evaluate_tick(context).run_requests or [])


def test_a_night_is_planned_bought_asked_after_stored_and_accounted(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    project.add("lanterns", BATCH)
    with project.load() as defs:
        bought = materialize(defs, instance, "lanterns/prompts", "lanterns/provider_runs")
        CLOCK.advance(130)
        [request] = tick(defs, instance)
        assert request.partition_key == NIGHT
        assets = [key.to_user_string() for key in request.asset_selection or ()]
        stored = materialize(defs, instance, *assets, "cost_report")

    assert bought.success
    assert stored.success
    rows = ledger.submissions(LANTERNS)
    assert [row.state for row in rows] == [SubmissionState.SUCCEEDED] * 3
    assert {(row.cost_usd, row.cost_basis.value) for row in rows} == {
        (Decimal("0.0125"), "charged")
    }
    meter = world.control.state()["lumen"]
    assert (meter.runs_billed, meter.duplicate_bills) == (3, 0)
    assert meter.charged_usd == "0.037500"
    assert len(world.images()) == 6
    [line] = ledger.cost_lines()
    assert (line.provider, line.images, line.cost_usd) == ("lumen", 6, Decimal("0.0375"))


def test_a_wrong_input_is_told_before_anything_is_bought(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("lanterns", BATCH.replace("words:", "wrods:"))
    with project.load() as defs:
        assert not materialize(defs, instance, "lanterns/prompts").success
    assert world.control.state()["lumen"].runs_billed == 0


def test_the_components_schema_does_not_list_providers() -> None:
    model = PromptBatchComponent.get_model_cls()
    assert model is not None
    schema: dict[str, Any] = model.model_json_schema()["properties"]["provider"]
    assert "enum" not in schema
    assert "floimg" not in str(schema)


def test_its_resource_is_made_from_its_profile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = provider_resource("lumen")
    assert made is provider_resource("lumen")
    assert made.__name__ == "LumenResource"
    own = set(made.model_fields) - set(provider_resource("floimg").model_fields)
    assert own == {"files_url", "studio"}
    monkeypatch.setenv("LUMEN_STUDIO", "from the environment")
    environment = made(api_key="k").get_client()
    field = made(api_key="k", studio="a field", files_url="https://elsewhere.example").get_client()
    assert isinstance(field, LumenClient)
    assert (environment._studio, field._studio) == ("from the environment", "a field")
    assert environment._files_url == "https://files.lumen.example"
    assert field._files_url == "https://elsewhere.example"


def test_a_key_of_its_shape_is_masked_though_no_setting_holds_it() -> None:
    assert "PlantedKey01" not in redact("flow-pipelines runs --key lumen_key_PlantedKey01")


def test_a_second_account_is_a_second_resource(
    project: Project, instance: dg.DagsterInstance, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LUMEN_API_KEY")
    project.add("lanterns", BATCH.replace("workflow:", "resource: second\n  workflow:"))
    with project.load(second=provider_resource("lumen")(api_key=Lumen.default_key)) as defs:
        bought = materialize(defs, instance, "lanterns/prompts", "lanterns/provider_runs")
    assert bought.success
    assert world.control.state()["lumen"].runs_billed == 3
