"""How the classes of a package are found, so that a new one is one new file."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

Kind = TypeVar("Kind")


def find_classes(path: Iterable[str], package: str, kind: type[Kind]) -> dict[str, type[Kind]]:
    """Every subclass that a module of a package defines, by its name, in alphabetical order.

    Args:
        path: ``__path__`` of the package.
        package: its dotted name.
        kind: what it is a subclass of; modules called ``base`` hold what others are made of, and none.

    Raises:
        ImportError: two have one name.
    """
    found: dict[str, type[Kind]] = {}
    for module in pkgutil.walk_packages(path, f"{package}."):
        if module.ispkg or module.name.endswith(".base"):
            continue
        for name, entry in vars(importlib.import_module(module.name)).items():
            if isinstance(entry, type) and issubclass(entry, kind) and entry.__module__ == module.name:
                if name in found:
                    raise ImportError(f"two classes are called {name}: {found[name].__module__} and {module.name}.")
                found[name] = entry
    return dict(sorted(found.items()))


def by_name(package: str, what: str, known: Mapping[str, type]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package whose classes were found.

    To a type checker such a name is Any, since each class has options of its own.

    Args:
        package: its dotted name.
        what: such a class, in a word.
        known: name to class.
    """

    def named(name: str) -> Any:
        if name not in known:
            raise AttributeError(f"{package} has no {what} {name}; it has {', '.join(known)}.")
        return known[name]

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *known})

    return named, names
