"""Record stored outputs and failed attempts; number the runs that sensors request."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, bindparam, select, update

from flow_pipelines.ledger.changing import NightChange, changing, changing_night
from flow_pipelines.ledger.database import Database, chunks
from flow_pipelines.ledger.rows import STORED
from flow_pipelines.ledger.schema import outputs
from flow_pipelines.model import Night, StoredFacts, SubmissionState
from flow_pipelines.model.errors import LedgerError, SubmissionNotFound

_KINDS = frozenset({"submit", "collect"})
_o = outputs.c
_THIS = (_o.submission_key == bindparam("of"), _o.output_index == bindparam("at"))
_GONE = dict.fromkeys(
    ("stored_at", "s3_key", "bucket", "media_type", "size_bytes", "sha256", "width", "height")
)


class Collecting:
    """What is stored of a night; `contract` says what holds for every method."""

    _database: Database

    def record_stored(self, submission_key: str, output_index: int, facts: StoredFacts) -> None:
        """Note that an output is in the bucket, with how far it was verified. Again with the same
        facts: fine. What is damaged gives way to what is not, never the other way round. Raises:
        LedgerError, when it is known to be stored with another content and neither is damaged."""
        with changing(self._database, submission_key) as (change, _):
            known = _output(change, submission_key, output_index)
            if _is_news(known, facts):
                _write_output(change, known, _stored_values(change, known, facts))

    def record_output_problem(
        self,
        submission_key: str,
        output_index: int,
        problem: str,
        *,
        doubted: bool = False,
        settled_above: int | None = None,
    ) -> None:
        """Note why an output could not be stored this time; counts an attempt.

        `doubted`: the download does not look like this output; its first time is kept.
        `settled_above`: the size limit in bytes that it exceeds; it does not count as missing.
        """
        with changing(self._database, submission_key) as (change, _):
            known = _output(change, submission_key, output_index)
            if known["stored_at"] is not None:
                return
            values: dict[str, Any] = {"problem": problem, "attempts": known["attempts"] + 1}
            if doubted and known["doubted_at"] is None:
                values["doubted_at"] = change.now
            if settled_above is not None:
                values |= {"settled_above": settled_above, "sealed_link": None}
            _write_output(change, known, values)

    def mark_collected(self, submission_key: str) -> None:
        """Set `collected_at`. Raises: LedgerError unless succeeded and every output is stored, or
        settled."""
        with changing(self._database, submission_key) as (change, row):
            _mark_collected(change, [row], {submission_key: {}})

    def record_collected(
        self, night: Night, found: Mapping[str, Mapping[int, StoredFacts]]
    ) -> None:
        """Do `record_stored` for each of `found`, by submission key and index, and then
        `mark_collected` for each key, all in one transaction. Raises: LedgerError, as they do."""
        with changing_night(self._database, night) as change:
            rows = change.lock_submissions(found)
            if len(rows) != len(found):
                raise SubmissionNotFound(f"{night} has not all of these {len(found)} submissions")
            _mark_collected(change, rows, found)

    def night_collected(self, night: Night, revision: int) -> None:
        """Note that the tables were written from `revision`; resets the collect attempts unless
        an output is still missing.

        The night needs collecting again once its revision has moved past it.
        """
        with changing_night(self._database, night) as change:
            if revision > change.before["revision"]:
                raise LedgerError(f"{night} never had revision {revision}")
            newest = max(revision, change.before["collected_revision"])
            change.set(collected_revision=newest)
            if not change.before["uncollected"]:
                change.set(collect_attempts=0)

    def request_work(self, night: Night, kind: str, *, not_before: datetime) -> int | None:
        """Count a sensor's request (`submit` or `collect`) for a Dagster run; return its number.

        None when the last request of that kind was after `not_before`. Moves no revision.
        """
        if kind not in _KINDS:
            raise LedgerError(f"work of kind {kind!r} is not known")
        with changing_night(self._database, night) as change:
            last = change.before[f"{kind}_requested_at"]
            if last is not None and last > not_before:
                return None
            number: int = change.before[f"{kind}_attempts"] + 1
            change.set(**{f"{kind}_attempts": number, f"{kind}_requested_at": change.now})
            return number

    def note_bucket(self, night: Night, found: Mapping[str, Collection[int]], bucket: str) -> None:
        """Note the bucket of stored outputs of this night that have none, by submission key and
        index. One that has a bucket keeps it. Moves no revision."""
        query = update(outputs).where(*_THIS, _o.stored_at.is_not(None), _o.bucket.is_(None))
        rows = [{"of": key, "at": index} for key, each in found.items() for index in each]
        with changing_night(self._database, night) as change:
            if rows:
                change.connection.execute(query.values(bucket=bucket), rows)

    def record_missing(
        self, submission_key: str, missing: Mapping[int, StoredFacts], problem: str
    ) -> int:
        """Note that stored outputs are not where they were, by index, with where that was: they
        count as not stored, and their run as not collected, until they are stored again.

        One that is noted somewhere else by now is left as it is. Returns how many were noted.
        """
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


def _mark_collected(
    change: NightChange, rows: Sequence[RowMapping], found: Mapping[str, Mapping[int, StoredFacts]]
) -> None:
    """Store what is new of `found`, then mark its locked `rows` as collected."""
    for row in rows:
        if row["state"] != SubmissionState.SUCCEEDED:
            raise LedgerError(
                f"submission {row['submission_key']} is {row['state']}, not succeeded"
            )
    _store_each(change, found, _outputs_of(change, found))
    fresh = [row for row in rows if row["collected_at"] is None]
    change.write(fresh, collected_at=change.now)


def _stored_values(change: NightChange, known: RowMapping, facts: StoredFacts) -> dict[str, Any]:
    return {
        **{name: getattr(facts, name) for name in STORED},
        "file_name": known["file_name"] or facts.file_name,
        "stored_at": change.now,
        "problem": None,
        "settled_above": None,
        "sealed_link": None,
    }


def _outputs_of(change: NightChange, keys: Iterable[str]) -> dict[str, dict[int, RowMapping]]:
    known: dict[str, dict[int, RowMapping]] = {key: {} for key in keys}
    for chunk in chunks(sorted(known)):
        query = select(outputs).where(outputs.c.submission_key.in_(chunk))
        for row in change.connection.execute(query).mappings():
            known[row["submission_key"]][row["output_index"]] = row
    return known


def _store_each(
    change: NightChange,
    found: Mapping[str, Mapping[int, StoredFacts]],
    known: Mapping[str, Mapping[int, RowMapping]],
) -> None:
    """Write what is new of `found`. Raises: LedgerError, unless that makes every run whole."""
    values: list[dict[str, Any]] = []
    for key, stored in found.items():
        for index, facts in stored.items():
            row = known[key].get(index)
            if row is None:
                raise LedgerError(f"submission {key} has no output {index}")
            if _is_news(row, facts):
                values.append({"of": key, "at": index, **_stored_values(change, row, facts)})
        left = [i for i, row in known[key].items() if _is_missing(row) and i not in stored]
        if left:
            raise LedgerError(f"submission {key}: {len(left)} output(s) not stored")
    if values:
        change.connection.execute(update(outputs).where(*_THIS), values)
        change.touch()


def _output(change: NightChange, submission_key: str, output_index: int) -> RowMapping:
    this = {"of": submission_key, "at": output_index}
    row = change.connection.execute(select(outputs).where(*_THIS), this).mappings().one_or_none()
    if row is None:
        raise LedgerError(f"submission {submission_key} has no output {output_index}")
    return row


def _is_missing(row: RowMapping) -> bool:
    return row["stored_at"] is None and row["settled_above"] is None


def _is_news(known: RowMapping, facts: StoredFacts) -> bool:
    """Return whether `facts` are to be written: of nothing yet, or in the place of what is damaged.

    Raises: LedgerError, where another content is stored and neither is damaged.
    """
    if known["stored_at"] is None:
        return True
    if known["verified"] == "damaged" or facts.is_damaged:
        return not facts.is_damaged
    _refuse_other_content(known, facts)
    return False


def _refuse_other_content(known: RowMapping, facts: StoredFacts) -> None:
    if (known["sha256"], known["size_bytes"]) != (facts.sha256, facts.size_bytes):
        raise LedgerError(
            f"output {known['output_index']} of submission {known['submission_key']} is stored "
            f"at {known['s3_key']} with another content"
        )


def _write_output(change: NightChange, known: RowMapping, values: dict[str, Any]) -> None:
    this = {"of": known["submission_key"], "at": known["output_index"]}
    change.connection.execute(update(outputs).where(*_THIS), {**this, **values})
    change.touch()
