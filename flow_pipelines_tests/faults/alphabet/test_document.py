from __future__ import annotations

from flow_pipelines.providers import provider_names
from flow_pipelines_tests.faults.alphabet.document import FILE, document
from flow_pipelines_tests.faults.alphabet.faults import ROWS
from flow_pipelines_tests.faults.alphabet.outcomes import PROVIDERS, TABLE, cell
from flow_pipelines_tests.faults.alphabet.vocabulary import Call


def test_the_page_says_what_the_tests_expect() -> None:
    assert FILE.read_text() == document(), "`make docs` writes it anew"


def test_every_provider_has_every_cell() -> None:
    for name in provider_names():
        for call in Call:
            for fault in ROWS[call]:
                assert cell(name, call, fault)


def test_nothing_is_expected_of_what_is_never_tried() -> None:
    assert set(PROVIDERS) == set(provider_names())
    for call in Call:
        assert set(TABLE[call]) <= {fault.name for fault in ROWS[call]}
