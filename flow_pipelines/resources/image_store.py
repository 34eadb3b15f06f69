"""The image store as a Dagster resource."""

from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, PrivateAttr

from flow_pipelines.clock import SystemClock
from flow_pipelines.model import MAX_OUTPUT_BYTES
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.resources.environment import BoundedResource, setting

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from flow_pipelines.resources.input_places import InputPlaces
    from flow_pipelines.storage.contract import ImageStore
    from flow_pipelines.storage.s3_client import LateClient

BUCKET = "FLOW_PIPELINES_BUCKET"
PREFIX = "FLOW_PIPELINES_PREFIX"
DEFAULT_PREFIX = "flow"
MAX_SOURCE_BYTES = 64 * 1024 * 1024
"""A prompt table or a workflow that is larger is a mistake."""


class ImageStoreResource(BoundedResource):
    """The bucket where images, tables and reports are kept: S3, or what speaks its protocol.

    Credentials, region and endpoint are boto3's own matter (`AWS_ENDPOINT_URL_S3`, a profile, an
    instance role) unless given here.
    """

    bucket: str | None = Field(default=None, description=f"Name of the bucket. Default: {BUCKET}.")
    prefix: str | None = Field(
        default=None,
        description=f"Folder in the bucket. Default: {PREFIX}, else {DEFAULT_PREFIX!r}.",
    )
    endpoint_url: str | None = Field(
        default=None, description="Address of an S3-compatible store. Default: boto3's."
    )
    region: str | None = Field(default=None, description="Region. Default: boto3's.")
    max_output_bytes: int = Field(
        default=MAX_OUTPUT_BYTES,
        gt=0,
        description="Largest output that is stored; a larger one is told once and left out.",
    )
    extra_put_args: dict[str, Any] = Field(
        default_factory=dict,
        description="Sent with every write, such as ServerSideEncryption and SSEKMSKeyId.",
    )

    input_uris: list[str] = Field(
        default_factory=list,
        description=(
            "Places that rows may read pictures from, where `parameters` says {file: …}: "
            "s3://bucket/prefix/ and https://host/path/. Default: this bucket and prefix."
        ),
    )

    _store: "ImageStore | None" = PrivateAttr(default=None)
    _client: "LateClient | None" = PrivateAttr(default=None)
    _inputs: "InputPlaces | None" = PrivateAttr(default=None)

    def get_store(self) -> "ImageStore":
        """Return the store; no call is made yet. The same one at every call.

        Raises: ConfigurationError, naming the variable, without a bucket.
        """
        if self._store is None:
            bucket = setting(self.bucket, BUCKET)
            if not bucket:
                what = "it names the S3 bucket that images go to"
                raise ConfigurationError(f"{BUCKET} is not set: {what}")
            from flow_pipelines.storage.s3 import S3ImageStore

            self._store = S3ImageStore(
                bucket,
                setting(self.prefix, PREFIX) or DEFAULT_PREFIX,
                self._shared_client(),
                SystemClock(),
                extra_put_args=self.extra_put_args,
            )
        return self._store

    def at(self, bucket: str) -> "ImageStore":
        """Return any bucket of this account, without a prefix; no call is made yet."""
        from flow_pipelines.storage.s3 import S3ImageStore

        return S3ImageStore(bucket, "", self._shared_client(), SystemClock())

    def read_uri(self, uri: str) -> bytes:
        """Read a prompt table or workflow at `s3://bucket/key`, in any bucket of this account.

        Raises: ConfigurationError, when it is not there; StorageError.
        """
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not uri.startswith("s3://") or not bucket or not key:
            raise ConfigurationError(f"{uri!r} is not of the form s3://bucket/key")
        content = self._read_object(bucket, key, MAX_SOURCE_BYTES)
        if content is None:
            raise ConfigurationError(f"{uri} does not exist")
        return content

    def read_input(self, uri: str) -> bytes:
        """Read a picture that a row names, from the places of `input_uris` only.

        Raises: ConfigurationError, for any other place, and when it is not there; StorageError,
        ProviderUnavailable.
        """
        if self._inputs is None:
            from flow_pipelines.lifecycle.inputs import MAX_INPUT_BYTES
            from flow_pipelines.resources.input_places import InputPlaces

            store = self.get_store()
            entries = self.input_uris or [store.uri(store.key("")).rstrip("/") + "/"]
            self._inputs = InputPlaces(entries, self._read_object, MAX_INPUT_BYTES)
        return self._inputs.read(uri)

    def _read_object(self, bucket: str, key: str, max_bytes: int) -> bytes | None:
        return self.at(bucket).get(key, max_bytes=max_bytes)

    def _shared_client(self) -> "S3Client":
        """Return the one client of this resource: to make one takes a sixth of a second."""
        if self._client is None:
            from flow_pipelines.storage.s3_client import LateClient, make_client

            self._client = LateClient(lambda: make_client(self.endpoint_url, self.region))
        return cast("S3Client", self._client)
