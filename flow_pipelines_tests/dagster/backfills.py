"""Backfills as a person starts and watches them in Dagster's UI."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flow_pipelines.cli.webserver import Webserver

_START = """
mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename
  ... on PythonError { message }
  ... on LaunchBackfillSuccess { backfillId } } }
"""

_STATUS = """
query($id: String!) { partitionBackfillOrError(backfillId: $id) { __typename
  ... on PythonError { message }
  ... on PartitionBackfill { status error { message } } } }
"""


def start_backfill(
    webserver: Webserver,
    assets: Iterable[Sequence[str]],
    partition_keys: Iterable[str],
    run_config: Mapping[str, Any] | None = None,
) -> str:
    """Start a backfill of these assets and partitions, and return its id."""
    params: dict[str, Any] = {
        "assetSelection": [{"path": list(path)} for path in assets],
        "partitionNames": list(partition_keys),
    }
    if run_config is not None:
        params["runConfigData"] = run_config
    return str(webserver.query(_START, params=params)["backfillId"])


def backfill_status(webserver: Webserver, backfill_id: str) -> str:
    """Return REQUESTED, COMPLETED_SUCCESS, COMPLETED_FAILED, CANCELED, FAILED and so on."""
    return str(webserver.query(_STATUS, id=backfill_id)["status"])
