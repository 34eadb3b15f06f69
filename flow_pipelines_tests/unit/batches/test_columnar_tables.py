from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from flow_pipelines.batches.columnar_table import table_from_dataframe
from flow_pipelines.batches.tables import read_table
from flow_pipelines.model.errors import InvalidBatch


def _parquet(data: pa.Table) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(data, sink)
    return sink.getvalue()


def test_parquet_keeps_types_and_integers_beside_missing_ones() -> None:
    data = pa.table(
        {
            "prompt": ["x", None],
            "seed": pa.array([2**64 - 1, None], pa.uint64()),
            "n": pa.array([2**53 + 1, None], pa.int64()),
            "w": [0.5, float("nan")],
            "on": [True, None],
            "kind": pa.array(["k", "k"]).dictionary_encode(),
        }
    )
    table = read_table("p.parquet", _parquet(data))
    assert table.rows == [
        {"prompt": "x", "seed": 2**64 - 1, "n": 2**53 + 1, "w": 0.5, "on": True, "kind": "k"},
        {"prompt": None, "seed": None, "n": None, "w": None, "on": None, "kind": "k"},
    ]
    assert type(table.rows[0]["n"]) is int
    assert table.lines is None


def test_dates_and_exact_decimals_become_their_text() -> None:
    moment = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
    data = pa.table({"day": [date(2026, 11, 22)], "at": [moment], "price": [Decimal("0.10")]})
    (row,) = read_table("p.parquet", _parquet(data)).rows
    assert row == {"day": "2026-11-22", "at": "2026-11-22T02:00:00+00:00", "price": "0.10"}


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([[1], [2]], "nested"),
        ([{"a": 1}, {"a": 2}], "nested"),
        ([b"x", b"y"], "binary data"),
        ([1.0, float("inf")], "row 2 is not a finite number"),
    ],
)
def test_a_column_that_is_no_column_of_values_is_told_once(cells: Any, message: str) -> None:
    with pytest.raises(InvalidBatch, match=message) as caught:
        read_table("p.parquet", _parquet(pa.table({"ok": ["x", "y"], "bad": cells})))
    (problem,) = caught.value.problems
    assert problem.column == "bad"


def test_two_parquet_columns_of_one_name_are_told() -> None:
    data = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(InvalidBatch, match="two columns are named 'a'"):
        read_table("p.parquet", _parquet(data))


def test_the_index_that_pandas_stored_is_no_column() -> None:
    sink = io.BytesIO()
    pd.DataFrame({"prompt": ["x"]}, index=[7]).to_parquet(sink)
    assert read_table("p.parquet", sink.getvalue()).columns == ("prompt",)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 50 + b"PAR1"])
def test_a_damaged_parquet_file_is_told(content: bytes) -> None:
    with pytest.raises(InvalidBatch, match="cannot be read as Parquet"):
        read_table("p.parquet", content)


def test_a_dataframe_gives_plain_values_and_none_for_everything_missing() -> None:
    frame = pd.DataFrame(
        {
            "prompt": ["x", None],
            "seed": pd.array([2**64 - 1, None], dtype="UInt64"),
            "w": [0.5, float("nan")],
            "on": pd.array([True, None], dtype="boolean"),
            "at": [pd.Timestamp("2026-11-22", tz="UTC"), pd.NaT],
            3: ["number", "name"],
        },
        index=["i", "j"],
    )
    table = table_from_dataframe("marketing/captions", frame)
    assert table.name == "marketing/captions"
    assert table.columns == ("prompt", "seed", "w", "on", "at", "3")
    assert table.rows[0] == {
        "prompt": "x",
        "seed": 2**64 - 1,
        "w": 0.5,
        "on": True,
        "at": "2026-11-22T00:00:00+00:00",
        "3": "number",
    }
    assert set(table.rows[1].values()) == {None, "name"}
    assert {type(value) for value in table.rows[0].values()} == {str, int, float, bool}


def test_a_dataframe_with_lists_or_doubled_columns_is_refused() -> None:
    with pytest.raises(InvalidBatch, match="column 'tags': row 1 is nested"):
        table_from_dataframe("a", pd.DataFrame({"tags": [["x"]]}))
    with pytest.raises(InvalidBatch, match="two columns are named"):
        table_from_dataframe("a", pd.DataFrame([[1, 2]], columns=["x", "x"]))


def test_an_empty_dataframe_is_a_table_without_rows() -> None:
    assert table_from_dataframe("a", pd.DataFrame()).rows == []
    assert table_from_dataframe("a", pd.DataFrame({"prompt": []})).columns == ("prompt",)
