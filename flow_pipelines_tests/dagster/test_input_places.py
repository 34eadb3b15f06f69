"""Where rows may read pictures from: listed places, without keys, bounded, by one client."""

from __future__ import annotations

import pytest

import flow_pipelines.storage.s3_client as s3_client_module
from flow_pipelines import ImageStoreResource
from flow_pipelines.model.errors import ConfigurationError, StorageRefused
from flow_pipelines.resources.input_places import InputPlaces
from flow_pipelines.storage.s3_client import make_client
from flow_pipelines.transport import ListedAddresses
from flow_pipelines_tests.buckets import BucketServer, bucket_process, bucket_server
from flow_pipelines_tests.unit.transport.wire import Wire, answer

__all__ = ["bucket_process", "bucket_server"]


def put(server: BucketServer, key: str, content: bytes = b"picture", bucket: str = "") -> str:
    file = server.root / (bucket or server.bucket) / key
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return f"s3://{bucket or server.bucket}/{key}"


def resource(server: BucketServer, *input_uris: str) -> ImageStoreResource:
    return ImageStoreResource(bucket=server.bucket, prefix="flow", input_uris=list(input_uris))


@pytest.mark.case(
    "a cell read a private bucket with our credentials",
    "s3:// and https:// are read below what image_store.input_uris lists, by default its own "
    "bucket and prefix, and nowhere else",
    area="inputs",
)
def test_without_a_list_rows_read_the_stores_own_prefix_only(bucket_server: BucketServer) -> None:
    ours = put(bucket_server, "flow/shelf/a.png")
    store = resource(bucket_server)
    assert store.read_input(ours) == b"picture"
    outside = [
        put(bucket_server, "private/badge.png"),
        put(bucket_server, "flowers/a.png"),
        put(bucket_server, "badge.png", bucket="hr-private"),
        f"s3://{bucket_server.bucket}/flow/../private/badge.png",
        f"s3://{bucket_server.bucket}",
        "https://assets.example.com/a.png",
        "file:///etc/passwd",
        "s3:///flow/a.png",
    ]
    for uri in outside:
        with pytest.raises(ConfigurationError, match="input_uris") as refused:
            store.read_input(uri)
        assert (
            f"s3://{bucket_server.bucket}/flow/" in str(refused.value) or uri == "s3:///flow/a.png"
        )


def test_a_list_replaces_the_own_prefix(bucket_server: BucketServer) -> None:
    shelf = put(bucket_server, "shelf/a.png", bucket="pictures-of-all")
    own = put(bucket_server, "flow/a.png")
    store = resource(bucket_server, "s3://pictures-of-all/shelf")
    assert store.read_input(shelf) == b"picture"
    for uri in (own, put(bucket_server, "shelfish/a.png", bucket="pictures-of-all")):
        with pytest.raises(ConfigurationError, match="s3://pictures-of-all/shelf"):
            store.read_input(uri)


def test_what_is_not_there_or_too_large_is_said(bucket_server: BucketServer) -> None:
    places = InputPlaces(
        [f"s3://{bucket_server.bucket}/"], resource(bucket_server)._read_object, max_bytes=10
    )
    with pytest.raises(ConfigurationError, match="does not exist"):
        places.read(f"s3://{bucket_server.bucket}/gone.png")
    with pytest.raises(StorageRefused, match="at most 10"):
        places.read(put(bucket_server, "large.png", b"x" * 11))


def web(*entries: str, max_bytes: int = 1000) -> InputPlaces:
    return InputPlaces(entries, lambda *_: None, max_bytes)


def test_a_link_is_read_below_its_listed_place_and_without_a_key() -> None:
    with Wire(answer(200, b"picture")) as wire:
        places = web(f"{wire.url}/shelf/")
        assert places.read(f"{wire.url}/shelf/a.png?signature=s") == b"picture"
        for path in ("/other/a.png", "/shelf/../other/a.png", "/shelf/%2e%2e/a.png", "/shelfish/a"):
            with pytest.raises(ConfigurationError, match="input_uris"):
                places.read(wire.url + path)
    (seen,) = wire.requests
    assert seen.target == "/shelf/a.png?signature=s"
    assert "authorization" not in seen.headers


@pytest.mark.parametrize(
    "uri",
    [
        "http://assets.example.com/a.png",
        "https://user:pw@assets.example.com/a.png",
        "https://assets.example.com.evil.example/a.png",
        "https://assets.example.com:8443/a.png",
        "https://evil.example\\.assets.example.com/a.png",
        "https://127.0.0.1/a.png",
        "ftp://assets.example.com/a.png",
    ],
)
def test_no_other_address_is_visited(uri: str) -> None:
    with pytest.raises(ConfigurationError, match=r"input_uris lists https://assets\.example\.com/"):
        web("https://assets.example.com/").read(uri)


def test_a_listed_name_has_to_resolve_to_a_public_address() -> None:
    book = ListedAddresses(["https://assets.example.com/"])
    assert book.needs_public_peer("https://assets.example.com/a.png")
    assert not book.is_own("https://assets.example.com/a.png")


def test_a_redirect_leads_nowhere_else() -> None:
    with Wire(answer(200, b"secret")) as other:
        with Wire(answer(302, b"", location=f"{other.url}/a.png")) as wire:
            places = web(f"{wire.url}/")
            with pytest.raises(ConfigurationError, match="not listed"):
                places.read(f"{wire.url}/a.png")
        assert other.requests == []


def test_a_download_is_bounded_and_one_that_broke_off_is_read_again() -> None:
    with Wire(answer(200, b"x" * 2000)) as wire, pytest.raises(ConfigurationError, match="bytes"):
        web(f"{wire.url}/").read(f"{wire.url}/a.png")
    cut = answer(200, b"half", keep=False, content_length="7")
    with Wire(cut, answer(200, b"picture")) as wire:
        assert web(f"{wire.url}/").read(f"{wire.url}/a.png") == b"picture"
    with Wire(answer(404, b"none")) as wire, pytest.raises(ConfigurationError, match="404"):
        web(f"{wire.url}/").read(f"{wire.url}/a.png?signature=secret")


@pytest.mark.parametrize(
    "entry", ["pictures/", "s3://", "ftp://host/", "http://host.example/", "https:///x", "*"]
)
def test_an_entry_that_is_no_place_is_an_error_that_names_the_setting(entry: str) -> None:
    with pytest.raises(ConfigurationError, match=r"image_store\.input_uris"):
        web(entry)


@pytest.mark.case(
    "each picture that rows name made a client of its own (20 calls: 3.6 s)",
    "a resource makes one client, for all that it reads and stores",
    area="inputs",
)
def test_a_resource_makes_one_client(
    bucket_server: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []

    def counted(endpoint_url: str | None, region: str | None) -> object:
        made.append(make_client(endpoint_url, region))
        return made[-1]

    monkeypatch.setattr(s3_client_module, "make_client", counted)
    store = resource(bucket_server)
    for number in range(20):
        store.read_input(put(bucket_server, f"flow/{number}.png"))
    store.read_uri(put(bucket_server, "prompts.csv"))
    store.get_store().check()
    assert len(made) == 1
