"""The adapter: the few verbs that every provider answers to."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from flow_pipelines.model.output import OutputRef, Receipt, RunReport
from flow_pipelines.model.submission import Cost
from flow_pipelines.model.workflow import Workflow
from flow_pipelines.provider.calls import ApiRequest
from flow_pipelines.provider.ports import Download, Purpose


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a provider's API can do; the rest is never asked of it."""

    cancel: bool = False
    find: bool = False
    """Its list of runs shows the labels that we gave them."""
    replays: bool = False
    """A documented idempotency key makes a second copy harmless."""
    durable_outputs: bool = False
    """Outputs are fetched by id; False: by a URL that a poll gives, and that may expire."""
    cached_when_identical: bool = False
    """Identical requests are answered from a cache, possibly with no output (ComfyUI)."""
    workflow_is_file: bool = False
    """`workflow` is a file or s3:// URI that we read; False: an id at the provider."""
    flotime: bool = False


@dataclass(frozen=True, kw_only=True)
class SubmitRequest:
    """What an adapter needs to buy one submission. The same value gives the same bytes."""

    submission_key: str
    workflow: Workflow
    parameters: Mapping[str, Any]
    label: str
    """Unique name for people, holding the idempotency key at its end."""
    idempotency_key: str
    """The submission key and, where the intent has one, the id of the ledger that wrote it: what
    tells this submission from every other, those of other ledgers on one account too."""
    callback_url: str | None = field(default=None, repr=False)
    """Where the provider may tell that the run has ended. Holds a token, so it is never printed
    nor stored. The same for every copy of a request."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A run that may be a submission's, or anybody's: only a person can tell."""

    provider_run_id: str
    created_at: datetime | None = None
    cost_usd: Decimal | None = None
    link: str | None = field(default=None, repr=False)
    """What a person may open to look at it. For a terminal only: never logged nor stored."""


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A picture that a parameter takes."""

    content: bytes = field(repr=False)
    file_name: str
    """Of our making: the content's hash and the extension of its media type."""
    media_type: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class WorkflowListing:
    """A workflow as a provider lists it."""

    reference: str
    """What `workflow:` in a `defs.yaml` takes."""
    name: str
    description: str | None = None


class Provider(Protocol):
    """The adapter: few verbs over one account of one provider. No verb waits or retries."""

    name: str
    capabilities: Capabilities

    @abstractmethod
    def read_workflow(self, reference: str, read_file: Callable[[str], bytes]) -> Workflow:
        """Get the workflow that `reference` names, with the parameters it takes. Costs nothing.

        `read_file` reads a relative path or s3:// URI. Raises: ConfigurationError, ProviderError.
        """

    def take_turn(self, purpose: Purpose) -> None:
        """Wait for a place under the rate limit; see `Transport.take_turn`."""

    @abstractmethod
    def prepare(self, request: SubmitRequest) -> ApiRequest:
        """Return the one call that `submit` sends for `request`, byte for byte. No I/O.

        Whatever is wrong with a row shows here, before its intent is written.
        Raises: RequestRejected, where the row is at fault; ConfigurationError.
        """

    def submit(self, request: SubmitRequest) -> Receipt:
        """Buy one provider run: send what `prepare` gives. Sent once; billed.

        Raises: ProviderUnavailable, AccountRejected, NotFound (all:
        planned again), RequestRejected (failed), KeyAlreadyKnown (look up), and for everything
        else SubmitOutcomeUnknown.
        """

    @abstractmethod
    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Ask once for the state of a run, outputs included when it has ended. Safe to repeat."""

    def cancel(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Cancel a run; a run that ended before gives its final state. Safe to repeat.

        Raises: ConfigurationError where `capabilities.cancel` is False.
        """

    def find(self, request: SubmitRequest, since: datetime) -> Sequence[Receipt]:
        """Return runs created since `since` that bear the label of `request`: they are its own.

        Safe to repeat; an empty answer proves nothing. Empty where `capabilities.find` is False.
        Raises: ProviderError, also where the list is not documented and not there.
        """

    @abstractmethod
    def fetch(self, output: OutputRef, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Stream an output: by its id where outputs are durable, else by its `url`."""

    def cost(self, report: RunReport, price_usd_per_run: Decimal | None) -> Cost:
        """Return what an ended run cost.

        `price_usd_per_run` is the batch's own figure, for providers that state no price.
        """

    def estimate_usd(self, workflow: Workflow, price_usd_per_run: Decimal | None) -> Decimal | None:
        """Return what one run is expected to cost; None: cannot be known before."""


@runtime_checkable
class TakesFiles(Protocol):
    """A provider that keeps the pictures that its runs take."""

    def upload_input(self, file: InputFile) -> str:
        """Upload a picture; return its lasting name at the provider. Not billed.

        The name is remembered for this content and this account: an id or a path, no secret, and
        no link that opens the picture. A second upload of the same content does no harm.

        Raises: ProviderError; ConfigurationError, for a picture that the provider takes no way.
        """

    def input_value(self, uploaded: str) -> str:
        """Return what a parameter takes for an uploaded picture. Safe to repeat; not billed.

        May ask the provider once, and then remembers. Raises: NotFound, when the provider does
        not keep it any more; ProviderError.
        """


@runtime_checkable
class ListsCandidates(Protocol):
    """A provider whose list shows none of our names: it proves nothing, and helps people."""

    def candidates(
        self, request: SubmitRequest, since: datetime, until: datetime
    ) -> Sequence[Candidate]:
        """Return runs of the workflow of `request` created from `since` to `until`.

        Newest first; safe to repeat; not billed. Some, where there are too many to see them all.
        Raises: ProviderError.
        """


@runtime_checkable
class TellsIdentity(Protocol):
    """A provider that tells whose account a key opens."""

    def identity(self) -> frozenset[str]:
        """Return ids that stay with the account when its key is rotated; one request, no money.

        Two keys are of one account when they share an id. Raises: ProviderError.
        """


@runtime_checkable
class ListsWorkflows(Protocol):
    """A provider that can be asked what there is to run."""

    def list_workflows(self) -> Iterator[WorkflowListing]:
        """Go through the workflows that this account may run, a page at a time. Costs nothing."""
