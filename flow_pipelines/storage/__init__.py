"""The bucket: images that are never overwritten, tables, and who may buy for a batch."""

from __future__ import annotations

from flow_pipelines.storage.contract import ImageStore, StoredObject
from flow_pipelines.storage.s3 import S3ImageStore
from flow_pipelines.storage.s3_client import make_client

__all__ = ["ImageStore", "S3ImageStore", "StoredObject", "make_client"]
