"""What a callback for a run of a closed night changes: it is kept with the night, and shown."""

from __future__ import annotations

import pytest

from flow_pipelines.model import Night
from flow_pipelines_tests.conformance.ledger.ledger_driver import key_of
from flow_pipelines_tests.conformance.ledger.test_closing import close, finished
from flow_pipelines_tests.webhooks.conftest import Post


@pytest.fixture
def night(post: Post) -> Night:
    night = finished(post.ledger)
    assert close(post.ledger, night)
    return night


@pytest.mark.case(
    "a provider tells of a run whose night was pruned since",
    "it is kept with the closed line; of another run than the row's, people are told",
    area="pruning",
)
def test_a_late_callback_is_kept_with_the_closed_night(post: Post, night: Night) -> None:
    key, ledger = key_of(night, 0), post.ledger.ledger
    record = ledger.night(night)

    assert post.tell(key, f"run {key}").status == 204
    assert post.tell(key, None).status == 204
    assert post.tell(key, "another").status == 409
    assert post.tell(key, "another").status in {204, 409}

    late = {one.provider_run_id: one.is_its_own for one in ledger.late_runs(night)}
    assert late == {f"run {key}": True, "another": False}
    assert ledger.night(night) == record
    assert ledger.submissions(night) == []
    assert any("which is closed" in line and "another" in line for line in post.lines)


def test_what_belongs_to_no_closed_night_is_not_kept(post: Post, night: Night) -> None:
    ledger = post.ledger.ledger
    assert post.tell(key_of(night, 77), "another").status == 404
    assert post.tell(key_of(night, 0), "x" * 201).status == 409
    assert post.tell(key_of(night, 3), None).status == 204  # it never had a run
    assert ledger.late_runs(night) == []
