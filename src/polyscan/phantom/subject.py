"""One subject of the cohort: a head, a tumour, where the patient lay for each scan, and what is known beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from polyscan.phantom.anatomy import Anatomy, Tumour
from polyscan.phantom.scanner import FOV, Grid, Scan, ct, mri, parametric, pet
from polyscan.phantom.tissues import NAMES

MODALITIES = ("T1", "T1c", "T2", "FLAIR", "CT", "PET")
MAPS = ("ADC", "CBF")
LABELS = {"necrosis": 1, "core": 1, "oedema": 2, "rim": 4}  # as BraTS 2021 numbers them

# Spacing in mm along right-left, front-back and foot-head, by modality, and along which of them slices are stacked.
_SPACING = {
    "small": {
        "T1": (3, 3, 3), "T1c": (3, 3, 3), "T2": (3, 4, 3), "FLAIR": (3, 3, 6), "CT": (3, 3, 3), "PET": (4.5, 4.5, 4.5),
        "ADC": (3, 3, 4), "CBF": (3, 3, 6),
    },
    "full": {
        "T1": (1, 1, 1), "T1c": (1, 1, 1), "T2": (0.9, 3, 0.9), "FLAIR": (0.9, 0.9, 5), "CT": (1, 1, 1.5),
        "PET": (2.5, 2.5, 3), "ADC": (1.8, 1.8, 4), "CBF": (3.4, 3.4, 5),
    },
}  # fmt: skip
_AXES = {"T2": "RIP"}  # coronal; all others axial
_AXIAL = "LPS"


@dataclass(frozen=True)
class Subject:
    """What is true of a subject.

    Attributes:
        number: from 1.
        anatomy: the head.
        tumour: what grows in it.
        grade: 1 high, 0 low: what age and biomarker know something about.
        age: in years.
        sex: ``"F"`` or ``"M"``.
        biomarker: arbitrary units.
        mutated: whether IDH is: in most tumours of low grade, where the cells stand less dense.
        lying: modality to (4, 4) from that scanner's to the head's own RAS+ millimetres.
        visit: 1, or 2 after treatment.
        day: of the visit, the first being 0.
        responds: whether the tumour has shrunk, None before treatment.
    """

    number: int
    anatomy: Anatomy
    tumour: Tumour
    grade: int
    age: int
    sex: str
    biomarker: float
    mutated: bool
    lying: dict[str, np.ndarray]
    seed: int
    visit: int = 1
    day: int = 0
    responds: bool | None = None

    @property
    def who_grade(self) -> int:
        """The WHO grade: 4 of high grade; of low grade 3 where it enhances, otherwise 2."""
        return 4 if self.grade else 3 if self.tumour.enhances else 2

    def scan(self, modality: str, size: str) -> Scan:
        """Put the subject into a scanner."""
        grid = make_grid(modality, size)
        generator = stream(self.seed, self.number, "noise", modality, *_again(self.visit))
        if modality in MAPS:
            if modality == "ADC":  # diffusion in the tumour is freer where IDH is mutated
                solid = 1450.0 if self.mutated else 1050.0
                tumour = {"core": solid, "rim": solid - 100}
            else:  # and blood flow the more the higher the grade
                flow = {2: 25.0, 3: 45.0, 4: 80.0}[self.who_grade]
                tumour = {"core": flow, "rim": 1.2 * flow}
            return parametric(self.anatomy, modality, grid, self.lying[modality], generator, tumour)
        if modality == "CT":
            return ct(self.anatomy, grid, self.lying[modality], generator)
        if modality == "PET":
            return pet(self.anatomy, grid, self.lying[modality], generator)
        return mri(self.anatomy, modality, grid, self.lying[modality], generator)

    def truth(self, modality: str, size: str) -> tuple[np.ndarray, np.ndarray, Grid]:
        """The label map and the brain mask (x, y, z) uint8 on the grid of a scan: what most of a voxel is."""
        grid = make_grid(modality, size)
        index = np.indices(grid.shape, dtype=np.float32).reshape(3, -1).T
        affine = self.lying[modality] @ grid.affine
        label, brain = np.zeros(len(index), np.uint8), np.zeros(len(index), np.uint8)
        values = np.array([LABELS.get(name, 0) for name in NAMES], dtype=np.uint8)
        inside = [NAMES.index(name) for name in ("grey", "white", "oedema", "core", "rim", "necrosis")]
        for part in np.array_split(np.arange(len(index)), max(1, len(index) // 400_000)):
            fractions = self.anatomy.fractions(index[part] @ affine[:3, :3].T + affine[:3, 3])
            label[part] = values[fractions.argmax(0)]
            brain[part] = fractions[inside].sum(0) > 0.5
        return label.reshape(grid.shape), brain.reshape(grid.shape), grid


def make_subject(number: int, seed: int) -> Subject:
    """Draw a subject; every source of chance has a stream of its own, so that one more scan changes no other."""
    latent = stream(seed, number, "grade")
    grade = int(latent.random() < 0.7)
    age = int(np.clip(round(latent.normal(44 + 14 * grade, 10)), 18, 90))
    biomarker = round(float(latent.normal(5 + 3 * grade, 2)), 2)
    tumour = _tumour(stream(seed, number, "tumour"), grade)
    likely = 0.05 if grade else 0.5 if tumour.enhances else 0.85
    other = stream(seed, number, "IDH")
    return Subject(
        number,
        Anatomy(stream(seed, number, "head"), tumour),
        tumour,
        grade,
        age,
        "M" if other.random() < 0.55 else "F",
        biomarker,
        bool(other.random() < likely),
        _poses(seed, number),
        seed,
    )


def follow_up(subject: Subject) -> Subject:
    """The same subject two to four months later: half of the tumours have shrunk, the others have grown."""
    chance = stream(subject.seed, subject.number, "follow-up")
    responds = bool(chance.random() < 0.5)
    core, rest = (chance.uniform(0.45, 0.7), chance.uniform(0.55, 0.8)) if responds else chance.uniform(1.0, 1.3, 2)
    old = subject.tumour
    tumour = replace(old, oedema=old.oedema * rest, core=old.core * core, necrosis=old.necrosis * core)
    return replace(
        subject,
        anatomy=Anatomy(stream(subject.seed, subject.number, "head"), tumour),
        tumour=tumour,
        lying=_poses(subject.seed, subject.number, *_again(2)),
        visit=2,
        day=int(chance.integers(56, 113)),
        responds=responds,
    )


def make_grid(modality: str, size: str) -> Grid:
    """The grid of a scan: axial or coronal, FLAIR tilted along the skull base."""
    spacing = np.array(_SPACING[size][modality], dtype=float)
    directions = {"L": (0, -1), "R": (0, 1), "P": (1, -1), "A": (1, 1), "I": (2, -1), "S": (2, 1)}
    matrix, counts = np.zeros((3, 3)), []
    for column, letter in enumerate(_AXES.get(modality, _AXIAL)):
        axis, sign = directions[letter]
        matrix[axis, column] = sign * spacing[axis]
        counts.append(round(FOV[axis] / spacing[axis]))
    if modality == "FLAIR":
        matrix = _rotation((12.0, 0.0, 0.0)) @ matrix
    shape = (counts[0], counts[1], counts[2])
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = -matrix @ ((np.array(shape) - 1) / 2)
    return Grid(affine, shape)


def _tumour(generator: np.random.Generator, grade: int) -> Tumour:
    """A tumour in the white matter of a hemisphere; nine in ten of high grade enhance, two in ten of low."""
    side = generator.choice([-1, 1])
    centre = np.array([side * generator.uniform(22, 38), generator.uniform(-40, 38), generator.uniform(2, 36)])
    oedema = generator.uniform(17, 25) + 2 * grade
    core = oedema * generator.uniform(0.5, 0.65)
    enhances = bool(generator.random() < (0.9 if grade else 0.2))
    return Tumour(centre, oedema, core, core * generator.uniform(0.45, 0.65) if enhances else 0.0, enhances)


def _poses(seed: int, number: int, *names: str) -> dict[str, np.ndarray]:
    return {m: _pose(stream(seed, number, "pose", m, *names)) for m in (*MODALITIES, *MAPS)}


def _again(visit: int) -> list[str]:
    """What tells the chances of a later visit from those of the first."""
    return [f"visit {visit}"] if visit > 1 else []


def _pose(generator: np.random.Generator) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = _rotation(generator.normal(0, 3, 3).clip(-8, 8))
    pose[:3, 3] = generator.normal(0, 3, 3).clip(-8, 8)
    return pose


def _rotation(degrees: np.ndarray | tuple) -> np.ndarray:
    return Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()


def stream(seed: int, number: int, *names: str) -> np.random.Generator:
    """A source of chance of its own for each purpose, so that one more of them changes no other."""
    return np.random.default_rng([seed, number, *(int.from_bytes(name.encode(), "little") for name in names)])
