"""What can be wrong with a comparison beyond what can be wrong with each of its sides."""

from collections import Counter
from collections.abc import Iterator, Sequence

from flow_pipelines.component.shared import Purchase
from flow_pipelines.component.validation import Fault, name_faults

FEWEST_SIDES, MOST_SIDES = 2, 4


def comparison_faults(
    name: str,
    sides: Sequence[Purchase],
    batches: Sequence[Purchase],
    *,
    comparisons: Sequence[str],
) -> Iterator[Fault]:
    """Find what is wrong with a comparison; `batches` and `comparisons` are the location's."""
    yield from name_faults(name)
    counts = Counter(one.batch for one in batches)
    if comparisons.count(name) > 1:
        yield ("name",), f"two comparisons are called {name!r}"
    if name in counts:
        yield ("name",), f"{name!r} is the name of a prompt batch, too"
    if not FEWEST_SIDES <= len(sides) <= MOST_SIDES:
        message = f"a comparison has two to four sides, not {len(sides)}"
        yield ("sides",), message
    yield from _side_faults(sides, counts)


def _side_faults(sides: Sequence[Purchase], counts: Counter[str]) -> Iterator[Fault]:
    own = Counter(one.batch for one in sides)
    seen: set[str] = set()
    for number, one in enumerate(sides):
        if one.batch in seen:
            message = f"another side is called like this one; give one of them a name: {one.batch}"
            yield ("sides", number, "name"), message
        elif counts[one.batch] > own[one.batch]:
            message = f"there is another prompt batch {one.batch!r}; give this side a name"
            yield ("sides", number, "name"), message
        seen.add(one.batch)
