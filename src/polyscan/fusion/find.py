"""How layers are found in a package, so that a new layer is one new file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import TypeVar

Kind = TypeVar("Kind")


def find_layers(path: Iterable[str], package: str, kind: type[Kind]) -> dict[str, type[Kind]]:
    """Every subclass that a module of a package defines, by its name, in alphabetical order.

    Args:
        path: ``__path__`` of the package.
        package: its dotted name.
        kind: what a layer is a subclass of; modules called ``base`` hold what layers are made of, and none.

    Raises:
        ImportError: two layers have one name.
    """
    found: dict[str, type[Kind]] = {}
    for module in pkgutil.walk_packages(path, f"{package}."):
        if module.ispkg or module.name.endswith(".base"):
            continue
        for name, entry in vars(importlib.import_module(module.name)).items():
            if isinstance(entry, type) and issubclass(entry, kind) and entry.__module__ == module.name:
                if name in found:
                    raise ImportError(f"two layers are called {name}: {found[name].__module__} and {module.name}.")
                found[name] = entry
    return dict(sorted(found.items()))
