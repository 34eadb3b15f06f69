from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

import flow_pipelines
from flow_pipelines import (
    ComflowyResource,
    FloImgResource,
    FloraResource,
    FloyoResource,
    ImageStoreResource,
    RunLedgerResource,
    default_resources,
    provider_resource,
)
from flow_pipelines.clock import SystemClock
from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    FlowPipelinesError,
    InvalidBatch,
    LeaseLost,
    LedgerBusy,
    Problem,
    RateLimited,
    StorageError,
    StorageRefused,
)
from flow_pipelines.provider import Purpose, TurnRequest
from flow_pipelines.providers import provider_names
from flow_pipelines.redaction import Secret
from flow_pipelines.resources.environment import env_var, money, setting
from flow_pipelines.resources.failures import LONGEST_SECONDS_TO_WAIT, failures
from flow_pipelines.resources.io_manager import ParquetIOManager, table_key
from flow_pipelines.resources.run_ledger import leaves_this_host
from flow_pipelines.transport import LinkSeal, MemoryPaceStore
from flow_pipelines_tests.dagster.conftest import World

KEY = "flo_a_key_that_nobody_may_see"
PUBLIC = {
    "floyo": FloyoResource,
    "floimg": FloImgResource,
    "comflowy": ComflowyResource,
    "flora": FloraResource,
}


def test_every_public_name_can_be_imported_and_the_registry_s_are_listed() -> None:
    assert flow_pipelines.__all__ == sorted(flow_pipelines.__all__)
    # Dagster's registry imports whatever `dir` lists, in every project: components, no resources.
    components = {name for name in flow_pipelines.__all__ if name.endswith("Component")}
    assert set(flow_pipelines.__all__) & set(dir(flow_pipelines)) == components
    assert all(hasattr(flow_pipelines, name) for name in flow_pipelines.__all__)


def test_a_public_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'FloydResource'"):
        _ = flow_pipelines.FloydResource  # type: ignore[attr-defined]


def test_default_resources_have_the_public_keys() -> None:
    keys = {"image_store", "run_ledger", "flow_pipelines_io_manager", *provider_names()}
    assert set(default_resources()) == keys
    assert set(PUBLIC) <= keys


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_resource_class_is_the_one_that_its_provider_s_name_gives(name: str) -> None:
    assert provider_resource(name) is PUBLIC[name]


@pytest.mark.parametrize("name", provider_names())
def test_every_provider_of_the_registry_has_its_resource(name: str) -> None:
    assert provider_resource(name).provider_name == name
    resource = provider_resource(name)(api_key="k")
    assert resource.profile.name == name
    client = resource.get_client()
    assert client is resource.get_client()
    assert type(client).__name__.lower() == f"{name}client"


@pytest.mark.parametrize("name", provider_names())
def test_a_missing_key_is_missed_by_name_when_the_provider_is_used(name: str) -> None:
    resource = default_resources()[name]
    with pytest.raises(ConfigurationError, match=resource.profile.key_variable):
        resource.get_client()


def test_a_key_that_is_set_is_shown_by_its_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOYO_API_KEY", KEY)
    assert env_var("FLOYO_API_KEY") == dg.EnvVar("FLOYO_API_KEY")
    assert KEY not in repr(default_resources()["floyo"])
    assert KEY not in repr(FloyoResource(api_key=KEY))
    assert KEY not in repr(FloyoResource(api_key=KEY).link_seal())


@pytest.mark.parametrize("name", provider_names())
def test_links_are_sealed_with_the_account_s_key_and_by_nobody_without_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = default_resources()[name].process_config_and_initialize()
    assert resource.link_seal() is None
    monkeypatch.setenv(resource.profile.key_variable, KEY)
    sealed = resource.link_seal().seal("key", "output", "https://files.example/1.png")
    assert LinkSeal(name, Secret(KEY)).open("key", "output", sealed)


def test_a_client_makes_the_provider_s_documented_calls(world: World) -> None:
    client = FloyoResource().get_client()
    run_id = client.create_run({"1": {"class_type": "SaveImage", "inputs": {}}}, name="by hand").id
    assert client.retrieve_run(run_id).id == run_id
    assert FloyoResource.model_fields["cdn_url"].default is None


def test_two_accounts_do_not_share_a_rate_limit_and_one_account_does() -> None:
    turns = _CountingPace(SystemClock())
    for key in ("one", "two", "one"):
        resource = FloyoResource(api_key=key, base_url="http://127.0.0.1:9", cdn_url=None)
        provider = resource.get_provider(turns, SystemClock())
        provider.take_turn(Purpose.SUBMIT)
    assert len(turns.keys) == 2
    assert not any(word in key for key in turns.keys for word in ("one", "two"))


class _CountingPace(MemoryPaceStore):
    def __init__(self, clock: SystemClock) -> None:
        super().__init__(clock)
        self.keys: set[str] = set()

    def reserve(self, key: str, ask: TurnRequest) -> float | None:
        self.keys.add(key)
        return super().reserve(key, ask)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOYO_BASE_URL", "")
    assert setting(None, "FLOYO_BASE_URL", "the default") == "the default"


@pytest.mark.parametrize("text", ["ten", "-1", "NaN", "Infinity", "1,50"])
def test_a_budget_that_is_no_amount_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_PIPELINES_DAILY_BUDGET_USD", text)
    with pytest.raises(ConfigurationError, match="FLOW_PIPELINES_DAILY_BUDGET_USD must be"):
        FloyoResource().get_daily_budget_usd()


@pytest.mark.case(
    'a resource\'s `daily_budget_usd` from a variable that is not set meant "no cap"',
    "a number that is written as None is an error at load, and so is an empty budget variable",
    area="costs",
)
@pytest.mark.parametrize("name", provider_names())
@pytest.mark.parametrize("setting", ["daily_budget_usd", "requests_per_minute"])
def test_a_bound_that_is_written_and_is_nothing_is_an_error(name: str, setting: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{setting} is written and is nothing"):
        provider_resource(name)(**{setting: None})


def test_a_price_of_flotime_that_is_nothing_is_an_error_too() -> None:
    with pytest.raises(ConfigurationError, match="usd_per_flotime_hour"):
        FloyoResource(usd_per_flotime_hour=None)


def test_an_empty_budget_variable_is_no_permission_to_spend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLOW_PIPELINES_DAILY_BUDGET_USD", "")
    with pytest.raises(ConfigurationError, match="FLOW_PIPELINES_DAILY_BUDGET_USD must be"):
        FloyoResource().get_daily_budget_usd()


def test_bounds_that_are_left_out_stay_left_out_in_a_run() -> None:
    @dg.asset
    def bounds(floyo: FloyoResource) -> tuple[float | None, int | None]:
        return floyo.daily_budget_usd, floyo.requests_per_minute

    def value(resource: FloyoResource) -> object:
        return dg.materialize([bounds], resources={"floyo": resource}).output_for_node("bounds")

    assert value(FloyoResource()) == (None, None)
    assert value(FloyoResource(daily_budget_usd=2.5, requests_per_minute=7)) == (2.5, 7)


def test_a_budget_is_exact() -> None:
    assert money(0.1, "ANY") == Decimal("0.1")
    assert FloyoResource().get_daily_budget_usd() is None


# -- the ledger -------------------------------------------------------------------------------


def test_without_a_lasting_place_there_is_no_ledger() -> None:
    with pytest.raises(ConfigurationError, match="DAGSTER_HOME is not set"):
        RunLedgerResource().get_ledger()


def test_the_default_ledger_is_a_file_under_dagster_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    resource = RunLedgerResource()
    with resource.get_ledger() as ledger:
        assert resource.get_ledger() is ledger
    assert (tmp_path / "flow_pipelines_ledger.sqlite").is_file()


def test_a_launcher_that_may_leave_this_host_is_refused_the_local_file() -> None:
    far = {"module": "dagster._core.test_utils", "class": "ExplodingRunLauncher"}
    with dg.instance_for_test(overrides={"run_launcher": far}) as instance:
        context = dg.build_init_resource_context(instance=instance)
        with (
            RunLedgerResource.from_resource_context_cm(context) as resource,
            pytest.raises(ConfigurationError, match=r"ExplodingRunLauncher.*FLOW_PIPELINES_LEDGER"),
        ):
            resource.get_ledger()


def test_a_launcher_of_this_host_may_use_the_local_file() -> None:
    with dg.instance_for_test() as instance:
        assert not leaves_this_host(instance)
        context = dg.build_init_resource_context(instance=instance)
        with RunLedgerResource.from_resource_context_cm(context) as resource:
            assert resource.get_ledger().ledger_id


# -- errors -----------------------------------------------------------------------------------


def provider_error(kind: type[RateLimited | AccountRejected], **more: float) -> Exception:
    return kind("no", provider="floyo", operation="create_run", status=429, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (provider_error(RateLimited), 30.0),
        (provider_error(RateLimited, retry_after_seconds=90.0), 90.0),
        (provider_error(RateLimited, retry_after_seconds=300.0), LONGEST_SECONDS_TO_WAIT),
        (LeaseLost("held"), 60.0),
        (LedgerBusy("locked"), 30.0),
        (StorageError("503"), 30.0),
    ],
    ids=["rate limit", "with advice", "with long advice", "lease", "ledger", "bucket"],
)
def test_what_passes_by_itself_is_retried(error: Exception, seconds: float) -> None:
    with pytest.raises(dg.RetryRequested) as caught, failures():
        raise error
    assert caught.value.seconds_to_wait == seconds


def test_a_wait_longer_than_a_retry_may_last_ends_the_run_and_says_how_long() -> None:
    with pytest.raises(dg.Failure, match="it asks to wait 86,400 s") as caught, failures():
        raise provider_error(RateLimited, retry_after_seconds=86_400.0)
    assert caught.value.allow_retries is False


@pytest.mark.parametrize(
    "error",
    [
        provider_error(AccountRejected),
        ConfigurationError("unset"),
        StorageRefused("HTTP 400"),
        FlowPipelinesError("anything else"),
    ],
    ids=["account", "configuration", "refused by the bucket", "other"],
)
def test_what_needs_a_person_fails_at_once(error: Exception) -> None:
    with pytest.raises(dg.Failure) as caught, failures():
        raise error
    assert not caught.value.allow_retries
    assert caught.value.description == str(error)


def test_problems_of_a_batch_are_a_table() -> None:
    with pytest.raises(dg.Failure) as caught, failures():
        raise InvalidBatch("harbor", [Problem("is empty", "prompts.csv", 3, "prompt")])
    table = caught.value.metadata["problems"]
    assert isinstance(table, dg.TableMetadataValue)
    assert table.records[0].data == {
        "file": "prompts.csv",
        "line": 3,
        "column": "prompt",
        "message": "is empty",
    }


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(ZeroDivisionError), failures():
        _ = 1 / 0


# -- the bucket -------------------------------------------------------------------------------


def test_a_bucket_that_is_not_named_is_missed_by_its_variable() -> None:
    with pytest.raises(ConfigurationError, match="FLOW_PIPELINES_BUCKET is not set"):
        ImageStoreResource().get_store()


@pytest.mark.parametrize(
    ("asset", "partition_key", "path"),
    [
        (["harbor", "prompts"], "2026-11-02", "harbor/2026-11-02/prompts.parquet"),
        (["harbor", "images"], "2026-11-02", "harbor/2026-11-02/manifest.parquet"),
        (["harbor", "provider_runs"], None, "harbor/all/provider_runs.parquet"),
        (["cost_report"], None, "cost_report/cost_report.parquet"),
    ],
)
def test_tables_lie_where_the_bucket_s_layout_has_them(
    asset: list[str], partition_key: str | None, path: str, world: World
) -> None:
    store = ImageStoreResource().get_store()
    assert table_key(store, dg.AssetKey(asset), partition_key) == store.key(path)


def test_a_table_that_is_not_there_names_what_to_materialize(world: World) -> None:
    manager = ParquetIOManager(ImageStoreResource().get_store)
    context = dg.build_input_context(asset_key=dg.AssetKey(["harbor", "images"]))
    with pytest.raises(dg.Failure, match="materialize harbor/images first"):
        manager.load_input(context)


def test_integers_with_gaps_and_money_survive_a_table(world: World) -> None:
    manager = ParquetIOManager(ImageStoreResource().get_store)
    frame = pd.DataFrame(
        {
            "seed": pd.array([2**64 - 1, None], dtype="UInt64"),
            "cost_usd": [Decimal("0.000001"), None],
        }
    )
    key = dg.AssetKey(["harbor", "prompts"])
    manager.handle_output(dg.build_output_context(asset_key=key), frame)
    loaded = manager.load_input(dg.build_input_context(asset_key=key))
    assert loaded["seed"][0] == 2**64 - 1
    assert pd.isna(loaded["seed"][1])
    assert loaded["cost_usd"][0] == Decimal("0.000001")


def test_a_table_of_another_bucket_can_be_read_by_its_uri(world: World) -> None:
    resource = ImageStoreResource()
    store = resource.get_store()
    store.put(store.key("table.csv"), b"prompt\nfog\n", media_type="text/csv")
    assert resource.read_uri(store.uri(store.key("table.csv"))) == b"prompt\nfog\n"
    with pytest.raises(ConfigurationError, match="does not exist"):
        resource.read_uri(f"s3://{store.bucket}/nothing.csv")
    with pytest.raises(ConfigurationError, match="s3://bucket/key"):
        resource.read_uri("s3://bucket")


def test_dagster_s_registry_finds_the_component() -> None:
    finder = (
        "from dagster.components.core.package_entry import discover_entry_point_package_objects;"
        "print([key.to_typename() for key in discover_entry_point_package_objects()])"
    )
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", finder],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "flow_pipelines.PromptBatchComponent" in answer.stdout
