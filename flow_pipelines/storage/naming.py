"""Names of stored outputs, and what else their objects say of themselves."""

from __future__ import annotations


def store_name(
    prompt_id_safe: str, copy: int, submission_key: str, output_index: int, extension: str
) -> str:
    """Return the file name of a stored output; `prompt_id_safe` already fits in a path."""
    return f"{prompt_id_safe}.{copy}.{submission_key[:8]}.{output_index}.{extension}"
