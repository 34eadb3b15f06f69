"""`last_night_exists`: the check of a scheduled batch that also speaks when nothing ever ran.

Dagster's own freshness policies look at the newest materialization of any partition, so a backfill
of last year would keep a batch fresh; its partition freshness checks count a materialization that
stored half a night. This one asks the ledger for the very night that the schedule was due to buy.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from flow_pipelines.assets.batch import Batch
from flow_pipelines.model import Night
from flow_pipelines.resources.failures import failures
from flow_pipelines.schedules import last_complete_partition

if TYPE_CHECKING:
    from flow_pipelines.ledger import RunLedger
    from flow_pipelines.lifecycle.progress import NightStatus

LAST_NIGHT_EXISTS = "last_night_exists"
_SCHEDULE, _DEADLINE = "schedule", "deadline_seconds"
_MOST_TICKS = 1_000


@dataclass(frozen=True, kw_only=True)
class Due:
    """A night that a schedule was due to buy."""

    partition_key: str
    scheduled_at: datetime
    deadline_at: datetime


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What a batch's schedule promises."""

    batch: str
    cron: str
    deadline: timedelta
    partitions_def: dg.TimeWindowPartitionsDefinition

    def due(self, now: datetime) -> Iterator[Due]:
        """Yield the nights that were due, the newest first, up to the first past its deadline.

        Times of the schedule are those of the partitions' time zone, through changes of the
        clocks; the deadline is so many seconds later, however long that day is.
        """
        from dagster._utils.schedules import reverse_cron_string_iterator

        ticks = reverse_cron_string_iterator(
            now.timestamp(), self.cron, self.partitions_def.timezone
        )
        for _, tick in zip(range(_MOST_TICKS), ticks, strict=False):
            key = last_complete_partition(self.partitions_def, tick)
            if key is None:
                return
            yield Due(partition_key=key, scheduled_at=tick, deadline_at=tick + self.deadline)
            if tick + self.deadline <= now:
                return


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How it stands with the last night; `due` is None before the first one is due."""

    due: Due | None
    passed: bool
    describe: Callable[[], str]
    """Returns the verdict as text. Reads the night's submissions; most ticks need no words."""

    @property
    def fields(self) -> dict[str, Any]:
        """Return what a check's result and its evaluation by a sensor have in common."""
        times = self.due and {
            "partition": self.due.partition_key,
            "scheduled_at": dg.MetadataValue.timestamp(self.due.scheduled_at.timestamp()),
            "deadline_at": dg.MetadataValue.timestamp(self.due.deadline_at.timestamp()),
        }
        return {
            "passed": self.passed,
            "severity": dg.AssetCheckSeverity.ERROR,
            "description": self.describe(),
            "metadata": times or {},
        }


def judge_all(expectations: Sequence[Expectation], ledger: "RunLedger") -> Mapping[str, Verdict]:
    """Judge each batch's last night: it is there, it still has time, or it is missing.

    A newer night that is there already answers for an older one. Raises: LedgerError.
    """
    from flow_pipelines.lifecycle.progress import night_status

    now = ledger.clock.now()
    dues = {expectation.batch: list(expectation.due(now)) for expectation in expectations}
    nights = [Night(batch, due.partition_key) for batch in dues for due in dues[batch]]
    records = ledger.night_records(nights)

    def status(night: Night) -> "NightStatus":
        return night_status(records.get(night), night, ledger)

    return {batch: _judge(batch, dues[batch], status, now) for batch in dues}


def _judge(
    batch: str, dues: Sequence[Due], status_of: "Callable[[Night], NightStatus]", now: datetime
) -> Verdict:
    for due in dues:
        status = status_of(Night(batch, due.partition_key))
        if status.is_complete:
            return Verdict(due=due, passed=True, describe=status.describe)
        if due.deadline_at <= now:
            return _missing(status, due)
    return Verdict(due=None, passed=True, describe=lambda: "no night is due yet")


def _missing(status: "NightStatus", due: Due) -> Verdict:
    late = f"It was due at {due.deadline_at:%Y-%m-%d %H:%M %Z}"
    return Verdict(due=due, passed=False, describe=lambda: f"{status.describe()}. {late}")


def last_night_check(batch: Batch) -> dg.AssetChecksDefinition | None:
    """Make the check of a batch; None without a schedule: then no night is expected.

    The sensor of the provider reports it once its outcome changes, run or no run.
    """
    expectation = _expectation(batch)
    if expectation is None:
        return None

    @dg.asset_check(
        asset=batch.key("images"),
        name=LAST_NIGHT_EXISTS,
        required_resource_keys={"run_ledger"},
        description=(
            f"The night that the schedule `{batch.schedule}` "
            f"({expectation.partitions_def.timezone}) was due to buy is in the bucket within "
            f"{expectation.deadline.total_seconds() / 3600:g} hours. Judged by a sensor, too, "
            "run or no run."
        ),
        metadata={_SCHEDULE: expectation.cron, _DEADLINE: batch.deadline_seconds},
    )
    def last_night_exists(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        from flow_pipelines.assets.heartbeat import heartbeat

        with failures(), heartbeat(context) as ledger:
            verdicts = judge_all([expectation], ledger)
            return dg.AssetCheckResult(**verdicts[batch.name].fields)

    return last_night_exists


def expectation_of(graph: Any, node: Any, batch: str) -> Expectation | None:
    """Find what a loaded batch's schedule promises, by the check of its images asset."""
    if not isinstance(node.partitions_def, dg.TimeWindowPartitionsDefinition):
        return None
    for key in node.check_keys:
        if key.name == LAST_NIGHT_EXISTS:
            promised = graph.get_check_spec(key).metadata
            return Expectation(
                batch=batch,
                cron=str(promised[_SCHEDULE]),
                deadline=timedelta(seconds=float(promised[_DEADLINE])),
                partitions_def=node.partitions_def,
            )
    return None


def evaluation(batch: str, verdict: Verdict) -> dg.AssetCheckEvaluation:
    """Return the event by which a sensor reports a verdict, without a run."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey([batch, "images"]), check_name=LAST_NIGHT_EXISTS, **verdict.fields
    )


def _expectation(batch: Batch) -> Expectation | None:
    if batch.scheduled is None:
        return None
    cron, partitions_def = batch.scheduled
    return Expectation(
        batch=batch.name,
        cron=cron,
        deadline=timedelta(seconds=batch.deadline_seconds),
        partitions_def=partitions_def,
    )
