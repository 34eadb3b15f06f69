"""The receiver of callbacks as a command."""

from __future__ import annotations

import click

PORT = 8700


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True)
def webhooks(*, host: str, port: int) -> None:
    """Receive what providers tell by themselves, until Ctrl-C or SIGTERM.

    Put something that ends TLS before it, and tell everybody where it is: see docs/WEBHOOKS.md.
    It spends nothing and asks no provider; polling goes on without it, only more slowly.
    """
    from flow_pipelines.cli.receiver import serve_webhooks

    serve_webhooks(host, port)
