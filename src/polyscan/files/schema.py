"""Between JSON and dataclasses: what is there is checked, what is not known refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from polyscan.errors import PolyscanError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

_TOLD = 3
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}  # made when first used: that takes a while


def decoded(kind: type[T], content: Any, file: str) -> T:
    """Make a dataclass of what was read from JSON.

    Args:
        kind: the dataclass.
        content: what was read.
        file: to name in the error.

    Raises:
        PolyscanError: an entry is not known, is missing, or holds something else than it should; the text gives its
            path in the file.

    Example:
        >>> from polyscan.study import Scan
        >>> decoded(Scan, {"source": "CT.nii.gz"}, "m.json")
        Scan(source='CT.nii.gz', given={}, sidecar=None, notes=[])
    """
    from pydantic import ValidationError
    from pydantic_core import to_json

    try:
        record: T = _adapter(kind).validate_json(to_json(content, inf_nan_mode="constants"), strict=True)
        return record
    except ValidationError as error:
        # One sentence a place: of a union pydantic tells what is wrong with each member.
        every = {_place(each["loc"]): each for each in reversed(error.errors(include_url=False))}
        wrong = [_sentence(where, each["type"], each["msg"]) for where, each in reversed(every.items())]
        more = f"; and {len(wrong) - _TOLD} more" if len(wrong) > _TOLD else ""
        raise PolyscanError(f"{file} cannot be used: {'; '.join(wrong[:_TOLD])}{more}.") from None


def encoded(record: Any) -> dict[str, Any]:
    """A dataclass as JSON holds it, without what has its default value."""
    content: dict[str, Any] = _adapter(type(record)).dump_python(record, mode="json", exclude_defaults=True)
    return content


def json_schema(kind: type[Any]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a dataclass."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_adapter(kind).json_schema()}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _place(parts: Sequence[str | int]) -> str:
    """Such as ``testing[0].scans.PET.source``; pydantic ends it with the member of a union that it tried."""
    known = [part for part in parts if part != "str" and not str(part).startswith("list[")]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in known).lstrip(".") or "it"


def _sentence(where: str, problem: str, message: str) -> str:
    if problem == "unexpected_keyword_argument":
        return f"{where} is not known"
    if problem in ("missing", "missing_argument"):
        return f"{where} is missing"
    return f"{where} is of another kind ({message.lower()})"
