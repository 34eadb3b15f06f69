"""`<name>/provider_runs`: buys what is planned of a partition. The only asset that spends."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import dagster as dg

from flow_pipelines.assets.asked_again import failures_before_buying
from flow_pipelines.assets.batch import (
    Batch,
    asker_of,
    backfill_of,
    closed_metadata,
    night_of,
    place_of,
    ports_of,
    requester_of,
    retried_runs,
    row_count,
    selected_with,
)
from flow_pipelines.assets.cancellation import canceled_with_run
from flow_pipelines.assets.heartbeat import heartbeat
from flow_pipelines.assets.run_config import ProviderRunsConfig
from flow_pipelines.assets.versions import bought_version
from flow_pipelines.lifecycle import (
    Ports,
    SubmitSummary,
    open_night,
    regenerate,
    submit_night,
)
from flow_pipelines.lifecycle.archive import ArchivedNight
from flow_pipelines.lifecycle.closed_nights import closed_night
from flow_pipelines.model import Night, Output, Submission, SubmissionState
from flow_pipelines.model.errors import ConfigurationError, NightClosed
from flow_pipelines.model.states import NOT_SENT
from flow_pipelines.model.wording import closed_in_words, how_to_mend
from flow_pipelines.resources import ProviderResource
from flow_pipelines.storage.tables import runs_table


def buy(
    batch: Batch, context: dg.AssetExecutionContext, config: ProviderRunsConfig
) -> dg.MaterializeResult[Any]:
    """Submit what is planned of a night. The only step that spends."""
    with (
        failures_before_buying(context, batch),
        heartbeat(context, night := night_of(batch, context)),
    ):
        ports = ports_of(batch, context)
        closed = closed_night(night, ports)
        if closed is not None:
            return _closed(batch, closed, ports, config)
        metadata: dict[str, Any] = {}

        def regeneration() -> None:
            metadata.update(_regenerate(batch, night, ports, config, context.run))

        with canceled_with_run(context, night, ports):
            open_night(night, ports, owner=context.run.run_id)
            summary = submit_night(
                replace(batch.settings, daily_budget_usd=_daily_budget(batch, context)),
                night,
                ports,
                owner=context.run.run_id,
                limit=_left_of(config.limit, night, ports, context),
                backfill_id=backfill_of(context.run.tags),
                hold_for_collection=selected_with(context, batch.key("images")),
                regeneration=None if config.regenerate == "none" else regeneration,
                asked_by=asker_of(context.instance, context.run),
            )
        metadata |= _numbers(summary)
        if summary.stopped is not None and not summary.over_budget:
            raise _stopped(night, ports, summary, metadata)
        if summary.stopped is not None:
            metadata["stopped"] = summary.stopped
        table = _table(ports.ledger.pages_with_outputs(night))
        metadata |= row_count(batch, table.num_rows) | place_of(batch, ports.store)
        return dg.MaterializeResult(
            value=table,
            metadata=metadata,
            data_version=bought_version(ports.ledger.each_submission(night)),
        )


def _left_of(
    limit: int | None, night: Night, ports: Ports, context: dg.AssetExecutionContext
) -> int | None:
    """Return what is left of a limit: a retry goes on with its run's, it does not begin anew.

    Raises: ConfigurationError, for a retry by Dagster of a run that waits for a person.
    """
    retried = retried_runs(context.instance, context.run)
    if limit is None and not retried:
        return None
    sent = ports.ledger.each_submission(night, states=frozenset(SubmissionState) - NOT_SENT)
    sent_by = Counter(submission.dagster_run_id for submission in sent)
    own = sum(sent_by[run_id] for run_id in {context.run.run_id, *retried})
    record = ports.ledger.night(night)
    if not own or record is None or record.submit_goal is None:
        return limit
    # A sensor may have gone on for the run that died, as far as its limit went.
    left = max(record.submit_goal - record.sent, 0)
    if limit is None and not left:
        message = (
            f"{night} was stopped early, and Dagster has retried its run; nothing more was sent. "
            f"{_how_to_go_on(night, ports)}"
        )
        raise ConfigurationError(message)
    return left if limit is None else max(min(limit - own, left), 0)


def _closed(
    batch: Batch, closed: ArchivedNight, ports: Ports, config: ProviderRunsConfig
) -> dg.MaterializeResult[Any]:
    """Report what was bought of a pruned night: nothing of it is bought again.

    Raises: NightClosed, for whoever asks for that.
    """
    if config.regenerate != "none":
        raise NightClosed(f"{closed_in_words(str(closed.archive.night))}, not on purpose either")
    table = _table(closed.pages_with_outputs())
    return dg.MaterializeResult(
        value=table,
        metadata={
            **_numbers(SubmitSummary()),
            **row_count(batch, table.num_rows),
            **place_of(batch, ports.store),
            **closed_metadata(closed),
        },
        data_version=bought_version(closed.submissions()),
    )


def _table(pages: Iterable[tuple[Sequence[Submission], Mapping[str, Sequence[Output]]]]) -> Any:
    import pyarrow as pa

    tables = [runs_table(page, outputs) for page, outputs in pages]
    return pa.concat_tables([runs_table([], {}), *tables])


def _daily_budget(batch: Batch, context: dg.AssetExecutionContext) -> Decimal | None:
    account: ProviderResource = getattr(context.resources, batch.settings.resource)
    return account.get_daily_budget_usd()


def _regenerate(
    batch: Batch, night: Night, ports: Ports, config: ProviderRunsConfig, run: dg.DagsterRun
) -> dict[str, Any]:
    regeneration = regenerate(
        batch.settings, night, ports, requested_by=requester_of(run), scope=config.regenerate
    )
    return {"generation": regeneration.generation, "regenerated_rows": regeneration.rows}


def _numbers(summary: SubmitSummary) -> dict[str, int]:
    names = ("submitted", "failed", "unresolved", "skipped", "left_planned")
    return {name: getattr(summary, name) for name in names}


def _how_to_go_on(night: Night, ports: Ports) -> str:
    """Return what a person does about a night that would stop again by itself."""
    record = ports.ledger.night(night)
    if record is not None and record.stopped is not None:
        return f"{how_to_mend(night.batch)}. What was bought is not bought twice."
    return "A person has to act; then materialize it again: what was bought is not bought twice."


def _stopped(
    night: Night, ports: Ports, summary: SubmitSummary, metadata: dict[str, Any]
) -> dg.Failure:
    """Say once why a night was not bought whole. What was submitted is polled and collected."""
    counts = ", ".join(f"{count} {name}" for name, count in _numbers(summary).items())
    what_next = "A sensor will go on by itself."
    if summary.needs_person:
        what_next = _how_to_go_on(night, ports)
    return dg.Failure(
        f"{night} stopped early: {summary.stopped} ({counts}). {what_next}",
        metadata=metadata,
        allow_retries=False,
    )
