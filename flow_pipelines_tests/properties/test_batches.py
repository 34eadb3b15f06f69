"""What holds for every text, table and graph, not only for those that somebody thought of."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flow_pipelines.batches.graphs import (
    graph_parameters,
    graph_version,
    link_fields,
    parse_graph,
    set_parameters,
    split_parameter,
)
from flow_pipelines.batches.keys import derive_seed, path_safe, stable_hash, submission_key
from flow_pipelines.batches.positions import compose, find_position
from flow_pipelines.batches.render import render_rows
from flow_pipelines.batches.tables import read_table
from flow_pipelines.batches.templates import Column, Template
from flow_pipelines.batches.values import WrongType, typed_value
from flow_pipelines.model import BatchSettings, Night, ParameterType, Workflow
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines_tests.unit.batches.samples import sound_rows

# A busy machine is no reason to fail.
patient = settings(deadline=None, max_examples=150)

BRACED = st.text(alphabet="{}ab_ 0.é", max_size=30)
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXT = st.text(CHARACTERS, max_size=20)
NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
INTEGERS = st.integers(-(2**63), 2**64 - 1)
NUMBERS = INTEGERS | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


@patient
@given(BRACED)
def test_any_text_parses_and_renders(text: str) -> None:
    template = Template.parse(text)
    rendered = template.render(dict.fromkeys(template.columns, "value"))
    assert isinstance(rendered, str)


@patient
@given(BRACED)
def test_a_text_whose_braces_are_doubled_renders_as_itself(text: str) -> None:
    template = Template.parse(_escaped(text))
    assert template.columns == ()
    assert template.render({}) == text


@patient
@given(st.lists(BRACED | NAMES.map(Column), max_size=6), st.data())
def test_a_template_renders_the_parts_that_it_was_written_from(
    parts: list[str | Column], data: st.DataObject
) -> None:
    names = sorted({part.name for part in parts if isinstance(part, Column)})
    values = {name: data.draw(BRACED) for name in names}
    written = "".join(f"{{{p.name}}}" if isinstance(p, Column) else _escaped(p) for p in parts)
    template = Template.parse(written)
    assert set(template.columns) == set(names)
    expected = "".join(values[p.name] if isinstance(p, Column) else p for p in parts)
    assert template.render(values) == expected


@patient
@given(st.text(alphabet="{} .:!ab0", max_size=30))
def test_a_brace_that_is_no_column_and_no_pair_is_a_fault(text: str) -> None:
    odd = re.sub(r"\{\{|\}\}|\{ *[ab0][ab0 ]*\}", "", text)
    assert (Template.parse(text).fault is not None) == ("{" in odd or "}" in odd)


@patient
@given(st.lists(st.tuples(TEXT, TEXT, TEXT, st.integers(0, 20), st.integers(0, 20)), max_size=20))
def test_different_submissions_never_share_a_key(
    parts: list[tuple[str, str, str, int, int]],
) -> None:
    keys = {submission_key(Night(b, p), i, copy, g) for b, p, i, copy, g in parts}
    assert len(keys) == len(set(parts))
    assert all(re.fullmatch("[0-9a-f]{32}", key) for key in keys)


@patient
@given(TEXT, TEXT, st.data())
def test_no_part_of_a_key_runs_into_the_next(first: str, second: str, data: st.DataObject) -> None:
    whole = first + second
    cut = data.draw(st.integers(0, len(whole)))
    other = (whole[:cut], whole[cut:])
    same = submission_key(Night(first, second), "x", 0, 0) == submission_key(
        Night(*other), "x", 0, 0
    )
    assert same == ((first, second) == other)


@patient
@given(st.text(), st.integers(0, 9), st.integers(0, 9))
def test_a_derived_seed_is_one_that_every_service_takes(text: str, copy: int, gen: int) -> None:
    assert 0 <= derive_seed(Night(text, text), text, copy, gen) < 2**31


@patient
@given(st.text(max_size=120))
def test_every_text_has_a_safe_path(text: str) -> None:
    safe = path_safe(text)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,100}", safe)
    assert safe not in {".", ".."}
    assert path_safe(safe) == safe


@patient
@given(st.dictionaries(TEXT, SCALARS | st.lists(SCALARS, max_size=3), max_size=5))
def test_a_hash_survives_json_and_any_order_of_keys(value: dict[str, Any]) -> None:
    again = json.loads(json.dumps(dict(reversed(value.items()))))
    assert stable_hash(again) == stable_hash(value)


@st.composite
def _csv_tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    columns = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
    width = len(columns)
    cells = st.text(CHARACTERS | st.sampled_from('",\n\r'), max_size=8)
    rows = st.lists(st.lists(cells, min_size=width, max_size=width), max_size=6)
    return columns, draw(rows)


@patient
@given(_csv_tables(), st.booleans())
def test_a_csv_gives_back_every_cell_and_the_line_of_every_row(
    written: tuple[list[str], list[list[str]]], mark: bool
) -> None:
    columns, rows = written
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, quoting=csv.QUOTE_ALL, lineterminator="\n")
    lines = []
    for row in (columns, *rows):
        # A carriage return and the line feed after it are one line break.
        lines.append(len(re.findall(r"\r\n|\r|\n", sink.getvalue())) + 1)
        writer.writerow(row)
    content = (b"\xef\xbb\xbf" if mark else b"") + sink.getvalue().encode()
    table = read_table("p.csv", content)
    filled = [number for number, row in enumerate(rows) if "".join(row).strip()]
    assert [list(row.values()) for row in table.rows] == [rows[number] for number in filled]
    assert table.lines == tuple(lines[number + 1] for number in filled)


@patient
@given(st.lists(st.dictionaries(NAMES, SCALARS, min_size=1, max_size=3), max_size=5))
def test_jsonl_gives_back_every_value_with_its_type(rows: list[dict[str, Any]]) -> None:
    content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    table = read_table("p.jsonl", content)
    filled = [row for row in rows if any(str(v).strip() for v in row.values() if v is not None)]
    for row, read in zip(filled, table.rows, strict=True):
        assert {name: repr(value) for name, value in row.items()} == {
            name: repr(read[name]) for name in row
        }
        assert all(read[name] is None for name in read.keys() - row.keys())


_NODES = st.dictionaries(
    TEXT.filter(bool),
    st.fixed_dictionaries(
        {"class_type": TEXT.filter(bool), "inputs": st.dictionaries(TEXT, SCALARS, max_size=4)},
        optional={"_meta": st.just({"title": "t"})},
    ),
    min_size=1,
    max_size=4,
)


@patient
@given(_NODES)
def test_setting_a_graphs_own_values_changes_nothing(nodes: dict[str, Any]) -> None:
    graph = parse_graph("g.json", json.dumps(nodes).encode())
    own = {spec.name: spec.default for spec in graph_parameters(graph)}
    nameable = {(i, f) for i, node in graph.items() for f in node["inputs"] if ":" not in f}
    assert {split_parameter(name) for name in own} >= nameable
    assert set_parameters(graph, own) == graph
    assert graph_version(set_parameters(graph, own)) == graph_version(graph)
    assert not link_fields(graph)


@st.composite
def _damaged(draw: st.DrawFn, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 8)))
        data[start:end] = draw(
            st.binary(max_size=4)
            | st.sampled_from([b'"', b"{", b"[", b"\r", b",", b"\0", b"1e999", b"NaN", b"9" * 30])
        )
    return bytes(data)


def _parquet() -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    sink = io.BytesIO()
    parquet.write_table(pa.table({"prompt": ["a", "b"], "seed": [1, 2]}), sink)
    return sink.getvalue()


_GRAPH = json.dumps(
    {
        "3": {"class_type": "KSampler", "inputs": {"seed": 5, "cfg": 8.5, "model": ["4", 0]}},
        "4": {"class_type": "Loader", "inputs": {"ckpt_name": "m"}, "_meta": {"title": "t"}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
    },
    indent=1,
).encode()
_CSV = b'prompt,prompt_id,seed\r\n"a, ""b""\nc",x,1\r\n,y,\r\n'
_JSONL = b'{"prompt": "a", "seed": 18446744073709551615}\n{"prompt": null, "w": 0.5}\n'
_NIGHT = Night("b", "2026-11-21")


def _batch(**changes: Any) -> BatchSettings:
    plain: dict[str, Any] = {"name": "b", "provider": "floyo", "resource": "floyo", "workflow": "w"}
    return BatchSettings(**(plain | changes))


@patient
@given(
    _damaged(_CSV).map(lambda c: ("p.csv", c))
    | _damaged(_JSONL).map(lambda c: ("p.jsonl", c))
    | _damaged(_parquet()).map(lambda c: ("p.parquet", c))
)
def test_a_damaged_table_is_read_or_refused_and_never_anything_else(
    file: tuple[str, bytes],
) -> None:
    try:
        table = read_table(*file)
        rows = sound_rows(_batch(), table, _NIGHT)
    except ConfigurationError as error:
        refused = str(error)
    else:
        assert all(row.keys() == set(table.columns) for row in table.rows)
        assert len({row.prompt_id for row in rows}) == len(table.rows)
        return
    assert file[0] in refused


@patient
@given(_damaged(_GRAPH))
def test_a_damaged_graph_is_read_or_refused_and_never_anything_else(content: bytes) -> None:
    try:
        graph = parse_graph("g.json", content)
    except ConfigurationError as error:
        refused = str(error)
    else:
        names = [spec.name for spec in graph_parameters(graph)]
        assert len(names) == len(set(names))
        assert not link_fields(graph) & set(names)
        assert parse_graph("g.json", json.dumps(graph).encode()) == graph
        return
    assert "g.json" in refused


@patient
@given(st.text(max_size=60), st.lists(st.text(max_size=3) | st.integers(0, 3), max_size=3))
def test_any_text_can_be_asked_for_a_position(text: str, path: list[str | int]) -> None:
    found = find_position(compose(text), path)
    assert found is None or min(found) >= 1


_KINDS: st.SearchStrategy[ParameterType] = st.sampled_from(
    ["text", "integer", "seed", "number", "boolean", "any"]
)


@patient
@given(SCALARS | st.text() | st.floats() | st.integers(), _KINDS)
def test_a_value_is_typed_the_same_way_twice_or_refused(value: Any, kind: ParameterType) -> None:
    try:
        typed = typed_value(value, kind)
    except WrongType:
        return
    assert repr(typed_value(typed, kind)) == repr(typed)


@patient
@given(st.integers(0, 2**64 - 1))
def test_every_seed_passes_exactly_as_number_and_as_text(seed: int) -> None:
    for written in (seed, str(seed), f" {seed} "):
        assert typed_value(written, "seed") == seed
        assert typed_value(written, "integer") == seed


@patient
@given(st.lists(st.sampled_from(["cat", "dog", "cow"]), min_size=1, max_size=8), st.integers(1, 3))
def test_a_rows_key_depends_neither_on_its_place_nor_on_other_rows(
    prompts: list[str], copies: int
) -> None:
    flow = Workflow(reference="w", version="1", body={}, closed=False)
    batch = _batch(runs_per_prompt=copies, parameters={"t": "{prompt}", "s": "{seed}"})

    def plan(written: list[str]) -> dict[str, str]:
        table = read_table("p.csv", "\n".join(["prompt", *written]).encode())
        rows = sound_rows(batch, table, _NIGHT)
        planned = render_rows(batch, flow, rows, _NIGHT, 0, table=table).planned
        return {p.submission_key: p.request_hash for p in planned}

    whole = plan(prompts)
    assert len(whole) == len(prompts) * copies
    assert plan(prompts[::-1]) == whole
    assert plan([*prompts, "new"]).items() >= whole.items()
