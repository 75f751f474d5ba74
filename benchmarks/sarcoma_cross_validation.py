"""Five-fold cross-validated Dice of the sarcoma bundle: each modality alone, and all three fused.

    python benchmarks/cohorts.py sarcoma_ct_mr_pet DATA/patches_48mm.npz DATA/clinical.csv prepared/
    python benchmarks/sarcoma_cross_validation.py prepared/manifest.json cv/

Twenty trainings with the settings of ``configs/train.json``; the weights are those after the last epoch, so that no
test patient has a say in them. Trainings run two at a time with one thread each. A training whose scores are there is
not run again. The last lines compare the fused network, given one modality only, with the network trained on it.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from polyscan.files.atomic import read_json, write_json
from polyscan.study.manifest import Manifest, read_manifest, write_manifest

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "sarcoma_ct_mr_pet_segmentation"
ALL = ["CT", "T1", "PET"]
INPUTS = [["CT"], ["T1"], ["PET"], ALL]
FOLDS = 5


def run(prepared: Path, out: Path, modalities: list[str], fold: int) -> None:
    """Train without one fold and score on it: with all that was trained on and, where fused, with each alone."""
    import torch

    from polyscan.bundle.run import infer, train

    torch.set_num_threads(1)
    folder = out / "-".join(modalities) / f"fold{fold}"
    if (folder / "scores.json").exists():
        return
    studies = [replace(s, scans={m: s.scans[m] for m in modalities}) for s in read_manifest(prepared).studies]
    test = [s for s in studies if s.fold == fold]
    # One test patient stands under validation, so that training keeps the rest; the last weights know nothing of it.
    write_manifest(folder / "train.json", Manifest([s for s in studies if s.fold != fold], test[:1]))
    write_manifest(folder / "test.json", Manifest(testing=test))
    network = {"modalities": modalities}
    weights = train(BUNDLE, folder / "train.json", folder / "run", overrides=network).with_name("last.pt")
    scores = {}
    for given in [modalities] if len(modalities) == 1 else [ALL, *INPUTS[:3]]:
        absent = [m for m in modalities if m not in given]
        answers = infer(BUNDLE, folder / "test.json", folder / "out", weights=weights, absent=absent, overrides=network)
        scores["-".join(given)] = {s.subject: s.prediction.scores["tumour"].dice for s in answers.studies}
    write_json(folder / "scores.json", scores)


def main(prepared: Path, out: Path) -> None:
    """Run what is missing, then print the tables."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(run, prepared, out, m, f) for f, m in product(range(FOLDS), reversed(INPUTS))]
        for job in jobs:
            job.result()
    fused = collect(out, ALL, ALL)
    print("| trained on | given | Dice, mean ± SD | median | each fold | fused minus this (95 % interval), better in |")
    print("|---|---|---|---|---|---|")
    for trained, given in [*((i, i) for i in INPUTS), *((ALL, i) for i in INPUTS[:3])]:
        dice = collect(out, trained, given)
        values = np.array(list(dice.values()))
        folds = " ".join(f"{np.mean(list(collect(out, trained, given, f).values())):.2f}" for f in range(FOLDS))
        gain = np.array([fused[subject] - dice[subject] for subject in dice])
        boot = np.random.default_rng(0).choice(gain, (10_000, len(gain))).mean(1)
        low, high = np.percentile(boot, [2.5, 97.5])
        compared = f"{gain.mean():+.3f} ({low:+.3f} to {high:+.3f}), {(gain > 0).sum()} of {len(gain)}"
        print(
            f"| {' + '.join(trained)} | {' + '.join(given)} | {values.mean():.3f} ± {values.std(ddof=1):.3f} "
            f"| {np.median(values):.3f} | {folds} | {'' if trained == given == ALL else compared} |"
        )


def collect(out: Path, trained: list[str], given: list[str], fold: int | None = None) -> dict[str, float]:
    """Dice of every patient, each scored by the network that had not seen them."""
    folds = range(FOLDS) if fold is None else [fold]
    scores = (read_json(out / "-".join(trained) / f"fold{f}" / "scores.json")["-".join(given)] for f in folds)
    return {subject: dice for part in scores for subject, dice in part.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
