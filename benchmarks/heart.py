r"""Hearts of ACDC: each frame segmented as a study of its own, and tables of what is measured on the masks.

    python benchmarks/cohorts.py acdc_ed_es partA.npz patients_A.csv acdc/
    python benchmarks/heart.py frames acdc/manifest.json frames/
    python benchmarks/cross_validate.py brain_mri_tumour_segmentation frames/manifest.json cv/ --config acdc_heart
    python benchmarks/heart.py measures acdc/manifest.json measured/ --answers cv/all/manifest.json
    polyscan evaluate measured/manifest.json --accuracy

Another part, whose masks need not be known, by a network that learnt from the whole of the first:

    polyscan train brain_mri_tumour_segmentation frames/manifest.json -o run/ --config acdc_heart
    polyscan infer brain_mri_tumour_segmentation framesB/manifest.json -o outB/ --weights run/model.pt
    python benchmarks/heart.py measures acdc/manifest.json acdcB/manifest.json both/ \
        --answers cv/all/manifest.json outB/manifest.json
    polyscan evaluate measuredB/manifest.json --accuracy --learn-from measured/manifest.json

``frames`` parts end-diastole from end-systole, on the folds of the patients. ``measures`` reads the masks that networks
gave for frames of patients that they had not seen, tells their Dice, and writes four tables a patient:
``end_diastole`` and ``end_systole`` (``of_frame``), ``change`` (``of_pair``), and ``appearance`` (``of_image``), beside
``tables.json``, the fragment by which ``polyscan compare`` reads them.
Millimetres are not known here, so that every measure of form is a ratio. Without ``--answers`` the masks that people
drew are measured: how much is lost by segmentation.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from command import run
from monai.data import MetaTensor
from parts.part import write_table, write_tables_fragment

from polyscan.errors import PolyscanError
from polyscan.evaluation import dice as overlap
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.study import Label, Scan, Study, scans_of
from polyscan.study.manifest import SECTIONS, Manifest, read_manifest, write_manifest

TIMES = {"ED": "CINE@1", "ES": "CINE@2"}
FRAMES = {"ED": "end_diastole", "ES": "end_systole"}
PARTS = RIGHT, WALL, CAVITY = 1, 2, 3
SECTORS = 6
"""Of a slice, about the middle of the cavity; the segments of the AHA are as many at the base and in the middle."""


def frames_of(study: Study, out: Path) -> list[Study]:
    """A study for each frame that there is, with its part of the mask where that is known."""
    drawn = both_masks(study.label.mask) if study.label.mask else {}
    found = []
    for time in times_of(study):
        label = Label()
        if time in drawn:
            label.mask = str(out / f"{study.subject}_{time}_dseg.nii.gz")
            write_nifti(label.mask, drawn[time])
        scans = {"CINE": Scan(study.scans[TIMES[time]].source)}
        found.append(Study(study.subject, session=time, scans=scans, label=label, fold=study.fold))
    return found


def times_of(study: Study) -> list[str]:
    """The times of which there is a frame."""
    return [time for time, scan in TIMES.items() if scan in study.scans]


def both_masks(path: str) -> dict[str, MetaTensor]:
    """The mask of each frame, (1, x, y, z): 1 to 3 are of end-diastole, and four times that of end-systole."""
    both = read_nifti(path).round()
    return {"ED": both % 4, "ES": both // 4}


def sectors(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Radii of the cavity and thicknesses of the wall, (sector,) pixels, of a slice (x, y) that shows the cavity.

    Of the areas A within an angle w: r = sqrt(2 A / w).
    """
    cavity, wall = mask == CAVITY, mask == WALL
    middle = np.argwhere(cavity).mean(0)
    x, y = (np.indices(mask.shape) - middle[:, None, None]).astype(float)
    which = np.floor((np.arctan2(y, x) / (2 * np.pi) + 0.5) * SECTORS).astype(int) % SECTORS
    inner, both = (np.bincount(which[part], minlength=SECTORS) for part in (cavity, cavity | wall))
    radii = [np.sqrt(2 * area / (2 * np.pi / SECTORS)) for area in (inner, both)]
    return radii[0], radii[1] - radii[0]


def rings(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(slice, sector) radii and thicknesses, of slices (x, y, z) with wall on every side, base and apex left out."""
    shown = np.flatnonzero((mask == CAVITY).any((0, 1)) & (mask == WALL).any((0, 1)))
    inside = shown[1:-1] if len(shown) > 2 else shown
    each = [sectors(mask[..., z]) for z in inside]
    radii, thick = (np.array([one[k] for one in each]).reshape(-1, SECTORS) for k in range(2))
    return radii, thick


def volumes(mask: np.ndarray) -> tuple[float, float, float]:
    """Voxels of right ventricle, wall and cavity; one at least, so that ratios exist."""
    right, wall, cavity = (max(float((mask == part).sum()), 1.0) for part in (RIGHT, WALL, CAVITY))
    return right, wall, cavity


def of_frame(mask: np.ndarray) -> dict[str, float]:
    """What one frame (x, y, z) tells: ratios of volumes, and how thick and how even the wall is to the cavity."""
    right, wall, cavity = volumes(mask)
    radii, thick = rings(mask)
    told = {"log_wall_by_cavity": np.log(wall / cavity), "log_right_by_left": np.log(right / cavity)}
    if radii.size:
        size = max(float(radii.mean()), 1.0)
        told["log_thickness"] = np.log(max(float(thick.mean()), 0.1) / size)
        told["thickest_by_mean"] = float(np.quantile(thick, 0.95) / max(thick.mean(), 0.1))
        told["thinnest_by_mean"] = float(np.quantile(thick, 0.05) / max(thick.mean(), 0.1))
    return {name: float(value) for name, value in told.items()}


def of_pair(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """What two frames tell together: ejected parts of both ventricles, and how evenly the wall moves and thickens."""
    (right, wall, cavity), (right_after, wall_after, cavity_after) = volumes(before), volumes(after)
    told = {
        "left_ejected": 1 - cavity_after / cavity,
        "right_ejected": 1 - right_after / right,
        "log_wall_after_by_before": np.log(wall_after / wall),
    }
    (radii, thick), (radii_after, thick_after) = rings(before), rings(after)
    if radii.size and radii_after.size:
        moved = 1 - radii_after.mean(0) / np.maximum(radii.mean(0), 1.0)
        thickened = thick_after.mean(0) / np.maximum(thick.mean(0), 1.0) - 1
        told |= {"moved_least": moved.min(), "moved_uneven": moved.std()}
        told |= {"thickened": thickened.mean(), "thickened_least": thickened.min(), "thickened_uneven": thickened.std()}
    return {name: float(value) for name, value in told.items()}


def of_image(image: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """What a frame looks like in its parts: wall and right blood less left blood, and how uneven wall and blood are."""
    parts = {part: image[(mask == part) & np.isfinite(image)] for part in (RIGHT, WALL, CAVITY)}
    if min(len(values) for values in parts.values()) < 2:
        return {}
    right, wall, blood = (parts[part] for part in (RIGHT, WALL, CAVITY))
    return {
        "wall_less_blood": float(wall.mean() - blood.mean()),
        "right_less_left": float(right.mean() - blood.mean()),
        "wall_uneven": float(wall.std()),
        "blood_uneven": float(blood.std()),
    }


def masks_of(study: Study, answers: Mapping[tuple[str, str], Study]) -> dict[str, np.ndarray]:
    """The mask (x, y, z) of each frame that there is: answers where some are given, else those that people drew.

    Raises:
        PolyscanError: one is not known.
    """
    if answers:
        frames = {time: answers[study.subject, time] for time in TIMES if (study.subject, time) in answers}
        found = {time: read_nifti(f.prediction.path) for time, f in frames.items() if f.prediction is not None}
    else:
        found = both_masks(study.label.mask) if study.label.mask else {}
    if missing := [time for time in times_of(study) if time not in found]:
        raise PolyscanError(
            f"{study.key} lacks the mask of {' and '.join(missing)}; give manifests that answer for it to --answers."
        )
    return {time: found[time][0].numpy().round().astype(int) for time in times_of(study)}


def dice(masks: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]) -> list[float]:
    """(part,) Dice of right ventricle, wall and cavity in both frames, in turn; NaN of one that people drew nowhere."""
    pairs = [(masks[t] == part, truth[t] == part) if t in masks else None for t in TIMES for part in PARTS]
    return [overlap(*pair) if pair and pair[1].any() else math.nan for pair in pairs]


def measured(study: Study, masks: Mapping[str, np.ndarray], out: Path) -> Study:
    """The study with the tables that its frames allow, and without its mask."""
    tables = {name: of_frame(masks[time]) for time, name in FRAMES.items() if time in masks}
    if len(masks) == len(TIMES):
        tables["change"] = of_pair(masks["ED"], masks["ES"])
    looks = {t: of_image(read_nifti(study.scans[TIMES[t]].path)[0].numpy(), mask) for t, mask in masks.items()}
    tables["appearance"] = {f"{name}_{t.lower()}": value for t, told in looks.items() for name, value in told.items()}
    paths = {name: str(out / f"{study.subject}_{name}.json") for name in tables}
    written = scans_of({name: write_table(paths[name], values) for name, values in tables.items()})
    return replace(study, scans={**study.scans, **written}, label=replace(study.label, mask=None))


def measure(studies: Sequence[Study], answers: Mapping[tuple[str, str], Study], out: Path) -> list[Study]:
    """All studies with their tables; prints how good the masks are that were measured, where people drew some too.

    Raises:
        PolyscanError: a study has no masks.
    """
    masks = [masks_of(study, answers) for study in studies]
    drawn = [(masks_of(study, {}), found) for study, found in zip(studies, masks, strict=True) if study.label.mask]
    names = [f"{part} {time}" for time in TIMES for part in ("RV", "wall", "LV")]
    scores = np.array([dice(found, truth) for truth, found in drawn]).reshape(-1, len(names))
    drawn_in = {name: column[np.isfinite(column)] for name, column in zip(names, scores.T, strict=True)}
    told = [f"{name} {s.mean():.3f} (lowest {s.min():.3f})" for name, s in drawn_in.items() if len(s)]
    print(f"Dice of {len(scores)} studies:", ", ".join(told) or "no mask is known")
    return [measured(study, found, out) for study, found in zip(studies, masks, strict=True)]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["frames", "measures"])
    parser.add_argument("manifests", type=Path, nargs="+", help="of benchmarks/cohorts.py acdc_ed_es")
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--answers",
        type=Path,
        nargs="+",
        default=[],
        help="manifests of the masks of frames; those of people if not given",
    )
    options = parser.parse_args()
    given = [read_manifest(path) for path in options.manifests]
    options.out.mkdir(parents=True, exist_ok=True)
    if options.what == "frames":
        found = Manifest(
            *([f for each in given for s in getattr(each, of) for f in frames_of(s, options.out)] for of in SECTIONS)
        )
    else:
        studies = [study for each in given for study in each.studies]
        answered = [study for path in options.answers for study in read_manifest(path).studies]
        answers = {(study.subject, str(study.session)): study for study in answered}
        found = Manifest(measure(studies, answers, options.out))
        write_tables_fragment(options.out / "tables.json", found.studies)
    write_manifest(options.out / "manifest.json", found)
    print(f"{len(found.studies)} studies in {options.out / 'manifest.json'}")


if __name__ == "__main__":
    run(main)
