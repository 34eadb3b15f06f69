"""`flow-pipelines estimate`: what a night would take, for people and for scripts."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import click
import dagster as dg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flow_pipelines.assets import Batch
from flow_pipelines.cli.environment import ledger_as_it_is
from flow_pipelines.cli.location import OURS, Accounts, find_batch, load_location
from flow_pipelines.clock import Clock, SystemClock
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.estimate import (
    Account,
    BudgetCut,
    NightEstimate,
    estimate_night,
)
from flow_pipelines.lifecycle.plan import render_night
from flow_pipelines.lifecycle.ports import Sources
from flow_pipelines.model import UNPARTITIONED, Night
from flow_pipelines.model.errors import ConfigurationError, InvalidBatch
from flow_pipelines.model.wording import money
from flow_pipelines.providers import profile
from flow_pipelines.resources import ImageStoreResource, ProviderResource
from flow_pipelines.transport import MemoryPaceStore

_BUDGETS = {"partition": "the night's budget", "day": "today's budget of the provider"}


def run_estimate(name: str, partition_key: str | None, *, module: str | None, as_json: bool) -> int:
    """Estimate and print; return the exit code, 1: the night would not be bought as it is written.

    Raises: FlowPipelinesError.
    """
    try:
        location = load_location(module or OURS)
        batch = find_batch(location, name)
        with ledger_as_it_is() as ledger:
            clock = SystemClock() if ledger is None else ledger.clock
            night = Night(name, choose_partition(batch, partition_key, clock))
            accounts = Accounts(location.resources or {})
            estimate = _estimate(batch, night, accounts, ledger, clock)
    except InvalidBatch as error:
        _print_problems(error, as_json=as_json)
        return 1
    if as_json:
        click.echo(json.dumps(_record(estimate), indent=1))
    else:
        _print(estimate, has_ledger=ledger is not None)
    return int(estimate.refused is not None)


def choose_partition(batch: Batch, key: str | None, clock: Clock) -> str:
    """Return the partition key to work on; without one, the last complete one, as a schedule would.

    Raises: ConfigurationError, for a key that the batch has not, and will not have.
    """
    partitions = batch.partitions_def
    if partitions is None:
        if key not in {None, UNPARTITIONED}:
            raise ConfigurationError(f"{batch.name} has no partitions; leave --partition out")
        return UNPARTITIONED
    if key is None and isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        key = partitions.get_last_partition_key()
    if key is None:
        raise ConfigurationError(f"{batch.name} has partitions: choose one with --partition")
    if not partitions.has_partition_key(key) and not _is_to_come(partitions, key, clock):
        raise ConfigurationError(f"{batch.name} has no partition {key!r}")
    return key


def _is_to_come(partitions: dg.PartitionsDefinition[str], key: str, clock: Clock) -> bool:
    """Return whether this is a time partition that is not complete yet."""
    if not isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        return False
    try:
        return partitions.time_window_for_partition_key(key).end > clock.now()
    except ValueError:
        return False


def _estimate(
    batch: Batch,
    night: Night,
    accounts: Accounts,
    ledger: RunLedger | None,
    clock: Clock,
) -> NightEstimate:
    resource = accounts.get(batch.settings.resource, ProviderResource)
    pace = MemoryPaceStore(clock) if ledger is None else ledger.pace
    provider = resource.get_provider(pace, clock, key_required=batch.planning_needs_key)

    @functools.cache
    def image_store() -> ImageStoreResource:
        return accounts.get("image_store", ImageStoreResource)

    if batch.settings.prompts_asset is not None:
        message = f"{batch.name} takes its prompts from the asset {batch.settings.prompts_asset}"
        raise ConfigurationError(f"{message}, which only a run in Dagster can read")
    sources = Sources(
        provider=provider,
        read_uri=lambda uri: image_store().read_uri(uri),
        read_input=lambda uri: image_store().read_input(uri),
    )
    rendered = render_night(batch.settings, night.partition_key, sources)
    account = Account(
        provider=provider,
        rate_limit=resource.rate_limit(),
        daily_budget_usd=resource.get_daily_budget_usd(),
    )
    return estimate_night(batch.settings, rendered, account, ledger, clock)


def _print_problems(error: InvalidBatch, *, as_json: bool) -> None:
    if as_json:
        problems = [asdict(one) for one in error.problems]
        click.echo(json.dumps({"batch": error.batch, "problems": problems}, indent=1))
        return
    count = len(error.problems)
    click.echo(f"Batch {error.batch!r} has {count} problem(s); nothing would be submitted:")
    for problem in error.problems:
        click.echo(f"  {problem}")


def _print(estimate: NightEstimate, *, has_ledger: bool) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    title = profile(estimate.provider).title
    table.add_row("[bold]night[/]", escape(f"{estimate.night}, on {title}"))
    for name, text in _lines(estimate):
        table.add_row(name, escape(text))
    console = Console(highlight=False)
    console.print(table)
    if estimate.first_requests:
        console.print(_first_requests(estimate))
    if not has_ledger:
        click.echo("There is no ledger here: what was bought before is not known.")
    if estimate.refused:
        click.echo(f"Nothing would be sent: {estimate.refused}")


def _first_requests(estimate: NightEstimate) -> Table:
    table = Table(title="first requests, as they would be sent", title_justify="left")
    for column in ("row", "parameter", "is sent", "instead of"):
        table.add_column(column, overflow="fold")
    for sent in estimate.first_requests:
        row = f"{sent.prompt_id}.{sent.copy}"
        parameter = f"{sent.parameter}, {sent.node}" if sent.node else sent.parameter
        table.add_row(*(escape(text) for text in (row, parameter, sent.sent, sent.instead_of)))
    return table


def _lines(estimate: NightEstimate) -> Iterator[tuple[str, str]]:
    yield "rows", str(estimate.rows)
    yield "submissions", _submissions(estimate)
    for cut in estimate.budgets:
        yield "budget", _budget(cut, estimate)
    yield "requests", f"about {estimate.requests}"
    if estimate.minutes is None:
        yield "time", "no rate limit is known"
    else:
        yield "time", f"about {estimate.minutes:.1f} min at the rate limit, if runs are as fast"
    yield "cost", _cost(estimate)
    if profile(estimate.provider).capabilities.flotime:
        yield "FloTime", _flotime(estimate)


def _submissions(estimate: NightEstimate) -> str:
    before = estimate.submissions - estimate.to_send
    if not before:
        return f"{estimate.submissions}, none sent yet"
    return f"{estimate.submissions}, of which {estimate.to_send} are still to be sent"


def _budget(cut: BudgetCut, estimate: NightEstimate) -> str:
    says = f"{money(cut.left_usd)} of {money(cut.budget_usd)} are left of {_BUDGETS[cut.scope]}"
    skipped = estimate.to_send - cut.allows
    if skipped <= 0:
        return f"{says}: enough"
    return f"{says}: enough for {cut.allows}; {skipped} would be skipped"


def _cost(estimate: NightEstimate) -> str:
    if estimate.usd is None or estimate.usd_per_run is None:
        return "unknown: the provider states no price, and no past run tells one"
    source = {"price": "", "past runs": ", as past runs had"}[estimate.usd_basis]
    each = f"{money(estimate.usd_per_run)} a run{source}"
    return f"about {money(estimate.usd)} ({estimate.within_budget} × {each})"


def _flotime(estimate: NightEstimate) -> str:
    if estimate.flotime_ms is None or estimate.flotime_ms_per_run is None:
        return "unknown: no past run tells"
    each = estimate.flotime_ms_per_run / 1000
    return (
        f"about {estimate.flotime_ms / 1000:.0f} s ({each:.1f} s a run, the median of "
        f"{estimate.past_runs} past runs)"
    )


def _record(estimate: NightEstimate) -> Mapping[str, Any]:
    """Return plain JSON; money as text, so that it stays exact."""
    record = asdict(estimate)
    batch, partition_key = record.pop("night")
    plain: Mapping[str, Any] = json.loads(json.dumps(record, default=str))
    return {"batch": batch, "partition_key": partition_key, **plain}
