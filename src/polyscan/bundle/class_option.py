"""A class named on the command line with options of its constructor."""

from __future__ import annotations

import ast
import inspect
import pydoc
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from polyscan.errors import PolyscanError, unknown_name

_CONSTANTS = {"true": True, "false": False, "null": None}


def find_class(
    option: str, text: str, what: str, base: type, package: str, known: Iterable[type], given: Collection[str]
) -> tuple[type, str, dict[str, Any]]:
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
        The class, its dotted path, and the options.

    Raises:
        PolyscanError: it is written in another way, names no such class, or an option that the class does not have.
    """
    name, options = read_call(option, text)
    path = name if "." in name else f"{package}.{name}"
    found = _locate(option, path)
    if not (inspect.isclass(found) and issubclass(found, base)):
        if "." in name and found is None:
            raise PolyscanError(f"{option} {name} was not found; name the folder of its module in PYTHONPATH.")
        if "." in name:
            raise PolyscanError(f"{option} {name} is no {what}: it must derive from {package}.{base.__name__}.")
        raise unknown_name(what, name, [each.__name__ for each in known])
    check_options(f"{option} {text}", options, found, given)
    return found, path, options


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


def objects_in(content: Any) -> Iterator[Mapping[str, Any]]:
    """What a config, or a part of it, makes of a class, however deep it stands."""
    if isinstance(content, Mapping):
        if "_target_" in content:
            yield content
        content = list(content.values())
    if isinstance(content, list):
        for each in content:
            yield from objects_in(each)


def check_options(text: str, options: Collection[str], kind: Callable[..., object], given: Collection[str]) -> None:
    """Refuse options that a class does not have.

    Args:
        text: what was given and where, for the sentence.
        options: names of those in it.
        kind: the class.
        given: arguments of its constructor that are no options.

    Raises:
        PolyscanError: there is another one.
    """
    parameters = inspect.signature(kind).parameters
    if any(each.kind == each.VAR_KEYWORD for each in parameters.values()):
        return
    allowed = sorted(set(parameters) - set(given))
    if unknown := sorted(set(options) - set(allowed)):
        raise PolyscanError(f"{text}: there is no option {', '.join(unknown)}; it has {', '.join(allowed) or 'none'}.")


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
