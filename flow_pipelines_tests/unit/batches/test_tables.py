from __future__ import annotations

import pandas as pd
import pytest

from flow_pipelines.batches.columnar_table import table_from_dataframe
from flow_pipelines.batches.prompt_table import PromptTable
from flow_pipelines.batches.tables import read_table
from flow_pipelines.model.errors import InvalidBatch, Problem


def _problems(name: str, content: bytes) -> tuple[Problem, ...]:
    with pytest.raises(InvalidBatch) as caught:
        read_table(name, content)
    assert all(problem.file == name for problem in caught.value.problems)
    return caught.value.problems


def _csv(text: str) -> PromptTable:
    return read_table("p.csv", text.encode())


def test_a_csv_cell_stays_the_text_that_it_is() -> None:
    table = _csv("a,b,c,d\nNA,007,,1e3\nnan,null,  x ,True\n")
    assert table.columns == ("a", "b", "c", "d")
    assert table.rows == [
        {"a": "NA", "b": "007", "c": "", "d": "1e3"},
        {"a": "nan", "b": "null", "c": "  x ", "d": "True"},
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    assert read_table("P.CSV", b"\xef\xbb\xbfprompt\nx\n").columns == ("prompt",)


def test_blanks_around_a_column_name_are_dropped_and_those_in_cells_kept() -> None:
    table = _csv("prompt, category\nx, y\n")
    assert table.rows == [{"prompt": "x", "category": " y"}]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines_are_physical_ones_also_after_quoted_line_breaks_and_blank_lines(
    newline: str,
) -> None:
    text = newline.join(["prompt,n", '"one', 'two, ""three""",1', "", "four,2", '"five"', ""])
    problems = _problems("p.csv", text.encode())
    assert [(p.line, p.message) for p in problems] == [
        (6, "has 1 cells where the header names 2 columns")
    ]
    table = _csv(text.replace('"five"', '"five",3'))
    assert table.rows[0]["prompt"] == f'one{newline}two, "three"'
    assert table.lines == (2, 5, 6)


def test_a_cell_may_hold_a_line_separator_of_unicode() -> None:
    table = _csv("prompt\na\u2028b\nc\n")
    assert [row["prompt"] for row in table.rows] == ["a\u2028b", "c"]
    assert table.place_of(1) == "line 3"


def test_every_ragged_row_is_told_with_its_line() -> None:
    problems = _problems("p.csv", b"a,b\n1\n1,2\n1,2,3\n")
    assert [problem.line for problem in problems] == [2, 4]


def test_a_quote_that_is_never_closed_is_told_where_its_row_begins() -> None:
    (problem,) = _problems("p.csv", b'a,b\n1,2\n3,"four\n5,6\n')
    assert problem.line == 3
    assert "never closed" in problem.message


def test_a_quote_inside_a_quoted_cell_has_to_be_doubled() -> None:
    (problem,) = _problems("p.csv", b'a\n"say "hi" loud"\n')
    assert problem.line == 2
    assert "written twice" in problem.message


def test_a_cell_beyond_all_bounds_is_refused() -> None:
    (problem,) = _problems("p.csv", b"a\nok\n" + b"x" * 200_000 + b"\n")
    assert problem.line == 3
    assert "131072" in problem.message


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"a,,c", "column 2 has no name"),
        (b"a,b,a", "two columns are named 'a'"),
        (b"a, a", "two columns are named 'a'"),
        (
            b"prompt|seed",
            "is separated by bars; write prompts: {path: p.csv, delimiter: '|'}",
        ),
    ],
)
def test_a_header_that_cannot_be_used_is_told(header: bytes, message: str) -> None:
    (problem,) = _problems("p.csv", header + b"\nx\n")
    assert (problem.line, problem.message) == (1, message)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_a_csv_without_a_header_is_refused(content: bytes) -> None:
    (problem,) = _problems("p.csv", content)
    assert "is empty" in problem.message


@pytest.mark.parametrize("name", ["p.csv", "p.jsonl"])
def test_bytes_that_are_not_utf8_are_told_with_their_line(name: str) -> None:
    (problem,) = _problems(name, b'{"prompt": "x"}\n{"prompt": "caf\xe9"}\n')
    assert problem.line == 2
    assert "0xe9" in problem.message


def test_a_nul_character_is_told_with_line_and_column() -> None:
    (problem,) = _problems("p.csv", b"a,b\nx,y\0\n")
    assert (problem.line, problem.column) == (2, "b")


def test_jsonl_keeps_types_and_large_integers() -> None:
    text = (
        '{"prompt": "x", "seed": 18446744073709551615, "on": true}\n\n{"w": 0.5, "seed": null}\r\n'
    )
    table = read_table("p.jsonl", text.encode())
    assert table.columns == ("prompt", "seed", "on", "w")
    assert table.rows[0] == {"prompt": "x", "seed": 2**64 - 1, "on": True, "w": None}
    assert table.rows[1] == {"prompt": None, "seed": None, "on": None, "w": 0.5}
    assert table.place_of(1) == "line 3"


def test_a_line_of_jsonl_ends_at_a_line_feed_and_nowhere_else() -> None:
    table = read_table("p.jsonl", '{"prompt": "a\u2028b\x85"}\n{"prompt": "c"}'.encode())
    assert [row["prompt"] for row in table.rows] == ["a\u2028b\x85", "c"]
    assert table.place_of(1) == "line 2"


def test_every_faulty_line_of_jsonl_is_told() -> None:
    lines = [
        '{"a": 1}',
        '{"a": }',
        "[1]",
        '{"a": {"b": 1}}',
        '{"a": [1]}',
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": 18446744073709551616}',
        '{"a": 1, "a": 2}',
        '{"a": "\\ud800"}',
        '{"": 1}',
        "[" * 100_000,
        '{"a": ' + "9" * 5000 + "}",
    ]
    problems = _problems("p.jsonl", "\n".join(lines).encode())
    assert [problem.line for problem in problems] == list(range(2, 14))
    assert problems[0].column == "7"
    assert problems[2].column == "a"


def test_a_file_of_another_kind_is_refused_with_the_kinds_there_are() -> None:
    for name in ("prompts.xls", "prompts.xlsx.zip", "prompts", "csv", "prompts.gz"):
        (problem,) = _problems(name, b"prompt\ncat\n")
        assert ".csv, .tsv, .txt, .jsonl, .parquet, .xlsx" in problem.message


@pytest.mark.case(
    "a row of commas, as spreadsheets leave them below a table, was bought without a prompt",
    "a row with only empty cells counts as a blank line",
)
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.csv", "prompt,n\n,\ncat,1\n , \n\ndog,2\n,,\n"),
        ("p.jsonl", '{"prompt": " "}\n\n{"prompt": "cat", "n": 1}\n{}\n{}\n{"prompt": "dog"}\n'),
    ],
)
def test_rows_with_only_empty_cells_are_blank_lines(name: str, text: str) -> None:
    read = read_table(name, text.encode())
    assert [row["prompt"] for row in read.rows] == ["cat", "dog"]
    assert [read.place_of(number) for number in range(2)] == ["line 3", "line 6"]


def test_blank_rows_of_a_dataframe_count_as_nothing_and_places_stay() -> None:
    frame = pd.DataFrame({"prompt": [None, "cat", " ", "dog"], "n": [None, 1, None, None]})
    read = table_from_dataframe("up/stream", frame)
    assert [row["prompt"] for row in read.rows] == ["cat", "dog"]
    assert [read.place_of(number) for number in range(2)] == ["row 2", "row 4"]


@pytest.mark.case(
    "a column Seed or Prompt_ID was ignored: every night drew other seeds, under other ids",
    "these columns in another case are an error with the fix",
)
@pytest.mark.parametrize(("column", "meant"), [("Seed", "seed"), ("PROMPT_ID", "prompt_id")])
def test_seed_and_prompt_id_in_another_case_are_an_error(column: str, meant: str) -> None:
    with pytest.raises(InvalidBatch, match=f"the column '{column}' is not '{meant}': write"):
        read_table("p.csv", f"prompt,{column}\ncat,1\n".encode())


def test_two_spellings_of_prompt_are_an_error_unless_one_is_prompt() -> None:
    with pytest.raises(InvalidBatch, match="could both be the prompt"):
        read_table("p.csv", b"Prompt,PROMPT\na,b\n")
    assert read_table("p.csv", b"Prompt,prompt\na,b\n").prompt_column == "prompt"
