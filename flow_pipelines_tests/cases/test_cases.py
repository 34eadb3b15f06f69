"""docs/CASES.md is what the marks say, and each mark says something."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow_pipelines_tests.cases.document import AREAS, FILE, Case, cases, page


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.test)
def test_a_case_is_a_line_of_the_page(case: Case) -> None:
    assert case.area in AREAS
    for text in (case.fault, case.outcome):
        assert text.strip() == text != ""
        assert not set(text) & set("|\n")


def test_no_fault_is_told_twice() -> None:
    told = [(case.fault, case.test) for case in cases()]
    assert len(set(told)) == len(told)


def test_a_mark_is_read_from_any_test_of_any_file(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "class TestAll:\n"
        '    @pytest.mark.case("it " "broke", "it holds", area="files")\n'
        "    def test_it(self): ...\n"
    )
    (found,) = cases(tmp_path)
    assert found == Case(
        fault="it broke", outcome="it holds", area="files", test="test_some.py::test_it"
    )


def test_the_page_is_what_make_docs_would_write() -> None:
    assert FILE.read_text(encoding="utf-8") == page()
