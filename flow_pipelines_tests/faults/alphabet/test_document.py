from __future__ import annotations

from flow_pipelines.providers import profile, provider_names
from flow_pipelines_tests.faults.alphabet.document import FILE, document
from flow_pipelines_tests.faults.alphabet.faults import ROWS
from flow_pipelines_tests.faults.alphabet.outcomes import TABLE, Facts, cell
from flow_pipelines_tests.faults.alphabet.vocabulary import Call


def test_the_page_says_what_the_tests_expect() -> None:
    assert FILE.read_text() == document(), "`make docs` writes it anew"


def test_every_provider_has_every_cell() -> None:
    for name in provider_names():
        for call in Call:
            for fault in ROWS[call]:
                assert cell(name, call, fault)


def test_nothing_is_expected_of_what_is_never_tried() -> None:
    for call in Call:
        assert set(TABLE[call]) == {fault.name for fault in ROWS[call]}
    tried = {f"{call.name.lower()}/{fault.name}" for call in Call for fault in ROWS[call]}
    for name in provider_names():
        assert set(Facts.of(name).case.get("faults", {})) <= tried


def test_a_provider_s_calls_are_those_that_its_profile_says_it_has() -> None:
    for name in provider_names():
        known, calls = profile(name), set(Facts.of(name).case["calls"])
        assert {"submit", "poll", "download"} <= calls
        assert ("token" in calls) == (known.sign_in is not None)
        assert ("cancel" in calls) == known.capabilities.cancel
        if known.capabilities.workflow_is_file:
            assert "workflow" not in calls
