"""A picture is uploaded once for an account: the first name stands until it is forgotten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from flow_pipelines_tests.conformance.ledger.desk import Desk

CONTENT = "ab" * 32


def test_nothing_is_known_before_it_was_uploaded(desk: Desk) -> None:
    assert desk.ledger.provider_file("floyo", CONTENT) is None


def test_the_first_name_stands_for_its_account_and_content(desk: Desk) -> None:
    assert desk.ledger.remember_file("floyo", CONTENT, "inputs/one.png") == "inputs/one.png"
    assert desk.ledger.remember_file("floyo", CONTENT, "inputs/two.png") == "inputs/one.png"
    assert desk.ledger.provider_file("floyo", CONTENT) == "inputs/one.png"
    assert desk.ledger.provider_file("floyo_second", CONTENT) is None
    assert desk.ledger.provider_file("floyo", "cd" * 32) is None


def test_uploads_that_end_at_once_agree_on_one_name(desk: Desk) -> None:
    names = [f"inputs/{number}.png" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        stand = set(pool.map(lambda n: desk.ledger.remember_file("floyo", CONTENT, n), names))
    assert len(stand) == 1


def test_only_the_name_that_was_found_gone_is_forgotten(desk: Desk) -> None:
    desk.ledger.remember_file("floyo", CONTENT, "inputs/one.png")
    desk.ledger.forget_file("floyo", CONTENT, "inputs/another.png")
    assert desk.ledger.provider_file("floyo", CONTENT) == "inputs/one.png"
    desk.ledger.forget_file("floyo", CONTENT, "inputs/one.png")
    assert desk.ledger.remember_file("floyo", CONTENT, "inputs/two.png") == "inputs/two.png"
