"""`allow_http` on a resource: plain http to its own base URL's host, and to nobody else."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from flow_pipelines import FloImgResource, FloyoResource
from flow_pipelines.cli.doctor_accounts import AccountsDoctor
from flow_pipelines.cli.findings import Finding, Mark
from flow_pipelines.cli.location import Accounts
from flow_pipelines.model.errors import ConfigurationError, OutputRefused
from flow_pipelines.provider import Resend
from flow_pipelines.transport import HttpTransport, MemoryPaceStore
from flow_pipelines.transport.addresses import AddressBook, AddressRefused
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.transport.conftest import (  # noqa: F401 - fixtures
    KEY,
    clock,
    request,
    transport,
)
from flow_pipelines_tests.unit.transport.wire import Wire, answer

Make = Callable[..., HttpTransport]
OWN = "http://comfy.lan:8188/api"
FORBIDDEN = [
    "http://pictures.lan/a.png",
    "http://comfy.lan:9000/a.png",
    "http://sub.comfy.lan:8188/a.png",
    "http://comfy.lan.evil.com:8188/a.png",
    "http://8.8.8.8/a.png",
    "http://127.0.0.1/a.png",
    "https://127.0.0.1/a.png",
    "http://169.254.169.254/latest/meta-data",
    "https://10.0.0.1/a.png",
]


def book(**rest: Any) -> AddressBook:
    return AddressBook([OWN], allow_http=True, **rest)


def test_it_allows_the_base_url_and_nothing_without_it() -> None:
    assert book().is_own(f"{OWN}/runs")
    book().check(f"{OWN}/runs")
    assert not book().local
    with pytest.raises(ConfigurationError, match="allow_http"):
        AddressBook([OWN])


@pytest.mark.parametrize("url", FORBIDDEN)
@pytest.mark.parametrize("listed", [False, True], ids=["any host", "a listed host"])
def test_what_an_answer_names_elsewhere_stays_https_and_public(url: str, listed: bool) -> None:
    """Outputs, polls and uploads: also where a person listed the host that outputs come from."""
    hosts = ["pictures.lan", "comfy.lan", ".comfy.lan", "8.8.8.8"] if listed else []
    with pytest.raises(AddressRefused):
        book(output_hosts=hosts).check(url)


@pytest.mark.parametrize("other", ["http://files.lan", "http://lan", "http://a.comfy.lan"])
def test_a_second_address_of_the_resource_is_allowed_on_the_same_host_only(other: str) -> None:
    AddressBook([OWN, "http://comfy.lan:8189"], allow_http=True)
    AddressBook([OWN, "https://files.lan"], allow_http=True)
    for origins in ([OWN, other], ["https://api.acme.com", other]):
        with pytest.raises(ConfigurationError, match="plain http"):
            AddressBook(origins, allow_http=True)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name stands for this machine, as names of a private network would for another."""

    def look_up(_host: str, port: int, *_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize("resend", list(Resend))
@pytest.mark.usefixtures("names")
@pytest.mark.case(
    "A server in one's own network that has no https could not be used at all",
    "`allow_http` allows its base URL's host, past any proxy; doctor warns of keys that go there",
)
def test_a_key_in_plain_goes_to_that_host_past_any_proxy(
    transport: Make,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
    resend: Resend,
) -> None:
    with Wire() as wire, Wire() as proxy:
        for name in ("http_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        url = f"http://comfy.lan:{wire.port}"
        transport(url, allow_http=True).send(replace(request(resend), url=f"{url}/x"))
    assert wire.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert proxy.requests == []


@pytest.mark.usefixtures("names")
def test_a_redirect_from_there_leads_to_no_other_plain_host(
    transport: Make,  # noqa: F811 - the fixture
) -> None:
    with Wire() as wire, Wire() as other:
        wire._steps = [answer(302, "", location=f"http://files.lan:{other.port}/a.png")]
        url = f"http://comfy.lan:{wire.port}"
        asked = replace(request(paced=False), url=f"{url}/a.png")
        sender = transport(url, allow_http=True)
        with pytest.raises(OutputRefused), sender.open(asked, max_bytes=10):
            pass
    assert other.requests == []


def test_a_resource_takes_it_from_its_definition_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own_clock = ManualClock()
    with pytest.raises(ConfigurationError, match="plain http"):
        FloImgResource(api_key="k", base_url=OWN).get_provider(
            MemoryPaceStore(own_clock), own_clock
        )
    allowed = FloImgResource(api_key="k", base_url=OWN, allow_http=True)
    allowed.get_provider(MemoryPaceStore(own_clock), own_clock)
    assert allowed.plain_origins() == ["http://comfy.lan:8188"]


def warnings_of(**account: Any) -> list[Finding]:
    own_clock = ManualClock()
    accounts = Accounts({"studio": FloyoResource(**account)})
    doctor = AccountsDoctor(accounts, MemoryPaceStore(own_clock), own_clock)
    return [one for one in doctor.check_accounts() if one.check == "http"]


@pytest.mark.usefixtures("names")
def test_doctor_warns_where_a_key_goes_in_plain() -> None:
    with Wire() as wire:
        url = f"http://comfy.lan:{wire.port}"
        plain = {"base_url": url, "cdn_url": url, "allow_http": True}
        [found] = warnings_of(api_key=KEY, **plain)
        assert warnings_of(**plain) == []  # no key, nothing to be read
        for here in (f"http://127.0.0.1:{wire.port}", f"http://localhost:{wire.port}"):
            assert warnings_of(api_key=KEY, base_url=here, cdn_url=here, allow_http=True) == []
    assert found.mark is Mark.YELLOW
    assert f"studio's key goes to {url}" in found.says
    assert KEY not in found.says + found.do
