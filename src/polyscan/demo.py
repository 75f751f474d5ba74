"""``polyscan demo``: the whole way on a made cohort, from scans to fused predictions and a page to look at."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import mean

from polyscan.cli import main as polyscan
from polyscan.files.owned import note_owned
from polyscan.parallel import preload
from polyscan.study.manifest import Manifest, read_manifest
from polyscan.study.outputs import OutputFolder

BUNDLE = "brain_mri_tumour_segmentation"
CONTRASTS = ("T1", "T1c", "T2", "FLAIR")
REGION = "whole tumour"


def main(out: Path) -> None:
    """Run every command as a user would, then print what each absent contrast costs."""
    owned = OutputFolder.claim(out, "demo")
    owned.remove_others([])
    without = {contrast: out / f"without_{contrast}" for contrast in CONTRASTS}
    owned.will_hold(["cohort", "manifest.json", "prepared", "run", "predictions", *(f.name for f in without.values())])
    cohort, manifest, prepared, run = out / "cohort", out / "manifest.json", out / "prepared", out / "run"
    preload("polyscan.preprocess.prepare_study", "polyscan.report.study_page")
    step("phantom", cohort, "--subjects", 30, "--seed", 2026, "--modalities", *CONTRASTS)
    note_owned(cohort)
    step("scan", cohort, "-o", manifest)
    step("prepare", manifest, "-o", prepared, "--protocol", "brain_mri")
    step("train", BUNDLE, prepared / "manifest.json", "-o", run, "--config", "small")
    step("infer", BUNDLE, prepared / "manifest.json", "-o", out / "predictions", "--weights", run / "model.pt")
    table = {"all four": dice(read_manifest(out / "predictions" / "manifest.json"))}
    for contrast, folder in without.items():
        step(
            *("infer", BUNDLE, prepared / "manifest.json", "-o", folder),
            *("--weights", run / "model.pt", "--without", contrast),
        )
        table[f"without {contrast}"] = dice(read_manifest(folder / "manifest.json"))
    step("report", out / "predictions")
    print(f"\nDice of the {REGION} on held-out subjects (mean, lowest to highest)")
    for name, scores in table.items():
        print(f"  {name:14} {mean(scores):.3f}  ({min(scores):.2f} to {max(scores):.2f}, n={len(scores)})")
    print(f"\nOpen {(out / 'predictions' / 'report.html').resolve()}")


def step(*arguments: object) -> None:
    """Show a command and run it; stop where it fails."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ polyscan {' '.join(words)}", flush=True)
    if status := polyscan(words):
        sys.exit(status)


def dice(predictions: Manifest) -> list[float]:
    """The scores of the region in every study that has it."""
    scores = [study.prediction.scores[REGION].dice for study in predictions.studies if study.prediction]
    return [score for score in scores if score is not None]
