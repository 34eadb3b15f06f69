"""Commands of people who look after nights: what was bought, what is unsettled, the stop switch."""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import click

from flow_pipelines.model import SubmissionState

SHOWN = 50
"""Rows of a table, unless more are asked for."""
_STATES = [state.value for state in SubmissionState]


def me() -> str:
    """Return the name under which the ledger remembers a person's word."""
    from flow_pipelines.ledger.contract import OURSELVES

    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown user"
    return f"user {name}" if name == OURSELVES else name


@click.command()
@click.option("--batch", help="Only this prompt batch.")
@click.option("--partition", "partition_key", help="Only this partition key.")
@click.option("--provider", help="Only this provider.")
@click.option("--state", type=click.Choice(_STATES), help="Only this state.")
@click.option(
    "--limit", type=click.IntRange(1), help="At most so many.  [default: 50, with --json all]"
)
@click.option("--wide", is_flag=True, help="Every column and every reason, a line a submission.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of a table.")
@click.option("--watch", "watched", is_flag=True, help="How far nights are, until all have ended.")
def runs(  # noqa: PLR0913 - a filter an option
    *,
    batch: str | None,
    partition_key: str | None,
    provider: str | None,
    state: str | None,
    limit: int | None,
    wide: bool,
    as_json: bool,
    watched: bool,
) -> None:
    """Show submissions in the ledger, the latest planned first; or a bar a night with --watch.

    Below them stand nights that were pruned, a line each; with --json their number, on stderr.
    """
    from rich.console import Console

    from flow_pipelines.cli.closed import print_closed
    from flow_pipelines.cli.environment import open_existing_ledger
    from flow_pipelines.cli.show import print_submissions, print_submissions_json, watch

    if watched and (state or wide or as_json):
        raise click.UsageError("--watch takes --batch, --partition and --provider only.")
    ledger = open_existing_ledger()
    wanted: dict[str, Any] = {"batch": batch, "partition_key": partition_key, "provider": provider}
    if watched:
        watch(ledger, ledger.clock, Console(), **wanted)
        return
    in_state = SubmissionState(state) if state else None
    if as_json:
        every = ledger.search_all(**wanted, state=in_state)
        print_submissions_json(islice(every, limit), ledger)
        print_closed(ledger, **wanted, as_json=True)
        return
    submissions = ledger.search(**wanted, state=in_state, limit=limit or SHOWN)
    found = ledger.count_found(**wanted, state=in_state)
    print_submissions(submissions, ledger, found=found, wide=wide)
    print_closed(ledger, **wanted)


@click.command()
@click.argument("place", metavar="S3_URI|FILE")
def trace(*, place: str) -> None:
    """Show where a picture comes from: prompt, workflow, provider run, cost, its siblings.

    By what its object in the bucket says of itself, else by its content. Exit code 1: unknown.
    """
    from flow_pipelines.cli.trace import run_trace

    raise SystemExit(run_trace(place))


@click.command()
@click.argument("submission_key")
@click.option("--attach", "attached", help="This provider run is the submission's.")
@click.option("--unchecked", is_flag=True, help="With --attach: do not ask the provider for it.")
@click.option("--not-created", is_flag=True, help="The provider has no run of it.")
@click.option("--detach", is_flag=True, help="The provider run that it has is not its own.")
@click.option("--settle-second", help="You looked into this second provider run of it.")
@click.option("--why", help="How you know; kept in the ledger. Needed with each of the above.")
@click.option("-m", "--module", help="Module of your Dagster definitions, for their accounts.")
def resolve(  # noqa: PLR0913 - an answer an option
    *,
    submission_key: str,
    attached: str | None,
    unchecked: bool,
    not_created: bool,
    detach: bool,
    settle_second: str | None,
    why: str | None,
    module: str | None,
) -> None:
    """Settle a submission whose answer was lost; without an option, show what is known of it.

    Shown are its history and, while it is unresolved, the provider's runs of that time: none of
    them is taken by itself. --attach asks the provider for the run first, and refuses one that it
    does not know, that another submission has, whose name is not the one that was sent, or that is
    older than the request.

    With --not-created the row is planned again, and the next run buys it; if a provider run exists
    after all, it is paid twice. That is refused for a quarter of an hour after it was sent, and
    while its run still submits. With --detach the row is unresolved again; what was stored stays
    in the bucket, and belongs to none.
    """
    from flow_pipelines.cli.closed import resolve_closed
    from flow_pipelines.cli.environment import find_submission, open_existing_ledger
    from flow_pipelines.cli.location import Accounts
    from flow_pipelines.cli.resolve import attach, detach_run, show

    given = sum((attached is not None, not_created, detach, settle_second is not None))
    if given > 1 or (unchecked and attached is None):
        raise click.UsageError("Give one of --attach, --not-created, --detach, --settle-second.")
    ledger = open_existing_ledger()
    if resolve_closed(ledger, submission_key, settle_second, (me(), why), asked=given > 0):
        return
    submission = find_submission(ledger, submission_key)
    key = submission.submission_key
    if not given:
        show(ledger, submission, module)
        return
    if why is None:
        raise click.UsageError("Missing option '--why': how you know; kept in the ledger.")
    by_whom = {"who": me(), "why": why}
    if attached is not None:
        accounts = None if unchecked else Accounts.of(module)
        click.echo(attach(ledger, submission, attached, accounts=accounts, **by_whom))
    elif detach:
        click.echo(detach_run(ledger, submission, **by_whom))
    elif settle_second is not None:
        ledger.settle_second_run(key, settle_second, **by_whom)
        click.echo(f"{settle_second} of {key} is settled.")
    else:
        ledger.settle_not_created(key, **by_whom)
        click.echo(f"{key} is planned again; the next run of its night buys it.")


@click.command()
@click.option("--why", required=True, help="Shown to whoever is stopped by it.")
def pause(*, why: str) -> None:
    """Stop all submitting at once. What is in flight is still polled and stored."""
    from flow_pipelines.cli.environment import open_existing_ledger

    open_existing_ledger().pause(me(), why)
    click.echo("Paused: nothing is submitted until `flow-pipelines resume`.")


@click.command()
def resume() -> None:
    """Allow submitting again."""
    from flow_pipelines.cli.environment import open_existing_ledger

    ledger = open_existing_ledger()
    was = ledger.paused()
    ledger.resume()
    if was is None:
        click.echo("Was not paused.")
    else:
        click.echo(f"Resumed. It was paused by {was.who} at {was.at:%Y-%m-%d %H:%M} UTC: {was.why}")


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Serve /metrics there until Ctrl-C or SIGTERM.")
@click.option(
    "--textfile",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Replace this file, for node_exporter, instead of printing.",
)
def metrics(*, listen: str | None, textfile: Path | None) -> None:
    """Print how the ledger is, in Prometheus' text format; docs/OPERATING.md says what there is.

    Reads the ledger alone, as a role that may do no more; asks no provider and no Dagster.
    """
    from flow_pipelines.cli.environment import open_existing_ledger
    from flow_pipelines.cli.metrics import serve, text, write

    if listen and textfile:
        raise click.UsageError("Give --listen or --textfile.")
    with open_existing_ledger(upgrade=False) as ledger:
        if listen:
            serve(ledger, listen)
        elif textfile:
            write(ledger, textfile)
        else:
            click.echo(text(ledger), nl=False)


@click.group("ledger")
def ledger_group() -> None:
    """Look after the ledger itself."""


@ledger_group.command()
def upgrade() -> None:
    """Create the ledger, or bring it to this version's schema. Safe to repeat."""
    from flow_pipelines.cli.environment import upgrade_ledger

    click.echo(upgrade_ledger())


@ledger_group.command()
@click.argument("batch")
@click.option("--yes", is_flag=True, help="You are sure that the other ledger is out of use.")
@click.option(
    "--location", help="Code location that works on BATCH from now on, e.g. its new name."
)
def adopt(*, batch: str, yes: bool, location: str | None) -> None:
    """Let this ledger buy for BATCH, whose bucket folder names another ledger.

    What the bucket's journal knows of its nights is taken in. Nights of before there was a journal
    stay unknown to this ledger: those that have receipts in the bucket are still refused.

    With --location, the ledger stays and a Dagster code location adopts the batch: its runs and
    sensors are the only ones that work on it. For a location that was renamed.
    """
    from flow_pipelines.cli.environment import adopt_batch, move_batch, restore_batches

    if location:
        click.echo(move_batch(batch, location))
        return
    click.echo(adopt_batch(batch, sure=yes))
    for line in restore_batches([batch], click.echo):
        click.echo(line)


@ledger_group.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(*, file: Path) -> None:
    """Copy the ledger, as it is at this moment, to the new FILE. Nobody waits for it.

    A ledger on PostgreSQL is copied by pg_dump of the server's version, its own tables only.
    """
    from flow_pipelines.cli.copies import back_up

    click.echo(back_up(file))


@ledger_group.command()
@click.argument("names", metavar="[FILE] [BATCH]...", nargs=-1)
@click.option("--replace", is_flag=True, help="Keep the ledger that is there under another name.")
def restore(*, names: tuple[str, ...], replace: bool) -> None:
    """Take in what this ledger, restored from a copy, does not know: after every restore.

    FILE, a path with a dot or a slash, is a copy that `ledger backup` made: it becomes the ledger
    first. A ledger in a file is kept with --replace, else refused, and must not be open anywhere;
    on PostgreSQL there must be no table of one: nothing is dropped.

    Compares the ledger with the journal of each night of each BATCH (default: all that it owns),
    also in buckets where they were bought before. What was sent since the copy becomes unresolved,
    or has its run where the bucket knows it; nothing of it is bought again. Spends nothing, and can
    be repeated: where it was cut short, without FILE.
    """
    from flow_pipelines.cli.copies import put_back
    from flow_pipelines.cli.environment import open_bucket, restore_batches
    from flow_pipelines.clock import SystemClock

    file, batches = split_names(names)
    if file is None and replace:
        raise click.UsageError("--replace needs FILE.")
    if file is not None:
        open_bucket()  # without it nothing could be taken in
        click.echo(put_back(file, replace=replace, clock=SystemClock()))
    for line in restore_batches(batches, click.echo):
        click.echo(line)


def split_names(names: tuple[str, ...]) -> tuple[Path | None, tuple[str, ...]]:
    """Return the file before the batches, if there is one: no batch has a dot or a slash."""
    if names and Path(names[0]).is_file() and not _is_path(names[0]):
        raise click.UsageError(f"Is {names[0]} a batch? For the file, write ./{names[0]}")
    if names and _is_path(names[0]):
        return Path(names[0]), names[1:]
    return None, names


def _is_path(name: str) -> bool:
    return "." in name or os.sep in name


@ledger_group.command("prune")
@click.option(
    "--before", required=True, type=click.DateTime(["%Y-%m-%d"]), help="UTC day, YYYY-MM-DD."
)
@click.option("--batch", "batches", multiple=True, help="Only this batch; can be repeated.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def prune_nights(*, before: datetime, batches: tuple[str, ...], dry_run: bool) -> None:
    """Archive nights that last changed before a day, and take their rows out of the ledger.

    Only nights of which nothing may change any more: each row has ended, each output is stored or
    was called lost, nothing is unresolved. A pruned night is closed for good: it keeps a line with
    its counts and costs, and is never planned, bought or collected again. Its rows are in the
    bucket, as Parquet. Pictures and tables stay as they are. Costs nothing; safe to repeat.
    """
    from flow_pipelines.cli.closed import run_prune

    run_prune(before.replace(tzinfo=UTC), batches, dry_run=dry_run)


@ledger_group.command("forget-account")
@click.argument("resource")
def forget_account(*, resource: str) -> None:
    """Forget which account the resource key RESOURCE stood for; the next submit keeps it anew.

    Runs that were sent with it are polled with whatever account has that key now.
    """
    from flow_pipelines.cli.environment import open_existing_ledger

    with open_existing_ledger() as ledger:
        was = ledger.forget_account(resource)
        runs = sum(one.runs for one in ledger.outstanding() if one.resource == resource)
    if was is None:
        click.echo(f"Nothing was kept about {resource!r}.")
        return
    click.echo(f"{resource!r} was an account of {was.provider} since {was.seen_at:%Y-%m-%d}.")
    if runs:
        click.echo(f"{runs} run(s) were sent with it, and wait: another account cannot see them.")
