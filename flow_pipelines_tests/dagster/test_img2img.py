"""Rows that share pictures, from `defs.yaml` to the provider: each picture goes over once."""

from __future__ import annotations

import io
import json

import dagster as dg
import pytest
from PIL import Image

from flow_pipelines import FloraResource, FloyoResource
from flow_pipelines_tests.dagster.conftest import Project, World, materialize

ROWS, PICTURES = 50, ("red", "green", "blue")
GRAPH = {
    "photo": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
    "ckpt": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
    "text": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["ckpt", 1]}},
    "latent": {"class_type": "VAEEncode", "inputs": {"pixels": ["photo", 0], "vae": ["ckpt", 2]}},
    "draw": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["ckpt", 0],
            "positive": ["text", 0],
            "negative": ["text", 0],
            "latent_image": ["latent", 0],
            "seed": 1,
            "steps": 4,
            "cfg": 7.0,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 0.6,
        },
    },
    "pixels": {"class_type": "VAEDecode", "inputs": {"samples": ["draw", 0], "vae": ["ckpt", 2]}},
    "save": {
        "class_type": "SaveImage",
        "inputs": {"images": ["pixels", 0], "filename_prefix": "x"},
    },
}
BATCH = """\
type: flow_pipelines.PromptBatchComponent
attributes:
  name: portraits
  provider: {provider}
  workflow: {workflow}
  prompts: prompts.csv
  parameters: {parameters}
  partitions_def: {{type: daily, start_date: "2026-11-01", timezone: UTC}}
  price_usd_per_run: 0.01
"""
BUY = ("portraits/prompts", "portraits/provider_runs")
ON_FLOYO = {
    "provider": "floyo",
    "workflow": "graph.json",
    "parameters": json.dumps(
        {"text::text": "{prompt}", "draw::seed": "{seed}", "photo::image": {"file": "{picture}"}}
    ),
}
ON_FLORA = {
    "provider": "flora",
    "workflow": "painted-over",
    "parameters": json.dumps({"prompt": "{prompt}", "picture": {"file": "{picture}"}}),
}


def png(color: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (64, 48), color).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize(
    ("batch", "upload"),
    [(ON_FLOYO, "upload_file"), (ON_FLORA, "create_asset")],
    ids=["floyo", "flora"],
)
def test_fifty_rows_that_share_three_pictures_upload_three(
    project: Project,
    instance: dg.DagsterInstance,
    world: World,
    batch: dict[str, str],
    upload: str,
) -> None:
    rows = [f"r{n},scene {n},{PICTURES[n % 3]}.png" for n in range(ROWS)]
    project.add(
        "portraits",
        BATCH.format(**batch),
        graph__json=json.dumps(GRAPH),
        prompts__csv="\n".join(["prompt_id,prompt,picture", *rows]) + "\n",
    )
    for color in PICTURES:
        project.pictures[f"portraits/{color}.png"] = png(color)
    # The clock is a manual one, on which no lease is renewed while a turn is waited for.
    with project.load(
        floyo=FloyoResource(requests_per_minute=60_000),
        flora=FloraResource(requests_per_minute=60_000),
    ) as defs:
        result = materialize(defs, instance, *BUY)

    assert result.success
    provider = batch["provider"]
    uploads = [one for one in world.control.requests() if one.operation == upload]
    assert len(uploads) == len(PICTURES)
    assert len(world.control.runs(provider)) == ROWS
    assert len({run.id for run in world.control.runs(provider)}) == ROWS


def test_a_night_of_that_batch_is_frozen_with_its_pictures(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("portraits", BATCH.format(**ON_FLOYO), graph__json=json.dumps(GRAPH))
    project.files["portraits/prompts.csv"] = "prompt_id,prompt,picture\na,boats,red.png\n"
    project.pictures["portraits/red.png"] = png("red")
    with project.load() as defs:
        assert materialize(defs, instance, "portraits/prompts").success

    kept = list((world.bucket / "portraits" / "_inputs").iterdir())
    assert [path.suffix for path in kept] == [".png"]
    assert kept[0].read_bytes() == png("red")
    assert world.bought() == 0
