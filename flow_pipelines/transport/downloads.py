"""An output's bytes as they arrive, bounded in size and time."""

from __future__ import annotations

from email.message import Message
from email.utils import collapse_rfc2231_value

from flow_pipelines.model.errors import OutputTooLarge, TransferError
from flow_pipelines.transport.http import CHUNK_BYTES, AnswerLost, Exchange

SLOWEST_BYTES_PER_SECOND = 64 * 1024
"""A transfer below this in the long run is given up."""
CREDIT_BYTES = 8 * 1024 * 1024
"""Time is given for so much before any of it is there, and for more only as it comes: what an
answer announces, or may have at most, buys no patience for a trickle."""
LONGEST_NAME = 255


class HttpDownload:
    """A streamed answer; see `provider.Download`."""

    def __init__(self, exchange: Exchange, max_bytes: int) -> None:
        """Take a good answer whose headers are in. Raises: OutputTooLarge."""
        self._exchange, self._max_bytes = exchange, max_bytes
        self._received = 0
        headers = exchange.headers
        self.media_type = headers.get("content-type", "").split(";", 1)[0].strip().lower() or None
        self.size_bytes = _length(exchange)
        self.file_name = file_name_of(headers.get("content-disposition"))
        if self.size_bytes is not None and self.size_bytes > max_bytes:
            raise OutputTooLarge(
                f"the output has {self.size_bytes} bytes; at most {max_bytes} are fetched",
                max_bytes=max_bytes,
                is_told=True,
            )
        # Only waiting for bytes counts: whoever reads slowly does not make the transfer fail.
        longest = max_bytes if self.size_bytes is None else self.size_bytes
        self._credited = min(longest, CREDIT_BYTES)
        exchange.attempt.remaining_seconds = (
            exchange.attempt.idle_seconds + self._credited / SLOWEST_BYTES_PER_SECOND
        )

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` more bytes; empty at the end. Raises: TransferError."""
        if size >= 0:
            return self._read(size) if size else b""
        parts = []
        while chunk := self._read(CHUNK_BYTES):
            parts.append(chunk)
        return b"".join(parts)

    def _read(self, size: int) -> bytes:
        try:
            chunk = self._exchange.read(size)
        except AnswerLost as lost:
            raise TransferError(
                f"the download ended after {self._received} bytes: {lost}"
            ) from lost
        self._received += len(chunk)
        if self._received > self._max_bytes:
            raise OutputTooLarge(
                f"the output has more than {self._max_bytes} bytes",
                max_bytes=self._max_bytes,
                is_told=False,
            )
        earned = max(self._received - self._credited, 0)
        self._credited += earned
        self._exchange.attempt.remaining_seconds += earned / SLOWEST_BYTES_PER_SECOND
        if not chunk and self.size_bytes is not None and self._received != self.size_bytes:
            raise TransferError(
                f"the download has {self._received} bytes; {self.size_bytes} were announced"
            )
        return chunk


def _length(exchange: Exchange) -> int | None:
    """Return the announced length; with a content encoding it is not the length of the content."""
    if exchange.headers.get("content-encoding", "identity").lower() != "identity":
        return None
    if "transfer-encoding" in exchange.headers:
        return None
    text = exchange.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def file_name_of(disposition: str | None) -> str | None:
    """Return the file name of a `Content-Disposition` (RFC 6266): never a path, never hidden."""
    if not disposition:
        return None
    message = Message()
    message["Content-Disposition"] = disposition.replace("\r", " ").replace("\n", " ")
    values = [v for n, v in message.get_params([], "content-disposition") if n == "filename"]
    # `filename*` names its character set, and goes before `filename` (RFC 6266 §4.3).
    values.sort(key=lambda value: not isinstance(value, tuple))
    name = collapse_rfc2231_value(values[0]) if values else ""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(c for c in name if c.isprintable()).strip().lstrip(".")
    return name[-LONGEST_NAME:] or None
