"""Parses source code for tests that look at it."""

from __future__ import annotations

import ast
import gc


def syntax_tree(source: str) -> ast.Module:
    """Return the tree of a module, parsed while no garbage is collected.

    A finalizer that runs Python code in the middle of it, such as that of a connection of
    Dagster's own storage in memory, makes Python 3.11's `ast.parse` raise SystemError.
    """
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        gc.enable()
