r"""Ways to cope with missing scans on real patients, beside zeros, networks for exactly each subset, and a threshold.

    python benchmarks/cohorts.py sarcoma_ct_mr_pet DATA/patches_48mm.npz DATA/clinical.csv sarcoma/
    python benchmarks/cohorts.py lgg_mri DATA/partA.npz DATA/clinical_A.csv lgg/
    python benchmarks/missing_patients.py out/ sarcoma/manifest.json CT T1 PET --first PET \
        --window CT -450 150 --window T1 -7 3 --window PET -10 10
    python benchmarks/missing_patients.py out/ lgg/manifest.json T1 FLAIR T1c --first FLAIR --flat
    python benchmarks/missing_patients.py out/ sarcoma/manifest.json CT T1 PET --first PET --table

Fixed before anything was trained: two folds of patients, each answered by networks of the other half; one network, a
U-Net at half the grid with an encoder a scan, and ``--steps`` steps for whatever is trained. Answers are scored on
the scans' own grid: the Dice of each patient from each subset of the scans, of the patients who have all of it. "as
they come" is from all that a patient has. Nothing is gone from the studies by chance or by design: training patients
lack what they lack. Intervals are 95 %, of 1000 draws of patients, paired by patient; they do not include the chance
of training. The first comparison is ``Distillation`` minus "zeros" in the mean over subsets in which a scan is gone;
all others are read as what they are, many.

"zeros" is a network that is given zeros where a scan is missing, in training too, and is not told. "trained for it" is
a network for exactly that subset of the scans. "as it comes" is what ``polyscan train`` does without an option, and the
network trained for all scans; "generated scans" is that network, given scans that a second one, trained on hidden ones,
makes of those that are there. A threshold, and the network of one scan, ``--first``, are the simple answers.

Trainings that are finished lie in ``out/`` and are not repeated; ``--table`` writes what is there to
``benchmarks/results/missing_patients.csv``, beside other cohorts, patients in the order of the manifest, and prints it.
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from missing_segmentation import BASE, Recipe, Zeros, counts, dice, strategies
from torch import Tensor
from torch.nn import functional

from polyscan import missing
from polyscan.baselines.models import THRESHOLDS
from polyscan.evaluation import bootstrap
from polyscan.evaluation.folds import deal_folds
from polyscan.files.atomic import atomic_write, read_json, write_json
from polyscan.formats.nifti import read_nifti
from polyscan.networks import FusionNet, SegmentationHead, UNetEncoder
from polyscan.study import Study
from polyscan.study.manifest import read_manifest
from polyscan.transforms import ScaleModalitiesd

RESULTS = Path(__file__).parent / "results" / "missing_patients.csv"
ZEROS, COMES, EXACT, DISTILLED = "zeros", "as it comes", "trained for it", "Distillation"
STRATEGIES = (
    *(COMES, ZEROS, BASE, *(kind.__name__ for kind in missing.strategies())),
    *("SharedSpecific", DISTILLED),
)


@dataclass(frozen=True)
class Patients:
    """Images (item, scan, *space), NaN throughout where a scan is missing, and masks (item, 1, *space).

    Attributes:
        owner: (item,) whose it is, an index: a patient is one volume, or many slices.
    """

    names: list[str]
    image: Tensor
    mask: Tensor
    owner: Tensor
    fold: np.ndarray

    def items(self, patients: np.ndarray) -> Tensor:
        """The items of some patients."""
        return torch.isin(self.owner, torch.as_tensor(np.flatnonzero(patients))).nonzero()[:, 0]

    def has(self) -> np.ndarray:
        """(patient, scan) bool."""
        own = [self.image[self.owner == k].isfinite().flatten(2).any(2).any(0) for k in range(len(self.names))]
        return torch.stack(own).numpy()


def read(manifest: Path, scans: Sequence[str], windows: dict[str, list[float]], flat: bool) -> Patients:
    """All patients that have a mask, in two folds with as many of each pattern of missing scans."""
    studies = [s for s in read_manifest(manifest).studies if s.label.holds("mask") and set(scans) & set(s.scans)]
    pairs = [one(study, scans, ScaleModalitiesd("image", scans, windows)) for study in studies]
    images, masks = ([(x.movedim(-1, 0) if flat else x[None]) for x in of] for of in zip(*pairs, strict=True))
    return Patients(
        [s.subject for s in studies],
        torch.cat(images),
        torch.cat(masks),
        torch.cat([torch.full((len(image),), k) for k, image in enumerate(images)]),
        np.array(deal_folds([s.subject for s in studies], ["+".join(sorted(s.scans)) for s in studies], 2)),
    )


def one(study: Study, scans: Sequence[str], scale: Callable) -> tuple[Tensor, Tensor]:
    """Scans (scan, x, y, z), 0 where nothing was measured in a scan and NaN where there is none, and the mask."""
    mask = (read_nifti(study.label.mask) > 0).float().as_tensor()
    found = {name: read_nifti(study.scans[name].path)[0].as_tensor() for name in scans if name in study.scans}
    image = torch.stack([found.get(name, torch.full(mask.shape[1:], torch.nan)) for name in scans])
    image = scale({"image": image})["image"]
    given = torch.tensor([name in found for name in scans])[:, None, None, None]
    return torch.where(given, image.nan_to_num(), torch.nan), mask


def deformed(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mirrored, turned by up to 15 degrees in plane, 0.7 to 1.2 times as large, and moved by up to a sixth."""
    count, dims = len(image), image.dim() - 2
    turn = (torch.rand(count) * 2 - 1) * 0.26
    matrix = torch.eye(dims).repeat(count, 1, 1)
    matrix[:, -2, -2] = matrix[:, -1, -1] = turn.cos()
    matrix[:, -2, -1], matrix[:, -1, -2] = turn.sin(), -turn.sin()
    mirror = torch.where(torch.rand(count, 1, dims) < 0.5, -1.0, 1.0)
    matrix = matrix * mirror / (0.7 + 0.5 * torch.rand(count, 1, 1))
    moved = torch.cat([matrix, (torch.rand(count, dims, 1) * 2 - 1) / 3], dim=2)
    grid = functional.affine_grid(moved, [count, 1, *image.shape[2:]], align_corners=False)
    sample = partial(functional.grid_sample, grid=grid, padding_mode="border", align_corners=False)
    given = image.isfinite().flatten(2).any(2).reshape(*image.shape[:2], *[1] * dims)
    return torch.where(given, sample(image.nan_to_num()), torch.nan), sample(mask, mode="nearest")


def network(scans: Sequence[str], dims: int, fusion: Callable, outputs: int = 1) -> FusionNet:
    """A U-Net at half the grid; batch norm keeps what HU and SUV mean."""
    encoder = partial(UNetEncoder, channels=(8, 16, 32), stem_stride=2, norm="batch")
    prior = 0.05 if outputs == 1 else None
    head = partial(SegmentationHead, regions=list(map(str, range(outputs))), width=(8, 16), norm="batch", prior=prior)
    return FusionNet(scans, encoder, [0, 1, 2], fusion, head, spatial_dims=dims)


def subsets_of(scans: Sequence[str]) -> list[tuple[int, ...]]:
    return [subset for size in range(1, len(scans) + 1) for subset in combinations(range(len(scans)), size)]


def named(scans: Sequence[str], subset: Sequence[int]) -> str:
    return "+".join(scans[m] for m in subset)


def run(patients: Patients, scans: Sequence[str], fold: int, name: str, steps: int) -> dict[str, dict[str, list]]:
    """Train one network without a fold; by row and subset the Dice of each patient, None of who is not answered.

    Where nothing is missing in training, "zeros" is the network of "as it comes", and gets its row with it.
    """
    only = tuple(range(len(scans)))
    if name.startswith(EXACT):
        only = tuple(scans.index(one) for one in name.removeprefix(EXACT).strip().split("+"))
    image = patients.image[:, list(only)]
    asked = [s for s in subsets_of(scans) if s == only] if name.startswith(EXACT) else subsets_of(scans)
    has = patients.has()
    learnt = patients.items((patients.fold != fold) & has[:, list(only)].any(1))
    tested = patients.items(patients.fold == fold)
    torch.manual_seed(fold)
    make = partial(network, [scans[m] for m in only], image.dim() - 2)
    recipe = Recipe(make, steps, 16 if image.dim() == 4 else 4, deformed, bfloat16=True)
    net = strategies(recipe)[COMES if name.startswith(EXACT) else name](image[learnt], patients.mask[learnt])
    nets = {name: net}
    if name == COMES and bool(image[learnt].isfinite().all()):
        nets[ZEROS] = Zeros(net)
    owner = patients.owner[tested].numpy()
    rows: dict[str, dict[str, list]] = {row: {} for row in nets}
    for row, asked_net in nets.items():
        voxels = counts(asked_net, image[tested], patients.mask[tested], [[only.index(m) for m in s] for s in asked])
        for subset, found in zip(asked, voxels, strict=True):
            by_patient = [dice(found[owner == k, 0].sum(0)).item() for k in range(len(patients.names))]
            held = (patients.fold == fold) & (has[:, list(subset)].all(1) | (len(subset) == len(scans)))
            rows[row][named(scans, subset)] = [x if yes else None for x, yes in zip(by_patient, held, strict=True)]
    return rows


def threshold(patients: Patients, scan: int) -> np.ndarray:
    """Dice of each patient of what is above the threshold that is best on the other fold; NaN without the scan."""
    values, mask = patients.image[:, scan], patients.mask[:, 0] > 0
    levels = np.nanquantile(values[mask].numpy(), np.linspace(0, 0.99, THRESHOLDS))
    found = np.full((len(patients.names), THRESHOLDS), np.nan)
    for k in np.flatnonzero(patients.has()[:, scan]):
        own, true = values[patients.owner == k], mask[patients.owner == k]
        for n, level in enumerate(levels):
            above = own > level
            found[k, n] = dice(np.array([(above & true).sum(), above.sum(), true.sum()]))
    best = [int(np.nanmean(found[patients.fold != fold], axis=0).argmax()) for fold in (0, 1)]
    return found[np.arange(len(found)), np.array(best)[patients.fold]]


def print_tables(rows: dict[str, np.ndarray], subsets: Sequence[str], first: str) -> None:
    """Rows are (patient, subset) Dice. By subset, then in groups with paired differences."""
    print(f"| strategy | {' | '.join(subsets)} |\n|---|{'---|' * len(subsets)}")
    for name, values in rows.items():
        means = np.nanmean(values, axis=0)
        print(f"| {name} | {' | '.join('' if np.isnan(x) else f'{x:.3f}' for x in means)} |")
    sizes = np.array([subset.count("+") + 1 for subset in subsets])
    whole = max(sizes)
    groups = {"as they come": sizes == whole, "one gone": sizes == whole - 1, "one left": sizes == 1}
    gone = sizes < whole
    others = (BASE, ZEROS, EXACT)
    heads = [*groups, *(f"minus {name}" for name in others), f"as they come, minus {first} alone"]
    print(f"\n| strategy | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    alone = rows[EXACT][:, list(subsets).index(first)]
    for name, values in rows.items():
        cells = [mean_of(values[:, of]) for of in groups.values()]
        cells += [difference(values[:, gone], rows[other][:, gone]) for other in others]
        print(f"| {name} | {' | '.join(cells)} | {difference(values[:, [-1]], alone[:, None])} |")


def mean_of(values: np.ndarray) -> str:
    """The mean over patients of their means over subsets; empty where some of these subsets are not answered."""
    return "" if np.isnan(values).all(axis=0).any() else f"{np.nanmean(np.nanmean(values, axis=1)):.3f}"


def difference(own: np.ndarray, other: np.ndarray) -> str:
    """Points of Dice, the mean over subsets and patients, with its interval; empty where both are the same."""
    each = np.nanmean(100 * (own - other), axis=1)
    each = each[np.isfinite(each)]
    if not each.any():
        return ""
    told = bootstrap(lambda rows: each[rows].mean(), range(len(each)))
    return f"{told.value:+.1f} ({told.low:+.1f} to {told.high:+.1f})"


def main() -> None:
    """Train what is not trained yet, or write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("manifest", type=Path, help="one that benchmarks/cohorts.py wrote")
    parser.add_argument("scans", nargs="+")
    parser.add_argument("--first", required=True, help="the scan of which the simple answers are")
    parser.add_argument("--window", nargs=3, action="append", default=[], metavar=("SCAN", "LOW", "HIGH"))
    parser.add_argument("--flat", action="store_true", help="slice by slice, in 2D")
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES, help="beside what is trained for each subset")
    parser.add_argument("--folds", nargs="+", type=int, default=[0, 1], help="that are answered (both)")
    parser.add_argument("--steps", type=int, default=400, help="of each training (400)")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Mean of empty slice")  # a patient whom no subset of a group is asked of
    windows = {name: [float(low), float(high)] for name, low, high in options.window}
    patients = read(options.manifest, options.scans, windows, options.flat)
    cohort = read_json(options.manifest)["notes"]["cohort"]
    subsets = [named(options.scans, subset) for subset in subsets_of(options.scans)]
    cells = [
        (name, fold)
        for name in (*options.strategies, *(f"{EXACT} {s}" for s in subsets[:-1]))
        for fold in options.folds
    ]
    for name, fold in [] if options.table else cells:
        file = options.out / cohort / f"{name} {fold}.json"
        if not file.exists():
            start = time.process_time()
            for row, scores in run(patients, options.scans, fold, name, options.steps).items():
                told = {"seconds": time.process_time() - start, "dice": scores}
                write_json(options.out / cohort / f"{row} {fold}.json", told)
            print(f"{file.stem}: {time.process_time() - start:.0f} s", flush=True)
    if options.table:
        table(options, cohort, patients, subsets, cells)


def table(
    options: argparse.Namespace, cohort: str, patients: Patients, subsets: list[str], cells: list[tuple[str, int]]
) -> None:
    """Write the Dice of each patient, and print the tables."""
    rows: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}
    for name, fold in cells:
        file = options.out / cohort / f"{name} {fold}.json"
        if not file.exists():
            continue
        told = read_json(file)
        row = EXACT if name.startswith(EXACT) else name
        values = rows.setdefault(row, np.full((len(patients.names), len(subsets)), np.nan))
        for subset, found in told["dice"].items():
            own = np.array(found, dtype=float)
            values[:, subsets.index(subset)] = np.where(np.isnan(own), values[:, subsets.index(subset)], own)
        seconds[row] = seconds.get(row, 0.0) + told["seconds"]
    rows[EXACT][:, -1] = rows[COMES][:, -1]
    answered = np.isin(patients.fold, options.folds) & patients.has()[:, options.scans.index(options.first)]
    simple = np.where(answered, threshold(patients, options.scans.index(options.first)), np.nan)
    held = np.array([options.first in subset.split("+") for subset in subsets])
    rows[f"threshold of {options.first}"] = np.where(held, simple[:, None], np.nan)
    others = []
    if RESULTS.exists():
        with RESULTS.open(newline="", encoding="utf-8") as file:
            others = list(csv.reader(file))[1:]
    lines = [line for line in others if line[0] != cohort]
    for name, values in rows.items():
        for subset, of in zip(subsets, values.T, strict=True):
            lines.append([cohort, name, subset, " ".join(f"{x:.4f}" for x in of)])
    with atomic_write(RESULTS) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["cohort", "strategy", "scans", "dice"], *sorted(lines)])
    told = ", ".join(f"{name} {took / seconds[COMES]:.2f}" for name, took in seconds.items())
    print(f"{np.isin(patients.fold, options.folds).sum()} patients")
    print(f"processor seconds of {COMES} {seconds[COMES]:.0f}, times as long: {told}\n")
    print_tables(rows, subsets, options.first)
    for fold in options.folds:
        first = [rows[name][patients.fold == fold][:, :-1] for name in (DISTILLED, ZEROS)]
        print(f"\nfold {fold}: {DISTILLED} minus {ZEROS} {difference(*first)}")


if __name__ == "__main__":
    main()
