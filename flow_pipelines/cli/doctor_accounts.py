"""Whether each configured key works, the clocks agree, and somebody polls what is at providers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flow_pipelines.assets.unlisted_runs import describe_unlisted_runs
from flow_pipelines.cli.findings import Finding, Mark
from flow_pipelines.cli.location import Accounts
from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.records import Outstanding
from flow_pipelines.lifecycle.accounts import waits_for
from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from flow_pipelines.provider import PaceStore
from flow_pipelines.resources import ProviderResource

LARGEST_PROVIDER_SKEW = timedelta(seconds=30)
"""A larger difference between a provider's clock and ours misleads a search by time."""
UNPOLLED = timedelta(hours=1)
"""A run that was due so long ago is polled by nobody: sensors do within seconds."""
_CORRECT = "Correct that variable, or the resource in your definitions."
_FORBIDDEN = 403
_PAYMENT = 402


@dataclass
class Skews:
    """How far this machine's clock is from others'."""

    seen: dict[str, timedelta] = field(default_factory=dict)
    largest: timedelta = LARGEST_PROVIDER_SKEW

    def note(self, whose: str, their_time: datetime | None, now: datetime) -> None:
        """Keep the difference to a clock that told its time just now."""
        if their_time is not None:
            self.seen[whose] = now - their_time

    def finding(self) -> Finding:
        """Return a finding on the largest difference: other clocks may be wrong too, rarely all."""
        if not self.seen:
            says = "nobody was reached who tells the time"
            return Finding("clock", Mark.YELLOW, says)
        whose, skew = max(self.seen.items(), key=lambda item: abs(item[1]))
        seconds = abs(skew.total_seconds())
        if abs(skew) <= self.largest:
            says = f"within {seconds:.0f} s of {', '.join(self.seen)}"
            return Finding("clock", Mark.GREEN, says)
        way = "ahead of" if skew > timedelta(0) else "behind"
        says = f"{seconds:.0f} s {way} the clock of {whose}"
        do = "Let this machine keep its clock by NTP (timedatectl set-ntp true)."
        return Finding("clock", Mark.YELLOW, says, do)


class AccountsDoctor:
    """Checks the key of every provider that has one."""

    def __init__(self, accounts: Accounts, pace: PaceStore, clock: Clock) -> None:
        self._accounts, self._pace, self._clock = accounts, pace, clock
        self.skews = Skews()

    def check_accounts(self) -> Iterator[Finding]:
        """Return a finding for each account, one where none is set up, and of keys in plain."""
        findings = [self._check(key) for key in self._accounts.provider_keys()]
        yield from findings
        for finding in findings:
            if finding.mark is not Mark.NOT_SET_UP:
                yield from self._in_plain(finding.check)
        if all(one.mark is Mark.NOT_SET_UP for one in findings):
            do = "Set the key of the provider that your batches name, as shown above."
            yield Finding("accounts", Mark.YELLOW, "no provider is set up", do)

    def _check(self, key: str) -> Finding:
        try:
            account = self._accounts.get(key, ProviderResource)
            if not account.has_key():
                says = f"not set up ({account.profile.key_variable})"
                return Finding(key, Mark.NOT_SET_UP, says)
            return self._ask(key, account)
        except ConfigurationError as error:
            return Finding(key, Mark.RED, str(error), _CORRECT)

    def _in_plain(self, key: str) -> Iterator[Finding]:
        with suppress(ConfigurationError):
            for origin in self._accounts.get(key, ProviderResource).plain_origins():
                says = f"{key}'s key goes to {origin}; whoever is on the way reads it"
                do = "Let that server have https, and take allow_http off the resource."
                yield Finding("http", Mark.YELLOW, says, do)

    def _ask(self, key: str, account: ProviderResource) -> Finding:
        if account.profile.probe is None and account.profile.sign_in is None:
            says = f"{account.profile.title} has no free request that would show whether it works"
            return Finding(key, Mark.YELLOW, says)
        try:
            report = account.check_account(self._pace, self._clock)
        except ProviderError as error:
            return _problem(key, account, error)
        title = account.profile.title
        self.skews.note(title, report.server_time, self._clock.now())
        more = f"; {report.leaves_open}" if report.leaves_open else ""
        return Finding(key, Mark.GREEN, f"{title} accepts the key{more}")


def _problem(key: str, account: ProviderResource, error: ProviderError) -> Finding:
    known = account.profile
    if isinstance(error, AccountRejected):
        return Finding(key, Mark.RED, str(error), _advice(account, error))
    if isinstance(error, RateLimited):
        says = f"not asked: the account's rate limit is used up just now ({error})"
        minutes = math.ceil((error.retry_after_seconds or 60.0) / 60)
        return Finding(key, Mark.YELLOW, says, f"Ask again in {minutes:,} minute(s).")
    address = f"{known.url_variables['base_url']} (now {account.base_url_in_use()})"
    if isinstance(error, ProviderUnavailable):
        do = f"Is this machine online, behind a proxy? Is {address} right? Else ask again later."
    else:
        do = f"That is not how {known.title} answers. Is {address} right?"
    return Finding(key, Mark.RED, str(error), do)


def _advice(account: ProviderResource, error: AccountRejected) -> str:
    known = account.profile
    if error.status == _FORBIDDEN:
        return f"Give the key the rights to read and run workflows; see {known.documentation}."
    if error.status == _PAYMENT:
        return f"The account has no credit or plan left: see {known.documentation}."
    return (
        f"Set {known.key_variable} to a key that is valid now, copied whole; "
        f"see {known.documentation}."
    )


def check_runs(ledger: RunLedger, accounts: Accounts, now: datetime) -> Iterator[Finding]:
    """Check what is in flight or unresolved, of every batch and every code location."""
    outstanding = ledger.outstanding()
    findings = [*_unpolled(ledger, outstanding, now), *_without_account(accounts, outstanding)]
    yield from findings
    yield from _of_no_batch(ledger, accounts, outstanding)
    if not findings:
        runs = sum(one.in_flight for one in outstanding)
        says = f"{runs} in flight, none of them due for long" if runs else "nothing is in flight"
        yield Finding("polling", Mark.GREEN, says)


def _unpolled(
    ledger: RunLedger, outstanding: Sequence[Outstanding], now: datetime
) -> Iterator[Finding]:
    late = [one for one in outstanding if one.due_at and one.due_at < now - UNPOLLED]
    locations = ledger.batch_locations({one.batch for one in late})
    for one in late:
        where = locations.get(one.batch, "no code location")
        says = (
            f"{one.batch} ({where}): {one.in_flight} run(s) at {one.provider}, account "
            f"{one.resource!r}, and nobody has polled since {one.due_at:%Y-%m-%d %H:%M} UTC"
        )
        do = (
            f"Is the daemon running, and {one.provider}_runs_sensor on? `flow-pipelines "
            f"collect {one.batch} --module MODULE` polls and stores them now."
        )
        yield Finding("polling", Mark.RED, says, do)


def _of_no_batch(
    ledger: RunLedger, accounts: Accounts, outstanding: Sequence[Outstanding]
) -> Iterator[Finding]:
    """Report nights that no batch of this code location stores: a person, or another one, has to.

    Without a module nobody knows which batches there are.
    """
    defined = accounts.batches
    if defined is None:
        return
    listed = ledger.nights_besides(defined)
    owners = ledger.batch_locations({*defined, *(record.night.batch for record in listed)})
    here = {owners.get(batch) for batch in defined}
    nights = [one for one in listed if owners.get(one.night.batch) in {None, *here}]
    lines = describe_unlisted_runs(
        outstanding, nights, batches=defined, defined=defined, serves=lambda _provider: True
    )
    do = "That command, with the module given here; nothing, where another location has it."
    yield from (Finding("batches", Mark.YELLOW, line, do) for line in lines)


def _without_account(accounts: Accounts, outstanding: Sequence[Outstanding]) -> Iterator[Finding]:
    for one in outstanding if accounts.of_location else ():
        try:
            name = accounts.get(one.resource, ProviderResource).provider_name
            problem = None if name == one.provider else f"that resource is {name}'s now"
        except ConfigurationError as error:
            problem = str(error)
        if problem:
            says = f"{one.batch}: {waits_for(one.runs, one.provider, one.resource, problem)}"
            do = "Bring that resource back until they are stored."
            yield Finding(one.resource, Mark.RED, says, do)
