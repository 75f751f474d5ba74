"""What a threshold and intervals of volumes promise of a segmentation, and what they hold on other patients.

    polyscan phantom heads/ --subjects 70 --seed 4711 --modalities T1 T1c T2 FLAIR
    polyscan scan heads/ -o heads.json && polyscan prepare heads.json -o prepared/ --protocol brain_mri
    python benchmarks/promises.py prepared/manifest.json [--weights run/model.pt] [--config lgg_lesion] [--draws 2000]

Every study of the manifest that has a mask, none of which the weights may have learnt from, is segmented once from each
subset of its scans. Patients are then drawn again and again: some are those of ``validation``, on whom thresholds and
intervals are fitted as ``polyscan calibrate`` does, and the others are asked. A row is a region: how many draws are
refused, which part is missed of the others (mean over draws, 5th to 95th percentile), and what that costs in volume;
how often the true volume lies in its interval, by how many scans there are, and how wide the interval is as a part of
the mean true volume. Beside cube roots stand two other ways to measure an error of a volume: millilitres, and
logarithms of one millilitre more.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from polyscan.bundle.config import bundle_folder, quiet
from polyscan.bundle.control_risk import THRESHOLDS, missed_part, volumes_at_thresholds
from polyscan.bundle.fragment import read_fragment
from polyscan.bundle.inference_options import InferenceOptions
from polyscan.bundle.tried import TriedSegmentation
from polyscan.bundle.weights import weights_of
from polyscan.errors import PolyscanError
from polyscan.inference.conformal import least_bound, pattern_of, tried_subsets
from polyscan.inference.risk_control import controlled_column
from polyscan.study.manifest import Manifest, read_manifest, write_manifest

Array = NDArray[np.float64]
SCALES: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "cube roots": (np.cbrt, lambda x: np.maximum(x, 0) ** 3),
    "millilitres": (lambda v: v, lambda x: np.maximum(x, 0)),
    "logarithms": (lambda v: np.log(v + 1), lambda x: np.maximum(np.exp(x) - 1, 0)),
}


def answers(options: argparse.Namespace) -> dict[str, Array]:
    """Region and pattern to (study, 2, 1 + threshold) volumes, see ``volumes_at_thresholds``, NaN where not asked."""
    bundle = bundle_folder(options.bundle)
    (weights,) = weights_of(bundle, options.weights)
    asked = read_fragment(options.config, "inference") if options.config else {}
    found = read_manifest(options.manifest)
    rows: dict[str, dict[int, Array]] = defaultdict(dict)
    with quiet(), TemporaryDirectory() as folder:
        every = Path(folder) / "manifest.json"
        write_manifest(every, Manifest(roots=found.roots, validation=[replace(s, fold=None) for s in found.studies]))
        out = Path(folder) / "out"
        out.mkdir()
        overrides = {**asked, **InferenceOptions(probabilities=True).overrides}
        tried = TriedSegmentation(bundle, weights, every, overrides, str(out))
        modalities = tried.parser.get_parsed_content("modalities")
        for k, study in enumerate(tried.studies):
            present = [name for name in modalities if name in study.scans]
            for subset in tried_subsets(present):
                said = tried.ask(study, set(present) - set(subset))
                pattern = pattern_of([name in said.present for name in modalities])
                for region, each in volumes_at_thresholds(said, str(study.label.mask)).items():
                    rows[f"{region} {pattern}"][k] = each
            print(study.key, flush=True)
    blank = np.full((2, 1 + len(THRESHOLDS)), np.nan)
    return {name: np.stack([of.get(k, blank) for k in range(len(tried.studies))]) for name, of in rows.items()}


def spread(values: list[float]) -> str:
    """The mean, with the 5th and 95th percentile."""
    return f"{np.mean(values):.3f} ({np.quantile(values, 0.05):.3f} to {np.quantile(values, 0.95):.3f})"


def threshold_row(volumes: Array, validation: int, options: argparse.Namespace) -> str:
    """Of all scans: draws that are refused, what is missed of the others, the threshold and what is marked."""
    chance = np.random.default_rng(0)
    patients = [str(k) for k in range(len(volumes))]
    has = np.flatnonzero(volumes[:, 0, 0] > 0)
    missed = missed_part(volumes[has], [patients[k] for k in has])
    missed_of, columns, marked = [], [], []
    for _ in range(options.draws):
        order = chance.permutation(len(volumes))
        known = np.isin(has, order[:validation])
        try:
            column = controlled_column(missed[known], options.risk)
        except PolyscanError:
            continue
        others = order[validation:]
        missed_of.append(float(missed[~known, column].mean()))
        columns.append(column)
        marked.append(float(volumes[others, 1, 1 + column].sum() / volumes[others, 0, 0].sum()))
    refused = 1 - len(columns) / options.draws
    told = (
        f"{spread(missed_of)} | {THRESHOLDS[int(np.median(columns))]:.2f} | {np.median(marked):.2f}"
        if columns
        else "| |"
    )
    return f"{validation} | {100 * refused:.0f} % | {told}"


def interval_row(of: dict[str, Array], scale: str, validation: int, options: argparse.Namespace) -> tuple[str, str]:
    """Coverage of the others' volumes, mean over patterns of each number of scans; and the width."""
    forward, back = SCALES[scale]
    column, one_side = 1 + int(np.abs(THRESHOLDS - options.threshold).argmin()), (1 + options.coverage) / 2
    held: dict[int, list[float]] = defaultdict(list)
    wide: dict[int, list[float]] = defaultdict(list)
    for pattern, volumes in of.items():
        asked = np.flatnonzero(np.isfinite(volumes[:, 0, 0]))
        true, marked = volumes[asked, 0, 0], volumes[asked, 1, column]
        error, chance = forward(true) - forward(marked), np.random.default_rng(0)
        for _ in range(options.draws):
            order = chance.permutation(len(asked))
            known, others = order[:validation], order[validation:]
            below, above = (least_bound(sign * error[known], known, one_side) for sign in (-1, 1))
            low, high = back(forward(marked[others]) - below), back(forward(marked[others]) + above)
            held[pattern.count("1")].append(
                float(((low - 1e-9 <= true[others]) & (true[others] <= high + 1e-9)).mean())
            )
            wide[pattern.count("1")].append(float((high - low).mean() / true.mean()))
    return tuple(
        ", ".join(f"{np.mean(each[n]):.{d}f}" for n in sorted(each, reverse=True)) for each, d in ((held, 3), (wide, 2))
    )  # type: ignore[return-value]


def main() -> None:
    """Segment, draw, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--bundle", default="brain_mri_tumour_segmentation")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--config", help="a fragment, as lgg_lesion")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--coverage", type=float, default=0.9)
    parser.add_argument("--risk", type=float, default=0.1)
    parser.add_argument("--validation", type=int, nargs="+", default=[20, 40])
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--answers", type=Path, help="keep what the network answered here, or take it from here")
    options = parser.parse_args()
    if options.answers and options.answers.is_file():
        found = dict(np.load(options.answers))
    else:
        found = answers(options)
        if options.answers:
            np.savez_compressed(options.answers, **found)
    regions = dict.fromkeys(name.rpartition(" ")[0] for name in found)
    print("\n| region | in validation | refused | missed of the others | threshold, median | volume / true, median |")
    print("|---|---|---|---|---|---|")
    for region in regions:
        whole = max((name for name in found if name.rpartition(" ")[0] == region), key=lambda name: name.count("1"))
        volumes = found[whole][np.isfinite(found[whole][:, 0, 0])]
        for validation in options.validation:
            print(f"| {region} | {threshold_row(volumes, validation, options)} |")
    print("\n| region | in validation | errors of | holds the true volume, from all scans to one | width / mean true |")
    print("|---|---|---|---|---|")
    for region in regions:
        of = {name.rpartition(" ")[2]: each for name, each in found.items() if name.rpartition(" ")[0] == region}
        for validation in options.validation:
            for scale in SCALES:
                held, wide = interval_row(of, scale, validation, options)
                print(f"| {region} | {validation} | {scale} | {held} | {wide} |")


if __name__ == "__main__":
    main()
