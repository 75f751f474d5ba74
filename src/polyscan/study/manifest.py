"""Manifests: the one file that tells a command which studies there are and where their scans lie."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from polyscan import __version__
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json, write_json
from polyscan.study import Study

SECTIONS = ("training", "validation", "testing")

_PATH_KEYS = ("masks", "transforms", "sources", "prediction")
_OWN = {f.name for f in fields(Study)} - {"extra"}


@dataclass
class Manifest:
    """Studies by section, with what a step wants to say about all of them.

    Attributes:
        training, validation, testing: the studies.
        info: whatever else stands at the top level, such as ``protocol``, ``failed`` or ``left_out``.
    """

    training: list[Study] = field(default_factory=list)
    validation: list[Study] = field(default_factory=list)
    testing: list[Study] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def studies(self) -> list[Study]:
        """Every study, in the order of the sections."""
        return [study for section in SECTIONS for study in getattr(self, section)]

    def map(self, change: Callable[[Study], Study | None], **info: Any) -> Manifest:
        """Change every study; one that becomes None is dropped. ``info`` replaces the top-level entries."""
        kept = {s: [new for old in getattr(self, s) if (new := change(old)) is not None] for s in SECTIONS}
        return Manifest(**kept, info=info)


def read_manifest(path: str | Path) -> Manifest:
    """Read a manifest; paths in it become absolute.

    Raises:
        PolyscanError: the file is missing, no JSON, or not a manifest.
    """
    path = Path(path)
    content = read_json(path)
    if not isinstance(content, dict) or not any(section in content for section in SECTIONS):
        raise PolyscanError(
            f"{path} is no manifest: it has none of {', '.join(SECTIONS)}; make one with polyscan scan."
        )
    folder = path.resolve().parent
    sections = {s: [_study(entry, folder, path) for entry in content.pop(s, [])] for s in SECTIONS}
    keys: set[str] = set()
    for study in (study for section in sections.values() for study in section):
        if study.key in keys:
            raise PolyscanError(f"{path} names {study.key} twice; give each study its own subject or session.")
        keys.add(study.key)
    return Manifest(**sections, info=content)


def write_manifest(path: str | Path, manifest: Manifest) -> None:
    """Write a manifest; paths in it become relative to it."""
    folder = Path(path).resolve().parent
    content: dict[str, Any] = {"polyscan": __version__, **manifest.info}
    for section in SECTIONS:
        content[section] = [_entry(study, folder) for study in getattr(manifest, section)]
    write_json(path, content)


def _study(entry: Any, folder: Path, path: Path) -> Study:
    if not isinstance(entry, dict) or "subject" not in entry or not isinstance(entry.get("images"), dict):
        raise PolyscanError(f"{path} holds an entry without 'subject' or 'images'; each study needs both.")
    entry = _with_paths(entry, lambda p: os.path.normpath(folder / p))
    own = {name: value for name, value in entry.items() if name in _OWN}
    return Study(**own, extra={name: value for name, value in entry.items() if name not in _OWN})


def _entry(study: Study, folder: Path) -> dict[str, Any]:
    own = {
        name: getattr(study, name) for name in ("subject", "session", "images", "label", "clinical", "aligned", "fold")
    }
    known = {name: value for name, value in own.items() if name == "images" or value not in (None, {}, [])}
    return _with_paths({**known, **study.extra}, lambda p: Path(os.path.relpath(p, folder)).as_posix())


def _with_paths(entry: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """Change every path of an entry: images, the label's mask, and what later steps wrote."""
    entry = dict(entry)
    for name in ("images", *_PATH_KEYS):
        if name in entry:
            entry[name] = _change(entry[name], change)
    if "mask" in entry.get("label", {}):
        entry["label"] = {**entry["label"], "mask": _change(entry["label"]["mask"], change)}
    return entry


def _change(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {name: _change(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [_change(item, change) for item in value]
    return change(value)
