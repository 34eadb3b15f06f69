"""Where stored files are, and what of them is gone; see `stored_files.StoredFiles`."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import bindparam, update

from flow_pipelines.ledger.changing import changing, changing_night
from flow_pipelines.ledger.database import Database
from flow_pipelines.ledger.schema import outputs
from flow_pipelines.model import Night, StoredFacts

_o = outputs.c
_THIS = (_o.submission_key == bindparam("of"), _o.output_index == bindparam("at"))


class Keeping:
    """The part of the ledger about stored files; see `contract.RunLedger`."""

    _database: Database

    def note_bucket(self, night: Night, found: Mapping[str, Collection[int]], bucket: str) -> None:
        """Note the bucket of stored outputs that have none. Moves no revision."""
        query = update(outputs).where(*_THIS, _o.stored_at.is_not(None), _o.bucket.is_(None))
        rows = [{"of": key, "at": index} for key, each in found.items() for index in each]
        with (
            self._database.write() as connection,
            changing_night(self._database, connection, night),
        ):
            if rows:
                connection.execute(query.values(bucket=bucket), rows)

    def record_missing(
        self, submission_key: str, missing: Mapping[int, StoredFacts], problem: str
    ) -> int:
        """Note that stored outputs are not where they were."""
        gone = 0
        with changing(self._database, submission_key) as (change, row):
            for index, facts in missing.items():
                query = update(outputs).where(
                    _o.submission_key == submission_key,
                    _o.output_index == index,
                    _o.stored_at.is_not(None),
                    _o.bucket.is_(None) if facts.bucket is None else _o.bucket == facts.bucket,
                    _o.s3_key == facts.s3_key,
                )
                done = change.connection.execute(query.values(**_GONE, problem=problem))
                gone += done.rowcount
            if gone:
                change.write([row], collected_at=None)
        return gone


_GONE = dict.fromkeys(
    ("stored_at", "s3_key", "bucket", "media_type", "size_bytes", "sha256", "width", "height")
)
