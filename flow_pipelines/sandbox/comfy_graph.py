"""ComfyUI graphs in API format: what the server refuses, and what can be read from one.

Source: docs.comfy.org (workflow API format) and ComfyUI's own validation: a node has a class and
inputs, a link is `[node id, output index]` to a node that exists, something is saved or previewed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flow_pipelines.sandbox.pictures import Picture

Graph = Mapping[str, Mapping[str, Any]]

MAX_OUTPUTS = 64
_OUTPUT_CLASS = re.compile(r"save|preview|videocombine|imagesaver|output", re.IGNORECASE)
_SEED_FIELDS = ("seed", "noise_seed", "rand_seed")
_COUNT_FIELDS = ("batch_size", "num_images")
_TEXT_FIELDS = ("text", "prompt", "text_g", "positive_prompt")
_SEED_MAX = 2**64 - 1
_SIDE_LIMITS = (16, 16384)
_LINK_LENGTH = 2


class GraphRefused(ValueError):
    """A graph that ComfyUI would not run, with ComfyUI's error type in front."""


@dataclass(frozen=True, kw_only=True)
class Save:
    """One picture that the graph makes: by which node, under which file name prefix."""

    node_id: str
    prefix: str
    picture: Picture


def request_hash(graph: object) -> str:
    """Name a graph by its content; the order of its keys does not matter."""
    text = json.dumps(graph, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def check(graph: object) -> Graph:
    """Return the graph, or raise GraphRefused."""
    if not isinstance(graph, dict) or not graph:
        raise GraphRefused("no_prompt: workflow must be a ComfyUI graph in API format")
    if isinstance(graph.get("nodes"), list):
        raise GraphRefused("invalid_prompt: this is the UI format, export the API format")
    for node_id, node in graph.items():
        _check_node(node_id, node)
    for node_id, node in graph.items():
        for name, value in node["inputs"].items():
            _check_input(graph, f"node {node_id} input {name}", name, value)
    if not any(_OUTPUT_CLASS.search(node["class_type"]) for node in graph.values()):
        raise GraphRefused("prompt_no_outputs: the workflow has no output node")
    return graph


def missing_checkpoints(graph: Graph, known: Sequence[str]) -> Mapping[str, Any] | None:
    """Word ComfyUI's refusal of a graph that loads models it does not have; None: it has them.

    Source: ComfyUI's execution.py, `validate_prompt`.
    """
    faults = {
        node_id: _not_in_list(node, name, list(known))
        for node_id, node in graph.items()
        if isinstance(name := node["inputs"].get("ckpt_name"), str) and name not in known
    }
    if not faults:
        return None
    error = {
        "type": "prompt_outputs_failed_validation",
        "message": "Prompt outputs failed validation",
        "details": "",
        "extra_info": {},
    }
    return {"error": error, "node_errors": faults}


def _not_in_list(node: Mapping[str, Any], name: str, known: list[str]) -> Mapping[str, Any]:
    error = {
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": f"ckpt_name: '{name}' not in {known}",
        "extra_info": {"input_name": "ckpt_name", "received_value": name},
    }
    return {"errors": [error], "dependent_outputs": [], "class_type": node["class_type"]}


def _check_node(node_id: str, node: object) -> None:
    if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
        raise GraphRefused(f"invalid_prompt: node {node_id} has no class_type")
    if not isinstance(node.get("inputs"), dict):
        raise GraphRefused(f"invalid_prompt: node {node_id} has no inputs")


def _check_input(graph: Mapping[str, Any], where: str, name: str, value: object) -> None:
    if isinstance(value, list):
        shaped = len(value) == _LINK_LENGTH and isinstance(value[1], int)
        if not shaped or not isinstance(value[0], str):
            raise GraphRefused(f"bad_linked_input: {where} is no [node id, output index]")
        if value[0] not in graph:
            raise GraphRefused(f"bad_linked_input: {where} links to missing node {value[0]}")
    elif name in _SEED_FIELDS:
        _check_number(where, value, 0, _SEED_MAX)
    elif name in ("width", "height"):
        _check_number(where, value, *_SIDE_LIMITS)
    elif name in _COUNT_FIELDS:
        _check_number(where, value, 1, 4096)


def _check_number(where: str, value: object, smallest: int, biggest: int) -> None:
    number = _integer(value)
    if number is None:
        raise GraphRefused(f"invalid_input_type: {where} is no integer")
    if number < smallest:
        raise GraphRefused(f"value_smaller_than_min: {where} is below {smallest}")
    if number > biggest:
        raise GraphRefused(f"value_bigger_than_max: {where} is above {biggest}")


def _integer(value: object) -> int | None:
    """Read an integer the way ComfyUI does: text that says one is one."""
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError):
        return None


def saves(graph: Graph) -> list[Save]:
    """List the pictures a graph makes, in the order of its output nodes; at most MAX_OUTPUTS."""
    found = []
    for node_id, node in graph.items():
        if not _OUTPUT_CLASS.search(node["class_type"]):
            continue
        upstream = [graph[one]["inputs"] for one in _upstream(graph, node_id)]
        for number in range(_first_integer(upstream, _COUNT_FIELDS, 1)):
            found.append(_save(node_id, number, node["inputs"], upstream))
            if len(found) == MAX_OUTPUTS:
                return found
    return found


def _save(
    node_id: str, number: int, inputs: Mapping[str, Any], upstream: list[Mapping[str, Any]]
) -> Save:
    prefix = inputs.get("filename_prefix")
    return Save(
        node_id=node_id,
        prefix=prefix if isinstance(prefix, str) and prefix else "ComfyUI",
        picture=Picture(
            prompt=_prompt(upstream),
            seed=_first_integer(upstream, _SEED_FIELDS, 0),
            width=_first_integer(upstream, ("width",), 512),
            height=_first_integer(upstream, ("height",), 512),
            variant=f"node {node_id}" + (f" #{number + 1}" if number else ""),
        ),
    )


def _upstream(graph: Graph, node_id: str) -> Iterator[str]:
    """Walk from an output node to everything it is made of, what it shall not show last."""
    seen: set[str] = set()
    ahead, unwanted = [node_id], list[str]()
    while ahead or unwanted:
        here = ahead.pop(0) if ahead else unwanted.pop(0)
        if here in seen:
            continue
        seen.add(here)
        yield here
        for name, value in graph[here]["inputs"].items():
            if isinstance(value, list):
                (unwanted if name == "negative" else ahead).append(value[0])


def _first_integer(inputs: list[Mapping[str, Any]], names: tuple[str, ...], default: int) -> int:
    for one in inputs:
        for name in names:
            value = one.get(name)
            number = None if isinstance(value, list) else _integer(value)
            if number is not None:
                return number
    return default


def _prompt(inputs: list[Mapping[str, Any]]) -> str:
    for one in inputs:
        for name in _TEXT_FIELDS:
            if isinstance(one.get(name), str) and one[name].strip():
                return str(one[name])
    return ""
