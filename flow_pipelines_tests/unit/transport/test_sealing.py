"""A sealed link opens with the account's key, for the output that it was sealed for."""

from __future__ import annotations

import base64

import pytest

from flow_pipelines.redaction import Secret
from flow_pipelines.transport import LinkSeal
from flow_pipelines_tests.unit.transport.conftest import KEY

URL = "https://files.example/a b/ü.png?Signature=4f2a&Expires=1795400000"
SEAL = LinkSeal("comflowy", Secret(KEY))


@pytest.mark.parametrize("url", [URL, "", "https://x/\ud800", "x" * 5000])
def test_a_link_comes_back_as_it_was_with_the_same_key_in_any_process(url: str) -> None:
    sealed = SEAL.seal("key", "output", url)

    assert LinkSeal("comflowy", Secret(KEY)).open("key", "output", sealed) == url


def test_a_sealed_link_shows_nothing_of_what_it_opens_and_is_never_the_same_twice() -> None:
    sealed = SEAL.seal("key", "output", URL)

    assert sealed.isascii()
    for shown in (sealed.encode(), base64.urlsafe_b64decode(sealed)):
        assert not any(part in shown for part in (b"https", b"files", b"4f2a", KEY.encode()))
    assert sealed != SEAL.seal("key", "output", URL)


@pytest.mark.parametrize(
    "other", [LinkSeal("comflowy", Secret(KEY + "x")), LinkSeal("flora", Secret(KEY))]
)
def test_another_key_or_provider_opens_nothing(other: LinkSeal) -> None:
    assert other.open("key", "output", SEAL.seal("key", "output", URL)) is None


@pytest.mark.parametrize(
    "place", [("key", "other"), ("other", "output"), ("keyo", "utput"), ('key", "', "output")]
)
def test_a_link_that_was_moved_to_another_output_opens_nothing(place: tuple[str, str]) -> None:
    assert SEAL.open(*place, SEAL.seal("key", "output", URL)) is None


def test_an_id_that_no_database_could_keep_is_no_error() -> None:
    assert SEAL.open("key", "\ud800", SEAL.seal("key", "\ud800", URL)) == URL


def test_whatever_of_it_is_changed_it_opens_nothing() -> None:
    content = base64.urlsafe_b64decode(SEAL.seal("key", "output", URL))
    for at in range(len(content)):
        changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        assert SEAL.open("key", "output", base64.urlsafe_b64encode(changed).decode()) is None


@pytest.mark.parametrize("rubbish", ["", "AAAA", "A" * 16, "A" * 40, "not base64!", "ü", "\ud800"])
def test_what_was_never_sealed_opens_nothing(rubbish: str) -> None:
    assert SEAL.open("key", "output", rubbish) is None


def test_without_a_key_there_is_no_seal() -> None:
    with pytest.raises(ValueError, match="with a key"):
        LinkSeal("comflowy", Secret(None))


def test_a_seal_shows_no_key() -> None:
    SEAL.seal("key", "output", URL)

    assert repr(SEAL) == "LinkSeal('comflowy')"
    assert KEY not in repr(vars(SEAL))
