"""`flow-pipelines collect` and `verify`: store what was bought, check that it is still there."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence

import click

from flow_pipelines.batches.keys import path_safe
from flow_pipelines.cli.environment import SHORT_KEY, night_record, open_existing_ledger
from flow_pipelines.cli.location import Accounts
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle import NightSummary, collect_night, open_night, serve_night
from flow_pipelines.lifecycle.closed_nights import closed_night
from flow_pipelines.lifecycle.ports import Workplace
from flow_pipelines.lifecycle.verify import Kind, NightFiles, repair_night, verify_night
from flow_pipelines.model import Night, NightRecord
from flow_pipelines.model.errors import ConfigurationError, FlowPipelinesError
from flow_pipelines.model.wording import closed_in_words
from flow_pipelines.storage.contract import ImageStore

SHOWN = 20
"""Files that are named of a night; the others are counted."""


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
    return [night_record(ledger, Night(batch, partition_key)).night]


def _collect(night: Night, work: Workplace) -> bool:
    """Collect one night and say what came of it; False: something is missing."""
    if closed_night(night, work) is not None:
        click.echo(f"{closed_in_words(str(night))}.")
        return True
    owner = f"collect/{uuid.uuid4().hex[:8]}"
    try:
        open_night(night, work, owner=owner)
        done = serve_night(work, night, owner=owner)
        summary = collect_night(night, work, owner=owner)
    except FlowPipelinesError as error:
        click.echo(f"{night}: {error}", err=True)
        return False
    for problem in done.errors:
        click.echo(f"{night}: {problem}", err=True)
    missing = _missing(summary)
    lacks = ", ".join(f"{count} {words}" for words, count in missing.items() if count)
    outcome = lacks or "nothing of what was bought is missing"
    unsent = f"; {summary.planned} row(s) were not sent" if summary.planned else ""
    click.echo(f"{night}: {summary.stored} file(s) stored; {outcome}{unsent}")
    return not lacks


def _missing(summary: NightSummary) -> dict[str, int]:
    """Return what may still come, by what it is called; what was never sent is not missing."""
    return {
        "still at the provider": summary.in_flight - summary.planned - summary.submitting,
        "being sent": summary.submitting,
        "unresolved: see `flow-pipelines resolve`": summary.unresolved,
        "without all their files": summary.without_image,
    }


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
            checked = verify_night(record.night, ledger, opened.store)
            _print(checked)
            if repair and record.closed_at is not None:
                click.echo(f"{closed_in_words(str(record.night))}.")
            elif repair and any(problem.kind == "missing" for problem in checked.problems):
                checked = repair_night(checked, opened, owner=owner)
                _print_fetched(checked, opened.store)
                _print(checked)
            code |= bool(checked.problems)
        return code


def _records(ledger: RunLedger, batch: str, partition_key: str | None) -> Iterator[NightRecord]:
    """Return the nights that are meant. Raises: ConfigurationError, where there is none."""
    if partition_key is not None:
        yield night_record(ledger, Night(batch, partition_key))
        return
    page = ledger.nights_of(batch)
    if not page:
        raise ConfigurationError(f"{batch} is not in this ledger")
    while page:
        yield from page
        page = ledger.nights_of(batch, after=page[-1].night.partition_key)


def _print_fetched(checked: NightFiles, store: ImageStore) -> None:
    folder = store.uri(store.key(checked.night.batch, path_safe(checked.night.partition_key)))
    click.echo(f"repaired: {len(checked.fetched)} fetched again; the tables are in {folder}/")
    for uri in checked.fetched[:SHOWN]:
        click.echo(f"    {uri}")
    if len(checked.fetched) > SHOWN:
        click.echo(f"    … and {len(checked.fetched) - SHOWN} more")


def _print(checked: NightFiles) -> None:
    if not checked.problems:
        click.echo(f"{checked.night}: {checked.files} files, all as they were stored")
        return
    wrong = len(checked.problems)
    click.echo(f"{checked.night}: {wrong} of {checked.files} files are not as they were stored")
    for kind, count in Counter(problem.kind for problem in checked.problems).items():
        click.echo(f"  {count} {_ADVICE[kind]}")
    for problem in checked.problems[:SHOWN]:
        key = problem.output.submission_key[:SHORT_KEY]
        index = problem.output.output_index
        click.echo(f"    {problem.kind}: {key} output {index}: {problem.says}")
    if wrong > SHOWN:
        click.echo(f"    … and {wrong - SHOWN} more")
