"""A plain 2D U-Net, MONAI's own, on the folds of a manifest: what a network without any of polyscan makes of a cohort.

    python benchmarks/cohorts.py lgg_mri partA.npz clinical_A.csv lgg/ --folds 3
    python benchmarks/plain_unet.py lgg/manifest.json peer/ --scans T1 FLAIR T1c --folds 1 2 --seconds 240
    polyscan evaluate lgg/manifest.json peer/ cv/all/ --task mask

Early fusion: scans are channels of slices at full resolution, zero where they are missing, beside a channel each that
says whether they are there. MONAI's ``BasicUNet``, Dice and binary cross-entropy, Adam with a rate that falls to zero
as a cosine, mirrored, turned and scaled slices, each slice as often as any other. ``--seconds`` are of CPU time: what
two networks are to be compared at.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import torch
from command import run
from monai.data import DataLoader, Dataset
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet
from monai.transforms import Compose, RandAffined, RandFlipd
from monai.utils import set_determinism
from torch import Tensor

from polyscan.evaluation import region_scores
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.study import PredictionRecord, Study
from polyscan.study.manifest import Manifest, read_manifest, write_manifest

AUGMENT = Compose(
    [
        RandFlipd(["image", "label"], prob=0.5, spatial_axis=0),
        RandAffined(
            ["image", "label"],
            prob=0.5,
            rotate_range=0.26,
            scale_range=0.2,
            mode=["bilinear", "nearest"],
            padding_mode="border",
        ),
    ]
)


def slices_of(study: Study, scans: Sequence[str]) -> Tensor:
    """(slice, 2 * scan, x, y): each scan, zero where it is missing, then 1 where it is there."""
    found = {name: read_nifti(study.scans[name].path)[0].as_tensor() for name in scans if name in study.scans}
    zeros = torch.zeros_like(next(iter(found.values())))
    channels = [found.get(name, zeros) for name in scans] + [zeros + (name in found) for name in scans]
    return torch.stack(channels).permute(3, 0, 1, 2)


def truth_of(study: Study) -> Tensor:
    """(slice, 1, x, y) of 0 and 1."""
    return (read_nifti(study.label.mask) > 0).float().as_tensor().permute(3, 0, 1, 2)


def train(
    studies: Sequence[Study], scans: Sequence[str], seconds: float, batch: int, rate: float, device: str = "cpu"
) -> BasicUNet:
    """Learn from slices for so many seconds of CPU time."""
    items = [
        {"image": image, "label": label}
        for study in studies
        for image, label in zip(slices_of(study, scans), truth_of(study), strict=True)
    ]
    loader = DataLoader(Dataset(items, AUGMENT), batch_size=min(batch, len(items)), shuffle=True, drop_last=True)
    network = BasicUNet(2, 2 * len(scans), 1, features=(16, 16, 32, 64, 128, 16)).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    loss_of = DiceCELoss(sigmoid=True, batch=True)
    start = time.process_time()
    for given in chain.from_iterable(repeat(loader)):
        spent = min((time.process_time() - start) / max(seconds, 1e-3), 1)
        optimizer.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * spent)) / 2
        optimizer.zero_grad()
        image, label = (given[key].as_tensor().to(device) for key in ("image", "label"))
        loss_of(network(image), label).backward()
        optimizer.step()
        if spent >= 1:
            break
    return network.cpu().eval()


@torch.no_grad()
def answer(network: BasicUNet, study: Study, scans: Sequence[str], out: Path) -> Study:
    """The study with what the network finds, as a mask, and how good it is."""
    truth = read_nifti(study.label.mask)
    found = truth.clone()
    found[0] = (network(slices_of(study, scans))[:, 0] > 0).permute(1, 2, 0)
    path = out / f"{study.key}_dseg.nii.gz"
    write_nifti(path, found)
    scores = region_scores(found, (truth > 0).float(), ["lesion"])
    present = [name for name in scans if name in study.scans]
    return replace(study, prediction=PredictionRecord(str(path), present=present, scores=scores))


def cross_validate(
    manifest: Path,
    out: Path,
    scans: Sequence[str],
    folds: Sequence[int],
    seconds: float,
    batch: int,
    rate: float,
    device: str = "cpu",
) -> Path:
    """Train without one fold and answer for it; returns the manifest of all answers."""
    studies = [s for s in read_manifest(manifest).studies if s.label.holds("mask") and set(scans) & set(s.scans)]
    out.mkdir(parents=True, exist_ok=True)
    answered = Manifest()
    for fold in folds:
        set_determinism(0)
        network = train([s for s in studies if s.fold != fold], scans, seconds, batch, rate, device)
        answered.testing += [answer(network, study, scans, out) for study in studies if study.fold == fold]
        write_manifest(out / "manifest.json", answered)
    return out / "manifest.json"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, help="prepared studies with folds and masks")
    parser.add_argument("out", type=Path, help="the folder to write to")
    parser.add_argument("--scans", nargs="+", required=True, help="that are read")
    parser.add_argument("--folds", type=int, nargs="+", required=True, help="answer for these only")
    parser.add_argument("--seconds", type=float, default=360, help="of CPU time a fold, to train (360)")
    parser.add_argument("--batch", type=int, default=16, help="slices a step (16)")
    parser.add_argument("--rate", type=float, default=0.001, help="of learning, at first (0.001)")
    parser.add_argument("--device", default="cpu", help="to train on (cpu)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(cross_validate(**vars(options)))


if __name__ == "__main__":
    run(main)
