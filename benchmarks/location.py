"""Loads a code location with so many batches, in a process of its own: `python -m … NUMBER`.

With 0 it is a project without anything in it, and without us: our imports are part of our costs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster.components.testing.utils import create_defs_folder_sandbox

PROVIDER = "floyo"
GRAPH = """\
{
  "ckpt": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
  "text": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["ckpt", 1]}},
  "size": {"class_type": "EmptyLatentImage",
           "inputs": {"width": 64, "height": 64, "batch_size": 1}},
  "draw": {"class_type": "KSampler",
           "inputs": {"model": ["ckpt", 0], "positive": ["text", 0], "negative": ["text", 0],
                      "latent_image": ["size", 0], "seed": 1, "steps": 4, "cfg": 7.0,
                      "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}},
  "pixels": {"class_type": "VAEDecode", "inputs": {"samples": ["draw", 0], "vae": ["ckpt", 2]}},
  "save": {"class_type": "SaveImage", "inputs": {"images": ["pixels", 0], "filename_prefix": "x"}}
}
"""
BATCH = """\
type: flow_pipelines.PromptBatchComponent
attributes:
  name: {name}
  provider: floyo
  workflow: graph.json
  prompts: prompts.csv
  parameters:
    "text::text": "{{prompt}}"
    "draw::seed": "{{seed}}"
  partitions_def: {{type: daily, start_date: "2026-11-01", timezone: UTC}}
  schedule: "0 2 * * *"
  price_usd_per_run: 0.02
"""


@contextmanager
def location(batches: int) -> Iterator[dg.RepositoryDefinition]:
    """Write a project with so many batches and load it."""
    with create_defs_folder_sandbox() as sandbox:
        sandbox.defs_folder_path.mkdir(parents=True, exist_ok=True)
        (sandbox.defs_folder_path / "nothing.py").touch()
        for number in range(batches):
            name = f"batch{number:03}"
            folder = sandbox.defs_folder_path / name
            folder.mkdir(parents=True)
            (folder / "defs.yaml").write_text(BATCH.format(name=name))
            (folder / "graph.json").write_text(GRAPH)
            (folder / "prompts.csv").write_text("prompt_id,prompt\na,boats\nb,cranes\n")
        with sandbox.build_all_defs() as defs:
            own = dg.Definitions(
                resources=_resources() if batches else {}, executor=dg.in_process_executor
            )
            yield dg.Definitions.merge(defs, own).get_repository_def()


def _resources() -> dict[str, Any]:
    from flow_pipelines.resources import default_resources

    return default_resources()


if __name__ == "__main__":
    with location(int(sys.argv[1])):
        print(time.process_time())
