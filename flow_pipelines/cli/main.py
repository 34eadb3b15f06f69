"""The `flow-pipelines` command: its groups, its options and how its errors look.

Nothing heavy is imported here: each command imports what it needs when it runs, so that `--help`
and a typing mistake answer at once.
"""

from __future__ import annotations

from typing import Any

import click

from flow_pipelines.cli.ledger_commands import (
    ledger_group,
    metrics,
    pause,
    resolve,
    resume,
    runs,
    trace,
)
from flow_pipelines.cli.local_commands import demo, sandbox, webhooks
from flow_pipelines.cli.night_commands import (
    cancel,
    collect,
    doctor,
    estimate,
    verify,
    workflows,
)
from flow_pipelines.model.errors import FlowPipelinesError


class _Group(click.Group):
    """A group whose commands report our own errors as one message and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except FlowPipelinesError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flow-pipelines")
def main() -> None:
    """Nightly image batches on hosted AI-workflow services, as Dagster assets."""


for _command in (
    *(demo, sandbox),
    *(doctor, estimate, workflows, verify),
    *(runs, trace, resolve, cancel, collect, pause, resume),
    *(ledger_group, metrics, webhooks),
):
    main.add_command(_command)
