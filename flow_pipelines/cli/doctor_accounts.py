"""Whether each configured key works, and whether the clocks agree."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flow_pipelines.cli.findings import Finding, Mark
from flow_pipelines.cli.location import Accounts
from flow_pipelines.clock import Clock
from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from flow_pipelines.provider import PaceStore
from flow_pipelines.resources import ProviderResource

LARGEST_SKEW = timedelta(seconds=30)
"""Beyond it, what a provider and we call the same moment differs enough to mislead a search."""
_CORRECT = "Correct that variable, or the resource in your definitions."
_FORBIDDEN = 403
_PAYMENT = 402


@dataclass
class Skews:
    """How far this machine's clock is from others'."""

    seen: dict[str, timedelta] = field(default_factory=dict)

    def note(self, whose: str, told: datetime | None, now: datetime) -> None:
        """Keep the difference to a clock that told its time just now."""
        if told is not None:
            self.seen[whose] = now - told

    def finding(self) -> Finding:
        """Judge the largest difference: other clocks may be wrong too, but rarely all."""
        if not self.seen:
            says = "nobody was reached who tells the time"
            return Finding(check="clock", mark=Mark.YELLOW, says=says)
        whose, skew = max(self.seen.items(), key=lambda item: abs(item[1]))
        seconds = abs(skew.total_seconds())
        if abs(skew) <= LARGEST_SKEW:
            says = f"within {seconds:.0f} s of {', '.join(self.seen)}"
            return Finding(check="clock", mark=Mark.GREEN, says=says)
        way = "ahead of" if skew > timedelta(0) else "behind"
        return Finding(
            check="clock",
            mark=Mark.YELLOW,
            says=f"{seconds:.0f} s {way} the clock of {whose}",
            do="Let this machine keep its clock by NTP (timedatectl set-ntp true).",
        )


class AccountsDoctor:
    """Asks each provider whose key is set whether it works."""

    def __init__(self, accounts: Accounts, pace: PaceStore, clock: Clock) -> None:
        self._accounts, self._pace, self._clock = accounts, pace, clock
        self.skews = Skews()

    def check_accounts(self) -> Iterator[Finding]:
        """Return a finding for each account, and one where none is set up."""
        findings = [self._check(key) for key in self._accounts.provider_keys()]
        yield from findings
        if all(one.mark is Mark.NOT_SET_UP for one in findings):
            yield Finding(
                check="accounts",
                mark=Mark.YELLOW,
                says="no provider is set up",
                do="Set the key of the provider that your batches name, as shown above.",
            )

    def _check(self, key: str) -> Finding:
        try:
            account = self._accounts.get(key, ProviderResource)
            if not account.has_key():
                says = f"not set up ({account.profile.key_variable})"
                return Finding(check=key, mark=Mark.NOT_SET_UP, says=says)
            return self._ask(key, account)
        except ConfigurationError as error:
            return Finding(check=key, mark=Mark.RED, says=str(error), do=_CORRECT)

    def _ask(self, key: str, account: ProviderResource) -> Finding:
        if account.profile.probe is None and account.profile.sign_in is None:
            says = f"{account.profile.title} has no free request that would show whether it works"
            return Finding(check=key, mark=Mark.YELLOW, says=says)
        try:
            report = account.check_account(self._pace, self._clock)
        except ProviderError as error:
            return _problem(key, account, error)
        title = account.profile.title
        self.skews.note(title, report.server_time, self._clock.now())
        more = f"; {report.leaves_open}" if report.leaves_open else ""
        return Finding(check=key, mark=Mark.GREEN, says=f"{title} accepts the key{more}")


def _problem(key: str, account: ProviderResource, error: ProviderError) -> Finding:
    known = account.profile
    if isinstance(error, AccountRejected):
        return Finding(check=key, mark=Mark.RED, says=str(error), do=_advice(account, error))
    if isinstance(error, RateLimited):
        says = f"not asked: the account's rate limit is used up just now ({error})"
        minutes = math.ceil((error.retry_after_seconds or 60.0) / 60)
        return Finding(
            check=key, mark=Mark.YELLOW, says=says, do=f"Ask again in {minutes:,} minute(s)."
        )
    address = f"{known.url_variables['base_url']} (now {account.base_url_in_use()})"
    if isinstance(error, ProviderUnavailable):
        do = f"Is this machine online, behind a proxy? Is {address} right? Else ask again later."
    else:
        do = f"That is not how {known.title} answers. Is {address} right?"
    return Finding(check=key, mark=Mark.RED, says=str(error), do=do)


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
