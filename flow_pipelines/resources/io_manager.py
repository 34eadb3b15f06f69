"""The IO manager of our own assets: DataFrames as Parquet, at fixed paths in the bucket.

Users' assets load ours through it; a user's own `io_manager` is left alone. Each ledger under one
bucket and prefix keeps a cost report of its own.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from flow_pipelines.batches.keys import path_safe
from flow_pipelines.model import UNPARTITIONED
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.resources.failures import failures

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from flow_pipelines.storage.contract import ImageStore

PARQUET = "application/vnd.apache.parquet"
IO_MANAGER_KEY = "flow_pipelines_io_manager"
FOLDER = "cost_report"
TABLE = "cost_report.parquet"
_FILES = {"images": "manifest.parquet"}


@dataclass(frozen=True, kw_only=True)
class ReportPlace:
    """The folder of one ledger's report."""

    folder: tuple[str, ...]
    other: str | None
    """The ledger that the plain folder belongs to, where it is another one."""

    def key(self, store: "ImageStore", file_name: str) -> str:
        """Return the full key of a file of the report."""
        return store.key(*self.folder, file_name)


def report_place(store: "ImageStore", ledger_id: str) -> ReportPlace:
    """Find a ledger's folder: the plain one belongs to the ledger whose table is there.

    Another ledger's report lies beside it, in a folder of the ledger's id. Raises: StorageError.
    """
    from flow_pipelines.reports.cost_report import table_owner

    owner = table_owner(store.get(store.key(FOLDER, TABLE)))
    if owner in {None, ledger_id}:
        return ReportPlace(folder=(FOLDER,), other=None)
    return ReportPlace(folder=(FOLDER, ledger_id), other=owner)


class ParquetIOManager(dg.IOManager):
    """Stores and loads tables as Parquet beside a batch's images.

    One partition loads as a DataFrame, several as a dict by partition key. The value of
    `<name>/images` is the manifest that collecting writes; it is only ever loaded.
    """

    def __init__(
        self, get_store: "Callable[[], ImageStore]", get_ledger_id: Callable[[], str] | None = None
    ) -> None:
        """Use the store that `get_store` gives when something is stored or loaded.

        `get_ledger_id` tells whose `cost_report` is meant; without it, the plain one is.
        """
        self._get_store, self._get_ledger_id = get_store, get_ledger_id

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Store a DataFrame or an Arrow table in the place of what was there.

        Raises: dagster.Failure, dagster.RetryRequested.
        """
        if obj is None:
            return
        partition_key = context.asset_partition_key if context.has_asset_partitions else None
        with failures():
            store = self._get_store()
            key = self._key(store, context.asset_key, partition_key)
            store.put(key, _to_parquet(obj), media_type=PARQUET)

    def load_input(self, context: dg.InputContext) -> Any:
        """Load one partition as a DataFrame, several as a dict of them.

        Raises: dagster.Failure, naming the object that is missing and what to materialize.
        """
        if not context.has_asset_partitions:
            return self._load(context.asset_key, None)
        keys = list(context.asset_partition_keys)
        if len(keys) == 1:
            return self._load(context.asset_key, keys[0])
        return {key: self._load(context.asset_key, key) for key in keys}

    def _load(self, asset_key: dg.AssetKey, partition_key: str | None) -> "pd.DataFrame":
        with failures():
            store = self._get_store()
            key = self._key(store, asset_key, partition_key)
            content = store.get(key)
            if content is None:
                night = f" of {partition_key}" if partition_key else ""
                what = asset_key.to_user_string() + night
                raise ConfigurationError(f"{store.uri(key)} is not there: materialize {what} first")
        import pyarrow.parquet as pq

        return to_frame(pq.read_table(io.BytesIO(content)))

    def _key(self, store: "ImageStore", asset_key: dg.AssetKey, partition_key: str | None) -> str:
        if asset_key.path != [FOLDER] or self._get_ledger_id is None:
            return table_key(store, asset_key, partition_key)
        return report_place(store, self._get_ledger_id()).key(store, TABLE)


def table_key(store: "ImageStore", asset_key: dg.AssetKey, partition_key: str | None) -> str:
    """Return the full key of an asset's table, e.g. `<prefix>/<batch>/<partition>/prompts.parquet`.

    Assets that span batches have a folder of their own: `<prefix>/cost_report/`.
    """
    *folders, name = asset_key.path
    file_name = _FILES.get(name, f"{name}.parquet")
    if not folders:
        return store.key(path_safe(name), file_name)
    folder = path_safe(partition_key or UNPARTITIONED)
    return store.key(*(path_safe(part) for part in folders), folder, file_name)


@dg.io_manager(
    required_resource_keys={"image_store", "run_ledger"},
    description="Tables as Parquet in the bucket of the resource `image_store`.",
)
def flow_pipelines_io_manager(context: dg.InitResourceContext) -> dg.IOManager:
    """Make the IO manager over whatever store stands under the key `image_store`."""
    resources = context.resources
    return ParquetIOManager(
        resources.image_store.get_store, lambda: str(resources.run_ledger.get_ledger().ledger_id)
    )


def to_frame(table: "pa.Table") -> "pd.DataFrame":
    """Return a DataFrame in which integers stay integers where some are missing.

    pandas would turn them into floats, and a seed above 2^53 into another seed.
    """
    import pandas as pd
    import pyarrow as pa

    exact = {
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
    }
    frame: pd.DataFrame = table.to_pandas(types_mapper=exact.get)
    return frame


def _to_parquet(value: Any) -> bytes:
    import pandas as pd
    import pyarrow as pa

    from flow_pipelines.storage.tables import parquet_bytes

    if isinstance(value, pd.DataFrame):
        value = pa.Table.from_pandas(value, preserve_index=False)
    if not isinstance(value, pa.Table):
        raise ConfigurationError(f"{type(value).__name__} is no table: give a pandas DataFrame")
    return parquet_bytes(value)
