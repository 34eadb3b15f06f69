from __future__ import annotations

from flow_pipelines_tests.buckets import bucket_process, bucket_server

__all__ = ["bucket_process", "bucket_server"]
