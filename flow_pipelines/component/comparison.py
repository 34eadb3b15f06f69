"""`PromptComparisonComponent`: the same prompts on two to four sides, compared."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from flow_pipelines.component.fields import Amount
from flow_pipelines.component.location import Location, Purchase
from flow_pipelines.component.prompt_batch import PromptBatchComponent
from flow_pipelines.component.shared import (
    BatchSource,
    WorkflowFields,
    location_with,
    written_in,
)

if TYPE_CHECKING:
    from flow_pipelines.assets import Batch
    from flow_pipelines.assets.shared_definitions import Comparison
    from flow_pipelines.component.validation import Fault
    from flow_pipelines.model import BatchSettings

FEWEST_SIDES, MOST_SIDES = 2, 4


class ComparedSide(WorkflowFields, dg.Resolvable):
    """One of the ways that the prompts go: a provider with a workflow."""

    name: str | None = Field(
        default=None,
        description=(
            "How the side is called, [a-z0-9_]+; default: the provider. Its batch is "
            "`<name of the comparison>_<name of the side>`."
        ),
    )
    budget_usd: Amount = Field(
        default=None, description="Most to spend on one partition here; default: the comparison's."
    )

    @property
    def label(self) -> str:
        """Return the name, as it is written or by default."""
        return self.name or self.provider


class PromptComparisonComponent(BatchSource, dg.Resolvable):
    """The same prompts through two to four providers or workflows, side by side.

    Every side is a prompt batch of its own, `<name>_<side>`, with all that belongs to one: assets,
    checks, job, schedule, sensor, budget. `<name>/comparison` follows when the images of all sides
    are there: a page with a row a prompt and a column a side, and a table of costs and durations.
    """

    sides: Sequence[ComparedSide] = Field(
        description="Two to four ways to run every prompt: a provider and a workflow each."
    )

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """Describe the type for Dagster's catalog."""
        return dg.ComponentTypeSpec(
            description="The same prompts through several hosted AI workflows, side by side.",
            tags=["images", "generative-ai", "comfyui"],
            produces=["asset", "asset_check", "job", "schedule", "sensor"],
        )

    def purchases(self) -> Sequence[Purchase]:
        """Return the sides' batches, as they are written."""
        return [
            Purchase(
                batch=self._batch_name(side),
                provider=side.provider,
                resource=side.resource or side.provider,
            )
            for side in self.sides
        ]

    def own_definitions(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Build every side and what compares them. Raises: InvalidBatch, with every problem."""
        from flow_pipelines.assets.shared_definitions import comparison_asset, comparisons_sensor
        from flow_pipelines.batches.positions import placed
        from flow_pipelines.model.errors import InvalidBatch

        batches = self._batches(Path(context.path))
        location = location_with(context, self)
        names = location.comparisons
        faults = comparison_faults(self.name, self.purchases(), location)
        problems = placed(self._written(Path(context.path)), list(faults))
        built = []
        for side, batch in zip(self._sides(), batches, strict=True):
            try:
                built.append(side.definitions_of(batch))
            except InvalidBatch as error:
                problems += error.problems
        if problems:
            # What the sides have in common is told once.
            raise InvalidBatch(self.name, list(dict.fromkeys(problems)))
        self._built = tuple(batches)
        # Dagster takes one sensor of a name: the first comparison of the location brings it.
        sensors = [comparisons_sensor(names)] if self.name == names[0] else []
        own = dg.Definitions(assets=[comparison_asset(self._comparison(batches))], sensors=sensors)
        return dg.Definitions.merge(*built, own)

    def _sides(self) -> Sequence[PromptBatchComponent]:
        """Return each side as the prompt batch that it is."""
        shared = {field: getattr(self, field) for field in BatchSource.model_fields}
        return [PromptBatchComponent(**shared | self._of_side(side)) for side in self.sides]

    def _of_side(self, side: ComparedSide) -> dict[str, Any]:
        own = {field: getattr(side, field) for field in WorkflowFields.model_fields}
        budget = self.budget_usd if side.budget_usd is None else side.budget_usd
        return {**own, "name": self._batch_name(side), "budget_usd": budget}

    def _batches(self, path: Path) -> "Sequence[Batch]":
        """Return the sides' batches, which know where in the file they are written."""
        return [
            replace(
                batch,
                settings=replace(batch.settings, defs_name=self.name, defs_path=("sides", number)),
            )
            for number, batch in enumerate(side.batch(path) for side in self._sides())
        ]

    def _batch_name(self, side: ComparedSide) -> str:
        return f"{self.name}_{side.label}"

    def _comparison(self, batches: "Sequence[Batch]") -> "Comparison":
        from flow_pipelines.assets.shared_definitions import ComparedBatch, Comparison

        return Comparison(
            name=self.name,
            sides=[
                ComparedBatch(label=side.label, batch=batch)
                for side, batch in zip(self.sides, batches, strict=True)
            ],
            partitions_def=self.partitions_def,
            owners=tuple(self.owners),
        )

    def _written(self, path: Path) -> "BatchSettings":
        """Return what tells where the comparison itself is written."""
        from flow_pipelines.model import BatchSettings

        return BatchSettings(
            name=self.name,
            provider="",
            resource="",
            workflow="",
            defs_file=written_in(path)[1],
        )


def comparison_faults(
    name: str, sides: Sequence[Purchase], location: Location
) -> "Iterator[Fault]":
    """Find what is wrong with a comparison in its location."""
    from flow_pipelines.component.validation import name_faults

    yield from name_faults(name)
    counts = location.counts
    if location.comparison_counts[name] > 1:
        yield ("name",), f"two comparisons are called {name!r}"
    if name in counts:
        yield ("name",), f"{name!r} is the name of a prompt batch, too"
    if not FEWEST_SIDES <= len(sides) <= MOST_SIDES:
        message = f"a comparison has two to four sides, not {len(sides)}"
        yield ("sides",), message
    yield from _side_faults(sides, counts)


def _side_faults(sides: Sequence[Purchase], counts: Counter[str]) -> "Iterator[Fault]":
    own = [side.batch for side in sides]
    for number, batch in enumerate(own):
        if batch in own[:number]:
            message = f"another side is called like this one; give one of them a name: {batch}"
            yield ("sides", number, "name"), message
        elif counts[batch] > own.count(batch):
            message = f"there is another prompt batch {batch!r}; give this side a name"
            yield ("sides", number, "name"), message
