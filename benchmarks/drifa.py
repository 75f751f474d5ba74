"""DRIFA-Net as published, with lean gates, and a plain network, all of equal parameters, on two tasks at once.

    python benchmarks/drifa.py [--subjects 60] [--epochs 12] [--seeds 3] [--device cuda]

Axial slices of T1c and FLAIR of made heads, split by subject. Task 1: is there tumour in the slice? Task 2: is some
of it enhancing? Area under the ROC curve on held-out subjects, mean over seeds (lowest to highest), with both scans and
with one of them; then the seconds of training over the plain network's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from polyscan.discovery.scan import scan
from polyscan.formats.nifti import read_nifti
from polyscan.fusion import Concatenation
from polyscan.learning import MultitaskLoss, classification_loss
from polyscan.networks import ClassificationHead, DRIFANet, FusionNet, MultitaskHead, ResNetEncoder
from polyscan.phantom import make_cohort
from polyscan.preprocess.prepare import prepare

TASKS = {"tumour": 2, "enhancing": 2}
SIDE = 64


def slices(subjects: int, folder: Path) -> list[tuple[Tensor, Tensor]]:
    """Slices (slice, 2, SIDE, SIDE) and targets (slice, 2) of each subject."""
    make_cohort(folder / "heads", subjects=subjects, modalities=("T1c", "FLAIR"), missing=0.0)
    studies = prepare(scan(folder / "heads"), folder / "prepared", protocol="brain_mri").studies
    found = []
    for study in studies:
        scans = torch.cat([read_nifti(study.scans[m].path).as_tensor() for m in ("T1c", "FLAIR")])
        label = read_nifti(study.label.mask)[0].as_tensor()
        middle = range(scans.shape[3] // 5, scans.shape[3] * 4 // 5, 2)
        images = torch.stack([square(scans[..., z]) for z in middle]).float()
        truth = [[float((label[..., z] > 0).sum() > 10), float((label[..., z] == 4).sum() > 5)] for z in middle]
        found.append((images, torch.tensor(truth)))
    return found


def square(image: Tensor) -> Tensor:
    """Crop or pad (2, x, y) about its centre."""
    pad = [(SIDE - size) for size in image.shape[1:]]
    before, after = [p // 2 for p in pad], [p - p // 2 for p in pad]
    return nn.functional.pad(torch.nan_to_num(image), [before[1], after[1], before[0], after[0]])


def drifa(scale: float, faithful: bool) -> nn.Module:
    """DRIFA-Net with widths of 64, 128, 256, 512 times scale."""
    widths = [max(4, round(width * scale)) for width in (64, 128, 256, 512)]
    return DRIFANet(["T1c", "FLAIR"], TASKS, in_channels=1, widths=widths, faithful=faithful)


def plain(scale: float) -> nn.Module:
    """A ResNet-18 for each scan, concatenated at its deepest level."""
    head = partial(MultitaskHead, tasks={name: partial(ClassificationHead, dropout=0.25) for name in TASKS})
    encoder = partial(ResNetEncoder, depth=18, widen_factor=scale)
    return FusionNet(["T1c", "FLAIR"], encoder, [4], Concatenation, head, spatial_dims=2)


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def of_size(make: Callable[[float], nn.Module], target: int) -> float:
    """The scale at which a network has about the wanted number of parameters, by bisection: it grows with the scale."""
    low, high = 0.01, 1.5
    for _ in range(12):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if parameters(make(middle)) < target else (low, middle)
    return min(low, high, key=lambda scale: abs(parameters(make(scale)) - target))


def evaluate(net: nn.Module, images: Tensor, truth: Tensor) -> list[float]:
    """AUROC of each task: with both scans, with T1c alone, with FLAIR alone."""
    net.eval()
    scores = []
    for absent in (None, 1, 0):
        given = images.clone()
        if absent is not None:
            given[:, absent] = torch.nan
        with torch.no_grad():
            answer = torch.cat([net(part) for part in given.split(64)]).cpu()
        margins = answer[:, 1::2] - answer[:, ::2]
        scores += [roc_auc_score(truth[:, t], margins[:, t]) for t in range(2)]
    return scores


def train(net: nn.Module, images: Tensor, truth: Tensor, epochs: int, seed: int) -> float:
    """Train with scans dropped at random; the seconds that it took."""
    loss = MultitaskLoss(dict.fromkeys(TASKS, (2, 1, classification_loss))).to(images.device)
    optimizer = torch.optim.Adam([*net.parameters(), *loss.parameters()], lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    generator = torch.Generator().manual_seed(seed)
    start = time.perf_counter()
    for _ in range(epochs):
        net.train()
        for rows in torch.randperm(len(images), generator=generator).split(32):
            batch = images[rows].clone()
            draw = torch.rand(len(rows), generator=generator)
            batch[draw < 0.15, 0], batch[draw > 0.85, 1] = torch.nan, torch.nan
            optimizer.zero_grad()
            loss(net(batch), truth[rows].to(batch.device)).backward()
            optimizer.step()
        schedule.step()
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=0.125, help="of the published widths")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        heads = slices(options.subjects, Path(folder))
    target = parameters(drifa(options.scale, True))
    makers = {"plain ResNet-18": plain, "DRIFA-Net, lean": partial(drifa, faithful=False)}
    nets = {name: partial(make, of_size(make, target)) for name, make in makers.items()}
    nets["DRIFA-Net, as published"] = partial(drifa, options.scale, True)
    results: dict[str, list] = {name: [] for name in nets}
    for seed in range(options.seeds):
        order = np.random.default_rng(seed).permutation(len(heads))
        held = len(heads) // 4
        test, rest = ([heads[i] for i in part] for part in (order[:held], order[held:]))
        (images, truth), (unseen, expected) = (map(torch.cat, zip(*part, strict=True)) for part in (rest, test))
        images, unseen = images.to(options.device), unseen.to(options.device)
        for name, make in nets.items():
            torch.manual_seed(seed)
            net = make().to(options.device)
            took = train(net, images, truth, options.epochs, seed)
            results[name].append([*evaluate(net, unseen, expected), took])
            print(f"seed {seed}, {name}: {np.round(results[name][-1], 3).tolist()}", flush=True)
    print(
        f"\n{len(images)} slices to train on, {len(unseen)} to test; {options.epochs} epochs, {options.seeds} seeds.\n"
    )
    print("| network | parameters | tumour | enhancing | T1c alone | FLAIR alone | time |")
    print("|---|---|---|---|---|---|---|")
    base = np.array(results["plain ResNet-18"])[:, 6]
    for name, rows in results.items():
        x = np.array(rows)
        cells = [f"{v.mean():.3f} ({v.min():.3f} to {v.max():.3f})" for v in x[:, :2].T]
        alone = [f"{x[:, k].mean():.3f} / {x[:, k + 1].mean():.3f}" for k in (2, 4)]
        ratio = np.median(x[:, 6] / base)
        print(f"| {name} | {parameters(nets[name]()):,} | {' | '.join(cells + alone)} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
