"""Commands that serve on this machine: demo and sandbox, which need no account, and webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from flow_pipelines.model.errors import ConfigurationError

LOOPBACK = "127.0.0.1"
_FILE = click.Path(dir_okay=False, path_type=Path)
_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@contextmanager
def _needs_sandbox() -> Iterator[None]:
    """Raise ConfigurationError for a package of the extra `sandbox` that is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("flow_pipelines"):
            raise
        raise ConfigurationError(
            f"the stand-ins need {error.name}, which is not installed: "
            "pip install 'flow-pipelines[sandbox]'"
        ) from error


@click.command()
@click.option("--exit", "leave", is_flag=True, help="End when the night is in the bucket.")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".demo"),
    show_default=True,
    help="Folder that remembers what the demo bought.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Of the UI; 3000 or any free one.")
def demo(*, leave: bool, home: Path, port: int | None) -> None:
    """Buy last night's pictures from stand-ins of the providers, in a real Dagster.

    With --exit, exit code 0 means that there are pictures and none failed.
    """
    with _needs_sandbox():
        from flow_pipelines.cli.demo import run_demo

    raise SystemExit(run_demo(home, port=port, leave=leave))


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Of the stand-ins; 0: any free one.")
@click.option("--bucket-port", type=click.IntRange(0, 65535), help="Of the bucket; likewise.")
@click.option(
    "--folder",
    "bucket_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the bucket's objects here as files; without it they go with the process.",
)
@click.option("--host", default=LOOPBACK, show_default=True, help="Address or name to listen on.")
@click.option(
    "--https/--http",
    default=None,
    help="What the stand-ins speak. Default: https, but http where only this machine gets there.",
)
@click.option(
    "--certificate",
    type=_FILE,
    help="Of the https, with --key. Alone: where to write the self-signed one that is made.",
)
@click.option("--key", type=_EXISTING, help="Of the certificate.")
@click.option("--median-seconds", type=click.FloatRange(0.01), default=8.0, show_default=True)
@click.option("--failure-rate", type=click.FloatRange(0, 1), default=0.0, show_default=True)
@click.option("--tell", type=click.Path(path_type=Path), hidden=True)
def sandbox(
    *,
    https: bool | None,
    certificate: Path | None,
    key: Path | None,
    median_seconds: float,
    failure_rate: float,
    **places: Any,
) -> None:
    """Serve stand-ins of the providers and a local bucket until Ctrl-C.

    Prints the variables that lead a client to them, in https also to the certificate to trust.
    Provider runs take --median-seconds, and --failure-rate of them fail.
    """
    from flow_pipelines.transport.addresses import is_loopback

    if https is None:
        https = bool(certificate or key) or not is_loopback(places["host"])
    _check_certificate(certificate, key, https=https)
    with _needs_sandbox():
        from flow_pipelines.cli.services import serve_sandbox
        from flow_pipelines.sandbox.settings import Tuning

    tuning = Tuning(median_seconds=median_seconds, failure_rate=failure_rate)
    serve_sandbox(https=https, certificate=certificate, key=key, tuning=tuning, **places)


def _check_certificate(certificate: Path | None, key: Path | None, *, https: bool) -> None:
    if (certificate or key) and not https:
        raise ConfigurationError("--certificate and --key are for https")
    if key and not (certificate and certificate.exists()):
        raise ConfigurationError("--key needs the --certificate that it belongs to")


PORT = 8700


@click.command()
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True)
def webhooks(*, host: str, port: int) -> None:
    """Receive what providers tell by themselves, until Ctrl-C or SIGTERM.

    Put something that ends TLS before it, and tell everybody where it is: see docs/WEBHOOKS.md.
    It spends nothing and asks no provider; polling goes on without it, only more slowly.
    """
    from flow_pipelines.cli.receiver import serve_webhooks

    serve_webhooks(host, port)
