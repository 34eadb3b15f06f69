"""ComfyUI graphs in API format: parse them, list their parameters, set values.

Source: docs.comfy.org/development/api-development/workflow-api-format; ComfyUI's
`comfy_execution/graph_utils.py` (`is_link`) and `execution.py` (`validate_prompt`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from flow_pipelines.batches.graph_checks import graph_problems, is_link, linked_nodes
from flow_pipelines.batches.graph_nodes import bounds_of, may_be_output
from flow_pipelines.batches.keys import stable_hash
from flow_pipelines.batches.sources import JsonFault, exact_json, raise_if_any, text_of
from flow_pipelines.model import ParameterSpec, ParameterType
from flow_pipelines.model.errors import ConfigurationError, InvalidBatch

_SEED_FIELDS = frozenset({"seed", "noise_seed", "rand_seed"})


def parse_graph(name: str, content: bytes) -> Mapping[str, Any]:
    """Read a graph in API format; integers are exact up to 2^64−1.

    Whether its node classes exist only the service that runs it can know; a graph is refused for
    want of an output node where ComfyUI's own nodes are certain to be none.

    Raises: InvalidBatch, with line and column where the text is no JSON.
    """
    text = text_of(name, content)
    try:
        graph = exact_json(text)
    except JsonFault as fault:
        raise InvalidBatch(name, [fault.problem(name)]) from None
    raise_if_any(name, graph_problems(name, text, graph))
    nodes: Mapping[str, Any] = graph
    return nodes


def graph_parameters(graph: Mapping[str, Any]) -> tuple[ParameterSpec, ...]:
    """List every literal input as `<node id>::<field>`, typed by its literal, which is its default.

    Numbers of ComfyUI's own nodes come with their range. Links are not listed: overwriting one
    would unplug a node.
    """
    return tuple(
        _spec(graph[node_id]["class_type"], f"{node_id}::{field}", field, value)
        for node_id, field, value in _inputs(graph)
        if not is_link(value)
    )


def node_of(graph: Mapping[str, Any], name: str) -> str | None:
    """Name the node of a parameter for people: `node 3 (KSampler)`; None: there is none."""
    node_id, _ = split_parameter(name) or ("", "")
    node = graph.get(node_id)
    return None if node is None else f"node {node_id} ({node['class_type']})"


def link_fields(graph: Mapping[str, Any]) -> frozenset[str]:
    """Name the inputs, as `<node id>::<field>`, that other nodes' outputs are plugged into."""
    return frozenset(
        f"{node_id}::{field}" for node_id, field, value in _inputs(graph) if is_link(value)
    )


def idle_nodes(graph: Mapping[str, Any]) -> frozenset[str]:
    """Return the nodes that no output node depends on: ComfyUI does not run them.

    A node that may be an output is taken for one.
    """
    linked = linked_nodes(graph)
    waiting = [
        node_id
        for node_id, node in graph.items()
        if may_be_output(node["class_type"], ends=node_id not in linked)
    ]
    used: set[str] = set()
    while waiting:
        node_id = waiting.pop()
        if node_id not in used:
            used.add(node_id)
            waiting += [v[0] for v in graph[node_id]["inputs"].values() if is_link(v)]
    return frozenset(graph.keys() - used)


def split_parameter(name: str) -> tuple[str, str] | None:
    """Split `<node id>::<field>` at the last `::`, as ids of sub-graph nodes hold colons."""
    node_id, separator, field = name.rpartition("::")
    return (node_id, field) if separator else None


def is_node_parameter(name: str) -> bool:
    """Return whether `name` is written `<node id>::<field>`, neither part empty."""
    return all(split_parameter(name) or ("",))


def set_parameters(graph: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of `graph` with values set; `graph` itself stays as it is.

    Raises: ConfigurationError for a parameter that is no literal input of the graph.
    """
    result = copy.deepcopy(dict(graph))
    known = {spec.name for spec in graph_parameters(graph)}
    for name, value in parameters.items():
        place = split_parameter(name)
        if place is None or name not in known:
            raise ConfigurationError(f"the graph has no input {name!r} that a value could replace")
        node_id, field = place
        result[node_id]["inputs"][field] = copy.deepcopy(value)
    return result


def graph_version(graph: Mapping[str, Any]) -> str:
    """Hash what the graph does: neither the order of keys nor titles (`_meta`) matter."""
    return stable_hash(
        {
            node_id: {key: value for key, value in node.items() if key != "_meta"}
            for node_id, node in graph.items()
        }
    )


def _inputs(graph: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for node_id, node in graph.items():
        for field, value in node["inputs"].items():
            # A field whose own colons blur the split could be taken for another node's.
            if split_parameter(f"{node_id}::{field}") == (node_id, field):
                yield node_id, field, value


def _spec(class_type: str, name: str, field: str, value: Any) -> ParameterSpec:
    kind, bounds = _type_of(field, value), bounds_of(class_type, field)
    if bounds is None:
        return ParameterSpec(name=name, type=kind, default=value)
    return ParameterSpec(name=name, type=kind, default=value, **bounds._asdict())


def _type_of(field: str, literal: Any) -> ParameterType:
    if isinstance(literal, bool):
        return "boolean"
    if isinstance(literal, int):
        return "seed" if field in _SEED_FIELDS else "integer"
    if isinstance(literal, float):
        return "number"
    return "text" if isinstance(literal, str) else "any"
