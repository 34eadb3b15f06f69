"""Who is let in: addresses, signatures, sizes and times; and what is said to the others."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow_pipelines.lifecycle.callback_addresses import is_ours, name_of
from flow_pipelines.redaction import Secret, redact
from flow_pipelines.webhooks import Sender
from flow_pipelines.webhooks.app import MAX_BODY_BYTES, make_app
from flow_pipelines_tests.conformance.ledger.ledger_driver import PROVIDER, S, key_of, new_night
from flow_pipelines_tests.webhooks.asgi import Answer, ask
from flow_pipelines_tests.webhooks.conftest import OURS, SIGNING, Post, signed

Headers = Mapping[bytes, bytes]


@pytest.fixture
def key(post: Post) -> str:
    """A submission of FLORA's, to be polled much later."""
    night = new_night()
    post.ledger.plan(night, provider="flora", resource="flora")
    key = key_of(night, 0)
    post.ledger.submit(key, poll_in=300)
    return key


def flora_event(run: str, kind: str = "run.completed") -> bytes:
    event = {"id": "whd_1", "type": kind, "data": {"run_id": run, "status": "completed"}}
    return json.dumps(event).encode()


def tell_signed(post: Post, key: str, headers: Headers, body: bytes) -> Answer:
    return ask(post.app, post.path(key, "flora"), body, headers=list(headers.items()))


def test_a_signed_callback_is_taken(post: Post, key: str) -> None:
    body = flora_event(f"run {key}")
    assert tell_signed(post, key, signed(body, post.clock.now().timestamp()), body).status == 204
    assert post.is_due(key)


FORGED: Mapping[str, Callable[[bytes, float], Headers]] = {
    "no signature": lambda _body, _now: {},
    "another secret": lambda body, now: signed(body, now, "whsec_another"),
    "another body": lambda body, now: signed(body + b" ", now),
    "too old": lambda body, now: signed(body, now - 301),
    "of the future": lambda body, now: signed(body, now + 301),
    "a moved time": lambda body, now: {
        b"flora-signature": signed(body, now - 400)[b"flora-signature"].replace(
            str(int(now - 400)).encode(), str(int(now)).encode()
        )
    },
    "nonsense": lambda _body, _now: {b"flora-signature": b"t=now,v1=\xff"},
}


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_or_old_signature_changes_nothing(post: Post, key: str, how: str) -> None:
    body = flora_event(f"run {key}")
    before = post.ledger.everything(key)

    answer = tell_signed(post, key, FORGED[how](body, post.clock.now().timestamp()), body)

    assert (answer.status, answer.body) == (403, "refused\n")
    assert post.ledger.everything(key) == before


def test_where_no_secret_is_known_nothing_signed_is_believed(post: Post, key: str) -> None:
    flora = post.handler._senders["flora"]
    post.handler._senders = {"flora": Sender(read=flora.read)}
    body = flora_event(f"run {key}")
    for secret in ("", SIGNING):
        headers = signed(body, post.clock.now().timestamp(), secret)
        assert tell_signed(post, key, headers, body).status == 403


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path[:-1] + ("A" if path[-1] != "A" else "B"),
        lambda path: path[:-10],
        lambda path: path + "A",
        lambda path: path.rpartition("/")[0] + "/-",
        lambda path: path.replace("/flora/", "/comflowy/"),
        lambda path: path.replace("/flora/", "/nobody/"),
        lambda path: path.replace("/flora/", f"/{PROVIDER}/"),
        lambda path: path.replace(".0.0", ".0.1", 1),
        lambda path: path.rpartition("/")[0] + "/%F0%9F%97%9D",
    ],
)
def test_a_wrong_address_is_refused_like_a_wrong_signature(
    post: Post, key: str, change: Callable[[str], str]
) -> None:
    body = flora_event(f"run {key}")
    headers = signed(body, post.clock.now().timestamp())
    before = post.ledger.everything(key)

    path = change(post.path(key, "flora"))
    answer = ask(post.app, path, body, headers=list(headers.items()))

    assert (answer.status, answer.body) == (403, "refused\n")
    assert post.ledger.everything(key) == before


def test_another_receivers_addresses_are_refused(post: Post, key: str) -> None:
    other = Secret("other-0123456789abcdef0123456789abcdef")
    name = name_of(key, post.ledger.ledger.ledger_id)
    assert ask(post.app, post.path(key, secret=other), b"{}").status == 403
    assert is_ours([other, OURS], "flora", name, post.path(key, "flora").rpartition("/")[2])


def test_the_address_of_one_provider_does_not_open_another_ones_submission(post: Post) -> None:
    key = post.ledger.reach(S.SUBMITTED)  # not FLORA's, but addressed as if it were
    body = flora_event(f"run {key}")
    headers = signed(body, post.clock.now().timestamp())
    assert tell_signed(post, key, headers, body).status == 404


def test_a_submission_that_is_not_here_is_unknown_to_whoever_has_its_token(post: Post) -> None:
    assert post.tell("nobody", "run").status == 404
    assert ask(post.app, "/callbacks/floyo/nobody/token", b"{}").status == 403


def test_nothing_is_read_from_whoever_has_no_token(post: Post) -> None:
    answer = ask(post.app, "/callbacks/floyo/nobody/token", stays_open=True)
    assert (answer.status, answer.headers["connection"]) == (403, "close")


def test_a_body_has_a_limit_announced_or_not(post: Post, key: str) -> None:
    path = post.path(key)
    chunks = [b" " * 8192] * (MAX_BODY_BYTES // 8192)
    announced = [(b"content-length", str(MAX_BODY_BYTES + 1).encode())]

    assert ask(post.app, path, *chunks).status == 403  # as long as it may be, and no JSON
    assert ask(post.app, path, *chunks, b" ", stays_open=True).status == 413
    assert ask(post.app, path, headers=announced, stays_open=True).status == 413


def test_a_body_that_does_not_come_is_not_waited_for(post: Post, key: str) -> None:
    impatient = make_app(post.handler, body_seconds=0.05)
    answer = ask(impatient, post.path(key), b'{"run":', stays_open=True)
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert ask(post.app, post.path(key), b'{"run":', leaves=True).status == 400


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_posts_are_callbacks(post: Post, key: str, method: str) -> None:
    assert ask(post.app, post.path(key), method=method).status == 405


def test_it_says_that_it_lives_without_asking_anybody(post: Post) -> None:
    post.ledger.ledger.close()
    assert ask(post.app, "/health", method="GET") == (
        200,
        {"content-length": "3", "content-type": "text/plain; charset=utf-8"},
        "ok\n",
    )


def test_no_token_and_no_secret_is_in_any_line(
    post: Post, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = flora_event(f"run {key}")
    now = post.clock.now().timestamp()
    paths = [post.path(key, "flora"), post.path(key, "flora")[:-1] + "x", post.path("nobody")]
    for path in paths:
        for headers in (signed(body, now), signed(body, now, "whsec_another_one"), {}):
            ask(post.app, path, body, headers=list(headers.items()))
    assert post.lines
    told = "\n".join([*post.lines, caplog.text])
    for secret in (OURS.reveal(), SIGNING, *(path.rpartition("/")[2] for path in paths)):
        assert secret not in told


def test_an_address_in_a_text_is_masked(post: Post, key: str) -> None:
    name = name_of("0123456789abcdef", post.ledger.ledger.ledger_id)
    url = f"https://us.example/flow{post.path('0123456789abcdef')}"
    assert redact(f"POST {url} failed") == (
        f"POST https://us.example/flow/callbacks/floyo/{name}/*** failed"
    )


anything = st.one_of(
    st.binary(max_size=300),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["id", "type", "data", "run_id", "run", "ended", "event", "x"]),
                inner,
                max_size=5,
            )
        ),
        max_leaves=10,
    ).map(lambda value: json.dumps(value).encode()),
)
names = st.text(max_size=30)
headers = st.lists(
    st.tuples(
        st.sampled_from([b"flora-signature", b"content-length", b"content-type", b"host", b"x"]),
        st.binary(max_size=40) | st.integers().map(lambda number: str(number).encode()),
    ),
    max_size=4,
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=anything, headers=headers, names=st.tuples(names, names, names), way=st.integers(0, 3))
def test_whatever_comes_is_answered_and_never_with_an_error_of_ours(
    post: Post,
    key: str,
    body: bytes,
    headers: list[tuple[bytes, bytes]],
    names: tuple[str, str, str],
    way: int,
) -> None:
    path = post.path(key, "flora" if way == 1 else PROVIDER)
    paths = [
        path,
        path,
        "/callbacks/" + "/".join(names),
        f"/{names[0]}",
    ]
    if way == 1:
        headers = [*headers, *signed(body, post.clock.now().timestamp()).items()]
    before = post.submission(key)

    status = ask(post.app, paths[way], body, headers=headers).status

    assert status == 204 or 400 <= status < 500
    after = post.submission(key)
    assert (after.state, after.provider_run_id) == (before.state, before.provider_run_id)
