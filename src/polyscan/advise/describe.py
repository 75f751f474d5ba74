"""What a cohort is like, as far as its manifest and its tables tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from polyscan.advise.probes import Probes, probe
from polyscan.errors import PolyscanError
from polyscan.evaluation.missingness import Dependence, dependences
from polyscan.files.atomic import read_json
from polyscan.formats.pictures import is_picture
from polyscan.geometry import spacing_of
from polyscan.modality import MODALITIES
from polyscan.scan_key import ScanKey
from polyscan.study import Study, paths_in
from polyscan.study.manifest import Manifest
from polyscan.study.record import CLINICAL

Task = Literal["segmentation", "classes", "survival", "number"]
MASK = "mask"
VANISHES = 0.9
"""A modality vanishes that most training studies have and that this part of the testing studies lacks."""


@dataclass(frozen=True)
class Description:
    """A cohort.

    Attributes:
        task: what is to be learnt: a segmentation, classes, survival (a time and an event), or a number.
        target: of ``Label.tasks`` which, or ``mask``.
        studies, patients: how many have that label.
        missing: modality to the part of those studies that lack it, in the order in which a network reads them.
        tables: those of the modalities that are tables; all others are images.
        classes: class to how many studies.
        centres: how many hospitals or scanners.
        values: the numbers that the longest table has; 0 without tables.
        flat: images are 2D pictures.
        times: time points.
        vanishing: modalities that training studies have and testing studies lack.
        dependences: what missingness depends on.
        prepared: scans lie on one grid.
        grids: how many different spacings scans were acquired with, to 0.1 mm, at the median study; 0 where not noted.
        untrusted: modality to the part of its scans whose registration was not trusted.
        clinical: variables beside the images that are recorded in half of the studies.
        probes: what simple models make of tables; None of images and where there are too few.
    """

    task: Task
    target: str
    studies: int
    patients: int
    missing: dict[str, float]
    tables: list[str] = field(default_factory=list)
    classes: dict[str, int] = field(default_factory=dict)
    centres: int = 1
    values: int = 0
    flat: bool = False
    times: int = 1
    vanishing: list[str] = field(default_factory=list)
    dependences: list[Dependence] = field(default_factory=list)
    prepared: bool = True
    grids: int = 0
    untrusted: dict[str, float] = field(default_factory=dict)
    clinical: list[str] = field(default_factory=list)
    probes: Probes | None = None

    @property
    def images(self) -> list[str]:
        """The modalities that are no tables."""
        return [name for name in self.missing if name not in self.tables]

    @property
    def mean_missing(self) -> float:
        """The part of all scans that is missing."""
        return float(np.mean(list(self.missing.values())))

    @property
    def rarest(self) -> float:
        """The part of the rarest class; 0.5 where there are no classes."""
        return min(self.classes.values()) / sum(self.classes.values()) if self.classes else 0.5

    @property
    def auroc_error(self) -> float:
        """The standard error of the AUROC of what tells nothing of the rarest class against the others.

        Mann and Whitney, Annals of Mathematical Statistics 18, 1947.
        """
        rare = self.rarest * self.patients
        return float(np.sqrt((self.patients + 1) / (12 * rare * (self.patients - rare))))


def describe_manifest(manifest: Manifest, target: str | None = None) -> Description:
    """Describe the studies of a manifest.

    Args:
        manifest: prepared, or as ``scan`` wrote it.
        target: a task of the labels, or ``mask``; may be left out where there is one only.

    Raises:
        PolyscanError: no study has that label, several may be meant, or there is one modality only.
    """
    known = [*manifest.training, *manifest.validation] or manifest.studies
    target = _target(known, target)
    studies = [study for study in known if study.label.holds(target)]
    truth = [] if target == MASK else [study.label.tasks[target] for study in studies]
    task = _task(target, truth)
    modalities = list(dict.fromkeys(name for study in studies for name in study.scans))
    tables = [name for name in modalities if all(s.scans[name].is_table for s in studies if name in s.scans)]
    clinical = [
        name
        for name in dict.fromkeys(key for study in studies for key in study.clinical)
        if sum(name in study.clinical for study in studies) * 2 >= len(studies)
    ]
    missing = {name: _part(name not in study.scans for study in studies) for name in modalities}
    if len(tables) == len(modalities) and clinical:
        tables, missing = [*tables, CLINICAL], {**missing, CLINICAL: _part(not study.clinical for study in studies)}
    if len(missing) < 2:
        raise PolyscanError(f"The studies have {', '.join(missing) or 'no modality'}; there is nothing to fuse.")
    x = vectors(studies, tables) if tables and len(tables) == len(missing) else None
    classes = dict(sorted(Counter(map(str, truth)).items())) if task == "classes" else {}
    return Description(
        task=task,
        target=target,
        studies=len(studies),
        patients=len({study.subject for study in studies}),
        missing=missing,
        tables=tables,
        classes=classes,
        centres=len({study.centre for study in studies}),
        values=0 if x is None else x.shape[2],
        flat=any(is_picture(path) for s in studies for scan in s.scans.values() for path in paths_in(scan.source)),
        times=max(study.times for study in studies),
        vanishing=_vanishing(manifest, modalities, missing),
        dependences=dependences(studies, modalities),
        prepared=all(study.preparation is not None for study in studies) or len(tables) == len(missing),
        grids=_grids(studies),
        untrusted=_untrusted(studies, modalities),
        clinical=clinical,
        probes=None if x is None or task != "classes" else _probe(x, truth, studies, list(missing)),
    )


def describe_arrays(
    x: NDArray[Any], y: NDArray[np.int64], patients: NDArray[Any], modalities: list[str], untrusted: Sequence[str] = ()
) -> Description:
    """Describe studies in memory, with classes.

    Args:
        x: (study, modality, value), or (study, modality, x, y) on one grid; NaN throughout where a modality is missing.
        y: (study,) the class.
        patients: (study,).
        modalities: names.
        untrusted: those whose images do not lie on the others.
    """
    gone = ~np.isfinite(x).reshape(*x.shape[:2], -1).any(2)
    described = Description(
        task="classes",
        target="class",
        studies=len(y),
        patients=len(set(patients.tolist())),
        missing={name: float(gone[:, m].mean()) for m, name in enumerate(modalities)},
        classes={str(k): int((y == k).sum()) for k in np.unique(y)},
        untrusted=dict.fromkeys(untrusted, 1.0),
    )
    if x.ndim > 3:
        return described
    return replace(described, tables=list(modalities), values=x.shape[2], probes=probe(x, y, patients, modalities))


def vectors(studies: Sequence[Study], tables: Sequence[str]) -> NDArray[np.float64]:
    """The numbers of tables as (study, table, value); words count by their place in the alphabet."""
    each = {name: [table_of(study, name) for study in studies] for name in tables}
    columns = {name: list(dict.fromkeys(key for row in rows for key in row)) for name, rows in each.items()}
    x = np.full((len(studies), len(tables), max(map(len, columns.values()))), np.nan)
    for m, name in enumerate(tables):
        for k, column in enumerate(columns[name]):
            values = [row.get(column) for row in each[name]]
            words = sorted({value for value in values if isinstance(value, str)})
            x[:, m, k] = [
                np.nan if value is None else words.index(value) if isinstance(value, str) else float(value)
                for value in values
            ]
    return x


def table_of(study: Study, name: str) -> dict[str, Any]:
    """A table of a study, or its clinical variables; empty where it has none.

    Raises:
        PolyscanError: the file holds something else.
    """
    if name == CLINICAL and name not in study.scans:
        return study.clinical
    if name not in study.scans:
        return {}
    content = read_json(study.scans[name].path)
    if not isinstance(content, dict):
        raise PolyscanError(f"{study.key}: {name} is no table; expected a JSON file of names and numbers.")
    return content


def _target(studies: Sequence[Study], target: str | None) -> str:
    found = [MASK] * any(study.label.mask for study in studies)
    found += list(dict.fromkeys(name for study in studies for name in study.label.tasks))
    if not found:
        raise PolyscanError("No study of training or validation has a label; there is nothing to learn.")
    if target is not None and target not in found:
        raise PolyscanError(f"No study has a label {target!r}; there are {', '.join(found)}.")
    if target is None and len(found) > 1:
        raise PolyscanError(f"The studies have several labels ({', '.join(found)}); name one with --target.")
    return target or found[0]


def _task(target: str, truth: Sequence[Any]) -> Task:
    if target == MASK:
        return "segmentation"
    if any(isinstance(value, dict) for value in truth):
        return "survival"
    numbers = {value for value in truth if isinstance(value, int | float) and not isinstance(value, bool)}
    return "number" if len(numbers) > max(10, len(truth) // 10) else "classes"


def _part(each: Any) -> float:
    return float(np.mean(list(each)))


def _vanishing(manifest: Manifest, modalities: Sequence[str], missing: dict[str, float]) -> list[str]:
    if not manifest.training or not manifest.testing:
        return []
    return [
        name
        for name in modalities
        if missing[name] < 0.5 and _part(name not in study.scans for study in manifest.testing) >= VANISHES
    ]


def _grids(studies: Sequence[Study]) -> int:
    """Different spacings of a study's scans as they were acquired, at the median study."""
    counts = []
    for study in studies:
        if study.preparation and study.preparation.grids:
            grids = study.preparation.grids.values()
            counts.append(len({tuple(np.sort(spacing_of(grid.affine)).round(1)) for grid in grids}))
    return int(np.median(counts)) if counts else 0


def _untrusted(studies: Sequence[Study], modalities: Sequence[str]) -> dict[str, float]:
    """Modality to how often its registration was not trusted, of those that were registered."""
    found = {}
    for name in modalities:
        each = [
            s.preparation.registrations[name] for s in studies if s.preparation and name in s.preparation.registrations
        ]
        if each and (bad := _part(not record.trusted for record in each)) > 0:
            found[name] = round(bad, 3)
    return found


def _probe(x: NDArray[Any], truth: Sequence[Any], studies: Sequence[Study], modalities: list[str]) -> Probes | None:
    classes = sorted(set(map(str, truth)))
    y = np.array([classes.index(str(value)) for value in truth])
    return probe(x, y, np.array([study.subject for study in studies]), modalities)


def families(names: Sequence[str]) -> set[str]:
    """Kinds of scanner that modalities come from: MR, CT, PET and others, by the modality of each key."""
    found = set()
    for name in names:
        key = ScanKey.parse(name).modality
        found.add(MODALITIES[key].dicom if key in MODALITIES else key)
    return found
