"""What a client sends with a request, read so that what means nothing is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyscan.errors import PolyscanError


def flag(request: Mapping[str, Any], name: str) -> bool:
    """True or false; false where nothing was sent.

    Raises:
        PolyscanError: it is neither.
    """
    value = request.get(name, False)
    if not isinstance(value, bool):
        raise PolyscanError(f"{name} is {value!r}; expected true or false.")
    return value


def text(request: Mapping[str, Any], name: str) -> str:
    """A name; empty where nothing was sent.

    Raises:
        PolyscanError: it is none.
    """
    value = request.get(name) or ""
    if not isinstance(value, str):
        raise PolyscanError(f"{name} is {value!r}; expected a name.")
    return value


def modality(request: Mapping[str, Any]) -> str | dict[str, str]:
    """What an upload is: a name, or one for each file.

    Raises:
        PolyscanError: it is neither.
    """
    value = request.get("modality") or ""
    names = value if isinstance(value, dict) else {"": value}
    if not all(isinstance(name, str) for name in names.values()):
        raise PolyscanError(f"modality is {value!r}; expected a name, or a name for each file.")
    return value  # type: ignore[no-any-return]


def number(request: Mapping[str, Any], name: str, default: int, least: int) -> int:
    """A whole number.

    Raises:
        PolyscanError: it is none, or less than the least that means something.
    """
    value = request.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise PolyscanError(f"{name} is {value!r}; expected a whole number from {least}.")
    return value
