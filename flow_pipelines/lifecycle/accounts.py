"""Group work by provider account; verify its identity; stop one that its provider rejects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from flow_pipelines.ledger.records import Outstanding
from flow_pipelines.lifecycle.ports import Ports, Workplace
from flow_pipelines.model import Submission
from flow_pipelines.model.errors import (
    AccountMissing,
    AccountRejected,
    ConfigurationError,
    ProviderError,
    ProviderUnavailable,
)
from flow_pipelines.provider import TellsIdentity


@dataclass(kw_only=True)
class Problems:
    """What went wrong in a pass over runs or accounts."""

    errors: list[str] = field(default_factory=list)
    """One line for each kind of thing that went wrong."""

    def note(self, line: str) -> None:
        """Keep a line once."""
        if line not in self.errors:
            self.errors.append(line)


def each_account(
    work: Workplace, waiting: Iterable[Outstanding], note: Callable[[str], None]
) -> Iterator[Ports]:
    """Yield the ports of each account that something waits for.

    `note` gets a line for each that cannot be opened, with the number of runs that wait for it.
    """
    runs: Counter[tuple[str, str]] = Counter()
    for outstanding in waiting:
        runs[outstanding.provider, outstanding.resource] += outstanding.runs
    for (provider, resource), count in sorted(runs.items()):
        ports = _open(work, provider, resource, count, note)
        if ports is not None:
            yield ports


def by_account(
    work: Workplace, submissions: Iterable[Submission], note: Callable[[str], None]
) -> Iterator[tuple[Ports, Sequence[Submission]]]:
    """Yield submissions grouped by the account that they were sent with, and its ports.

    `note` gets a line for each that cannot be opened, as in `each_account`.
    """
    sent_with: dict[tuple[str, str], list[Submission]] = {}
    for submission in submissions:
        sent_with.setdefault((submission.provider, submission.resource), []).append(submission)
    for (provider, resource), group in sorted(sent_with.items()):
        ports = _open(work, provider, resource, len(group), note)
        if ports is not None:
            yield ports, group


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


def stop_if_rejected(ports: Ports, resource: str, error: ProviderError) -> None:
    """Stop submitting with an account that its provider rejects; ignore other errors."""
    if isinstance(error, AccountRejected):
        ports.ledger.stop_account(resource, error.code or str(error.status), error.vendor_message)


def check_identity(ports: Ports) -> None:
    """Refuse to buy with an account under another one's resource key. One request, at most.

    Keys are rotated, and an account keeps its resource key; what was bought with another account
    is not known to this one: it would neither be found nor collected.

    Raises: ConfigurationError; ProviderUnavailable, when the provider cannot tell just now.
    """
    name, identity = ports.provider.name, _identity(ports)
    kept = ports.ledger.keep_account(ports.resource, name, identity)
    since = f"{kept.seen_at:%Y-%m-%d %H:%M} UTC"
    ways_out = (
        "Nothing was sent. Give the other account a resource key of its own, so that what was "
        "bought before is still found; or, if it is the same account or all of it is settled, "
        f"`flow-pipelines ledger forget-account {ports.resource}`"
    )
    if kept.provider != name:
        raise AccountMissing(
            f"the resource {ports.resource!r} is {name}'s now, and was {kept.provider}'s when it "
            f"first bought, on {since}. {ways_out}"
        )
    if identity and kept.identity and identity.isdisjoint(kept.identity):
        raise ConfigurationError(
            f"the resource {ports.resource!r} is another account at {name} than on {since}, when "
            f"it first bought: {_listed(kept.identity)} then, {_listed(identity)} now. {ways_out}"
        )


def note_budget(ports: Ports, daily_budget_usd: Decimal | None) -> None:
    """Let metrics tell what the account may spend a day, as it is configured now."""
    ports.ledger.note_daily_budget(ports.resource, ports.provider.name, daily_budget_usd)


def _identity(ports: Ports) -> frozenset[str]:
    """Return who the provider says that the account is; nothing, where it does not."""
    if not isinstance(ports.provider, TellsIdentity):
        return frozenset()
    try:
        return ports.provider.identity()
    except ProviderUnavailable:
        raise
    except ProviderError as error:
        ports.log(f"{ports.resource}: it could not be asked whose account it is: {error}")
        return frozenset()


def _listed(identity: frozenset[str]) -> str:
    return ", ".join(sorted(identity)[:5])
