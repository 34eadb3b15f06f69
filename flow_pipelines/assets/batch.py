"""A prompt batch as its Dagster objects share it, and what assets read from a running step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from flow_pipelines.model import UNPARTITIONED, BatchSettings, Night
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.model.wording import closed_in_words
from flow_pipelines.provider import ProviderProfile
from flow_pipelines.providers import profile

if TYPE_CHECKING:
    from flow_pipelines.lifecycle import Ports
    from flow_pipelines.lifecycle.archive import ArchivedNight
    from flow_pipelines.storage.contract import ImageStore

COST_REPORT = dg.AssetKey("cost_report")
PROVIDER_TAG = "flow_pipelines/provider"
BATCH_TAG = "flow_pipelines/batch"
RESOURCE_TAG = "flow_pipelines/resource"
GOES_ON_TAG = "flow_pipelines/goes_on"
"""Tag of the runs with which a sensor continues what somebody asked to buy before."""
_BACKFILL = "dagster/backfill"
_ROOT_BACKFILL = "dagster/root_backfill_id"
RUN_TAGS = {"dagster/retry_on_asset_or_op_failure": "false"}
"""Tags of the runs that we define: what failed in a step was retried there, or waits for a person,
so a retry of the whole run would only repeat it. A run that died is retried."""
_PARENT = "dagster/parent_run_id"
_RETRY_NUMBER = "dagster/retry_number"
_MOST_RETRIES = 50


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The settings of a batch with what only Dagster needs."""

    settings: BatchSettings
    partitions_def: dg.PartitionsDefinition[str] | None = None
    owners: Sequence[str] = ()
    """Of every asset of the batch: e-mail addresses, or `team:` with a name."""
    schedule: str | None = None
    """Cron expression in the time zone of the partitions; None: nothing is bought by itself."""
    deadline_seconds: float = 4 * 3600.0
    """From the schedule's time until a night has to be in the bucket."""
    table_faults: str | None = None
    """What was wrong with the prompt table when the location started, for people."""

    @property
    def name(self) -> str:
        """Return the batch's name, the first part of its asset keys."""
        return self.settings.name

    @property
    def tags(self) -> dict[str, str]:
        """Return the tags of its assets: sensors and people select by them."""
        return {
            BATCH_TAG: self.name,
            PROVIDER_TAG: self.settings.provider,
            RESOURCE_TAG: self.settings.resource,
        }

    @property
    def scheduled(self) -> tuple[str, dg.TimeWindowPartitionsDefinition] | None:
        """Return its cron expression and time partitions; None: nothing is bought by itself."""
        if self.schedule and isinstance(self.partitions_def, dg.TimeWindowPartitionsDefinition):
            return self.schedule, self.partitions_def
        return None

    @property
    def resource_keys(self) -> set[str]:
        """Return the resources that a step of this batch works with."""
        return {self.settings.resource, "image_store", "run_ledger"}

    @property
    def profile(self) -> ProviderProfile:
        """Return what is known of its provider."""
        return profile(self.settings.provider)

    @property
    def links(self) -> dict[str, dg.MetadataValue[Any]]:
        """Return where to read on about its provider; no link holds a key."""
        return {
            f"{self.settings.provider}_documentation": dg.MetadataValue.url(
                self.profile.documentation
            )
        }

    @property
    def planning_needs_key(self) -> bool:
        """Return whether even planning asks the provider: its workflow is no file of ours."""
        return not self.profile.capabilities.workflow_is_file

    def key(self, asset: str) -> dg.AssetKey:
        """Return the key of one of its assets."""
        return dg.AssetKey([self.name, asset])


def night_of(batch: Batch, context: dg.AssetExecutionContext) -> Night:
    """Return the night that this step works on.

    Raises: ConfigurationError for a run over a range of partitions: one run buys one night.
    """
    if batch.partitions_def is None:
        return Night(batch.name, UNPARTITIONED)
    if not context.has_partition_key:
        message = f"{batch.name}: choose one partition a run; a range is a backfill of single runs"
        raise ConfigurationError(message)
    return Night(batch.name, str(context.partition_key))


def ports_of(
    batch: Batch, context: dg.AssetExecutionContext, *, key_required: bool = True
) -> "Ports":
    """Open the ports of a step that plans, buys or stores, in the name of its code location.

    Raises: ConfigurationError, also when the batch is another location's; WrongLedger, when the
    bucket says that it is another ledger's; LedgerError, StorageError.
    """
    from flow_pipelines.lifecycle import claim_batch
    from flow_pipelines.resources.ports import open_ports, step_ledger
    from flow_pipelines.storage.receipts import refuse_other_ledger

    step_ledger(context)
    ports = open_ports(
        context.resources,
        batch.settings.resource,
        context.log.info,
        key_required=key_required,
        others=context.job_def.resource_defs,
    )
    claim_batch(ports.ledger, batch.name, location_of(context.run))
    refuse_other_ledger(ports.store, batch.name, ports.ledger.ledger_id)
    return ports


def place_of(batch: Batch, store: "ImageStore") -> dict[str, str]:
    """Return where the batch is in the bucket, as Dagster's own metadata has it.

    The folder of all its partitions: Dagster shows one value for the whole asset, the latest.
    """
    return {"dagster/uri": store.uri(store.key(batch.name))}


def closed_metadata(closed: "ArchivedNight | None") -> dict[str, dg.MetadataValue[Any]]:
    """Return what says that a night is closed, and where its rows are; nothing of an open one."""
    if closed is None:
        return {}
    words = f"{closed_in_words(str(closed.archive.night))}."
    return {"closed": dg.MetadataValue.text(words), "archive": dg.MetadataValue.path(closed.uri)}


def row_count(batch: Batch, rows: int) -> dict[str, int]:
    """Return how many rows a partition's table has, as Dagster's own metadata has it."""
    name = "row_count" if batch.partitions_def is None else "partition_row_count"
    return {f"dagster/{name}": rows}


def backfill_of(tags: Mapping[str, str]) -> str | None:
    """Return the backfill that a run belongs to."""
    return tags.get(_BACKFILL)


def requester_of(run: dg.DagsterRun) -> str:
    """Name who asked for a run: the first backfill, else the first run, of a chain of retries.

    Retries and re-executions copy a run's configuration; what it asks for once must be asked for
    under a name that they share.
    """
    backfill = run.tags.get(_ROOT_BACKFILL) or run.tags.get(_BACKFILL)
    return backfill or run.root_run_id or run.run_id


def retried_runs(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Sequence[str]:
    """Return the runs that Dagster's automatic retries led here from, the newest first.

    A re-execution by a person is no retry: it asks anew.
    """
    parents: list[str] = []
    current: dg.DagsterRun | None = run
    while current is not None and _RETRY_NUMBER in current.tags and len(parents) < _MOST_RETRIES:
        parent = current.parent_run_id or current.tags.get(_PARENT)
        if parent is None:
            break
        parents.append(parent)
        current = instance.get_run_by_id(parent)
    return parents


def asker_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """Return the run with which a person, schedule or backfill asked to buy; None: a sensor's run.

    An automatic retry asks for nothing new. A re-execution by a person does, also that of a
    sensor's run, whose tags it copies.
    """
    retried = retried_runs(instance, run)
    first = instance.get_run_by_id(retried[-1]) if retried else run
    if first is None:
        return retried[-1]
    by_a_sensor = GOES_ON_TAG in first.tags and first.parent_run_id is None
    return None if by_a_sensor else first.run_id


def location_of(run: dg.DagsterRun) -> str:
    """Return the code location that a run was started from; empty in process."""
    origin = run.remote_job_origin
    return origin.location_name if origin is not None else ""


def selected_with(context: dg.AssetExecutionContext, key: dg.AssetKey) -> bool:
    """Return whether the asset `key` is materialized by this very run too."""
    return key in context.job_def.asset_layer.selected_asset_keys
