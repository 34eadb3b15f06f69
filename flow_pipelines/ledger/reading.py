"""Queries for submissions, nights and outputs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Any, Unpack

from sqlalchemy import Select, case, func, literal, select, tuple_

from flow_pipelines.ledger.changing import of_night
from flow_pipelines.ledger.closed import closed_run_ids
from flow_pipelines.ledger.contract import PAGE
from flow_pipelines.ledger.database import Database, chunks, unindexed
from flow_pipelines.ledger.leases import not_elsewhere
from flow_pipelines.ledger.patience import repeated
from flow_pipelines.ledger.records import Outstanding, PlannedFor, Search
from flow_pipelines.ledger.rows import to_night_record, to_output, to_submission
from flow_pipelines.ledger.schema import nights, outputs, submissions
from flow_pipelines.ledger.sums import Sums
from flow_pipelines.model import (
    Night,
    NightRecord,
    Output,
    Submission,
    SubmissionState,
)
from flow_pipelines.model.errors import SubmissionNotFound
from flow_pipelines.model.states import AT_PROVIDER

_s = submissions.c
_BY_ROW = (_s.row_number, _s.copy, _s.generation)


class Reading(Sums):
    """Queries; `contract` says what holds for every method."""

    _database: Database

    def submission(self, submission_key: str) -> Submission:
        """Return one submission. Raises: SubmissionNotFound."""
        query = select(submissions).where(_s.submission_key == submission_key)
        rows = self._submissions(query)
        if not rows:
            raise SubmissionNotFound(f"no submission {submission_key} in this ledger")
        return rows[0]

    def submissions(
        self, night: Night, *, states: Collection[SubmissionState] | None = None
    ) -> Sequence[Submission]:
        """Return a night's submissions by row, copy and generation."""
        return self._submissions(_of_night(night, states))

    def submission_pages(
        self,
        night: Night,
        *,
        states: Collection[SubmissionState] | None = None,
        size: int = PAGE,
    ) -> Iterator[Sequence[Submission]]:
        """Return what `submissions` gives, at most `size` at a time: a night may not fit in memory.

        Each page is read when it is asked for, by what is true then; nothing is given twice.
        """
        query = _of_night(night, states).limit(size)
        page = self._submissions(query)
        while page:
            yield page
            # Each generation is rendered from one table, so no two rows share this place.
            last = page[-1]
            after = (last.row_number, last.copy, last.generation)
            page = self._submissions(query.where(tuple_(*_BY_ROW) > tuple_(*map(literal, after))))

    def each_submission(
        self,
        night: Night,
        *,
        states: Collection[SubmissionState] | None = None,
        size: int = PAGE,
    ) -> Iterator[Submission]:
        """Return what `submission_pages` does, one by one."""
        return chain.from_iterable(self.submission_pages(night, states=states, size=size))

    def pages_with_outputs(
        self, night: Night
    ) -> Iterator[tuple[Sequence[Submission], Mapping[str, Sequence[Output]]]]:
        """Return `submission_pages`, each with its outputs by submission key."""
        for submissions_of_page in self.submission_pages(night):
            keys = [submission.submission_key for submission in submissions_of_page]
            yield submissions_of_page, self.outputs_of(keys)

    def each_with_outputs(self, night: Night) -> Iterator[tuple[Submission, Sequence[Output]]]:
        """Return each submission of a night with its outputs."""
        for page, outputs_of_page in self.pages_with_outputs(night):
            for submission in page:
                yield submission, outputs_of_page.get(submission.submission_key, ())

    def known_runs(self, provider: str, provider_run_ids: Collection[str]) -> AbstractSet[str]:
        """Return those of these provider runs that a submission of this ledger has, or had while
        its night was open; also those that callbacks named for a closed night."""
        known: set[str] = set()
        with self._database.read() as connection:
            for chunk in chunks(sorted(set(provider_run_ids))):
                query = select(_s.provider_run_id).where(
                    _s.provider == provider,
                    _s.provider_run_id.in_(chunk),
                    _s.provider_run_id.is_not(None),  # lets the partial index answer
                )
                known.update(connection.execute(query).scalars())
            known |= closed_run_ids(connection, provider, provider_run_ids)
        return known

    def search(
        self, *, limit: int = 100, offset: int = 0, **wanted: Unpack[Search]
    ) -> Sequence[Submission]:
        """Return submissions of any night, the latest planned first."""
        return self._submissions(self._search(wanted).limit(limit).offset(offset))

    def search_all(self, **wanted: Unpack[Search]) -> Iterator[Submission]:
        """Return what `search` does, to its end: by what is true when the first is asked for.

        One transaction stays open until then; read it without pausing.
        """
        query = self._search(wanted)
        with self._database.read() as connection:
            rows = connection.execute(query, execution_options={"yield_per": PAGE})
            yield from (to_submission(row) for row in rows.mappings())

    def count_found(self, **wanted: Unpack[Search]) -> int:
        """Return how many submissions `search_all` gives."""
        query = self._search(wanted).order_by(None)
        with self._database.read() as connection:
            count = query.with_only_columns(func.count(_s.submission_key))
            return int(connection.execute(count).scalar_one())

    def _search(self, wanted: Search) -> Select[Any]:
        values = {name: value for name, value in wanted.items() if value is not None}
        of_night = values.keys() & {"batch", "partition_key"}
        guesses = self._database.engine.dialect.name == "sqlite"
        one_night = guesses and len(of_night) == 2  # noqa: PLR2004 - both of them
        unindexed_names = {"state"} if one_night else set()
        unindexed_names |= {"provider"} if guesses and of_night else set()
        columns = {n: unindexed(_s[n]) if n in unindexed_names else _s[n] for n in values}
        latest = unindexed(_s.planned_at) if one_night else _s.planned_at
        return (
            select(submissions)
            .where(*(columns[name] == value for name, value in values.items()))
            .order_by(latest.desc(), _s.batch, _s.partition_key, *_BY_ROW)
        )

    def unresolved(
        self,
        *,
        provider: str,
        resource: str,
        location: str | None = None,
        night: Night | None = None,
        limit: int = 100,
    ) -> Sequence[Submission]:
        """Return an account's unresolved submissions, the oldest intent first."""
        query = (
            select(submissions)
            .where(_s.provider == provider, _s.state == SubmissionState.UNRESOLVED)
            .where(_s.resource == resource, not_elsewhere(_s.batch, location))
            .order_by(_s.submitting_at, _s.submission_key)
            .limit(limit)
        )
        return self._submissions(query if night is None else query.where(*of_night(night)))

    def outstanding(
        self, *, location: str | None = None, night: Night | None = None
    ) -> Sequence[Outstanding]:
        """Return what is in flight or unresolved, by provider, account and batch."""
        keys = (_s.provider, _s.resource, _s.batch)
        unsettled = _s.state == SubmissionState.UNRESOLVED
        is_due = ~unsettled & (_s.next_poll_at <= self._database.clock.now())
        query = (
            # In the order of an index, every submission ever would be walked.
            select(
                *(unindexed(key).label(key.name) for key in keys),
                func.count(case((~unsettled, 1))).label("in_flight"),
                func.count(case((unsettled, 1))).label("unresolved"),
                func.count(case((is_due, 1))).label("due"),
                func.min(case((~unsettled, _s.next_poll_at))).label("due_at"),
            )
            .where(_s.state.in_(sorted(AT_PROVIDER)), not_elsewhere(_s.batch, location))
            .group_by(*(unindexed(key) for key in keys))
            .order_by(*(unindexed(key) for key in keys))
        )
        if night is not None:
            query = query.where(*of_night(night))
        with self._database.read() as connection:
            return [Outstanding(**row) for row in connection.execute(query).mappings()]

    def night(self, night: Night) -> NightRecord | None:
        """Return a night with its counts; None when it was never planned."""
        records = self._nights(select(nights).where(*of_night(night, nights)))
        return records[0] if records else None

    def night_records(self, wanted: Collection[Night]) -> Mapping[Night, NightRecord]:
        """Return those of these nights that were ever planned, with their counts."""
        records: dict[Night, NightRecord] = {}
        for chunk in chunks(sorted(set(wanted))):
            query = select(nights).where(
                nights.c.batch.in_(sorted({night.batch for night in chunk})),
                nights.c.partition_key.in_(sorted({night.partition_key for night in chunk})),
            )
            records |= {record.night: record for record in self._nights(query)}
        return {night: records[night] for night in wanted if night in records}

    def nights_to_do(self, batches: Collection[str], limit: int = 200) -> Sequence[NightRecord]:
        """Return nights of these batches that have something planned, unsettled, in flight, not in
        the tables yet (`revision` ≠ `collected_revision`), or not in the bucket yet (`uncollected`,
        for MAX_COLLECTIONS collections), with counts. The latest change comes first: tonight is
        never hidden behind what has waited for a person for weeks."""
        return self._nights(_unfinished(limit).where(nights.c.batch.in_(sorted(batches))))

    def planned_for(self, night: Night) -> Sequence[PlannedFor]:
        """Return what a night has planned, by provider and workflow version."""
        keys = (_s.provider, _s.workflow, _s.workflow_version)
        query = (
            select(
                *keys,
                func.count().label("rows"),
                func.min(_s.submission_key).label("example"),
            )
            .where(*of_night(night), _s.state == SubmissionState.PLANNED)
            .group_by(*keys)
            .order_by(*keys)
        )
        with self._database.read() as connection:
            return [PlannedFor(**row) for row in connection.execute(query).mappings()]

    def nights_besides(
        self, batches: Collection[str], *, location: str | None = None, limit: int = 200
    ) -> Sequence[NightRecord]:
        """Return nights as `nights_to_do` does, of all batches but these: those of no code, too."""
        query = _unfinished(limit).where(nights.c.batch.not_in(sorted(batches)))
        return self._nights(query.where(not_elsewhere(nights.c.batch, location)))

    def nights_of(self, batch: str, *, after: str = "", limit: int = PAGE) -> Sequence[NightRecord]:
        """Return the first nights of a batch by partition key, those after the key `after`."""
        columns = nights.c
        query = (
            select(nights)
            .where(columns.batch == batch, columns.partition_key > after)
            .order_by(columns.partition_key)
            .limit(limit)
        )
        return self._nights(query)

    def outputs(self, night: Night) -> Mapping[str, Sequence[Output]]:
        """Return a night's outputs by submission key, in their order."""
        query = (
            select(outputs)
            .join(submissions, _s.submission_key == outputs.c.submission_key)
            .where(*of_night(night))
            .order_by(*_BY_ROW, outputs.c.output_index)
        )
        return self._outputs(query)

    def stored_with(self, sha256: str, limit: int = 20) -> Sequence[Output]:
        """Return stored outputs of any night that have this very content."""
        columns = outputs.c
        query = (
            select(outputs)
            .where(columns.sha256 == sha256, columns.sha256.is_not(None))
            .order_by(columns.submission_key, columns.output_index)
            .limit(limit)
        )
        return [output for group in self._outputs(query).values() for output in group]

    def outputs_of(self, submission_keys: Collection[str]) -> Mapping[str, Sequence[Output]]:
        """Return the outputs of these submissions by their key, in their order."""
        by_submission: dict[str, Sequence[Output]] = {}
        for chunk in chunks(sorted(submission_keys)):
            query = (
                select(outputs)
                .where(outputs.c.submission_key.in_(chunk))
                .order_by(outputs.c.submission_key, outputs.c.output_index)
            )
            by_submission |= self._outputs(query)
        return by_submission

    @repeated
    def _submissions(self, query: Select[Any]) -> Sequence[Submission]:
        with self._database.read() as connection:
            return [to_submission(row) for row in connection.execute(query).mappings()]

    def _outputs(self, query: Select[Any]) -> dict[str, Sequence[Output]]:
        by_submission: dict[str, list[Output]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query).mappings():
                by_submission.setdefault(row["submission_key"], []).append(to_output(row))
        return dict(by_submission)

    def _nights(self, query: Select[Any]) -> Sequence[NightRecord]:
        with self._database.read() as connection:
            return [to_night_record(row) for row in connection.execute(query).mappings()]


def _of_night(night: Night, states: Collection[SubmissionState] | None) -> Select[Any]:
    query = select(submissions).where(*of_night(night)).order_by(*_BY_ROW)
    return query if states is None else query.where(_s.state.in_(sorted(states)))


def _unfinished(limit: int) -> Select[Any]:
    """Return the query of nights with something to do, the latest change first."""
    latest_first = (nights.c.changed_at.desc(), nights.c.batch, nights.c.partition_key)
    return select(nights).where(nights.c.attention.is_(True)).order_by(*latest_first).limit(limit)
