"""`PromptBatchComponent`: a prompt batch in YAML becomes Dagster definitions."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from flow_pipelines.component.fields import columns_that_may_be_empty, table_of
from flow_pipelines.component.location import Purchase
from flow_pipelines.component.scaffolder import PromptBatchScaffolder
from flow_pipelines.component.shared import BatchSource, WorkflowFields, written_in

if TYPE_CHECKING:
    from flow_pipelines.assets import Batch


@dg.scaffold_with(PromptBatchScaffolder)
class PromptBatchComponent(BatchSource, WorkflowFields, dg.Resolvable):
    """Rows of prompt parameters, run as images on a hosted workflow, a partition a night.

    Each row is bought once, whatever is materialized again; images are stored once and verified.
    Becomes the assets `<name>/workflow`, `prompts`, `provider_runs`, `images` and
    `contact_sheet`, asset checks, the job `<name>_generation`, with `schedule` also
    `<name>_schedule`, and, shared with other batches, `<provider>_runs_sensor` and `cost_report`.
    """

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

    def definitions_of(self, batch: "Batch") -> dg.Definitions:
        """Check a batch and build its definitions. Raises: InvalidBatch."""
        from flow_pipelines.assets import batch_assets, batch_checks, generation_job
        from flow_pipelines.component.table_check import faults_of_table, warn
        from flow_pipelines.component.validation import check_batch
        from flow_pipelines.model.errors import InvalidBatch
        from flow_pipelines.resources.environment import is_validating

        workflow = check_batch(
            batch.settings,
            partitions_def=self.partitions_def,
            schedule=self.schedule,
            owners=self.owners,
        )
        problems = faults_of_table(batch.settings, workflow)
        if problems and is_validating():
            raise InvalidBatch(self.name, problems)
        if problems:
            batch = replace(batch, table_faults=str(warn(batch.settings, problems)))
        self._built = (batch,)
        job = generation_job(batch)
        return dg.Definitions(
            assets=batch_assets(batch),
            asset_checks=batch_checks(batch),
            jobs=[job],
            schedules=self._schedules(batch, job.name),
        )

    def batch(self, path: Path) -> "Batch":
        """Return the batch; `path` is the folder of its `defs.yaml`, or that file."""
        from flow_pipelines.assets import Batch
        from flow_pipelines.model import BatchSettings

        folder, defs_file = written_in(path)
        prompts, upstream, table_format = table_of(self.prompts)
        settings = BatchSettings(
            name=self.name,
            provider=self.provider,
            resource=self.resource or self.provider,
            workflow=self.workflow,
            base_dir=str(folder),
            prompts=prompts,
            prompts_asset=upstream,
            table_format=table_format,
            parameters=self.parameters,
            defs_file=defs_file,
            time_partitioned=isinstance(self.partitions_def, dg.TimeWindowPartitionsDefinition),
            runs_per_prompt=self.runs_per_prompt,
            budget_usd=self.budget_usd,
            price_usd_per_run=self.price_usd_per_run,
            run_timeout_seconds=self.run_timeout_seconds,
            inline_wait_seconds=self.inline_wait_seconds,
            allow_identical=self.allow_identical,
            empty_cells=columns_that_may_be_empty(self.empty_cells),
            stop_after_failures=self.stop_after_failures,
        )
        return Batch(
            settings=settings,
            partitions_def=self.partitions_def,
            owners=tuple(self.owners),
            schedule=self.schedule,
            deadline_seconds=self.deadline_seconds,
        )

    def _schedules(self, batch: "Batch", job_name: str) -> list[dg.ScheduleDefinition]:
        from flow_pipelines.schedules import generation_schedule

        if batch.scheduled is None:
            return []
        cron, partitions_def = batch.scheduled
        return [
            generation_schedule(
                batch=batch.name,
                job_name=job_name,
                cron=cron,
                partitions_def=partitions_def,
                tags=batch.tags,
            )
        ]
