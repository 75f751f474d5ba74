"""Segmentation from each of the 15 subsets of four contrasts: ways to cope with missing ones beside each other.

    python benchmarks/missing_segmentation.py [--subjects 160] [--tested 80] [--seeds 2] [--rate 0.2] [--epochs 16]
        [--strategies NAME ...]

Tumours of the made cohort (``polyscan.phantom``) in patches of 16 voxels of 6 mm about their middle, four contrasts on
one grid, each z-scored. Training subjects lack each contrast at a rate. The same small U-Net for all, an encoder a
contrast, fused at every level; "trained for it" is one for each subset, by as many steps, from the subjects that have
all of it. Dice of each region is the mean over the test subjects that have it, over subsets, and
over seeds; in brackets the 95 % interval of the difference from ``ModalityDropout`` in the mean over regions, paired
by seed and subject, by drawing test subjects again. False alarms: the share of subjects without enhancing tumour in
whom a voxel or more is found, over the subsets.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, combinations, count, islice

import numpy as np
import torch
from missing_modalities import DROP, dropped
from torch import Tensor, nn

from polyscan import missing
from polyscan.evaluation import bootstrap
from polyscan.fusion import AttentionWeighted, RegionAware, SharedSpecific
from polyscan.learning import RegionLoss, WithAuxiliaryLosses, WithDistillation
from polyscan.learning.precision import computes_bfloat16
from polyscan.networks import CachedFeatures, FusionNet, SegmentationHead, UNetEncoder
from polyscan.phantom.scanner import Grid, mri
from polyscan.phantom.subject import LABELS, make_subject, stream
from polyscan.phantom.tissues import NAMES

CONTRASTS = ("T1", "T1c", "T2", "FLAIR")
REGIONS = {"whole tumour": (1, 2, 4), "tumour core": (1, 4), "enhancing tumour": (4,)}
SIDE, SPACING = 16, 6.0
SUBSETS = [subset for size in range(1, 5) for subset in combinations(range(4), size)]
BASE = "ModalityDropout"


def subject(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Contrasts (contrast, x, y, z) and regions (region, x, y, z) of a patch about a tumour."""
    made = make_subject(number, seed)
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    away = stream(seed, number, "patch").uniform(-12, 12, 3)
    affine[:3, 3] = made.tumour.centre + away - SPACING * (SIDE - 1) / 2
    grid = Grid(affine, (SIDE, SIDE, SIDE))
    scans = [mri(made.anatomy, m, grid, np.eye(4), stream(seed, number, "noise", m)).values for m in CONTRASTS]
    points = np.indices(grid.shape).reshape(3, -1).T * SPACING + affine[:3, 3]
    painted = np.array([LABELS.get(name, 0) for name in NAMES])[made.anatomy.fractions(points).argmax(0)]
    regions = np.stack([np.isin(painted, labels) for labels in REGIONS.values()]).reshape(-1, *grid.shape)
    return np.stack([(scan - scan.mean()) / scan.std() for scan in scans]), regions


def cohort(subjects: int, seed: int, rate: float) -> tuple[Tensor, Tensor]:
    """Images, NaN where a contrast is missing, and regions."""
    images, regions = map(np.stack, zip(*(subject(number + 1, seed) for number in range(subjects)), strict=True))
    torch.manual_seed(seed)
    image = torch.as_tensor(images, dtype=torch.float32)
    return dropped(image.flatten(2), rate).reshape(image.shape), torch.as_tensor(regions, dtype=torch.float32)


class Zeros(nn.Module):
    """A network that is told nothing of what is missing."""

    def __init__(self, network: FusionNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Logits, with zeros in place of NaN."""
        return self.network(torch.nan_to_num(image))


class Generated(nn.Module):
    """A network that is given whole scans: those that are missing are generated from the others."""

    def __init__(self, network: FusionNet, generator: FusionNet) -> None:
        super().__init__()
        self.network, self.generator = network, generator

    def forward(self, image: Tensor) -> Tensor:
        """Logits from (subject, contrast, ...), NaN where missing."""
        return self.network(torch.where(image.isnan(), self.generator(image), image))


class ForEach(nn.Module):
    """A network for each subset of the contrasts; the one for exactly those that a batch has answers."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, image: Tensor) -> Tensor:
        """Logits from (subject, contrast, ...), NaN where missing in all subjects."""
        present = image.isfinite().flatten(2).any(2).any(0)
        return self.networks[SUBSETS.index(tuple(present.nonzero().flatten().tolist()))](image)


def reconstruction(generated: Tensor, hidden: Tensor) -> Tensor:
    """Mean absolute error of scans that were hidden, NaN where they were not."""
    own = hidden.isfinite()
    return torch.where(own, generated.float() - hidden, 0.0).abs().sum() / own.sum().clamp(min=1)


@dataclass(frozen=True)
class Recipe:
    """What all strategies have alike.

    Attributes:
        network: from a fusion layer, and how many maps it gives where those are not of regions.
        steps, batch: of the training.
        augment: changes images and regions of a batch.
        rate: of AdamW, the highest of one cycle.
        bfloat16: whether training computes in it, on a CPU that can.
    """

    network: Callable[..., FusionNet]
    steps: int
    batch: int
    augment: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    rate: float = 4e-3
    bfloat16: bool = False


def network(fusion: Callable, outputs: int = len(REGIONS)) -> FusionNet:
    encoder = partial(UNetEncoder, channels=(6, 12, 24))
    head = partial(SegmentationHead, regions=list(map(str, range(outputs))), width=(6, 12))
    return FusionNet(CONTRASTS, encoder, [0, 1, 2], fusion, head)


def mirrored(image: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    """Left and right, half of the time."""
    return (image.flip(2), regions.flip(2)) if torch.rand(()) < 0.5 else (image, regions)


def trained(
    recipe: Recipe,
    image: Tensor,
    regions: Tensor,
    fusion: Callable,
    rate: float,
    distil: bool = False,
    zeros: bool = False,
    generates: bool = False,
) -> nn.Module:
    """A network that has learnt from (subject, contrast, ...) and (subject, region, ...), or to generate the former."""
    net = recipe.network(fusion, image.shape[1]) if generates else recipe.network(fusion)
    loss = reconstruction if generates else RegionLoss()
    step = WithDistillation(net, None, loss) if distil else WithAuxiliaryLosses(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=recipe.steps)
    step.train()
    epochs = (torch.randperm(len(image)).split(recipe.batch) for _ in count())
    for rows in islice(chain.from_iterable(epochs), recipe.steps):
        x, y = recipe.augment(image[rows], regions[rows])
        given = dropped(x.flatten(2), rate).reshape(x.shape)
        optimizer.zero_grad()
        target = x.masked_fill(given.isfinite(), torch.nan) if generates else y
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16 and computes_bfloat16()):
            logits, auxiliary = step(torch.nan_to_num(given) if zeros else given, target)
            total = loss(logits, target) + sum(auxiliary.values())
        total.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 12.0)
        optimizer.step()
        schedule.step()
    return Zeros(net).eval() if zeros else net.eval()


@torch.inference_mode()
def counts(net: nn.Module, image: Tensor, regions: Tensor, subsets: Sequence[Sequence[int]]) -> np.ndarray:
    """Voxels (subset, subject, region, 3): found and true, found, true; of a subset, what there is of it is read."""
    voxels = np.zeros((len(subsets), *regions.shape[:2], 3), dtype=int)
    for rows in torch.arange(len(image)).split(8):
        cached = CachedFeatures.of(net, image[rows]) if isinstance(net, FusionNet) else None
        for k, subset in enumerate(subsets):
            absent = [m for m in range(image.shape[1]) if m not in subset]
            if cached is None:
                left = image[rows].clone()
                left[:, absent] = torch.nan
                logits = net(left)
            else:
                available = cached.available.clone()
                available[:, absent] = False
                logits = cached.logits(available)
            mask, truth = (logits > 0).flatten(2), regions[rows].flatten(2) > 0
            voxels[k, rows] = torch.stack([(mask & truth).sum(2), mask.sum(2), truth.sum(2)], dim=-1)
    return voxels


def dice(voxels: np.ndarray) -> np.ndarray:
    """Dice of counts (..., 3), NaN where there is nothing to be found."""
    both, found, true = np.moveaxis(voxels, -1, 0)
    return np.where(true > 0, 2 * both / np.maximum(found + true, 1), np.nan)


def scores(net: nn.Module, image: Tensor, regions: Tensor) -> np.ndarray:
    """Dice (subset, subject, region), NaN where there is none of it; behind the regions false alarms, NaN elsewhere."""
    voxels = counts(net, image, regions, SUBSETS)
    _, found, true = np.moveaxis(voxels[:, :, -1:], -1, 0)
    return np.concatenate([dice(voxels), np.where(true > 0, np.nan, found > 0)], axis=-1)


def strategies(recipe: Recipe) -> dict[str, Callable[[Tensor, Tensor], nn.Module]]:
    """Name to what trains it."""

    def by(fusion: Callable, rate: float = DROP, **options: bool) -> Callable:
        return lambda x, y: trained(recipe, x, y, fusion, rate, **options)

    def generated(x: Tensor, y: Tensor) -> nn.Module:
        net = by(AttentionWeighted, 0.0)(x, y)
        return Generated(net, by(AttentionWeighted, 0.5, generates=True)(x, y)).eval()

    def for_each(x: Tensor, y: Tensor) -> nn.Module:
        seed, networks = torch.initial_seed(), []
        for subset in SUBSETS:
            left = x.clone()
            left[:, [m for m in range(x.shape[1]) if m not in subset]] = torch.nan
            whole = x[:, subset].isfinite().flatten(2).any(2).all(1)
            torch.manual_seed(seed)
            networks.append(by(AttentionWeighted, 0.0)(left[whole], y[whole]))
        return ForEach(networks).eval()

    return {
        "zeros": by(AttentionWeighted, 0.0, zeros=True),
        "as it comes": by(AttentionWeighted, 0.0),
        BASE: by(AttentionWeighted),
        **{kind.__name__: by(partial(kind, fusion=AttentionWeighted)) for kind in missing.strategies()},
        "SharedSpecific": by(SharedSpecific),
        "RegionAware": by(RegionAware),
        "generated scans": generated,
        "Distillation": by(AttentionWeighted, 0.0, distil=True),
        "trained for it": for_each,
    }


def summary(found: np.ndarray, base: np.ndarray, subsets: Sequence[int]) -> str:
    """Mean Dice of (seed, subset, subject, region) over some subsets, by region, and the interval of the difference."""

    def by_subject(values: np.ndarray) -> np.ndarray:
        return np.nanmean(values[:, subsets][..., : len(REGIONS)], axis=(0, 1))  # (subject, region)

    own, other = by_subject(found), by_subject(base)
    regions = np.nanmean(own, axis=0)
    text = " / ".join(f"{dice:.3f}" for dice in regions)
    if found is base:
        return text
    _, low, high = bootstrap(lambda rows: np.nanmean((own - other)[rows], axis=0).mean(), range(len(own)))
    return f"{text} ({100 * low:+.1f} to {100 * high:+.1f})"


def main() -> None:
    """Print a table: a row a strategy; regions over all subsets, over those of one or two, and with all four."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=160)
    parser.add_argument("--tested", type=int, default=80)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--strategies", nargs="*")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", "Mean of empty slice")  # a region that a subject does not have
    recipe = Recipe(network, options.epochs * -(-options.subjects // 8), 8, mirrored)
    every = strategies(recipe)
    chosen = {name: every[name] for name in dict.fromkeys([BASE, *(options.strategies or every)])}
    tested = cohort(options.tested, 1000, 0.0)
    answers: dict[str, list[np.ndarray]] = {name: [] for name in chosen}
    for seed in range(options.seeds):
        learnt = cohort(options.subjects, seed, options.rate)
        for name, train in chosen.items():
            torch.manual_seed(seed)
            start = time.perf_counter()
            answers[name].append(scores(train(*learnt), *tested))
            mean = np.nanmean(answers[name][-1][..., : len(REGIONS)])
            print(f"seed {seed}, {name}: {mean:.3f}, {time.perf_counter() - start:.0f} s", flush=True)
    few = [k for k, subset in enumerate(SUBSETS) if len(subset) <= 2]
    groups = {"all 15 subsets": list(range(15)), "one or two left": few, "all four": [14]}
    print(
        f"\n{options.subjects} to learn from, {options.tested} tested, {options.seeds} seeds, "
        f"missing {options.rate}, {options.epochs} epochs: {' / '.join(REGIONS)}\n"
    )
    print(f"| strategy | {' | '.join(groups)} | false alarms |\n|---|{'---|' * (len(groups) + 1)}")
    base = np.stack(answers[BASE])
    for name, found in answers.items():
        stacked = base if name == BASE else np.stack(found)
        cells = [summary(stacked, base, subsets) for subsets in groups.values()]
        print(f"| {name} | {' | '.join(cells)} | {np.nanmean(stacked[..., -1]):.2f} |", flush=True)


if __name__ == "__main__":
    main()
