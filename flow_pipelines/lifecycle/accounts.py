"""Group work by account: yield each account's ports, or with the submissions sent with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from flow_pipelines.ledger.records import Outstanding
from flow_pipelines.lifecycle.ports import Ports, Workplace
from flow_pipelines.model import Submission
from flow_pipelines.model.errors import ConfigurationError


def each_account(
    work: Workplace, waiting: Iterable[Outstanding], note: Callable[[str], None]
) -> Iterator[Ports]:
    """Yield the ports of each account that something waits for.

    `note` gets a line for each that cannot be opened, with the number of runs that wait for it.
    """
    runs: Counter[tuple[str, str]] = Counter()
    for one in waiting:
        runs[one.provider, one.resource] += one.runs
    for (provider, resource), count in sorted(runs.items()):
        ports = _open(work, provider, resource, count, note)
        if ports is not None:
            yield ports


def by_account(
    work: Workplace, submissions: Iterable[Submission], note: Callable[[str], None]
) -> Iterator[tuple[Ports, Sequence[Submission]]]:
    """Yield submissions with the ports of the account that they were sent with, as above."""
    found: dict[tuple[str, str], list[Submission]] = {}
    for one in submissions:
        found.setdefault((one.provider, one.resource), []).append(one)
    for (provider, resource), mine in sorted(found.items()):
        ports = _open(work, provider, resource, len(mine), note)
        if ports is not None:
            yield ports, mine


def _open(
    work: Workplace,
    provider: str,
    resource: str,
    runs: int,
    note: Callable[[str], None],
) -> Ports | None:
    try:
        return work.for_account(resource, provider)
    except ConfigurationError as error:
        note(waits_for(runs, provider, resource, str(error)))
        return None


def waits_for(runs: int, provider: str, resource: str, why: str) -> str:
    """Return the line that says which account runs wait for, and why."""
    return (
        f"{runs} run(s) at {provider} wait for the account {resource!r}, which they were sent "
        f"with: {why}"
    )
