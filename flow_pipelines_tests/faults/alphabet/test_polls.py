"""The calls about a run that was bought."""

from __future__ import annotations

import pytest

from flow_pipelines_tests.faults.alphabet.harness import Shared
from flow_pipelines_tests.faults.alphabet.judging import Case, cells, judge
from flow_pipelines_tests.faults.alphabet.vocabulary import Call


@pytest.mark.parametrize("case", cells(Call.POLL, Call.CANCEL))
def test_a_fault_while_a_run_is_under_way_leads_to_what_the_table_says(
    case: Case, shared: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    judge(case, shared, caplog)
