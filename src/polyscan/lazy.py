"""Names of a package that are imported when they are first used."""

from __future__ import annotations

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def attach_stub(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package that imports none of its names beforehand.

    The names are those that the stub beside it imports, which type checkers and editors read (SPEC 1 of Scientific
    Python, whose ``lazy_loader`` has a function of this name).

    Args:
        package: its dotted name.
        file: its ``__init__.py``; the stub is the ``__init__.pyi`` beside that.
    """
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text())
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    home = {name.name: str(node.module) for node in imports for name in node.names}

    def named(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(home[name]), name)

    return named, lambda: sorted(home), sorted(home)
