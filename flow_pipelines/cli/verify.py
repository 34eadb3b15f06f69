"""`flow-pipelines verify`: are the stored files of a batch's nights there, and bring them back."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator

import click

from flow_pipelines.batches.keys import path_safe
from flow_pipelines.cli.environment import open_existing_ledger
from flow_pipelines.cli.location import Accounts
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.verify import Kind, NightFiles, repair_night, verify_night
from flow_pipelines.model import Night, NightRecord
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.storage.contract import ImageStore

SHOWN = 20
"""Files that are named of a night; the others are counted."""
_ADVICE: dict[Kind, str] = {
    "missing": "not there; --repair collects them again while the provider has them",
    "differs": "there with another content; nothing overwrites them: find out who wrote them",
    "unknown": "stored nobody knows where; verify with FLOW_PIPELINES_BUCKET as it was then",
    "unseen": "in a place that cannot be looked into",
    "lost": "lost: not there, and the provider has them no more",
}


def run_verify(batch: str, partition_key: str | None, *, repair: bool, module: str | None) -> int:
    """Print what is not as it was stored, a night at a time; return 1 if anything is.

    Raises: FlowPipelinesError.
    """
    accounts = Accounts.of(module)
    with open_existing_ledger() as ledger:
        opened = accounts.opened(ledger, click.echo)
        code, owner = 0, f"verify-{uuid.uuid4().hex[:12]}"
        for record in _records(ledger, batch, partition_key):
            found = verify_night(record.night, ledger, opened.store)
            _print(found)
            if repair and any(one.kind == "missing" for one in found.problems):
                found = repair_night(found, opened, owner=owner)
                _print_fetched(found, opened.store)
                _print(found)
            code |= bool(found.problems)
        return code


def _records(ledger: RunLedger, batch: str, partition_key: str | None) -> Iterator[NightRecord]:
    """Return the nights that are meant. Raises: ConfigurationError, where there is none."""
    if partition_key is not None:
        record = ledger.night(Night(batch, partition_key))
        found = [] if record is None else [record]
    else:
        found = list(ledger.nights_of(batch))
    if not found:
        where = batch if partition_key is None else str(Night(batch, partition_key))
        raise ConfigurationError(f"{where} is not in this ledger")
    while found:
        yield from found
        last = found[-1].night.partition_key
        found = [] if partition_key is not None else list(ledger.nights_of(batch, after=last))


def _print_fetched(found: NightFiles, store: ImageStore) -> None:
    folder = store.uri(store.key(found.night.batch, path_safe(found.night.partition_key)))
    click.echo(f"repaired: {len(found.fetched)} fetched again; the tables are in {folder}/")
    for uri in found.fetched[:SHOWN]:
        click.echo(f"    {uri}")
    if len(found.fetched) > SHOWN:
        click.echo(f"    … and {len(found.fetched) - SHOWN} more")


def _print(found: NightFiles) -> None:
    if not found.problems:
        click.echo(f"{found.night}: {found.files} files, all as they were stored")
        return
    wrong = len(found.problems)
    click.echo(f"{found.night}: {wrong} of {found.files} files are not as they were stored")
    for kind, count in Counter(one.kind for one in found.problems).items():
        click.echo(f"  {count} {_ADVICE[kind]}")
    for one in found.problems[:SHOWN]:
        key = one.output.submission_key[:8]
        click.echo(f"    {one.kind}: {key} output {one.output.output_index}: {one.says}")
    if wrong > SHOWN:
        click.echo(f"    … and {wrong - SHOWN} more")
