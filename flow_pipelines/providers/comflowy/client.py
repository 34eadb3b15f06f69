"""Comflowy's documented calls, as plain methods."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from flow_pipelines.provider import (
    MAX_DOWNLOAD_BYTES,
    AnsweredRequest,
    ApiClient,
    ApiRequest,
    Download,
    Resend,
)
from flow_pipelines.providers.comflowy.calls import (
    API,
    created_nothing,
    data_of,
    tells_nothing,
    token_request,
)
from flow_pipelines.providers.comflowy.records import AccessToken, Run, StartedRun


class ComflowyClient(ApiClient):
    """Comflowy's documented calls. Opens no connection itself; safe to share between threads.

    The access token that `run` and `check` need is the transport's business (`SIGN_IN`).
    """

    api = API

    def get_token(self) -> AccessToken:
        """Exchange the key for an access token. Safe to repeat; costs nothing.

        For other tools: the calls here get theirs by themselves, and need none of these.
        """
        return self.send(token_request(self._base_url)).read(AccessToken)

    def run(
        self,
        workflow_id: str,
        params: Mapping[str, Any],
        *,
        on_result_url: str | None = None,
        on_progress_event_url: str | None = None,
    ) -> StartedRun:
        """Run a saved workflow with `params` (`"<node id>::<field>"` → value); give the run's id.

        Billed; sent once. The addresses are posted to unsigned, and only a result names its run:
        let them hold something that nobody can guess, and confirm what they say with `check`.

        Raises: SubmitOutcomeUnknown, when perhaps it runs; the other ProviderErrors: it does not.
        """
        request = self.run_request(
            workflow_id,
            params,
            on_result_url=on_result_url,
            on_progress_event_url=on_progress_event_url,
        )
        return started_run(self.send(request))

    def run_request(
        self,
        workflow_id: str,
        params: Mapping[str, Any],
        *,
        on_result_url: str | None = None,
        on_progress_event_url: str | None = None,
    ) -> ApiRequest:
        """Return the call that `run` sends."""
        optional = {"on_result_url": on_result_url, "on_progress_event_url": on_progress_event_url}
        urls = {name: url for name, url in optional.items() if url is not None}
        body: dict[str, Any] = {"workflow_id": workflow_id, "params": dict(params)}
        # The page types `callback_urls` as required, and does not say what it is without any.
        body |= {"callback_urls": urls} if urls else {}
        declared = {"resend": Resend.NEVER, "json": body, "is_error": created_nothing}
        return self._request("run", "POST", "/run", **declared)

    def check(self, run_id: str) -> Run:
        """Ask for a run. Safe to repeat; costs nothing. Documented as a POST, with no body."""
        declared = {"params": {"id": run_id}, "is_error": tells_nothing}
        reply = self._call("check", "POST", "/check", provider_run_id=run_id, **declared)
        return reply.read(Run, {**data_of(reply.document()), "run_id": run_id})

    def open_link(
        self, url: str, *, max_bytes: int = MAX_DOWNLOAD_BYTES
    ) -> AbstractContextManager[Download]:
        """Stream an output by a link from `check`, without the token.

        How long links live is not documented, nor that one would want a token.
        Raises: ProviderError, OutputRefused, TransferError.
        """
        return self._open_link("open_link", url, max_bytes, verdicts={})


def started_run(reply: AnsweredRequest) -> StartedRun:
    """Read the answer to a `run`. Raises: SubmitOutcomeUnknown, where it names no run."""
    return reply.read(StartedRun, data_of(reply.document()))
