"""`flow-pipelines workflows`: what a provider can run, and what it takes, as YAML to paste."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import click

from flow_pipelines.cli.environment import ledger_as_it_is
from flow_pipelines.cli.location import Accounts
from flow_pipelines.clock import SystemClock
from flow_pipelines.model import ParameterSpec, Workflow
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.model.wording import money
from flow_pipelines.provider import ListsWorkflows, Provider, WorkflowListing
from flow_pipelines.resources import ImageStoreResource, ProviderResource
from flow_pipelines.transport import MemoryPaceStore

MOST_LISTED = 1000


def run_workflows(
    account: str, reference: str | None, *, module: str | None, as_json: bool
) -> None:
    """Print the workflows of an account, or one with its parameters. Costs nothing.

    Raises: ConfigurationError, ProviderError.
    """
    accounts = Accounts.of(module)
    resource = accounts.get(account, ProviderResource)
    with ledger_as_it_is() as ledger:
        clock = SystemClock() if ledger is None else ledger.clock
        pace = MemoryPaceStore(clock) if ledger is None else ledger.pace
        is_file = resource.profile.capabilities.workflow_is_file
        provider = resource.get_provider(pace, clock, key_required=not is_file)
        if reference is not None:
            _print_one(resource, _read(accounts, provider, reference), as_json=as_json)
        else:
            _print_all(resource, _list(resource, provider), as_json=as_json)


def _read(accounts: Accounts, provider: Provider, reference: str) -> Workflow:
    def read_file(name: str) -> bytes:
        if name.startswith("s3://"):
            return accounts.get("image_store", ImageStoreResource).read_uri(name)
        try:
            return Path(name).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{name}: {error.strerror}") from error

    return provider.read_workflow(reference, read_file)


def _list(resource: ProviderResource, provider: Provider) -> Sequence[WorkflowListing]:
    if not isinstance(provider, ListsWorkflows):
        what = (
            "it runs the graph that you send: give the path of one, exported in API format"
            if resource.profile.capabilities.workflow_is_file
            else "give the id of one, as the provider's own pages show it"
        )
        raise ConfigurationError(f"{resource.profile.title} lists no workflows; {what}")
    return list(islice(provider.list_workflows(), MOST_LISTED + 1))


def _print_all(
    resource: ProviderResource, found: Sequence[WorkflowListing], *, as_json: bool
) -> None:
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in found[:MOST_LISTED]], indent=1))
        return
    title, name = resource.profile.title, resource.provider_name
    if not found:
        click.echo(f"# {title} gives this key no workflow.")
        return
    click.echo(f"# {title}: `flow-pipelines workflows {name} ID` shows what one takes.")
    for entry in found[:MOST_LISTED]:
        about = entry.name
        if entry.description:
            about = " ".join(f"{about}: {entry.description}".split())
        click.echo(f"workflow: {entry.reference}  # {about[:100]}")
    if len(found) > MOST_LISTED:
        click.echo(f"# … and more than {MOST_LISTED} in all")


def _print_one(resource: ProviderResource, workflow: Workflow, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_record(resource, workflow), indent=1, default=str))
        return
    price = "" if workflow.price_usd is None else f", {money(workflow.price_usd)} a run"
    says = [f"{resource.profile.title}{price}; {len(workflow.parameters)} parameter(s)"]
    click.echo(batch_yaml(resource.provider_name, workflow, says=says), nl=False)


def _record(resource: ProviderResource, workflow: Workflow) -> dict[str, Any]:
    return {
        "provider": resource.provider_name,
        "workflow": workflow.reference,
        "version": workflow.version,
        "price_usd": None if workflow.price_usd is None else str(workflow.price_usd),
        "parameters": [asdict(spec) for spec in workflow.parameters],
    }


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
        unlisted = "; the provider does not tell which there are" if not workflow.closed else ""
        yield f'  parameters: {{}}                  # {example}: "{{prompt}}"{unlisted}'
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
