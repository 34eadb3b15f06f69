"""What a person would click in Dagster's UI, over the same GraphQL that the UI uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

from flow_pipelines.model.errors import FlowPipelinesError

_SCHEDULES = """
query { repositoriesOrError { __typename
  ... on PythonError { message }
  ... on RepositoryConnection { nodes { name location { name }
    schedules { name pipelineName potentialTickTimestamps(lowerLimit: 1, upperLimit: 1) } } } } }
"""

_LOCATIONS = """
query { workspaceOrError { __typename
  ... on PythonError { message }
  ... on Workspace { locationEntries { name loadStatus locationOrLoadError { __typename
    ... on PythonError { message } } } } } }
"""

_EVALUATE = """
mutation($selector: ScheduleSelector!, $at: Float) {
  scheduleDryRun(selectorData: $selector, timestamp: $at) { __typename
    ... on PythonError { message }
    ... on ScheduleNotFoundError { message }
    ... on DryRunInstigationTick { evaluationResult { skipReason error { message }
      runRequests { runKey runConfigYaml jobName tags { key value } } } } } }
"""

_LAUNCH = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
  ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } }
  ... on LaunchRunSuccess { run { runId } } } }
"""

_RUNS = """
query($filter: RunsFilter, $limit: Int) { runsOrError(filter: $filter, limit: $limit) { __typename
  ... on PythonError { message }
  ... on Runs { results { runId jobName status tags { key value } } } } }
"""

UNFINISHED = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")


class UnexpectedReply(FlowPipelinesError):
    """Dagster's webserver could not do what was asked."""


@dataclass(frozen=True)
class Schedule:
    """A schedule and where it is defined."""

    name: str
    job: str
    repository: str
    location: str
    last_tick_at: datetime
    """When it was due last."""


@dataclass(frozen=True)
class RunRequest:
    """A run that a schedule asks for."""

    job: str
    run_key: str | None
    run_config_yaml: str
    tags: Mapping[str, str]

    @property
    def partition_key(self) -> str | None:
        """The partition that the run is for."""
        return self.tags.get("dagster/partition")


@dataclass(frozen=True)
class Run:
    """A run in Dagster."""

    run_id: str
    job: str
    status: str
    tags: Mapping[str, str]


class Webserver:
    """A Dagster webserver on this machine."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy stands between us and ourselves

    def query(self, text: str, **variables: Any) -> Mapping[str, Any]:
        """Ask once; return the one field of the answer. Raises: UnexpectedReply."""
        try:
            answer = self._session.post(
                f"{self.url}/graphql", json={"query": text, "variables": variables}, timeout=60
            )
            document = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise UnexpectedReply(f"Dagster at {self.url} does not answer: {error}") from error
        if document.get("errors"):
            raise UnexpectedReply(f"Dagster refused a query: {document['errors']}")
        (field,) = document["data"].values()
        if field["__typename"].endswith(("Error", "Invalid", "Conflict")):
            raise UnexpectedReply(f"Dagster: {field.get('message') or field}")
        return dict(field)

    def loaded(self) -> bool:
        """Return whether every code location is loaded. Raises: UnexpectedReply: one is broken."""
        try:
            entries = self.query(_LOCATIONS)["locationEntries"]
        except UnexpectedReply:
            return False
        for entry in entries:
            problem = entry["locationOrLoadError"]
            if problem and problem["__typename"] == "PythonError":
                raise UnexpectedReply(f"Code location {entry['name']}: {problem['message']}")
        return bool(entries) and all(entry["loadStatus"] == "LOADED" for entry in entries)

    def schedules(self) -> Sequence[Schedule]:
        """Return every schedule of every code location."""
        return [
            Schedule(
                schedule["name"],
                schedule["pipelineName"],
                node["name"],
                node["location"]["name"],
                datetime.fromtimestamp(schedule["potentialTickTimestamps"][0], UTC),
            )
            for node in self.query(_SCHEDULES)["nodes"]
            for schedule in node["schedules"]
        ]

    def evaluate(self, schedule: Schedule) -> Sequence[RunRequest]:
        """Return the runs that the schedule asked for, or would have, when it was due last."""
        selector = {
            "repositoryLocationName": schedule.location,
            "repositoryName": schedule.repository,
            "scheduleName": schedule.name,
        }
        at = schedule.last_tick_at.timestamp()
        result = self.query(_EVALUATE, selector=selector, at=at)["evaluationResult"]
        if result["error"]:
            raise UnexpectedReply(f"{schedule.name}: {result['error']['message']}")
        return [
            RunRequest(
                request["jobName"] or schedule.job,
                request["runKey"],
                request["runConfigYaml"],
                _read_tags(request["tags"]),
            )
            for request in result["runRequests"] or ()
        ]

    def launch(self, schedule: Schedule, request: RunRequest) -> str:
        """Start the run that a schedule asks for, tagged as if the schedule had; return its id.

        The scheduler recognizes its own runs by these tags, and does not start it again.
        """
        tags = {
            **request.tags,
            "dagster/schedule_name": schedule.name,
            ".dagster/scheduled_execution_time": schedule.last_tick_at.isoformat(),
        }
        if request.run_key:
            tags["dagster/run_key"] = request.run_key
        params = {
            "selector": {
                "repositoryLocationName": schedule.location,
                "repositoryName": schedule.repository,
                "jobName": request.job,
            },
            "runConfigData": request.run_config_yaml,
            "executionMetadata": {"tags": _tags(tags)},
        }
        return str(self.query(_LAUNCH, params=params)["run"]["runId"])

    def runs(
        self, *, tags: Mapping[str, str] | None = None, statuses: Sequence[str] = ()
    ) -> Sequence[Run]:
        """Return the newest runs with all of these tags and one of these statuses."""
        chosen: dict[str, Any] = {"tags": _tags(tags or {})}
        if statuses:
            chosen["statuses"] = list(statuses)
        return [
            Run(run["runId"], run["jobName"], run["status"], _read_tags(run["tags"]))
            for run in self.query(_RUNS, filter=chosen, limit=100)["results"]
        ]


def _read_tags(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in tags}


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
