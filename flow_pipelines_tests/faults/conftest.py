"""A ledger that the version before wrote, for tests of an upgrade."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flow_pipelines.ledger import RunLedger
from flow_pipelines_tests.before_0008 import Before


@pytest.fixture
def ledger(before_0008: Before) -> Iterator[RunLedger]:
    with before_0008.open_ledger() as ledger:
        yield ledger
