"""What every part of a manifest is."""

from __future__ import annotations

from typing import Any, ClassVar

PATH = {"path": True}
"""Metadata of a field that holds a path, or several: what :mod:`polyscan.study.manifest` makes relative to a root."""


class Entry:
    """A dataclass that a manifest holds: what stands in the file and is none of its fields is refused."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
