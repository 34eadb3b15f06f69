from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from flow_pipelines.batches.render import check_parameters
from flow_pipelines.model import ParameterSpec
from flow_pipelines_tests.unit.batches.samples import batch, technique, workflow

SEEDED = {"3::seed": "{seed}"}


def _messages(parameters: dict[Any, Any], **changes: Any) -> list[str]:
    settings = batch(parameters=parameters, **changes)
    return [p.message for p in check_parameters(settings, workflow())]


def test_sound_parameters_have_no_problems() -> None:
    assert _messages({"6:1::text": "{prompt}", "3::cfg": 7.5, "4::ckpt_name": "other"}) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("6:1::txt", "node 6:1 (CLIPTextEncode) has no field 'txt'; did you mean 'text'?"),
        (
            "3::x",
            "node 3 (KSampler) has no field 'x'; there are 'seed', 'cfg', 'denoise', 'tiled'",
        ),
        (
            "12::seed",
            (
                "'12::seed': the graph has no node '12'; it has 3 (KSampler), "
                "4 (CheckpointLoaderSimple), 6:1 (CLIPTextEncode), 9 (SaveImage)"
            ),
        ),
        ("seed", "'seed' is not written \"<node id>::<field>\"; did you mean '3::seed'?"),
        ("3::model", "'3::model' is a link to another node; setting it would unplug that"),
    ],
)
def test_a_name_that_the_graph_does_not_have_is_told_with_what_it_has(
    name: str, message: str
) -> None:
    assert _messages({name: "{prompt}"}) == [message]


def test_an_unknown_parameter_of_a_closed_workflow_is_told_with_the_nearest() -> None:
    flow = technique(ParameterSpec(name="headline", type="text"))
    settings = batch(parameters={"hedline": "x", "zzz": 1})
    first, second = check_parameters(settings, flow)
    assert first.message.endswith("did you mean 'headline'?")
    assert second.message == "the workflow has no parameter 'zzz'; there are 'headline'"


def test_a_workflow_that_does_not_tell_its_parameters_takes_any() -> None:
    assert check_parameters(batch(parameters={"x": 1}), technique(closed=False)) == []


def test_a_required_parameter_that_is_not_given_is_told() -> None:
    flow = technique(ParameterSpec(name="headline", type="text", required=True))
    (problem,) = check_parameters(batch(parameters={}), flow)
    assert "'headline'" in problem.message


@pytest.mark.parametrize(
    ("parameters", "part"),
    [
        ({"3::cfg": "wide"}, "3::cfg has to be a whole or decimal number, not 'wide'"),
        ({"3::seed": -1}, "3::seed has to be an integer from 0"),
        ({"3::cfg": None}, "3::cfg is empty"),
        ({"3::cfg": date(2026, 11, 22)}, "3::cfg is 2026-11-22, which is no JSON"),
        ({"6:1::text": float("nan")}, "which is no JSON"),
        ({"6:1::text": "a\0"}, "NUL"),
        ({3: "x"}, "3 is no text"),
    ],
)
def test_a_literal_that_cannot_be_sent_is_told_once(parameters: Any, part: str) -> None:
    (message,) = _messages(parameters)
    assert part in message


def test_a_batch_that_would_buy_no_copy_is_refused() -> None:
    (message,) = _messages(SEEDED, runs_per_prompt=0)
    assert "runs_per_prompt" in message


@pytest.mark.parametrize("changes", [{"time_partitioned": True}, {"runs_per_prompt": 2}])
def test_repeating_without_a_seed_is_refused_where_repeats_come_from_a_cache(changes: Any) -> None:
    unseeded = batch(parameters={"6:1::text": "{prompt} {{seeds}}"}, **changes)
    (problem,) = check_parameters(unseeded, workflow(), cached_when_identical=True)
    assert "{seed}" in problem.message
    assert check_parameters(unseeded, workflow()) == []
    for meant in (
        batch(parameters=unseeded.parameters, allow_identical=True, **changes),
        batch(parameters=SEEDED, **changes),
        batch(parameters={"6:1::text": "{prompt} no. {seed}"}, **changes),
        batch(parameters=unseeded.parameters),
    ):
        assert check_parameters(meant, workflow(), cached_when_identical=True) == []


DEFS = """\
type: flow_pipelines.PromptBatchComponent
attributes:
  name: posters
  parameters:
    "6:1::text": "{prompt}"
    "3::steps": 20
"""


def test_a_problem_points_at_the_key_in_the_defs_file(tmp_path: Path) -> None:
    file = tmp_path / "defs.yaml"
    file.write_text(DEFS)
    settings = batch(parameters={"6:1::text": "{prompt}", "3::steps": 20}, defs_file=str(file))
    (problem,) = check_parameters(settings, workflow())
    assert (problem.file, problem.line, problem.column) == (str(file), 6, "5")
    (seeds,) = check_parameters(
        batch(parameters={}, runs_per_prompt=2, defs_file=str(file)),
        workflow(),
        cached_when_identical=True,
    )
    assert (seeds.line, seeds.column) == (4, "3")


def test_a_file_of_several_batches_is_searched_for_the_right_one(tmp_path: Path) -> None:
    file = tmp_path / "defs.yaml"
    file.write_text(DEFS.replace("posters", "others") + "---\n" + DEFS)
    settings = batch(parameters={"3::steps": 20}, defs_file=str(file))
    (problem,) = check_parameters(settings, workflow())
    assert (problem.line, problem.column) == (13, "5")


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"attributes: ["])
def test_a_defs_file_that_cannot_be_read_hides_no_problem(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "defs.yaml"
    if content is not None:
        file.write_bytes(content)
    settings = batch(parameters={"3::steps": 20}, defs_file=str(file))
    (problem,) = check_parameters(settings, workflow())
    assert (problem.file, problem.line) == (str(file), None)
