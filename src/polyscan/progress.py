"""How far a long work is, for who waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

Progress = Callable[[int, int, str], None]
"""Told how many steps are done, of how many, and a word on the last one."""


def silent(done: int, total: int, remark: str) -> None:
    """Tell nobody."""


class _Keyed(Protocol):
    @property
    def key(self) -> str: ...


_Study = TypeVar("_Study", bound=_Keyed)


def each_told(studies: Sequence[_Study], progress: Progress) -> Iterator[_Study]:
    """One study after the other; once something was done with it, progress is told its key."""
    for count, study in enumerate(studies, start=1):
        yield study
        progress(count, len(studies), study.key)
