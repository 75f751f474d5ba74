"""Made slices as pictures, for networks that read 2D images of several types."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from polyscan.phantom.anatomy import Anatomy
from polyscan.phantom.cohort import make_each, new_folder, split_of
from polyscan.phantom.scanner import FOV, Grid, ct, mri
from polyscan.phantom.subject import make_subject, stream
from polyscan.progress import Progress, silent
from polyscan.study import Label, Scan, Study
from polyscan.study.manifest import MANIFEST, Manifest, write_manifest

_SPACING = 2.0  # mm


def make_slices(
    out: str | Path,
    *,
    subjects: int = 200,
    seed: int = 0,
    missing: float = 0.2,
    jobs: int | None = None,
    progress: Progress = silent,
) -> None:
    """Make an axial slice of each subject, by MRI (T1c, T2 and FLAIR as red, green and blue) and by CT.

    Two in five subjects are healthy. Labels: ``mri`` is none, low or high (the tumour's grade), ``ct`` none or mass;
    each is known where its picture is there. Sections as in a cohort. The same seed makes the same slices.

    Args:
        out: folder to write; ``manifest.json`` in it names the pictures. It must not hold anything yet.
        subjects: how many.
        seed: another one makes other heads.
        missing: probability that a picture of a training or validation subject is missing; one is always there.
        jobs: subjects at a time; as many as there are cores if None.
        progress: told (done, total, subject) after each.

    Raises:
        PolyscanError: the folder is not empty.
    """
    with new_folder(out) as folder:
        manifest = Manifest()
        studies = make_each(partial(_make, seed=seed, folder=folder), subjects, jobs, progress)
        for number, study in enumerate(studies, start=1):
            section = split_of(number, subjects)
            getattr(manifest, section).append(study if section == "testing" else _without(study, seed, missing))
        write_manifest(folder / MANIFEST, manifest)


def _make(number: int, seed: int, folder: Path) -> Study:
    subject, chance = make_subject(number, seed), stream(seed, number, "slice")
    healthy = bool(chance.random() < 0.4)
    anatomy = Anatomy(stream(seed, number, "head"), None if healthy else subject.tumour)
    grid = _plane(float(subject.tumour.centre[2] + chance.uniform(-6, 6)))
    study = Study(f"{number:04d}", label=Label(tasks={"mri": "none", "ct": "none"}))
    if not healthy:
        study.label.tasks = {"mri": "high" if subject.grade else "low", "ct": "mass"}
    noise = partial(stream, seed, number, "noise")
    contrasts = [mri(anatomy, name, grid, np.eye(4), noise(name)).values for name in ("T1c", "T2", "FLAIR")]
    pictures = {
        "MRI": np.concatenate([_grey(v, 0, np.percentile(v, 99.5)) for v in contrasts], axis=2),
        "CT": _grey(ct(anatomy, grid, np.eye(4), noise("CT")).values, -20, 100).repeat(3, axis=2),
    }
    for name, values in pictures.items():
        path = folder / study.key / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(values[:, ::-1].swapaxes(0, 1)[::-1]).save(path)
        study.scans[name] = Scan(str(path))
    return study


def _without(study: Study, seed: int, missing: float) -> Study:
    """Take pictures away by chance, and with each the label that it tells."""
    draws = dict(zip(study.scans, stream(seed, int(study.subject), "missing").random(len(study.scans)), strict=True))
    for name in sorted(draws, key=lambda name: draws[name])[:-1]:
        if draws[name] < missing:
            Path(study.scans.pop(name).path).unlink()
            del study.label.tasks[name.lower()]
    return study


def _plane(z: float) -> Grid:
    shape = (round(FOV[0] / _SPACING), round(FOV[1] / _SPACING), 1)
    affine = np.diag([_SPACING, _SPACING, _SPACING, 1.0])
    affine[:3, 3] = [-(shape[0] - 1) / 2 * _SPACING, -(shape[1] - 1) / 2 * _SPACING, z]
    return Grid(affine, shape)


def _grey(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map (x, y, 1) to bytes."""
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
