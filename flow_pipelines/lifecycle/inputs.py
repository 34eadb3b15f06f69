"""Input images: validated and kept in the bucket at planning, uploaded per account at submit.

Planning reads every picture that a row names, proves that it is one, and keeps it in the bucket by
its content. So what was planned is bought, even when the file has changed or gone since.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from flow_pipelines.batches.pictures import pictures_in
from flow_pipelines.batches.values import WrongType
from flow_pipelines.lifecycle.ports import Ports, held_lease
from flow_pipelines.model import Submission
from flow_pipelines.model.errors import (
    ConfigurationError,
    NotFound,
    StorageError,
    StorageRefused,
    TransferError,
)
from flow_pipelines.provider import InputFile, SubmitRequest, TakesFiles
from flow_pipelines.storage.images import verify_image

MAX_INPUT_BYTES = 50 * 1024 * 1024
"""A picture beyond this is refused when the night is planned."""
LINK_SECONDS = 24 * 3600
"""Life of the link that a provider without uploads reads a picture by: longer than runs wait."""
UPLOAD_SECONDS = 300.0
"""How long to wait for somebody else who uploads the same picture."""
_FOLDER = "_inputs"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture of ours, known by its content."""

    name: str
    """`<sha256>.<extension>`, as frozen parameters and the bucket have it."""
    reference: str
    """File or URI that it was read from."""
    media_type: str
    size_bytes: int


class PictureReader:
    """Reads the pictures that the rows of one night name, each once.

    What was read waits in a folder of this process until it is kept, and goes with the reader.
    """

    def __init__(self, read: Callable[[str], bytes]) -> None:
        """`read` gives a file below the batch's folder, or what is at a URI."""
        self._read = read
        self._seen: dict[str, Picture | WrongType] = {}
        self._folder: Path | None = None

    def __call__(self, reference: str) -> str:
        """Return the name of a picture's content. Raises: WrongType, for what is no picture."""
        if reference not in self._seen:
            self._seen[reference] = self._look_at(reference)
        picture = self._seen[reference]
        if isinstance(picture, WrongType):
            raise WrongType(str(picture))
        return picture.name

    def keep(self, ports: Ports, batch: str) -> None:
        """Store every picture that was read in the bucket, unless it is there.

        Raises: StorageError.
        """
        pictures = {one.name: one for one in self._seen.values() if isinstance(one, Picture)}
        for picture in pictures.values():
            key = _key(ports, batch, picture.name)
            if ports.store.head(key) is None:
                with self._place(picture.name).open("rb") as content:
                    ports.store.put_new(
                        key,
                        content,
                        media_type=picture.media_type,
                        sha256=picture.name.partition(".")[0],
                        size_bytes=picture.size_bytes,
                    )

    def _look_at(self, reference: str) -> Picture | WrongType:
        shown = reference.partition("?")[0] if "://" in reference else reference
        try:
            content = self._read(reference)
            if len(content) > MAX_INPUT_BYTES:
                most = f"at most {MAX_INPUT_BYTES} bytes are taken"
                return WrongType(f"names {shown}, which is larger; {most}")
            facts = verify_image(io.BytesIO(content))
        except (ConfigurationError, StorageRefused) as error:
            return WrongType(f"names a picture that cannot be read: {error}")
        except TransferError as error:
            return WrongType(f"names {shown}, which is no picture: {error}")
        name = f"{hashlib.sha256(content).hexdigest()}.{facts.extension}"
        self._place(name).write_bytes(content)
        return Picture(
            name=name,
            reference=reference,
            media_type=facts.media_type,
            size_bytes=len(content),
        )

    def _place(self, name: str) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="flow_pipelines_inputs_"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder / name


def with_inputs(ports: Ports, submission: Submission, request: SubmitRequest) -> SubmitRequest:
    """Put what the provider takes in the place of every picture of ours.

    Uploads a picture that this account does not have yet; that is not billed. The same submission
    gives the same request, except where the provider has no uploads and gets a fresh link.

    Raises: ProviderError; StorageError, for a picture that is gone from the bucket.
    """
    values = {
        parameter: _value(ports, submission, name)
        for parameter, name in pictures_in(request.parameters)
    }
    return replace(request, parameters={**request.parameters, **values}) if values else request


def _value(ports: Ports, submission: Submission, name: str) -> str:
    provider = ports.provider
    if not isinstance(provider, TakesFiles):
        return ports.store.presigned_url(_key(ports, submission.night.batch, name), LINK_SECONDS)
    sha256 = name.partition(".")[0]
    uploaded = ports.ledger.provider_file(submission.resource, sha256)
    if uploaded is not None:
        try:
            return provider.input_value(uploaded)
        except NotFound:
            ports.log(f"{provider.name} does not keep {name} any more; it is uploaded again")
            ports.ledger.forget_file(submission.resource, sha256, uploaded)
    return provider.input_value(_upload(ports, provider, submission, name))


def _upload(ports: Ports, provider: TakesFiles, submission: Submission, name: str) -> str:
    """Upload a picture, unless somebody else did meanwhile; return its name at the provider."""
    sha256, resource = name.partition(".")[0], submission.resource
    lease = f"upload:{resource}:{sha256}"
    with held_lease(ports, lease, uuid.uuid4().hex, wait_seconds=UPLOAD_SECONDS):
        uploaded = ports.ledger.provider_file(resource, sha256)
        if uploaded is None:
            file = _file(ports, submission.night.batch, name, sha256)
            uploaded = provider.upload_input(file)
            uploaded = ports.ledger.remember_file(resource, sha256, uploaded)
    return uploaded


def _file(ports: Ports, batch: str, name: str, sha256: str) -> InputFile:
    key = _key(ports, batch, name)
    content = ports.store.get(key, max_bytes=MAX_INPUT_BYTES)
    if content is None or hashlib.sha256(content).hexdigest() != sha256:
        state = "is gone" if content is None else "was changed"
        message = f"{ports.store.uri(key)} {state}; materialize {batch}/prompts to store it again"
        raise StorageError(message)
    facts = verify_image(io.BytesIO(content))
    return InputFile(content=content, file_name=name, media_type=facts.media_type, sha256=sha256)


def _key(ports: Ports, batch: str, name: str) -> str:
    return ports.store.key(batch, _FOLDER, name)


def read_below(folder: Path, reference: str, *, max_bytes: int) -> bytes:
    """Read a file below `folder`, whose name a row gives; one byte more than allowed at most.

    Rows may come from anybody: `..`, absolute names and links that lead out of the folder are
    refused, and so is what is no file.

    Raises: ConfigurationError.
    """
    try:
        root = folder.resolve()
        path = (root / reference).resolve()
        if Path(reference).is_absolute() or not path.is_relative_to(root):
            raise ConfigurationError(
                f"{reference} is not below the batch's folder: name it relative to {root}, or put "
                "it where image_store.input_uris says that rows may read, and name it by its URI"
            )
        if path.exists() and not path.is_file():
            raise ConfigurationError(f"{reference} is no file (looked in {root})")
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ConfigurationError(f"{reference}: {reason} (looked in {folder})") from error
