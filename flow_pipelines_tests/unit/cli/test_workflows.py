"""`flow-pipelines workflows`: what can be run, as YAML that loads as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from flow_pipelines.batches.render import check_parameters
from flow_pipelines.cli.workflows import batch_yaml
from flow_pipelines.component import PromptBatchComponent
from flow_pipelines.model import BatchSettings, ParameterSpec, Workflow
from flow_pipelines_tests.unit.cli.conftest import GRAPH, Machine


def test_a_graph_gives_yaml_that_loads_as_a_batch(machine: Machine, tmp_path: Path) -> None:
    path = tmp_path / "city poster.json"
    path.write_text(json.dumps(GRAPH), encoding="utf-8")
    result = machine.type("workflows", "floyo", str(path))

    assert result.exit_code == 0, result.output
    document = yaml.safe_load(result.stdout)
    assert document["type"] == "flow_pipelines.PromptBatchComponent"
    attributes = document["attributes"]
    assert attributes["name"] == "city_poster"
    assert attributes["workflow"] == str(path)
    assert attributes["parameters"] == {"text::text": "{prompt}", "draw::seed": "{seed}"}
    PromptBatchComponent.resolve_from_yaml(result.stdout.partition("attributes:\n")[2])


@pytest.mark.parametrize("account", ["floimg", "flora"])
def test_what_a_provider_lists_is_what_it_can_be_asked_for(machine: Machine, account: str) -> None:
    listed = json.loads(machine.type("workflows", account, "--json").stdout)
    shown = machine.type("workflows", account).stdout

    assert listed
    for one in listed:
        assert f"workflow: {one['reference']}" in shown
        single = machine.type("workflows", account, one["reference"])
        assert single.exit_code == 0, single.output
        assert yaml.safe_load(single.stdout)["attributes"]["workflow"] == one["reference"]


@pytest.mark.parametrize(
    ("account", "says"), [("floyo", "path of one, exported in API"), ("comflowy", "give the id")]
)
def test_a_provider_without_a_list_says_what_to_give(
    machine: Machine, account: str, says: str
) -> None:
    result = machine.type("workflows", account)
    assert result.exit_code == 1
    assert says in result.output


def test_an_unknown_account_names_those_that_there_are(machine: Machine) -> None:
    result = machine.type("workflows", "midnight")
    assert result.exit_code == 1
    assert "floyo" in result.output


def test_what_is_written_covers_what_the_workflow_needs() -> None:
    workflow = Workflow(
        reference="tech_portrait",
        version="1",
        body={},
        parameters=(
            ParameterSpec(name="style notes", type="text", required=True),
            ParameterSpec(name="negative_prompt", type="text", default="blur"),
            ParameterSpec(name="prompt", type="text", required=True),
            ParameterSpec(name="face", type="image", required=True),
            ParameterSpec(name="clip", type="video", default=None),
            ParameterSpec(name="3::noise_seed", type="seed", default=1),
        ),
    )
    attributes = yaml.safe_load(batch_yaml("flora", workflow))["attributes"]

    assert attributes["parameters"] == {
        "style notes": "{style_notes}",
        "prompt": "{prompt}",
        "face": {"file": "{picture}"},
        "3::noise_seed": "{seed}",
    }
    settings = BatchSettings(
        name="x",
        provider="flora",
        resource="flora",
        workflow="tech_portrait",
        parameters=attributes["parameters"],
    )
    assert check_parameters(settings, workflow) == []


def test_values_of_its_own_that_would_break_the_yaml_stay_comments() -> None:
    spec = ParameterSpec(name="1::text", type="text", default='a: "b"\n# {c} ' * 50)
    workflow = Workflow(reference="g.json", version="1", body={}, parameters=(spec, spec))
    assert yaml.safe_load(batch_yaml("floyo", workflow))["attributes"]["provider"] == "floyo"
