"""What to do with a spoiled scan when a tumour is marked: use it as it is, treat it as absent, or drop the study.

    python benchmarks/spoiled_segmentation.py [--subjects 160] [--kept 120] [--tested 80] [--epochs 16]

The patches and the small U-Net of ``missing_segmentation.py``, trained with modality dropout on subjects who lack each
contrast in 20 % and calibrated on others, who have all, as those tested. Every tested subject is answered with a good
FLAIR and with one that is spoiled by noise, by motion (copies of the image, shifted along one axis, as ghosts), or cut
off beyond the middle, and z-scored anew. The network does not know; whether a scan is atypical is decided as
``polyscan infer --ignore-atypical`` does.

A row a fault: how many spoiled scans were found, how many subjects lost another scan, and Dice, mean over regions and
then over subjects, as it is, with atypical scans absent, and with FLAIR absent as if one knew; in brackets the 95 %
interval of the difference from as it is, in points, by drawing subjects again. "drop" answers only subjects without an
atypical scan, of whom half have a good FLAIR and half a spoiled one.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import numpy as np
import torch
from missing_segmentation import BASE, CONTRASTS, Recipe, cohort, counts, dice, mirrored, network, strategies
from numpy.typing import NDArray
from spoiled_scans import interval
from torch import Tensor

from polyscan.inference import TaskCalibration
from polyscan.inference.feature_distance import distances_of
from polyscan.networks import CachedFeatures, FusionNet
from polyscan.study.prediction import atypical

SPOILED = CONTRASTS.index("FLAIR")


def noise(scan: Tensor) -> Tensor:
    """As much noise as the scan varies."""
    return scan + torch.randn(scan.shape)


def motion(scan: Tensor) -> Tensor:
    """Half of the image, and two ghosts of a quarter each."""
    return scan / 2 + scan.roll(4, -1) / 4 + scan.roll(-4, -1) / 4


def cut_off(scan: Tensor) -> Tensor:
    """Nothing but the darkest value beyond the middle."""
    cut = scan.clone()
    cut[..., scan.shape[-1] // 2 :] = scan.min()
    return cut


FAULTS: dict[str, Callable[[Tensor], Tensor]] = {"noise": noise, "motion": motion, "cut off": cut_off}


def spoiled(image: Tensor, fault: Callable[[Tensor], Tensor]) -> Tensor:
    """(subject, contrast, x, y, z) whose FLAIR is spoiled and z-scored."""
    given = image.clone()
    for subject in given:
        scan = fault(subject[SPOILED])
        subject[SPOILED] = (scan - scan.mean()) / scan.std()
    return given


def calibrated(net: FusionNet, image: Tensor) -> TaskCalibration:
    """What good scans look like to the network."""
    described = CachedFeatures.of(net, image).described().numpy()
    seen = {m: [(str(k), each[n]) for k, each in enumerate(described)] for n, m in enumerate(CONTRASTS)}
    return TaskCalibration({}, CONTRASTS, {}, {}, distances=distances_of(seen))


def without_atypical(calibration: TaskCalibration, net: FusionNet, image: Tensor) -> Tensor:
    """Images whose atypical contrasts are NaN, unless all are."""
    cached, left = CachedFeatures.of(net, image), image.clone()
    for subject, described, available in zip(left, cached.described(), cached.available, strict=True):
        found = atypical(calibration.typicality(described, available))
        if len(found) < len(CONTRASTS):
            subject[[CONTRASTS.index(name) for name in found]] = torch.nan
    return left


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("subjects", 160), ("kept", 120), ("tested", 80), ("epochs", 16)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", "Mean of empty slice")  # a region that a subject does not have
    torch.manual_seed(0)
    learnt, (image, regions) = cohort(options.subjects, 0, 0.2), cohort(options.tested, 1000, 0.0)
    recipe = Recipe(network, options.epochs * -(-options.subjects // 8), 8, mirrored)
    net = strategies(recipe)[BASE](*learnt)

    def score(given: Tensor) -> NDArray[np.float64]:
        return np.asarray(np.nanmean(dice(counts(net, given, regions, [range(len(CONTRASTS))]))[0], axis=1))

    with torch.inference_mode():
        calibration = calibrated(net, cohort(options.kept, 2000, 0.0)[0])
        good = without_atypical(calibration, net, image)
        lost = good.isnan().flatten(2).all(2)
        print(
            f"good scans: Dice {score(image).mean():.3f}, with atypical scans absent {score(good).mean():.3f} "
            f"{interval(score(good) - score(image))}; {float(lost.any(1).float().mean()):.0%} lost a scan"
        )
        print("| FLAIR spoiled by | found | lost another | as it is | atypical absent | FLAIR absent | drop |")
        for name, fault in FAULTS.items():
            given = spoiled(image, fault)
            known = image.clone()
            known[:, SPOILED] = torch.nan
            left = without_atypical(calibration, net, given)
            gone = left.isnan().flatten(2).all(2)
            others = gone[:, [m for m in range(len(CONTRASTS)) if m != SPOILED]].any(1)
            base = score(given)
            cells = [f"{float(gone[:, SPOILED].float().mean()):.0%}", f"{float(others.float().mean()):.0%}"]
            cells += [f"{base.mean():.3f}"]
            cells += [f"{score(x).mean():.3f} {interval(score(x) - base)}" for x in (left, known)]
            whole = np.concatenate([~lost.any(1).numpy(), ~gone.any(1).numpy()])
            both = np.concatenate([score(image), base])
            cells += [f"{both[whole].mean():.3f} of {whole.mean():.0%}"]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
