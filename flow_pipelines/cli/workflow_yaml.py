"""A workflow as a `defs.yaml` to start from: what it takes, and what it would take by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from flow_pipelines.model import ParameterSpec, Workflow

_PROMPT = re.compile(r"(^|[^a-z])(prompt|text|description|caption)$", re.IGNORECASE)
_NEGATIVE = re.compile(r"negative", re.IGNORECASE)
_PICTURE_FIELD = re.compile(r"::image$")
_MEDIA = frozenset({"image", "video", "audio", "document"})
_LONGEST = 120


def batch_yaml(provider: str, workflow: Workflow, *, says: Sequence[str] = ()) -> str:
    """Return a whole `defs.yaml` for a batch of this workflow; `says` go above it as comments."""
    lines = [f"# {line}" for line in says]
    lines += [
        "type: flow_pipelines.PromptBatchComponent",
        "attributes:",
        f"  name: {_batch_name(workflow.reference)}",
        f"  provider: {provider}",
        f"  workflow: {_scalar(workflow.reference)}",
        "  prompts: prompts.csv            # columns as named in braces below",
        *parameters_yaml(workflow),
        "  # budget_usd: 5.00              # of one night",
    ]
    if workflow.price_usd is None:
        lines.append("  # price_usd_per_run: 0.02       # the provider states no price")
    return "\n".join(lines) + "\n"


def parameters_yaml(workflow: Workflow) -> Iterator[str]:
    """Return `parameters:`; what the workflow has a value of its own for is commented out."""
    if not workflow.parameters:
        example = '"<node id>::<field>"' if workflow.node_parameters else "<parameter>"
        told = "; the provider does not tell which there are" if not workflow.closed else ""
        yield f'  parameters: {{}}                  # {example}: "{{prompt}}"{told}'
        return
    prompt = _prompt_parameter(workflow.parameters)
    written = [(spec, _template(spec, prompt)) for spec in workflow.parameters]
    chosen = any(template is not None for _, template in written)
    yield "  parameters:" if chosen else "  parameters: {}"
    for spec, template in written:
        value = _shown(spec.default) if template is None else template
        mark = "    " if template is not None else "    # "
        yield f"{mark}{json.dumps(spec.name)}: {value}  # {_kind(spec)}"


def _template(spec: ParameterSpec, prompt: str | None) -> str | None:
    """Return what a row fills the parameter with; None: it may stay as the workflow has it."""
    if spec.type == "seed":
        return '"{seed}"'
    if spec.type == "image" or (spec.type == "text" and _PICTURE_FIELD.search(spec.name)):
        return '{file: "{picture}"}'
    if spec.name == prompt:
        return '"{prompt}"'
    if spec.required:
        return json.dumps("{" + _column(spec.name) + "}")
    return None


def _prompt_parameter(specs: Sequence[ParameterSpec]) -> str | None:
    """Guess which text is the prompt: a person reads the YAML before it is used."""
    texts = [spec for spec in specs if spec.type in {"text", "any"}]
    likely = [s for s in texts if _PROMPT.search(s.name) and not _NEGATIVE.search(s.name)]
    chosen = [*likely, *(spec for spec in texts if spec.required)]
    return chosen[0].name if chosen else None


def _kind(spec: ParameterSpec) -> str:
    article = f"{spec.type} (https link or file)" if spec.type in _MEDIA else spec.type
    return article + (", required" if spec.required else "")


def _column(name: str) -> str:
    plain = re.sub(r"\W+", "_", name.rpartition("::")[2]).strip("_")
    return plain if plain and not plain[0].isdigit() else f"column_{plain}"


def _batch_name(reference: str) -> str:
    stem = reference.rpartition("/")[2].partition(".")[0].lower()
    return re.sub(r"[^a-z0-9]+", "_", stem).strip("_") or "batch"


def _scalar(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z][A-Za-z0-9_./-]*", text) else json.dumps(text)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
