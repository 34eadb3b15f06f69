"""Comflowy's documented calls, as plain methods."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from flow_pipelines.provider import (
    ApiAnswer,
    ApiRequest,
    Download,
    Resend,
    Transport,
    expect_object,
    read_record,
)
from flow_pipelines.providers.comflowy.calls import (
    API_PAGE,
    NAME,
    VERDICTS,
    created_nothing,
    data_of,
    read_error,
    tells_nothing,
    token_request,
)
from flow_pipelines.providers.comflowy.records import AccessToken, Run, StartedRun


class ComflowyClient:
    """Comflowy's documented calls. Opens no connection itself; safe to share between threads.

    The access token that `run` and `check` need is the transport's business (`SIGN_IN`).
    """

    def __init__(self, transport: Transport, base_url: str) -> None:
        """`base_url` is the API's address, up to and with its version."""
        self._transport, self._base_url = transport, base_url.rstrip("/")

    def get_token(self) -> AccessToken:
        """Exchange the key for an access token. Safe to repeat; costs nothing.

        For other tools: the calls here get theirs by themselves, and need none of these.
        """
        request = token_request(self._base_url)
        answer = self._transport.send(request)
        document = expect_object(NAME, request, answer)
        return read_record(AccessToken, NAME, request, answer, document)

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
        answer = self._transport.send(request)
        data = data_of(expect_object(NAME, request, answer))
        return read_record(StartedRun, NAME, request, answer, data)

    def run_request(
        self,
        workflow_id: str,
        params: Mapping[str, Any],
        *,
        on_result_url: str | None = None,
        on_progress_event_url: str | None = None,
    ) -> ApiRequest:
        """Return the call that `run` sends."""
        told = {"on_result_url": on_result_url, "on_progress_event_url": on_progress_event_url}
        urls = {name: url for name, url in told.items() if url is not None}
        body: dict[str, Any] = {"workflow_id": workflow_id, "params": dict(params)}
        # The page types `callback_urls` as required, and does not say what it is without any.
        body |= {"callback_urls": urls} if urls else {}
        return self._request("run", resend=Resend.NEVER, json=body, is_error=created_nothing)

    def check(self, run_id: str) -> Run:
        """Ask for a run. Safe to repeat; costs nothing. Documented as a POST, with no body."""
        request, answer = self._post(
            "check", params={"id": run_id}, is_error=tells_nothing, provider_run_id=run_id
        )
        data = data_of(expect_object(NAME, request, answer))
        return read_record(Run, NAME, request, answer, {**data, "run_id": run_id})

    def open_link(
        self, url: str, *, max_bytes: int = 256 * 1024 * 1024
    ) -> AbstractContextManager[Download]:
        """Stream an output by a link from `check`, without the token.

        How long links live is not documented, nor that one would want a token.
        Raises: ProviderError, OutputRefused, TransferError.
        """
        request = ApiRequest(
            operation="open_link",
            method="GET",
            url=url,
            resend=Resend.SAFE,
            source=API_PAGE,
            authenticated=False,
            paced=False,
            read_error=read_error,
        )
        return self._transport.open(request, max_bytes=max_bytes)

    def _post(self, operation: str, **rest: Any) -> tuple[ApiRequest, ApiAnswer]:
        request = self._request(operation, **rest)
        return request, self._transport.send(request)

    def _request(self, operation: str, **rest: Any) -> ApiRequest:
        declared = {"resend": Resend.SAFE, "verdicts": VERDICTS, **rest}
        return ApiRequest(
            operation=operation,
            method="POST",
            url=f"{self._base_url}/{operation}",
            source=API_PAGE,
            read_error=read_error,
            **declared,
        )
