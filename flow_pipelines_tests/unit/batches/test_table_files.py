"""Prompt tables as people have them: whatever wrote the file, and what it is if it is none."""

from __future__ import annotations

import datetime as dt
import gzip
import io
from typing import Any

import openpyxl
import pytest

from flow_pipelines.batches import table_files
from flow_pipelines.batches.tables import read_table
from flow_pipelines.model import TableFormat
from flow_pipelines.model.errors import InvalidBatch

CATS = [{"prompt": "a cat, asleep", "n": "1"}, {"prompt": "ein Kater; wach", "n": "2,5"}]


def workbook(*sheets: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    for number, rows in enumerate(sheets):
        sheet = book.active if number == 0 else book.create_sheet()
        for row in rows:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def message(name: str, content: bytes, written: TableFormat | None = None) -> str:
    with pytest.raises(InvalidBatch) as caught:
        read_table(name, content, written or TableFormat())
    (problem,) = caught.value.problems
    return str(problem)


@pytest.mark.case(
    "tables that Excel writes in Europe (semicolons), tabs, a prompt a line, packed ones and "
    "workbooks could not be read",
    "each is read: the separator is told from the header line",
)
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.csv", 'prompt,n\n"a cat, asleep",1\nein Kater; wach,"2,5"\n'),
        ("p.csv", 'prompt;n\na cat, asleep;1\n"ein Kater; wach";2,5\n'),
        ("p.csv", "prompt\tn\na cat, asleep\t1\nein Kater; wach\t2,5\n"),
        ("p.tsv", "prompt\tn\r\na cat, asleep\t1\r\nein Kater; wach\t2,5\r\n"),
        ("p.csv", 'sep=;\r\nprompt;n\r\na cat, asleep;1\r\n"ein Kater; wach";2,5\r\n'),
        ("p.csv", 'SEP=,\nprompt,n\n"a cat, asleep",1\nein Kater; wach,"2,5"\n'),
        ("p.csv", 'prompt;n;;\na cat, asleep;1;;\n"ein Kater; wach";2,5;;\n;;;\n'),
        ("p.csv", 'prompt;n\na cat, asleep;1; \n"ein Kater; wach";2,5\n'),
        ("p.csv", '"prompt",n\n"a cat, asleep",1\nein Kater; wach,"2,5"\n'),
    ],
)
def test_separators_are_told_from_the_header_line(name: str, text: str) -> None:
    for content in (text.encode(), b"\xef\xbb\xbf" + text.encode()):
        assert read_table(name, content).rows == CATS
        assert read_table(f"{name}.gz", gzip.compress(content)).rows == CATS
    assert read_table(name, text.encode("utf-16"), TableFormat(encoding="utf-16")).rows == CATS


def test_a_comma_in_the_header_decides_as_it_always_did() -> None:
    table = read_table("p.csv", b"prompt,sizes;a;b\ncat,1;2;3\n")
    assert table.rows == [{"prompt": "cat", "sizes;a;b": "1;2;3"}]
    assert read_table("p.csv", b"prompt\ncats; and dogs\n").rows == [{"prompt": "cats; and dogs"}]


def test_a_row_with_more_than_the_header_names_is_told_where_something_is_written() -> None:
    assert message("p.csv", b"a,b\n1,2,,x\n") == (
        "p.csv:2: has 4 cells where the header names 2 columns"
    )


def test_lines_after_excels_first_line_keep_their_numbers() -> None:
    table = read_table("p.csv", b"sep=;\nprompt;n\n\ncat;1\n")
    assert table.place_of(0) == "line 4"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_text_file_has_a_prompt_a_line(newline: str) -> None:
    text = newline.join(["#1 fan poster", "", '  a "cat", asleep; {x} ', " ", "dog"])
    table = read_table("p.txt", text.encode())
    assert [row["prompt"] for row in table.rows] == [
        "#1 fan poster",
        '  a "cat", asleep; {x} ',
        "dog",
    ]
    assert table.lines == (1, 3, 5)


def test_comments_are_left_out_only_where_a_person_says_so() -> None:
    lines = b'# ours\nprompt;n\n"#1 fan, poster";1\n  # more\ncat;2\n"a\n# b";3\n'
    table = read_table("p.csv", lines, TableFormat(comment="#"))
    assert [row["prompt"] for row in table.rows] == ["#1 fan, poster", "cat", "a\n# b"]
    assert table.lines == (3, 5, 6)
    assert len(read_table("p.txt", b"# x\ncat\n").rows) == 2
    assert len(read_table("p.txt", b"# x\ncat\n", TableFormat(comment="#")).rows) == 1


@pytest.mark.parametrize(
    ("written", "content"),
    [
        (TableFormat(delimiter="|"), b"prompt|n\ncat|1\n"),
        (TableFormat(delimiter=";"), b"prompt;n\ncat;1\n"),
        (TableFormat(encoding="cp1252"), b"prompt,n\ncat,1\n"),
        (TableFormat(encoding="utf-16"), "prompt,n\ncat,1\n".encode("utf-16")),
    ],
)
def test_what_a_person_says_of_a_file_counts(written: TableFormat, content: bytes) -> None:
    assert read_table("p.csv", content, written).rows == [{"prompt": "cat", "n": "1"}]


def test_letters_of_another_encoding_arrive_as_they_were_written() -> None:
    content = "prompt\nein schöner Käfer für 5 €\n".encode("cp1252")
    table = read_table("p.csv", content, TableFormat(encoding="cp1252"))
    assert table.rows == [{"prompt": "ein schöner Käfer für 5 €"}]
    assert "is not ascii text" in message("p.csv", content, TableFormat(encoding="ascii"))


def test_a_workbook_is_read_with_its_types_and_its_row_numbers() -> None:
    day = dt.date(2026, 12, 1)
    rows = [[], ["prompt", " n ", "x", "on", "day"], ["cat", 7, 0.5, True, day], [None], ["dog"]]
    table = read_table("p.xlsx", workbook(rows, []))
    assert table.columns == ("prompt", "n", "x", "on", "day")
    assert table.rows[0] == {"prompt": "cat", "n": 7, "x": 0.5, "on": True, "day": "2026-12-01"}
    assert type(table.rows[0]["n"]) is int
    assert [table.place_of(number) for number in range(2)] == ["row 3", "row 5"]


@pytest.mark.parametrize("number", [10**15, 1234567890123456789, -(10**16)])
def test_a_number_of_which_a_workbook_lost_digits_is_an_error(number: int) -> None:
    content = workbook([["prompt", "seed"], ["cat", 10**15 - 1], ["dog", number]])
    assert message("p.xlsx", content).startswith("p.xlsx, column 'seed': row 3 is ")
    as_text = workbook([["prompt", "seed"], ["dog", str(number)]])
    assert read_table("p.xlsx", as_text).rows == [{"prompt": "dog", "seed": str(number)}]


def test_of_several_sheets_with_rows_none_is_guessed() -> None:
    content = workbook([["prompt"], ["cat"]], [["prompt"], ["dog"]])
    assert "has 2 sheets with rows (Sheet, Sheet1); leave one of them" in message("p.xlsx", content)
    assert "has no rows" in message("p.xlsx", workbook([]))


@pytest.mark.case(
    "a file that was something else was called broken CSV or no JSON, by its first symptom",
    "what cannot be read is called what it is",
)
@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("p.csv", workbook([["prompt"]]), "is an .xlsx workbook"),
        ("p.jsonl", workbook([["prompt"]]), "is an .xlsx workbook"),
        ("p.csv", gzip.compress(b"prompt"), "is packed by gzip: its name has to end in .gz"),
        ("p.csv", b"PAR1\0\0", "is a Parquet file"),
        ("p.csv", b"\xd0\xcf\x11\xe0\xa1", "is an .xls workbook of old"),
        ("p.txt", b"%PDF-1.7", "is a PDF document"),
        ("p.csv", b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS"),
        ("p.csv", b"\n<!DOCTYPE html><html>", "is a page (HTML or XML)"),
        ("p.csv", "prompt\ncat".encode("utf-16"), "is UTF-16 text; save it as UTF-8, or write"),
        ("p.jsonl", b'\n[{"prompt": "cat"}]', "is a JSON array, not JSON lines"),
        ("p.csv.gz", b"prompt\ncat\n", "cannot be unpacked by gzip"),
        ("p.csv.gz", gzip.compress(b"prompt\ncat\n" * 999)[:-9], "is cut off"),
        ("p.xlsx", b"prompt\ncat\n", "cannot be read as an .xlsx workbook"),
        ("p.parquet", b"prompt\ncat\n", "cannot be read as Parquet"),
    ],
)
def test_what_cannot_be_read_is_called_what_it_is(name: str, content: bytes, cause: str) -> None:
    assert cause in message(name, content)


def test_what_unpacks_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "MAX_BYTES", 5_000_000)
    packed = gzip.compress(b"prompt\n" + b"cat\n" * 2_000_000)
    assert "unpacks to more than 5000000 bytes" in message("p.csv.gz", packed)


def test_what_was_packed_in_parts_is_read_whole() -> None:
    packed = gzip.compress(b"prompt\ncat\n") + gzip.compress(b"dog\n" * 500_000)
    table = read_table("p.csv.gz", gzip.compress(b"prompt\ncat\n") + gzip.compress(b"dog\n" * 3))
    assert [row["prompt"] for row in table.rows] == ["cat", "dog", "dog", "dog"]
    assert "more than 200000 rows" in message("p.csv.gz", packed)
