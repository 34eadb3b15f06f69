"""Closed nights on the command line: prune them, list them, show what is known of their rows."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

import click

from flow_pipelines.cli.environment import (
    SHORT_KEY,
    SHORTEST_KEY,
    find_submission,
    open_ledger_and_bucket,
)
from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.closed_records import ClosedLine, ClosedSubmission
from flow_pipelines.lifecycle.prune import prune
from flow_pipelines.model.errors import ConfigurationError, NightClosed, SubmissionNotFound
from flow_pipelines.model.wording import closed_in_words, money

SHOWN = 20
"""Closed nights below a table of submissions."""
_COUNTED = 10_000


def run_prune(before: datetime, batches: Collection[str], *, dry_run: bool) -> None:
    """Prune, and print a line a night.

    Raises: ConfigurationError, for a day that has not begun; StorageError, LedgerError.
    """
    books = open_ledger_and_bucket(click.echo)
    if before > books.clock.now():
        raise ConfigurationError(f"{before:%Y-%m-%d} has not begun: what may be of today stays")
    owner, closed, left = f"prune/{uuid.uuid4().hex[:8]}", 0, 0
    verb = "would be closed" if dry_run else "closed"
    for one in prune(books, before=before, owner=owner, batches=batches, dry_run=dry_run):
        closed, left = closed + (one.why_not is None), left + (one.why_not is not None)
        if one.why_not is not None:
            click.echo(f"{one.night}: stays open: {one.why_not}")
        else:
            click.echo(f"{one.night}: {verb}{_at(one.archive)}")
    click.echo(f"{closed} night(s) {verb}, {left} stay open.")


def _at(archive: str | None) -> str:
    return f", archived at {archive}" if archive else ""


def print_closed(ledger: RunLedger, *, as_json: bool = False, **wanted: Any) -> None:
    """Print a line for each of some closed nights; with JSON how many there are, on stderr."""
    lines = ledger.closed_lines(**wanted, limit=_COUNTED if as_json else SHOWN + 1)
    if as_json and lines:
        click.echo(f"{len(lines)} closed night(s) have their rows in the archive.", err=True)
    elif lines:
        click.echo("\nClosed nights, whose rows are in the archive:")
        for line in lines[:SHOWN]:
            for text in _told(ledger, line):
                click.echo(text)
        if len(lines) > SHOWN:
            click.echo("… and more: see --batch, --partition.")


def _told(ledger: RunLedger, line: ClosedLine) -> Iterator[str]:
    counts = ", ".join(f"{count} {state}" for state, count in line.counts.items())
    accounts = ", ".join(f"{name} {money(cost)}" for name, cost in line.by_account.items() if cost)
    facts = [counts, f"{line.images} images", money(line.cost_usd)]
    facts += [f"({accounts})"] if len(line.by_account) > 1 and accounts else []
    facts += [f"FloTime {line.flotime_ms} ms"] if line.flotime_ms else []
    if line.runs_cost_unknown:
        facts.append(f"and {line.runs_cost_unknown} run(s) of unknown cost")
    yield f"{line.night}: {', '.join(facts)}; closed {line.closed_at:%Y-%m-%d}"
    for late in ledger.late_runs(line.night):
        if not late.is_its_own and late.settled_why is None:
            yield (
                f"  {late.submission_key[:SHORT_KEY]} has a second provider run, "
                f"{late.provider_run_id}, told at {late.heard_at:%Y-%m-%d}: both may be billed"
            )


def resolve_closed(
    ledger: RunLedger, key: str, settled: str | None, word: tuple[str, str | None], *, asked: bool
) -> bool:
    """Settle a run that a callback named for a closed night, or show what is known of its row.

    `word`: whose it is, and why. False: there is no such row. Raises: NightClosed, for whatever
    else is `asked`; LedgerError.
    """
    known = _of_closed_night(ledger, key)
    if known is None:
        return False
    key, (who, why) = known.submission_key, word
    if settled is not None and why is not None:
        ledger.settle_late_run(key, settled, f"{who}: {why}")
        click.echo(f"{settled} of {key} is settled.")
        return True
    if asked:
        only = f"--settle-second RUN --why TEXT is all that {key} takes"
        raise NightClosed(f"{closed_in_words(str(known.night))}; {only}")
    for text in closed_facts(ledger, known):
        click.echo(text)
    return True


def _of_closed_night(ledger: RunLedger, key: str) -> ClosedSubmission | None:
    """Return the row that is meant, unless that is one of an open night."""
    with suppress(SubmissionNotFound, ConfigurationError):
        find_submission(ledger, key)
        return None
    return ledger.closed_submission(key) if len(key) >= SHORTEST_KEY else None


def closed_facts(ledger: RunLedger, known: ClosedSubmission) -> Iterator[str]:
    """Yield what the ledger knows of a submission of a closed night."""
    closed = ledger.closed_night(known.night)
    yield f"{known.submission_key}: of {known.night}, which is closed"
    yield f"provider run {known.provider_run_id or 'none'} at {known.provider}"
    if closed is not None:
        yield f"its row is in the archive, {closed.archive}"
    for late in ledger.late_runs(known.night):
        if late.submission_key == known.submission_key:
            whose = "its own run" if late.is_its_own else f"another run, {late.provider_run_id}"
            after = f": {late.settled_why}" if late.settled_why else ""
            yield f"a callback named {whose} at {late.heard_at:%Y-%m-%d %H:%M} UTC{after}"
