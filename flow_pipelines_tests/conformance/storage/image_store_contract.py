"""What every image store must do. A store's tests inherit it and give the `store` fixture."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from flow_pipelines.clock import SystemClock
from flow_pipelines.model.errors import ConfigurationError, StorageError
from flow_pipelines.storage.contract import ImageStore, StoredObject

PNG = "image/png"
LARGE = 16 * 1024 * 1024 + 5


def put_new(store: ImageStore, key: str, content: bytes, at: int = 0) -> StoredObject:
    file = io.BytesIO(content)
    file.seek(at)
    return store.put_new(
        key,
        file,
        media_type=PNG,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
    )


class ImageStoreContract:
    """Run by every subclass; `exclusive` stores decide a race between two first writers."""

    __test__ = False
    exclusive = True

    def test_a_key_lies_under_the_prefix(self, store: ImageStore) -> None:
        key = store.key("posters", "2026-11-21/images", "a.png")
        assert key == f"{store.prefix}/posters/2026-11-21/images/a.png"
        assert store.uri(key) == f"s3://{store.bucket}/{key}"

    @pytest.mark.parametrize("size", [1, 1000, LARGE], ids=["one byte", "small", "in parts"])
    def test_what_was_stored_is_read_back_whole(self, store: ImageStore, size: int) -> None:
        content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        stored = put_new(store, store.key("whole.png"), content, at=size)
        assert stored.size_bytes == size
        assert stored.sha256 == hashlib.sha256(content).hexdigest()
        assert store.get(stored.key) == content

    @pytest.mark.parametrize("size", [9, LARGE], ids=["small", "in parts"])
    def test_storing_the_same_again_gives_what_is_there(self, store: ImageStore, size: int) -> None:
        key, content = store.key("same.png"), b"x" * size
        assert put_new(store, key, content) == put_new(store, key, content)
        assert list(store.list_keys(key)) == [key]

    @pytest.mark.parametrize("size", [9, LARGE], ids=["small", "in parts"])
    def test_another_content_never_replaces_a_stored_one(
        self, store: ImageStore, size: int
    ) -> None:
        key = store.key("first.png")
        put_new(store, key, b"first")
        with pytest.raises(StorageError, match=r"first\.png exists with another content"):
            put_new(store, key, b"y" * size)
        assert store.get(key) == b"first"

    def test_of_many_writers_of_one_key_exactly_one_gets_through(self, store: ImageStore) -> None:
        if not self.exclusive:
            pytest.skip("this store cannot decide a race; its docstring says so")
        key, won, lost = store.key("race.png"), [], []
        barrier = threading.Barrier(6)

        def write(content: bytes) -> None:
            barrier.wait(10)
            try:
                put_new(store, key, content)
                won.append(content)
            except StorageError:
                lost.append(content)

        threads = [threading.Thread(target=write, args=(b"%d" % n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert (len(won), len(lost)) == (1, 5)
        assert store.get(key) == won[0]

    def test_a_table_takes_the_place_of_the_one_before(self, store: ImageStore) -> None:
        key = store.key("runs.parquet")
        store.put(key, b"old and longer", media_type="application/octet-stream")
        store.put(key, b"new", media_type="application/octet-stream")
        assert store.get(key) == b"new"

    def test_a_document_is_created_once_and_stays(self, store: ImageStore) -> None:
        key = store.key("_ledger.json")
        assert store.create_json(key, {"ledger_id": "naïve"}) is True
        assert store.create_json(key, {"ledger_id": "other"}) is False
        assert json.loads(store.get(key) or b"") == {"ledger_id": "naïve"}

    def test_what_is_not_there_is_none(self, store: ImageStore) -> None:
        assert store.get(store.key("missing")) is None
        assert store.head(store.key("missing")) is None
        assert store.inspect(store.key("missing")) is None

    def test_looking_at_an_object_gives_its_size_and_type(self, store: ImageStore) -> None:
        put_new(store, store.key("look.png"), b"four")
        found = store.head(store.key("look.png"))
        assert found is not None
        assert (found.size_bytes, found.media_type) == (4, PNG)
        digest = hashlib.sha256(b"four").hexdigest()
        assert found.sha256 in (None, digest)
        assert store.inspect(store.key("look.png")) == replace(found, sha256=digest)

    def test_more_than_the_limit_is_not_read_into_memory(self, store: ImageStore) -> None:
        key = store.key("big.bin")
        store.put(key, b"x" * 100, media_type="application/octet-stream")
        assert store.get(key, max_bytes=100) == b"x" * 100
        with pytest.raises(StorageError, match="at most 99"):
            store.get(key, max_bytes=99)

    def test_keys_are_listed_by_prefix_up_to_a_limit(self, store: ImageStore) -> None:
        wanted = [store.key("night", f"{n}.png") for n in range(5)]
        for key in [*wanted, store.key("nightly.png"), store.key("other", "a.png")]:
            store.put(key, b"x", media_type=PNG)
        folder = store.key("night") + "/"
        assert list(store.list_keys(folder)) == wanted
        assert list(store.list_keys(folder, limit=2)) == wanted[:2]
        assert list(store.list_keys(store.key("nobody"))) == []

    def test_a_listing_tells_sizes(self, store: ImageStore) -> None:
        for size in (1, 20):
            store.put(store.key("sizes", f"{size:02}.png"), b"x" * size, media_type=PNG)
        found = store.list_objects(store.key("sizes") + "/")
        assert [one.size_bytes for one in found] == [1, 20]

    def test_folders_are_listed_without_what_is_in_them(self, store: ImageStore) -> None:
        for parts in [("b", "1.json"), ("b", "2.json"), ("a", "deep", "3.json"), ("c.json",)]:
            store.put(store.key("above", *parts), b"x", media_type="application/json")
        assert list(store.list_folders(store.key("above") + "/")) == ["a", "b"]
        assert list(store.list_folders(store.key("nothing") + "/")) == []

    def test_what_is_put_once_is_never_rewritten(self, store: ImageStore) -> None:
        key = store.key("once.json")
        assert store.put_once(key, b"first", seconds=10)
        assert store.put_once(key, b"first", seconds=10)
        assert not store.put_once(key, b"other", seconds=10)
        assert store.get(key) == b"first"

    def test_the_same_store_works_at_another_prefix(self, store: ImageStore) -> None:
        there = store.at(store.bucket, "elsewhere")
        assert there.key("a.png") == "elsewhere/a.png"
        put_new(there, there.key("a.png"), b"x")
        assert store.get("elsewhere/a.png") == b"x"

    def test_a_deleted_object_is_gone_and_its_neighbours_stay(self, store: ImageStore) -> None:
        key, neighbour = store.key("gone.txt"), store.key("gone.txt.bak")
        for one in (key, neighbour):
            store.put(one, b"x", media_type="text/plain")
        store.delete(key)
        store.delete(key)
        assert store.get(key) is None
        assert store.get(neighbour) == b"x"

    def test_the_store_tells_its_time_with_a_zone_or_not_at_all(self, store: ImageStore) -> None:
        told = store.server_time()
        assert told is None or abs(told - SystemClock().now()) < timedelta(minutes=1)

    def test_a_bucket_that_can_be_listed_passes_the_check(self, store: ImageStore) -> None:
        store.check()

    @pytest.mark.parametrize(
        "call",
        [
            lambda store: store.check(),
            lambda store: store.head("k"),
            lambda store: store.get("k"),
            lambda store: store.put("k", b"x", media_type=PNG),
            lambda store: put_new(store, "k", b"x"),
            lambda store: put_new(store, "k", b"x" * LARGE),
            lambda store: store.create_json("k", {}),
            lambda store: list(store.list_keys("k")),
            lambda store: list(store.list_folders("k/")),
            lambda store: store.put_once("k", b"x", seconds=10),
            lambda store: store.delete("k"),
            lambda store: store.server_time(),
        ],
        ids=[
            *("check", "head", "get", "put", "put_new", "in parts", "create_json", "list_keys"),
            *("list_folders", "put_once"),
            *("delete", "server_time"),
        ],
    )
    def test_a_bucket_that_is_not_there_is_a_matter_of_configuration(
        self, store_without_bucket: ImageStore, call: Callable[[ImageStore], object]
    ) -> None:
        with pytest.raises(ConfigurationError) as raised:
            call(store_without_bucket)
        assert "'no-such-bucket'" in str(raised.value)
        assert "FLOW_PIPELINES_BUCKET" in str(raised.value)
