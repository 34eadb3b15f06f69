"""What holds for every test: no account, bucket, instance or proxy of the caller's is in reach."""

from __future__ import annotations

import os

from flow_pipelines_tests.buckets import bucket_process, bucket_server  # noqa: F401 - fixtures for all

_FOREIGN = ("AWS_", "COMFLOWY_", "DAGSTER_", "FLOIMG_", "FLORA_", "FLOW_PIPELINES_", "FLOYO_")
_PROXIES = {"http_proxy", "https_proxy", "all_proxy"}

for _name in list(os.environ):
    if _name.startswith(_FOREIGN) or _name.lower() in _PROXIES:
        del os.environ[_name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
