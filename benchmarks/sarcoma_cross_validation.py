"""Cross-validated Dice and volumes of the sarcoma bundle: each modality alone, all fused, and a threshold of the PET.

    python benchmarks/cohorts.py sarcoma_ct_mr_pet DATA/patches_48mm.npz DATA/clinical.csv prepared/
    python benchmarks/sarcoma_cross_validation.py prepared/manifest.json cv/ [--inputs CT+T1+PET PET] [--folds 0 1]
    python benchmarks/sarcoma_cross_validation.py prepared/manifest.json shipped/ --shipped

Trainings have the settings of ``configs/train.json``, learn from all patients of the other folds and run one after the
other, in bfloat16, which a CPU computes in half the time; answers are computed in float32. The weights are the averaged
ones after the last epoch, so that no test patient has a say in them. What has its scores is not trained again.

``--shipped`` trains once on all patients of the section ``training`` and answers for those of ``testing``: the weights
that are shipped, whose kernels are then stored in half precision.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from command import run

from polyscan.baselines.models import thresholded
from polyscan.baselines.tasks import Masks
from polyscan.files.atomic import read_json, write_json
from polyscan.study import Study
from polyscan.study.manifest import Manifest, read_manifest, write_manifest

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "sarcoma_ct_mr_pet_segmentation"
ALL = ["CT", "T1", "PET"]
SETTINGS = {"bfloat16": True, "fold": "all", "val_interval": "@max_epochs"}
SMALL = 100
"""Millilitres below which a tumour is told apart."""


def train_and_score(learnt: Sequence[Study], test: Sequence[Study], out: Path, modalities: list[str]) -> None:
    """Train on some and score on others: with all that was trained on and, where fused, with each alone."""
    import torch

    from polyscan.bundle.run import infer, train

    if (out / "scores.json").exists():
        return
    torch.set_num_threads(1)
    learnt, test = ([replace(s, scans={m: s.scans[m] for m in modalities}) for s in some] for some in (learnt, test))
    write_manifest(out / "train.json", Manifest(learnt))
    write_manifest(out / "test.json", Manifest(testing=test))
    network = {"modalities": modalities}
    weights = train(BUNDLE, out / "train.json", out / "run", overrides={**SETTINGS, **network})
    scores = {}
    for given in [modalities] if modalities != ALL else [ALL, *([m] for m in ALL)]:
        options = {"weights": weights, "absent": [m for m in modalities if m not in given], "overrides": network}
        answers = infer(BUNDLE, out / "test.json", out / "answers", **options).studies
        found = {s.subject: s.prediction.scores["tumour"] for s in answers}
        scores["+".join(given)] = {name: [one.dice, one.predicted_ml, one.true_ml] for name, one in found.items()}
    write_json(out / "scores.json", scores)


def print_table(studies: Sequence[Study], out: Path, inputs: Sequence[list[str]], folds: Sequence[int]) -> None:
    """A row for each network and what it was given, compared with the fused one patient by patient."""
    rows = {}
    for trained in inputs:
        of_folds = [read_json(folder(out, trained, fold) / "scores.json") for fold in folds]
        for given in of_folds[0]:
            rows["+".join(trained), given] = {k: v for scores in of_folds for k, v in scores[given].items()}
    task = Masks("mask", studies)
    dice = dict(zip(task.patients, thresholded(task, "PET"), strict=True))
    truth = next(iter(rows.values()))
    rows["threshold", "PET"] = {name: [dice[name], np.nan, ml] for name, (_, _, ml) in truth.items()}
    fused = rows.get(("+".join(ALL),) * 2)
    print(f"{len(truth)} patients, {sum(ml < SMALL for _, _, ml in truth.values())} of them below {SMALL} mL\n")
    head = f"| trained on | given | Dice | below {SMALL} mL | fused minus this | better in | volume / truth | in 30 % |"
    print(head, "|---|---|---|---|---|---|---|---|", sep="\n")
    for (trained, given), scores in rows.items():
        values, predicted, true = np.array([scores[name] for name in truth], dtype=float).T
        cells = [trained, given, interval(values), interval(values[true < SMALL]), "", "", "", ""]
        if fused is not None and scores is not fused:
            gain = np.array([fused[name][0] for name in truth]) - values
            cells[4:6] = [interval(gain, "+.3f"), f"{(gain > 0).sum()} of {len(gain)}"]
        if trained != "threshold":
            ratio = predicted / true
            cells[6] = "{1:.2f} ({0:.2f} to {2:.2f})".format(*np.percentile(ratio, [25, 50, 75]))
            cells[6] += f"; {np.median(ratio[true < SMALL]):.2f} below {SMALL} mL"
            cells[7] = f"{(abs(ratio - 1) <= 0.3).sum()} of {len(ratio)}"
        print(f"| {' | '.join(cells)} |")


def interval(values: np.ndarray, form: str = ".3f") -> str:
    """A mean over patients with its 95 % interval, of 10 000 drawn cohorts."""
    if not len(values):
        return ""
    drawn = np.random.default_rng(0).choice(values, (10_000, len(values))).mean(1)
    mean, low, high = (format(value, form) for value in (values.mean(), *np.percentile(drawn, [2.5, 97.5])))
    return f"{mean} ({low} to {high})"


def folder(out: Path, modalities: Sequence[str], fold: int) -> Path:
    """Where a training stands."""
    return out / "+".join(modalities) / f"fold{fold}"


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path, help="the manifest that benchmarks/cohorts.py wrote")
    parser.add_argument("out", type=Path)
    parser.add_argument("--inputs", nargs="+", default=["CT+T1+PET", "PET", "T1", "CT"], help="what is trained on")
    parser.add_argument("--folds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--shipped", action="store_true", help="train once, on the section training")
    options = parser.parse_args()
    manifest = read_manifest(options.prepared)
    if options.shipped:
        train_and_score(manifest.training, manifest.testing, options.out, ALL)
        return
    inputs = [one.split("+") for one in options.inputs]
    for modalities, fold in product(inputs, options.folds):
        learnt = [study for study in manifest.studies if study.fold != fold]
        test = [study for study in manifest.studies if study.fold == fold]
        train_and_score(learnt, test, folder(options.out, modalities, fold), modalities)
    print_table(manifest.studies, options.out, inputs, options.folds)


if __name__ == "__main__":
    run(main)
