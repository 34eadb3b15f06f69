"""The base of every adapter: what follows from a provider's capabilities is written once, here."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Generic, TypeVar

from flow_pipelines.bounded_cache import BoundedCache
from flow_pipelines.model.errors import ConfigurationError, OutputRefused, UnexpectedAnswer
from flow_pipelines.model.output import OutputRef, Receipt, RunReport
from flow_pipelines.model.states import SubmissionState
from flow_pipelines.model.submission import Cost, CostBasis
from flow_pipelines.model.workflow import Workflow
from flow_pipelines.provider.adapter import Provider, SubmitRequest
from flow_pipelines.provider.client import AnsweredRequest, ApiClient
from flow_pipelines.provider.ports import Purpose, Transport

C = TypeVar("C", bound=ApiClient)
_NOW = 0.0
"""Input values never expire, so every time is the same one."""


class ProviderAdapter(Provider, Generic[C]):
    """A provider behind the verbs of `Provider`.

    A subclass has `name` and `capabilities`, and writes `read_workflow`, `prepare`,
    `read_receipt`, `poll` and `fetch`. `send_cancel` and `find` it writes exactly where its
    capabilities say so.
    """

    _VERBS: ClassVar[Mapping[str, str]] = {"cancel": "send_cancel", "find": "find"}
    """Capability → what a subclass that has it writes."""

    def __init_subclass__(cls, **named: Any) -> None:
        """Raise TypeError unless a capability and its method are both there, or neither is."""
        super().__init_subclass__(**named)
        for capability, verb in cls._VERBS.items():
            is_written = getattr(cls, verb) is not getattr(ProviderAdapter, verb)
            if is_written != getattr(cls.capabilities, capability):
                raise TypeError(f"{cls.__name__}: capability {capability!r} and {verb}() disagree")

    def __init__(self, transport: Transport, client: C) -> None:
        """`client` has the provider's calls over the same `transport`."""
        self._transport, self.client = transport, client

    def take_turn(self, purpose: Purpose) -> None:
        """Wait for a turn; see `Provider`."""
        self._transport.take_turn(purpose)

    def submit(self, request: SubmitRequest) -> Receipt:
        """Buy one run: send what `prepare` builds, once; see `Provider`."""
        return self.read_receipt(self.client.send(self.prepare(request)))

    @abstractmethod
    def read_receipt(self, reply: AnsweredRequest) -> Receipt:
        """Read the answer to a submit. Raises: SubmitOutcomeUnknown, where it names no run."""

    def cancel(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Cancel a run, then poll it: a cancel's own answer need not tell outputs and costs."""
        with suppress(UnexpectedAnswer):  # the poll tells what became of the run
            self.send_cancel(provider_run_id)
        return self.poll(provider_run_id, workflow)

    def send_cancel(self, provider_run_id: str) -> None:
        """Ask the provider to cancel a run; one that has ended is no error. Default: refuse."""
        raise ConfigurationError(f"{self.name} documents no way to cancel {provider_run_id}")

    def find(self, request: SubmitRequest, since: datetime) -> Sequence[Receipt]:
        """Return nothing: without `capabilities.find` no list shows our labels."""
        del request, since
        return ()

    def cost(self, report: RunReport, price_usd_per_run: Decimal | None) -> Cost:
        """Return the charge that the provider states, else the batch's price for a success."""
        if report.charged_usd is not None:
            return Cost.of(report.charged_usd, CostBasis.CHARGED)
        succeeded = report.state is SubmissionState.SUCCEEDED
        return Cost.of(price_usd_per_run if succeeded else None, CostBasis.ESTIMATED)

    def estimate_usd(self, workflow: Workflow, price_usd_per_run: Decimal | None) -> Decimal | None:
        """Return the workflow's own price where it has one, else the batch's."""
        return price_usd_per_run if workflow.price_usd is None else workflow.price_usd

    def link_of(self, output: OutputRef) -> str:
        """Return the link to an output of a poll. Raises: OutputRefused, where there is none."""
        if output.url is None:
            raise OutputRefused(f"{self.name}: output {output.output_id!r} has no link to open it")
        return output.url


class InputValues:
    """What parameters take for uploaded files, as the provider told it: at most so many.

    Safe to share between threads. The values may be links, so they are never printed.
    """

    def __init__(self, most: int = 10_000) -> None:
        """Remember nothing yet."""
        self._values: BoundedCache[str, str] = BoundedCache(lasts_seconds=math.inf, most=most)

    def put(self, uploaded: str, value: str) -> None:
        """Remember the value of an upload; the oldest one goes when there are too many."""
        self._values.put(uploaded, value, _NOW)

    def get_or(self, uploaded: str, ask: Callable[[], str]) -> str:
        """Return the remembered value of an upload; else ask for it, and remember it."""
        return self._values.get_or(uploaded, _NOW, ask)
