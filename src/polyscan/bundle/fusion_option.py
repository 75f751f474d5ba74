"""A fusion layer named on the command line, as an entry of a bundle's config."""

from __future__ import annotations

import ast
import inspect
import pydoc
import re
from typing import Any

from polyscan.errors import PolyscanError
from polyscan.fusion import FusionLayer, layers

_CONSTANTS = {"true": True, "false": False, "null": None}


def fusion_option(text: str) -> dict[str, Any]:
    """Read ``NAME``, a layer of polyscan.fusion, or ``DOTTED.PATH``, each with options in brackets or without.

    Args:
        text: such as ``GatedSum`` or ``polyscan.fusion.CrossAttention(query=0)``; values are as in JSON or Python.

    Returns:
        ``{"_target_": DOTTED.PATH, "_mode_": "callable", **options}``.

    Raises:
        PolyscanError: it is written in another way, names no fusion layer, or an option that the layer does not have.

    Example:
        >>> fusion_option("CrossAttention(query=0)")
        {'_target_': 'polyscan.fusion.CrossAttention', '_mode_': 'callable', 'query': 0}
    """
    name, options = read_call("--fusion", text)
    path = name if "." in name else f"polyscan.fusion.{name}"
    layer = _locate(path)
    known = ", ".join(layer.__name__ for layer in layers())
    if layer is None:
        raise PolyscanError(f"There is no fusion layer {name!r}; there are {known}.")
    if not (inspect.isclass(layer) and issubclass(layer, FusionLayer)):
        raise PolyscanError(f"{name} is no layer that joins modalities; there are {known}.")
    allowed = set(inspect.signature(layer).parameters) - {"modalities", "channels", "spatial_dims"}
    if unknown := sorted(set(options) - allowed):
        raise PolyscanError(
            f"--fusion {text}: {layer.__name__} has no option {', '.join(unknown)}; "
            f"it has {', '.join(sorted(allowed)) or 'none'}."
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
    match = re.fullmatch(r"\s*([\w.]+)\s*(?:\((.*)\))?\s*", text, re.DOTALL)
    if match is None:
        raise PolyscanError(f"{option} {text} cannot be read; write NAME or DOTTED.PATH(option=value, ...).")
    return match[1], _options(f"{option} {text}", match[2] or "")


def _locate(path: str) -> Any:
    try:
        return pydoc.locate(path)
    except pydoc.ErrorDuringImport as error:
        raise PolyscanError(
            f"--fusion {path} cannot be imported ({type(error.value).__name__}: {error.value})."
        ) from error


def _options(text: str, given: str) -> dict[str, Any]:
    """Keywords to their values, none of which is called or looked up."""
    try:
        call = ast.parse(f"layer({given})", mode="eval").body
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
