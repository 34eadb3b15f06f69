"""The two tables of a night, as pandas and Parquet readers see them."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_pipelines.model import CostBasis, SubmissionState
from flow_pipelines.storage.tables import (
    MANIFEST_SCHEMA,
    RUNS_SCHEMA,
    cost_shares,
    manifest_table,
    parquet_bytes,
    runs_table,
)
from flow_pipelines_tests.unit.storage.samples import output, submission

RUNS = (
    "batch partition_key prompt_id copy generation prompt seed provider workflow parameters "
    "submission_key provider_run_id status stale error_code error_message submitted_at "
    "finished_at run_ms flotime_ms cost_usd cost_basis outputs"
)
MANIFEST = (
    "batch partition_key prompt_id copy generation prompt seed provider submission_key "
    "provider_run_id output_index file_name media_type width height size_bytes sha256 s3_uri "
    "cost_usd verified verified_why provider_file_name node"
)
KEY = submission().submission_key
micro_usd = st.integers(min_value=0, max_value=10**11).map(lambda n: Decimal(n).scaleb(-6))


def read(table: pa.Table) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(parquet_bytes(table)))


def test_the_columns_are_the_published_ones_in_their_order() -> None:
    assert " ".join(runs_table([], {}).column_names) == RUNS
    assert " ".join(manifest_table([], {}).column_names) == MANIFEST


def test_an_empty_night_has_the_same_types_as_a_full_one() -> None:
    night = [submission(cost_usd=Decimal(1))]
    assert runs_table([], {}).schema.equals(runs_table(night, {}).schema, check_metadata=True)
    full = manifest_table(night, {KEY: [output()]})
    assert manifest_table([], {}).schema.equals(full.schema, check_metadata=True)
    assert runs_table([], {}).schema == RUNS_SCHEMA
    assert full.schema == MANIFEST_SCHEMA


def test_a_run_reads_back_as_it_was() -> None:
    at = datetime(2026, 11, 22, 2, 3, 4, 567_891, tzinfo=UTC)
    row = submission(
        parameters={"6::text": "Łódź", "3::seed": 2**64 - 1, "on": True},
        provider_run_id="run-1",
        stale=True,
        submitted_at=at,
        run_ms=1234,
        flotime_ms=2**40,
        cost_usd=Decimal("0.021"),
        cost_basis=CostBasis.CHARGED,
    )
    [found] = read(runs_table([row], {KEY: [output(0), output(1, stored=None)]})).to_dict("records")
    assert json.loads(found["parameters"]) == row.parameters
    assert found["submitted_at"] == pd.Timestamp(at)
    assert pd.isna(found["finished_at"])
    assert (found["run_ms"], found["flotime_ms"], found["outputs"]) == (1234, 2**40, 2)
    assert (found["cost_usd"], found["cost_basis"]) == (Decimal("0.021000"), "charged")
    assert (found["status"], found["stale"]) == ("succeeded", True)


@pytest.mark.parametrize("seed", [0, 2**31 - 1, 2**53 + 1, 2**64 - 1])
def test_a_seed_is_exact_also_beside_a_row_that_has_none(seed: int) -> None:
    rows = [submission(seed=seed), submission(seed=None, row_number=1)]
    seeds = read(runs_table(rows, {}))["seed"]
    assert int(seeds[0]) == seed
    assert pd.isna(seeds[1])


def test_our_reason_stands_where_the_provider_named_no_error() -> None:
    rows = [
        submission(state=SubmissionState.SKIPPED, reason="budget of 5 USD"),
        submission(row_number=1, state=SubmissionState.FAILED, reason="x", error_message="OOM"),
    ]
    assert list(read(runs_table(rows, {}))["error_message"]) == ["budget of 5 USD", "OOM"]


def test_rows_keep_the_prompt_tables_order() -> None:
    rows = [
        submission(row_number=10, prompt_id="b"),
        submission(row_number=2, prompt_id="z", copy=1),
        submission(row_number=2, prompt_id="z", copy=0, generation=1),
        submission(row_number=2, prompt_id="z", copy=0),
    ]
    frame = read(runs_table(rows, {}))
    found = list(zip(frame["prompt_id"], frame["copy"], frame["generation"], strict=True))
    assert found == [("z", 0, 0), ("z", 0, 1), ("z", 1, 0), ("b", 0, 0)]


def test_the_manifest_has_a_row_for_each_stored_output_only() -> None:
    outputs = {KEY: [output(2), output(0), output(1, stored=None, problem="cut")]}
    frame = read(manifest_table([submission(cost_usd=Decimal("0.1"))], outputs))
    assert list(frame["output_index"]) == [0, 2]
    assert frame["s3_uri"][0] == "s3://pictures/flow/posters/2026-11-21/images/p1.0.01234567.0.png"
    assert frame["file_name"][0] == "p1.0.01234567.0.png"
    assert sum(frame["cost_usd"]) == Decimal("0.1")


def test_an_unknown_cost_is_not_a_cost_of_zero() -> None:
    night = [submission(cost_usd=None)]
    table = manifest_table(night, {KEY: [output(0), output(1)]})
    assert table["cost_usd"].null_count == 2
    assert runs_table(night, {})["cost_usd"].null_count == 1


@given(cost=micro_usd, count=st.integers(min_value=1, max_value=40))
def test_shares_of_a_cost_add_up_to_it_and_differ_by_a_micro_dollar(
    cost: Decimal, count: int
) -> None:
    shares = [share for share in cost_shares(cost, count) if share is not None]
    assert len(shares) == count
    assert sum(shares) == cost
    assert shares == sorted(shares, reverse=True)
    assert shares[0] - shares[-1] <= Decimal("0.000001")


@settings(max_examples=40)
@given(costs=st.lists(st.tuples(micro_usd, st.integers(0, 5)), max_size=8))
def test_the_manifests_costs_add_up_to_those_of_the_runs_with_images(
    costs: list[tuple[Decimal, int]],
) -> None:
    night = [submission(submission_key=f"{n:016x}", cost_usd=c) for n, (c, _) in enumerate(costs)]
    outputs = {
        row.submission_key: [output(index, key=row.submission_key) for index in range(count)]
        for row, (_, count) in zip(night, costs, strict=True)
    }
    manifest = pq.read_table(io.BytesIO(parquet_bytes(manifest_table(night, outputs))))
    runs = pq.read_table(io.BytesIO(parquet_bytes(runs_table(night, outputs))))
    paid = sum((cost for cost, count in costs if count), Decimal(0))
    assert sum(manifest["cost_usd"].to_pylist(), Decimal(0)) == paid
    assert sum(runs["cost_usd"].to_pylist(), Decimal(0)) == sum((c for c, _ in costs), Decimal(0))


def test_a_fraction_of_a_micro_dollar_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="micro-dollars"):
        cost_shares(Decimal("0.0000001"), 2)


def test_a_prompt_that_is_no_valid_unicode_does_not_cost_the_night_its_tables() -> None:
    assert read(runs_table([submission(prompt="half \ud83d")], {}))["prompt"][0] == "half ?"


def test_equal_tables_give_equal_bytes() -> None:
    first, second = (parquet_bytes(runs_table([submission()], {})) for _ in range(2))
    assert first == second
