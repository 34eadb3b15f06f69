"""Every call that Comflowy documents, by its typed client against the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread
from typing import Any

import pytest

from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import (
    AccountRejected,
    NotFound,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    SubmitOutcomeUnknown,
    TransferError,
)
from flow_pipelines.provider import ListsWorkflows, TakesFiles
from flow_pipelines.provider.callbacks import CallbackRequest
from flow_pipelines.providers import profile
from flow_pipelines.providers.comflowy import ComflowyClient
from flow_pipelines.providers.comflowy.callbacks import read_payload
from flow_pipelines.providers.comflowy.records import ProgressPayload, ResultPayload
from flow_pipelines_tests.conformance.providers.account import Account

WORKFLOW = "3fef208b-7d25-4d9a-8ec9-c79eb2153234"
PARAMS: dict[str, Any] = {"6::text": "a tiger", "3::seed": 7, "5::width": 64, "5::height": 64}


@pytest.fixture
def account(connect: Callable[[str], Account]) -> Account:
    found = connect("comflowy")
    found.control.configure(comflowy_token_seconds=3600.0, comflowy_token_is_jwt=False)
    return found


@pytest.fixture
def client(account: Account) -> ComflowyClient:
    found = account.provider.client  # type: ignore[attr-defined]
    assert isinstance(found, ComflowyClient)
    return found


class Mailbox:
    """An address to be posted to, and what came."""

    def __init__(self) -> None:
        self.letters: Queue[tuple[str, bytes]] = Queue()
        letters = self.letters

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(204)
                self.end_headers()
                letters.put((self.path, content))

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def take(self) -> tuple[str, bytes]:
        return self.letters.get(timeout=10)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.server.shutdown()
    box.server.server_close()


def ended(account: Account, client: ComflowyClient, run_id: str) -> Any:
    account.clock.advance(600)
    return client.check(run_id)


@pytest.mark.call("comflowy", "get_token")
def test_a_key_is_exchanged_for_a_token_that_nobody_sees(client: ComflowyClient) -> None:
    found = client.get_token()
    assert len(found.access_token.reveal()) > 20
    assert found.access_token.reveal() not in f"{found} {found!r}"
    assert found.access_token.reveal() != client.get_token().access_token.reveal()


@pytest.mark.call("comflowy", "get_token")
def test_a_key_that_nobody_has_gets_no_token(account: Account) -> None:
    stranger = Account("comflowy", account.sandbox, account.clock, key="cf_key_of_nobody")
    with pytest.raises(AccountRejected) as caught:
        stranger.provider.client.get_token()  # type: ignore[attr-defined]
    assert (caught.value.operation, caught.value.status) == ("get_token", 401)
    assert "cf_key_of_nobody" not in str(caught.value)


@pytest.mark.call("comflowy", "run")
def test_a_run_is_started_once_with_its_parameters(
    account: Account, client: ComflowyClient
) -> None:
    found = client.run(WORKFLOW, PARAMS)
    assert [run.id for run in account.control.runs("comflowy")] == [found.run_id]
    assert account.meter().runs_billed == 1


@pytest.mark.call("comflowy", "run")
@pytest.mark.parametrize(
    ("workflow_id", "params"),
    [
        ("missing-workflow", PARAMS),
        (WORKFLOW, {"text": "a tiger"}),
        (WORKFLOW, {"6::": "a tiger"}),
    ],
)
def test_a_refusal_under_200_is_told_in_comflowys_own_words_and_proves_nothing(
    account: Account,
    client: ComflowyClient,
    workflow_id: str,
    params: dict[str, Any],
) -> None:
    with pytest.raises(SubmitOutcomeUnknown) as caught:
        client.run(workflow_id, params)
    assert caught.value.status == 200
    assert caught.value.vendor_message
    assert account.meter().runs_billed == 0


@pytest.mark.call("comflowy", "run")
@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (200, "Insufficient credits", SubmitOutcomeUnknown),
        (402, "Insufficient credits", AccountRejected),
        (403, "no", AccountRejected),
        (400, "bad params", RequestRejected),
        (429, "Too many requests", ProviderUnavailable),
        (500, "oops", SubmitOutcomeUnknown),
    ],
)
def test_a_refusal_of_any_status_says_what_may_be_done_next(
    account: Account,
    client: ComflowyClient,
    status: int,
    text: str,
    error: type[ProviderError],
) -> None:
    body = {"success": False, "error": text}
    headers = {"x-request-id": "req_7"}
    account.fault("run", "status", status=status, body=body, headers=headers)
    with pytest.raises(error) as caught:
        client.run(WORKFLOW, PARAMS)
    assert (caught.value.vendor_message, caught.value.request_id) == (text, "req_7")


@pytest.mark.call("comflowy", "run")
def test_a_run_whose_answer_is_lost_is_never_sent_again(
    account: Account, client: ComflowyClient
) -> None:
    account.fault("run", "drop_after_accept", count=None)
    with pytest.raises(SubmitOutcomeUnknown):
        client.run(WORKFLOW, PARAMS)
    assert account.meter().runs_billed == 1


@pytest.mark.call("comflowy", "run")
def test_results_and_progress_are_posted_to_the_addresses_of_the_run(
    account: Account, client: ComflowyClient, mailbox: Mailbox
) -> None:
    run_id = client.run(
        WORKFLOW,
        PARAMS,
        on_result_url=f"{mailbox.url}/result",
        on_progress_event_url=f"{mailbox.url}/progress",
    ).run_id
    account.clock.advance(600)
    posted: dict[str, list[Any]] = {"/result": [], "/progress": []}
    for _ in range(4):
        path, body = mailbox.take()
        posted[path].append(read_payload(body))
    (result,) = posted["/result"]
    assert isinstance(result, ResultPayload)
    found = client.check(run_id)
    assert (result.run_id, result.type) == (run_id, found.status)
    assert list(result.full_outputs) == list(found.full_outputs)
    assert all(isinstance(told, ProgressPayload) for told in posted["/progress"])
    assert {told.type for told in posted["/progress"]} == {"waiting", "running", "message"}


@pytest.mark.call("comflowy", "check")
def test_a_check_tells_what_every_node_made(account: Account, client: ComflowyClient) -> None:
    params = {**PARAMS, "9::filename_prefix": "cat", "12::filename_prefix": "dog"}
    run_id = client.run(WORKFLOW, params).run_id
    assert client.check(run_id).status in {"waiting", "pending", "running"}
    found = ended(account, client, run_id)
    assert (found.run_id, found.status, found.error_message) == (run_id, "success", None)
    assert set(found.full_outputs) == {"9", "12"}
    links = [link for node in found.full_outputs.values() for link in node.images]
    assert set(links) == set(found.output_images)
    assert "Signature=" not in repr(found)


@pytest.mark.call("comflowy", "check")
def test_a_failed_run_says_why(account: Account, client: ComflowyClient) -> None:
    account.fault("run", "run_fails", error="out_of_memory")
    found = ended(account, client, client.run(WORKFLOW, PARAMS).run_id)
    assert (found.status, found.error_message) == ("failed", "out of memory")
    assert found.output_images == ()


@pytest.mark.call("comflowy", "check")
def test_a_run_that_nobody_made_is_not_found(client: ComflowyClient) -> None:
    with pytest.raises(NotFound) as caught:
        client.check("0b9d7a52")
    assert caught.value.provider_run_id == "0b9d7a52"


@pytest.mark.call("comflowy", "open_link")
def test_a_link_opens_its_picture_until_it_has_ended(
    account: Account, client: ComflowyClient
) -> None:
    link = ended(account, client, client.run(WORKFLOW, PARAMS).run_id).output_images[0]
    with client.open_link(link, max_bytes=10**6) as download:
        assert download.media_type == "image/png"
        assert download.read().startswith(b"\x89PNG")
    account.clock.advance(7200)
    with pytest.raises(TransferError), client.open_link(link) as download:
        download.read()


@pytest.mark.parametrize("operation", ["run", "check"])
def test_a_key_that_nobody_has_is_the_accounts_fault_at_every_call(
    account: Account, operation: str
) -> None:
    stranger = Account("comflowy", account.sandbox, account.clock, key="cf_key_of_nobody")
    arguments = {"run": (WORKFLOW, PARAMS), "check": ("0b9d7a52",)}[operation]
    with pytest.raises(AccountRejected):
        getattr(stranger.provider.client, operation)(*arguments)  # type: ignore[attr-defined]


def test_every_documented_call_is_spoken() -> None:
    told = [one.operation for one in profile("comflowy").calls]
    assert told == ["get_token", "run", "check", "open_link"]
    assert all(hasattr(ComflowyClient, operation) for operation in told)


# ---- the adapter ----------------------------------------------------------------------------


def test_a_submission_is_called_back_where_it_is_wanted(account: Account, mailbox: Mailbox) -> None:
    address = f"{mailbox.url}/callbacks/comflowy/{'0f' * 16}/token-that-nobody-can-guess"
    order = replace(account.order(), callback_url=address)
    assert address not in repr(order)
    run_id = account.buy(order)
    account.clock.advance(600)
    path, body = mailbox.take()
    reader = profile("comflowy").read_callback
    assert reader is not None
    now = datetime(2026, 11, 22, tzinfo=UTC)
    told = reader(CallbackRequest(headers={}, body=body, secrets=(), now=now))
    assert address.endswith(path)
    assert (told.provider_run_id, told.ended) == (run_id, True)
    assert account.poll(run_id).state is SubmissionState.SUCCEEDED


def test_the_same_order_is_the_same_request_with_and_without_a_callback(account: Account) -> None:
    order = account.order()
    account.buy(order)
    account.buy(replace(order, callback_url="http://127.0.0.1:9/nobody"))
    assert len({run.request_hash for run in account.control.runs("comflowy")}) == 1


def test_comflowy_takes_no_files_and_lists_no_workflows(account: Account) -> None:
    assert not isinstance(account.provider, TakesFiles | ListsWorkflows)
