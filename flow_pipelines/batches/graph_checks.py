"""Validate that JSON is a ComfyUI graph in API format, and say how to export one if it is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flow_pipelines.batches.cells import shown, text_fault
from flow_pipelines.batches.graph_nodes import may_be_output
from flow_pipelines.batches.positions import compose, problem_at
from flow_pipelines.model.errors import Problem

_HOW_TO_EXPORT = "in ComfyUI choose Workflow > Export (API) and use that file"
_LINK_LENGTH = 2
_LISTED = 6
_Fault = tuple[tuple[str, ...], str]


def is_link(value: Any) -> bool:
    """Return whether an input is plugged into another node's output: `["<node id>", <index>]`."""
    return (
        isinstance(value, list)
        and len(value) == _LINK_LENGTH
        and isinstance(value[0], str)
        and isinstance(value[1], int | float)
        and not isinstance(value[1], bool)
    )


def linked_nodes(graph: Mapping[str, Any]) -> frozenset[str]:
    """Return the nodes that another node is plugged into."""
    return frozenset(
        value[0] for node in graph.values() for value in node["inputs"].values() if is_link(value)
    )


def graph_problems(name: str, text: str, graph: Any) -> list[Problem]:
    """Find everything that keeps `graph`, parsed from `text`, from being run through the API."""
    fault = _fault_of_the_whole(graph)
    if fault:
        return [Problem(fault, name)]
    faults = [fault for node_id in graph for fault in _node_faults(graph, node_id)]
    no_output = None if faults else _fault_of_the_end(graph)
    if no_output:
        return [Problem(no_output, name)]
    document = compose(text) if faults else None
    return [problem_at(name, document, message, path) for path, message in faults]


def _fault_of_the_whole(graph: Any) -> str | None:
    if not isinstance(graph, dict):
        return f"is not a ComfyUI graph: the file holds no JSON object; {_HOW_TO_EXPORT}"
    if not graph:
        return "is an empty graph: there is no node to run"
    if _is_ui_export(graph):
        return f"is a ComfyUI workflow as its editor saves it, not in API format; {_HOW_TO_EXPORT}"
    prompt = graph.get("prompt")
    if isinstance(prompt, dict) and "class_type" not in prompt:
        return "is the body of a call to ComfyUI's /prompt; keep only the graph below `prompt`"
    return None


def _fault_of_the_end(graph: Mapping[str, Any]) -> str | None:
    """ComfyUI runs only what an output node needs, and refuses a graph without one."""
    linked = linked_nodes(graph)
    kinds = {node_id: node["class_type"] for node_id, node in graph.items()}
    if any(may_be_output(kind, ends=node_id not in linked) for node_id, kind in kinds.items()):
        return None
    last = [f"{node_id} ({kind})" for node_id, kind in kinds.items() if node_id not in linked]
    end = f"it ends in {', '.join(last[:_LISTED])}" if last else "it runs in a circle"
    return f"has no output node, so there is nothing to run: {end}; add a SaveImage"


def _is_ui_export(graph: Mapping[str, Any]) -> bool:
    saved = isinstance(graph.get("nodes"), list) or isinstance(graph.get("links"), list)
    return saved or any(isinstance(graph.get(f"last_{x}_id"), int) for x in ("node", "link"))


def _node_faults(graph: Mapping[str, Any], node_id: str) -> Iterator[_Fault]:
    node = graph[node_id]
    where = f"node {shown(node_id)}"
    fault = text_fault(node_id)
    if fault:
        yield (node_id,), f"{where} {fault}"
    if not isinstance(node, dict):
        yield (node_id,), f"{where} is no object with class_type and inputs; {_HOW_TO_EXPORT}"
        return
    class_type, inputs = node.get("class_type"), node.get("inputs")
    if not isinstance(class_type, str) or not class_type:
        yield (node_id,), f"{where} has no class_type; {_HOW_TO_EXPORT}"
    if not isinstance(inputs, dict):
        yield (node_id,), f"{where} has no inputs; {_HOW_TO_EXPORT}"
        return
    for field, value in inputs.items():
        if is_link(value) and value[0] not in graph:
            message = (
                f"{where}: {shown(field)} is linked to node {shown(value[0])}, which is not there"
            )
            yield (node_id, "inputs", field), message
