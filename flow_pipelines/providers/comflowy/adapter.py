"""Comflowy behind the verbs of the seam: ComfyUI workflows saved there, run by their id."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager

from flow_pipelines.batches.graphs import is_node_parameter
from flow_pipelines.batches.keys import stable_hash
from flow_pipelines.model import OutputRef, Receipt, RunReport, SubmissionState, Workflow
from flow_pipelines.model.errors import ConfigurationError, RequestRejected
from flow_pipelines.provider import (
    AnsweredRequest,
    ApiRequest,
    Capabilities,
    Download,
    ProviderAdapter,
    SubmitRequest,
    Transport,
)
from flow_pipelines.providers.comflowy.calls import NAME, OUT_OF_CREDIT, STATES, meaning_of
from flow_pipelines.providers.comflowy.client import ComflowyClient, started_run
from flow_pipelines.providers.comflowy.outputs import outputs_of
from flow_pipelines.providers.comflowy.records import Run

_WORKFLOW_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}")


class ComflowyProvider(ProviderAdapter[ComflowyClient]):
    """Comflowy behind the verbs of `provider.Provider`."""

    name = NAME
    capabilities = Capabilities(cached_when_identical=True)

    def __init__(self, transport: Transport, base_url: str) -> None:
        """`base_url` is the API's address."""
        super().__init__(transport, ComflowyClient(transport, base_url))

    def read_workflow(self, reference: str, read_file: Callable[[str], bytes]) -> Workflow:
        """Take a workflow by its id, without a request: no call tells anything about one."""
        del read_file
        if not _WORKFLOW_ID.fullmatch(reference) or reference.endswith(".json"):
            raise ConfigurationError(
                f"{reference!r} is not a workflow id of Comflowy: in its editor, the address ends "
                "with ?id= and the id"
            )
        return Workflow(
            reference=reference,
            version=stable_hash([NAME, reference]),
            body={"workflow_id": reference},
            closed=False,
            node_parameters=True,
        )

    def prepare(self, request: SubmitRequest) -> ApiRequest:
        """Return the call that runs the workflow; nothing in it names the submission."""
        _check_parameters(request)
        workflow_id = request.workflow.body["workflow_id"]
        return self.client.run_request(
            workflow_id, request.parameters, on_result_url=request.callback_url
        )

    def read_receipt(self, reply: AnsweredRequest) -> Receipt:
        """Read the answer to a submit; see `ProviderAdapter`."""
        return Receipt(provider_run_id=started_run(reply).run_id)

    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        """Ask once for a run; see `Provider`."""
        del workflow
        return _report(self.client.check(provider_run_id))

    def fetch(self, output: OutputRef, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Stream an output by its link; see `Provider`."""
        return self.client.open_link(self.link_of(output), max_bytes=max_bytes)


def _report(run: Run) -> RunReport:
    state = STATES.get(run.status.lower())
    failed = state is SubmissionState.FAILED
    return RunReport(
        provider_run_id=run.run_id,
        state=state,
        provider_status=run.status,
        outputs=outputs_of(run),
        error_code=run.status.lower() if failed else None,
        error_message=(run.error_message or f"Comflowy says: {run.status}") if failed else None,
        account_problem=failed and meaning_of(run.error_message or "") == OUT_OF_CREDIT,
    )


def _check_parameters(request: SubmitRequest) -> None:
    wrong = [name for name in request.parameters if not is_node_parameter(name)]
    if wrong:
        # Nothing was sent, and nobody should have to find that out.
        why = f'{wrong[0]!r} is not written "<node id>::<field>"'
        raise RequestRejected(why, provider=NAME, operation="run")
