"""What spans the batches of a code location: its sensors, its cost report."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from flow_pipelines.assets import Batch, cost_report_asset
from flow_pipelines.sensors import provider_runs_sensor


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """A batch as its component names it, before anything is built."""

    batch: str
    provider: str
    resource: str


class BatchSource(dg.Component):
    """A component that brings prompt batches into a location."""

    @abstractmethod
    def purchases(self) -> Sequence[Purchase]:
        """Return its batches, as they are written."""

    @property
    @abstractmethod
    def built(self) -> Sequence[Batch]:
        """The batches that definitions were built of; none before."""

    @abstractmethod
    def own_definitions(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Build what no other component shares. Raises: InvalidBatch."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Build the definitions. Raises: InvalidBatch, with file, line and column."""
        own = self.own_definitions(context)
        return dg.Definitions.merge(own, shared_definitions(context, self))


def purchases_of(context: dg.ComponentLoadContext, component: BatchSource) -> Sequence[Purchase]:
    """Return every batch of the location as it is written, by name."""
    # A filter: mypy takes an abstract class for one that somebody makes.
    sources = context.component_tree.get_all_components(of_type=BatchSource)  # type: ignore[type-abstract]
    found = [one for source in sources or [component] for one in source.purchases()]
    return sorted(found, key=lambda one: one.batch)


def shared_definitions(context: dg.ComponentLoadContext, component: BatchSource) -> dg.Definitions:
    """Return what spans batches, from the component of the first batch that needs it.

    Dagster makes a copy of every definition that comes out of YAML, so the very same object
    from two components would count as two of one name.
    """
    found, mine = purchases_of(context, component), component.purchases()
    sensors = []
    for provider in sorted({one.provider for one in mine}):
        siblings = [one for one in found if one.provider == provider]
        if siblings[0] in mine:
            accounts = frozenset(one.resource for one in siblings)
            sensors.append(provider_runs_sensor(provider, accounts))
    batches = tuple(one.batch for one in found)
    reports = [cost_report_asset(batches)] if found[0] in mine else []
    return dg.Definitions(assets=reports, sensors=sensors)
