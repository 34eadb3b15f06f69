"""Whether stored files are there, and what of them can be brought back."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow_pipelines.lifecycle import collect_night, poll_due
from flow_pipelines.lifecycle.verify import (
    MissingFiles,
    NightFiles,
    missing_files,
    repair_night,
    verify_night,
)
from flow_pipelines.model import Night
from flow_pipelines.model.output import LOST
from flow_pipelines_tests.before_0008 import BATCHES, WHOLE, Before
from flow_pipelines_tests.buckets import BucketServer
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness


@pytest.fixture
def bought(harness: LifecycleHarness) -> LifecycleHarness:
    """A night of two rows, bought and stored."""
    harness.plan("boats", "cranes")
    harness.submit()
    collect(harness)
    return harness


def collect(harness: LifecycleHarness) -> None:
    harness.clock.advance(600)
    poll_due(harness.ports, owner="poll", budget_seconds=30)
    collect_night(harness.night, harness.ports, owner="collect")


def verify(harness: LifecycleHarness) -> NightFiles:
    return verify_night(harness.night, harness.ledger, harness.store)


def kinds(found: NightFiles) -> list[str]:
    return [one.kind for one in found.problems]


def first_file(harness: LifecycleHarness, server: BucketServer) -> Path:
    """Return the first stored file, where the bucket keeps it."""
    first = harness.ledger.submissions(harness.night)[0].submission_key
    [output] = harness.ledger.outputs(harness.night)[first]
    assert output.stored is not None
    return server.root / str(output.stored.bucket) / output.stored.s3_key


def absent(harness: LifecycleHarness) -> MissingFiles:
    return missing_files(harness.night, harness.ledger, harness.store)


def test_a_night_whose_files_are_there_has_no_problem(bought: LifecycleHarness) -> None:
    assert verify(bought) == NightFiles(night=bought.night, files=2, problems=[])
    assert absent(bought) == MissingFiles()


@pytest.mark.case(
    "an object is deleted from the bucket",
    "`verify` and the check `complete` name it; `verify --repair` collects it again, the same",
    area="which bucket",
)
def test_a_deleted_object_is_missing_and_collected_again(
    bought: LifecycleHarness, bucket_server: BucketServer
) -> None:
    file = first_file(bought, bucket_server)
    content, posts = file.read_bytes(), len(bought.provider.posts)
    file.unlink()
    found = verify(bought)
    assert kinds(found) == ["missing"]
    assert absent(bought) == MissingFiles(files=1)
    assert repair_night(found, bought.ports, owner="verify").problems == []
    assert file.read_bytes() == content
    assert absent(bought) == MissingFiles()
    record = bought.ledger.night(bought.night)
    assert record is not None
    assert (record.uncollected, record.collected_revision) == (0, record.revision)
    assert len(bought.provider.posts) == posts


@pytest.mark.case(
    "an object is deleted from the bucket, and its provider has it no more",
    "it is noted as lost, and its row is not complete any more; all else stays",
    area="which bucket",
)
def test_what_its_provider_has_no_more_is_lost(
    bought: LifecycleHarness, bucket_server: BucketServer
) -> None:
    first_file(bought, bucket_server).unlink()
    bought.provider.on_fetch = lambda _id: b"<html>gone</html>"
    repaired = repair_night(verify(bought), bought.ports, owner="verify")
    assert kinds(repaired) == ["lost"]
    record = bought.ledger.night(bought.night)
    assert record is not None
    assert record.uncollected == 1
    for _ in range(2):
        # However often a collection tries again, it stays lost until it is there.
        collect(bought)
        [lost] = verify(bought).problems
        assert lost.says.startswith(LOST)
    bought.provider.on_fetch = lambda _id: None
    collect(bought)
    assert verify(bought).problems == []


@pytest.mark.case(
    "somebody replaced an object in the bucket by another one",
    "`verify` says so, and `--repair` leaves it as it is",
    area="which bucket",
)
@pytest.mark.parametrize("same_size", [False, True])
def test_an_object_that_differs_is_told_and_never_overwritten(
    bought: LifecycleHarness, bucket_server: BucketServer, *, same_size: bool
) -> None:
    file = first_file(bought, bucket_server)
    other = b"x" * len(file.read_bytes()) if same_size else b"other"
    file.write_bytes(other)
    found = verify(bought)
    assert kinds(found) == ["differs"]
    assert absent(bought) == MissingFiles(files=0 if same_size else 1)
    assert kinds(repair_night(found, bought.ports, owner="verify")) == ["differs"]
    assert file.read_bytes() == other
    assert not bought.ledger.night(bought.night).uncollected  # type: ignore[union-attr]  # planned above


def test_files_of_another_bucket_are_looked_for_there_and_brought_back_here(
    bought: LifecycleHarness, bucket_server: BucketServer
) -> None:
    (bucket_server.root / f"{bucket_server.bucket}-2").mkdir()
    file = first_file(bought, bucket_server)
    bought.store = bought.store.at(f"{bucket_server.bucket}-2", "flow")
    assert verify(bought).problems == []
    file.unlink()
    found = verify(bought)
    assert kinds(found) == ["missing"]
    assert bucket_server.bucket in found.problems[0].says
    assert repair_night(found, bought.ports, owner="verify").problems == []
    assert first_file(bought, bucket_server).parent.is_relative_to(
        bucket_server.root / bought.store.bucket
    )


@pytest.mark.case(
    "the bucket that a night is in cannot be opened any more",
    "its files are told to be out of sight; none is called missing, and none is collected again",
    area="which bucket",
)
def test_a_bucket_that_cannot_be_opened_proves_nothing_missing(
    bought: LifecycleHarness, bucket_server: BucketServer
) -> None:
    old = bucket_server.root / bucket_server.bucket
    (bucket_server.root / f"{bucket_server.bucket}-2").mkdir()
    bought.store = bought.store.at(f"{bucket_server.bucket}-2", "flow")
    old.rename(old.with_name("away"))
    found = verify(bought)
    assert kinds(found) == ["unseen", "unseen"]
    assert repair_night(found, bought.ports, owner="verify") is found
    seen = absent(bought)
    assert (seen.files, seen.unseen) == (0, 2)
    assert bucket_server.bucket in seen.why_unseen


@pytest.mark.parametrize("provider", tuple(BATCHES))
def test_a_deleted_picture_comes_back_from_each_stand_in(
    before_0008: Before, provider: str
) -> None:
    night = Night(BATCHES[provider], WHOLE)
    with before_0008.open_ledger() as ledger:
        ports = before_0008.ports(provider, ledger)
        first = next(iter(ledger.outputs(night).values()))[0]
        assert first.stored is not None
        file = before_0008.bucket_folder / first.stored.s3_key
        content = file.read_bytes()
        file.unlink()
        found = verify_night(night, ledger, ports.store)
        assert kinds(found) == ["missing"]
        assert repair_night(found, ports, owner="verify").problems == []
        assert file.read_bytes() == content

        file.unlink()
        before_0008.sandbox.reset()
        lost = repair_night(verify_night(night, ledger, ports.store), ports, owner="verify")
        assert kinds(lost) == ["lost"]


@pytest.mark.case(
    "pictures that the release before stored, and another bucket since",
    "`verify` says that nobody knows where they are, and repairs nothing, until they are found",
    area="which bucket",
)
def test_files_of_the_release_before_in_another_bucket_are_of_unknown_place(
    before_0008: Before,
) -> None:
    night = Night(BATCHES["floimg"], WHOLE)
    (before_0008.bucket_folder.parent / "other").mkdir()
    with before_0008.open_ledger() as ledger:
        here, other = before_0008.store(), before_0008.store(bucket="other")
        found = verify_night(night, ledger, other)
        assert kinds(found) == ["unknown", "unknown"]
        # Where even the mark is gone, the very bytes tell.
        here.delete(here.key(night.batch, night.partition_key, "_receipts.json"))
        assert verify_night(night, ledger, here).problems == []
        assert verify_night(night, ledger, other).problems == []
