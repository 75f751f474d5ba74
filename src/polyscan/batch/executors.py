"""Who does the studies of a batch: processes of this machine, or the workers of a Dask cluster."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from polyscan.errors import PolyscanError, sentence
from polyscan.parallel import call_packed, run_each
from polyscan.study import Study

if TYPE_CHECKING:
    from distributed import Client

Work = Callable[[Study], Any]
Executor = Callable[[Work, Sequence[Study]], Iterator[tuple[Study, Any]]]
"""Calls the work on each study, as results come: the study, and the outcome or a :class:`PolyscanError`."""


def local(work: Work, studies: Sequence[Study], jobs: int | None = None) -> Iterator[tuple[Study, Any]]:
    """In processes of this machine, each with one thread; as many as there are cores if ``jobs`` is None."""
    return run_each(work, studies, jobs)


def dask(address: str) -> Executor:
    """On the workers of an existing cluster; each must see the batch's folder and the scans under the same paths.

    Args:
        address: of the scheduler, such as ``tcp://10.0.0.1:8786``.

    Raises:
        PolyscanError: ``dask.distributed`` is not installed, or no scheduler answers.
    """
    _client(address).close()  # so that a wrong address is told before the studies are looked for
    return partial(_on_cluster, address=address)


def _client(address: str) -> Client:
    try:
        from distributed import Client
    except ImportError:
        raise PolyscanError("dask.distributed is not installed; run pip install polyscan[batch].") from None
    try:
        return Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise PolyscanError(
            f"No Dask scheduler answers at {address}; start one, or give its address, such as tcp://10.0.0.1:8786."
        ) from error


def _on_cluster(work: Work, studies: Sequence[Study], address: str) -> Iterator[tuple[Study, Any]]:
    with _client(address) as client:
        from distributed import as_completed

        # A scheduler unpickles what it hands on; in bytes it has nothing to import, which would keep it from answering.
        packed = {pickle.dumps((work, study)): study for study in studies}
        waiting = {client.submit(call_packed, each, pure=False, retries=1): study for each, study in packed.items()}
        for future in as_completed(list(waiting)):
            study = waiting.pop(future)  # so that the cluster forgets the result
            if future.cancelled():
                raise PolyscanError(
                    f"The Dask scheduler at {address} went away; start it again and give the same command: it goes on."
                )
            lost = future.exception()
            yield study, PolyscanError(sentence(lost)) if lost is not None else future.result()
