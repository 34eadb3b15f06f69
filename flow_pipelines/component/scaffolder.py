"""What `dg scaffold defs flow_pipelines.PromptBatchComponent <name>` writes."""

import json

import dagster as dg

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
_PROMPTS = "prompt_id,prompt\nfirst,a lighthouse in the rain\n"


class PromptBatchScaffolder(dg.Scaffolder):
    """Writes a batch that loads as it is: a small graph and a table of one row."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """Write `defs.yaml`, `prompts.csv` and `workflow.json` into the new folder."""
        folder = request.target_path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prompts.csv").write_text(_PROMPTS, encoding="utf-8")
        (folder / "workflow.json").write_text(json.dumps(_GRAPH, indent=2) + "\n", "utf-8")
        dg.scaffold_component(
            request,
            {
                "name": folder.name.lower().replace("-", "_"),
                "provider": "floyo",
                "workflow": "workflow.json",
                "prompts": "prompts.csv",
                "parameters": {"2::text": "{prompt}", "5::seed": "{seed}"},
                "partitions_def": {"type": "daily", "start_date": "2026-11-01"},
                "budget_usd": 1.0,
                "price_usd_per_run": 0.02,
            },
        )
