"""A small graph, a workflow made of it and a batch: what these tests vary."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from flow_pipelines.batches.graphs import graph_parameters, graph_version, parse_graph
from flow_pipelines.batches.tables import PromptTable, read_table
from flow_pipelines.model import BatchSettings, Night, ParameterSpec, Workflow

NIGHT = Night("posters", "2026-11-21")


def graph() -> dict[str, Any]:
    return {
        "3": {
            "class_type": "KSampler",
            "inputs": {"seed": 5, "cfg": 8, "denoise": 0.5, "tiled": False, "model": ["4", 0]},
            "_meta": {"title": "Sampler"},
        },
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "m.safetensors"}},
        "6:1": {"class_type": "CLIPTextEncode", "inputs": {"text": "a tree", "clip": ["4", 1]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
    }


def graph_bytes(value: Any) -> bytes:
    return json.dumps(value, indent=2).encode()


def workflow(value: dict[str, Any] | None = None) -> Workflow:
    parsed = parse_graph("tree.json", graph_bytes(value or graph()))
    return Workflow(
        reference="tree.json",
        version=graph_version(parsed),
        body={"graph": parsed},
        parameters=graph_parameters(parsed),
    )


def technique(*specs: ParameterSpec, closed: bool = True) -> Workflow:
    return Workflow(
        reference="poster", version="v1", body={"id": "tech_1"}, parameters=specs, closed=closed
    )


def batch(**changes: Any) -> BatchSettings:
    plain = BatchSettings(
        name="posters",
        provider="floyo",
        resource="floyo",
        workflow="tree.json",
        prompts="prompts.csv",
        parameters={"6:1::text": "{prompt}", "3::seed": "{seed}"},
    )
    return replace(plain, **changes)


def table(text: str, name: str = "prompts.csv") -> PromptTable:
    return read_table(name, text.encode())
