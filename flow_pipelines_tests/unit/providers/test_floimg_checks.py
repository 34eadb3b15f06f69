"""What FloImg declares of a workflow is what rows are checked against, before any is bought."""

from __future__ import annotations

from typing import Any

import pytest

from flow_pipelines.batches.checks import check_parameters
from flow_pipelines.batches.render import render_rows
from flow_pipelines.model import Workflow
from flow_pipelines.model.errors import InvalidBatch
from flow_pipelines_tests.unit.batches.samples import NIGHT, batch, sound_rows, table
from flow_pipelines_tests.unit.providers.floimg_harness import sample, workflow
from flow_pipelines_tests.unit.transport.wire import Wire

PROMPT = {"name": "prompt", "type": "string", "required": True}
WIDTH = {"name": "width", "type": "number", "default": 1200}


def declared(*parameters: dict[str, Any]) -> Workflow:
    return workflow(sample("workflow", parameters=list(parameters)), sample("workflows"))


def faults(found: Workflow, **parameters: Any) -> list[str]:
    problems = check_parameters(batch(provider="floimg", parameters=parameters), found)
    return [problem.message for problem in problems]


def test_a_required_parameter_that_is_not_given_is_named() -> None:
    (message,) = faults(declared(PROMPT, WIDTH), width=64)
    assert message == "the workflow needs the parameter 'prompt', which is not given"


def test_a_required_parameter_with_a_default_need_not_be_given() -> None:
    assert faults(declared({**PROMPT, "default": "a dog"}, WIDTH), width=64) == []


def test_a_value_of_the_wrong_type_is_told_with_the_type_that_it_has_to_be() -> None:
    (message,) = faults(declared(PROMPT, WIDTH), prompt="a dog", width="wide")
    assert message == "width has to be a finite number, not 'wide'"


def test_a_misspelt_name_is_told_with_the_one_that_was_meant() -> None:
    (message,) = faults(declared(PROMPT, WIDTH), prompt="a dog", widht=64)
    assert message == "the workflow has no parameter 'widht'; did you mean 'width'?"


@pytest.mark.parametrize("value", ["x", 7, True, ["a"], {"a": 1}, None])
@pytest.mark.parametrize("kind", ["image", "enum", None, 7])
def test_a_parameter_of_a_type_that_nobody_documents_takes_every_value(
    kind: object, value: object
) -> None:
    found = declared(PROMPT, {"name": "odd", "type": kind})
    assert faults(found, prompt="a dog", odd=value) == []


def test_one_message_lists_the_faults_of_all_rows() -> None:
    rows = table("prompt_id,prompt,width\na,a dog,64\nb,,64\nc,a cat,wide\n")
    settings = batch(provider="floimg", parameters={"prompt": "{prompt}", "width": "{width}"})
    read = sound_rows(settings, rows, NIGHT)
    with Wire() as wire, pytest.raises(InvalidBatch) as caught:
        render_rows(settings, declared(PROMPT, WIDTH), read, NIGHT, 0, table=rows)
    assert wire.connections == 0
    told = str(caught.value)
    assert "2 problem(s)" in told
    assert "prompt uses an empty cell" in told
    assert "width has to be a finite number, not 'wide'" in told


def test_values_take_the_declared_types() -> None:
    rows = table("prompt_id,prompt,width\na,12,64\n")
    settings = batch(provider="floimg", parameters={"prompt": "{prompt}", "width": "{width}"})
    read = sound_rows(settings, rows, NIGHT)
    rendered = render_rows(settings, declared(PROMPT, WIDTH), read, NIGHT, 0, table=rows)
    assert rendered.planned[0].parameters == {"prompt": "12", "width": 64}
