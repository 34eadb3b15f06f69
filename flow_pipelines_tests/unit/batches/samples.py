"""A small graph, a workflow made of it and a batch: what these tests vary."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from flow_pipelines.batches.graphs import graph_parameters, graph_version, parse_graph
from flow_pipelines.batches.prompt_table import PromptTable
from flow_pipelines.batches.rows import read_rows
from flow_pipelines.batches.sources import raise_if_any
from flow_pipelines.batches.tables import read_table
from flow_pipelines.model import BatchSettings, Night, ParameterSpec, PromptRow, Workflow

NIGHT = Night("posters", "2026-11-21")


def graph() -> dict[str, Any]:
    return {
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "seed": 5,
                "cfg": 8,
                "denoise": 0.5,
                "tiled": False,
                "model": ["4", 0],
                "positive": ["6:1", 0],
            },
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


def sound_rows(settings: BatchSettings, prompts: PromptTable, night: Night) -> list[PromptRow]:
    """Read the rows of a table. Raises: InvalidBatch, with every fault."""
    rows, faults = read_rows(settings, prompts, night)
    raise_if_any(settings.name, faults)
    return rows
