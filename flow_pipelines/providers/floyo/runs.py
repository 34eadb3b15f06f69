"""Runs: created, asked for, cancelled. Source: docs.floyo.ai/workflow-runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flow_pipelines.model import json_values as read
from flow_pipelines.provider import (
    ApiRequest,
    Resend,
    expect_object,
    expect_objects,
    read_record,
    unexpected,
)
from flow_pipelines.providers.floyo.calls import CONFLICT, NAME, Caller, expansion, request
from flow_pipelines.providers.floyo.records import Cancellation, CreatedRun, ListedRun, Run


class RunCalls(Caller):
    """Floyo's calls about runs."""

    def create_run(self, workflow: Mapping[str, Any], name: str | None = None) -> CreatedRun:
        """Run a graph in API format. Billed; sent once.

        Floyo documents no idempotency key, and answers 500 also where a wallet or a team's
        rights refuse the run ("Failed to create run"): no 5xx proves that nothing was bought.

        Raises: ProviderError; SubmitOutcomeUnknown, when a run may have been bought.
        """
        sent = self.create_run_request(workflow, name)
        answer = self._transport.send(sent)
        return read_record(CreatedRun, NAME, sent, answer, expect_object(NAME, sent, answer))

    def create_run_request(self, workflow: Mapping[str, Any], name: str | None) -> ApiRequest:
        """Return the call that `create_run` sends."""
        body: dict[str, Any] = {"workflow": workflow}
        if name is not None:
            body["name"] = name
        url = f"{self._base_url}/runs"
        return request("create_run", "POST", url, resend=Resend.NEVER, json=body)

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
        request, answer = self._send(
            "retrieve_run", "GET", path, params=params, provider_run_id=run_id
        )
        document = expect_object(NAME, request, answer)
        run = read_record(Run, NAME, request, answer, document)
        if run.id != run_id:
            raise unexpected(NAME, request, answer, "the answer is another run")
        return run

    def cancel_run(self, run_id: str) -> Cancellation:
        """Cancel a queued or processing run.

        Safe to repeat: a run that ended before stays as it ended (409, with that status).
        Raises: NotFound, ProviderError.
        """
        path, ended = f"/runs/{read.path_part(run_id)}/cancel", CONFLICT
        request, answer = self._send(
            "cancel_run", "POST", path, answers=frozenset({ended}), provider_run_id=run_id
        )
        document = expect_object(NAME, request, answer)
        told = {**document, "already_ended": answer.status == ended}
        return read_record(Cancellation, NAME, request, answer, told)

    def search_runs(self, name: str) -> tuple[ListedRun, ...]:
        """List runs whose name fits `name`. Seen in clients only: may be gone tomorrow."""
        search = {"search": name, "limit": "10"}
        request, answer = self._send(
            "search_runs", "GET", "/runs", params=search, source="seen in clients only"
        )
        items = expect_objects(NAME, request, answer, "runs")
        return tuple(
            read_record(ListedRun, NAME, request, answer, item)
            for item in items
            if read.identifier(item.get("id"))
        )
