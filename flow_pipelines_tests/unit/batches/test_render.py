from __future__ import annotations

from typing import Any

import pytest

from flow_pipelines.batches.keys import derive_seed, submission_key
from flow_pipelines.batches.prompt_table import PromptTable
from flow_pipelines.batches.render import RenderedRows, render_rows
from flow_pipelines.model import BatchSettings, Night, ParameterSpec, Workflow
from flow_pipelines.model.errors import InvalidBatch
from flow_pipelines_tests.unit.batches.samples import (
    NIGHT,
    batch,
    graph,
    sound_rows,
    table,
    technique,
    workflow,
)


def _render(
    settings: BatchSettings,
    prompts: PromptTable,
    flow: Workflow | None = None,
    night: Night = NIGHT,
    generation: int = 0,
    **options: Any,
) -> RenderedRows:
    rows = sound_rows(settings, prompts, night)
    return render_rows(
        settings, flow or workflow(), rows, night, generation, table=prompts, **options
    )


def _problems(*arguments: Any, **options: Any) -> list[str]:
    with pytest.raises(InvalidBatch) as caught:
        _render(*arguments, **options)
    return [str(problem) for problem in caught.value.problems]


def test_every_row_and_copy_is_planned_in_order_with_key_and_seed() -> None:
    planned = _render(
        batch(runs_per_prompt=2), table("prompt_id,prompt\na,cat\nb,dog\n"), generation=3
    ).planned
    assert [(p.prompt_id, p.copy) for p in planned] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    last = planned[3]
    assert last.submission_key == submission_key(NIGHT, "b", 1, 3)
    assert (last.row_number, last.generation, last.prompt) == (1, 3, "dog")
    seed = derive_seed(NIGHT, "b", 1, 3)
    assert last.seed == seed
    assert last.parameters == {"6:1::text": "dog", "3::seed": seed}


def test_the_same_arguments_give_the_same_plan() -> None:
    first, second = (_render(batch(), table("prompt\ncat\n")) for _ in range(2))
    assert first == second


def test_values_take_the_types_of_the_graphs_literals() -> None:
    parameters = {
        "6:1::text": "{prompt}",
        "3::seed": "{seed}",
        "3::cfg": "{cfg}",
        "3::denoise": "0.{cfg}",
        "3::tiled": "{tiled}",
        "4::ckpt_name": 15,
    }
    text = "prompt,seed,cfg,tiled\n007,18446744073709551615,7,yes\n"
    (planned,) = _render(batch(parameters=parameters), table(text)).planned
    assert planned.parameters == {
        "6:1::text": "007",
        "3::seed": 2**64 - 1,
        "3::cfg": 7,
        "3::denoise": 0.7,
        "3::tiled": True,
        "4::ckpt_name": "15",
    }
    assert type(planned.parameters["3::cfg"]) is int


def test_a_parameter_of_an_untold_workflow_keeps_the_cells_type() -> None:
    settings = batch(parameters={"n": "{n}", "s": "{s}"})
    rows = table('{"n": 18446744073709551615, "s": "5"}', "p.jsonl")
    (planned,) = _render(settings, rows, technique(closed=False)).planned
    assert planned.parameters == {"n": 2**64 - 1, "s": "5"}


def test_copies_of_a_row_with_its_own_seed_count_up_and_a_regeneration_repeats_them() -> None:
    settings = batch(runs_per_prompt=2)
    prompts = table("prompt,seed\ncat,7\n")
    first = _render(settings, prompts)
    again = _render(settings, prompts, generation=1)
    assert [p.seed for p in first.planned] == [p.seed for p in again.planned] == [7, 8]
    assert first.planned[0].submission_key != again.planned[0].submission_key
    assert first.planned[0].request_hash == again.planned[0].request_hash


def test_there_is_no_seed_in_effect_where_nothing_uses_or_gives_one() -> None:
    unseeded = batch(parameters={"6:1::text": "{prompt}"})
    assert _render(unseeded, table("prompt\ncat\n")).planned[0].seed is None
    assert _render(unseeded, table("prompt,seed\ncat,7\n")).planned[0].seed == 7


def test_prompt_id_and_seed_can_be_used_without_such_columns() -> None:
    settings = batch(parameters={"6:1::text": "{prompt_id} {seed}"})
    (planned,) = _render(settings, table("prompt\ncat\n")).planned
    assert planned.parameters["6:1::text"] == f"{planned.prompt_id} {planned.seed}"


def _content(settings: BatchSettings, text: str, flow: Workflow | None = None, **how: Any) -> str:
    rendered = _render(settings, table(text), flow, **how)
    assert rendered.rows[0].content_hash == rendered.planned[0].content_hash
    return rendered.rows[0].content_hash


def test_the_content_hash_stays_when_only_night_or_generation_or_an_unused_cell_changes() -> None:
    before = _content(batch(), "prompt_id,prompt,note\na,cat,x\n")
    assert before == _content(batch(), "prompt_id,prompt,note\na,cat,y\n")
    assert before == _content(
        batch(), "prompt_id,prompt\na,cat\n", night=Night("posters", "2026-12-01"), generation=2
    )
    assert before == _content(batch(runs_per_prompt=3), "prompt_id,prompt\na,cat\n")


def test_the_content_hash_changes_with_anything_that_a_person_changed() -> None:
    other = graph()
    other["3"]["inputs"]["cfg"] = 9
    text = "prompt_id,prompt\na,cat\n"
    hashes = [
        _content(batch(), text),
        _content(batch(), "prompt_id,prompt\na,dog\n"),
        _content(batch(), "prompt_id,prompt\nb,cat\n"),
        _content(batch(), "prompt_id,prompt,seed\na,cat,7\n"),
        _content(batch(), text, workflow(other)),
        _content(batch(parameters={**batch().parameters, "3::cfg": 8}), text),
        _content(batch(parameters={**batch().parameters, "6:1::text": "a {prompt}"}), text),
    ]
    assert len(set(hashes)) == len(hashes)


def test_the_request_hash_follows_the_seed() -> None:
    one = _render(batch(), table("prompt\ncat\n")).planned[0]
    two = _render(batch(), table("prompt\ncat\n"), night=Night("posters", "x")).planned[0]
    assert one.content_hash == two.content_hash
    assert one.request_hash != two.request_hash


def test_every_fault_of_every_row_is_told_at_once_with_line_and_column() -> None:
    parameters = {"6:1::text": "{prompt}", "3::seed": "{seed}", "3::cfg": "{cfg}"}
    prompts = table("prompt,cfg\ncat,x\ndog,8\ncow,\n")
    number, node = "a whole or decimal number", "node 3 (KSampler)"
    assert _problems(batch(parameters=parameters, runs_per_prompt=2), prompts) == [
        f"prompts.csv:2, column 'cfg': 3::cfg has to be {number}, not 'x', in {node}",
        f"prompts.csv:4, column 'cfg': 3::cfg is empty, but has to be {number}, in {node}",
    ]


def test_faults_of_parameters_and_rows_come_in_one_message() -> None:
    parameters = {"6:1::text": "{promt}", "99::x": 1, "3::cfg": "{prompt}"}
    problems = _problems(batch(parameters=parameters), table("prompt\ncat\n"))
    assert len(problems) == 3
    assert "no node '99'" in problems[0]
    assert problems[1] == (
        "posters: 6:1::text uses the column 'promt', which prompts.csv does not have; "
        "did you mean 'prompt'?"
    )
    assert problems[2].startswith("prompts.csv:2, column 'prompt': 3::cfg")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"bytes"])
def test_a_literal_that_is_no_json_is_told_with_everything_else(value: Any) -> None:
    parameters = {"6:1::text": value, "3::cfg": "{prompt}"}
    problems = _problems(batch(parameters=parameters), table("prompt\ncat\n"))
    assert any("6:1::text" in problem for problem in problems)
    assert any("3::cfg" in problem for problem in problems)


def test_a_value_of_several_columns_is_told_with_its_row_where_there_are_no_lines() -> None:
    rows = PromptTable("captions", ("a", "b"), [{"a": 0, "b": 2}, {"a": "x", "b": "y"}])
    (problem,) = _problems(batch(parameters={"3::denoise": "{a}.{b}"}), rows)
    message = "3::denoise has to be a finite number, not 'x.y', in node 3 (KSampler)"
    assert problem == f"captions: row 2: {message}"


def test_an_empty_cell_is_text_for_a_text_and_a_fault_for_what_is_required() -> None:
    spec = ParameterSpec(name="t", type="text")
    required = ParameterSpec(name="t", type="text", required=True)
    settings = batch(parameters={"t": "{style}"})
    rows = table("prompt,style\ncat,\n")
    assert _render(settings, rows, technique(spec)).planned[0].parameters == {"t": ""}
    (problem,) = _problems(settings, rows, technique(required))
    assert "t is empty" in problem


def test_a_missing_value_is_never_sent_to_a_parameter_of_unknown_type() -> None:
    settings = batch(parameters={"n": "{n}"})
    rows = table('{"n": null}\n{"n": 1}\n', "p.jsonl")
    (problem,) = _problems(settings, rows, technique(closed=False))
    assert problem == "p.jsonl:1, column 'n': n is empty"


def test_rows_can_be_rendered_without_their_table() -> None:
    settings = batch(parameters={"3::cfg": "{cfg}"})
    rows = sound_rows(settings, table("prompt,cfg\ncat,x\n"), NIGHT)
    with pytest.raises(InvalidBatch, match=r"prompts\.csv, column 'cfg': row 1: 3::cfg"):
        render_rows(settings, workflow(), rows, NIGHT, 0)


def test_two_equal_requests_are_refused_where_the_second_comes_from_a_cache() -> None:
    settings = batch(parameters={"6:1::text": "{prompt}"})
    prompts = table("prompt_id,prompt\na,cat\nb,dog\nc,cat\n")
    (problem,) = _problems(settings, prompts, cached_when_identical=True)
    assert problem.startswith("prompts.csv:4: gives the same request as line 2")
    assert len(_render(settings, prompts).planned) == 3
    allowed = batch(parameters=settings.parameters, allow_identical=True)
    assert len(_render(allowed, prompts, cached_when_identical=True).planned) == 3
    assert len(_render(batch(), prompts, cached_when_identical=True).planned) == 3
