"""Do the same to many things in several processes; one that fails stops no other."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing import active_children, get_all_start_methods, get_context, parent_process
from multiprocessing.context import BaseContext
from types import ModuleType
from typing import Any, TypeVar

from polyscan.errors import PolyscanError, hold_back_values, sentence

Item = TypeVar("Item")
Result = TypeVar("Result")

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
    processes = _processes(jobs, len(items))
    if processes <= 1:
        yield from ((item, _attempt(function, item)) for item in items)
    else:
        yield from _each_in_processes(function, items, processes)


def one_ahead(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Future[Result]]:
    """What a function gives of each item, called in a thread: of the next one while the caller works on this one.

    So no more than two results are there at a time, if the caller keeps none.
    """
    with ThreadPoolExecutor(1) as thread:
        ahead = deque[Future[Result]]()
        for item in items:
            ahead.append(thread.submit(function, item))
            if len(ahead) == 2:
                yield ahead.popleft()
        yield from ahead


def run_first(function: Callable[[Item], Result], item: Item, count: int, jobs: int | None = None) -> Result:
    """Call a function on one item where :func:`run_each` would on each of ``count``; what it needs is imported there.

    Raises:
        PolyscanError: what the function raised.
    """
    if _processes(jobs, count) <= 1:
        result = _attempt(function, item)
    else:
        ((_, result),) = _each_in_processes(function, [item], 1)
    if isinstance(result, PolyscanError):
        raise result
    return result


def _processes(jobs: int | None, items: int) -> int:
    """How many are of use."""
    if jobs is not None and jobs < 1:
        raise PolyscanError(f"{jobs} jobs at a time do nothing; give 1 or more, or leave it away for one a core.")
    return min(jobs or os.cpu_count() or 1, items)


def _each_in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], processes: int
) -> Iterator[tuple[Item, Result | PolyscanError]]:
    """Call a function on each item in so many processes; what was under way when one was killed is tried once alone."""
    work, context = partial(_attempt, function), _context(_needs(function))
    waiting, interrupted = deque(items), list[Item]()
    while waiting:
        yield from _in_pool(context, work, waiting, processes, interrupted)
    for item in interrupted:
        again = list[Item]()
        yield from _in_pool(context, work, deque([item]), 1, again)
        if again:
            yield item, PolyscanError("the process that worked on it was killed twice, most likely for want of memory.")


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
