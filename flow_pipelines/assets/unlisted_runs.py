"""Messages on runs whose batch is no longer defined here, or moved to another provider."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator

from flow_pipelines.ledger.records import Outstanding
from flow_pipelines.model import IN_FLIGHT, NightRecord, SubmissionState


def describe_unlisted_runs(
    waiting: Iterable[Outstanding],
    nights: Iterable[NightRecord],
    *,
    batches: Collection[str],
    defined: Collection[str],
    serves: Callable[[str], bool],
) -> Iterator[str]:
    """Yield a line for each batch that is not among this provider's `batches`, but has work left.

    `defined` are all batches of the code location. `waiting` are the runs that the sensor polls,
    `nights` those of batches that are not defined; a night counts where the sensor polls runs of
    its batch, or `serves` its provider.
    """
    moved: Counter[tuple[str, str]] = Counter()
    for group in waiting:
        if group.batch in defined and group.batch not in batches:
            moved[group.batch, group.provider] += group.runs
    for (batch, provider), runs in sorted(moved.items()):
        yield f"{batch}: {runs} run(s) at {provider}, where it was bought before, are polled"
    polled = {group.batch for group in waiting}
    gone: dict[str, Counter[str]] = {}
    for record in nights:
        if record.night.batch in polled or serves(record.provider):
            gone.setdefault(record.night.batch, Counter()).update(_left(record))
    for batch, left in sorted(gone.items()):
        if left.total():
            parts = ", ".join(f"{count} {word}" for word, count in left.items() if count)
            yield (
                f"no batch {batch!r} is in this code location any more: {parts}; what is in flight "
                f"is polled, and `flow-pipelines collect {batch} --module MODULE` stores it (the "
                "module of these definitions: it has the accounts)"
            )


def _left(record: NightRecord) -> dict[str, int]:
    """Return what is still to be done for a night, by what it is called."""
    counts = record.counts
    unwritten = record.marked_at is not None and record.revision != record.collected_revision
    return {
        "in flight": sum(counts.get(state, 0) for state in IN_FLIGHT),
        "being sent": counts.get(SubmissionState.SUBMITTING, 0),
        "unresolved": counts.get(SubmissionState.UNRESOLVED, 0),
        "not stored": record.uncollected,
        "night(s) behind in the tables": int(unwritten),
    }
