"""`flow-pipelines collect`: what the ledger knows of a batch is polled and stored, code or none."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import click

from flow_pipelines.cli.environment import open_existing_ledger
from flow_pipelines.cli.location import Accounts
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle import NightSummary, collect_night, open_night, serve_night
from flow_pipelines.lifecycle.ports import Workplace
from flow_pipelines.model import Night
from flow_pipelines.model.errors import ConfigurationError, FlowPipelinesError


def run_collect(batch: str, partition_key: str | None, *, module: str | None) -> int:
    """Collect nights and return the exit code; 1: something is still missing.

    Raises: ConfigurationError, for a batch that the ledger does not know, or a module that cannot
    be loaded; LedgerError.
    """
    with open_existing_ledger() as ledger:
        nights = _nights(ledger, batch, partition_key)
        if not nights:
            click.echo(f"Nothing of {batch} is left to collect.")
            return 0
        work = Accounts.of(module).opened(ledger, click.echo)
        stored = [_collect(night, work) for night in nights]
        return int(not all(stored))


def _nights(ledger: RunLedger, batch: str, partition_key: str | None) -> Sequence[Night]:
    if partition_key is None:
        if not ledger.counts_by_state([batch]):
            raise ConfigurationError(f"no batch {batch!r} is in this ledger")
        return [record.night for record in ledger.nights_to_do([batch])]
    night = Night(batch, partition_key)
    if ledger.night(night) is None:
        raise ConfigurationError(f"{night} is not in this ledger")
    return [night]


def _collect(night: Night, work: Workplace) -> bool:
    """Collect one night and say what came of it; False: something is missing."""
    owner = f"collect/{uuid.uuid4().hex[:8]}"
    try:
        open_night(night, work, owner=owner)
        done = serve_night(work, night, owner=owner)
        summary = collect_night(night, work, owner=owner)
    except FlowPipelinesError as error:
        click.echo(f"{night}: {error}", err=True)
        return False
    for problem in done.problems:
        click.echo(f"{night}: {problem}", err=True)
    missing = _missing(summary)
    told = ", ".join(f"{count} {words}" for words, count in missing.items() if count)
    told_or_not = told or "nothing of what was bought is missing"
    unsent = f"; {summary.planned} row(s) were not sent" if summary.planned else ""
    click.echo(f"{night}: {summary.stored} file(s) stored; {told_or_not}{unsent}")
    return not told


def _missing(summary: NightSummary) -> dict[str, int]:
    """Return what may still come, by what it is called; what was never sent is not missing."""
    return {
        "still at the provider": summary.in_flight - summary.planned - summary.submitting,
        "being sent": summary.submitting,
        "unresolved: see `flow-pipelines resolve`": summary.unresolved,
        "without all their files": summary.without_image,
    }
