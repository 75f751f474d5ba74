"""Where studies come from, which is private: ``sources.json`` lists it by study key, and no other output does.

Folders and files are often named after patients. So what ``prepare`` and later commands write holds study keys only, a
sidecar refers to ``sources.json`` by key, and a message names the scan, not its file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json, write_json
from polyscan.files.numbered import numbered
from polyscan.files.schema import decoded, encoded
from polyscan.study.entry import Entry
from polyscan.study.manifest import MANIFEST, Manifest, read_manifest
from polyscan.study.record import Study
from polyscan.study.scan import Source, paths_in

SOURCES = "sources.json"


@dataclass
class StudySources(Entry):
    """Where a study comes from.

    Attributes:
        scans: by their keys.
        label: file of the mask.
    """

    scans: dict[str, Source] = field(default_factory=dict)
    label: str | None = None


@dataclass
class Sources(Entry):
    """Where studies come from.

    Attributes:
        private: what to know of the file.
        roots: the folders under which the scans lie.
        scanned: the one in which ``polyscan scan`` found them.
        studies: by their keys.
    """

    private: str = ""
    roots: list[str] = field(default_factory=list)
    scanned: str | None = None
    studies: dict[str, StudySources] = field(default_factory=dict)


def write_sources(folder: Path, manifest: Manifest) -> None:
    """Write ``sources.json``, which only its owner may read."""
    path = folder / SOURCES
    private = "The names of files and folders may tell who a patient is: leave this file out of what you share."
    studies = {study.key: StudySources(study.sources, study.label.mask) for study in manifest.studies}
    write_json(path, encoded(Sources(private, list(manifest.roots.values()), manifest.scanned, studies)))
    path.chmod(0o600)


def read_sources(path: Path) -> Sources:
    """Read ``sources.json``.

    Raises:
        PolyscanError: it is not there, or is something else.
    """
    return decoded(Sources, read_json(path), str(path))


def find_sources(out: Path) -> Path:
    """The ``sources.json`` of a folder of outputs, or of the prepared studies that its manifest names.

    Raises:
        PolyscanError: there is none.
    """
    places = [out]
    if (out / MANIFEST).is_file():
        places += map(Path, read_manifest(out / MANIFEST).roots.values())
    for place in places:
        if (place / SOURCES).is_file():
            return place / SOURCES
    raise PolyscanError(f"{out} has no {SOURCES} beside it; name the one that polyscan prepare wrote with --sources.")


def reference_to(study: Study, scan: str) -> str:
    """What a sidecar says of where a scan comes from: a JSON pointer (RFC 6901) into ``sources.json``."""
    return f"{SOURCES}#/studies/{study.key}/scans/{scan}"


def without_paths(text: str, study: Study, sources: StudySources | None = None) -> str:
    """A message in which each name of the study's files and folders is what it means: ``file 3 of CT``.

    Args:
        text: the message.
        study: whose files are its scans, its label and its brain mask.
        sources: of a prepared study what it was made from, whose files are told too.
    """
    names = {str(Path.home()): "~"}
    scans = [*study.sources.items(), *(sources.scans.items() if sources else ())]
    for key, source in scans:
        files = _files(source)
        for number, path in enumerate(files, start=1):
            if path.name in text:
                _note(names, path, key if len(files) == 1 else f"file {number} of {key}")
        for folder in dict.fromkeys(path.parent for path in files):
            _note_folder(names, folder, key)
    labels = {"the label": study.label.mask, "the brain mask": study.brain_mask}
    labels |= {"the label as drawn": sources.label} if sources else {}
    for meant, mask in labels.items():
        if mask is not None:
            _note(names, Path(mask), meant)
            _note_folder(names, Path(mask).parent, "the label")
    told = sorted((name for name in names if name in text and name not in study.scans), key=len, reverse=True)
    pattern = "|".join(map(re.escape, told))
    return re.sub(rf"(?<![\w/.-])(?:{pattern})(?![\w-])", lambda found: names[found[0]], text) if told else text


def _files(source: Source) -> list[Path]:
    """The files of a scan, and those of a folder of one series."""
    paths = [numbered(path)[0] for path in paths_in(source)]
    if len(paths) == 1 and paths[0].is_dir():
        return sorted(paths[0].iterdir()) or paths
    return paths


def _note(names: dict[str, str], path: Path, meant: str) -> None:
    """Every way to write a file, from the whole path to its name alone."""
    for start in range(len(path.parts)):
        names.setdefault(str(Path(*path.parts[start:])), meant)


def _note_folder(names: dict[str, str], folder: Path, meant: str) -> None:
    """Every way to write a folder but its name alone, which may be any word."""
    for start in range(len(folder.parts) - 1):
        names.setdefault(str(Path(*folder.parts[start:])), meant)
