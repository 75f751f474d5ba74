"""Manifests: the one file that tells a command which studies there are and where their scans lie.

The sections are lists of dictionaries, as MONAI's ``load_decathlon_datalist`` reads them. What else there is, and what
each entry may hold, stands in ``manifest.schema.json`` beside this file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from polyscan import __version__
from polyscan.errors import PolyscanError, first_of
from polyscan.files.atomic import read_json, write_json
from polyscan.files.owned import MARKER
from polyscan.files.schema import decoded, encoded
from polyscan.scan_key import ScanKey
from polyscan.study.entry import Entry
from polyscan.study.record import NEVER_ACQUIRED, Decision, Study
from polyscan.study.roots import SCANS, absolute, normalised, read_roots, relative_to, roots_for, within

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
"""What it is called in the folders that commands write."""
SECTIONS = ("training", "validation", "testing")

T = TypeVar("T", bound=Any)


@dataclass
class Failure(Entry):
    """A study that came to nothing.

    Attributes:
        study: its key.
        reason: a sentence.
    """

    study: str
    reason: str


def none_done(what: str, count: int, failed: Sequence[Failure]) -> PolyscanError:
    """What is said where no study came to anything, or there is none.

    Args:
        what: they were to be, such as ``prepared``.
        count: how many there are.
        failed: why they are not; the first three are told.
    """
    if not failed:
        return PolyscanError(f"The manifest holds no study to be {what}; give one that does.")
    reasons = [f"{each.study}: {each.reason.removeprefix(f'{each.study}: ').rstrip('.')}" for each in failed[:3]]
    more = "; ..." if len(failed) > 3 else "."
    return PolyscanError(f"None of the {count} studies could be {what}: {'; '.join(reasons)}{more}")


@dataclass
class Manifest(Entry):
    """Studies by section, with what a step wants to say about all of them.

    Attributes:
        training, validation, testing: the studies.
        roots: name to the folder under which scans lie.
        failed: studies that could not be prepared or answered for.
        left_out: files and folders that became part of no study.
        renamed: subject to the name that it has here, where its own would serve two or none.
        doubts: which folders may be one patient's, a sentence each.
        absent: modalities that the predictions were made without.
        bundle: that predicted.
        made_from: of a record of one study, what changes where anything does that it was made from; empty where that
            cannot be told.
        finished: of a record of one study when it was, in ISO 8601.
        dataset, licence: of a public data set.
        notes: what else whoever made it wants to say; no command reads it.
        format_version: of the file.
        polyscan: the version that wrote it.
    """

    training: list[Study] = field(default_factory=list)
    validation: list[Study] = field(default_factory=list)
    testing: list[Study] = field(default_factory=list)
    roots: dict[str, str] = field(default_factory=dict)
    failed: list[Failure] = field(default_factory=list)
    left_out: list[Decision] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    bundle: str = ""
    made_from: str = ""
    finished: str = ""
    dataset: str = ""
    licence: str = ""
    notes: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION
    polyscan: str = __version__

    def __str__(self) -> str:
        """What a sentence calls it."""
        return "The manifest"

    @property
    def scanned(self) -> str | None:
        """The folder in which ``polyscan scan`` found the studies; None of others, as of those that were prepared."""
        return self.roots.get(SCANS)

    @property
    def studies(self) -> list[Study]:
        """Every study, in the order of the sections."""
        return [study for section in SECTIONS for study in getattr(self, section)]

    @property
    def tested(self) -> list[Study]:
        """What is answered for and judged: the section testing, or every study where that is empty."""
        return self.testing or self.studies

    @property
    def judged_on_training(self) -> str:
        """A sentence where what would be answered or judged is what a network is trained on; otherwise empty."""
        if self.testing or not self.training:
            return ""
        return (
            f"{self} has no study in its section testing, so that the {len(self.studies)} of training and validation "
            "are taken; if the network was trained on any of them, its scores tell nothing of other patients."
        )

    @property
    def prepared_otherwise(self) -> str:
        """A sentence where scans were prepared otherwise than those that their network learnt from; otherwise empty."""
        both = [
            (study.protocol, study.model.protocols)
            for study in self.studies
            if study.model and study.prediction and study.scans.keys() & set(study.prediction.present)
        ]
        others = [(found, learnt) for found, learnt in both if learnt and found not in learnt]
        if not others:
            return ""
        found = " and ".join(sorted({name or "no protocol" for name, _ in others}))
        learnt = " and ".join(sorted({name or "no protocol" for _, names in others for name in names}))
        return (
            f"{self} has {len(others)} {'study' if len(others) == 1 else 'studies'} prepared by {found}, where the "
            f"network learnt from those of {learnt}: its answers may be wrong; prepare them by that protocol."
        )

    @property
    def cautions(self) -> list[str]:
        """What whoever reads the answers must know of them: a sentence each."""
        answered = [(study.key, study.prediction) for study in self.studies if study.prediction is not None]
        learnt = [key for key, said in answered if said.learnt]
        unread = [said.unread for _, said in answered if said.unread]
        carried = sorted({name for _, said in answered if said.model is not None for name in said.model.carried})
        told = [self.judged_on_training, self.prepared_otherwise]
        if learnt:
            told[0] = (
                f"The network learnt from {len(learnt)} of the {len(answered)} studies ({first_of(learnt)}): its "
                "answers for them tell nothing of other patients."
            )
        if unread:
            told.append(
                f"{len(unread)} of the {len(answered)} studies have a word in {first_of(sorted(set().union(*unread)))} "
                "that the network never learnt; it is taken as not recorded: correct it where it is misspelt."
            )
        stray = [said.stray_labels for _, said in answered if said.stray_labels]
        if stray:
            labels = ", ".join(map(str, sorted(set().union(*stray))))
            told.append(
                f"The true masks of {len(stray)} of the {len(answered)} studies have labels of no region ({labels}), "
                "which count as background in the scores; they are wrong where masks are numbered otherwise."
            )
        made = [s for s in self.studies if s.prediction and not set(s.prediction.present).isdisjoint(s.never_acquired)]
        if made:
            told.append(
                f"{len(made)} of the {len(answered)} studies are answered from a scan that {NEVER_ACQUIRED} "
                f"({first_of(sorted({name for study in made for name in study.never_acquired}))})."
            )
        by_label = {name for _, said in answered if said.model is not None for name in said.model.missing_by_label}
        if by_label:
            told.append(
                f"In training it depended on the label whether {first_of(sorted(by_label))} was missing: the network "
                "may take that for a sign, and is misled where scans are missing for other reasons."
            )
        if carried:
            told.append(
                f"The bundle's configs/inference.json has another {first_of(carried)} than its weights learnt with, "
                "and theirs is taken; change it with --set."
            )
        return [sentence for sentence in told if sentence]

    def map(self, change: Callable[[Study], Study | None]) -> Manifest:
        """A copy with every study changed; one that becomes None is dropped."""
        copy = replace(self)
        for section in SECTIONS:
            changed = map(change, getattr(self, section))
            setattr(copy, section, [study for study in changed if study is not None])
        return copy


def read_manifest(path: str | Path, roots: Mapping[str, str | Path] | None = None) -> Manifest:
    """Read a manifest; paths in it become absolute.

    Args:
        path: the file.
        roots: name of a root to the folder that it is on this machine, where that is another than the file says.

    Raises:
        PolyscanError: the file is missing, no JSON, of another format, or not a manifest; a path in it lies under none
            of the roots.
    """
    path = Path(path)
    if path.is_dir():
        raise PolyscanError(
            f"{path} is a folder, and a manifest is a file: give the manifest.json in it, or make one of a folder of "
            "scans with polyscan scan."
        )
    if path.parent.is_file():
        raise PolyscanError(f"{path.parent} is a file; give the folder in which it lies.")
    if not path.exists() and (path.parent / MARKER).is_file():
        command = read_json(path.parent / MARKER)["command"]
        raise PolyscanError(
            f"{path.parent}, which polyscan {command} wrote, has no {path.name}; name a folder that polyscan prepare, "
            "infer or batch wrote. A listener's results lie in its own folders objects and pages."
        )
    if not path.exists():
        raise PolyscanError(
            f"{path} does not exist; name what polyscan prepare, infer or batch wrote, or make one with polyscan scan."
        )
    content = read_json(path, unique=True)
    if not isinstance(content, dict) or not any(section in content for section in SECTIONS):
        raise PolyscanError(
            f"{path} is no manifest: it has none of {', '.join(SECTIONS)}; make one with polyscan scan."
        )
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        newer = isinstance(version, int) and version > FORMAT_VERSION
        raise PolyscanError(
            f"{path} has format_version {version!r}, this polyscan {__version__} reads {FORMAT_VERSION}; "
            + ("install a newer polyscan." if newer else "make it again with polyscan scan and prepare.")
        )
    manifest = decoded(Manifest, content, str(path))
    folders = read_roots(manifest.roots, roots or {}, path)
    keys: set[str] = set()

    def checked(study: Study) -> Study:
        if study.key in keys:
            raise PolyscanError(f"{path} names {study.key} twice; give each study its own subject or session.")
        keys.add(study.key)
        for name, told in study.clinical.items():
            if isinstance(told, (list, dict)) or (isinstance(told, float) and not math.isfinite(told)):
                raise PolyscanError(
                    f"{path}: {study.key} has something else than a finite number or a word as {name} of clinical; "
                    "correct it, or take it out."
                )
        for name, scan in study.scans.items():
            _check_key(name, f"{path}: {study.key}")
            if not scan.source:
                raise PolyscanError(f"{path}: {study.key} has no file for {name}; name it, or take the scan out.")
        return replace_paths(study, lambda written: absolute(written, folders, f"{path}: {study.key}"))

    return replace(manifest.map(checked), roots=folders)


def manifest_of(
    source: str | Path | Manifest | Study | Sequence[Study], roots: Mapping[str, str | Path] | None = None
) -> Manifest:
    """A manifest that was read already, that of a file, or one of studies, all of them to be answered for."""
    if isinstance(source, Manifest):
        return source
    if isinstance(source, (str, Path)):
        return read_manifest(source, roots)
    return Manifest(testing=[source] if isinstance(source, Study) else list(source))


def read_record(path: Path) -> Manifest | None:
    """The manifest of one study that a command keeps for itself; None where there is none that can be read.

    One that is damaged, or of another format, is made again like one that is not there.
    """
    try:
        return read_manifest(path) if path.is_file() else None
    except PolyscanError:
        return None


def write_manifest(path: str | Path, manifest: Manifest) -> None:
    """Write a manifest; each path in it becomes relative to the innermost root that holds it.

    The folder of the manifest is a root too, named ``here``; what lies under none gets one named ``data``.
    """
    folder = normalised(Path(path).resolve().parent)
    roots = roots_for(manifest.roots, [found for study in manifest.studies for found in paths_of(study)], folder)
    used: dict[str, str] = {}

    def relative(found: str) -> str:
        name, rest = within(found, roots)
        used[name] = relative_to(roots[name], folder)
        return f"{name}/{rest}"

    written = manifest.map(lambda study: replace_paths(study, relative))
    content = encoded(replace(written, roots=used))
    head = {"format_version": FORMAT_VERSION, "polyscan": __version__}
    sections = {section: content.pop(section, []) for section in SECTIONS}
    write_json(path, {**head, **content, **sections})


def paths_of(study: Study) -> list[str]:
    """Every path of a study."""
    found: list[str] = []

    def note(path: str) -> str:
        found.append(path)
        return path

    replace_paths(study, note)
    return found


def replace_paths(record: T, change: Callable[[str], str]) -> T:
    """A copy of a study, or of any record in it, with every path changed."""
    changed = {}
    for each in fields(record):
        value = getattr(record, each.name)
        changed[each.name] = _map(value, change) if each.metadata.get("path") else _within(value, change)
    return replace(record, **changed)


def _map(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    return [change(item) for item in value] if isinstance(value, list) else value


def _within(value: Any, change: Callable[[str], str]) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return replace_paths(value, change)
    if isinstance(value, dict):
        return {name: _within(item, change) for name, item in value.items()}
    return [_within(item, change) for item in value] if isinstance(value, list) else value


def _check_key(name: str, where: str) -> None:
    try:
        ScanKey.parse(name)
    except PolyscanError as error:
        raise PolyscanError(f"{where}: {error}") from None


if __name__ == "__main__":  # write the schema again after the dataclasses have changed
    from polyscan.files.schema import json_schema

    write_json(Path(__file__).with_name("manifest.schema.json"), json_schema(Manifest))
