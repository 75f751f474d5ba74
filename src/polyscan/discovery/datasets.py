"""Public data sets: how the folders of a download map to studies, and what is missing from one."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.files.resources import resource_file
from polyscan.study import Scan, Study
from polyscan.study.manifest import SECTIONS, Manifest
from polyscan.study.roots import SCANS
from polyscan.study.table import read_rows, recorded, value

NEEDED = ("name", "citation", "licence", "access", "images")


def read_dataset(name: str | Path) -> dict[str, Any]:
    """Read the description of a data set.

    ``images`` maps modality to a regular expression on paths inside the download, with ``/`` at its end where a folder
    (a DICOM series) is meant. Its group ``subject`` says whose it is, ``session`` tells several studies of one subject
    apart, ``split`` the part it belongs to, mapped to a section by ``splits``; a group that ``classes`` names is a
    label. Where no single group names them, ``subject`` and ``group`` (what must stay in one fold; the subject by
    default) put them together, as ``"{cell} {image}"``. ``mask`` is such an expression for the segmentation that
    was drawn on ``drawn_on``.
    ``table`` names a CSV file, its column ``subject``, perhaps one that tells the ``group``, and which columns are
    ``clinical`` and ``labels``; ``classes`` maps values of labels, ``*`` those it does not name. ``subjects`` says how
    many to expect, ``folds`` how many folds to make, ``settings`` what to ``--set`` in the ``bundle`` it is meant for,
    ``given`` what its files do not tell of PET, such as ``{"Units": "SUV"}``.

    Args:
        name: of a file in ``data_manifests``, or the path of one.

    Raises:
        PolyscanError: there is none, or it lacks something.
    """
    path = resource_file(name, "data_manifests", ".json", "data set")
    content = read_json(path)
    lacking = [key for key in NEEDED if key not in content]
    if lacking:
        raise PolyscanError(f"{path} lacks {', '.join(lacking)}; a data set needs {', '.join(NEEDED)}.")
    return dict(content)


def match_download(dataset: Mapping[str, Any], folder: str | Path) -> tuple[Manifest, list[str]]:
    """Find the studies of a downloaded data set.

    Returns:
        The studies, each with a fold where the data set has folds, and what is missing, a sentence each.

    Raises:
        PolyscanError: the folder does not exist, or nothing in it is of the data set.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PolyscanError(f"{folder} is no folder; give the one that the download of {dataset['name']} lies in.")
    studies: dict[tuple[str, str | None], Study] = {}
    splits: dict[str, str] = {}
    groups: dict[str, str] = {}
    masks: dict[tuple[str, str | None], str] = {}
    patterns = {**dataset["images"], **({"mask": dataset["mask"]} if "mask" in dataset else {})}
    for kind, path, found in _matches(patterns, folder):
        key = (dataset.get("subject", "{subject}").format(**found), found.get("session"))
        if kind == "mask":
            masks[_plain(key[0]), key[1]] = str(path)
            continue
        study = studies.setdefault(key, Study(*key))
        splits[study.key] = found.get("split", "")
        groups[study.key] = dataset["group"].format(**found) if "group" in dataset else study.subject
        study.scans.setdefault(kind, Scan(str(path), dict(dataset.get("given", {}))))
        labels = dataset.get("classes", {}).keys() & found.keys()
        study.label.tasks.update({task: _class(dataset, task, found[task]) for task in labels})
    if not studies:
        raise PolyscanError(
            f"{folder} holds nothing of {dataset['name']}; expected paths such as "
            f"{_readable(next(iter(dataset['images'].values())))}. Ask for the data at {dataset['access']}."
        )
    for key, study in studies.items():
        if (_plain(key[0]), key[1]) in masks:
            study.label.mask, study.label.drawn_on = masks[_plain(key[0]), key[1]], dataset["drawn_on"]
    missing = _read_table(dataset, folder, studies.values(), groups)
    missing += _missing(dataset, studies.values())
    return _manifest(dataset, folder, list(studies.values()), splits, groups), missing


def _matches(patterns: Mapping[str, str], folder: Path) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    compiled = {kind: re.compile(pattern) for kind, pattern in patterns.items()}
    folders = any(pattern.endswith("/") for pattern in patterns.values())
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not folders:
            continue
        name = path.relative_to(folder).as_posix() + ("/" if path.is_dir() else "")
        for kind, pattern in compiled.items():
            if found := pattern.fullmatch(name):
                yield kind, path, found.groupdict()


def _read_table(dataset: Mapping[str, Any], folder: Path, studies: Any, groups: dict[str, str]) -> list[str]:
    """Add clinical variables and labels to the studies; returns what is missing."""
    table = dataset.get("table")
    if table is None:
        return []
    files = [p for p in sorted(folder.rglob("*.csv")) if re.fullmatch(table["file"], p.name)]
    if not files:
        return [f"the table {table['file']} is not there: {', '.join([*table['clinical'], *table['labels']])} unknown"]
    rows = {_plain(row[table["subject"]]): row for row in read_rows(files[0])}
    missing = []
    for study in studies:
        row = rows.get(_plain(study.subject))
        if row is None:
            missing.append(f"{study.subject} is not in {files[0].name}")
            continue
        told = recorded(row)
        study.clinical.update({own: told[c] for own, c in table["clinical"].items() if c in told})
        study.label.tasks.update(
            {task: _class(dataset, task, row[c]) for task, c in table["labels"].items() if c in told}
        )
        if "group" in table:
            groups[study.key] = row[table["group"]]
    return missing


def _missing(dataset: Mapping[str, Any], studies: Any) -> list[str]:
    """Which studies lack a scan or their mask, and whether there are as many subjects as there should be."""
    missing = []
    one_each = dataset.get("one_of_each", True)
    for study in studies:
        lacks = [kind for kind in dataset["images"] if kind not in study.scans] if one_each else []
        lacks += ["its mask"] if "mask" in dataset and study.label.mask is None else []
        if lacks:
            missing.append(f"{study.key} lacks {', '.join(lacks)}")
    subjects = len({study.subject for study in studies})
    if subjects != dataset.get("subjects", subjects):
        missing.append(f"{subjects} subjects are there, {dataset['subjects']} belong to it")
    return missing


def _manifest(
    dataset: Mapping[str, Any], folder: Path, studies: list[Study], splits: dict[str, str], groups: dict[str, str]
) -> Manifest:
    studies.sort(key=lambda study: study.key)
    folds = dataset.get("folds")
    order = {group: number for number, group in enumerate(dict.fromkeys(groups[s.key] for s in studies))}
    manifest = Manifest(roots={SCANS: str(folder.absolute())}, dataset=dataset["name"], licence=dataset["licence"])
    for study in studies:
        if folds:
            study.fold = order[groups[study.key]] % int(folds)
        section = dataset.get("splits", {}).get(splits[study.key], "training")
        if section not in SECTIONS:
            raise PolyscanError(f"{dataset['name']} maps a split to {section!r}; expected {', '.join(SECTIONS)}.")
        getattr(manifest, section).append(study)
    return manifest


def _class(dataset: Mapping[str, Any], task: str, text: str) -> Any:
    named = dataset.get("classes", {}).get(task, {})
    return named.get(text, named.get("*", value(text)))


def _plain(name: str) -> str:
    """A name whose zeros, case and separators do not matter: UCSF-PDGM-0004 and UCSF-PDGM-004 are one subject."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\W_]+", "-", name.lower()))


def summary(manifest: Manifest) -> str:
    """What was found, in a few lines."""
    lines = []
    for section in SECTIONS:
        studies: list[Study] = getattr(manifest, section)
        if studies:
            scans = Counter(name for study in studies for name in study.scans)
            lines.append(f"{section}: {len(studies)} studies; " + ", ".join(f"{n} {c}" for n, c in scans.items()))
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for study in manifest.studies:
        for task, known in study.label.tasks.items():
            labels[task].update([str(known)])
    lines += [f"{t}: " + ", ".join(f"{v} {c}" for v, c in sorted(found.items())) for t, found in labels.items()]
    return "\n".join(lines)


def _readable(pattern: str) -> str:
    """A regular expression on paths as a person would write them: ``BraTS2021_00000/<subject>_t1.nii.gz``.

    Without the groups that may be absent, and with the first of several words.
    """
    plain = re.sub(r"\((?:\?P<\w+>|\?:)[^()]*\)\?", "", pattern)
    plain = re.sub(r"\((?:\?P<\w+>|\?:)([^()|]*)[^()]*\)", r"\1", plain)
    plain = re.sub(r"\(\?P=(\w+)\)", r"<\1>", plain)
    plain = re.sub(r"\\d(?:\{(\d+)(?:,\d+)?\}|\+)", lambda found: "0" * int(found[1] or 1), plain)
    plain = re.sub(r"\[\^/\][+*]", "*", plain)
    return re.sub(r"\[(.)[^\]]*\]\+?", r"\1", plain).replace("\\.", ".").replace("?", "")
