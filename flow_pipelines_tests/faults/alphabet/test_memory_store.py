"""The store that the alphabet uses keeps the promises of every image store."""

from __future__ import annotations

import pytest

from flow_pipelines.storage.contract import ImageStore
from flow_pipelines_tests.conformance.storage.image_store_contract import ImageStoreContract
from flow_pipelines_tests.faults.alphabet.memory_store import MemoryImageStore


class TestMemoryImageStore(ImageStoreContract):
    __test__ = True

    @pytest.fixture
    def store(self) -> ImageStore:
        return MemoryImageStore("a-bucket", "flow")

    @pytest.fixture
    def store_without_bucket(self) -> ImageStore:
        return MemoryImageStore("no-such-bucket", "flow", exists=False)
