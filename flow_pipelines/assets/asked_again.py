"""Runs that ended before they bought anything since the ledger was away: requested again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import Any

import dagster as dg

from flow_pipelines.assets.batch import BATCH_TAG, RUN_TAGS, Batch, location_of
from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.contract import MAX_ATTEMPTS
from flow_pipelines.model import UNPARTITIONED, Night
from flow_pipelines.model.errors import LedgerBusy
from flow_pipelines.resources.failures import RETRIES, failures

LEDGER_AWAY_TAG = "flow_pipelines/ledger_away/"
"""With the provider's name: tag of a run of which a step gave up waiting for the ledger."""
ATTEMPT_TAG = "flow_pipelines/attempt"
_WAITING, _SETTLED = "waiting", "settled"
_PARTITION = "dagster/partition"
_KEPT = ("dagster/backfill", "dagster/root_backfill_id", "dagster/priority")
_ASSETS = ("prompts", "provider_runs", "images", "contact_sheet")
_LISTED, _LOOKED_AT = 200, 20
"""Failed runs of all code locations, and of this one, a tick: the others when these are settled."""
_LONGEST = timedelta(days=7)
"""Nobody expects a run that failed before to begin by itself."""
_PLANNED = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
_MADE = dg.DagsterEventType.ASSET_MATERIALIZATION


@contextmanager
def failures_before_buying(context: dg.AssetExecutionContext, batch: Batch) -> Iterator[None]:
    """Do as `failures`; where the last retry meets no ledger either, leave that on the run.

    No night is in the ledger then for which a sensor would request a run.
    """
    try:
        with failures():
            yield
    except dg.RetryRequested as error:
        if isinstance(error.__cause__, LedgerBusy) and context.retry_number >= RETRIES:
            tag = LEDGER_AWAY_TAG + batch.settings.provider
            context.instance.add_run_tags(context.run.run_id, {tag: _WAITING})
        raise


def runs_again(
    context: dg.SensorEvaluationContext,
    provider: str,
    batches: Mapping[str, bool],
    ledger: RunLedger,
    location: str | None,
) -> Iterator[dg.RunRequest]:
    """Yield requests for what failed runs were to do for `batches` (name → has partitions).

    Of this code location alone, where it has a name: others see to their own.

    Only for nights that were never begun: what a sensor, or a person, went on with stays theirs.
    The same request comes with each tick until its run is there.
    """
    instance, tag = context.instance, LEDGER_AWAY_TAG + provider
    waiting = dg.RunsFilter(
        tags={tag: _WAITING},
        statuses=[dg.DagsterRunStatus.FAILURE],
        created_after=ledger.clock.now() - _LONGEST,
    )
    found = instance.get_runs(waiting, limit=_LISTED)
    own = (run for run in found if location in {None, location_of(run)})
    for run in islice(own, _LOOKED_AT):
        assets = _left(instance, run, batches, ledger)
        key = f"ledger away/{run.run_id}"
        done = dg.RunsFilter(tags={"dagster/run_key": key})
        retried = dg.RunsFilter(tags={"dagster/parent_run_id": run.run_id})
        if assets and not any(instance.get_runs(known, limit=1) for known in (done, retried)):
            yield _request(run, key, assets)
        else:
            instance.add_run_tags(run.run_id, {tag: _SETTLED})


def _left(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    batches: Mapping[str, bool],
    ledger: RunLedger,
) -> list[dg.AssetKey]:
    """Return what a run was to make of nights that were never begun, and has not made."""
    if _attempt(run) >= MAX_ATTEMPTS:
        return []
    seen: dict[dg.DagsterEventType, set[dg.AssetKey]] = {_PLANNED: set(), _MADE: set()}
    for record in instance.get_records_for_run(run.run_id, of_type=set(seen)).records:
        event = record.event_log_entry.dagster_event
        if event is not None and event.asset_key is not None:
            seen[event.event_type].add(event.asset_key)
    left = seen[_PLANNED] - seen[_MADE]
    partition = run.tags.get(_PARTITION, UNPARTITIONED)
    fresh = [
        batch
        for batch, has_partitions in batches.items()
        if has_partitions is (_PARTITION in run.tags) and _unbegun(ledger, Night(batch, partition))
    ]
    wanted = [dg.AssetKey([batch, asset]) for batch in fresh for asset in _ASSETS]
    return [key for key in wanted if key in left]


def _unbegun(ledger: RunLedger, night: Night) -> bool:
    record = ledger.night(night)
    return record is None or record.marked_at is None


def _attempt(run: dg.DagsterRun) -> int:
    text = run.tags.get(ATTEMPT_TAG, "")
    return int(text) if text.isdecimal() else 0


def _request(run: dg.DagsterRun, key: str, assets: list[dg.AssetKey]) -> dg.RunRequest:
    operations = {"__".join(asset.path) for asset in assets}
    config: dict[str, Any] = {**run.run_config}
    if "ops" in config:
        given = config["ops"].items()
        config["ops"] = {name: value for name, value in given if name in operations}
    return dg.RunRequest(
        run_key=key,
        asset_selection=assets,
        partition_key=run.tags.get(_PARTITION),
        run_config=config,
        tags={
            **{name: run.tags[name] for name in _KEPT if name in run.tags},
            **RUN_TAGS,
            BATCH_TAG: assets[0].path[0],
            ATTEMPT_TAG: str(_attempt(run) + 1),
        },
    )
