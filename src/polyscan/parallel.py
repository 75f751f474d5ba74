"""Do the same to many things in several processes; one that fails stops no other."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing import active_children, get_all_start_methods, get_context, parent_process
from multiprocessing.context import BaseContext
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from polyscan.errors import PolyscanError, sentence

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int, str], None]
"""Told how many steps are done, of how many, and a word on the last one."""

_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
}


@dataclass(frozen=True)
class Named:
    """A function by its name: only who calls it imports its module, and not who hands it to other processes.

    Attributes:
        module: where it stands.
        name: its own.
    """

    module: str
    name: str

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it."""
        return getattr(import_module(self.module), self.name)(*arguments, **named)


def run_each(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int | None = None
) -> Iterator[tuple[Item, Result | PolyscanError]]:
    """Call a function on each item, as results come: the item and what it gave, or why it gave nothing.

    What a function raises becomes a :class:`PolyscanError` where it happens, since the causes of an exception, and with
    them the sentence for the user, do not cross from one process to another. Where a process is killed, as for its
    memory, each item that was under way is tried once more, alone; one whose process is killed again gives that reason.
    Processes end when their parent does, and at once where it is interrupted or asks for no more results.

    Args:
        function: can be pickled, as a module's function or a partial of one can; none of the script that is run.
        items: what to call it on.
        jobs: processes at a time, each with one thread of its own; as many as there are cores if None. With 1, or one
            item, it is called in this process.
    """
    jobs = _processes(jobs, len(items))
    work = partial(_attempt, function)
    if jobs <= 1:
        yield from zip(items, map(work, items), strict=True)
        return
    waiting, interrupted, context = deque(items), list[Item](), _context(_needs(function))
    while waiting:
        yield from _in_pool(context, work, waiting, jobs, interrupted)
    for item in interrupted:
        alone, again = deque([item]), list[Item]()
        yield from _in_pool(context, work, alone, 1, again)
        if again:
            yield item, PolyscanError("the process that worked on it was killed twice, most likely for want of memory.")


def run_first(function: Callable[[Item], Result], item: Item, count: int, jobs: int | None = None) -> Result:
    """Call a function on one item where :func:`run_each` would on each of ``count``; what it needs is imported there.

    Raises:
        PolyscanError: what the function raised.
    """
    if _processes(jobs, count) <= 1:
        result = _attempt(function, item)
    else:
        with ProcessPoolExecutor(1, mp_context=_context(_needs(function)), initializer=_begin) as pool:
            result = _submit(pool, _attempt, function, item).result()
    if isinstance(result, PolyscanError):
        raise result
    return result


def _processes(jobs: int | None, items: int) -> int:
    """How many are of use."""
    return min(jobs or os.cpu_count() or 1, items)


def call_packed(packed: bytes) -> Any:
    """Call a pickled (function, item)."""
    function, item = pickle.loads(packed)
    return function(item)


def _in_pool(
    context: BaseContext,
    work: Callable[[Item], Result | PolyscanError],
    waiting: deque[Item],
    jobs: int,
    interrupted: list[Item],
) -> Iterator[tuple[Item, Result | PolyscanError]]:
    """Take items from ``waiting`` until a process is killed; what was under way then is added to ``interrupted``."""
    others = set(active_children())
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin) as pool:
        running: dict[Future[Result | PolyscanError], Item] = {}
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running[_submit(pool, work, waiting[0])] = waiting[0]
                    waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    yield running.pop(future), result
        except BrokenProcessPool:
            interrupted += running.values()
        except BaseException:  # Ctrl-C, or the caller goes on without the rest: what is under way may take minutes
            for process in set(active_children()) - others:
                process.terminate()
            raise


def _submit(pool: ProcessPoolExecutor, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
    """Submit a call; a process that begins for it does not import the script that is run, which would run it again."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        return pool.submit(function, *arguments)
    finally:
        sys.modules["__main__"] = script


def _attempt(function: Callable[[Item], Result], item: Item) -> Result | PolyscanError:
    try:
        return function(item)
    except Exception as error:
        return PolyscanError(sentence(error))


def _begin() -> None:
    """Share the cores instead of fighting for them; end with the parent, which alone is asked by Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hold_back_values()
    os.environ.update(_ONE_THREAD)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def preload(*modules: str) -> None:
    """Let what these modules import be imported once for all processes of this run, whatever the first are for."""
    _context(modules)


def _needs(function: Callable[..., object]) -> tuple[str]:
    """The module that calling it imports."""
    while isinstance(function, partial):
        function = function.func
    return (function.module if isinstance(function, Named) else function.__module__,)


def _context(modules: Sequence[str]) -> BaseContext:
    """How processes begin: where the system can, as forks of one that has imported modules.

    Importing MONAI and PyTorch takes several seconds, as long as some studies do; so it is done once and not in every
    process. The one that is forked runs nothing and has no second thread, so that forking it is safe.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    from multiprocessing import forkserver

    context = get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        with _no_interrupt():
            forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return context


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Processes that begin inside the block are not asked by Ctrl-C, which would end their imports with a traceback."""
    if threading.current_thread() is not threading.main_thread():  # others may not change what a signal does
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def hold_back_values() -> None:
    """Let pydicom and highdicom not print values that they find at fault, as names, nor nibabel what it mends.

    For processes that are polyscan's own: the warnings of somebody's script are left to that.
    """
    warnings.filterwarnings("ignore", module="pydicom|highdicom")
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)


def free_cores() -> int:
    """Cores that this process may use and that nothing uses now; at least one.

    The least of what its affinity and its control group allow, less the machine's load of the last minute.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = Path("/sys/fs/cgroup/cpu.max")
    if limit.exists():
        quota, period = limit.read_text().split()
        if quota != "max":
            allowed = min(allowed, max(1, round(int(quota) / int(period))))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1, min(allowed, round((os.cpu_count() or 1) - load)))


def share_cores() -> None:
    """Let OpenMP's threads be as many as there are free cores, and sleep while they wait.

    Threads that spin on a busy machine keep each other from working. To be called before torch or numpy is imported;
    what ``OMP_NUM_THREADS`` and ``OMP_WAIT_POLICY`` say already is left as it is.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(free_cores()))
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


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


def is_usable(device: str) -> bool:
    """Whether this process can compute on a device of PyTorch; the bundle's choice, where empty, is one that it can."""
    import torch

    try:
        torch.empty(0, device=device or "cpu")
    except (RuntimeError, AssertionError):  # that is what a torch without CUDA raises
        return False
    return True


def check_usable(device: str) -> None:
    """Refuse a device on which :func:`is_usable` finds that nothing can be computed.

    Raises:
        PolyscanError: it is one.
    """
    if not is_usable(device):
        raise PolyscanError(f"{device} cannot be used here; name one that is there, such as cpu.")
