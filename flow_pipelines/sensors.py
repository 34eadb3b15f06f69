"""One sensor a provider: it asks after provider runs and for the Dagster runs that they need."""

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache

import dagster as dg

from flow_pipelines.assets.batch import BATCH_TAG, PROVIDER_TAG, RESOURCE_TAG, RUN_TAGS
from flow_pipelines.assets.cost_report import COST_REPORT
from flow_pipelines.assets.last_night import (
    Expectation,
    Verdict,
    evaluation,
    expectation_of,
    judge_all,
)
from flow_pipelines.assets.observations import observation, tenths_told
from flow_pipelines.assets.sensor_memory import SensorMemory
from flow_pipelines.clock import Clock
from flow_pipelines.lifecycle import (
    NightProgress,
    Todo,
    agenda,
    belongs_to_another,
    poll_due,
    recover,
)
from flow_pipelines.model import IN_FLIGHT, UNPARTITIONED, NightRecord
from flow_pipelines.model.errors import FlowPipelinesError
from flow_pipelines.resources.ports import open_ports
from flow_pipelines.resources.provider import IN_A_TICK
from flow_pipelines.schedules import NIGHT_PRIORITY, PRIORITY_TAG

MINIMUM_INTERVAL_SECONDS = 5
"""As often as a daemon looks: what has ended is to be found within seconds."""
BUDGET_SECONDS = 40.0
"""Of one tick: Dagster ends it at 60 s, and what it then did would be done again."""
RESERVE_SECONDS = 8.0
"""Of the budget, kept for the ledger and for asking for runs."""
REPORT_EVERY = timedelta(minutes=10)
SENSOR_PRIORITY = "5"
"""In Dagster's run queue, of what completes a backfill, and of reports: short runs, which must not
wait until every night of the backfill was begun."""
_SHOWN = 12


@cache
def provider_runs_sensor(provider: str, resource_keys: frozenset[str]) -> dg.SensorDefinition:
    """Make `<provider>_runs_sensor`, on by default, over every batch of that provider.

    `resource_keys` are the accounts that its batches use. The same arguments give the same
    object: Dagster takes one object from several batches, but not two of one name.
    """
    target = dg.AssetSelection.tag(PROVIDER_TAG, provider) | dg.AssetSelection.assets(COST_REPORT)

    @dg.sensor(
        name=f"{provider}_runs_sensor",
        target=target,
        minimum_interval_seconds=MINIMUM_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        required_resource_keys={*resource_keys, "image_store", "run_ledger"},
        description=(
            f"Polls provider runs at {provider} and asks for Dagster runs: to store what ended, to "
            "go on with a night that was cut short, to bring the cost report up to date."
        ),
    )
    def runs_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return _Tick(context, provider).result()

    return runs_sensor


@dataclass(frozen=True, kw_only=True)
class _SensedBatch:
    name: str
    resource: str
    partitions_def: dg.PartitionsDefinition[str] | None
    expectation: Expectation | None = None
    """What its schedule promises; None without one."""


def batches_of(
    repository: dg.RepositoryDefinition | None, provider: str
) -> Mapping[str, _SensedBatch]:
    """Give the batches of a provider in this code location, found by their tags."""
    found: dict[str, _SensedBatch] = {}
    if repository is None:
        return found
    for node in repository.asset_graph.asset_nodes:
        is_images = len(node.key.path) > 1 and node.key.path[-1] == "images"
        if is_images and node.tags.get(PROVIDER_TAG) == provider and BATCH_TAG in node.tags:
            name = node.tags[BATCH_TAG]
            resource = node.tags.get(RESOURCE_TAG, provider)
            found[name] = _SensedBatch(
                name=name,
                resource=resource,
                partitions_def=node.partitions_def,
                expectation=expectation_of(repository.asset_graph, node, name),
            )
    return found


@dataclass
class _Tick:
    """One evaluation; safe to repeat, and to overlap with another."""

    context: dg.SensorEvaluationContext
    provider: str
    requests: list[dg.RunRequest] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    events: list[dg.AssetObservation | dg.AssetCheckEvaluation] = field(default_factory=list)
    under_way: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def clock(self) -> Clock:
        clock: Clock = self.context.resources.run_ledger.get_clock()
        return clock

    def result(self) -> dg.SensorResult:
        batches = self._own(batches_of(self.context.repository_def, self.provider))
        memory = SensorMemory.read(self.context.cursor)
        self._work(batches, memory)
        memory.told = self.under_way
        self._report(batches, memory)
        self._last_nights(batches, memory)
        told = self.words[:_SHOWN] or ["nothing is waiting"]
        if len(self.words) > _SHOWN:
            told.append(f"… and {len(self.words) - _SHOWN} more")
        return dg.SensorResult(
            run_requests=self.requests,
            skip_reason=None if self.requests else "; ".join(told),
            cursor=memory.write(told),
            asset_events=self.events,
        )

    def _own(self, batches: Mapping[str, _SensedBatch]) -> Mapping[str, _SensedBatch]:
        """Leave out what another code location works on: it has other keys and other settings."""
        origin = self.context.code_location_origin
        if origin is None:
            return batches
        here = origin.location_name
        try:
            owners = self.context.resources.run_ledger.get_ledger().batch_locations(batches)
        except FlowPipelinesError as error:
            self.words.append(str(error))
            return {}
        foreign = {name: owner for name, owner in owners.items() if owner != here}
        self.words += [belongs_to_another(name, owner, here) for name, owner in foreign.items()]
        return {name: batch for name, batch in batches.items() if name not in foreign}

    def _work(self, batches: Mapping[str, _SensedBatch], memory: SensorMemory) -> None:
        """Work through the accounts; what is wrong with one does not stop the others."""
        accounts = sorted({batch.resource for batch in batches.values()})
        for account in accounts:
            mine = {n: batch for n, batch in batches.items() if batch.resource == account}
            try:
                self._account(account, mine, BUDGET_SECONDS / len(accounts), memory)
            except FlowPipelinesError as error:
                self.words.append(f"{account}: {error}")

    def _account(
        self,
        account: str,
        batches: Mapping[str, _SensedBatch],
        budget_seconds: float,
        memory: SensorMemory,
    ) -> None:
        deadline = self.clock.monotonic() + budget_seconds - RESERVE_SECONDS
        ports = open_ports(
            self.context.resources,
            account,
            self.context.log.info,
            patience=IN_A_TICK,
        )
        recovered = recover(ports, batches=batches, resource=account)
        polled = poll_due(
            ports,
            batches=batches,
            # Two ticks may overlap when one was cut off; a claim is to keep them apart.
            owner=f"{self.context.sensor_name}/{uuid.uuid4().hex[:8]}",
            budget_seconds=max(deadline - self.clock.monotonic(), 0.0),
        )
        self.words += polled.errors
        if recovered.waiting:
            self.words.append(
                f"{recovered.waiting} unresolved submission(s): see `flow-pipelines resolve`"
            )
        pause = ports.ledger.paused()
        if pause is not None:
            self.words.append(
                f"submitting is paused by {pause.who}: {pause.why} (`flow-pipelines resume`)"
            )
        found = agenda(ports.ledger, ports.clock, batches=batches)
        self.words += found.waiting
        for progress in found.progress:
            self._observe(progress, batches[progress.night.batch], memory)
        for todo in found.todos:
            self._request(todo, batches[todo.night.batch])

    def _observe(self, progress: NightProgress, batch: _SensedBatch, memory: SensorMemory) -> None:
        """Tell how far a night has come, once for each tenth of it."""
        night, tenth = progress.night, progress.percent // 10
        key = None if batch.partitions_def is None else night.partition_key
        generation, told = memory.told.get(str(night), (-1, 0))
        if generation != progress.generation:
            told = 0
        if tenth > told:
            told = tenths_told(self.context.instance, progress, key)
            if tenth > told:
                self.events.append(observation(progress, key))
            told = max(tenth, told)
        self.under_way[str(night)] = (progress.generation, told)

    def _request(self, todo: Todo, batch: _SensedBatch) -> None:
        key = todo.night.partition_key
        if not _has_partition(batch, key):
            # Asking for it would fail the whole tick, and every other night with it.
            self.words.append(f"{todo.night} is no partition of {batch.name} any more")
            return
        self.requests.append(run_request(todo, None if batch.partitions_def is None else key))

    def _report(self, batches: Mapping[str, _SensedBatch], memory: SensorMemory) -> None:
        """Ask for the cost report after a change, once all is still or every ten minutes."""
        try:
            ledger = self.context.resources.run_ledger.get_ledger()
            records = ledger.nights_to_do(batches)
        except FlowPipelinesError as error:
            self.words.append(str(error))
            return
        self._strangers(records, batches)
        seen, now = _fingerprint(records), self.clock.now()
        if seen != memory.seen and memory.changed_at is None:
            memory.changed_at = now
        memory.seen = seen
        if memory.changed_at is None or self.requests:
            return
        if not records or now - memory.changed_at >= REPORT_EVERY:
            key = f"cost_report/{now.isoformat(timespec='seconds')}"
            tags = {PRIORITY_TAG: SENSOR_PRIORITY}
            report = dg.RunRequest(run_key=key, asset_selection=[COST_REPORT], tags=tags)
            self.requests.append(report)
            memory.changed_at = None

    def _last_nights(self, batches: Mapping[str, _SensedBatch], memory: SensorMemory) -> None:
        """Report whether each scheduled batch has its last night, when that has changed."""
        expected = [batch.expectation for batch in batches.values() if batch.expectation]
        try:
            ledger = self.context.resources.run_ledger.get_ledger()
            for batch, verdict in judge_all(expected, ledger, self.clock).items():
                self._last_night(batch, verdict, memory)
        except FlowPipelinesError as error:
            self.words.append(str(error))

    def _last_night(self, batch: str, verdict: Verdict, memory: SensorMemory) -> None:
        since = memory.expected_since.setdefault(batch, self.clock.now())
        if verdict.due is None or not (verdict.passed or verdict.due.scheduled_at >= since):
            return
        if not verdict.passed:
            self.words.append(verdict.in_words)
        told = f"{verdict.due.partition_key} {'there' if verdict.passed else 'missing'}"
        if memory.last_nights.get(batch) != told:
            self.events.append(evaluation(batch, verdict))
            memory.last_nights[batch] = told

    def _strangers(
        self, records: Iterable[NightRecord], batches: Mapping[str, _SensedBatch]
    ) -> None:
        """Tell of runs that are asked after with another account than the one that bought them."""
        for record in records:
            present = batches[record.night.batch].resource
            in_flight = sum(record.counts.get(state, 0) for state in IN_FLIGHT)
            if in_flight and record.resource != present:
                self.words.append(
                    f"{record.night}: {in_flight} run(s) were bought with the resource "
                    f"{record.resource!r} and are asked after with {present!r}; if that is another "
                    f"account, go back to {record.resource!r} until they are collected"
                )


def _has_partition(batch: _SensedBatch, key: str) -> bool:
    if batch.partitions_def is None:
        return key == UNPARTITIONED
    return batch.partitions_def.has_partition_key(key)


def run_request(todo: Todo, partition_key: str | None) -> dg.RunRequest:
    """Ask for the Dagster run that a night needs; `partition_key` is None without partitions.

    The attempt in the run key makes it new: Dagster never starts a key twice, failed or not.
    """
    night = todo.night
    name = "provider_runs" if todo.kind == "submit" else "images"
    assets = [name] if todo.kind == "submit" else [name, "contact_sheet"]
    parts = (night.batch, night.partition_key, todo.generation, todo.kind, todo.revision)
    tags = {BATCH_TAG: night.batch, PRIORITY_TAG: NIGHT_PRIORITY, **RUN_TAGS}
    if todo.backfill_id:
        # Counts the run into the backfill that submitted: its page shows the night whole.
        tags |= {"dagster/backfill": todo.backfill_id, PRIORITY_TAG: SENSOR_PRIORITY}
    config = {}
    if todo.limit is not None:
        operation = f"{night.batch}__provider_runs"
        config = {"ops": {operation: {"config": {"limit": todo.limit}}}}
    return dg.RunRequest(
        run_key="/".join(str(part) for part in (*parts, todo.attempt)),
        asset_selection=[dg.AssetKey([night.batch, asset]) for asset in assets],
        partition_key=partition_key,
        run_config=config if todo.kind == "submit" else {},
        tags=tags,
    )


def _fingerprint(records: Iterable[NightRecord]) -> str:
    told = [[*record.night, record.revision, record.collected_revision] for record in records]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16] if told else ""
