"""DRIFA-Net beside the networks that it is compared with, on slices of brain MRI and of lung CT.

    python benchmarks/cohorts.py images_2d brain_tumor_mri_A.npz lungct_A.npz cohort/
    python benchmarks/images_2d.py cohort/manifest.json out/ [--minutes 2.5] [--folds 0 1] [--parameters 400000]

All networks are of equal size and are trained by the bundle ``drifa_multitask_classification``, each for as many epochs
as fit into the same time of one core, counted from its own training steps. No patient has both kinds of picture, so
that fusing can only help by what two tasks share: beside them stands a ResNet-18 for each kind alone, and a logistic
regression on the means of 14 x 14 tiles. Area under the ROC curve (mean of each class against the others) and accuracy,
means over folds with 95 % intervals of groups of alike slices drawn again, and paired differences from concatenation.
A network that was trained is not again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from command import run
from cross_validate import cross_validate
from drifa import of_size, parameters
from monai.bundle import ConfigParser
from PIL import Image

from polyscan.baselines.evaluate import network_answers
from polyscan.baselines.models import cross_validated
from polyscan.baselines.table import NETWORK, compared
from polyscan.baselines.tasks import Classes, Diagnoses
from polyscan.bundle.config import bundle_folder, read_config
from polyscan.files.atomic import read_json
from polyscan.study import Study
from polyscan.study.manifest import Manifest, read_manifest, write_manifest

BUNDLE, BATCH = "drifa_multitask_classification", 16
JOINED = {
    "concatenation": "Concatenation",
    "in the style of GLoRIA": "GlobalLocalAlignment",
    "of MTF with mutual attention": "MutualAttention",
    "of co-attention fusion": "CoAttention",
    "of MTTU-Net": "TransformerBottleneck",
}
REFERENCE = "concatenation"


def drifa(tasks: Mapping[str, list], faithful: bool, scale: float) -> dict[str, Any]:
    """DRIFA-Net with the published widths times scale."""
    widths = [max(4, round(width * scale)) for width in (64, 128, 256, 512)]
    settings = {"modalities": [task.upper() for task in tasks], "tasks": tasks, "widths": widths, "faithful": faithful}
    return {"_target_": "polyscan.networks.DRIFANet", "in_channels": 1, "dropout": 0.25, **settings}


def resnets(tasks: Mapping[str, list], fusion: str, scale: float) -> dict[str, Any]:
    """A ResNet-18 for each kind of picture, joined at its deepest level."""
    encoder = {"_target_": "polyscan.networks.ResNetEncoder", "depth": 18, "widen_factor": scale}
    head = {"_target_": "polyscan.networks.MulticlassHead", "tasks": tasks, "dropout": 0.25}
    return {
        "_target_": "polyscan.networks.FusionNet",
        "modalities": [task.upper() for task in tasks],
        "encoder": encoder | {"_mode_": "callable"},
        "fuse_at": [4],
        "fusion": {"_target_": f"polyscan.fusion.{fusion}", "_mode_": "callable"},
        "head": head | {"_mode_": "callable"},
        "spatial_dims": 2,
    }


def build(definition: Mapping[str, Any]) -> torch.nn.Module:
    return ConfigParser({"net": definition}).get_parsed_content("net")


def of_parameters(make: Callable[[float], dict[str, Any]], target: int) -> dict[str, Any]:
    """The definition, among scales, whose network has about the wanted number of parameters."""
    return make(of_size(lambda scale: build(make(scale)), target))


def seconds_of_step(definition: Mapping[str, Any], side: int) -> float:
    """Seconds of a core that one training step takes."""
    net = build(definition).train()
    kinds = len(definition["modalities"])
    batch = torch.full((BATCH, kinds, side, side), torch.nan)
    for row in range(BATCH):
        batch[row, row % kinds] = 0.0
    taken = []
    for _ in range(8):
        start = time.process_time()
        net(batch).sum().backward()
        taken.append(time.process_time() - start)
    return min(taken)


def fragment(definition: Mapping[str, Any], tasks: Mapping[str, list], side: int, epochs: int) -> dict[str, Any]:
    """What of the bundle is changed: the network, and grey pictures as one channel."""
    load = {"_target_": "polyscan.transforms.LoadPictured", "keys": "image", "modalities": "@modalities"}
    grey = {"_target_": "monai.transforms.Lambdad", "keys": "image", "func": "$lambda image: image[::3]"}
    targets = {"_target_": "polyscan.transforms.TargetsFromLabeld", "keys": "label", "tasks": "@tasks"}
    load |= {"size": "@roi_size"}
    return {
        "shared": {
            "network_def": definition,
            "modalities": definition["modalities"],
            "tasks": tasks,
            "roi_size": [side, side],
        },
        "train": {
            "train#deterministic_transforms": [load, grey, targets],
            "train#random_transforms#3#channels": 1,
            "max_epochs": epochs,
            "val_interval": max(1, epochs // 6),
        },
        "inference": {
            "preprocessing#transforms": [
                load | {"absent": "@absent"},
                grey,
                targets | {"allow_missing_keys": True},
            ],
            "monte_carlo_samples": 0,
        },
    }


def tiles(study: Study) -> np.ndarray:
    """The means of 14 x 14 tiles of a study's picture."""
    (scan,) = study.scans.values()
    with Image.open(scan.path) as image:
        return np.asarray(image.convert("L").resize((14, 14), Image.Resampling.BOX), dtype=float).ravel()


def main() -> None:
    """Train what is not trained, and print a table for each task and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=2.5, help="of one core, for each training")
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1], help="answer for these")
    parser.add_argument("--parameters", type=int, default=400_000, help="of each network, about")
    parser.add_argument("--side", type=int, default=112, help="of the pictures, in pixels")
    options = parser.parse_args()
    tasks = read_config(bundle_folder(BUNDLE), "train", {})["tasks"]
    studies = read_manifest(options.manifest).studies

    makers = {
        "DRIFA-Net, as published": partial(drifa, tasks, True),
        "DRIFA-Net, lean": partial(drifa, tasks, False),
        **{name: partial(resnets, tasks, layer) for name, layer in JOINED.items()},
        **{f"{task.upper()} alone": partial(resnets, {task: tasks[task]}, "Concatenation") for task in tasks},
    }
    found: dict[str, Path] = {}
    for number, (name, make) in enumerate(makers.items()):
        definition = of_parameters(make, options.parameters)
        learnt = [s for s in studies if set(s.scans) <= set(definition["modalities"])]
        folder = options.out / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        write_manifest(folder / "manifest.json", Manifest(learnt))
        steps = -(-len([s for s in learnt if s.fold not in options.folds[:1]]) // BATCH)
        took = seconds_of_step(definition, options.side)
        changes = folder / "fragment.json"
        if not changes.is_file():  # else some folds have been trained, for so many epochs
            own = {task: classes for task, classes in tasks.items() if task.upper() in definition["modalities"]}
            epochs = max(1, round(options.minutes * 60 / (steps * took)))
            changes.write_text(json.dumps(fragment(definition, own, options.side, epochs)))
        epochs = read_json(changes)["train"]["max_epochs"]
        print(f"{name}: {parameters(build(definition)):,} parameters, {took:.3f} s a step, {epochs} epochs", flush=True)
        found[name] = cross_validate(
            BUNDLE, folder / "manifest.json", folder, fragments=[str(changes)], folds=options.folds
        )
        spent = [read_json(folder / f"fold{fold}" / "seconds.json")["cpu_seconds"] for fold in options.folds]
        print(f"    {' and '.join(map(str, spent))} s of a core to train", flush=True)
    for task in tasks:
        for kind in (Classes, Diagnoses):
            tell(kind(task, studies), options.folds, found)


def tell(task: Classes, folds: Sequence[int], found: Mapping[str, Path]) -> None:
    """Print one task's table by one measure."""
    task.scored &= np.isin(task.folds, folds)
    told = {name: network_answers(task, read_manifest(path).studies) for name, path in found.items()}
    answers = {(NETWORK, name): each for name, each in told.items() if each is not None}
    answers[task.method, "tiles"] = cross_validated(task, np.stack([tiles(study) for study in task.studies]))
    print(compared(task, answers, reference=REFERENCE), end="\n\n")


if __name__ == "__main__":
    run(main)
