"""What holds for every test: no account, bucket, instance or proxy of the caller's is in reach."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import HealthCheck, settings

from flow_pipelines_tests.before_0008 import before_0008  # noqa: F401 - a fixture for all
from flow_pipelines_tests.buckets import bucket_process, bucket_server  # noqa: F401 - fixtures for all
from flow_pipelines_tests.databases import migrated_sqlite, sqlite_ledgers  # noqa: F401 - likewise
from flow_pipelines_tests.scratch import memory_folder

_FOREIGN = ("AWS_", "COMFLOWY_", "DAGSTER_", "FLOIMG_", "FLORA_", "FLOW_PIPELINES_", "FLOYO_")
_PROXIES = {"http_proxy", "https_proxy", "all_proxy"}
PROXIES_OF_THE_CALLER = {
    name: value for name, value in os.environ.items() if name.lower() in _PROXIES
}
"""For an installation only, which asks a package index."""

for _name in list(os.environ):
    if _name.startswith(_FOREIGN) or _name.lower() in _PROXIES:
        del os.environ[_name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

# Databases of Dagster and the ledger wait for the disk at every commit; a caller's choice stands.
if "TMPDIR" not in os.environ and (_folder := memory_folder()):
    os.environ["TMPDIR"] = tempfile.tempdir = _folder

# A busy machine draws slowly; that says nothing of what is tested.
settings.register_profile(
    "any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("few", settings.get_profile("any_machine"), max_examples=25)
settings.load_profile("any_machine")


def pytest_configure(config: pytest.Config) -> None:
    """Try few examples of each property where `make test` leaves out what is `exhaustive`."""
    if "not exhaustive" in config.getoption("markexpr"):
        settings.load_profile("few")
