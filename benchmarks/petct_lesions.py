"""Lesions of PET/CT, one by one: how many are found, what is found in error, sizes and stages; a threshold beside.

    python benchmarks/whole_body.py made/ --subjects 128 --seed 1
    python benchmarks/whole_body.py unseen/ --subjects 14 --seed 2 --section testing
    python benchmarks/cohorts.py sarcoma_ct_mr_pet patches_48mm.npz clinical.csv sarcoma/ --protocol petct
    python benchmarks/petct_lesions.py train made/manifest.json sarcoma/manifest.json run/ --held-out 2 3 --workers 11
    polyscan infer petct_staging unseen/manifest.json -o out/ --weights run/stored.pt
    polyscan infer petct_staging run/unseen.json -o out_sarcoma/ --weights run/stored.pt
    python benchmarks/petct_lesions.py score out/manifest.json [out_without_CT/manifest.json] --learn made/manifest.json
    python benchmarks/petct_lesions.py score out_sarcoma/manifest.json

``train`` learns from made studies and from sarcoma patients of the folds that are not held out, on a GPU where there is
one (8 minutes of an H200; a day of two cores), and takes the averaged weights after the last epoch, so that no unseen
study has a say. ``run/unseen.json`` holds the folds held out and those whose scans serve as examples (section
``testing``); ``run/stored.pt`` has kernels in half precision.

``score``: a true lesion (0.5 mL and more) is found where something that was marked (0.5 mL and more) overlaps it; what
overlaps none is a false positive. Volume and longest diameter of found ones are those of the component that covers most
of it. Thresholds are 2.5 SUV and, with ``--learn``, the one of highest mean Dice on those studies.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from command import run

from polyscan.bundle.run import train as train_bundle
from polyscan.bundle.staging import Staging, connected_lesions, longest_diameter, measure_lesions
from polyscan.bundle.weights import read_weights
from polyscan.evaluation.regions import dice
from polyscan.files.atomic import read_json
from polyscan.formats.nifti import read_nifti
from polyscan.geometry import voxel_ml
from polyscan.preprocess.resample import resample
from polyscan.study import Study
from polyscan.study.manifest import Manifest, read_manifest, write_manifest

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "petct_staging"
SMALLEST = 0.5
"""Millilitres below which a component is no lesion, as the bundle has it."""
FIXED, LEVELS = 2.5, np.arange(1.0, 10.1, 0.5)
DRAWS = 2000


def learn(made: Path, patients: Path, out: Path, held_out: Sequence[int], workers: int) -> None:
    """Train on made studies and patients."""
    cohort = read_manifest(patients)
    unseen = [s for s in cohort.training if s.fold in held_out]
    write_manifest(out / "unseen.json", Manifest(testing=[*unseen, *cohort.testing]))
    learnt = [*read_manifest(made).training, *(s for s in cohort.training if s.fold not in held_out)]
    write_manifest(out / "learnt.json", Manifest(learnt))
    settings = {"bfloat16": True, "fold": "all", "num_workers": workers}
    weights = read_weights(train_bundle(BUNDLE, out / "learnt.json", out / "run", overrides=settings))
    kernels = {
        name: value.half() if value.dim() > 1 and value.is_floating_point() else value
        for name, value in weights.items()
    }
    torch.save(kernels, out / "stored.pt")


@dataclass
class Case:
    """One study: SUV and true mask on one grid, (x, y, z)."""

    name: str
    suv: np.ndarray
    truth: np.ndarray
    affine: np.ndarray

    @classmethod
    def of(cls, study: Study) -> Case:
        """Read a prepared study."""
        mask = read_nifti(study.label.mask)
        suv = resample(read_nifti(study.scans["PET"].path), mask)[0].numpy()
        return cls(study.key, suv, mask[0].numpy() > 0, np.asarray(mask.affine))


@dataclass
class Found:
    """What a method makes of one study.

    Attributes:
        dice: of the whole mask.
        lesions: mL of each true lesion, and whether it is found.
        volumes, diameters: of what is found to the truth, of each found lesion.
        false: how many marked components overlap no true lesion.
        stage: whether it is that of the true mask.
    """

    dice: float
    lesions: list[tuple[float, bool]]
    volumes: list[float]
    diameters: list[float]
    false: int
    stage: bool


def compare(case: Case, marked: np.ndarray, staging: Staging) -> Found:
    """Score a mask (x, y, z) of a study."""
    voxel = voxel_ml(case.affine)
    true, count = connected_lesions(case.truth, case.affine, SMALLEST)
    found, others = connected_lesions(marked, case.affine, SMALLEST)
    lesions, volumes, diameters = [], [], []
    for number in range(1, count + 1):
        lesion = true == number
        over = np.bincount(found[lesion], minlength=others + 1)
        over[0] = 0
        size = float(lesion.sum())
        lesions.append((size * voxel, bool(over.any())))
        if over.any():
            one = found == over.argmax()
            volumes.append(float(one.sum()) / size)
            diameters.append(longest_diameter(one, case.affine) / longest_diameter(lesion, case.affine))
    false = others - len(set(np.unique(found[case.truth])) - {0})
    stages = [staging.stage(measure_lesions(m, case.affine, case.suv, SMALLEST)) for m in (marked, case.truth)]
    return Found(dice(marked, case.truth), lesions, volumes, diameters, false, stages[0] == stages[1])


def best_threshold(cases: Sequence[Case]) -> float:
    """The level of highest mean Dice."""
    scores = [[dice(case.suv > level, case.truth) for level in LEVELS] for case in cases]
    return float(LEVELS[np.mean(scores, axis=0).argmax()])


def drawn(found: Sequence[Found], measure: Callable[[Sequence[Found]], float]) -> str:
    """A measure with its 95 % interval, of studies drawn again."""
    chance = np.random.default_rng(0)
    scores = [measure([found[k] for k in chance.integers(len(found), size=len(found))]) for _ in range(DRAWS)]
    low, high = np.nanpercentile(scores, [2.5, 97.5])
    return f"{measure(found):.2f} ({low:.2f} to {high:.2f})"


def share(found: Sequence[Found], below: float = np.inf) -> float:
    """Part of the true lesions below a volume that is found."""
    hits = [hit for one in found for ml, hit in one.lesions if ml < below]
    return float(np.mean(hits)) if hits else float("nan")


def sizes(ratios: list[float]) -> str:
    """Median and quartiles of ratios, and how many are within 30 %."""
    if not ratios:
        return ""
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    off = np.median(np.abs(np.array(ratios) - 1))
    return f"{middle:.2f} ({low:.2f} to {high:.2f}), off by {100 * off:.0f} %"


def print_table(rows: dict[str, list[Found]]) -> None:
    """A row a method; the differences in Dice are those of the first to each."""
    first = next(iter(rows.values()))
    count = sum(len(one.lesions) for one in first)
    small = sum(ml < 2 for one in first for ml, _ in one.lesions)
    print(f"{len(first)} studies, {count} lesions, {small} of them below 2 mL\n")
    print(
        "| method | found | below 2 mL | false a study | Dice | first minus this | volume | longest diameter | stage |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, found in rows.items():
        gain = np.array([a.dice - b.dice for a, b in zip(first, found, strict=True)])
        boot = np.percentile(np.random.default_rng(0).choice(gain, (10_000, len(gain))).mean(1), [2.5, 97.5])
        cells = [
            name,
            drawn(found, share),
            drawn(found, lambda some: share(some, 2)),
            drawn(found, lambda some: float(np.mean([one.false for one in some]))),
            drawn(found, lambda some: float(np.mean([one.dice for one in some]))),
            "" if found is first else f"{gain.mean():+.3f} ({boot[0]:+.3f} to {boot[1]:+.3f})",
            sizes([ratio for one in found for ratio in one.volumes]),
            sizes([ratio for one in found for ratio in one.diameters]),
            f"{sum(one.stage for one in found)} of {len(found)}",
        ]
        print(f"| {' | '.join(cells)} |")


def score(answers: Sequence[Path], learnt: Path | None) -> None:
    """Score networks' answers for the same studies, and thresholds."""
    staging = Staging(read_json(BUNDLE / "configs" / "inference.json")["stages"])
    studies = [[s for s in read_manifest(path).studies if s.label.mask] for path in answers]
    cases = {s.key: Case.of(s) for s in studies[0]}
    rows = {}
    for path, some in zip(answers, studies, strict=True):
        masks = {s.key: read_nifti(s.prediction.path)[0].numpy() > 0 for s in some}
        rows[path.parent.name] = [compare(case, masks[name], staging) for name, case in cases.items()]
    levels = {"threshold": FIXED}
    if learnt:
        levels["best threshold"] = best_threshold([Case.of(s) for s in read_manifest(learnt).training])
    for name, level in levels.items():
        rows[f"{name}, {level:.1f} SUV"] = [compare(case, case.suv > level, staging) for case in cases.values()]
    print_table(rows)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="learn from made studies and patients")
    training.add_argument("made", type=Path)
    training.add_argument("patients", type=Path)
    training.add_argument("out", type=Path)
    training.add_argument(
        "--held-out", nargs="*", type=int, default=[], help="folds of patients that are not learnt from"
    )
    training.add_argument("--workers", type=int, default=0, help="processes that load windows (0)")
    scoring = commands.add_parser("score", help="score answers of polyscan infer, and thresholds")
    scoring.add_argument(
        "answers", type=Path, nargs="+", help="manifests that polyscan infer wrote, of the same studies"
    )
    scoring.add_argument("--learn", type=Path, help="manifest of studies whose best threshold is taken")
    options = parser.parse_args()
    if options.command == "train":
        learn(options.made, options.patients, options.out, options.held_out, options.workers)
    else:
        score(options.answers, options.learn)


if __name__ == "__main__":
    run(main)
