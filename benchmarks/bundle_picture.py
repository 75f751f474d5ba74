"""The picture of a bundle's page, from what ``polyscan infer`` wrote.

    python benchmarks/bundle_picture.py answer OUT/ picture.png [STUDY]
    python benchmarks/bundle_picture.py survival OUT/ picture.png [STUDY]
    python benchmarks/bundle_picture.py bodies OUT/ picture.png
    python benchmarks/bundle_picture.py confusion OUT/ picture.png
    python benchmarks/bundle_picture.py scores picture.png "all three=OUT" "without PET=OUT_2" ...

``answer`` draws one study of made data: its scans, the probability of each class and what drove the answer.
``survival`` draws the chance to live so long, and what drove it. ``bodies`` draws the PET of the first eight studies
from the front, the brightest voxel of each ray, with the outlines of lesions. ``confusion`` counts
which true class was told as which, for each task. ``scores`` draws the Dice of each study, a column a folder; it shows
no scan.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from polyscan.formats.nifti import read_nifti
from polyscan.formats.pictures import is_picture
from polyscan.preprocess.resample import resample
from polyscan.report.display import window
from polyscan.report.study_page import REGION_COLOURS, TRUTH
from polyscan.study import Study
from polyscan.study.manifest import read_manifest

FOR, AGAINST = "#0b5cad", "#c4690b"


def answer(folder: Path, out: Path, key: str | None = None) -> None:
    """Scans above, each task's probabilities and contributions below."""
    studies = read_manifest(folder / "manifest.json").studies
    study = next(s for s in studies if key in (None, s.key))
    assert study.prediction is not None
    answers = study.prediction.answers
    figure = Figure(figsize=(9, 2.4 + 1.9 * len(answers)), dpi=110, layout="constrained")
    scans, bars = figure.subfigures(2, 1, height_ratios=[2.4, 1.9 * len(answers)])
    for place, (name, picture) in zip(scans.subplots(1, len(study.scans)), pictures(study).items(), strict=True):
        place.imshow(picture, cmap="gray")
        place.set_title(name, fontsize=9)
        place.set_axis_off()
    grid = bars.subplots(len(answers), 2, squeeze=False)
    for (left, right), (task, found) in zip(grid, answers.items(), strict=True):
        truth = f", true {found.truth}" if found.is_known else ""
        row(left, found.probabilities, f"{task}: {found.predicted_class}{truth}; uncertainty {found.uncertainty:.2f}")
        row(right, found.contributions, "what moved its probability, and by how much")
        left.set_xlim(0, 1)
    figure.savefig(out)


def survival(folder: Path, out: Path, key: str | None = None) -> None:
    """The chance to live so long with its interval on the left, contributions to the log risk on the right."""
    studies = read_manifest(folder / "manifest.json").studies
    study = next(s for s in studies if key in (None, s.key))
    assert study.prediction is not None
    found = study.prediction.answers["survival"]
    figure = Figure(figsize=(9, 3), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    times = [0.0, *map(float, found.survival)]
    chance, low, high = zip(*[[1.0] * 3, *found.survival.values()], strict=True)
    left.fill_between(times, low, high, color=FOR, alpha=0.2, linewidth=0)
    left.plot(times, chance, "-o", color=FOR, markersize=4)
    left.set_ylim(0, 1)
    left.set_xlabel("months", fontsize=8)
    left.set_title("chance to live so long, 95 % of dropout samples", fontsize=9, loc="left")
    left.spines[["top", "right"]].set_visible(False)
    left.tick_params(labelsize=8)
    row(right, found.contributions, f"what moved the log risk of {found.risk:+.2f}, and by how much")
    figure.savefig(out)


def bodies(folder: Path, out: Path) -> None:
    """Projections along y, from no uptake to 10 SUV; what the network marked lies over the true lesions."""
    studies = read_manifest(folder / "manifest.json").studies[:8]
    figure = Figure(figsize=(1.5 * len(studies), 4.2), dpi=110, layout="constrained")
    for place, study in zip(figure.subplots(1, len(studies)), studies, strict=True):
        truth, marked = read_nifti(study.label.mask), read_nifti(study.prediction.path)
        uptake = resample(read_nifti(study.scans["PET"].path), truth)[0].numpy()
        place.imshow(np.fmax.reduce(uptake, axis=1).T, cmap="gray_r", vmin=0, vmax=10, origin="lower")
        for mask, colour in ((truth, TRUTH), (marked, REGION_COLOURS[0])):
            place.contour((mask[0].numpy() > 0).any(axis=1).T, [0.5], colors=colour, linewidths=1.2)
        place.set_axis_off()
    figure.savefig(out)


def confusion(folder: Path, out: Path) -> None:
    """A confusion matrix of each task, of studies whose class is known."""
    answers = [study.prediction.answers for study in read_manifest(folder / "manifest.json").studies]
    tasks = list(dict.fromkeys(task for found in answers for task in found))
    figure = Figure(figsize=(4 * len(tasks), 3.6), dpi=110, layout="constrained")
    for place, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        known = [found[task] for found in answers if task in found and found[task].is_known]
        truth, told = [str(found.truth) for found in known], [str(found.predicted_class) for found in known]
        ConfusionMatrixDisplay.from_predictions(
            truth, told, labels=list(known[0].probabilities), ax=place, cmap="Blues", colorbar=False
        )
        place.set_title(task, fontsize=9)
        place.tick_params(labelsize=8)
    figure.savefig(out)


def row(place: Any, values: dict[str, float], title: str) -> None:
    """Horizontal bars, the first on top."""
    place.barh(list(values), list(values.values()), color=[FOR if v >= 0 else AGAINST for v in values.values()])
    place.invert_yaxis()
    place.axvline(0, color="black", linewidth=0.6)
    place.set_title(title, fontsize=9, loc="left")
    place.tick_params(labelsize=8)
    place.spines[["top", "right"]].set_visible(False)


def pictures(study: Study) -> dict[str, np.ndarray]:
    """An axial plane of each scan, through the middle of the tumour where that is known."""
    from matplotlib.image import imread

    paths = {name: scan.path for name, scan in study.scans.items()}
    if all(is_picture(path) for path in paths.values()):
        return {name: imread(path) for name, path in paths.items()}
    scans = {name: read_nifti(path)[0].numpy() for name, path in paths.items()}
    z = next(iter(scans.values())).shape[2] // 2
    if study.label.mask is not None:
        z = round(float(np.argwhere(read_nifti(study.label.mask)[0].numpy() > 0)[:, 2].mean()))
    shown = {}
    for name, values in scans.items():
        low, high = window(name, values)
        shown[name] = np.clip((np.nan_to_num(values[:, :, z], nan=low).T - low) / (high - low), 0, 1)
    return shown


def scores(out: Path, *columns: str) -> None:
    """Dice of every study by what the network was given; a line joins the figures of a study."""
    named = dict(column.split("=", 1) for column in columns)
    table: dict[str, list[float]] = {}
    for folder in named.values():
        for study in read_manifest(Path(folder) / "manifest.json").studies:
            (found,) = study.prediction.scores.values()
            table.setdefault(study.subject, []).append(found.dice)
    figure = Figure(figsize=(6, 3.4), dpi=110, layout="constrained")
    place = figure.subplots()
    for subject, dice in table.items():
        place.plot(list(named)[: len(dice)], dice, "-o", color=TRUTH, alpha=0.7, markersize=4, label=subject)
    means = np.mean([dice for dice in table.values() if len(dice) == len(named)], axis=0)
    place.plot(list(named), means, "_", color=REGION_COLOURS[0], markersize=34, markeredgewidth=3)
    place.margins(x=0.12)
    place.set_ylim(0, 1)
    place.set_ylabel("Dice, held out")
    place.spines[["top", "right"]].set_visible(False)
    figure.savefig(out)


if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    of_a_folder = {"answer": answer, "survival": survival, "bodies": bodies, "confusion": confusion}
    if kind in of_a_folder:
        of_a_folder[kind](Path(arguments[0]), Path(arguments[1]), *arguments[2:])
    else:
        scores(Path(arguments[0]), *arguments[1:])
