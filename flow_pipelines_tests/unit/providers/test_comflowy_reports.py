"""What Comflowy says of a run: its state, its error, and outputs that are known again."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flow_pipelines.model import OutputRef
from flow_pipelines.model.errors import (
    AccountRejected,
    NotFound,
    OutputRefused,
    ProviderError,
    ProviderUnavailable,
    UnexpectedAnswer,
)
from flow_pipelines_tests.unit.providers.comflowy_harness import (
    RUN,
    TOKEN,
    S,
    adapter,
    body,
    polled,
    sample,
    workflow,
)
from flow_pipelines_tests.unit.transport.wire import Step, Wire, answer

CDN = "https://images.comflowy.com/outputs/7f3a"


def outputs(*images: Any, **nodes: Any) -> tuple[OutputRef, ...]:
    step = sample("check_success", output_images=list(images), full_outputs=nodes)
    return polled(step).outputs


def ids(*images: Any, **nodes: Any) -> list[str]:
    return [ref.output_id for ref in outputs(*images, **nodes)]


def test_a_check_is_a_post_with_the_id_in_its_query_and_no_body() -> None:
    with Wire(sample("token"), sample("check_running")) as wire:
        adapter(wire).poll("run 1&x=../é", workflow())
    seen = wire.requests[1]
    assert (seen.method, seen.target) == ("POST", "/v0/check?id=run+1%26x%3D..%2F%C3%A9")
    assert (seen.headers["authorization"], seen.body) == (f"Bearer {TOKEN}", b"")


@pytest.mark.parametrize(
    ("case", "state"),
    [
        ("check_waiting", S.QUEUED),
        ("check_pending", S.QUEUED),
        ("check_running", S.RUNNING),
        ("check_success", S.SUCCEEDED),
        ("check_failed", S.FAILED),
        ("check_unheard_of", None),
    ],
)
def test_every_status_has_its_state_and_an_unknown_one_has_none(case: str, state: S | None) -> None:
    report = polled(sample(case))
    assert (report.provider_run_id, report.state) == (RUN, state)
    assert report.provider_status == body(case)["data"]["status"]


def test_words_are_understood_in_any_case() -> None:
    assert polled(sample("check_success", status="SUCCESS")).state is S.SUCCEEDED


def test_outputs_come_in_order_and_those_that_only_nodes_name_come_after() -> None:
    report = polled(sample("check_success"))
    assert [ref.file_name for ref in report.outputs] == [
        "ComfyUI_00001_.png",
        "ComfyUI_00002_.png",
        "temp_00001_.png",
        "ComfyUI_00003_.png",
    ]
    assert all(ref.url and ref.url.startswith(CDN) for ref in report.outputs)
    assert CDN not in repr(report)


def test_an_output_is_known_again_when_its_link_is_signed_anew() -> None:
    first = ids(f"{CDN}/a.png?Expires=1&Signature=x", f"{CDN}/b.png")
    again = ids(f"{CDN}/a.png?Signature=y&Expires=2", f"{CDN}/b.png?X-Amz-Date=3#top")
    assert first == again
    assert len(set(first)) == 2
    assert first == ["list 0", "list 1"]


@pytest.mark.case(
    "an output was named by its link, so that a link signed in its path made one more output, "
    "which was not stored for ever",
    "it is named by its node and its place there",
)
def test_an_output_is_named_by_its_node_and_place_whatever_its_link() -> None:
    def signed(signature: str) -> list[str]:
        a, b, c = (f"https://cdn.example/{signature}/{name}.png" for name in "abc")
        return ids(a, b, **{"9": {"images": [b, a]}, "12": {"images": [c]}})

    assert signed("s1") == signed("s2") == ["node 9 1", "node 9 0", "node 12 0"]


def test_the_ids_of_versions_before_and_of_answers_without_nodes_are_told_too() -> None:
    link = f"{CDN}/a.png"
    (found,) = outputs(link, **{"9": {"images": [f"{link}?Signature=x"]}})
    (before,) = outputs(link)
    assert (found.output_id, found.node, found.place) == ("node 9 0", "9", 0)
    assert "list 0" in found.former_ids
    assert (before.output_id, before.node) == ("list 0", None)
    [hashed] = before.former_ids
    assert hashed in found.former_ids
    assert re.fullmatch("[0-9a-f]{24}", hashed)
    assert hashed == "1954b23b93e341fa68621959"


def test_one_picture_named_twice_is_one_output_in_its_first_place() -> None:
    a, b = f"{CDN}/a.png", f"{CDN}/b.png"
    found = outputs(f"{a}?s=1", b, f"{a}?s=2", **{"9": {"images": [f"{b}?s=3", f"{a}?s=4"]}})
    assert [ref.url for ref in found] == [f"{a}?s=1", b]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"{CDN}/a.png", f"{CDN}/b.png"),
        (f"{CDN}/a.png", f"{CDN}/x/a.png"),
        ("https://one.example/a.png", "https://two.example/a.png"),
        ("https://c.example/view?filename=a.png", "https://c.example/view?filename=b.png"),
        ("https://c.example/view?filename=a&type=temp", "https://c.example/view?filename=a"),
    ],
)
def test_two_pictures_are_two_outputs(one: str, other: str) -> None:
    assert len(set(ids(one, other))) == 2


def test_a_file_name_comes_from_the_link_without_its_path_or_signature() -> None:
    names = [
        ref.file_name
        for ref in outputs(
            f"{CDN}/a%20b.png?Signature=x",
            "https://c.example/view?filename=c.png&subfolder=s",
            "https://c.example/",
        )
    ]
    assert names == ["a b.png", "c.png", None]


@pytest.mark.parametrize("link", [None, 7, "", "a.png", "ftp://x/y", {}, "http://[x", "data:a,b"])
def test_an_output_without_a_link_is_kept_so_that_somebody_notices(link: object) -> None:
    found = outputs(f"{CDN}/a.png", link)
    assert (found[1].output_id, found[1].former_ids) == ("list 1", ("(no link) 1",))
    with Wire() as wire, pytest.raises(OutputRefused, match="no link"):
        adapter(wire).fetch(found[1], max_bytes=10)
    assert wire.connections == 0


@pytest.mark.parametrize(
    "nodes", [None, [], "x", {"9": None}, {"9": {"images": "x"}}, {"9": {"images": [None, 7]}}]
)
def test_odd_outputs_of_nodes_add_nothing(nodes: Any) -> None:
    step = sample("check_success", output_images=[f"{CDN}/a.png"], full_outputs=nodes)
    assert len(polled(step).outputs) == 1


@pytest.mark.parametrize("images", [None, []])
def test_a_finished_run_may_have_no_outputs_at_all(images: object) -> None:
    report = polled(sample("check_success", output_images=images, full_outputs=None))
    assert (report.state, report.outputs) == (S.SUCCEEDED, ())


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("CUDA error", "CUDA error"),
        ({"node": "3"}, '{"node": "3"}'),
        (None, "Comflowy says: failed"),
        ("x" * 9000, "x" * 2000),
        ("see https://a.example/x?ppt=secret", "see https://a.example/x?ppt=***"),
    ],
)
def test_a_failure_says_why(error: object, told: str) -> None:
    report = polled(sample("check_failed", error=error))
    assert (report.error_code, report.error_message) == ("failed", told)
    assert not report.account_problem


def test_a_failure_for_lack_of_credit_is_the_accounts_problem() -> None:
    assert polled(sample("check_failed", error="Insufficient credits")).account_problem


def test_a_failed_run_is_one_even_under_success_false() -> None:
    document = {**body("check_failed"), "success": False}
    assert polled(answer(200, document)).state is S.FAILED


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (sample("check_refused"), UnexpectedAnswer),
        (sample("check_not_found"), NotFound),
        (answer(404, ""), NotFound),
        (answer(200, {"success": False}), UnexpectedAnswer),
        (answer(200, {"success": False, "error": "Insufficient balance"}), AccountRejected),
        (answer(200, {"success": False, "error": "Too many requests"}), ProviderUnavailable),
        (answer(200, {**body("check_success"), "success": False}), UnexpectedAnswer),
        (sample("check_success", status=None), UnexpectedAnswer),
        (sample("check_success", status=3), UnexpectedAnswer),
        (sample("check_success", output_images={"a": 1}), UnexpectedAnswer),
        (answer(200, {"success": True}), UnexpectedAnswer),
        (answer(200, {"success": True, "data": []}), UnexpectedAnswer),
        (answer(200, []), UnexpectedAnswer),
        (answer(200, "<html>"), UnexpectedAnswer),
        (answer(500, {"success": False, "error": "oops"}), ProviderUnavailable),
        (answer(403, {"success": False}), AccountRejected),
    ],
)
def test_an_answer_that_is_no_run_is_an_error_of_ours(
    step: Step, error: type[ProviderError]
) -> None:
    with pytest.raises(error) as caught:
        polled(step)
    assert caught.value.provider_run_id == RUN


def test_a_picture_is_fetched_by_its_link_and_the_token_stays_at_home() -> None:
    with (
        Wire(sample("token"), sample("check_running")) as api,
        Wire(answer(200, b"\x89PNG", content_type="image/png")) as other,
    ):
        provider = adapter(api)
        provider.poll(RUN, workflow())
        ref = OutputRef(output_id="x", url=f"{other.url}/a.png?Signature=s")
        with provider.fetch(ref, max_bytes=100) as download:
            assert (download.read(), download.media_type) == (b"\x89PNG", "image/png")
    (seen,) = other.requests
    assert seen.target == "/a.png?Signature=s"
    assert "authorization" not in seen.headers
