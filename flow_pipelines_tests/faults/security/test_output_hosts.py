"""Where outputs may come from, whoever writes the links."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest
from PIL import Image

from flow_pipelines import FloImgResource
from flow_pipelines.ledger import RunLedger
from flow_pipelines.model import Night
from flow_pipelines.model.errors import OutputRefused, TransferError
from flow_pipelines.provider import ApiRequest
from flow_pipelines.providers import profile, provider_names
from flow_pipelines.transport import HttpTransport
from flow_pipelines.transport.addresses import AddressBook, AddressRefused, is_public
from flow_pipelines_tests.dagster.conftest import NIGHT, Project, World, materialize
from flow_pipelines_tests.unit.transport.conftest import (  # noqa: F401 - fixtures
    KEY,
    clock,
    request,
    transport,
)
from flow_pipelines_tests.unit.transport.wire import Wire, answer

Make = Callable[..., HttpTransport]
POSTERS = Night("posters", NIGHT)
BATCH = """\
type: flow_pipelines.PromptBatchComponent
attributes:
  name: posters
  provider: floimg
  workflow: wf_city_poster
  prompts: prompts.csv
  parameters: {prompt: "{prompt}", width: "64", height: 64}
  partitions_def: {type: daily, start_date: "2026-11-01", timezone: UTC}
"""


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (10, 200, 30)).save(stream, "PNG")
    return stream.getvalue()


def asking(url: str, **rest: Any) -> ApiRequest:
    return replace(request(paced=False, **rest), url=url)


def fetched(sender: HttpTransport, asked: ApiRequest) -> bytes:
    with sender.open(asked, max_bytes=10**6) as download:
        return download.read()


def book_of(provider: str, *more: str) -> AddressBook:
    known = profile(provider)
    return AddressBook(list(known.urls.values()), [*known.output_hosts, *more])


@pytest.mark.parametrize("provider", provider_names())
@pytest.mark.parametrize(
    "url",
    [
        "http://storage.floimg.com/a.png",
        "https://127.0.0.1/a.png",
        "https://localhost/a.png",
        "https://169.254.169.254/latest/meta-data/iam",
        "https://[fd00:ec2::254]/latest/meta-data",
        "https://10.0.0.7/a.png",
        "ftp://storage.floimg.com/a.png",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "//storage.floimg.com/a.png",
    ],
)
def test_no_provider_may_name_an_address_inside_or_in_clear(provider: str, url: str) -> None:
    with pytest.raises(AddressRefused):
        book_of(provider).check(url)


@pytest.mark.parametrize(
    ("provider", "host"), [("floimg", "storage.floimg.com"), ("flora", "media.flora.ai")]
)
def test_a_provider_that_tells_its_hosts_is_held_to_them_and_to_what_a_person_adds(
    provider: str, host: str
) -> None:
    book_of(provider).check(f"https://{host}/a.png")
    with pytest.raises(AddressRefused, match=r"https://pictures\.example: not among the hosts"):
        book_of(provider).check("https://pictures.example/a.png")
    book_of(provider, "pictures.example").check("https://pictures.example/a.png")
    book_of(provider, "pictures.example").check(f"https://{host}/a.png")


@pytest.mark.parametrize("provider", ["floyo", "comflowy"])
def test_a_person_can_hold_a_provider_to_hosts_that_it_does_not_tell(provider: str) -> None:
    book_of(provider).check("https://pictures.example/a.png")
    with pytest.raises(AddressRefused, match="not among the hosts"):
        book_of(provider, "cdn.example").check("https://pictures.example/a.png")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example\\.googleapis.com",
        "evil.example%5c.googleapis.com",
        "evil.example%2f.googleapis.com",
        "evil.example;.googleapis.com",
        "evil.example .googleapis.com",
        "evil.example，.googleapis.com",
    ],
)
def test_a_host_that_two_readers_of_a_url_see_differently_is_none(
    host: str,
    transport: Make,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up: list[object] = []

    def look_up(*args: object, **_: object) -> list[object]:
        looked_up.append(args[0])
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    sender = transport("https://app.flora.ai", allowed_output_hosts=[".googleapis.com"])
    with pytest.raises(OutputRefused):
        fetched(sender, asking(f"https://{host}/a.png", authenticated=False))
    assert looked_up == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b::169.254.169.254", False),
        ("64:ff9b::8.8.8.8", True),
        ("64:ff9b:1::1", False),
        ("::10.0.0.1", False),
        ("fec0::1", False),
        ("4000::1", False),
        ("240.0.0.1", False),
        ("0.0.0.0", False),
        ("198.18.0.1", False),
        ("2001:0:7f00:1::", False),
        ("2606:4700::1", True),
    ],
)
def test_an_address_that_leads_inside_by_a_detour_is_not_public(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize("inside", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fe80::1"])
def test_a_name_that_leads_inside_is_found_out_by_the_connected_address(
    inside: str,
    transport: Make,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name resolves to a server that answers here; only the peer's address gives it away."""
    with Wire(answer(200, png())) as wire:
        here = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", wire.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: here)
        monkeypatch.setattr(
            socket.socket, "getpeername", lambda _self: (inside, wire.port), raising=True
        )
        sender = transport("https://api.floimg.com", allowed_output_hosts=["storage.floimg.com"])
        with pytest.raises(OutputRefused, match="not a public address"):
            fetched(sender, asking(f"https://storage.floimg.com:{wire.port}/a.png"))
    assert wire.requests == []


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.2:1/a.png", "http://10.0.0.1/a.png", "https://10.0.0.1/", "ftp://localhost/"],
)
def test_a_redirect_leads_only_where_a_link_may(
    target: str,
    transport: Make,  # noqa: F811 - the fixture
) -> None:
    with Wire(answer(302, "", location=target)) as wire:
        sender = transport(wire.url, allowed_output_hosts=["localhost"])
        with pytest.raises(OutputRefused):
            fetched(sender, asking(f"{wire.url}/a.png"))
    assert len(wire.requests) == 1


def test_a_redirect_chain_gets_no_key_back_that_it_lost_on_the_way(
    transport: Make,  # noqa: F811 - the fixture
) -> None:
    with Wire() as api, Wire() as other:
        api._steps = [answer(302, "", location=f"{other.url}/x"), answer(200, png())]
        other._steps = [answer(302, "", location=f"{api.url}/v1/account")]
        assert fetched(transport(api.url), asking(f"{api.url}/a.png")) == png()
    assert api.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in other.requests[0].headers
    assert "authorization" not in api.requests[1].headers


def test_a_link_that_is_no_address_is_an_error_of_the_transfer(
    transport: Make,  # noqa: F811 - the fixture
) -> None:
    for link in ("", "a.png", "https://", "https://a.example:99999/", "https://[::1/", "\x00"):
        with pytest.raises(TransferError):
            fetched(transport("https://api.floimg.com"), asking(link, authenticated=False))


def test_an_output_from_an_unknown_host_waits_with_its_name_and_is_stored_once_allowed(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    project.add("posters", BATCH)
    with Wire(answer(200, png(), content_type="image/png")) as wire:
        elsewhere = f"http://localhost:{wire.port}"
        world.control.add_fault("floimg", "open_output", "redirect", word=elsewhere, count=None)
        with project.load() as defs:
            night = ("posters/prompts", "posters/provider_runs", "posters/images")
            result = materialize(defs, instance, *night)
            parked = [output for rows in ledger.outputs(POSTERS).values() for output in rows]
            facts = _facts(result)
        assert [output.stored for output in parked] == [None] * 3
        assert all(f"{elsewhere}: not among the hosts" in str(one.problem) for one in parked)
        assert "localhost" in str(facts["failures"])
        assert wire.requests == []

        allowed = FloImgResource(api_key=dg.EnvVar("FLOIMG_API_KEY"), output_hosts=["localhost"])
        with project.load(floimg=allowed) as defs:
            result = materialize(defs, instance, "posters/images")
    assert result.success
    assert len(world.images()) == 3
    assert world.control.state()["floimg"].runs_billed == 3


def _facts(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node("posters__images")
    return {name: value.value for name, value in event.metadata.items()}
