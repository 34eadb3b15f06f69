"""Which addresses may be visited, and which may get the key."""

from __future__ import annotations

import pytest

from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.transport.addresses import AddressBook, AddressRefused, is_public

REAL = AddressBook(["https://api.acme.com/v1", "https://cdn.acme.com"])
LOCAL = AddressBook(["http://127.0.0.1:8700/acme"])


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("https://api.acme.com/v1/runs", True),
        ("https://API.acme.com:443/v1/runs", True),
        ("https://api.acme.com./v1", True),
        ("https://cdn.acme.com/file_1", True),
        ("https://api.acme.com:8443/v1", False),
        ("https://api.acme.com.evil.com/v1", False),
        ("https://evil.com/api.acme.com", False),
        ("http://api.acme.com/v1", False),
        ("https://acme.com/v1", False),
    ],
)
def test_the_key_goes_to_exactly_the_own_origins(url: str, own: bool) -> None:
    assert REAL.is_own(url) is own


@pytest.mark.parametrize(
    "url",
    [
        "http://pictures.com/a.png",
        "ftp://pictures.com/a.png",
        "file:///etc/passwd",
        "https://localhost/a.png",
        "https://a.localhost/a.png",
        "https://127.0.0.1/a.png",
        "https://127.1.2.3/a.png",
        "https://[::1]/a.png",
        "https://10.0.0.1/a.png",
        "https://192.168.1.1/a.png",
        "https://172.16.0.1/a.png",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/a.png",
        "https://[fd00::1]/a.png",
        "https://[::ffff:10.0.0.1]/a.png",
        "https://0.0.0.0/a.png",
        "https://user:pass@pictures.com/a.png",
        "https://api.acme.com@evil.com/a.png",
        "https:///a.png",
        "https://pictures.com:99999/a.png",
        "/a.png",
        "",
        "https://[::1/a.png",
    ],
)
def test_an_address_that_is_not_public_https_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        REAL.check(url)


@pytest.mark.parametrize(
    "url", ["https://pictures.com/a.png", "https://8.8.8.8/a.png", "https://[2606:4700::1]/a"]
)
def test_a_public_https_address_may_be_visited_if_it_resolves_to_one(url: str) -> None:
    REAL.check(url)
    assert REAL.needs_public_peer(url)


def test_this_machine_may_be_visited_only_for_a_stand_in_on_it() -> None:
    LOCAL.check("http://127.0.0.1:9999/a.png")
    LOCAL.check("http://localhost:9999/a.png")
    with pytest.raises(AddressRefused):
        LOCAL.check("http://pictures.com/a.png")
    with pytest.raises(AddressRefused):
        LOCAL.check("https://10.0.0.1/a.png")


@pytest.mark.parametrize("url", ["http://api.acme.com", "ftp://api.acme.com", "api.acme.com", ""])
def test_a_base_url_that_would_show_the_key_to_others_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="base URL"):
        AddressBook([url])


def test_a_provider_on_a_private_network_is_its_own_origin() -> None:
    book = AddressBook(["https://10.1.2.3/v1"])
    book.check("https://10.1.2.3/v1/runs")
    assert not book.needs_public_peer("https://10.1.2.3/v1/runs")


def test_output_hosts_can_be_narrowed() -> None:
    book = AddressBook(["https://api.acme.com"], ["media.acme.com", ".pictures.com"])
    book.check("https://api.acme.com/x")
    book.check("https://media.acme.com/x")
    book.check("https://eu.pictures.com/x")
    for url in ("https://pictures.org/x", "https://evilpictures.com/x"):
        with pytest.raises(AddressRefused, match="not among the hosts"):
            book.check(url)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("2002:7f00:1::", False),
        ("fe80::1%eth0", False),
        ("2606:4700::1", True),
    ],
)
def test_addresses_within_addresses_are_judged_too(address: str, public: bool) -> None:
    assert is_public(address) is public
