"""What runs on one machine for a demo: the sandbox, and Dagster's server, webserver and daemon."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from flow_pipelines.cli.home import Home
from flow_pipelines.cli.processes import Child, Children, ServiceFailed, free_port, listens
from flow_pipelines.cli.webserver import Webserver
from flow_pipelines.providers import provider_names
from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.server import PortTaken, Sandbox, serve
from flow_pipelines.sandbox.settings import (
    DEFAULT_BUCKET_PORT,
    DEFAULT_PORT,
    SandboxSettings,
)
from flow_pipelines.transport.addresses import is_loopback

SANDBOX_SECONDS = 30.0
START_SECONDS = 90.0
"""How long a service of Dagster may take to be ready; two busy cores need about 10."""

LOCATION = "flow_pipelines"
DEFINITIONS = "flow_pipelines.definitions"


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
    *, port: int | None, bucket_port: int | None, tell: Path | None, **others: Any
) -> None:
    """Serve until SIGINT or SIGTERM. A port that was not asked for gives way to a free one.

    `tell` is written once requests are answered: JSON with `url` and `environment`. `others` are
    further fields of `SandboxSettings`.
    """
    settings = SandboxSettings(
        port=free_port(DEFAULT_PORT) if port is None else port,
        bucket_port=free_port(DEFAULT_BUCKET_PORT) if bucket_port is None else bucket_port,
        **others,
    )

    def announce(sandbox: Sandbox) -> None:
        if tell is not None:
            _write_whole(tell, {"url": sandbox.url, "environment": sandbox.environment()})
        click.echo(f"# The sandbox answers at {sandbox.url}; Ctrl-C ends it. To use it:")
        if not is_loopback(sandbox.name):
            click.echo("# Whoever reaches this machine can read, write and delete in its bucket.")
        for name, value in sandbox.environment().items():
            click.echo(f"export {name}={value}")

    try:
        serve(settings, announce)
    except PortTaken as error:
        raise ServiceFailed(str(error)) from error


def start_sandbox(
    home: Home, children: Children, environment: Mapping[str, str], *arguments: str
) -> RunningSandbox:
    """Start a sandbox over the home's bucket and wait until it answers. Raises: ServiceFailed."""
    announced = home.root / "sandbox.json"
    announced.unlink(missing_ok=True)
    command = [sys.executable, "-m", "flow_pipelines.cli", "sandbox"]
    command += ["--folder", str(home.bucket), "--tell", str(announced), *arguments]
    children.start("sandbox", command, environment)
    children.wait_for(announced.exists, "the sandbox", seconds=SANDBOX_SECONDS)
    return RunningSandbox(**json.loads(announced.read_text(encoding="utf-8")))


def _write_whole(path: Path, document: object) -> None:
    """Write a file that a reader sees either not at all or complete."""
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(document), encoding="utf-8")
    draft.rename(path)


_OTHERS = (
    "AWS_",
    "DAGSTER_",
    "FLOW_PIPELINES_",
    "PYTHONPATH",
    *(f"{name.upper()}_" for name in provider_names()),
)
"""Variables that would let a real account, bucket or instance slip into a demo."""


def clean_environment(home: Home, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's environment without anything that could lead to a real account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
    return {
        **kept,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "DAGSTER_HOME": str(home.dagster.resolve()),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PYTHONUNBUFFERED": "1",
        **extra,
    }


class DagsterServices:
    """The three processes of one Dagster, over one home. `children` stops them."""

    def __init__(self, home: Home, children: Children, environment: Mapping[str, str]) -> None:
        self._home, self._children = home, children
        self._environment = clean_environment(home, environment)
        self._code_port = free_port()

    def start(self, port: int | None = None) -> Webserver:
        """Start all three and wait until the UI answers on `port` or, if taken, another one."""
        self.start_code_server()
        self.start_daemon()
        return self.start_webserver(port)

    def start_code_server(self) -> Child:
        """Start the process that holds the definitions and starts the run workers."""
        self._home.write_workspace(self._code_port, LOCATION)
        command = ("api", "grpc", "-h", "127.0.0.1", "-p", str(self._code_port))
        module = ("-m", DEFINITIONS, "--location-name", LOCATION)
        child = self._dagster("code-server", "dagster", *command, *module)
        ready = partial(listens, self._code_port)
        self._children.wait_for(ready, "the code server", seconds=START_SECONDS)
        return child

    def start_daemon(self) -> Child:
        """Start schedules, sensors, backfills and the run queue."""
        workspace = str(self._home.workspace)
        return self._dagster("daemon", "dagster._daemon", "run", "-w", workspace)

    def start_webserver(self, port: int | None = None) -> Webserver:
        """Start the UI and wait until it knows the definitions."""
        webserver = Webserver(f"http://127.0.0.1:{free_port(port)}")
        self._dagster(
            "webserver",
            "dagster_webserver",
            *("-w", str(self._home.workspace)),
            *("-h", "127.0.0.1", "-p", webserver.url.rpartition(":")[2]),
        )
        self._children.wait_for(webserver.loaded, "Dagster's webserver", seconds=START_SECONDS)
        return webserver

    def _dagster(self, name: str, module: str, *arguments: str) -> Child:
        command = (sys.executable, "-m", module, *arguments)
        return self._children.start(name, command, self._environment)
