"""Whether everything at providers is polled by somebody, with an account that is at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from flow_pipelines.assets.unlisted_runs import describe_unlisted_runs
from flow_pipelines.cli.findings import Finding, Mark
from flow_pipelines.cli.location import Accounts
from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.records import Outstanding
from flow_pipelines.lifecycle.accounts import waits_for
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.resources import ProviderResource

UNPOLLED = timedelta(hours=1)
"""So long after a run was due, nobody polls it: sensors do within seconds."""


def check_runs(ledger: RunLedger, accounts: Accounts, now: datetime) -> Iterator[Finding]:
    """Check what is in flight or unresolved, of every batch and every code location."""
    outstanding = ledger.outstanding()
    findings = [*_unpolled(ledger, outstanding, now), *_without_account(accounts, outstanding)]
    yield from findings
    yield from _of_no_batch(ledger, accounts, outstanding)
    if not findings:
        runs = sum(one.in_flight for one in outstanding)
        says = f"{runs} in flight, none of them due for long" if runs else "nothing is in flight"
        yield Finding(check="polling", mark=Mark.GREEN, says=says)


def _unpolled(
    ledger: RunLedger, outstanding: Sequence[Outstanding], now: datetime
) -> Iterator[Finding]:
    late = [one for one in outstanding if one.due_at and one.due_at < now - UNPOLLED]
    locations = ledger.batch_locations({one.batch for one in late})
    for one in late:
        where = locations.get(one.batch, "no code location")
        yield Finding(
            check="polling",
            mark=Mark.RED,
            says=(
                f"{one.batch} ({where}): {one.in_flight} run(s) at {one.provider}, account "
                f"{one.resource!r}, and nobody has polled since {one.due_at:%Y-%m-%d %H:%M} UTC"
            ),
            do=(
                f"Is the daemon running, and {one.provider}_runs_sensor on? `flow-pipelines "
                f"collect {one.batch} --module MODULE` polls and stores them now."
            ),
        )


def _of_no_batch(
    ledger: RunLedger, accounts: Accounts, outstanding: Sequence[Outstanding]
) -> Iterator[Finding]:
    """Name nights that no batch of the code location stores: only a person, or another one, does.

    Without a module nobody knows which batches there are.
    """
    defined = accounts.batches
    if defined is None:
        return
    listed = ledger.nights_besides(defined)
    owners = ledger.batch_locations({*defined, *(record.night.batch for record in listed)})
    here = {owners.get(batch) for batch in defined}
    nights = [one for one in listed if owners.get(one.night.batch) in {None, *here}]
    told = describe_unlisted_runs(
        outstanding, nights, batches=defined, defined=defined, serves=lambda _provider: True
    )
    for line in told:
        yield Finding(
            check="batches",
            mark=Mark.YELLOW,
            says=line,
            do="That command, with the module given here; nothing, where another location has it.",
        )


def _without_account(accounts: Accounts, outstanding: Sequence[Outstanding]) -> Iterator[Finding]:
    for one in outstanding if accounts.of_location else ():
        try:
            name = accounts.get(one.resource, ProviderResource).provider_name
            problem = None if name == one.provider else f"that resource is {name}'s now"
        except ConfigurationError as error:
            problem = str(error)
        if problem:
            yield Finding(
                check=one.resource,
                mark=Mark.RED,
                says=f"{one.batch}: {waits_for(one.runs, one.provider, one.resource, problem)}",
                do="Bring that resource back until they are stored.",
            )
