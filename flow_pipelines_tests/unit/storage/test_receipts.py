"""Who may buy for a batch, by the bucket's own memory."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from flow_pipelines.model.errors import WrongLedger
from flow_pipelines.storage import S3ImageStore
from flow_pipelines.storage.receipts import (
    OwnerNote,
    adopt_owner,
    claim_owner,
    mark_night,
    night_has_receipts,
    read_owner,
)
from flow_pipelines_tests.buckets import BucketServer
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.storage.samples import NIGHT

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


OURS, THEIRS = "1111aaaa-ledger", "2222bbbb-ledger"
AT = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
FOLDER = NIGHT.partition_key


@pytest.fixture
def store(bucket_server: BucketServer, client: S3Client) -> S3ImageStore:
    return S3ImageStore(bucket_server.bucket, "flow", client, ManualClock())


def mark(store: S3ImageStore, ledger_id: str = OURS) -> None:
    mark_night(store, NIGHT, partition_path=FOLDER, ledger_id=ledger_id, at=AT)


def test_a_batch_belongs_to_the_ledger_that_claims_it_first(store: S3ImageStore) -> None:
    assert read_owner(store, "posters") is None
    claim_owner(store, "posters", OURS)
    claim_owner(store, "posters", OURS)
    assert read_owner(store, "posters") == OwnerNote(OURS)
    assert json.loads(store.get("flow/posters/_ledger.json") or b"") == {"ledger_id": OURS}


def test_a_second_ledger_is_refused_with_the_way_out(store: S3ImageStore) -> None:
    claim_owner(store, "posters", THEIRS)
    with pytest.raises(WrongLedger) as raised:
        claim_owner(store, "posters", OURS)
    said = str(raised.value)
    assert OURS[:8] in said
    assert THEIRS[:8] in said
    assert f"s3://{store.bucket}/flow/posters" in said
    assert "flow-pipelines ledger adopt" in said
    assert read_owner(store, "posters") == OwnerNote(THEIRS)


def test_a_ledger_that_loses_the_race_for_a_batch_is_refused(
    store: S3ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = store.create_json

    def be_late(key: str, document: Any) -> bool:
        create(key, {"ledger_id": THEIRS})
        return create(key, document)

    monkeypatch.setattr(store, "create_json", be_late)
    with pytest.raises(WrongLedger):
        claim_owner(store, "posters", OURS)


def test_the_note_names_each_place_where_the_batch_was_bought_before(
    store: S3ImageStore,
) -> None:
    claim_owner(store, "posters", OURS, ["s3://old/flow"])
    claim_owner(store, "posters", OURS)
    assert claim_owner(store, "posters", OURS, ["s3://older/flow"]).earlier_places == (
        "s3://old/flow",
        "s3://older/flow",
    )
    assert adopt_owner(store, "posters", THEIRS) == read_owner(store, "posters")
    assert read_owner(store, "posters") == OwnerNote(THEIRS, ("s3://old/flow", "s3://older/flow"))


@pytest.mark.parametrize("content", [b"", b"not JSON", b"[]", b'{"ledger_id": 7}', b"{}"])
def test_a_note_that_cannot_be_read_lets_nobody_buy(store: S3ImageStore, content: bytes) -> None:
    store.put("flow/posters/_ledger.json", content, media_type="application/json")
    with pytest.raises(WrongLedger, match="does not say which ledger"):
        claim_owner(store, "posters", OURS)
    adopt_owner(store, "posters", OURS)
    claim_owner(store, "posters", OURS)


def test_a_night_that_was_marked_has_receipts(store: S3ImageStore) -> None:
    assert not night_has_receipts(store, "posters", FOLDER)
    mark(store)
    mark(store, THEIRS)
    assert night_has_receipts(store, "posters", FOLDER)
    note = json.loads(store.get("flow/posters/2026-11-21/_receipts.json") or b"")
    assert note == {
        "partition_key": "2026-11-21",
        "ledger_id": OURS,
        "marked_at": "2026-11-22T02:00:00+00:00",
    }


@pytest.mark.parametrize("name", ["runs.parquet", "images/p1.0.01234567.0.png"])
def test_what_was_stored_of_a_night_is_a_receipt_too(store: S3ImageStore, name: str) -> None:
    store.put(f"flow/posters/{FOLDER}/{name}", b"x", media_type="application/octet-stream")
    assert night_has_receipts(store, "posters", FOLDER)
    assert not night_has_receipts(store, "posters", "2026-11-2")


def test_rows_that_were_only_planned_are_no_receipt(store: S3ImageStore) -> None:
    store.put(f"flow/posters/{FOLDER}/prompts.parquet", b"x", media_type="x/y")
    assert not night_has_receipts(store, "posters", FOLDER)
