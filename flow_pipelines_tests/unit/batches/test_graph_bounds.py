"""Numbers that ComfyUI's own nodes do not take are told before anything is bought."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flow_pipelines.batches.graphs import graph_parameters, node_of, parse_graph
from flow_pipelines.batches.prompt_table import PromptTable
from flow_pipelines.batches.render import RenderedRows, check_parameters, render_rows
from flow_pipelines.model import ParameterSpec, Workflow
from flow_pipelines.model.errors import InvalidBatch
from flow_pipelines_tests.unit.batches.samples import (
    NIGHT,
    batch,
    graph,
    sound_rows,
    table,
    workflow,
)

BIG = 2**53 + 1


def _with(**inputs: Any) -> Workflow:
    nodes = graph()
    nodes["3"]["inputs"].update(inputs, latent_image=["5", 0])
    nodes["5"] = {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512.0}}
    return workflow(nodes)


def _render(prompts: PromptTable, **parameters: Any) -> RenderedRows:
    settings = batch(parameters={name.replace("_", "::"): v for name, v in parameters.items()})
    flow = _with(steps=20)
    return render_rows(
        settings, flow, sound_rows(settings, prompts, NIGHT), NIGHT, 0, table=prompts
    )


def _messages(prompts: PromptTable, **parameters: Any) -> list[str]:
    with pytest.raises(InvalidBatch) as caught:
        _render(prompts, **parameters)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("parameter", "value", "told"),
    [
        ("3_cfg", "-0.5", "has to be 0 or more, not -0.5, in node 3 (KSampler)"),
        ("3_cfg", "100.5", "has to be 100 or less, not 100.5, in node 3 (KSampler)"),
        ("3_denoise", "1.01", "has to be 1 or less, not 1.01, in node 3 (KSampler)"),
        ("3_steps", "0", "has to be 1 or more, not 0, in node 3 (KSampler)"),
        ("3_steps", "7.5", "has to be a whole number, not 7.5, in node 3 (KSampler)"),
        ("5_width", "0", "has to be 16 or more, not 0, in node 5 (EmptyLatentImage)"),
        ("5_width", "16385", "has to be 16384 or less, not 16385, in node 5 (EmptyLatentImage)"),
        ("5_height", "99.5", "has to be a whole number, not 99.5, in node 5 (EmptyLatentImage)"),
    ],
)
def test_a_number_out_of_range_is_told_with_row_field_node_and_class(
    parameter: str, value: str, told: str
) -> None:
    prompts = table(f"prompt,n\ncat,{value}\n")
    name = parameter.replace("_", "::")
    assert _messages(prompts, **{parameter: "{n}"}) == [
        f"prompts.csv:2, column 'n': {name} {told}",
    ]


@pytest.mark.parametrize(
    ("parameter", "value", "sent"),
    [
        ("3_cfg", "0", 0),
        ("3_cfg", "7.5", 7.5),
        ("3_denoise", "1", 1),
        ("3_steps", "20.0", 20),
        ("5_width", "16384", 16384),
        ("3_seed", "18446744073709551615", 2**64 - 1),
    ],
)
def test_a_number_in_range_is_sent_as_it_was_meant(parameter: str, value: str, sent: Any) -> None:
    (planned,) = _render(table(f"prompt,n\ncat,{value}\n"), **{parameter: "{n}"}).planned
    found = planned.parameters[parameter.replace("_", "::")]
    assert (found, type(found)) == (sent, type(sent))


def test_an_integer_beyond_2_to_the_53_is_sent_exactly_and_a_float_of_one_is_a_fault() -> None:
    exact = PromptTable("captions", ("n",), [{"n": BIG}, {"n": str(BIG - 2)}])
    sent = [json.dumps(row.parameters) for row in _render(exact, **{"3_seed": "{n}"}).planned]
    assert sent == [f'{{"3::seed": {BIG}}}', f'{{"3::seed": {BIG - 2}}}']
    # A column of integers with one gap, as pandas has it.
    lost = PromptTable("captions", ("n",), [{"n": float(BIG + 1)}, {"n": 5.0}])
    (message,) = _messages(lost, **{"3_seed": "{n}"})
    assert message.startswith(
        "captions, column 'n': row 1: 3::seed has to be exact, but 900719925474099"
    )
    assert "keep the column as integers or as text" in message
    (steps,) = _messages(lost, **{"3_steps": "{n}"})
    assert "3::steps has to be exact" in steps


def test_a_thousand_rows_with_three_kinds_of_faults_are_one_error_that_names_all_three() -> None:
    cells = ["8,512,5", "101,512,5", "8,1,5", "8,512,-1"]
    lines = [cells[3 if i == 900 else 2 if i == 500 else i % 2] for i in range(1000)]
    prompts = table("prompt,cfg,width,s\n" + "".join(f"p{i},{x}\n" for i, x in enumerate(lines)))
    parameters = {"3_cfg": "{cfg}", "5_width": "{width}", "3_seed": "{s}"}
    with pytest.raises(InvalidBatch) as caught:
        _render(prompts, **parameters)
    text = str(caught.value)
    assert "3::cfg has to be 100 or less" in text
    assert "prompts.csv:502, column 'width': 5::width has to be 16 or more" in text
    assert "prompts.csv:902, column 's': 3::seed has to be an integer from 0" in text


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"seed": -1}, "3::seed has to be 0 or more, not -1, in node 3 (KSampler) of tree.json"),
        ({"steps": 0}, "3::steps has to be 1 or more"),
        ({"steps": 2.5}, "3::steps has to be a whole number"),
        ({"denoise": 1.5}, "3::denoise has to be 1 or less"),
    ],
)
def test_a_graphs_own_value_out_of_range_is_told_unless_a_parameter_takes_its_place(
    inputs: dict[str, Any], told: str
) -> None:
    (problem,) = check_parameters(batch(parameters={}), _with(**inputs))
    assert problem.message.startswith(told)
    ((field, _),) = inputs.items()
    given = batch(parameters={f"3::{field}": "1"})
    assert check_parameters(given, _with(**inputs)) == []


def test_a_literal_of_the_batch_out_of_range_is_told_where_it_was_written() -> None:
    (problem,) = check_parameters(batch(parameters={"3::cfg": 1000}), _with())
    assert problem.message == "3::cfg has to be 100 or less, not 1000, in node 3 (KSampler)"


def test_a_node_that_is_not_comfyuis_own_takes_any_number() -> None:
    nodes = {"1": {"class_type": "Somebodys", "inputs": {"seed": -1, "steps": 0, "cfg": 1e9}}}
    assert check_parameters(batch(parameters={}), workflow(nodes)) == []


def test_a_workflow_keeps_its_ranges_and_one_of_before_them_is_read() -> None:
    flow = _with()
    assert Workflow.from_json(flow.to_json()) == flow
    old = json.loads(flow.to_json())
    for spec in old["parameters"]:
        for name in ("minimum", "maximum", "whole"):
            del spec[name]
    read = {spec.name: spec for spec in Workflow.from_json(json.dumps(old)).parameters}
    assert read["3::cfg"] == ParameterSpec(name="3::cfg", type="integer", default=8)


def test_a_node_is_named_with_its_class() -> None:
    assert node_of(graph(), "6:1::text") == "node 6:1 (CLIPTextEncode)"
    assert node_of(graph(), "12::text") is None
    assert node_of({}, "headline") is None


def test_the_graphs_of_the_sample_batches_are_sound() -> None:
    folder = Path(__file__).parents[3] / "flow_pipelines" / "defs"
    files = [one for one in folder.rglob("*.json") if "class_type" in one.read_text()]
    assert files
    for file in files:
        parsed = parse_graph(file.name, file.read_bytes())
        flow = Workflow(
            reference=file.name,
            version="1",
            body={"graph": parsed},
            parameters=graph_parameters(parsed),
        )
        assert check_parameters(batch(parameters={}), flow) == []
