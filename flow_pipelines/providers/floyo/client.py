"""The typed client of Floyo's calls; those about runs. Source: docs.floyo.ai/workflow-runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flow_pipelines.model import json_values as read
from flow_pipelines.provider import ApiRequest, Resend
from flow_pipelines.providers.floyo.calls import CONFLICT, expansion
from flow_pipelines.providers.floyo.files import FileCalls
from flow_pipelines.providers.floyo.records import Cancellation, CreatedRun, ListedRun, Run


class FloyoClient(FileCalls):
    """Floyo's documented calls. Opens no connection itself; safe to share between threads."""

    def create_run(self, workflow: Mapping[str, Any], name: str | None = None) -> CreatedRun:
        """Run a graph in API format. Billed; sent once.

        Floyo documents no idempotency key, and answers 500 also where a wallet or a team's
        rights refuse the run ("Failed to create run"): no 5xx proves that nothing was bought.

        Raises: ProviderError; SubmitOutcomeUnknown, when a run may have been bought.
        """
        return self.send(self.create_run_request(workflow, name)).read(CreatedRun)

    def create_run_request(self, workflow: Mapping[str, Any], name: str | None) -> ApiRequest:
        """Return the call that `create_run` sends."""
        body: dict[str, Any] = {"workflow": workflow}
        if name is not None:
            body["name"] = name
        return self._request("create_run", "POST", "/runs", resend=Resend.NEVER, json=body)

    def retrieve_run(
        self,
        run_id: str,
        expand: bool = False,  # noqa: FBT001, FBT002 - Floyo's own parameter
        presigned_url_expires_in: int | None = None,
    ) -> Run:
        """Ask for a run. Safe to repeat; costs nothing.

        `expand` asks for presigned URLs of the outputs, which live
        `presigned_url_expires_in` seconds (30 … 604800, Floyo's default 300).

        Raises: NotFound; ConfigurationError, for an expiry that Floyo refuses, as it does every
        one without `expand`; ProviderError.
        """
        params = expansion("outputs.presigned_url", expand, presigned_url_expires_in)
        path = f"/runs/{read.path_part(run_id)}"
        reply = self._call("retrieve_run", "GET", path, params=params, provider_run_id=run_id)
        run = reply.read(Run)
        if run.id != run_id:
            raise reply.unexpected("the answer is another run")
        return run

    def cancel_run(self, run_id: str) -> Cancellation:
        """Cancel a queued or processing run.

        Safe to repeat: a run that ended before stays as it ended (409, with that status).
        Raises: NotFound, ProviderError.
        """
        path = f"/runs/{read.path_part(run_id)}/cancel"
        reply = self._call(
            "cancel_run", "POST", path, answers=frozenset({CONFLICT}), provider_run_id=run_id
        )
        already_ended = reply.answer.status == CONFLICT
        return reply.read(Cancellation, {**reply.document(), "already_ended": already_ended})

    def search_runs(self, name: str) -> tuple[ListedRun, ...]:
        """List runs whose name fits `name`. Seen in clients only: may be gone tomorrow."""
        search = {"search": name, "limit": "10"}
        reply = self._call(
            "search_runs", "GET", "/runs", params=search, source="seen in clients only"
        )
        runs = (item for item in reply.objects("runs") if read.identifier(item.get("id")))
        return tuple(reply.read(ListedRun, run) for run in runs)
