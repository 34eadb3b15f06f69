"""What `dg scaffold defs flow_pipelines.PromptBatchComponent <name>` writes."""

import json
import re

import click
import dagster as dg
from pydantic import BaseModel, Field

from flow_pipelines.providers import profile, provider_names

_GRAPH = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "your.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["1", 1]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["1", 1]}},
    "4": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 512, "height": 512, "batch_size": 1},
    },
    "5": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["1", 0],
            "positive": ["2", 0],
            "negative": ["3", 0],
            "latent_image": ["4", 0],
            "seed": 1,
            "steps": 20,
            "cfg": 7.0,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1.0,
        },
    },
    "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
    "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "image"}},
}
_PROMPTS = "prompt_id,prompt\nfirst,a lighthouse in the rain\nsecond,the same harbor at dawn\n"
_DEFS = """\
# A row of {prompts} is a provider run. `flow-pipelines estimate {name}` says what a night takes.
type: flow_pipelines.PromptBatchComponent
attributes:
  name: {name}
  provider: {provider}
  workflow: {workflow}
  prompts: {prompts}            # .csv, .xlsx, .jsonl, …; also s3://…, or {{asset: some/key}}
  parameters:                    # parameter of the workflow <- template over the table's columns
{parameters}
  partitions_def: {{type: daily, start_date: "2026-11-01", timezone: UTC}}
  # schedule: "0 2 * * *"        # buys the last complete night, every night
  budget_usd: 1.00               # of one night: what would exceed it is skipped, with the reason
  price_usd_per_run: 0.02        # where the provider states no price
"""


class ScaffoldParams(BaseModel):
    """What `dg scaffold defs` takes beside the name."""

    provider: str = Field(
        default=provider_names()[0], description=f"One of {', '.join(provider_names())}."
    )
    workflow: str | None = Field(
        default=None,
        description="Id or slug at the provider; where it runs files, a small graph is written.",
    )


class PromptBatchScaffolder(dg.Scaffolder[ScaffoldParams]):
    """Writes a batch that loads as it is: two rows, and a small graph where workflows are files."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldParams]:
        """Return what the command line asks for."""
        return ScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[ScaffoldParams]) -> None:
        """Write `defs.yaml`, `prompts.csv` and, for graphs, `workflow.json` into the new folder.

        Raises: ConfigurationError, for an unknown provider; click.UsageError, without a workflow.
        """
        params = request.params
        folder, is_file = request.target_path, _runs_files(params)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prompts.csv").write_text(_PROMPTS, encoding="utf-8")
        if is_file:
            (folder / "workflow.json").write_text(json.dumps(_GRAPH, indent=2) + "\n", "utf-8")
        (folder / "defs.yaml").write_text(_defs(folder.name, params, is_file), encoding="utf-8")


def _runs_files(params: ScaffoldParams) -> bool:
    provider = profile(params.provider)
    if not provider.capabilities.workflow_is_file and params.workflow is None:
        # Only click's errors are shown by `dg` without a traceback.
        raise click.UsageError(
            f"{provider.title} runs workflows that are saved there: name one with --workflow ID "
            f"(`flow-pipelines workflows {provider.name}` lists them, where the provider does)"
        )
    return provider.capabilities.workflow_is_file and params.workflow is None


def _defs(folder: str, params: ScaffoldParams, is_file: bool) -> str:  # noqa: FBT001 - its one caller names it
    if is_file:
        lines = ['    "2::text": "{prompt}"', '    "5::seed": "{seed}"']
    else:
        how = f"`flow-pipelines workflows {params.provider} {params.workflow}` shows them"
        lines = [f"    # {how}", '    prompt: "{prompt}"']
    return _DEFS.format(
        name=re.sub(r"[^a-z0-9]+", "_", folder.lower()).strip("_"),
        provider=params.provider,
        workflow=json.dumps(params.workflow) if params.workflow else "workflow.json",
        prompts="prompts.csv",
        parameters="\n".join(lines),
    )
