from __future__ import annotations

import pytest

from flow_pipelines.batches.prompt_table import PromptTable
from flow_pipelines.model import PromptRow
from flow_pipelines.model.errors import InvalidBatch, Problem
from flow_pipelines_tests.unit.batches.samples import NIGHT, batch, sound_rows, table


def _rows(text: str, name: str = "prompts.csv") -> list[PromptRow]:
    return sound_rows(batch(), table(text, name), NIGHT)


def _problems(text: str, name: str = "prompts.csv") -> list[Problem]:
    with pytest.raises(InvalidBatch) as caught:
        _rows(text, name)
    return list(caught.value.problems)


def test_a_row_without_an_id_is_named_by_its_content_wherever_it_stands() -> None:
    before = _rows("prompt,style\ncat,ink\ndog,oil\n")
    after = _rows("style,prompt\noil,dog\n\nfilm,cow\nink,cat\n")
    assert before[0].prompt_id == after[2].prompt_id
    assert before[1].prompt_id == after[0].prompt_id
    assert len({row.prompt_id for row in before + after}) == 3


def test_a_row_keeps_its_id_when_other_rows_get_a_column_or_lose_a_number() -> None:
    before = PromptTable("a", ("n",), [{"n": 7}])
    after = PromptTable("a", ("n", "x", "y"), [{"n": 7.0, "x": None, "y": ""}])
    first, second = (sound_rows(batch(), t, NIGHT)[0].prompt_id for t in (before, after))
    assert first == second


def test_the_same_text_in_another_column_is_another_row() -> None:
    rows = _rows("prompt,style\ncat,\n,cat\n")
    assert len({row.prompt_id for row in rows}) == 2


def test_rows_that_are_alike_are_all_kept_under_ids_of_their_own() -> None:
    rows = _rows("prompt\ncat\ndog\ncat\ncat\n")
    first, dog, second, third = (row.prompt_id for row in rows)
    assert (second, third) == (f"{first}-2", f"{first}-3")
    assert _rows("prompt\ncat\ncat\n")[1].prompt_id == second
    assert dog not in {first, second, third}


def test_an_explicit_id_stays_as_written() -> None:
    rows = _rows("prompt_id,prompt\n../a b/é,cat\n007,dog\n")
    assert [row.prompt_id for row in rows] == ["../a b/é", "007"]


def test_a_numeric_id_is_the_same_whether_or_not_pandas_made_it_a_float() -> None:
    whole = PromptTable("a", ("prompt_id",), [{"prompt_id": 7}])
    floating = PromptTable("a", ("prompt_id",), [{"prompt_id": 7.0}])
    ids = [sound_rows(batch(), t, NIGHT)[0].prompt_id for t in (whole, floating)]
    assert ids == ["7", "7"]


def test_an_id_given_twice_names_both_lines() -> None:
    (problem,) = _problems('prompt_id,prompt\na,"two\nlines"\nb,x\na,y\n')
    assert str(problem) == (
        "prompts.csv:5, column 'prompt_id': 'a' is the prompt_id of line 2 already"
    )


def test_an_id_given_twice_in_a_table_without_lines_names_both_rows() -> None:
    twice = PromptTable("marketing/captions", ("prompt_id",), [{"prompt_id": "a"}] * 2)
    with pytest.raises(InvalidBatch, match="row 2: 'a' is the prompt_id of row 1 already"):
        sound_rows(batch(), twice, NIGHT)


@pytest.mark.parametrize("cell", ["", "  ", '"a\nb"', "x" * 1001])
def test_an_id_that_is_empty_or_unprintable_or_endless_is_told(cell: str) -> None:
    (problem,) = _problems(f"prompt_id,prompt\n{cell},cat\n")
    assert (problem.line, problem.column) == (2, "prompt_id")


@pytest.mark.parametrize(
    ("cell", "seed"),
    [("0", 0), ("18446744073709551615", 2**64 - 1), (" 42 ", 42), ("", None), ("  ", None)],
)
def test_a_seed_is_read_exactly_and_an_empty_cell_means_derived(
    cell: str, seed: int | None
) -> None:
    assert _rows(f"prompt,seed\ncat,{cell}\n")[0].seed == seed


@pytest.mark.parametrize("cell", ["-1", "18446744073709551616", "abc", "1.5", "1_000", "٣", "nan"])
def test_any_other_seed_is_told_with_line_and_column(cell: str) -> None:
    (problem,) = _problems(f"prompt,seed\ncat,1\ndog,{cell}\n")
    assert (problem.line, problem.column) == (3, "seed")
    assert cell in problem.message


def test_a_seed_column_that_pandas_made_float_is_read_where_it_is_still_exact() -> None:
    exact = PromptTable("a", ("seed",), [{"seed": 12.0}, {"seed": None}])
    assert [row.seed for row in sound_rows(batch(), exact, NIGHT)] == [12, None]
    rounded = PromptTable("a", ("seed",), [{"seed": float(2**60)}])
    with pytest.raises(InvalidBatch, match="seed"):
        sound_rows(batch(), rounded, NIGHT)


@pytest.mark.parametrize("cell", ["true", "1.5", '"x"'])
def test_a_typed_seed_that_is_no_integer_is_told(cell: str) -> None:
    (problem,) = _problems(f'{{"prompt": "cat", "seed": {cell}}}', "p.jsonl")
    assert problem.column == "seed"


def test_people_are_shown_the_prompt_column_or_nothing() -> None:
    assert _rows("prompt\ncat\n")[0].prompt == "cat"
    assert _rows("text\ncat\n")[0].prompt == ""


def test_a_row_keeps_every_column_and_its_place() -> None:
    rows = _rows("prompt,seed,x\na,1,\nb,,y\n")
    assert rows[1].row_number == 1
    assert rows[0].values == {"prompt": "a", "seed": "1", "x": ""}
    assert rows[0].content_hash == ""


def test_every_fault_of_a_table_is_told_at_once() -> None:
    problems = _problems("prompt_id,seed\na,x\na,1\n,-1\n")
    assert [(p.line, p.column) for p in problems] == [
        (2, "seed"),
        (3, "prompt_id"),
        (4, "prompt_id"),
        (4, "seed"),
    ]


def test_a_table_without_rows_is_told_with_its_partition() -> None:
    (problem,) = _problems("prompt\n")
    assert problem.message == "has no rows for 2026-11-21, so there is nothing to generate"
