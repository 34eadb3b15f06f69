"""The sandbox as a process: in the foreground for people, as a child for the demo."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from flow_pipelines.cli.home import Home
from flow_pipelines.cli.processes import Children, ServiceFailed, free_port
from flow_pipelines.clock import Clock
from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.server import PortTaken, Sandbox, serve
from flow_pipelines.sandbox.settings import (
    DEFAULT_BUCKET_PORT,
    DEFAULT_PORT,
    SandboxSettings,
    Tuning,
)

START_SECONDS = 30.0


@dataclass(frozen=True)
class RunningSandbox:
    """A sandbox in another process."""

    url: str
    environment: Mapping[str, str]
    """What leads a client to it."""

    @property
    def control(self) -> ControlClient:
        """A way to read its meters and to make it misbehave."""
        return ControlClient(self.url)


def serve_sandbox(
    *,
    port: int | None,
    bucket_port: int | None,
    folder: Path | None,
    tell: Path | None = None,
    tuning: Tuning | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. A port that was not asked for gives way to a free one.

    `tell` is written once requests are answered: JSON with `url` and `environment`.
    """
    settings = SandboxSettings(
        port=free_port(DEFAULT_PORT) if port is None else port,
        bucket_port=free_port(DEFAULT_BUCKET_PORT) if bucket_port is None else bucket_port,
        bucket_folder=folder,
        tuning=tuning or Tuning(),
    )

    def announce(sandbox: Sandbox) -> None:
        if tell is not None:
            _write_whole(tell, {"url": sandbox.url, "environment": sandbox.environment()})
        click.echo(f"# The sandbox answers at {sandbox.url}; Ctrl-C ends it. To use it:")
        for name, value in sandbox.environment().items():
            click.echo(f"export {name}={value}")

    try:
        serve(settings, announce)
    except PortTaken as error:
        raise ServiceFailed(str(error)) from error


def start_sandbox(
    home: Home, children: Children, environment: Mapping[str, str], clock: Clock, *arguments: str
) -> RunningSandbox:
    """Start a sandbox over the home's bucket and wait until it answers. Raises: ServiceFailed."""
    told = home.root / "sandbox.json"
    told.unlink(missing_ok=True)
    command = [sys.executable, "-m", "flow_pipelines.cli", "sandbox"]
    command += ["--folder", str(home.bucket), "--tell", str(told), *arguments]
    child = children.start("sandbox", command, environment)
    deadline = clock.monotonic() + START_SECONDS
    while not told.exists():
        child.check()
        if clock.monotonic() > deadline:
            raise ServiceFailed(f"The sandbox was not ready in time; see {child.log}")
        clock.sleep(0.1)
    return RunningSandbox(**json.loads(told.read_text(encoding="utf-8")))


def _write_whole(path: Path, document: object) -> None:
    """Write a file that a reader sees either not at all or complete."""
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(document), encoding="utf-8")
    draft.rename(path)
