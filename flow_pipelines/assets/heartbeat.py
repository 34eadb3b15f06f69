"""The sign of life of a step: a thread that beats until the step ends, or its run was ended."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dagster as dg

from flow_pipelines.assets.batch import location_of
from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.heartbeats import BEAT_SECONDS
from flow_pipelines.ledger.records import Heartbeat
from flow_pipelines.lifecycle import collect_lease, submit_lease
from flow_pipelines.model import Night
from flow_pipelines.model.errors import LedgerBusy, LedgerError, RunEnded
from flow_pipelines.resources.ports import step_ledger
from flow_pipelines.resources.processes import this_host, this_process

_LONGEST_GOODBYE_SECONDS = 5.0
"""For the last beat to come back; it is a daemon's thread, and keeps no process alive."""

Context = dg.AssetExecutionContext | dg.AssetCheckExecutionContext


@contextmanager
def heartbeat(context: Context, night: Night | None = None) -> Iterator[RunLedger]:
    """Open the ledger for a step and beat in it until the block ends.

    When the Dagster run was ended meanwhile, by a person, by Dagster or by a sensor that found it
    dead, it loses its leases at once, so that nothing more is sent, and gets none any more.

    Raises: RunEnded, in place of what the block raises or returns then; else as `step_ledger`.
    """
    ledger = step_ledger(context)
    heart = _Heart(context, ledger, night)
    heart.start()
    try:
        yield ledger
        heart.look()
    except RunEnded:
        raise
    except Exception as error:
        heart.look(error)
        raise
    finally:
        heart.stop()


class _Heart:
    def __init__(self, context: Context, ledger: RunLedger, night: Night | None) -> None:
        self._context, self._ledger, self._night = context, ledger, night
        self._run_id = context.run.run_id
        self._beat = Heartbeat(
            run_id=self._run_id,
            step_key=context.get_step_execution_context().step.key,
            host=this_host(),
            process=this_process(),
            batch=night.batch if night else "",
            partition_key=night.partition_key if night else "",
            location=location_of(context.run),
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat. Raises: RunEnded, when the run has ended."""
        with suppress(LedgerBusy):  # the thread tries again
            self._ledger.beat(self._beat)
        self._thread.start()

    def stop(self) -> None:
        """Stop beating, and take the sign of life away."""
        self._stopped.set()
        self._thread.join(_LONGEST_GOODBYE_SECONDS)
        with suppress(LedgerError):  # a sensor finds what is left of a run that ended
            self._ledger.end_heartbeat(self._beat)

    def look(self, cause: Exception | None = None) -> None:
        """Raise RunEnded, when the run was ended; what keeps from telling is no error here."""
        try:
            self._once()
        except RunEnded as error:
            raise error from cause
        except Exception as error:  # noqa: BLE001 - storages of any kind
            self._context.log.info("no sign of life could be given: %s", error)

    def _go_on(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            try:
                self.look()
            except RunEnded as error:
                self._context.log.warning(str(error))
                return

    def _once(self) -> None:
        """Beat once, and end what somebody ended. Raises: RunEnded; LedgerError."""
        self._ledger.beat(self._beat)
        run = self._context.instance.get_run_by_id(self._run_id)
        if run is None or not run.is_finished:
            return
        self._ledger.end_run(self._run_id)
        if self._night is not None:
            self._ledger.release_lease(submit_lease(self._night), self._run_id)
            self._ledger.release_lease(collect_lease(self._night), self._run_id)
        self._ledger.check_run(self._run_id)
