"""The ledger as a Dagster resource."""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field, PrivateAttr

from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.resources.environment import setting

if TYPE_CHECKING:
    from flow_pipelines.ledger import RunLedger

VARIABLE = "FLOW_PIPELINES_LEDGER_URL"
FILE_NAME = "flow_pipelines_ledger.sqlite"


def default_ledger_url() -> str:
    """Return the SQLite file under `DAGSTER_HOME`.

    Raises: ConfigurationError without `DAGSTER_HOME`: Dagster then keeps its state in a temporary
    folder, and a ledger that vanishes would let everything be bought again.
    """
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        raise ConfigurationError(
            "DAGSTER_HOME is not set, so there is no lasting place for the run ledger: set it to "
            f"an absolute folder, or {VARIABLE} to a database (sqlite:///… or postgresql+psycopg://…)"
        )
    return f"sqlite:///{Path(home).resolve() / FILE_NAME}"


def leaves_this_host(instance: dg.DagsterInstance) -> bool:
    """Return whether the instance's run launcher may start runs on other machines.

    Only launchers that are known to stay are trusted: a new kind of launcher is refused the local
    file rather than given a ledger of its own on each machine.
    """
    from dagster._core.launcher import DefaultRunLauncher
    from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher

    return not isinstance(instance.run_launcher, DefaultRunLauncher | SyncInMemoryRunLauncher)


def is_file(url: str | None) -> bool:
    """Return whether a ledger's URL, or none at all, stands for a file on this machine."""
    return not url or url.startswith("sqlite")


_LOCAL_EXECUTORS = frozenset(
    executor.executor_creation_fn
    for executor in (
        dg.in_process_executor,
        dg.multiprocess_executor,
        dg.multi_or_in_process_executor,
    )
)


def _steps_stay(executor: dg.ExecutorDefinition) -> bool:
    """Return whether an executor is known to run steps on this machine, however it is named."""
    from dagster._core.executor.in_process import InProcessExecutor
    from dagster._core.executor.multiprocess import MultiprocessExecutor

    make = executor.executor_creation_fn
    if executor.name == "execute_in_process_executor" or make in _LOCAL_EXECUTORS:
        return True
    # What `Definitions` makes of an executor that is ready.
    given = executor.name == "__executor__" and make is not None
    return given and isinstance(make(None), InProcessExecutor | MultiprocessExecutor)  # type: ignore[arg-type,misc]


def _is_this_machine(host: str) -> bool:
    """Return whether every address of a host name is this machine's own."""
    from flow_pipelines.transport.addresses import is_loopback

    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in found:
            if is_loopback(str(address[0])):  # this machine's, also where IPv6 is off
                continue
            with socket.socket(family, kind, protocol) as trial:
                trial.bind(address)  # only a machine's own address can be bound
    except OSError:
        return False
    return True


class RunLedgerResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # stands for itself
    """The durable memory of what was bought, on SQLite or PostgreSQL."""

    url: str | None = Field(
        default=None,
        repr=False,
        description=(
            f"SQLAlchemy URL, SQLite or PostgreSQL. Default: {VARIABLE}, else {FILE_NAME} under "
            "DAGSTER_HOME. `?schema=`, `?upgrade=false` and libpq's options in it are the fields "
            "below; the command line goes by the variable alone."
        ),
    )
    # A resource has a method of that name.
    schema_: str | None = Field(
        default=None,
        alias="schema",
        description="PostgreSQL's schema with the ledger's tables. Default: the URL's, else as "
        "the role's search path has it.",
    )
    connect_args: dict[str, str] = Field(
        default_factory=dict,
        repr=False,
        description="Connection options of libpq, such as sslmode, sslrootcert or a password by "
        "`EnvVar`; they go before the URL's.",
    )
    upgrade: bool = Field(
        default=True,
        description="Whether opening it may create or upgrade its tables; false: only "
        "`flow-pipelines ledger upgrade` does. The URL's `upgrade=false` has the same effect.",
    )

    _elsewhere: str | None = PrivateAttr(default=None)
    """Why runs, steps or ticks may work on other machines than this one."""
    _ledger: "RunLedger | None" = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Note where runs are launched. Opens nothing, so a location without settings works."""
        instance = context.instance
        if instance is not None and leaves_this_host(instance):
            launcher = type(instance.run_launcher).__name__
            self._elsewhere = f"{launcher} may start runs on other machines"

    def teardown_after_execution(
        self,
        context: dg.InitResourceContext,  # noqa: ARG002 - Dagster's signature
    ) -> None:
        """Close the connections of a run or a tick; ticks come every few seconds."""
        if self._ledger is not None:
            self._ledger.close()

    def get_ledger(self) -> "RunLedger":
        """Open the ledger, creating or upgrading it where it may. The same one at every call.

        Raises: ConfigurationError, for a file where other machines would each make their own.
        """
        url = setting(self.url, VARIABLE)
        if self._elsewhere and is_file(url):
            raise ConfigurationError(
                f"{self._elsewhere}, each of which would have a ledger file of its own and buy "
                f"everything again: set {VARIABLE} to a PostgreSQL database"
            )
        if self._ledger is None:
            self._ledger = self._open(url or default_ledger_url())
        return self._ledger

    def of_step(
        self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext
    ) -> "RunLedger":
        """Open the ledger for a step, whose executor may have brought it here; see `get_ledger`."""
        executor = context.job_def.executor_def
        if not _steps_stay(executor):
            self._elsewhere = f"the executor {executor.name!r} may run steps on other machines"
        origin = context.run.remote_job_origin
        return self.of_location(origin and origin.repository_origin.code_location_origin)

    def of_location(self, origin: object) -> "RunLedger":
        """Open the ledger in a code location; see `get_ledger`."""
        # Only the origin of a code server that somebody else started has a host.
        host = getattr(origin, "host", None)
        if host and is_file(setting(self.url, VARIABLE)) and not _is_this_machine(host):
            self._elsewhere = f"the code server's name, {host}, stands for other machines"
        return self.get_ledger()

    def _open(self, url: str) -> "RunLedger":
        from flow_pipelines.ledger import open_ledger

        return open_ledger(
            url,
            schema=self.schema_,
            connect_args=self.connect_args,
            upgrade=None if self.upgrade else False,
        )
