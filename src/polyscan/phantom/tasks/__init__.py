"""Tasks whose best possible answer is known: vectors or small images, and the Bayes posterior of every subset.

A strategy that reaches 0.92 is weak where 0.98 can be had and perfect where 0.92 is all that the scans hold. Each task
is one file with a ``TASK``; the package finds it.
"""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from typing import Any

from polyscan.errors import PolyscanError, unknown_name
from polyscan.phantom.tasks.task import Drawn, Task
from polyscan.phantom.tasks.write import write_task

__all__ = ["Drawn", "Task", "find_task", "task_names", "write_task"]

_NO_TASKS = {"task", "gaussian", "lesion", "write"}


def task_names() -> list[str]:
    """The names of all tasks, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _NO_TASKS)


def find_task(name: str, **options: float) -> Task:
    """The task of a name.

    Args:
        name: of the task.
        options: numbers of its law that are to be others, such as ``shift`` of ``misalignment_images``.

    Raises:
        PolyscanError: there is none, or it has no such option.

    Example:
        >>> task = find_task("diagnosis")
        >>> drawn = task.draw(subjects=20000, seed=0)
        >>> round(task.accuracy(drawn), 2), round(task.accuracy(drawn, ["T1", "T1c", "T2"]), 2)
        (0.95, 0.92)
    """
    if name not in task_names():
        raise unknown_name("task", name, task_names())
    task: Task = import_module(f"{__name__}.{name}").TASK
    if not options:
        return task
    kind: Any = type(task)
    own = inspect.signature(kind).parameters if kind.__module__ == f"{__name__}.{name}" else {}
    if unknown := sorted(set(options) - set(own)):
        raise PolyscanError(f"The task {name} has no {', '.join(unknown)}; it has {', '.join(own) or 'no options'}.")
    return kind(**options)
