"""One training by several processes, on one machine or on several, as torchrun starts them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist

_Found = TypeVar("_Found")


def world_size() -> int:
    """How many processes torchrun started; one where it did not start this."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process that writes and tells."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def process_group() -> Iterator[None]:
    """Let all processes talk to each other inside the block."""
    if world_size() == 1 or dist.is_initialized():
        yield
        return
    os.environ.pop("SLURM_JOB_ID", None)  # else ignite takes SLURM's one task of a machine for each of its processes
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def by_the_first(find: Callable[[], _Found]) -> _Found:
    """What the first process finds, told to all; where it finds an error, which it tells itself, the others end."""
    if world_size() == 1:
        return find()
    found: list[_Found | None] = [None]
    try:
        if is_first():
            found = [find()]
    finally:
        dist.broadcast_object_list(found)
    if found[0] is None:
        raise SystemExit(1)
    return found[0]
