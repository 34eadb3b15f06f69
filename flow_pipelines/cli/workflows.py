"""`flow-pipelines workflows`: what a provider can run, and what it takes, as YAML to paste."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import click

from flow_pipelines.cli.environment import ledger_as_it_is
from flow_pipelines.cli.location import Accounts
from flow_pipelines.cli.workflow_yaml import batch_yaml
from flow_pipelines.clock import SystemClock
from flow_pipelines.model import Workflow
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
        clock = SystemClock()
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
        click.echo(json.dumps([asdict(one) for one in found[:MOST_LISTED]], indent=1))
        return
    title, name = resource.profile.title, resource.provider_name
    if not found:
        click.echo(f"# {title} gives this key no workflow.")
        return
    click.echo(f"# {title}: `flow-pipelines workflows {name} ID` shows what one takes.")
    for one in found[:MOST_LISTED]:
        about = " ".join(f"{one.name}: {one.description}".split()) if one.description else one.name
        click.echo(f"workflow: {one.reference}  # {about[:100]}")
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
