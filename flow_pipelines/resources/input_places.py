"""Where rows may read pictures from: what `image_store.input_uris` lists, and nothing else."""

from collections.abc import Callable, Sequence

from flow_pipelines.clock import SystemClock
from flow_pipelines.model.errors import (
    ConfigurationError,
    OutputRefused,
    ProviderError,
    ProviderUnavailable,
    TransferError,
)
from flow_pipelines.provider import ApiRequest, Resend
from flow_pipelines.redaction import Secret
from flow_pipelines.transport import HttpTransport, ListedAddresses, MemoryPaceStore
from flow_pipelines.transport.addresses import AddressRefused, is_below, leaves_its_folder

SETTING = "image_store.input_uris"
_NAME = "input pictures"
_TRIES = 3

ReadObject = Callable[[str, str, int], bytes | None]
"""Bucket, key and most bytes → an object's content; None: there is none."""


class InputPlaces:
    """Reads pictures that rows name by URI. Safe to share between threads."""

    def __init__(self, entries: Sequence[str], read_object: ReadObject, max_bytes: int) -> None:
        """Take `s3://bucket/prefix/` and `https://host/path/`. Opens nothing yet.

        Raises: ConfigurationError, for an entry that is neither.
        """
        self._entries, self._read_object, self._max_bytes = tuple(entries), read_object, max_bytes
        self._folders = [_split(one) for one in entries if one.startswith("s3://")]
        self._book = _book([one for one in entries if not one.startswith("s3://")])
        clock = SystemClock()
        self._transport = HttpTransport(
            _NAME,
            origins=(),
            book=self._book,
            secret=Secret(None),
            clock=clock,
            pace=MemoryPaceStore(clock),
            pace_key=_NAME,
        )

    def read(self, uri: str) -> bytes:
        """Read what is at a URI that a row names, `max_bytes` at most.

        Raises: ConfigurationError, naming the setting where the place is not listed;
        ProviderUnavailable and StorageError, which may pass.
        """
        return self._read_s3(uri) if uri.startswith("s3://") else self._read_web(uri)

    def _read_s3(self, uri: str) -> bytes:
        bucket, key = _split(uri)
        listed = any(bucket == one and is_below(key, folder) for one, folder in self._folders)
        if not key or leaves_its_folder(key) or not listed:
            raise self._not_listed(uri)
        content = self._read_object(bucket, key, self._max_bytes)
        if content is None:
            raise ConfigurationError(f"{uri} does not exist")
        return content

    def _read_web(self, uri: str) -> bytes:
        shown = uri.partition("?")[0]
        try:
            self._book.check(uri)
        except AddressRefused as refused:
            raise self._not_listed(f"{shown} ({refused})") from None
        request = ApiRequest(
            operation="read_picture",
            method="GET",
            url=uri,
            resend=Resend.SAFE,
            source="",
            authenticated=False,
            paced=False,
        )
        try:
            return self._download(request)
        except ProviderUnavailable:
            raise
        except (ProviderError, TransferError) as error:
            raise ConfigurationError(f"{shown}: {error}") from error

    def _download(self, request: ApiRequest) -> bytes:
        for tries_left in reversed(range(_TRIES)):
            try:
                with self._transport.open(request, max_bytes=self._max_bytes) as download:
                    return download.read()
            except OutputRefused:
                raise
            except TransferError:
                if not tries_left:
                    raise
        raise AssertionError

    def _not_listed(self, uri: str) -> ConfigurationError:
        places = ", ".join(self._entries) or "no place"
        return ConfigurationError(
            f"{uri} is not below a place that rows may read pictures from; {SETTING} lists {places}"
        )


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise ConfigurationError(f"{SETTING}: {uri!r} is not of the form s3://bucket/prefix/")
    return bucket, key


def _book(urls: Sequence[str]) -> ListedAddresses:
    for url in urls:
        if not url.startswith(("http://", "https://")) or "?" in url:
            raise ConfigurationError(
                f"{SETTING}: {url!r} is neither s3://bucket/prefix/ nor https://host/path/"
            )
    try:
        return ListedAddresses(urls)
    except ConfigurationError as error:
        raise ConfigurationError(f"{SETTING}: {error}") from None
