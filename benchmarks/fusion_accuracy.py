"""Which layer segments best, with every modality and with some missing, at the same network, data and training.

    python benchmarks/fusion_accuracy.py [--subjects 48] [--epochs 16] [--seeds 2] [--layers Mean Sum]
        [--device cuda]

Made heads at 4 mm, T1, T1c, T2 and FLAIR, hierarchical fusion in a small U-Net, each modality dropped in training with
a probability of 0.3. Dice of the whole tumour on held-out heads: with all four, the mean over all 15 subsets, and with
each modality alone; mean over seeds (lowest to highest). The last column is the difference from the first layer over
all subsets, paired by seed and subject, with its 95 % interval (bootstrap over subjects).
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from monai.transforms import Compose, ResizeWithPadOrCrop, Spacing
from torch import Tensor

from polyscan import fusion
from polyscan.discovery.scan import scan
from polyscan.evaluation import bootstrap
from polyscan.formats.nifti import read_nifti
from polyscan.inference import every_subset
from polyscan.learning import RegionLoss, WithAuxiliaryLosses
from polyscan.networks import FusionNet, SegmentationHead, UNetEncoder
from polyscan.phantom import make_cohort
from polyscan.preprocess.prepare import prepare

MODALITIES = ["T1", "T1c", "T2", "FLAIR"]
DEFAULT = [
    "Concatenation",
    "Mean",
    "Maximum",
    "Moments",
    "GatedSum",
    "AttentionWeighted",
    "LeanDRIFA",
    "CoAttention",
    "MaskedTransformer",
    "ProductOfExperts",
    "RegionAware",
    "SharedSpecific",
]
SIDE, WINDOW = 48, 32


def cohort(subjects: int, folder: Path) -> tuple[Tensor, Tensor]:
    """Scans (subject, 4, SIDE...) and whole tumours (subject, 1, SIDE...)."""
    make_cohort(folder / "heads", subjects=subjects, modalities=MODALITIES, missing=0.0)
    studies = prepare(scan(folder / "heads"), folder / "prepared", protocol="brain_mri").studies
    image_of, mask_of = (
        Compose([Spacing((4, 4, 4), mode=mode), ResizeWithPadOrCrop([SIDE] * 3)]) for mode in ("bilinear", "nearest")
    )
    scans = [torch.cat([image_of(read_nifti(study.scans[m].path)) for m in MODALITIES]) for study in studies]
    masks = [mask_of(read_nifti(study.label.mask)) for study in studies]
    return torch.nan_to_num(torch.stack(scans)).as_subclass(Tensor), (torch.stack(masks) > 0).float().as_subclass(
        Tensor
    )


def network(layer: type[fusion.FusionLayer]) -> FusionNet:
    encoder = partial(UNetEncoder, channels=(8, 16, 32, 64), norm="batch")
    head = partial(SegmentationHead, width=(8, 16, 32), norm="batch")
    return FusionNet(MODALITIES, encoder, [0, 1, 2, 3], layer, head)


def train(net: FusionNet, scans: Tensor, masks: Tensor, epochs: int, seed: int) -> None:
    """Train on random windows with modalities dropped."""
    rng = np.random.default_rng(seed)
    loss = RegionLoss()
    steps = epochs * (len(scans) // 4)
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    training = WithAuxiliaryLosses(net).train()
    for _ in range(epochs):
        for rows in np.array_split(rng.permutation(len(scans)), len(scans) // 4):
            corner = rng.integers(0, SIDE - WINDOW + 1, size=(len(rows), 3))
            cut = [tuple(slice(c, c + WINDOW) for c in place) for place in corner]
            image = torch.stack([scans[(r, slice(None), *at)] for r, at in zip(rows, cut, strict=True)])
            truth = torch.stack([masks[(r, slice(None), *at)] for r, at in zip(rows, cut, strict=True)])
            drop = rng.random((len(rows), 4)) < 0.3
            drop[drop.all(1), rng.integers(4)] = False
            image[torch.as_tensor(drop)] = torch.nan
            optimizer.zero_grad()
            logits, auxiliary = training(image, truth)
            (loss(logits, truth) + sum(auxiliary.values())).backward()
            optimizer.step()
            schedule.step()


def dice(net: FusionNet, scans: Tensor, masks: Tensor) -> np.ndarray:
    """Dice of each subject and subset: (subject, 15), single modalities first, all four last."""
    net.eval()
    rows = []
    for image, mask in zip(scans, masks, strict=True):
        answers = every_subset(net, image[None]).values()
        found = torch.cat([answer > 0 for answer in answers]).flatten(1).float()
        truth = mask.flatten()[None]
        rows.append((2 * (found * truth).sum(1) / (found.sum(1) + truth.sum(1))).cpu().numpy())
    return np.stack(rows)


def interval(difference: np.ndarray) -> str:
    """Mean and 95 % interval of differences (seed, subject), by drawing subjects again."""
    each = difference.mean(0)
    mean, low, high = bootstrap(lambda rows: each[rows].mean(), range(len(each)), n_resamples=2000)
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def main() -> None:
    """Print a row for each layer as it is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--layers", nargs="*", default=DEFAULT)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scans, masks = (tensor.to(options.device) for tensor in cohort(options.subjects, Path(folder)))
    held = options.subjects // 4
    print(f"{options.subjects - held} heads to train on, {held} held out, {options.epochs} epochs.\n")
    print(f"| layer | all four | 15 subsets | {' | '.join(f'{m} alone' for m in MODALITIES)} | less the first |")
    print("|---|---|---|---|---|---|---|---|")
    base = None
    for name in options.layers:
        results = []
        for seed in range(options.seeds):
            torch.manual_seed(seed)
            net = network(getattr(fusion, name)).to(options.device)
            train(net, scans[held:], masks[held:], options.epochs, seed)
            results.append(dice(net, scans[:held], masks[:held]))
        x = np.stack(results)  # (seed, subject, subset)
        base = x if base is None else base
        columns = [x[..., 14], x.mean(2), *(x[..., m] for m in range(4))]
        means = [column.mean(1) for column in columns]
        cells = [f"{m.mean():.3f} ({m.min():.3f} to {m.max():.3f})" for m in means[:2]]
        cells += [f"{m.mean():.3f}" for m in means[2:]]
        print(f"| {name} | {' | '.join(cells)} | {interval(x.mean(2) - base.mean(2))} |", flush=True)


if __name__ == "__main__":
    main()
