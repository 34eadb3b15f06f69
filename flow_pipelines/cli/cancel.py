"""`flow-pipelines cancel`: what it is about, a person's consent, and the outcome in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import click

from flow_pipelines.cli.environment import find_submission, night_record, open_existing_ledger
from flow_pipelines.cli.location import Accounts
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.cancel import CancelSummary, cancel_night
from flow_pipelines.model import IN_FLIGHT, Night, NightRecord, SubmissionState
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.model.states import OUTCOME_UNKNOWN
from flow_pipelines.providers import profile


@dataclass(frozen=True, kw_only=True)
class Target:
    """A night, or some submissions of it."""

    record: NightRecord
    keys: frozenset[str] | None
    planned: int
    in_flight: Mapping[str, int]
    """By provider: a night may have runs at several."""
    unsettled: int

    @property
    def provider(self) -> str:
        """The providers that its runs are at, by their proper names."""
        return " and ".join(
            profile(name).title for name in self.in_flight or [self.record.provider]
        )

    @property
    def asks_provider(self) -> bool:
        """Whether a provider has runs of it and can cancel them."""
        return any(profile(name).capabilities.cancel for name in self.in_flight)

    def in_words(self) -> str:
        """Return a sentence on what would be canceled."""
        parts = [f"{self.planned} not sent yet"]
        for name, count in self.in_flight.items():
            provider = profile(name)
            how = "" if provider.capabilities.cancel else ", which go on: it has no way to cancel"
            parts.append(f"{count} at {provider.title}{how}")
        if self.unsettled:
            parts.append(f"{self.unsettled} of unknown outcome, which stay")
        return f"{self.record.night}: {'; '.join(parts)}"


def find_targets(
    ledger: RunLedger, keys: Sequence[str], batch: str | None, partition_key: str | None
) -> Sequence[Target]:
    """Return what the command line names: submissions, a night, or all open nights of a batch.

    Raises: ConfigurationError, SubmissionNotFound.
    """
    if keys:
        by_night: dict[Night, set[str]] = {}
        for submission in [find_submission(ledger, key) for key in keys]:
            by_night.setdefault(submission.night, set()).add(submission.submission_key)
        return [_target(ledger, night, chosen) for night, chosen in by_night.items()]
    if batch is None:
        raise ConfigurationError("name submissions by their keys, or a batch with --batch")
    if partition_key is not None:
        return [_target(ledger, Night(batch, partition_key), None)]
    if not ledger.nights_of(batch, limit=1):
        raise ConfigurationError(f"nothing of a batch {batch!r} is in this ledger")
    return [_target(ledger, record.night, None) for record in ledger.nights_to_do([batch])]


def _target(ledger: RunLedger, night: Night, keys: Collection[str] | None) -> Target:
    record = night_record(ledger, night)
    chosen = [
        row for row in ledger.submissions(night) if keys is None or row.submission_key in keys
    ]
    states = [row.state for row in chosen]
    return Target(
        record=record,
        keys=None if keys is None else frozenset(keys),
        planned=states.count(SubmissionState.PLANNED),
        in_flight=Counter(sorted(row.provider for row in chosen if row.state in IN_FLIGHT)),
        unsettled=sum(state in OUTCOME_UNKNOWN for state in states),
    )


def run_cancel(
    keys: Sequence[str],
    *,
    batch: str | None,
    partition_key: str | None,
    why: str,
    sure: bool,
    module: str | None,
) -> int:
    """Cancel after a confirmation and return the exit code; 1: something goes on, or may.

    Raises: FlowPipelinesError; click.Abort, for a no.
    """
    with open_existing_ledger() as ledger:
        targets = [
            target
            for target in find_targets(ledger, keys, batch, partition_key)
            if target.planned or target.in_flight or target.unsettled
        ]
        if not targets:
            click.echo("Nothing to cancel: all of it has ended.")
            return 0
        for target in targets:
            click.echo(target.in_words())
        if not sure:
            click.confirm("Cancel?", abort=True)
        return _cancel_all(targets, ledger, Accounts.of(module), why)


def _cancel_all(targets: Sequence[Target], ledger: RunLedger, accounts: Accounts, why: str) -> int:
    code = 0
    opened = accounts.opened(ledger, click.echo)
    for target in targets:
        summary = cancel_night(target.record.night, opened, why=why, keys=target.keys)
        _print(target, summary)
        code |= bool(summary.going_on or summary.unsettled or summary.errors)
    return code


def _print(target: Target, summary: CancelSummary) -> None:
    click.echo(f"{target.record.night}:")
    for line in _lines(target, summary):
        click.echo(f"  {line}")
    for error in summary.errors:
        click.echo(f"  {error}", err=True)


def _lines(target: Target, summary: CancelSummary) -> Iterator[str]:
    sentences: Mapping[str, int] = {
        "will not be sent": summary.planned,
        f"canceled at {target.provider}": summary.canceled,
        f"being canceled at {target.provider}; polls will see the end": summary.ending,
        "had ended before; recorded as they ended": summary.ended,
        _why_going_on(target): summary.going_on,
        "may have been bought; wait a minute and repeat this, or `flow-pipelines resolve` them": (
            summary.unsettled
        ),
    }
    return (f"{count} {sentence}" for sentence, count in sentences.items() if count)


def _why_going_on(target: Target) -> str:
    if target.asks_provider:
        return f"go on at {target.provider}: could not be canceled"
    return f"cannot be canceled at {target.provider}; they go on, and are stored when they end"
