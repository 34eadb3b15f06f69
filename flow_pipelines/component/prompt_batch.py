"""`PromptBatchComponent`: a prompt batch in YAML becomes Dagster definitions."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg
from pydantic import ConfigDict, Field, PrivateAttr

from flow_pipelines.assets import Batch, batch_assets, batch_checks, generation_job
from flow_pipelines.component.fields import (
    STOP_AFTER_FAILURES,
    Amount,
    Partitions,
    RawParameters,
    RawTable,
    UpstreamTable,
)
from flow_pipelines.component.scaffolder import PromptBatchScaffolder
from flow_pipelines.component.shared import BatchSource, Purchase
from flow_pipelines.component.validation import check_batch
from flow_pipelines.model import BatchSettings
from flow_pipelines.schedules import generation_schedule


@dg.scaffold_with(PromptBatchScaffolder)
class PromptBatchComponent(BatchSource, dg.Model, dg.Resolvable):
    """Rows of prompt parameters, run as images on a hosted workflow, a partition a night.

    Each row is bought once, whatever is materialized again; images are stored once and verified.
    Becomes the assets `<name>/workflow`, `prompts`, `provider_runs`, `images` and
    `contact_sheet`, asset checks, the job `<name>_generation`, with `schedule` also
    `<name>_schedule`, and, shared with other batches, `<provider>_runs_sensor` and `cost_report`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    name: str = Field(
        description="Name of the batch, [a-z0-9_]+: first part of its asset keys, folder in S3.",
        examples=["city_posters"],
    )
    provider: str = Field(description="Which service runs it.", examples=["floyo"])
    resource: str | None = Field(
        default=None, description="Resource key of the account that pays; default: the provider."
    )
    workflow: str = Field(
        description=(
            "What is run. floyo: a ComfyUI graph in API format, relative to this file or s3://; "
            "elsewhere an id or slug at the provider."
        ),
        examples=["sd15_txt2img.json"],
    )
    prompts: RawTable
    parameters: RawParameters = Field(default_factory=dict)
    runs_per_prompt: int = Field(default=1, ge=1, description="Copies of each row.")
    partitions_def: Partitions = None
    schedule: str | None = Field(
        default=None,
        description=(
            "Cron expression in the partitions' time zone, for the last complete partition. On "
            "from the start. Needs time partitions."
        ),
        examples=["0 2 * * *"],
    )
    deadline_seconds: float = Field(
        default=4 * 3600.0,
        gt=0,
        description=(
            "From the schedule's time until a night has to be in the bucket; then the check "
            "`last_night_exists` fails."
        ),
    )
    owners: list[str] = Field(
        default_factory=list,
        description="Whom to ask: e-mail addresses, or team:name; owners of every asset.",
        examples=[["team:pictures", "ana@example.com"]],
    )
    budget_usd: Amount = Field(default=None, description="Most to spend on one partition.")
    price_usd_per_run: Amount = Field(
        default=None, description="Price of a run, where the provider states none."
    )
    run_timeout_seconds: float = Field(
        default=3600.0, gt=0, description="From submission; then a provider run is overdue."
    )
    inline_wait_seconds: float = Field(
        default=600.0,
        ge=0,
        description="How long a run that includes `images` waits for provider runs.",
    )
    allow_identical: bool = Field(
        default=False, description="Allow requests that the provider answers from its cache."
    )
    stop_after_failures: int = Field(default=10, ge=1, description=STOP_AFTER_FAILURES)

    _built: Batch | None = PrivateAttr(default=None)

    @property
    def built(self) -> Sequence[Batch]:
        """The batch that definitions were built of; none before."""
        return [self._built] if self._built else []

    def purchases(self) -> Sequence[Purchase]:
        """Return the batch, as it is written."""
        resource = self.resource or self.provider
        return [Purchase(batch=self.name, provider=self.provider, resource=resource)]

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """Describe the type for Dagster's catalog."""
        return dg.ComponentTypeSpec(
            description="Images from rows of prompts, bought once on a hosted AI workflow.",
            tags=["images", "generative-ai", "comfyui"],
            produces=["asset", "asset_check", "job", "schedule", "sensor"],
        )

    def own_definitions(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Build what is the batch's alone. Raises: InvalidBatch, with file, line and column."""
        return self.definitions_of(self.batch(Path(context.path)))

    def definitions_of(self, batch: Batch) -> dg.Definitions:
        """Check a batch and build its definitions. Raises: InvalidBatch."""
        check_batch(
            batch.settings,
            partitions_def=self.partitions_def,
            schedule=self.schedule,
            owners=self.owners,
        )
        self._built = batch
        job = generation_job(batch)
        return dg.Definitions(
            assets=batch_assets(batch),
            asset_checks=batch_checks(batch),
            jobs=[job],
            schedules=self._schedules(batch, job.name),
        )

    def batch(self, path: Path) -> Batch:
        """Return the batch; `path` is the folder of its `defs.yaml`, or that file."""
        folder = path if path.is_dir() else path.parent
        defs_file = folder / "defs.yaml"
        settings = BatchSettings(
            name=self.name,
            provider=self.provider,
            resource=self.resource or self.provider,
            workflow=self.workflow,
            base_dir=str(folder),
            prompts=None if isinstance(self.prompts, UpstreamTable) else self.prompts,
            prompts_asset=self.prompts.asset if isinstance(self.prompts, UpstreamTable) else None,
            parameters=self.parameters,
            defs_file=str(defs_file) if defs_file.is_file() else None,
            time_partitioned=isinstance(self.partitions_def, dg.TimeWindowPartitionsDefinition),
            runs_per_prompt=self.runs_per_prompt,
            budget_usd=self.budget_usd,
            price_usd_per_run=self.price_usd_per_run,
            run_timeout_seconds=self.run_timeout_seconds,
            inline_wait_seconds=self.inline_wait_seconds,
            allow_identical=self.allow_identical,
            stop_after_failures=self.stop_after_failures,
        )
        return Batch(
            settings=settings,
            partitions_def=self.partitions_def,
            owners=tuple(self.owners),
            schedule=self.schedule,
            deadline_seconds=self.deadline_seconds,
        )

    def _schedules(self, batch: Batch, job_name: str) -> list[dg.ScheduleDefinition]:
        if self.schedule is None or not isinstance(
            self.partitions_def, dg.TimeWindowPartitionsDefinition
        ):
            return []
        return [
            generation_schedule(
                batch=batch.name,
                job_name=job_name,
                cron=self.schedule,
                partitions_def=self.partitions_def,
                tags=batch.tags,
            )
        ]
