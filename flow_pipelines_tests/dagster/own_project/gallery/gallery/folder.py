"""Where this project keeps its own tables: CSV files in a folder."""

from pathlib import Path

import dagster as dg
import pandas as pd


class FolderIOManager(dg.ConfigurableIOManager):
    """A file an asset and partition."""

    folder: str

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame) -> None:
        path = self._path(context)
        path.parent.mkdir(parents=True, exist_ok=True)
        obj.to_csv(path, index=False)

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        return pd.read_csv(self._path(context), dtype=str)

    def _path(self, context: dg.InputContext | dg.OutputContext) -> Path:
        name = "-".join([*context.asset_key.path, context.asset_partition_key])
        return Path(self.folder) / f"{name}.csv"
