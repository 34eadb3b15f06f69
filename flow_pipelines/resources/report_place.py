"""Where a ledger's cost report is: each ledger under one bucket and prefix keeps its own."""

from dataclasses import dataclass

from flow_pipelines.reports.cost_report import table_owner
from flow_pipelines.storage.contract import ImageStore

FOLDER = "cost_report"
TABLE = "cost_report.parquet"


@dataclass(frozen=True, kw_only=True)
class ReportPlace:
    """The folder of one ledger's report."""

    folder: tuple[str, ...]
    other: str | None
    """The ledger that the plain folder belongs to, where it is another one."""

    def key(self, store: ImageStore, file_name: str) -> str:
        """Return the full key of a file of the report."""
        return store.key(*self.folder, file_name)


def report_place(store: ImageStore, ledger_id: str) -> ReportPlace:
    """Find a ledger's folder: the plain one belongs to the ledger whose table is there.

    Another ledger's report lies beside it, in a folder of the ledger's id. Raises: StorageError.
    """
    owner = table_owner(store.get(store.key(FOLDER, TABLE)))
    if owner in {None, ledger_id}:
        return ReportPlace(folder=(FOLDER,), other=None)
    return ReportPlace(folder=(FOLDER, ledger_id), other=owner)
