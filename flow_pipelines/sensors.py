"""One sensor a provider: it polls provider runs, and asks for the Dagster runs that they need."""

import hashlib
import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

import dagster as dg

from flow_pipelines.assets.asked_again import runs_again
from flow_pipelines.assets.batch import (
    BATCH_TAG,
    COST_REPORT,
    GOES_ON_TAG,
    PROVIDER_TAG,
    RESOURCE_TAG,
    RUN_TAGS,
)
from flow_pipelines.assets.dead_runs import DeadRuns, is_watching
from flow_pipelines.assets.journal_rounds import compare_in_a_tick
from flow_pipelines.assets.last_night import (
    Expectation,
    Verdict,
    evaluation,
    expectation_of,
    judge_all,
)
from flow_pipelines.assets.observations import last_observed_tenth, observation
from flow_pipelines.assets.sensor_tick import Item, SensorCursor, TickReport
from flow_pipelines.assets.unlisted_runs import describe_unlisted_runs
from flow_pipelines.clock import Clock, SystemClock
from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.contract import LARGEST_SKEW
from flow_pipelines.ledger.records import Outstanding
from flow_pipelines.lifecycle import (
    NightProgress,
    Todo,
    agenda,
    batch_owner_message,
    serve_accounts,
)
from flow_pipelines.model import UNPARTITIONED, NightRecord
from flow_pipelines.model.errors import FlowPipelinesError
from flow_pipelines.resources.ports import OpenAccounts, open_accounts
from flow_pipelines.resources.provider import IN_A_TICK
from flow_pipelines.schedules import NIGHT_PRIORITY, PRIORITY_TAG

BUDGET_SECONDS = 40.0
"""Of one tick: Dagster ends it at 60 s, and what it then did would be done again."""
RESERVE_SECONDS = 8.0
"""Of the budget, kept for the ledger and for asking for runs."""
REPORT_EVERY = timedelta(minutes=10)
SENSOR_PRIORITY = "5"
"""In Dagster's run queue, of what completes a backfill, and of reports: short runs, which must not
wait until every night of the backfill was begun."""


def evaluate(context: dg.SensorEvaluationContext, provider: str) -> dg.SensorResult:
    """Evaluate the sensor of a provider once."""
    return _Tick(context, provider).evaluate()


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
    batches: dict[str, _SensedBatch] = {}
    if repository is None:
        return batches
    for node in repository.asset_graph.asset_nodes:
        is_images = len(node.key.path) > 1 and node.key.path[-1] == "images"
        if is_images and PROVIDER_TAG in node.tags and BATCH_TAG in node.tags:
            name, provider = node.tags[BATCH_TAG], node.tags[PROVIDER_TAG]
            batches[name] = _SensedBatch(
                name=name,
                provider=provider,
                resource=node.tags.get(RESOURCE_TAG, provider),
                partitions_def=node.partitions_def,
                expectation=expectation_of(repository.asset_graph, node, name),
            )
    return batches


class _Tick:
    """One evaluation of a sensor; safe to repeat, and to overlap with another."""

    def __init__(self, context: dg.SensorEvaluationContext, provider: str) -> None:
        """Read the cursor; the ledger and accounts are opened when they are needed."""
        self.context, self.provider = context, provider
        origin = context.code_location_origin
        self.location = None if origin is None else origin.location_name
        self.cursor = SensorCursor.read(context.cursor)
        self.report = TickReport()

    @cached_property
    def ledger(self) -> RunLedger:
        ledger: RunLedger = self.context.resources.run_ledger.of_location(
            self.context.code_location_origin
        )
        return ledger

    @property
    def clock(self) -> Clock:
        return self.ledger.clock

    def evaluate(self) -> dg.SensorResult:
        """Poll, then request the Dagster runs that nights need."""
        self.report.add(self._parts())
        return self.report.result(self.cursor)

    def _parts(self) -> Iterator[Item]:
        """Yield a wrong clock and other locations' batches, then run each part, even if one fails.

        Its clock is the ledger's: where that cannot be opened, the tick ends here, with one message
        instead of one from each part.
        """
        began = SystemClock().monotonic()
        clock = self.clock  # opens the ledger, which may wait for its database
        waited = SystemClock().monotonic() - began
        deadline = clock.monotonic() + BUDGET_SECONDS - RESERVE_SECONDS - waited
        defined = batches_of(self.context.repository_def)
        batches = {key: batch for key, batch in defined.items() if batch.provider == self.provider}
        skew = self.ledger.skew()
        if skew is not None and abs(skew) > LARGEST_SKEW:
            yield (
                f"This host's clock is {skew.total_seconds():+.0f} s off the ledger's database: "
                "schedules start by it. Let it be kept by NTP"
            )
        for name, owner in self._owners_elsewhere(batches).items():
            yield batch_owner_message(name, owner, str(self.location))
            del batches[name]
        self.report.add(self._compare())
        self.report.add(self._poll(batches, defined.keys(), deadline))
        self.report.add(self._again(batches))
        self.report.add(self._nights(batches))
        self.report.add(self._dead_runs(defined, batches))
        self.report.add(self._last_nights(batches))
        self.ledger.note_tick(self.provider, self.location)

    def _owners_elsewhere(self, batches: Collection[str]) -> Mapping[str, str]:
        """Return the batches of another code location: it has other keys and settings."""
        owners = self.ledger.batch_locations(batches)
        return {name: owner for name, owner in owners.items() if self.location not in {None, owner}}

    def _compare(self) -> Iterator[str]:
        """Import what an older copy of the ledger lacks, before any run is requested."""
        for line in compare_in_a_tick(self.cursor, self.clock.now(), lambda: self._accounts):
            self.context.log.warning(line)
            yield line

    def _poll(
        self, batches: Mapping[str, _SensedBatch], defined: Collection[str], deadline: float
    ) -> Iterator[str]:
        """Poll all runs that this code location has at the provider, of batches defined or not.

        With every account that they were sent with; also runs at providers without a sensor here.
        """
        accounts, ledger = self._accounts, self.ledger
        ledger.park_abandoned(location=self.location)
        outstanding = ledger.outstanding(location=self.location)
        waiting = [group for group in outstanding if self._serves(group.provider)]
        yield from self._closed_accounts(batches, waiting)
        polled = serve_accounts(
            accounts,
            waiting,
            # Two ticks may overlap when one was cut off; a claim is to keep them apart.
            owner=f"{self.context.sensor_name}/{uuid.uuid4().hex[:8]}",
            budget_seconds=deadline - self.clock.monotonic(),
            location=self.location,
            first=self.cursor.left_out,
        )
        self.cursor.left_out = polled.left_out
        yield from polled.errors
        if polled.unresolved:
            yield f"{polled.unresolved} unresolved submission(s): see `flow-pipelines resolve`"
        yield from describe_unlisted_runs(
            waiting,
            ledger.nights_besides(defined, location=self.location),
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

    def _closed_accounts(
        self, batches: Mapping[str, _SensedBatch], waiting: Sequence[Outstanding]
    ) -> Iterator[str]:
        """Yield why accounts of batches cannot be opened, before any run waits for them."""
        served = {group.resource for group in waiting}
        for resource in sorted({batch.resource for batch in batches.values()} - served):
            try:
                self._accounts.open(resource)
            except FlowPipelinesError as error:
                yield str(error)

    def _nights(self, batches: Mapping[str, _SensedBatch]) -> Iterator[Item]:
        """Yield the runs that nights need, how far they are, and the run of the cost report."""
        holds = self._holds(batches)
        held = {name for name, batch in batches.items() if batch.resource in holds}
        yield from holds.values()
        plan = agenda(self.ledger, self.clock, batches=batches, held=held)
        if plan.pause is not None:
            yield (
                f"submitting is paused by {plan.pause.who}: {plan.pause.why} "
                "(`flow-pipelines resume`)"
            )
        yield from plan.waiting
        under_way = {str(progress.night) for progress in plan.progress}
        self.cursor.observed = {
            night: last for night, last in self.cursor.observed.items() if night in under_way
        }
        for progress in plan.progress:
            yield from self._observe(progress, batches[progress.night.batch])
        for todo in plan.todos:
            yield _run_or_reason(todo, batches[todo.night.batch])
        yield from self._cost_report(plan.nights)

    def _again(self, batches: Mapping[str, _SensedBatch]) -> Iterator[Item]:
        """Yield the runs of nights that failed before they were in the ledger: it was away."""
        kinds = {name: batch.partitions_def is not None for name, batch in batches.items()}
        found = runs_again(self.context, self.provider, kinds, self.ledger, self.location)
        for request in found:
            key = request.partition_key or UNPARTITIONED
            named = {asset.path[0] for asset in request.asset_selection or ()}
            if all(_has_partition(batches[name], key) for name in named):
                yield request

    def _holds(self, batches: Mapping[str, _SensedBatch]) -> Mapping[str, str]:
        """Return the accounts that a 429 holds, each with a message."""
        holds: dict[str, str] = {}
        for resource in sorted({batch.resource for batch in batches.values()}):
            # An account that cannot be opened is reported by `_poll`.
            with suppress(FlowPipelinesError):
                until = self._accounts.open(resource).held_until()
                if until is not None:
                    holds[resource] = (
                        f"{resource}: nothing is sent before {until:%Y-%m-%d %H:%M:%S} UTC, as "
                        "the provider asked (HTTP 429)"
                    )
        return holds

    def _observe(
        self, progress: NightProgress, batch: _SensedBatch
    ) -> Iterator[dg.AssetObservation]:
        """Observe a night's progress, once for each tenth of it."""
        night, tenth = progress.night, progress.percent // 10
        key = None if batch.partitions_def is None else night.partition_key
        generation, observed = self.cursor.observed.get(str(night), (-1, 0))
        if generation != progress.generation:
            observed = 0
        if tenth > observed:
            observed = last_observed_tenth(self.context.instance, progress, key)
            if tenth > observed:
                yield observation(progress, key)
            observed = max(tenth, observed)
        self.cursor.observed[str(night)] = (progress.generation, observed)

    def _cost_report(self, records: Sequence[NightRecord]) -> Iterator[dg.RunRequest]:
        """Request the cost report after a change, once all is still or every ten minutes."""
        cursor, fingerprint, now = self.cursor, _fingerprint(records), self.clock.now()
        if fingerprint != cursor.fingerprint and cursor.changed_at is None:
            cursor.changed_at = now
        cursor.fingerprint = fingerprint
        if cursor.changed_at is None or self.report.run_requests:
            return
        if not records or now - cursor.changed_at >= REPORT_EVERY:
            key = f"cost_report/{now.isoformat(timespec='seconds')}"
            tags = {PRIORITY_TAG: SENSOR_PRIORITY}
            yield dg.RunRequest(run_key=key, asset_selection=[COST_REPORT], tags=tags)
            cursor.changed_at = None

    def _dead_runs(
        self, defined: Mapping[str, _SensedBatch], own: Collection[str]
    ) -> Iterator[str]:
        """Report runs whose host died as failed: they keep places that tonight needs."""
        repository = self.context.repository_def
        if not is_watching(self.cursor, self.clock.now()) or repository is None:
            return
        yield from DeadRuns(
            ledger=self.ledger,
            instance=self.context.instance,
            graph=repository.asset_graph,
            location=self.location,
            batches={name: batch.partitions_def for name, batch in defined.items()},
            own=own,
        ).end()

    def _last_nights(self, batches: Mapping[str, _SensedBatch]) -> Iterator[Item]:
        """Report whether each scheduled batch has its last night, when that has changed."""
        expected = [batch.expectation for batch in batches.values() if batch.expectation]
        for batch, verdict in judge_all(expected, self.ledger).items():
            yield from self._last_night(batch, verdict)

    def _last_night(self, batch: str, verdict: Verdict) -> Iterator[Item]:
        since = self.cursor.expected_since.setdefault(batch, self.clock.now())
        if verdict.due is None or not (verdict.passed or verdict.due.scheduled_at >= since):
            return
        if not verdict.passed:
            yield verdict.describe()
        outcome = f"{verdict.due.partition_key} {'there' if verdict.passed else 'missing'}"
        if self.cursor.last_nights.get(batch) != outcome:
            yield evaluation(batch, verdict)
            self.cursor.last_nights[batch] = outcome


def _run_or_reason(todo: Todo, batch: _SensedBatch) -> dg.RunRequest | str:
    key = todo.night.partition_key
    if not _has_partition(batch, key):
        # Requesting it would fail the whole tick, and every other night with it.
        return f"{todo.night} is no partition of {batch.name} any more"
    return run_request(todo, None if batch.partitions_def is None else key)


def _has_partition(batch: _SensedBatch, key: str) -> bool:
    if batch.partitions_def is None:
        return key == UNPARTITIONED
    return batch.partitions_def.has_partition_key(key)


def run_request(todo: Todo, partition_key: str | None) -> dg.RunRequest:
    """Ask for the Dagster run that a night needs; `partition_key` is None without partitions.

    The attempt in the run key makes it new: Dagster never starts a key twice, failed or not.
    """
    night = todo.night
    submits = todo.kind == "submit"
    assets = ["provider_runs"] if submits else ["images", "contact_sheet"]
    parts = (night.batch, night.partition_key, todo.generation, todo.kind, todo.revision)
    tags = {BATCH_TAG: night.batch, PRIORITY_TAG: NIGHT_PRIORITY, **RUN_TAGS}
    if submits:
        tags[GOES_ON_TAG] = "true"
    if todo.backfill_id:
        # Counts the run into the backfill that submitted: its page shows the night whole.
        tags |= {"dagster/backfill": todo.backfill_id, PRIORITY_TAG: SENSOR_PRIORITY}
    config: dict[str, Any] = {}
    if submits and todo.limit is not None:
        operation = f"{night.batch}__provider_runs"
        config = {"ops": {operation: {"config": {"limit": todo.limit}}}}
    return dg.RunRequest(
        run_key="/".join(str(part) for part in (*parts, todo.attempt)),
        asset_selection=[dg.AssetKey([night.batch, asset]) for asset in assets],
        partition_key=partition_key,
        run_config=config,
        tags=tags,
    )


def _fingerprint(records: Iterable[NightRecord]) -> str:
    revisions = [[*night.night, night.revision, night.collected_revision] for night in records]
    return hashlib.sha256(json.dumps(revisions).encode()).hexdigest()[:16] if revisions else ""
