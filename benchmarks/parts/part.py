"""What every cohort's part is: arrays, tables, and columns that are outcomes and no inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from monai.data import MetaTensor

from polyscan.errors import PolyscanError, first_of
from polyscan.files.atomic import read_json, write_json
from polyscan.formats.nifti import write_nifti
from polyscan.study import Label, Study
from polyscan.study.record import CLINICAL
from polyscan.study.table import read_rows, recorded

MASK_TASKS = {"lesion", "heart", "tumour"}
"""Tasks that are learnt from a mask."""


class Part:
    """The files of a part, in any order: each is known by its arrays or its columns.

    Args:
        files: ``.npz`` archives and CSV or TSV tables.

    Raises:
        PolyscanError: a file cannot be read as either.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = list(files)
        self.arrays: dict[str, np.ndarray] = {}
        self._tables: dict[Path, list[dict[str, str]]] = {}
        for path in files:
            try:
                if path.suffix == ".npz":
                    with np.load(path, allow_pickle=False) as archive:
                        self.arrays.update({name: texts(array) for name, array in archive.items()})
                else:
                    self._tables[path] = read_rows(path)
            except (OSError, ValueError, BadZipFile) as error:
                raise PolyscanError(f"{path} cannot be read ({error}); give .npz archives and CSV tables.") from error

    def array(self, name: str) -> np.ndarray:
        """An array of one of the archives.

        Raises:
            PolyscanError: no archive has it.
        """
        if name not in self.arrays:
            given = ", ".join(path.name for path in self.files)
            raise PolyscanError(f"None of {given} has an array {name!r}; give the part's archive that has it.")
        return self.arrays[name]

    def has(self, name: str) -> bool:
        """Whether one of the archives has this array."""
        return name in self.arrays

    @property
    def names(self) -> list[str]:
        """The patients of the archive, in the order of its arrays."""
        return [str(name) for name in self.array("patient").tolist()]

    def numbers(self, name: str) -> np.ndarray:
        """An array of numbers, NaN where not recorded.

        Raises:
            PolyscanError: no archive has it, or it holds a text or an infinite number.
        """
        array = self.array(name)
        if array.dtype.kind not in "biuf" or np.isinf(array).any():
            raise PolyscanError(f"The array {name!r} holds more than finite numbers; give NaN where none is recorded.")
        return array.astype(float)

    def check(self, forms: Mapping[str, Form]) -> None:
        """Refuse arrays that are not of their form, or not of the same patients.

        Raises:
            PolyscanError: see there; arrays that are absent are not missed.
        """
        sizes: dict[str, int] = {}
        for name, form in forms.items():
            if name not in self.arrays:
                continue
            array, axes = self.arrays[name], form.axes.split()
            expected = [int(axis) if axis.isdigit() else sizes.get(axis, axis) for axis in axes]
            alike = [isinstance(size, str) or size == own for size, own in zip(expected, array.shape, strict=False)]
            if array.ndim != len(axes) or not all(alike):
                raise PolyscanError(
                    f"The array {name!r} has the form ({', '.join(map(str, array.shape))}), where "
                    f"({', '.join(map(str, expected))}) is expected; give arrays of this cohort, of the same patients."
                )
            sizes |= dict(zip(axes, array.shape, strict=True))
            if form.highest is not None and not is_whole(array, form.highest):
                raise PolyscanError(
                    f"The array {name!r} has values from {array.min()} to {array.max()}, where whole ones from 0 to "
                    f"{form.highest} are expected; give the values that this cohort has."
                )

    def rows(self, key: str, names: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
        """What the tables tell of each patient, by the text of the column ``key``; none where there is no table.

        Raises:
            PolyscanError: a table has no such column, two rows of one patient contradict each other, or the tables are
                of none of ``names``.
        """
        found: dict[str, dict[str, Any]] = {}
        for path, rows in self._tables.items():
            if not any(row.get(key) for row in rows):
                raise PolyscanError(f"{path} has no column {key!r} that names its patients; give this cohort's tables.")
            for row in rows:
                held, told = found.setdefault(row[key], {}), recorded(row)
                if differing := [column for column in held if told.get(column, held[column]) != held[column]]:
                    raise PolyscanError(
                        f"Two rows of {row[key]} differ in {first_of(differing)}, the second in {path}; take one out."
                    )
                held |= told
        if found and names and not set(names) & set(found):
            raise PolyscanError(
                f"The tables tell of none of the {len(names)} patients, such as {names[0]}; give theirs."
            )
        return found


def parts_of(files: Sequence[Path]) -> list[Part]:
    """One part of all files; where archives hold arrays of one name, a part of each with all tables.

    Raises:
        PolyscanError: a file cannot be read.
    """
    whole = Part(files)
    archives = [path for path in files if path.suffix == ".npz"]
    each = [Part([path, *(other for other in files if other not in archives)]) for path in archives]
    apart = sum(len(part.arrays) for part in each) > len(whole.arrays)
    return each if apart else [whole]


@dataclass(frozen=True)
class Form:
    """What an array of a part is.

    Attributes:
        axes: its axes, a word each: a number is the size; what has one name is as large in every array.
        highest: of its values, which are whole and begin with 0; None where they are any.
    """

    axes: str
    highest: int | None = None


def texts(array: np.ndarray) -> np.ndarray:
    """The array, bytes as text."""
    return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array


def is_whole(array: np.ndarray, highest: int) -> bool:
    """Whether all values are whole numbers from 0 to ``highest``."""
    whole = array.dtype.kind in "bui" or bool((array == np.rint(array)).all())
    return array.size == 0 or (whole and int(array.min()) >= 0 and int(array.max()) <= highest)


@dataclass
class Patient:
    """One study of a part, before it is written.

    Attributes:
        study: the subject, labels and clinical variables, and a fold where it is fixed; images are added when written.
        volumes: modality to its (z, y, x) values in LPS+.
        mask: (z, y, x) labels on the grid of the volumes.
        pictures: image type to its (y, x) grey values.
        tables: name of a table to its columns; NaN and absent columns are not recorded.
        group: whatever must not be in two folds; the subject where None.
        stratum: folds have about as many studies of each.
        section: of the manifest.
    """

    study: Study
    volumes: dict[str, np.ndarray] = field(default_factory=dict)
    mask: np.ndarray | None = None
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    tables: dict[str, dict[str, float]] = field(default_factory=dict)
    group: str | None = None
    stratum: str = ""
    section: str = "training"


@dataclass(frozen=True)
class Cohort:
    """How parts of one public cohort are read.

    Attributes:
        outcomes: task to the columns that are its outcome, or tell it, and are refused as inputs of it.
        patients: reads a part with every column that any task may have as an input.
        tasks: what is to be learnt where nothing else is said.
        named: columns that are inputs only where they are named; a reader's score is one.
        protocol: by which volumes are prepared; None where there are none.
        spacing: millimetres (x, y, z) of the volumes.
        forms: of the arrays of a part.
        nominal: whether the spacing was dropped upstream, so that nothing in millimetres means anything.
        given: volume to what no header tells of it, such as ``{"PET": {"Units": "SUV"}}``.
    """

    outcomes: Mapping[str, Sequence[str]]
    patients: Callable[[Part], Iterator[Patient]]
    tasks: Sequence[str]
    forms: Mapping[str, Form] = field(default_factory=dict)
    named: Sequence[str] = ()
    protocol: str | None = None
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    nominal: bool = False
    given: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def check(self, tasks: Sequence[str], named: Sequence[str]) -> None:
        """Refuse what cannot be learnt, and inputs that tell it.

        Raises:
            PolyscanError: a task is none of the cohort's, or a named column is an outcome or needs no naming.
        """
        for task in tasks:
            if task not in self.outcomes:
                raise PolyscanError(f"{task!r} is no task of this cohort; its tasks are {', '.join(self.outcomes)}.")
        for column in named:
            told = [task for task in tasks if column in self.outcomes[task]]
            if told:
                raise PolyscanError(f"{column!r} is the outcome of {told[0]}, or tells it: it is refused as an input.")
            if column not in self.named:
                raise PolyscanError(
                    f"{column!r} is no column that needs naming; those of this cohort are {', '.join(self.named)}."
                )

    def keep(self, patient: Patient, tasks: Sequence[str], named: Sequence[str]) -> Patient:
        """What is to be learnt of a patient and from what: no outcome of these tasks is left among the inputs."""
        refused = {column for task in tasks for column in self.outcomes[task]} | (set(self.named) - set(named))
        study = patient.study
        kept = {
            name: {c: v for c, v in table.items() if c not in refused and v is not None and math.isfinite(v)}
            for name, table in patient.tables.items()
        }
        return replace(
            patient,
            study=replace(
                study,
                clinical={c: v for c, v in study.clinical.items() if c not in refused},
                label=Label(tasks={task: value for task, value in study.label.tasks.items() if task in tasks}),
            ),
            tables={name: table for name, table in kept.items() if table},
            mask=patient.mask if MASK_TASKS & set(tasks) else None,
        )


def classes(row: Mapping[str, Any], column: str, names: Mapping[Any, str]) -> str | None:
    """The name of a class by the value in a column; None where it is not recorded.

    Raises:
        PolyscanError: the value is none of those that have a name.
    """
    if column not in row:
        return None
    if row[column] not in names:
        raise PolyscanError(
            f"{column} is {row[column]!r}, where {', '.join(map(str, names))} are known; correct it, or leave it empty."
        )
    return names[row[column]]


def number(row: Mapping[str, Any], column: str) -> float | None:
    """The number in a column; None where none is recorded.

    Raises:
        PolyscanError: it is a text.
    """
    value = row.get(column)
    if isinstance(value, str):
        raise PolyscanError(f"{column} is {value!r}, where a number is expected; correct it, or leave it empty.")
    return value


def known(label: Mapping[str, Any]) -> dict[str, Any]:
    """What of a label is known."""
    return {name: value for name, value in label.items() if value is not None}


def write_volume(path: str, values: np.ndarray, spacing: Sequence[float]) -> str:
    """Write one (z, y, x) array in LPS+ as NIfTI about the origin, and return its path."""
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(values.shape[::-1]) - 1) / 2)
    kept = values if values.dtype == np.uint8 else values.astype(np.float32)
    image = torch.from_numpy(np.ascontiguousarray(kept.transpose())[None])
    write_nifti(path, MetaTensor(image, affine=torch.from_numpy(affine)))
    return path


def write_table(path: str, columns: Mapping[str, float]) -> str:
    """Write a table's columns as JSON, and return its path."""
    write_json(path, {name: round(float(value), 4) for name, value in columns.items()})
    return path


def write_tables_fragment(path: Path, studies: Sequence[Study]) -> None:
    """Write each table of some studies with its columns, and clinical variables, as ``polyscan compare`` reads them."""
    columns: dict[str, set[str]] = {}
    clinical: dict[str, list[Any]] = {}
    for study in studies:
        for name, scan in study.scans.items():
            if scan.is_table:
                columns.setdefault(name, set()).update(read_json(scan.path))
        for name, value in study.clinical.items():
            clinical.setdefault(name, []).append(value)
    coded = {
        name: sorted({str(v) for v in values})
        if any(isinstance(v, str) for v in values)
        else [round(float(of(values)), 4) for of in (np.mean, np.std)]
        for name, values in sorted(clinical.items())
    }
    tables = {name: sorted(columns[name]) for name in sorted(columns)}
    write_json(path, {"shared": {"tables": {**({CLINICAL: coded} if coded else {}), **tables}}})


def write_picture(path: str, values: np.ndarray) -> str:
    """Write grey values 0 to 255 as PNG, and return its path."""
    from PIL import Image

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path
