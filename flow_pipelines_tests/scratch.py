"""Where tests put files: in memory, for nothing of theirs has to outlive a power cut."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOM_BYTES = 2 * 1024**3
"""Several sessions fit in there; containers often have a few megabytes only."""


def memory_folder() -> str | None:
    """Return a folder in memory with room for a test session, where there is one."""
    folder = Path("/dev/shm")
    if not folder.is_dir() or shutil.disk_usage(folder).free < ROOM_BYTES:
        return None
    return str(folder)
