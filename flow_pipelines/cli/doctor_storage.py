"""Whether the bucket and the ledger do what a night asks of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from sqlalchemy import make_url

from flow_pipelines.cli.doctor_accounts import Skews
from flow_pipelines.cli.environment import ledger_url, open_existing_ledger, sqlite_file
from flow_pipelines.cli.findings import Finding, Mark
from flow_pipelines.cli.location import Accounts
from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger, schema_facts
from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import ConfigurationError, FlowPipelinesError, StorageError
from flow_pipelines.resources import ImageStoreResource
from flow_pipelines.resources.image_store import BUCKET
from flow_pipelines.resources.run_ledger import VARIABLE as LEDGER_URL
from flow_pipelines.storage.contract import ImageStore

_CONTENT = b"Written by `flow-pipelines doctor` to see whether it can be; may be deleted.\n"
_COUNTED = 1000
_UPGRADE = "`flow-pipelines ledger upgrade`"


def check_bucket(accounts: Accounts, skews: Skews, clock: Clock) -> Iterator[Finding]:
    """Write, read and delete a small object under the prefix."""
    try:
        store = accounts.get("image_store", ImageStoreResource).get_store()
        yield _try(store)
        skews.note(f"the bucket {store.bucket}", store.server_time(), clock.now())
    except ConfigurationError as error:
        do = f"Set {BUCKET} to a bucket that exists and that this machine's credentials open."
        yield Finding(check="bucket", mark=Mark.RED, says=str(error), do=do)
    except StorageError as error:
        do = "Does the role or key of this machine have s3:ListBucket, GetObject and PutObject?"
        yield Finding(check="bucket", mark=Mark.RED, says=str(error), do=do)


def _try(store: ImageStore) -> Finding:
    key = store.key("_doctor", f"{uuid.uuid4().hex}.txt")
    store.check()
    store.put(key, _CONTENT, media_type="text/plain")
    if store.get(key) != _CONTENT:
        says = f"{store.uri(key)} does not read back as it was written"
        do = "Is AWS_ENDPOINT_URL_S3 a store that gives back what it took?"
        return Finding(check="bucket", mark=Mark.RED, says=says, do=do)
    place = store.uri(store.key("")).rstrip("/") + "/"
    try:
        store.delete(key)
    except (StorageError, ConfigurationError):
        return Finding(
            check="bucket",
            mark=Mark.YELLOW,
            says=f"{place} can be written and read; nothing may be deleted, which no night does",
            do=f"Nothing, or delete {store.uri(key)} yourself.",
        )
    return Finding(check="bucket", mark=Mark.GREEN, says=f"{place} was written, read and cleared")


def check_ledger() -> Iterator[Finding]:
    """Check the ledger: it opens, has this schema, is not paused, has nothing left to a person."""
    try:
        url = ledger_url()
        problem = _schema_problem(url)
        if problem is not None:
            yield problem
            return
        with open_existing_ledger() as ledger:
            yield from _contents(url, ledger)
    except ConfigurationError as error:
        do = f"Set DAGSTER_HOME, or {LEDGER_URL}, to what the machine that runs Dagster has."
        yield Finding(check="ledger", mark=Mark.RED, says=str(error), do=do)
    except FlowPipelinesError as error:
        do = f"Does {LEDGER_URL} lead to the database, and does it let this machine in?"
        yield Finding(check="ledger", mark=Mark.RED, says=str(error), do=do)


def _schema_problem(url: str) -> Finding | None:
    file = sqlite_file(url)
    if file is not None and not file.exists():
        says = f"there is none yet at {file}"
        do = f"Nothing: the first night makes it; {_UPGRADE} does it now."
        return Finding(check="ledger", mark=Mark.YELLOW, says=says, do=do)
    facts = schema_facts(url)
    if facts.current == facts.newest:
        return None
    if facts.current is not None and facts.current not in facts.known:
        says = f"its schema {facts.current} is newer than this release's, {facts.newest}"
        do = "Install the release here that the others use."
        return Finding(check="ledger", mark=Mark.RED, says=says, do=do)
    says = f"its schema is {facts.current or 'empty'}; this release has {facts.newest}"
    do = f"Nothing: the next night upgrades it; {_UPGRADE} does it now."
    return Finding(check="ledger", mark=Mark.YELLOW, says=says, do=do)


def _contents(url: str, ledger: RunLedger) -> Iterator[Finding]:
    says = f"{ledger.ledger_id} at {make_url(url)!r}, schema current"
    yield Finding(check="ledger", mark=Mark.GREEN, says=says)
    pause = ledger.paused()
    if pause is None:
        yield Finding(check="submitting", mark=Mark.GREEN, says="not paused")
    else:
        says = f"paused by {pause.who} since {pause.at:%Y-%m-%d %H:%M} UTC: {pause.why}"
        do = "`flow-pipelines resume`, once that is over."
        yield Finding(check="submitting", mark=Mark.YELLOW, says=says, do=do)
    yield from _second_runs(ledger)
    unresolved = len(ledger.search(state=SubmissionState.UNRESOLVED, limit=_COUNTED))
    if unresolved:
        many = f"{unresolved} or more" if unresolved == _COUNTED else unresolved
        says = f"{many} of unknown outcome, perhaps bought"
        do = "`flow-pipelines runs --state unresolved`, then `flow-pipelines resolve` each."
        yield Finding(check="submissions", mark=Mark.YELLOW, says=says, do=do)


def _second_runs(ledger: RunLedger) -> Iterator[Finding]:
    """Name submissions that have two provider runs until a person has looked into each."""
    found = ledger.unsettled_second_runs(limit=_COUNTED)
    if found:
        first = found[0]
        key, run_id = first.submission_key, first.provider_run_id
        says = (
            f"{len(found)} with a second provider run, such as {key} with {run_id}: both may be "
            "billed"
        )
        do = f"`flow-pipelines resolve {key}` shows it; --settle-second {run_id} says what it was."
        yield Finding(check="second runs", mark=Mark.RED, says=says, do=do)
