"""`<name>/provider_runs`: buys what is planned of a partition. The only asset that spends."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import dagster as dg
from pydantic import Field, field_validator

from flow_pipelines.assets.batch import (
    Batch,
    asker_of,
    backfill_of,
    night_of,
    place_of,
    ports_of,
    requester_of,
    retried_runs,
    row_count,
    selected_with,
)
from flow_pipelines.assets.cancellation import canceled_with_run
from flow_pipelines.assets.columns import RUNS_COLUMNS
from flow_pipelines.assets.versions import CODE, bought_version
from flow_pipelines.lifecycle import (
    Ports,
    SubmitSummary,
    open_night,
    regenerate,
    submit_night,
)
from flow_pipelines.model import Night, SubmissionState
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.model.states import NOT_SENT
from flow_pipelines.model.wording import how_to_mend
from flow_pipelines.resources import IO_MANAGER_KEY, ProviderResource
from flow_pipelines.resources.failures import failures
from flow_pipelines.storage.tables import runs_table

_DESCRIPTION = """\
A row a submission, bought at [{title}]({documentation}): the only asset that **spends money**.

Materializing again buys nothing: only rows that are still planned are submitted. To buy rows again
on purpose, set `regenerate` in the run config. Where all rows seem to share a fault, it stops
early: mend the graph or the table, then materialize `prompts` and this. While a night is being
made, observations say how far it is, at most ten a generation.
"""
_WORDS = ("none", "failed", "changed", "all")


class ProviderRunsConfig(dg.Config):
    """What a person may ask of one run beyond submitting what is planned."""

    regenerate: Any = Field(
        default="none",
        description=(
            "Buy rows of the partition again, on purpose: none, failed (rows without a picture), "
            "changed (rows that differ from what was bought), all, or {prompt_ids: [...]}. Costs "
            "money. Retries of this run do not buy again."
        ),
    )
    limit: int | None = Field(
        default=None, ge=1, description="Submit at most so many rows; the others stay planned."
    )

    @field_validator("regenerate")
    @classmethod
    def _known_scope(cls, value: Any) -> Any:
        if isinstance(value, str) and value in _WORDS:
            return value
        ids = value.get("prompt_ids") if isinstance(value, dict) and len(value) == 1 else None
        if not isinstance(ids, list) or not ids:
            raise ValueError(
                f"regenerate must be one of {', '.join(_WORDS)}, or {{prompt_ids: [id, …]}} with "
                "at least one id"
            )
        return {"prompt_ids": [str(prompt_id) for prompt_id in ids]}


def provider_runs_asset(batch: Batch) -> dg.AssetsDefinition:
    """Make the asset that submits a night."""

    @dg.asset(
        key=batch.key("provider_runs"),
        deps=[batch.key("prompts")],
        partitions_def=batch.partitions_def,
        io_manager_key=IO_MANAGER_KEY,
        required_resource_keys=batch.resource_keys,
        pool=batch.settings.provider,
        group_name=batch.name,
        kinds={batch.settings.provider, "parquet", "s3"},
        tags=batch.tags,
        owners=batch.owners,
        code_version=CODE,
        metadata={**RUNS_COLUMNS, **batch.links},
        description=_DESCRIPTION.format(
            title=batch.profile.title, documentation=batch.profile.documentation
        ),
    )
    def provider_runs(
        context: dg.AssetExecutionContext, config: ProviderRunsConfig
    ) -> dg.MaterializeResult[Any]:
        with failures():
            night = night_of(batch, context)
            ports = ports_of(batch, context)
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
            table = _table(night, ports)
            metadata |= row_count(batch, table.num_rows) | place_of(batch, ports.store)
            return dg.MaterializeResult(
                value=table,
                metadata=metadata,
                data_version=bought_version(ports.ledger.each_submission(night)),
            )

    return provider_runs


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


def _table(night: Night, ports: Ports) -> Any:
    import pyarrow as pa

    pages = ports.ledger.pages_with_outputs(night)
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
