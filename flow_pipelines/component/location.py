"""All batches of a code location as they are written, read once and not once for each of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg
from dagster.components.core.decl import ComponentDecl


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """A batch as written in YAML, before any definition is built: where it will buy."""

    batch: str
    provider: str
    resource: str


@dataclass(frozen=True, kw_only=True)
class Siblings:
    """The batches of one provider."""

    first: Purchase
    """By name: the component that has it brings what they share."""
    resources: frozenset[str]


@dataclass(frozen=True)
class Location:
    """What spans the batches of a code location."""

    purchases: Sequence[Purchase]
    """Sorted by the name of the batch."""
    comparisons: Sequence[str]
    """The names of comparisons, sorted; each as often as it is given."""

    @cached_property
    def counts(self) -> Counter[str]:
        """How many batches have a name."""
        return Counter(purchase.batch for purchase in self.purchases)

    @cached_property
    def comparison_counts(self) -> Counter[str]:
        """How many comparisons have a name."""
        return Counter(self.comparisons)

    @cached_property
    def by_provider(self) -> Mapping[str, Siblings]:
        """The batches of each provider."""
        found: dict[str, list[Purchase]] = {}
        for purchase in self.purchases:
            found.setdefault(purchase.provider, []).append(purchase)
        return {
            provider: Siblings(
                first=purchases[0], resources=frozenset(one.resource for one in purchases)
            )
            for provider, purchases in found.items()
        }


class _Read:
    """The location that was read last, and the declarations that it was read from."""

    def __init__(self) -> None:
        self.declared: Sequence[ComponentDecl[Any]] = ()
        self.location: Location | None = None


_last = _Read()


def location_of(context: dg.ComponentLoadContext) -> Location | None:
    """Return what is written in the location of `context`; None without a tree of components.

    Every component asks for all of them, so they are read once for a tree, and anew when Dagster
    has made its declarations anew.
    """
    declared = _declared(context)
    if _last.location is None or not _are(declared, _last.declared):
        _last.location, _last.declared = _read(context), declared
    return _last.location


def _declared(context: dg.ComponentLoadContext) -> Sequence[ComponentDecl[Any]]:
    """Return what Dagster makes anew when files, or definitions of its UI, have changed."""
    files, *others = context.component_tree.find_root_decl().decls
    return [files, *(child for one in others for child in one.iterate_child_component_decls())]


def _are(some: Sequence[ComponentDecl[Any]], others: Sequence[ComponentDecl[Any]]) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


def _read(context: dg.ComponentLoadContext) -> Location | None:
    from flow_pipelines.component.comparison import PromptComparisonComponent
    from flow_pipelines.component.shared import BatchSource

    # A filter: mypy takes an abstract class for one that somebody makes.
    sources = context.component_tree.get_all_components(of_type=BatchSource)  # type: ignore[type-abstract]
    if not sources:
        return None
    purchases = [purchase for source in sources for purchase in source.purchases()]
    names = [source.name for source in sources if isinstance(source, PromptComparisonComponent)]
    return Location(sorted(purchases, key=lambda purchase: purchase.batch), sorted(names))
