"""The calls that bring the pictures."""

from __future__ import annotations

import pytest

from flow_pipelines_tests.faults.alphabet.harness import Shared
from flow_pipelines_tests.faults.alphabet.judging import Case, cells, judge
from flow_pipelines_tests.faults.alphabet.vocabulary import Call


@pytest.mark.parametrize("case", cells(Call.DOWNLOAD))
def test_a_fault_of_a_download_leads_to_what_the_table_says(
    case: Case, shared: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    judge(case, shared, caplog)
