"""Another bucket, or another prefix, with the same ledger."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from flow_pipelines.lifecycle import Ports, collect_night, poll_due, summarize_night
from flow_pipelines.lifecycle.file_locations import FileLocations
from flow_pipelines.model import Night
from flow_pipelines.storage.contract import ImageStore
from flow_pipelines.storage.places import read_stored
from flow_pipelines_tests.before_0008 import BATCHES, BUCKET, DECIDED, PREFIX, WHOLE, Before
from flow_pipelines_tests.buckets import BucketServer
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness


@pytest.fixture
def elsewhere(harness: LifecycleHarness, bucket_server: BucketServer) -> ImageStore:
    """An empty bucket on the same server."""
    name = f"{bucket_server.bucket}-2"
    (bucket_server.root / name).mkdir()
    return harness.store.at(name, "flow")


def finish(harness: LifecycleHarness) -> None:
    harness.clock.advance(600)
    poll_due(harness.ports, owner="poll", budget_seconds=30)
    collect_night(harness.night, harness.ports, owner="collect")


def uris(store: ImageStore, night: Night) -> list[str | None]:
    content = store.get(store.key(night.batch, night.partition_key, "manifest.parquet"))
    assert content is not None
    return pq.read_table(io.BytesIO(content))["s3_uri"].to_pylist()


def stored_in(uri: str, store: ImageStore) -> bool:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return store.at(bucket, "").head(key) is not None


@pytest.mark.case(
    "the bucket is another one from the middle of a night on",
    "the manifest names for each picture the bucket that it is in, and previews read it there",
    area="which bucket",
)
def test_a_bucket_changed_in_mid_night_leaves_each_picture_where_it_is(
    harness: LifecycleHarness, elsewhere: ImageStore
) -> None:
    harness.plan("boats", "cranes")
    harness.submit(limit=1)
    finish(harness)
    first, harness.store = harness.store, elsewhere
    harness.submit(owner="run-2")
    finish(harness)

    found = uris(elsewhere, harness.night)
    assert [str(uri).split("/")[2] for uri in found] == [first.bucket, elsewhere.bucket]
    assert all(stored_in(str(uri), first) for uri in found)
    pictures = summarize_night(harness.ledger, harness.night).pictures
    assert len(pictures) == 2
    assert all(read_stored(elsewhere, one, max_bytes=10**6) for one in pictures)


@pytest.mark.case(
    "the bucket is another one, and a finished night is materialized again",
    "its new manifest names the old bucket, where the pictures are",
    area="which bucket",
)
def test_a_bucket_changed_after_the_night_leaves_its_pictures_where_they_are(
    harness: LifecycleHarness, elsewhere: ImageStore
) -> None:
    harness.plan("boats")
    harness.submit()
    finish(harness)
    before = uris(harness.store, harness.night)
    harness.store = elsewhere
    collect_night(harness.night, harness.ports, owner="again")
    assert uris(elsewhere, harness.night) == before


@contextmanager
def ports_at(before: Before, **place: str) -> Iterator[Ports]:
    """Open what was left, with the bucket of today at another place."""
    with before.open_ledger() as ledger:
        yield replace(before.ports("floyo", ledger), store=before.store(**place))


@pytest.mark.case(
    "pictures that the release before stored, without noting the bucket, in a night marked there",
    "the bucket is noted when the night is collected or looked at, also below an older prefix",
    area="which bucket",
)
@pytest.mark.parametrize("prefix", [PREFIX, "later"])
def test_a_file_of_the_release_before_is_in_the_bucket_that_has_its_mark(
    before_0008: Before, prefix: str
) -> None:
    night = Night(BATCHES["floyo"], WHOLE)
    was = uris(before_0008.store(), night)
    with ports_at(before_0008, prefix=prefix) as ports:
        summary = collect_night(night, ports, owner="today")
        assert uris(ports.store, night) == was
        assert {one.bucket for one in summary.pictures} == {BUCKET}


@pytest.mark.case(
    "pictures that the release before stored, and another bucket since",
    "nobody claims that they are there: the manifest leaves their address empty",
    area="which bucket",
)
def test_a_file_of_the_release_before_is_not_claimed_for_another_bucket(
    before_0008: Before,
) -> None:
    (before_0008.bucket_folder.parent / "other").mkdir()
    night = Night(BATCHES["floyo"], DECIDED)
    with ports_at(before_0008, bucket="other") as ports:
        collect_night(night, ports, owner="today")
        assert set(uris(ports.store, night)) == {None}
        # Nor once the night is bought here, too: its mark here is later than those files.
        mark = ports.store.key(night.batch, night.partition_key, "_receipts.json")
        ports.store.create_json(mark, {"marked_at": ports.clock.now().isoformat()})
        outputs = ports.ledger.outputs(night)
        assert FileLocations(ports.ledger, ports.store, night).noted(outputs) == outputs
