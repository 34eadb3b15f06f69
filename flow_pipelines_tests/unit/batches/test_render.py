from __future__ import annotations

from typing import Any

import pytest

from flow_pipelines.batches.keys import derive_seed, stable_hash, submission_key
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
        (
            "prompts.csv:4, column 'cfg': 3::cfg uses an empty cell; fill it, or write "
            f"empty_cells: [cfg] where nothing is meant, in {node}"
        ),
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


@pytest.mark.case(
    "a row without a prompt, and one of blanks, were bought: the cell was empty",
    "an empty cell that a parameter uses is an error, unless empty_cells allows it",
)
@pytest.mark.parametrize("cell", ["", "  ", "\t"])
def test_an_empty_cell_is_a_fault_unless_it_is_allowed(cell: str) -> None:
    flow = technique(ParameterSpec(name="t", type="text"), ParameterSpec(name="n", type="text"))
    rows = table(f"prompt,style,negative_prompt,unused\ncat,{cell},{cell},\n")
    written: dict[str, Any] = {"parameters": {"t": "{style}, {prompt}", "n": "{negative_prompt}"}}
    assert [problem.partition(";")[0] for problem in _problems(batch(**written), rows, flow)] == [
        "prompts.csv:2, column 'style': t uses an empty cell",
        "prompts.csv:2, column 'negative_prompt': n uses an empty cell",
    ]
    (problem,) = _problems(batch(**written, empty_cells=["negative_prompt"]), rows, flow)
    assert "column 'style'" in problem
    for allowed in (None, ("style", "negative_prompt")):
        (planned,) = _render(batch(**written, empty_cells=allowed), rows, flow).planned
        assert planned.parameters == {"t": f"{cell}, cat", "n": cell}


def test_an_allowed_empty_cell_is_still_a_fault_where_the_workflow_needs_a_value() -> None:
    settings = batch(parameters={"t": "{style}"}, empty_cells=None)
    flow = technique(ParameterSpec(name="t", type="text", required=True))
    (problem,) = _problems(settings, table("prompt,style\ncat,\n"), flow)
    assert "t is empty" in problem


def test_an_empty_cell_of_seed_is_a_derived_seed() -> None:
    planned = _render(batch(), table("prompt,seed\ncat,\ndog, \n")).planned
    assert [type(row.seed) for row in planned] == [int, int]


@pytest.mark.case(
    "a column Prompt was not the prompt: galleries showed nothing, and {prompt} was no column",
    "Prompt in any case is the prompt; ids of rows stay as they were",
)
@pytest.mark.parametrize("column", ["Prompt", "PROMPT"])
def test_prompt_in_any_case_is_the_prompt_and_renames_no_row(column: str) -> None:
    for template in ("{prompt}", f"{{{column}}}"):
        settings = batch(parameters={"6:1::text": template})
        (planned,) = _render(settings, table(f"{column}\ncat\n")).planned
        assert (planned.prompt, planned.parameters["6:1::text"]) == ("cat", "cat")
        assert planned.prompt_id == stable_hash(["row", {column: "cat"}])[:16]


def test_prompt_itself_comes_before_other_spellings() -> None:
    (planned,) = _render(batch(), table("Prompt,prompt\ncat,dog\n")).planned
    assert (planned.prompt, planned.parameters["6:1::text"]) == ("dog", "dog")


def test_a_missing_value_is_never_sent_to_a_parameter_of_unknown_type() -> None:
    settings = batch(parameters={"n": "{n}"}, empty_cells=None)
    rows = table('{"n": null, "prompt": "a"}\n{"n": 1}\n', "p.jsonl")
    (problem,) = _problems(settings, rows, technique(closed=False))
    assert problem == "p.jsonl:1, column 'n': n is empty"


def test_rows_can_be_rendered_without_their_table() -> None:
    settings = batch(parameters={"3::cfg": "{cfg}"})
    rows = sound_rows(settings, table("prompt,cfg\ncat,x\n"), NIGHT)
    with pytest.raises(InvalidBatch, match=r"prompts\.csv, column 'cfg': row 1: 3::cfg"):
        render_rows(settings, workflow(), rows, NIGHT, 0)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("also", [{}, {"8::seed": "{seed}"}])  # nothing depends on node 8
@pytest.mark.case(
    "rows that send the same request were bought at FLORA one after the other; a {seed} in a node "
    "that no output depends on hid it",
    "two rows with the same request are refused with their numbers, unless allow_identical",
)
def test_two_rows_with_the_same_request_are_refused(cached: bool, also: dict[str, str]) -> None:
    nodes = graph() | {"8": {"class_type": "KSampler", "inputs": {"seed": 1, "model": ["4", 0]}}}
    settings = batch(parameters={"6:1::text": "{prompt}", **also})
    prompts = table("prompt_id,prompt\na,cat\nb,dog\nc,cat\n")
    (problem,) = _problems(settings, prompts, workflow(nodes), cached_when_identical=cached)
    assert problem.startswith("prompts.csv:4: gives the same request as line 2")
    allowed = batch(parameters=settings.parameters, allow_identical=True)
    planned = _render(allowed, prompts, workflow(nodes), cached_when_identical=cached).planned
    assert len(planned) == 3
    assert len(_render(batch(), prompts, cached_when_identical=True).planned) == 3


def test_copies_of_one_row_are_meant_where_no_cache_answers() -> None:
    settings = batch(parameters={"6:1::text": "{prompt}"}, runs_per_prompt=2)
    assert len(_render(settings, table("prompt\ncat\n")).planned) == 2


@pytest.mark.case(
    "no column of the table reached a parameter: every row bought the same picture",
    "a table of which no column, nor {seed}, reaches a parameter is refused",
)
@pytest.mark.parametrize("parameters", [{}, {"6:1::text": "a cat"}, {"8::seed": "{seed}"}])
def test_a_table_that_reaches_no_parameter_is_refused(parameters: dict[str, str]) -> None:
    nodes = graph() | {"8": {"class_type": "KSampler", "inputs": {"seed": 1, "model": ["4", 0]}}}
    prompts = table("prompt\ncat\n")
    (problem,) = _problems(batch(parameters=parameters), prompts, workflow(nodes))
    assert "no column of prompts.csv" in problem
    meant = batch(parameters=parameters, allow_identical=True)
    assert len(_render(meant, prompts, workflow(nodes)).planned) == 1


@pytest.mark.case(
    "`{{ prompt }}`, as Dagster writes values in YAML, was sent as text: every row bought that",
    "doubled braces around a column's name are refused, with how to write either meaning",
)
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{{ prompt }}", "prompt"),
        ("a {{prompt}}, {seed}", "prompt"),
        ("{{negative prompt}}", "negative prompt"),
        ("{prompt} {{ seed }}", "seed"),
    ],
)
def test_doubled_braces_around_a_columns_name_are_refused(text: str, name: str) -> None:
    prompts = table("prompt,negative prompt\ncat,blurry\n")
    problems = _problems(batch(parameters={"6:1::text": text, "3::cfg": "{seed}"}), prompts)
    (told,) = [problem for problem in problems if "doubled" in problem]
    assert f"for its value write {{{name}}}" in told
    assert "put it into a cell" in told


def test_doubled_braces_around_what_is_no_column_are_text() -> None:
    settings = batch(parameters={"6:1::text": "{{red|blue}} {prompt} {{{prompt}}} {{{{prompt}}}}"})
    (planned,) = _render(settings, table("prompt\ncat\n")).planned
    assert planned.parameters["6:1::text"] == "{red|blue} cat {cat} {{prompt}}"
