"""A ledger in a file serves one host: wherever work may go to another, it is refused."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from flow_pipelines.ledger import RunLedger
from flow_pipelines.resources import RunLedgerResource
from flow_pipelines.resources.run_ledger import _is_this_machine, _steps_stay
from flow_pipelines_tests.dagster.conftest import NIGHT, Project, World, materialize
from flow_pipelines_tests.dagster.in_process import in_process_dagster, recommended_instance
from flow_pipelines_tests.dagster.test_comparison import COMPARISON, SIDES
from flow_pipelines_tests.databases import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]

BOUGHT = ("harbor/prompts", "harbor/provider_runs")
WHOLE = (*BOUGHT, "harbor/images", "harbor/contact_sheet")
SIDE, OTHER_SIDE = SIDES
STEPS = (
    *(f"{SIDE}/{step}" for step in ("workflow", "prompts", "provider_runs", "images")),
    f"{SIDE}/contact_sheet",
    "best/comparison",
)
ELSEWHERE = GrpcServerCodeLocationOrigin(host="192.0.2.7", port=4000)
"""A code server on another machine; nobody ever has this address."""


def executor(name: str) -> dg.ExecutorDefinition:
    """Make an executor of this name; it stays here, which its name does not say."""

    @dg.executor(name=name, requirements=[])
    def made(_context: dg.InitExecutorContext) -> InProcessExecutor:
        return InProcessExecutor(retries=RetryMode.DISABLED)

    return made


def failures_of(result: dg.ExecuteInProcessResult) -> list[str]:
    failed = [event for event in result.all_events if event.is_step_failure]
    return [str(event.step_failure_data.error) for event in failed]


def hand_over(world: World, ledger_id: str, batch: str = "harbor") -> None:
    """Let the bucket name a ledger as the batch's."""
    (world.bucket / batch / "_ledger.json").write_text(json.dumps({"ledger_id": ledger_id}))


@pytest.fixture
def recommended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with recommended_instance(tmp_path / "dagster_home") as instance:
        yield instance


@pytest.mark.case(
    "with celery_executor and no address of a ledger each worker made a file of its own: twenty "
    "runs were bought, and `images` ended green without one",
    "a ledger file is refused where the executor, the launcher or the code server may be elsewhere",
)
def test_a_step_that_an_executor_may_have_sent_away_gets_no_file(
    project: Project, recommended: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    keys = [dg.AssetKey(asset.split("/")) for asset in WHOLE]
    project.executor = executor("celery")
    with project.load() as defs, in_process_dagster(defs, recommended) as here:
        run = here.launch(dg.RunRequest(asset_selection=keys, partition_key=NIGHT))
        here.queue_turn()
        log = "".join(str(entry) for entry in recommended.all_logs(run))
    assert "the executor 'celery' may run steps on other machines" in log
    assert world.bought() == 0


@pytest.mark.parametrize(
    ("given", "stays"),
    [
        (dg.in_process_executor, True),
        (dg.multiprocess_executor.configured({"max_concurrent": 2}, name="two"), True),
        (dg.multi_or_in_process_executor, True),
        (InProcessExecutor(retries=RetryMode.DISABLED), True),
        (executor("celery"), False),
        (executor("in_process"), False),
        (executor("execute_in_process_executor"), True),
    ],
)
def test_an_executor_is_known_by_what_it_is_and_one_of_tests_by_its_name(
    given: dg.ExecutorDefinition | InProcessExecutor, stays: bool
) -> None:
    @dg.asset
    def picture() -> None:
        """Stand for any asset."""

    defs = dg.Definitions(assets=[picture], executor=given)
    made = defs.resolve_implicit_global_asset_job_def().executor_def
    assert _steps_stay(made) is stays


def resolve(
    host: str, _port: int, **_named: object
) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    """Resolve names as this machine's resolver would, without one."""
    known = {"localhost": "127.0.0.1", "this-machine": "127.0.0.1", "0.0.0.0": "0.0.0.0"}
    if host.endswith(".invalid"):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (known.get(host, host), 0))]


@pytest.mark.parametrize(
    ("url", "host", "refused"),
    [
        (None, "192.0.2.7", True),
        (None, "no-such-host.invalid", True),
        ("sqlite:////srv/shared/ledger.sqlite", "192.0.2.7", True),
        (None, "localhost", False),
        (None, "127.0.0.1", False),
        (None, "0.0.0.0", False),
        (None, "::ffff:127.0.0.1", False),
        (None, "this-machine", False),
        (None, None, False),
    ],
)
def test_a_code_server_that_other_machines_reach_gets_no_file(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    url: str | None,
    host: str | None,
    refused: bool,
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    origin = None if host is None else GrpcServerCodeLocationOrigin(host=host, port=4000)
    resource = RunLedgerResource(url=url)
    if refused:
        with pytest.raises(Exception, match=r"stands for other machines.*PostgreSQL"):
            resource.of_location(origin)
    else:
        with resource.of_location(origin) as ledger:
            assert ledger.ledger_id


def test_a_step_of_a_code_server_elsewhere_gets_no_file(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        keys = {dg.AssetKey(asset.split("/")) for asset in BOUGHT}
        job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection=keys)
        run = instance.create_run_for_job(
            job,
            asset_selection=keys,
            tags={"dagster/partition": NIGHT},
            remote_job_origin=RemoteJobOrigin(
                RemoteRepositoryOrigin(ELSEWHERE, "__repository__"), job.name
            ),
        )
        execute_run(InMemoryJob(job), run, instance)
    log = "".join(str(entry) for entry in instance.all_logs(run.run_id))
    assert "192.0.2.7, stands for other machines" in log
    assert world.bought() == 0


def test_a_tick_in_a_code_server_elsewhere_gets_no_file(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        repository = defs.get_repository_def()
        sensor = repository.get_sensor_def("floyo_runs_sensor")
        context = dg.SensorEvaluationContext(
            instance_ref=None,
            instance=instance,
            repository_def=repository,
            sensor_name=sensor.name,
            resources=repository.get_top_level_resources(),
            code_location_origin=ELSEWHERE,
        )
        with context:
            data = sensor.evaluate_tick(context)
    assert "192.0.2.7, stands for other machines" in str(data.cursor)


def test_localhost_is_this_machine_where_ipv6_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(*_arguments: object, **_named: object) -> list[tuple[object, ...]]:
        kind = socket.SOCK_STREAM
        # The second of them cannot be bound anywhere: it stands for a family that is off.
        return [
            (socket.AF_INET, kind, 0, "", ("127.0.0.1", 0)),
            (-1, kind, 0, "", ("::1", 0, 0, 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    assert _is_this_machine("localhost")


FAR = {"module": "dagster._core.test_utils", "class": "ExplodingRunLauncher"}


def test_a_launcher_elsewhere_is_refused_a_file_that_was_asked_for_by_name(tmp_path: Path) -> None:
    with dg.instance_for_test(overrides={"run_launcher": FAR}) as instance:
        url = f"sqlite:///{tmp_path / 'named.sqlite'}"
        # Dagster reads a resource's fields from this, not from the object that was made.
        context = dg.build_init_resource_context(instance=instance, config={"url": url})
        with (
            RunLedgerResource().from_resource_context_cm(context) as resource,
            pytest.raises(Exception, match="a ledger file of its own"),
        ):
            resource.get_ledger()


def test_a_launcher_or_a_code_server_elsewhere_may_have_a_server(postgres_url: str) -> None:
    with dg.instance_for_test(overrides={"run_launcher": FAR}) as instance:
        context = dg.build_init_resource_context(instance=instance, config={"url": postgres_url})
        with RunLedgerResource().from_resource_context_cm(context) as resource:
            assert resource.get_ledger() is resource.of_location(ELSEWHERE)


def test_an_executor_elsewhere_may_have_a_server(
    project: Project, instance: dg.DagsterInstance, world: World, postgres_url: str
) -> None:
    project.add("harbor")
    project.executor = executor("celery")
    with project.load(run_ledger=RunLedgerResource(url=postgres_url)) as defs:
        job = defs.resolve_implicit_global_asset_job_def()
        keys = {dg.AssetKey(["harbor", "prompts"])}
        job = job.get_subset(asset_selection=keys)
        tags = {"dagster/partition": NIGHT}
        run = instance.create_run_for_job(job, asset_selection=keys, tags=tags)
        assert execute_run(InMemoryJob(job), run, instance).success


@pytest.mark.case(
    "a step on another host, with another ledger, worked on a batch as if nothing had been bought",
    "any step that meets a batch whose bucket names another ledger fails before it works",
)
@pytest.mark.parametrize("asset", STEPS)
def test_every_step_refuses_a_batch_of_another_ledger(
    project: Project, instance: dg.DagsterInstance, world: World, asset: str
) -> None:
    project.add("best", COMPARISON)
    with project.load() as defs:
        assert materialize(defs, instance, f"{SIDE}/prompts", f"{SIDE}/provider_runs").success
        hand_over(world, "f" * 32, SIDE)
        night = None if asset.endswith("/workflow") else NIGHT
        [error] = failures_of(materialize(defs, instance, asset, partition_key=night))
    assert "belongs to ledger ffffffff" in error
    assert world.bought() == 3


def test_there_is_no_step_that_was_not_tried(project: Project) -> None:
    project.add("best", COMPARISON)
    with project.load() as defs:
        graph = defs.resolve_asset_graph()
        every = {key.to_user_string() for key in graph.executable_asset_keys}
    of_the_other_side = {key for key in every if key.startswith(f"{OTHER_SIDE}/")}
    assert every - of_the_other_side == {*STEPS, "cost_report"}  # which leaves the batch out


@pytest.mark.case(
    "`images` on a host whose ledger did not know the night ended green, with 0 of 20 done",
    "it fails, and says what to materialize first; so it does when nothing was sent",
)
@pytest.mark.parametrize(
    ("before", "says"),
    [((), "knows nothing of it"), (("harbor/prompts",), "nothing of it was sent yet")],
)
def test_images_of_a_night_that_was_never_sent_fail(
    project: Project,
    instance: dg.DagsterInstance,
    world: World,
    before: tuple[str, ...],
    says: str,
) -> None:
    project.add("harbor")
    with project.load() as defs:
        if before:
            assert materialize(defs, instance, *before).success
        [error] = failures_of(materialize(defs, instance, "harbor/images"))
    assert says in error
    assert "harbor/provider_runs first" in error


@pytest.mark.case(
    "a cost report summed up the few rows that a second ledger knew of another's batch",
    "it leaves such a batch out and says so; handed back, it is whole again",
)
def test_a_cost_report_leaves_the_batches_of_other_ledgers_out(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *WHOLE).success

        def report() -> dg.AssetMaterialization:
            result = materialize(defs, instance, "cost_report", partition_key=None)
            [event] = result.asset_materializations_for_node("cost_report")
            return event

        hand_over(world, "f" * 32)
        without = report()
        hand_over(world, ledger.ledger_id)
        whole = report()
    assert "Left out: harbor" in str(without.metadata["preview"].value)
    assert without.metadata["images"].value == 0
    assert "Left out" not in str(whole.metadata["preview"].value)
    assert whole.metadata["images"].value == 3


@pytest.mark.case(
    "a note in the bucket that could not be read took its batch out of the cost report",
    "only a note that names another ledger does",
)
def test_a_note_that_cannot_be_read_takes_no_batch_out_of_the_cost_report(
    project: Project, instance: dg.DagsterInstance, world: World
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *WHOLE).success
        (world.bucket / "harbor" / "_ledger.json").write_text("no note")
        result = materialize(defs, instance, "cost_report", partition_key=None)
    [event] = result.asset_materializations_for_node("cost_report")
    assert event.metadata["images"].value == 3
