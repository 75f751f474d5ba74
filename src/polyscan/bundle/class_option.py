"""A class named on the command line with options of its constructor."""

from __future__ import annotations

import ast
import inspect
import pydoc
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from polyscan.errors import PolyscanError

_CONSTANTS = {"true": True, "false": False, "null": None}


def read_class(
    option: str, text: str, what: str, base: type, package: str, known: Iterable[type], given: Collection[str]
) -> dict[str, Any]:
    """Read ``NAME``, a class of a package, or ``DOTTED.PATH``, each with options in brackets or without.

    Args:
        option: of the command line, for the sentences about what cannot be used.
        text: what was given; values are as in JSON or Python.
        what: such a class, in words.
        base: of every such class.
        package: its dotted name.
        known: the classes that the package has.
        given: arguments of the constructor that are no options.

    Returns:
        ``{"_target_": DOTTED.PATH, "_mode_": "callable", **options}``.

    Raises:
        PolyscanError: it is written in another way, names no such class, or an option that the class does not have.
    """
    name, options = read_call(option, text)
    names = ", ".join(each.__name__ for each in known)
    path = name if "." in name else f"{package}.{name}"
    found = _locate(option, path)
    if found is None:
        raise PolyscanError(f"There is no {what} {name!r}; there are {names}.")
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise PolyscanError(f"{name} is no {what}; there are {names}.")
    parameters = inspect.signature(found).parameters
    allowed = sorted(name for name, each in parameters.items() if name not in given and each.kind != each.VAR_KEYWORD)
    unknown = sorted(set(options) - set(allowed))
    if unknown and not any(each.kind == each.VAR_KEYWORD for each in parameters.values()):
        raise PolyscanError(
            f"{option} {text}: {found.__name__} has no option {', '.join(unknown)}; "
            f"it has {', '.join(allowed) or 'none'}."
        )
    return {"_target_": path, "_mode_": "callable", **options}


def read_call(option: str, text: str) -> tuple[str, dict[str, Any]]:
    """A name and its options, as ``NAME`` or ``DOTTED.PATH(option=value, ...)`` writes them.

    Args:
        option: of the command line, for the sentence about what cannot be read.
        text: what was given.

    Raises:
        PolyscanError: it is written in another way.
    """
    match = re.fullmatch(r"\s*([\w.-]+)\s*(?:\((.*)\))?\s*", text, re.DOTALL)
    if match is None:
        raise PolyscanError(f"{option} {text} cannot be read; write NAME or DOTTED.PATH(option=value, ...).")
    return match[1], _options(f"{option} {text}", match[2] or "")


def options_of(kind: type, *given: str) -> set[str]:
    """The arguments of a class but those that are given to it anyway."""
    return set(inspect.signature(kind).parameters) - set(given)


def check_options(text: str, options: Mapping[str, Any], allowed: set[str]) -> None:
    """Refuse options that what is named does not have.

    Args:
        text: what was given, for the sentence.
        options: what of it are options.
        allowed: those that there are.

    Raises:
        PolyscanError: there is another one.
    """
    if unknown := sorted(set(options) - allowed):
        raise PolyscanError(
            f"{text}: there is no option {', '.join(unknown)}; it has {', '.join(sorted(allowed)) or 'none'}."
        )


def _locate(option: str, path: str) -> Any:
    try:
        return pydoc.locate(path)
    except pydoc.ErrorDuringImport as error:
        raise PolyscanError(
            f"{option} {path} cannot be imported ({type(error.value).__name__}: {error.value})."
        ) from error


def _options(text: str, given: str) -> dict[str, Any]:
    """Keywords to their values, none of which is called or looked up."""
    try:
        call = ast.parse(f"call({given})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or any(keyword.arg is None for keyword in call.keywords):
            raise ValueError("only option=value can stand in the brackets")
        return {str(keyword.arg): ast.literal_eval(_Constants().visit(keyword.value)) for keyword in call.keywords}
    except (SyntaxError, ValueError) as error:
        raise PolyscanError(
            f"{text}: the options cannot be read; write option=value, with commas between, values as in JSON."
        ) from error


class _Constants(ast.NodeTransformer):
    """JSON's true, false and null."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Replace one of them; any other name is refused by ``literal_eval``."""
        return ast.Constant(_CONSTANTS[node.id]) if node.id in _CONSTANTS else node
