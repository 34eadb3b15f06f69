"""A picture is uploaded once for an account: the first name stands until it is forgotten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from flow_pipelines_tests.conformance.ledger.ledger_driver import LedgerDriver

CONTENT = "ab" * 32


def test_nothing_is_known_before_it_was_uploaded(driver: LedgerDriver) -> None:
    assert driver.ledger.provider_file("floyo", CONTENT) is None


def test_the_first_name_stands_for_its_account_and_content(driver: LedgerDriver) -> None:
    assert driver.ledger.remember_file("floyo", CONTENT, "inputs/one.png") == "inputs/one.png"
    assert driver.ledger.remember_file("floyo", CONTENT, "inputs/two.png") == "inputs/one.png"
    assert driver.ledger.provider_file("floyo", CONTENT) == "inputs/one.png"
    assert driver.ledger.provider_file("floyo_second", CONTENT) is None
    assert driver.ledger.provider_file("floyo", "cd" * 32) is None


def test_uploads_that_end_at_once_agree_on_one_name(driver: LedgerDriver) -> None:
    names = [f"inputs/{number}.png" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        stand = set(pool.map(lambda n: driver.ledger.remember_file("floyo", CONTENT, n), names))
    assert len(stand) == 1


def test_only_the_name_that_was_found_gone_is_forgotten(driver: LedgerDriver) -> None:
    driver.ledger.remember_file("floyo", CONTENT, "inputs/one.png")
    driver.ledger.forget_file("floyo", CONTENT, "inputs/another.png")
    assert driver.ledger.provider_file("floyo", CONTENT) == "inputs/one.png"
    driver.ledger.forget_file("floyo", CONTENT, "inputs/one.png")
    assert driver.ledger.remember_file("floyo", CONTENT, "inputs/two.png") == "inputs/two.png"
