"""The ledger as a Dagster resource."""

import os
from pathlib import Path

import dagster as dg
from dagster._core.launcher import DefaultRunLauncher
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from pydantic import Field, PrivateAttr

from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.resources.environment import setting
from flow_pipelines.transport.addresses import is_loopback

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
    return not isinstance(instance.run_launcher, DefaultRunLauncher | SyncInMemoryRunLauncher)


def is_file(url: str | None) -> bool:
    """Return whether a ledger's URL, or none at all, stands for a file on this machine."""
    return not url or url.startswith("sqlite")


_LOCAL_EXECUTORS = {"execute_in_process_executor"} | frozenset(
    executor.name
    for executor in (
        dg.in_process_executor,
        dg.multiprocess_executor,
        dg.multi_or_in_process_executor,
    )
)


class RunLedgerResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # stands for itself
    """The durable memory of what was bought, on SQLite or PostgreSQL."""

    url: str | None = Field(
        default=None,
        repr=False,
        description=(
            f"SQLAlchemy URL, SQLite or PostgreSQL. Default: {VARIABLE}, else {FILE_NAME} under "
            "DAGSTER_HOME."
        ),
    )

    _elsewhere: str | None = PrivateAttr(default=None)
    """Why runs, steps or ticks may work on other machines than this one."""
    _ledger: RunLedger | None = PrivateAttr(default=None)

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

    def get_clock(self) -> Clock:
        """Return the clock of the ledger, and of whatever works with it: they must agree.

        Raises: as `get_ledger`.
        """
        return self.get_ledger().clock

    def get_ledger(self) -> RunLedger:
        """Open the ledger, creating or upgrading a SQLite one. The same one at every call.

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
    ) -> RunLedger:
        """Open the ledger for a step, whose executor may have brought it here; see `get_ledger`."""
        executor = context.job_def.executor_def.name
        if executor not in _LOCAL_EXECUTORS:
            self._elsewhere = f"the executor {executor!r} may run steps on other machines"
        origin = context.run.remote_job_origin
        return self.of_location(origin and origin.repository_origin.code_location_origin)

    def of_location(self, origin: object) -> RunLedger:
        """Open the ledger in a code location; see `get_ledger`."""
        # Only the origin of a code server that somebody else started has a host.
        host = getattr(origin, "host", None)
        if host and not is_loopback(host):
            self._elsewhere = f"the code server {host} is reached by other machines"
        return self.get_ledger()

    def _open(self, url: str) -> RunLedger:
        return open_ledger(url)
