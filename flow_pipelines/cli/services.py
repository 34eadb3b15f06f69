"""Dagster as a person would run it on one machine: code server, webserver and daemon."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from flow_pipelines.cli.home import Home
from flow_pipelines.cli.processes import Child, Children, ServiceFailed, free_port, listens
from flow_pipelines.cli.webserver import Webserver
from flow_pipelines.clock import Clock
from flow_pipelines.providers import provider_names

START_SECONDS = 90.0
"""How long a service may take to be ready; two busy cores need about 10."""

LOCATION = "flow_pipelines"
DEFINITIONS = "flow_pipelines.definitions"

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

    def __init__(
        self,
        home: Home,
        children: Children,
        environment: Mapping[str, str],
        clock: Clock,
        *,
        definitions: str = DEFINITIONS,
    ) -> None:
        self._home = home
        self._children = children
        self._environment = clean_environment(home, environment)
        self._clock = clock
        self._definitions = definitions
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
        module = ("-m", self._definitions, "--location-name", LOCATION)
        child = self._dagster("code-server", "dagster", *command, *module)
        self.wait_for(lambda: listens(self._code_port), "the code server")
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
        self.wait_for(webserver.loaded, "Dagster's webserver")
        return webserver

    def wait_for(
        self, ready: Callable[[], bool], what: str, *, seconds: float = START_SECONDS
    ) -> None:
        """Wait until `ready`. Raises: ServiceFailed, when a process dies or time is up."""
        deadline = self._clock.monotonic() + seconds
        while not ready():
            self._children.check()
            if self._clock.monotonic() > deadline:
                raise ServiceFailed(
                    f"{what} was not ready after {seconds:.0f} s; see {self._home.logs}"
                )
            self._clock.sleep(0.2)

    def _dagster(self, name: str, module: str, *arguments: str) -> Child:
        command = (sys.executable, "-m", module, *arguments)
        return self._children.start(name, command, self._environment)
