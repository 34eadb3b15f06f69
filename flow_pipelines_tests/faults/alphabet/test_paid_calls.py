"""The calls before a purchase, and the purchase itself."""

from __future__ import annotations

import pytest

from flow_pipelines_tests.faults.alphabet.harness import Shared
from flow_pipelines_tests.faults.alphabet.judging import Case, cells, judge
from flow_pipelines_tests.faults.alphabet.vocabulary import Call


@pytest.mark.parametrize("case", cells(Call.WORKFLOW, Call.TOKEN, Call.SUBMIT))
def test_a_fault_on_the_way_to_a_purchase_leads_to_what_the_table_says(
    case: Case, shared: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    judge(case, shared, caplog)
