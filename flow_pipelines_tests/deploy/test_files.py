"""What of deploy/ can be checked without Docker, a database or a network."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from dagster._cli import create_dagster_cli
from dagster._config import process_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.workspace.load import location_origins_from_yaml_paths
from dagster._daemon.cli import create_dagster_daemon_cli
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import pg_url_from_config
from dagster_webserver.cli import dagster_webserver
from jsonschema import Draft7Validator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from flow_pipelines.cli import main
from flow_pipelines.cli.home import Home
from flow_pipelines.providers import profile, provider_names
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings
from flow_pipelines_tests.deploy.compose import Service, document, example, services
from flow_pipelines_tests.deploy.dockerfile import DEPLOY, ROOT, instructions

_SECRET = re.compile(r"PASSWORD|KEY|SECRET|TOKEN")
_PROGRAMS: dict[str, click.Command] = {
    "dagster": create_dagster_cli(),
    "dagster-daemon": create_dagster_daemon_cli(),
    "dagster-webserver": dagster_webserver,
    "flow-pipelines": main,
}


def filled_in() -> dict[str, str]:
    values = example()
    return {name: value or f"filled-in-{name}" for name, value in values.items()}


def command_of_the_image() -> Sequence[str]:
    return next(one.words for one in instructions() if one.name == "CMD")


# ---- Dagster's files


def test_dagster_takes_its_settings_with_the_variables_that_compose_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in services(filled_in())["daemon"].environment.items():
        monkeypatch.setenv(name, value)
    written = (DEPLOY / "dagster.yaml").read_text("utf-8")
    # Only the image has dagster-aws, which keeps logs; dagster/test_deployed.py shows that it does.
    without_logs = re.sub(r"(?ms)^compute_logs:.*?^(?=\w)", "", written)
    (tmp_path / "dagster.yaml").write_text(without_logs, encoding="utf-8")
    ref = InstanceRef.from_dir(str(tmp_path))

    storage = ref.storage_data
    assert storage.class_name == DagsterPostgresStorage.__name__
    settings = yaml.safe_load(storage.config_yaml)
    processed = process_config(DagsterPostgresStorage.config_type(), settings)
    assert processed.success, processed.errors
    assert pg_url_from_config(processed.value or {}) == (
        "postgresql://dagster:filled-in-DAGSTER_POSTGRES_PASSWORD@postgres:5432/dagster"
    )
    logs = yaml.safe_load(written)["compute_logs"]
    assert logs["class"] == "S3ComputeLogManager"


def test_its_settings_are_those_of_the_demo(tmp_path: Path) -> None:
    Home(tmp_path).prepare()
    demo = (tmp_path / "dagster" / "dagster.yaml").read_text("utf-8")
    assert demo[demo.index("concurrency:") :] in (DEPLOY / "dagster.yaml").read_text("utf-8")


def test_webserver_and_daemon_look_for_the_code_where_compose_serves_it() -> None:
    [origin] = location_origins_from_yaml_paths([str(DEPLOY / "workspace.yaml")])
    command = command_of_the_image()
    assert origin.host in services(filled_in())  # type: ignore[attr-defined]
    assert str(origin.port) == command[command.index("--port") + 1]  # type: ignore[attr-defined]
    assert origin.location_name == command[command.index("--location-name") + 1]


# ---- compose.yaml


def test_compose_keeps_to_the_schema_of_compose_files() -> None:
    errors = Draft7Validator(get_builtin_schema("vendor.compose-spec")).iter_errors(document())
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


OF_OUR_IMAGE = [name for name, one in services(filled_in()).items() if one.of_our_image]


@pytest.mark.parametrize("name", OF_OUR_IMAGE)
def test_every_command_of_our_image_exists_and_takes_its_options(name: str) -> None:
    service = services(filled_in())[name]
    for words in (service.command or command_of_the_image(), service.health):
        if words and words[0] == "python":
            compile(words[-1], name, "exec")
        elif words:
            parse(_PROGRAMS[words[0]], words[1:])


def parse(command: click.Command, words: Sequence[str]) -> None:
    """Read a command line without doing what it says. Raises: click.UsageError."""
    context = command.make_context(command.name, list(words))
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        found, subcommand, rest = command.resolve_command(context, rest)
        assert subcommand is not None
        command, context = subcommand, subcommand.make_context(found, rest, parent=context)


def test_a_service_waits_for_what_it_needs_to_be_well() -> None:
    told = document()["services"]
    for name, service in told.items():
        for needed, how in service.get("depends_on", {}).items():
            ends = how["condition"] == "service_completed_successfully"
            assert ends or "healthcheck" in told[needed], f"{name} waits for {needed}"


def test_what_only_this_machine_should_reach_is_reached_from_this_machine_only() -> None:
    ports = {name: one.get("ports", []) for name, one in document()["services"].items()}
    published = {name: there for name, there in ports.items() if there}
    assert list(published) == ["webserver"]
    assert all(one.startswith("127.0.0.1:") for one in published["webserver"])


# ---- Secrets


def test_no_file_holds_a_secret_but_the_keys_of_the_stand_ins() -> None:
    filled = {name for name, value in example().items() if value and _SECRET.search(name)}
    with Sandbox(SandboxSettings(port=0, bucket_port=0)) as sandbox:
        known = sandbox.environment()
    assert filled <= set(known)
    assert {example()[name] for name in filled} <= set(known.values())
    for name, value in variables_as_written():
        if _SECRET.search(name) and value is not None:
            assert re.fullmatch(r"\$\{\w+:\?.+\}", value), name
        assert not re.search(r"://\w+:[^$]", str(value)), name


def variables_as_written() -> list[tuple[str, str | None]]:
    told = document()["services"].values()
    return [pair for one in told for pair in one.get("environment", {}).items()]


def having(word: str) -> set[str]:
    """Return the services in whose environment a value is."""
    found = services(filled_in()).items()
    return {name for name, one in found if any(word in value for value in one.environment.values())}


def test_only_the_service_that_upgrades_the_ledger_may_change_its_tables() -> None:
    told = services(filled_in())
    assert told["code"].environment["FLOW_PIPELINES_LEDGER_URL"].endswith("?upgrade=false")
    assert "ledger_owner" in told["ledger"].environment["FLOW_PIPELINES_LEDGER_URL"]
    assert told["ledger"].command == ["flow-pipelines", "ledger", "upgrade"]


def test_each_process_has_the_passwords_that_it_needs_and_no_other() -> None:
    databases = {"postgres"}
    assert having("filled-in-POSTGRES_PASSWORD") == databases
    assert having("filled-in-LEDGER_OWNER_PASSWORD") == databases | {"ledger"}
    assert having("filled-in-LEDGER_WRITER_PASSWORD") == databases | {"code"}
    assert having("filled-in-LEDGER_READER_PASSWORD") == databases
    assert having("filled-in-DAGSTER_POSTGRES_PASSWORD") == databases | {
        "code",
        "daemon",
        "webserver",
    }
    assert having("flo_sandbox_key") == {"code"}


def test_every_variable_of_an_account_in_compose_is_one_that_a_provider_has() -> None:
    known = {
        variable
        for one in map(profile, provider_names())
        for variable in (
            one.key_variable,
            *one.url_variables.values(),
            *one.other_variables.values(),
        )
    }
    written = dict(variables_as_written())
    prefixes = tuple(f"{name.upper()}_" for name in provider_names())
    assert {name for name in written if name.startswith(prefixes)} <= known


def test_the_example_leads_to_the_stand_ins_as_they_are() -> None:
    with Sandbox(SandboxSettings(port=0, bucket_port=0)) as sandbox:
        told = {
            name: value.replace(sandbox.url, "https://sandbox:8700").replace(
                sandbox.bucket.url, "http://sandbox:8701"
            )
            for name, value in sandbox.environment().items()
        }
    own = {"COMPOSE_PROFILES", "REQUESTS_CA_BUNDLE"}
    given = {name: value for name, value in example().items() if value and name not in own}
    assert given.items() <= told.items()
    certificate = example()["REQUESTS_CA_BUNDLE"]
    assert certificate in stand_ins().command
    assert certificate in stand_ins().environment.values()


def stand_ins() -> Service:
    return services(filled_in())["sandbox"]


# ---- The image


def test_the_image_is_not_root_and_knows_every_package_by_its_hash() -> None:
    written = instructions()
    assert [one.text for one in written if one.name == "USER"] == ["10001:10001"]
    installs = [one.text for one in written if "pip install" in one.text]
    assert all("--no-deps" in text for text in installs)
    assert "--require-hashes" in installs[0]
    assert "--no-build-isolation" in installs[1]


def test_the_images_lock_has_every_dependency_in_a_version_that_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    declared = [*project["project"]["dependencies"], *extras["cluster"], *extras["sandbox"]]
    declared += [*extras["postgres"], *project["build-system"]["requires"]]
    lock = (DEPLOY / "requirements.lock").read_text("utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^ ]+)", lock, re.MULTILINE))
    tested = (ROOT / "requirements.lock").read_text("utf-8")
    wanted = [one for one in map(Requirement, declared) if one.name != "flow-pipelines"]
    outside = [
        str(one)
        for one in wanted
        if not one.specifier.contains(pinned.get(canonicalize_name(one.name), "0"))
    ]
    assert outside == []
    shared = {name for name in pinned if re.search(rf"^{name}==", tested, re.MULTILINE)}
    assert all(f"\n{name}=={pinned[name]} " in f"\n{tested}" for name in shared)
