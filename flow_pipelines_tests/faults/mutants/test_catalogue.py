"""`make mutants` can still do what it says, and its page is of these very mutants."""

from __future__ import annotations

import ast

import pytest

from flow_pipelines_tests.faults.mutants.catalogue import INTENT, LEASE, MUTANTS, OWNER, RECEIPT
from flow_pipelines_tests.faults.mutants.document import FILE
from flow_pipelines_tests.faults.mutants.mutant import ROOT, Edit, Mutant, OutOfDate
from flow_pipelines_tests.faults.mutants.trial import TESTS
from flow_pipelines_tests.syntax_trees import syntax_tree


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.removed)
def test_the_text_of_every_guard_is_still_found_exactly_once(mutant: Mutant) -> None:
    for path, text in mutant.files(ROOT).items():
        assert ast.dump(syntax_tree(text)) != ast.dump(syntax_tree(path.read_text()))


def test_every_test_that_is_selected_is_there() -> None:
    for test in {test for mutant in MUTANTS for test in mutant.tests}:
        file, _, name = test.partition("::")
        assert f"def {name.split('[')[0]}" in (ROOT / TESTS / file).read_text()


@pytest.mark.parametrize("text", ["", "guard()\nguard()\n"])
def test_a_text_that_is_gone_or_there_twice_is_told(text: str) -> None:
    with pytest.raises(OutOfDate, match="not once"):
        Edit("file.py", "guard()\n").applied(text)


def test_the_four_guards_of_a_purchase_are_among_them() -> None:
    assert {INTENT, LEASE, RECEIPT, OWNER} <= {mutant.guard for mutant in MUTANTS}


def test_the_page_tells_of_every_mutant_and_of_no_other() -> None:
    rows = [line for line in FILE.read_text().splitlines() if line.startswith("| ")]
    told = [row.split(" | ")[0].removeprefix("| ") for row in rows]
    heads = {"removed", "---"}
    assert [one for one in told if one not in heads] == [one.removed for one in MUTANTS]
