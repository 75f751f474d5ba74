"""How far a long work is, for who waits for it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Told how many steps are done, of how many, and a word on the last one."""


def silent(done: int, total: int, remark: str) -> None:
    """Tell nobody."""
