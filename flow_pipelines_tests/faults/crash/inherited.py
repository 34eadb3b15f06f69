"""What children inherit ready-made, or each would compile every statement of the ledger again.

A child is a process as any other in all that it does; only its first steps are not its first.
"""

from __future__ import annotations

import functools
import gc
import threading

from flow_pipelines.ledger import connect, upgrading
from flow_pipelines.lifecycle import collect, plan_night, submit_night, wait_for_night
from flow_pipelines_tests.faults.crash.effects import Effects
from flow_pipelines_tests.faults.crash.harness import NIGHT, CrashHarness
from flow_pipelines_tests.faults.crash.night import by_sensors

_NAME = "warming"

# An engine holds the statements that it has compiled; those of one file share it, and its children.
for _module, _made_once in ((connect, "_make_engine"), (upgrading, "_config")):
    setattr(_module, _made_once, functools.cache(getattr(_module, _made_once)))


def warm_up(harness: CrashHarness) -> None:
    """Work on a night in this process, which is about to fork, and close what that opened."""
    harness.lay_out(1)
    harness.begin_anew()
    harness.control.reset()
    _work(harness)
    harness.s3.close()
    harness.forget(_NAME)
    assert threading.active_count() == 1, "one that forks must have no threads"
    gc.collect()
    # Looking for garbage writes to every object, and so copies all that is inherited.
    gc.freeze()
    gc.disable()


def _work(harness: CrashHarness) -> None:
    """Do all of a night but its tables: Arrow would start threads, which no fork inherits."""
    ports = harness.open_ports(_NAME, Effects(None, lambda _instant: None), guarded=False)
    settings = harness.settings()
    plan_night(settings, NIGHT.partition_key, ports)
    submit_night(settings, NIGHT, ports, owner=_NAME)
    wait_for_night(ports, NIGHT, owner=_NAME, wait_seconds=600)
    collect._store_outputs(NIGHT, ports)
    record = ports.ledger.night(NIGHT)
    assert record is not None
    ports.ledger.night_collected(NIGHT, record.revision)
    collect.summarize_night(ports.ledger, NIGHT)
    by_sensors(settings, ports, _NAME)
    ports.ledger.close()
