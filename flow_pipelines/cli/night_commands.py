"""Commands around a night: check what it needs, estimate, collect, verify and cancel it."""

from __future__ import annotations

import click

_module = click.option(
    "-m",
    "--module",
    help="Module of your Dagster definitions. Default: accounts as the environment has them.",
)


@click.command()
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--batch", help="Cancel this batch: all its open nights, or one with --partition.")
@click.option("--partition", "partition_key", help="Only this partition key of the batch.")
@click.option("--why", help="Kept in the ledger.  [default: canceled by <you>]")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_module
def cancel(
    *,
    keys: tuple[str, ...],
    batch: str | None,
    partition_key: str | None,
    why: str | None,
    yes: bool,
    module: str | None,
) -> None:
    """Cancel submissions by KEY, or a batch's nights.

    What was not sent is not sent; provider runs are canceled where the provider can, and go on
    where it cannot. What has ended is left alone. Exit code 1: something goes on, or may.
    """
    from flow_pipelines.cli.cancel import run_cancel
    from flow_pipelines.cli.ledger_commands import me

    if bool(keys) == bool(batch) or (partition_key and not batch):
        raise click.UsageError("Give either KEYs, or --batch and, if you like, --partition.")
    code = run_cancel(
        keys,
        batch=batch,
        partition_key=partition_key,
        why=why or f"canceled by {me()}",
        sure=yes,
        module=module,
    )
    raise SystemExit(code)


@click.command()
@click.argument("batch")
@click.option("--partition", "partition_key", help="Only this night.  [default: all open ones]")
@_module
def collect(*, batch: str, partition_key: str | None, module: str | None) -> None:
    """Poll and store what BATCH has bought, from the ledger alone: also a batch that is gone.

    Writes the tables, too. Free of charge; safe to repeat. Exit code 1: something is still missing.
    """
    from flow_pipelines.cli.collect import run_collect

    raise SystemExit(run_collect(batch, partition_key, module=module))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@_module
def doctor(*, as_json: bool, module: str | None) -> None:
    """Check keys, clock, bucket, ledger and Dagster. Spends nothing; exit code 1: one is red.

    Providers are asked for what is free; credit and balance are not looked at.
    """
    from flow_pipelines.cli.doctor import run_doctor

    raise SystemExit(run_doctor(module=module, as_json=as_json))


@click.command()
@click.argument("batch")
@click.option("--partition", "partition_key", help="Its key.  [default: the last complete one]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.option(
    "-m",
    "--module",
    help="Module of your Dagster definitions.  [default: the sample batches of this package]",
)
def estimate(*, batch: str, partition_key: str | None, as_json: bool, module: str | None) -> None:
    """Say what a night of BATCH would take: requests, minutes, dollars, FloTime.

    Reads and checks every row as planning does; plans nothing and spends nothing. Exit code 1: it
    would not be bought as it is written.
    """
    from flow_pipelines.cli.estimate import run_estimate

    raise SystemExit(run_estimate(batch, partition_key, module=module, as_json=as_json))


@click.command()
@click.argument("batch")
@click.option("--partition", "partition_key", help="Only this partition key.  [default: all]")
@click.option("--repair", is_flag=True, help="Collect again what is missing.")
@_module
def verify(*, batch: str, partition_key: str | None, repair: bool, module: str | None) -> None:
    """Check that the stored files of BATCH are there, each with its size and checksum.

    --repair collects what is missing again while the provider still has it, and notes the rest as
    lost. Nothing is ever overwritten. Costs nothing; exit code 1: something is not as it was
    stored.
    """
    from flow_pipelines.cli.collect import run_verify

    raise SystemExit(run_verify(batch, partition_key, repair=repair, module=module))


@click.command()
@click.argument("provider")
@click.argument("reference", metavar="[ID]", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of YAML.")
@_module
def workflows(*, provider: str, reference: str | None, as_json: bool, module: str | None) -> None:
    """List what PROVIDER can run, or show what the workflow ID takes, as YAML ready to paste.

    PROVIDER is a resource key: a provider's name, such as floyo, or a second account's. ID is what
    `workflow:` takes: where that is a file, the path of a graph in API format. Costs nothing.
    """
    from flow_pipelines.cli.workflows import run_workflows

    run_workflows(provider, reference, module=module, as_json=as_json)
