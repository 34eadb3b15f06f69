"""Providers as Dagster resources: an account's key, its addresses and what its runs cost."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import Field, PrivateAttr

from flow_pipelines.clock import Clock, SystemClock
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.provider import PaceStore, Provider, ProviderProfile, RateLimit
from flow_pipelines.providers import profile
from flow_pipelines.redaction import Secret
from flow_pipelines.resources.environment import BoundedResource, money, setting
from flow_pipelines.resources.run_ledger import RunLedgerResource
from flow_pipelines.retries import RetryBudget, Timeouts

if TYPE_CHECKING:
    from flow_pipelines.providers.comflowy import ComflowyClient
    from flow_pipelines.providers.floimg import FloImgClient
    from flow_pipelines.providers.flora import FloraClient
    from flow_pipelines.providers.floyo import FloyoClient
    from flow_pipelines.transport import AccountReport, HttpTransport, LinkSeal

DAILY_BUDGET = "FLOW_PIPELINES_DAILY_BUDGET_USD"


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long the calls of one user of an account may take."""

    turn_seconds: float
    """Longest wait for a turn under the rate limit."""
    timeouts: Timeouts
    retry: RetryBudget


IN_A_STEP = Patience(turn_seconds=120.0, timeouts=Timeouts(), retry=RetryBudget())
IN_A_TICK = Patience(
    turn_seconds=5.0,
    timeouts=Timeouts(connect_seconds=5.0, read_seconds=10.0),
    retry=RetryBudget(attempts=1, total_seconds=10.0),
)
"""A sensor's tick has 60 s in all; what fails in one is asked again by a later one."""


class ProviderResource(BoundedResource):
    """One account of one provider. A second account is a second resource under another key."""

    provider_name: ClassVar[str]
    """The provider's name in the registry."""

    api_key: str | None = Field(
        default=None,
        repr=False,
        description="The account's key: an EnvVar, never a literal, which the UI would show.",
    )
    base_url: str | None = Field(default=None, description="Address of the API.")
    daily_budget_usd: float | None = Field(
        default=None,
        description=f"Most to spend on a UTC day, over all batches. Default: {DAILY_BUDGET}.",
    )

    requests_per_minute: int | None = Field(
        default=None,
        gt=0,
        description="What the account's plan allows. Default: the provider's published limit.",
    )
    output_hosts: list[str] = Field(
        default_factory=list,
        description=(
            "Hosts that outputs may come from besides those that the provider is known to use, "
            "`.domain` for all below it. Where neither is told, every public host may."
        ),
    )
    allow_http: bool = Field(
        default=False,
        description=(
            "Allow plain http to the host of `base_url`, and to no other: whoever is on the way "
            "reads the key. For a server in your own network that has no https."
        ),
    )

    _client: Any = PrivateAttr(default=None)

    @property
    def profile(self) -> ProviderProfile:
        """The provider's profile, from the registry."""
        return profile(self.provider_name)

    def get_provider(
        self,
        pace: PaceStore,
        clock: Clock,
        *,
        patience: Patience = IN_A_STEP,
        key_required: bool = True,
    ) -> Provider:
        """Connect the account with the pace that all its users share. Opens no connection.

        Raises: ConfigurationError, naming the variable, when the key is missing.
        """
        if key_required and not self.has_key():
            variable = self.profile.key_variable
            raise ConfigurationError(f"{variable} is not set: {self.profile.title} needs a key")
        transport = self._transport(pace, clock, patience)
        return self.profile.connect(transport, **self._addresses(), **self._settings())

    def check_account(self, pace: PaceStore, clock: Clock) -> "AccountReport":
        """Ask the provider whether the key works. Costs one request, or two, and no money.

        Raises: ConfigurationError, for a key or URL that cannot be used; ProviderError, which
        says what the provider has against the key.
        """
        from flow_pipelines.transport import check_account

        transport = self._transport(pace, clock, IN_A_TICK)
        return check_account(transport, self.profile, self.base_url_in_use())

    def base_url_in_use(self) -> str:
        """Return the API's URL: this resource's, else the environment's, else the provider's."""
        return next(iter(self._addresses().values()))

    def plain_origins(self) -> Sequence[str]:
        """Return the allowed origins on the way to which others read the key."""
        from flow_pipelines.transport.addresses import AddressRefused, goes_in_plain, origin_of

        try:
            origins = dict.fromkeys(map(origin_of, self._addresses().values()))
        except AddressRefused:
            return []
        return [str(origin) for origin in origins if self.allow_http and goes_in_plain(origin)]

    def held_until(self, pace: PaceStore) -> datetime | None:
        """Return until when a 429 holds the account; None: it is not held."""
        key = setting(self.api_key, self.profile.key_variable)
        return pace.held_until(_account(self.provider_name, key))

    def has_key(self) -> bool:
        """Return whether a key is configured; it may still be a wrong one."""
        return bool(setting(self.api_key, self.profile.key_variable))

    def link_seal(self) -> "LinkSeal | None":
        """Return what seals links to this account's outputs; None without a key."""
        from flow_pipelines.transport import LinkSeal

        key = Secret(setting(self.api_key, self.profile.key_variable))
        return LinkSeal(self.provider_name, key) if key else None

    def get_client(self) -> Any:
        """Return the typed client of the provider's documented calls. The same one at every call.

        It shares the account's rate limit with everything that uses the default ledger; without
        one it keeps the limit within this process only.

        Raises: ConfigurationError, naming the variable, when the key is missing.
        """
        if self._client is None:
            provider: Any = self.get_provider(*_default_pace())
            self._client = provider.client
        return self._client

    def get_daily_budget_usd(self) -> Decimal | None:
        """Return the account's budget of a UTC day. Raises: ConfigurationError."""
        return money(self.daily_budget_usd, DAILY_BUDGET)

    def rate_limit(self) -> RateLimit | None:
        """Return what the account's plan allows, else the provider's published limit, if any."""
        if self.requests_per_minute is None:
            return self.profile.rate_limit
        return RateLimit(requests=self.requests_per_minute, per_seconds=60.0)

    def _transport(self, pace: PaceStore, clock: Clock, patience: Patience) -> "HttpTransport":
        from flow_pipelines.transport import HttpTransport

        key = setting(self.api_key, self.profile.key_variable)
        return HttpTransport(
            self.provider_name,
            origins=list(self._addresses().values()),
            secret=Secret(key),
            clock=clock,
            pace=pace,
            pace_key=_account(self.provider_name, key),
            rate_limit=self.rate_limit(),
            sign_in=self.profile.sign_in,
            patience_seconds=patience.turn_seconds,
            timeouts=patience.timeouts,
            retry=patience.retry,
            allowed_output_hosts=[*self.profile.output_hosts, *self.output_hosts],
            allow_http=self.allow_http,
        )

    def _addresses(self) -> dict[str, str]:
        """Return every address of the provider: a field's, else the environment's, else its own."""
        return {
            name: setting(getattr(self, name, None), self.profile.url_variables[name], default)
            or default
            for name, default in self.profile.urls.items()
        }

    def _settings(self) -> dict[str, Any]:
        """Return what else connecting takes: a field's value, else the environment's, if any."""
        settings = {
            name: setting(getattr(self, name, None), variable)
            for name, variable in self.profile.other_variables.items()
        }
        return {name: value for name, value in settings.items() if value}


class FloyoResource(ProviderResource):
    """Floyo: whole ComfyUI graphs, run by a hosted ComfyUI."""

    provider_name: ClassVar[str] = "floyo"

    cdn_url: str | None = Field(default=None, description="Address of the files.")
    usd_per_flotime_hour: float | None = Field(
        default=None,
        description=(
            "What an hour of FloTime costs on the account's plan; makes costs estimates instead "
            "of unknown. Floyo's answers hold FloTime, never money."
        ),
    )

    def get_client(self) -> "FloyoClient":
        """Return the client of Floyo's documented calls; see `ProviderResource.get_client`."""
        return cast("FloyoClient", super().get_client())

    def _settings(self) -> dict[str, Any]:
        rate = self.usd_per_flotime_hour
        return {"usd_per_flotime_hour": None if rate is None else Decimal(str(rate))}


class FloImgResource(ProviderResource):
    """FloImg: saved workflows, run by name with parameters."""

    provider_name: ClassVar[str] = "floimg"

    def get_client(self) -> "FloImgClient":
        """Return the client of FloImg's documented calls; see `ProviderResource.get_client`."""
        return cast("FloImgClient", super().get_client())


class ComflowyResource(ProviderResource):
    """Comflowy: ComfyUI workflows saved there. It publishes no rate limit: 60 a minute is ours."""

    provider_name: ClassVar[str] = "comflowy"

    def get_client(self) -> "ComflowyClient":
        """Return the client of Comflowy's documented calls; see `ProviderResource.get_client`."""
        return cast("ComflowyClient", super().get_client())


class FloraResource(ProviderResource):
    """FLORA: techniques, priced by FLORA. It publishes no rate limit: 60 a minute is ours."""

    provider_name: ClassVar[str] = "flora"

    workspace_id: str | None = Field(
        default=None,
        description="Where to look for runs whose answer was lost. Default: the key's only one.",
    )

    def get_client(self) -> "FloraClient":
        """Return the client of FLORA's documented calls; see `ProviderResource.get_client`."""
        return cast("FloraClient", super().get_client())


def _account(provider: str, key: str | None) -> str:
    """Name an account without naming its key: limits are per key, whatever resource holds it."""
    digest = hashlib.sha256((key or "").encode()).hexdigest()
    return f"{provider}:{digest[:16]}"


def _default_pace() -> tuple[PaceStore, Clock]:
    """Return the store of the account's turns, and the clock that it goes by."""
    try:
        ledger = RunLedgerResource().get_ledger()
    except ConfigurationError:
        from flow_pipelines.transport import MemoryPaceStore

        clock = SystemClock()
        return MemoryPaceStore(clock), clock
    return ledger.pace, ledger.clock
