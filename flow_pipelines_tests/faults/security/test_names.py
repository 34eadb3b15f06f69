"""Names that somebody chose with care: they never become a path, a link or a cell of a table."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from flow_pipelines.assets.images import SHOWN_CHARACTERS, failures_table
from flow_pipelines.batches import tables
from flow_pipelines.batches.graphs import parse_graph
from flow_pipelines.batches.keys import path_safe
from flow_pipelines.batches.positions import compose, find_position
from flow_pipelines.batches.tables import read_table
from flow_pipelines.ledger.records import CostLine
from flow_pipelines.model import Night
from flow_pipelines.model.errors import ConfigurationError, InvalidBatch
from flow_pipelines.reports.cost_report import MonthToDate, cost_frame, cost_markdown
from flow_pipelines.reports.preview import plain, preview_markdown
from flow_pipelines_tests.dagster.conftest import BATCH, NIGHT, Project, World, materialize
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

WHOLE = ("harbor/prompts", "harbor/provider_runs", "harbor/images", "harbor/contact_sheet")
SAFE = re.compile(r"[A-Za-z0-9._-]{1,160}")
HOSTILE = [
    "../../../../etc/passwd",
    "..",
    "/absolute",
    "a/../../b",
    "..\\..\\boot.ini",
    "a b?c#d%2e%2e%2f",
    "x" * 999,
    "図書館 🌊",
    "*|<>:\"'",
    "con",
]
MARKUP = "|</td><script>alert(1)</script>|\n\n# big\n[x](javascript:alert(1)) ![y](http://a/b) `c`"


def table(*rows: tuple[str, str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([("prompt_id", "prompt"), *rows])
    return text.getvalue()


def objects(world: World) -> list[str]:
    return [str(f.relative_to(world.bucket)) for f in world.bucket.rglob("*") if f.is_file()]


def facts_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node(asset.replace("/", "__"))
    return {name: value.value for name, value in event.metadata.items()}


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_one_part_of_a_path_and_no_other_names_part(name: str) -> None:
    part = path_safe(name)
    assert SAFE.fullmatch(part)
    assert part not in {".", ".."}
    assert len({path_safe(other) for other in HOSTILE}) == len(HOSTILE)


WORKFLOW = re.compile(r"harbor/_journal/workflow\.[0-9a-f]{64}\.json")


def test_prompt_ids_and_partition_keys_that_are_paths_stay_in_their_folders(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    key = "eu/../../../west"
    keys = json.dumps([key, "other"])
    daily = BATCH[BATCH.index("  partitions_def") : BATCH.index("  price")]
    yaml_text = BATCH.replace(
        daily, f"  partitions_def: {{type: static, partition_keys: {keys}}}\n"
    )
    rows = [(name, f"a cat at number {number}") for number, name in enumerate(HOSTILE)]
    project.add("harbor", yaml_text, prompts__csv=table(*rows))
    outside = {path for path in world.bucket.parent.iterdir() if path != world.bucket}
    with project.load() as defs:
        result = materialize(defs, instance, *WHOLE, partition_key=key)

    assert result.success
    found = objects(world)
    folder = f"harbor/{path_safe(key)}"
    journal = f"harbor/_journal/{path_safe(key)}/"
    own = {"_store.json", "harbor/_ledger.json"}
    others = [name for name in found if not name.startswith((f"{folder}/", journal))]
    assert [name for name in others if name not in own and not WORKFLOW.fullmatch(name)] == []
    images = [name for name in found if "/images/" in name]
    assert len(images) == len(HOSTILE)
    assert all(SAFE.fullmatch(Path(name).name) and name.count("/") == 3 for name in images)
    assert outside == {path for path in world.bucket.parent.iterdir() if path != world.bucket}


def test_file_names_of_a_provider_are_no_part_of_any_path(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    word = "../../../../etc/\\..\\\x00 evil" + "x" * 3000 + "図.svg"
    world.control.add_fault("floyo", "retrieve_run", "path_like_names", count=None, word=word)
    world.control.add_fault("floyo", "download_file", "path_like_names", count=None)
    project.add("harbor")
    with project.load() as defs:
        result = materialize(defs, instance, *WHOLE)

    assert result.success
    assert len(world.images()) == 3
    assert all(re.fullmatch(r"[abc]\.0\.[0-9a-f]{8}\.0\.png", name) for name in world.images())
    manifest = pq.read_table(world.bucket / "harbor" / NIGHT / "manifest.parquet").to_pylist()
    assert sorted(row["file_name"] for row in manifest) == world.images()


def test_a_partition_key_leads_to_no_prompt_table_elsewhere(harness: LifecycleHarness) -> None:
    from dataclasses import replace

    (harness.folder.parent / "stolen.csv").write_text("prompt_id,prompt\na,a cat\n")
    harness.settings = replace(harness.settings, prompts="{partition_key}.csv")
    harness.night = Night(harness.night.batch, "../stolen")
    with pytest.raises(ConfigurationError, match="no prompt table is looked for"):
        harness.plan()


# -- what people are shown ----------------------------------------------------------------------


def test_markup_in_prompts_is_neither_obeyed_nor_breaks_a_table(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    world.control.add_fault("floyo", "create_run", "status", status=400, body={"error": MARKUP})
    project.add("harbor", prompts__csv=table(("a", MARKUP), ("b", "=cmd|' /C calc'!A0")))
    with project.load() as defs:
        result = materialize(defs, instance, *WHOLE)
        report = materialize(defs, instance, "cost_report", partition_key=None)

    facts = facts_of(result, "harbor/images")
    markdown = (
        facts["preview"],
        facts_of(result, "harbor/contact_sheet")["preview"],
        facts_of(report, "cost_report")["report"],
    )
    assert all("script" not in text and "javascript" not in text for text in markdown)
    [event] = result.asset_materializations_for_node("harbor__images")
    failed = event.metadata["failures"]
    assert isinstance(failed, dg.TableMetadataValue)
    [failure] = [record.data for record in failed.records]
    assert failure["prompt"] == MARKUP  # a table's cell is shown as text
    assert "alert(1)" in failure["error_message"]


def test_names_in_markdown_are_text() -> None:
    night = Night("harbor", MARKUP)
    line = CostLine(
        night=night,
        provider="floyo",
        runs=1,
        failed=0,
        images=1,
        flotime_ms=1,
        cost_usd=Decimal("0.02"),
        runs_cost_unknown=0,
        estimated_usd=Decimal(0),
    )
    month = MonthToDate(now=datetime(2026, 11, 22, tzinfo=UTC))
    said = cost_markdown(cost_frame([line]), month)
    rows = [row for row in said.splitlines() if "harbor" in row]
    assert len(rows) == 1
    for text in (*rows, preview_markdown([], str(night)), plain(MARKUP)):
        assert "<" not in text
        assert "\n" not in text
        assert not re.search(r"(?<!\\)[\[\]`]", text)
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 8


def test_a_table_of_failures_is_short_whatever_the_prompts_are() -> None:
    rows = [{"prompt_id": "a", "prompt": "x" * 100_000, "error_message": "y" * 100_000}] * 1000
    records = failures_table(rows).records
    assert len(records) <= 50
    assert all(len(str(v)) <= SHOWN_CHARACTERS for one in records for v in one.data.values())


# -- small files that stand for large ones ------------------------------------------------------


def test_a_parquet_file_of_a_billion_rows_is_refused_unread() -> None:
    stream = io.BytesIO()
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 300_000, pa.int8()), pa.array(["cat"]))
    pq.write_table(pa.table({"prompt": column}), stream)
    assert len(stream.getvalue()) < 10_000
    with pytest.raises(InvalidBatch, match="more than 200000 rows"):
        read_table("prompts.parquet", stream.getvalue())


def test_a_parquet_file_that_unpacks_to_gigabytes_is_refused_unread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flow_pipelines.batches import columnar_table

    monkeypatch.setattr(columnar_table, "_MAX_BYTES", 1_000_000)
    stream = io.BytesIO()
    plain_text = pa.table({"prompt": ["x" * 100_000 + str(number) for number in range(50)]})
    pq.write_table(plain_text, stream, compression="zstd", use_dictionary=False)
    assert len(stream.getvalue()) < 100_000
    with pytest.raises(InvalidBatch, match="unpacks to more than"):
        read_table("prompts.parquet", stream.getvalue())


@pytest.mark.parametrize(
    ("name", "text"),
    [("p.csv", "prompt\n" + "cat\n" * 30), ("p.jsonl", '{"p": 1}\n' * 30)],
)
def test_a_table_with_more_rows_than_a_night_can_have_is_refused(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_ROWS", 20)
    with pytest.raises(InvalidBatch, match="split it into partitions"):
        read_table(name, text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 200_000,
        '{"1": {"class_type": "A", "inputs": {"x": ' + "[" * 100_000 + "]" * 100_000 + "}}}",
        '{"1": {"class_type": "A", "inputs": {"x": ' + "9" * 1_000_000 + "}}}",
        '{"1": {"class_type": "A", "inputs": {"x": 1e999999999}}}',
    ],
)
def test_json_that_would_exhaust_a_reader_is_a_fault_of_the_file(text: str) -> None:
    with pytest.raises(InvalidBatch):
        parse_graph("graph.json", text.encode())
    with pytest.raises(InvalidBatch):
        read_table("prompts.jsonl", text.encode())


def test_yaml_that_multiplies_itself_is_not_unfolded_to_find_a_line() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    text = "\n".join([*lines, "attributes: {name: a29}"])
    assert find_position(compose(text), ("attributes", "name")) == (31, 14)
    assert find_position(compose("[" * 5000), ("attributes",)) is None
    assert find_position(compose("a: b\n" * 300_000), ("a",)) is None
    assert isinstance(yaml.compose("a: 1"), yaml.MappingNode)
