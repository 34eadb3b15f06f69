from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from flow_pipelines.batches.graphs import (
    graph_parameters,
    graph_version,
    link_fields,
    parse_graph,
    set_parameters,
)
from flow_pipelines.model.errors import ConfigurationError, InvalidBatch, Problem
from flow_pipelines_tests.unit.batches.samples import graph, graph_bytes


def _problems(content: bytes) -> tuple[Problem, ...]:
    with pytest.raises(InvalidBatch) as caught:
        parse_graph("g.json", content)
    return caught.value.problems


def test_every_literal_input_is_a_parameter_typed_by_its_literal() -> None:
    found = {s.name: (s.type, s.default, s.required) for s in graph_parameters(graph())}
    assert found == {
        "3::seed": ("seed", 5, False),
        "3::cfg": ("integer", 8, False),
        "3::denoise": ("number", 0.5, False),
        "3::tiled": ("boolean", False, False),
        "4::ckpt_name": ("text", "m.safetensors", False),
        "6:1::text": ("text", "a tree", False),
    }
    assert link_fields(graph()) == {"3::model", "3::positive", "6:1::clip", "9::images"}


@pytest.mark.parametrize("field", ["seed", "noise_seed", "rand_seed"])
@pytest.mark.parametrize(
    ("literal", "kind"), [(1, "seed"), (True, "boolean"), (1.5, "number"), ("1", "text")]
)
def test_only_an_integer_in_a_seed_field_is_a_seed(field: str, literal: Any, kind: str) -> None:
    nodes = {"1": {"class_type": "X", "inputs": {field: literal}}}
    (spec,) = graph_parameters(nodes)
    assert spec.type == kind


@pytest.mark.parametrize("literal", [None, {"a": 1}, [], ["x"], ["3", "0"], ["3", True], [1, 2]])
def test_what_is_neither_a_link_nor_a_plain_value_takes_anything(literal: Any) -> None:
    (spec,) = graph_parameters({"1": {"class_type": "X", "inputs": {"a": literal}}})
    assert (spec.type, spec.default) == ("any", literal)


def test_numbers_come_through_exactly() -> None:
    inputs = '{"seed": 18446744073709551615, "a": 3.1000000000000005, "b": -0.0, "c": 1e-07}'
    text = f'{{"1": {{"class_type": "X", "inputs": {inputs}}}}}'.encode()
    assert json.dumps(parse_graph("g.json", text)).encode() == text


def test_setting_values_leaves_the_graph_itself_and_all_else_alone() -> None:
    before = graph()
    changed = set_parameters(before, {"6:1::text": "a cat", "3::seed": 2**64 - 1})
    assert before == graph()
    expected = graph()
    expected["6:1"]["inputs"]["text"] = "a cat"
    expected["3"]["inputs"]["seed"] = 2**64 - 1
    assert changed == expected


def test_a_copy_shares_nothing_with_the_graph_nor_with_the_value() -> None:
    value = {"a": [1]}
    nodes = {"1": {"class_type": "X", "inputs": {"v": None}}}
    changed = set_parameters(nodes, {"1::v": value})
    value["a"].append(2)
    assert changed["1"]["inputs"]["v"] == {"a": [1]}


@pytest.mark.parametrize("name", ["9::text", "6:1::txt", "text", "3::model", "::text", "6:1::"])
def test_setting_what_is_no_literal_input_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="no input"):
        set_parameters(graph(), {name: "x"})


def test_a_name_is_split_at_its_last_pair_of_colons() -> None:
    nodes = {"a::b": {"class_type": "X", "inputs": {"c": 1}}}
    assert set_parameters(nodes, {"a::b::c": 2})["a::b"]["inputs"]["c"] == 2


def test_a_field_whose_colons_blur_its_name_is_no_parameter() -> None:
    nodes = {"3": {"class_type": "X", "inputs": {"a::b": 1, ":": 2, "c": 3}}}
    assert [spec.name for spec in graph_parameters(nodes)] == ["3::c"]


def test_the_version_sees_values_and_links_but_neither_order_nor_titles() -> None:
    version = graph_version(graph())
    shuffled = {key: dict(reversed(node.items())) for key, node in reversed(graph().items())}
    shuffled["3"]["_meta"] = {"title": "Renamed"}
    del shuffled["3"]["_meta"]
    assert graph_version(shuffled) == version
    for change in (("3", "cfg", 8.5), ("3", "model", ["4", 1]), ("4", "ckpt_name", "n")):
        other = copy.deepcopy(graph())
        other[change[0]]["inputs"][change[1]] = change[2]
        assert graph_version(other) != version


@pytest.mark.parametrize(
    "saved",
    [
        {"last_node_id": 9, "last_link_id": 9, "nodes": [{"id": 7}], "links": [], "version": 0.4},
        {"nodes": [], "links": []},
        {"id": "x", "revision": 0, "last_node_id": 3, "nodes": []},
    ],
)
def test_a_ui_export_is_refused_with_the_way_to_the_right_file(saved: Any) -> None:
    (problem,) = _problems(graph_bytes(saved))
    assert "Workflow > Export (API)" in problem.message


CHAIN = {
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "m"}},
    "3": {"class_type": "KSampler", "inputs": {"seed": 1, "model": ["4", 0]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0]}},
}


@pytest.mark.parametrize("last", ["SaveImage", "PreviewImage", "VHS_VideoCombine", "Somebodys"])
def test_a_graph_ends_in_an_output_node_or_in_one_that_nobody_knows_here(last: str) -> None:
    nodes = CHAIN | {"9": {"class_type": last, "inputs": {"images": ["8", 0]}}}
    assert parse_graph("g.json", graph_bytes(nodes)) == nodes


def test_a_node_that_saves_and_hands_on_is_an_output_node() -> None:
    nodes = CHAIN | {
        "9": {"class_type": "Image Save", "inputs": {"images": ["8", 0]}},
        "10": {"class_type": "ImageScale", "inputs": {"image": ["9", 0]}},
    }
    assert parse_graph("g.json", graph_bytes(nodes)) == nodes


def test_a_graph_that_keeps_nothing_is_refused_and_told_where_it_ends() -> None:
    nodes = CHAIN | {"7": {"class_type": "CLIPTextEncode", "inputs": {"text": "x"}}}
    (problem,) = _problems(graph_bytes(nodes))
    assert problem.message == (
        "has no output node, so there is nothing to run: it ends in 8 (VAEDecode), "
        "7 (CLIPTextEncode); add a SaveImage"
    )


def test_a_graph_that_runs_in_a_circle_has_no_end() -> None:
    nodes = {
        "1": {"class_type": "ImageScale", "inputs": {"image": ["2", 0]}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    }
    (problem,) = _problems(graph_bytes(nodes))
    assert "it runs in a circle" in problem.message


def test_a_node_may_be_named_nodes() -> None:
    node = {"class_type": "X", "inputs": {}}
    assert parse_graph("g.json", graph_bytes({"nodes": node, "links": node}))


def test_the_body_of_a_call_is_refused_with_advice() -> None:
    (problem,) = _problems(graph_bytes({"client_id": "x", "prompt": graph()}))
    assert "keep only the graph" in problem.message


@pytest.mark.parametrize("content", [b"{}", b"[]", b"null", b'"x"', b"3"])
def test_no_graph_at_all_is_refused(content: bytes) -> None:
    assert len(_problems(content)) == 1


def test_a_text_that_is_no_json_is_told_with_line_and_column() -> None:
    (problem,) = _problems(b'{\n  "1": {"class_type": "X",}\n}')
    assert problem.line == 2
    assert problem.column is not None
    assert str(problem).startswith(f"g.json:2:{problem.column}: is not JSON")


@pytest.mark.parametrize(
    "value", [b"NaN", b"-Infinity", b"1e400", b"18446744073709551616", b"1" * 5000]
)
def test_a_number_that_would_be_changed_on_the_way_is_refused(value: bytes) -> None:
    _problems(b'{"1": {"class_type": "X", "inputs": {"a": ' + value + b"}}}")


def test_a_node_that_stands_twice_is_refused() -> None:
    node = b'{"class_type": "X", "inputs": {}}'
    (problem,) = _problems(b'{"1": ' + node + b', "1": ' + node + b"}")
    assert "'1' stands twice" in problem.message


def test_every_faulty_node_is_told_where_it_stands() -> None:
    nodes = {
        "1": {"class_type": "X", "inputs": {"a": ["9", 0]}},
        "2": {"inputs": {}},
        "3": {"class_type": "X"},
        "4": 5,
    }
    problems = _problems(graph_bytes(nodes))
    assert [(p.line, p.column) for p in problems] == [(5, "7"), (11, "3"), (14, "3"), (17, "3")]
    assert "linked to node '9'" in problems[0].message
