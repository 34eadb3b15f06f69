"""One sensor a provider: it polls provider runs, and asks for the Dagster runs that they need."""

import hashlib
import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, cached_property

import dagster as dg

from flow_pipelines.assets.batch import (
    BATCH_TAG,
    GOES_ON_TAG,
    PROVIDER_TAG,
    RESOURCE_TAG,
    RUN_TAGS,
)
from flow_pipelines.assets.cost_report import COST_REPORT
from flow_pipelines.assets.journal_rounds import compare_in_a_tick
from flow_pipelines.assets.last_night import (
    Expectation,
    Verdict,
    evaluation,
    expectation_of,
    judge_all,
)
from flow_pipelines.assets.observations import observation, tenths_told
from flow_pipelines.assets.sensor_memory import SensorMemory
from flow_pipelines.assets.strays import tell_strays
from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.records import Outstanding
from flow_pipelines.lifecycle import (
    NightProgress,
    Todo,
    agenda,
    belongs_to_another,
    serve_accounts,
)
from flow_pipelines.model import UNPARTITIONED, NightRecord
from flow_pipelines.model.errors import FlowPipelinesError
from flow_pipelines.resources.ports import OpenAccounts, open_accounts
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
            f"Polls every provider run at {provider} of this code location and asks for Dagster "
            "runs: to store what ended, to go on with a night that was cut short, to bring the "
            "cost report up to date."
        ),
    )
    def runs_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return _Tick(context, provider).result()

    return runs_sensor


@dataclass(frozen=True, kw_only=True)
class _SensedBatch:
    name: str
    provider: str
    resource: str
    partitions_def: dg.PartitionsDefinition[str] | None
    expectation: Expectation | None = None
    """What its schedule promises; None without one."""


def batches_of(repository: dg.RepositoryDefinition | None) -> Mapping[str, _SensedBatch]:
    """Return the batches of this code location, found by their tags."""
    found: dict[str, _SensedBatch] = {}
    if repository is None:
        return found
    for node in repository.asset_graph.asset_nodes:
        is_images = len(node.key.path) > 1 and node.key.path[-1] == "images"
        if is_images and PROVIDER_TAG in node.tags and BATCH_TAG in node.tags:
            name, provider = node.tags[BATCH_TAG], node.tags[PROVIDER_TAG]
            found[name] = _SensedBatch(
                name=name,
                provider=provider,
                resource=node.tags.get(RESOURCE_TAG, provider),
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

    @property
    def location(self) -> str | None:
        """The code location that this tick is of; None in process."""
        origin = self.context.code_location_origin
        return None if origin is None else origin.location_name

    def result(self) -> dg.SensorResult:
        memory = SensorMemory.read(self.context.cursor)
        with self._telling():
            self._work(memory)
        told = self.words[:_SHOWN] or ["nothing is waiting"]
        if len(self.words) > _SHOWN:
            told.append(f"… and {len(self.words) - _SHOWN} more")
        return dg.SensorResult(
            run_requests=self.requests,
            skip_reason=None if self.requests else "; ".join(told),
            cursor=memory.write(told),
            asset_events=self.events,
        )

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Report the error of one part of the tick as text; the other parts go on."""
        try:
            yield
        except FlowPipelinesError as error:
            self.words.append(str(error))

    def _work(self, memory: SensorMemory) -> None:
        deadline = self.clock.monotonic() + BUDGET_SECONDS - RESERVE_SECONDS
        ledger: RunLedger = self.context.resources.run_ledger.get_ledger()
        defined = batches_of(self.context.repository_def)
        batches = self._own(defined, ledger)
        with self._telling():
            self._compare(memory)
        with self._telling():
            self._poll(batches, defined.keys(), deadline)
        with self._telling():
            self._nights(ledger, batches, memory)
        memory.told = self.under_way
        with self._telling():
            self._last_nights(ledger, batches, memory)

    def _compare(self, memory: SensorMemory) -> None:
        """Take in what an older copy of the ledger lacks, before anything is asked for."""
        for line in compare_in_a_tick(memory, self.clock.now(), lambda: self._accounts):
            self.context.log.warning(line)
            self.words.append(line)

    def _own(
        self, defined: Mapping[str, _SensedBatch], ledger: RunLedger
    ) -> Mapping[str, _SensedBatch]:
        """Leave out what another code location works on: it has other keys and other settings."""
        mine = {name: one for name, one in defined.items() if one.provider == self.provider}
        here = self.location
        if here is None:
            return mine
        owners = ledger.batch_locations(mine)
        foreign = {name: owner for name, owner in owners.items() if owner != here}
        self.words += [belongs_to_another(name, owner, here) for name, owner in foreign.items()]
        return {name: batch for name, batch in mine.items() if name not in foreign}

    def _poll(
        self, batches: Mapping[str, _SensedBatch], defined: Collection[str], deadline: float
    ) -> None:
        """Poll everything that this code location has at the provider, of batches defined or not.

        Of all accounts that it was sent with; and what is at providers that no sensor is left for.
        """
        accounts = self._accounts
        ledger, here = accounts.ledger, self.location
        ledger.park_abandoned(location=here)
        outstanding = ledger.outstanding(location=here)
        waiting = [one for one in outstanding if self._serves(one.provider)]
        self._check(accounts, batches, waiting)
        done = serve_accounts(
            accounts,
            waiting,
            # Two ticks may overlap when one was cut off; a claim is to keep them apart.
            owner=f"{self.context.sensor_name}/{uuid.uuid4().hex[:8]}",
            budget_seconds=deadline - self.clock.monotonic(),
            location=here,
        )
        self.words += done.problems
        if done.unresolved:
            self.words.append(
                f"{done.unresolved} unresolved submission(s): see `flow-pipelines resolve`"
            )
        self.words += tell_strays(
            waiting,
            ledger.nights_besides(defined, location=here),
            batches=batches,
            defined=defined,
            serves=self._serves,
        )

    @cached_property
    def _accounts(self) -> OpenAccounts:
        repository = self.context.repository_def
        return open_accounts(
            self.context.resources,
            self.context.log.info,
            patience=IN_A_TICK,
            others=repository.get_top_level_resources() if repository else None,
        )

    def _serves(self, provider: str) -> bool:
        """Return whether this sensor polls a provider: its own, or one that has no sensor left."""
        repository = self.context.repository_def
        if provider == self.provider or repository is None:
            return provider == self.provider
        return not repository.has_sensor_def(f"{provider}_runs_sensor")

    def _check(
        self,
        accounts: OpenAccounts,
        batches: Mapping[str, _SensedBatch],
        waiting: Sequence[Outstanding],
    ) -> None:
        """Report accounts of batches that cannot be opened, before any run waits for them."""
        served = {one.resource for one in waiting}
        for resource in sorted({batch.resource for batch in batches.values()} - served):
            with self._telling():
                accounts.open(resource)

    def _nights(
        self, ledger: RunLedger, batches: Mapping[str, _SensedBatch], memory: SensorMemory
    ) -> None:
        """Ask for the runs that nights need, and for the cost report."""
        found = agenda(ledger, self.clock, batches=batches, held=self._held(batches))
        if found.pause is not None:
            self.words.append(
                f"submitting is paused by {found.pause.who}: {found.pause.why} "
                "(`flow-pipelines resume`)"
            )
        self.words += found.waiting
        for progress in found.progress:
            self._observe(progress, batches[progress.night.batch], memory)
        for todo in found.todos:
            self._request(todo, batches[todo.night.batch])
        self._report(found.nights, memory)

    def _held(self, batches: Mapping[str, _SensedBatch]) -> Collection[str]:
        """Return, and tell, which batches have an account that a 429 holds."""
        held: set[str] = set()
        for resource in sorted({batch.resource for batch in batches.values()}):
            # What is wrong with an account is told by whoever polls with it.
            with suppress(FlowPipelinesError):
                until = self._accounts.open(resource).held_until()
                if until is not None:
                    held |= {name for name, one in batches.items() if one.resource == resource}
                    self.words.append(
                        f"{resource}: nothing is sent before {until:%Y-%m-%d %H:%M:%S} UTC, as "
                        "the provider asked (HTTP 429)"
                    )
        return held

    def _observe(self, progress: NightProgress, batch: _SensedBatch, memory: SensorMemory) -> None:
        """Emit an observation of a night's progress, once for each tenth of it."""
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

    def _report(self, records: Sequence[NightRecord], memory: SensorMemory) -> None:
        """Ask for the cost report after a change, once all is still or every ten minutes."""
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

    def _last_nights(
        self, ledger: RunLedger, batches: Mapping[str, _SensedBatch], memory: SensorMemory
    ) -> None:
        """Report whether each scheduled batch has its last night, when that has changed."""
        expected = [batch.expectation for batch in batches.values() if batch.expectation]
        for batch, verdict in judge_all(expected, ledger, self.clock).items():
            self._last_night(batch, verdict, memory)

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
    if todo.kind == "submit":
        tags[GOES_ON_TAG] = "true"
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
