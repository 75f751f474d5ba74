"""Do the same to many things in several processes; one that fails stops no other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

from polyscan.errors import PolyscanError, sentence

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int, str], None]
"""Told how many steps are done, of how many, and a word on the last one."""


def run_each(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int | None = None
) -> Iterator[tuple[Item, Result | PolyscanError]]:
    """Call a function on each item, as results come: the item and what it gave, or why it gave nothing.

    What a function raises becomes a :class:`PolyscanError` where it happens, since the causes of an exception, and with
    them the sentence for the user, do not cross from one process to another.

    Args:
        function: can be pickled, as a module's function or a partial of one can.
        items: what to call it on.
        jobs: processes at a time, each with one thread of its own; as many as there are cores if None. With 1, or one
            item, it is called in this process.
    """
    jobs = min(jobs or os.cpu_count() or 1, len(items))
    work = partial(_attempt, function)
    if jobs <= 1:
        yield from zip(items, map(work, items), strict=True)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        waiting = {pool.submit(work, item): item for item in items}
        for future in as_completed(waiting):
            yield waiting[future], future.result()


def _attempt(function: Callable[[Item], Result], item: Item) -> Result | PolyscanError:
    try:
        return function(item)
    except Exception as error:
        return PolyscanError(sentence(error))


def _one_thread() -> None:
    """Let processes share the cores instead of fighting for them; before the libraries are imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """For thousands of small operations, whose threads would wait for each other for minutes on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
