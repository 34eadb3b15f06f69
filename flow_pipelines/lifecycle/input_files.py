"""Local files that rows may name: below the batch's folder, wherever links lead."""

from __future__ import annotations

from pathlib import Path

from flow_pipelines.model.errors import ConfigurationError


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
