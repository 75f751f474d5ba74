"""What to do with a spoiled scan: use it as it is, treat it as absent, or drop the study.

    python benchmarks/spoiled_scans.py [--subjects 1500] [--tested 2000] [--epochs 15]

Images of the made task ``diagnosis_images``, whose best answer is known. A network is trained with modality dropout and
calibrated on subjects of its own, both with good scans. Of the subjects that it is tested on half have a spoiled FLAIR:
by noise, by motion (copies of the image, shifted along one axis, as ghosts), or cut off beyond the middle. The network
does not know; whether a scan is atypical is decided as ``polyscan infer --ignore-atypical`` does, by the distance of
its features from those of the calibration.

A row a fault: how many spoiled scans were found and how many good studies lost a scan, then the accuracy on the very
same subjects as they are, with atypical scans absent, and with all spoiled scans absent as if one knew; in brackets the
95 % interval of the difference from as they are, in points, by drawing subjects again. "drop" answers only studies
without an atypical scan: its accuracy is on those, with how many are left.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from polyscan.compare.network import drop_modalities
from polyscan.evaluation import bootstrap
from polyscan.fusion import Concatenation
from polyscan.inference import FeatureDistance, TaskCalibration
from polyscan.networks import CachedFeatures, ClassificationHead, FusionNet, UNetEncoder
from polyscan.phantom.tasks import Task, find_task
from polyscan.study.prediction import atypical

SPOILED, DROP = "FLAIR", 0.3


def noise(image: Tensor) -> Tensor:
    """Three times the noise that the scanner has."""
    return image + 8**0.5 * torch.randn(image.shape)


def motion(image: Tensor) -> Tensor:
    """Half of the image, and two ghosts of a quarter each."""
    return image / 2 + image.roll(5, -1) / 4 + image.roll(-5, -1) / 4


def cut_off(image: Tensor) -> Tensor:
    """Nothing but zeros beyond the middle."""
    cut = image.clone()
    cut[..., image.shape[-1] // 2 :] = 0
    return cut


FAULTS: dict[str, Callable[[Tensor], Tensor]] = {"noise": noise, "motion": motion, "cut off": cut_off}


def trained(task: Task, x: Tensor, y: Tensor, epochs: int) -> FusionNet:
    """A small network of images, trained with modality dropout."""
    encoder = partial(UNetEncoder, channels=(8, 16), norm="batch")
    head = partial(ClassificationHead, out_channels=len(task.classes), pool="maximum", hidden=32)
    net = FusionNet(task.modalities, encoder, [1], Concatenation, head, spatial_dims=len(task.shape))
    steps = epochs * -(-len(y) // 50)
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    chance = np.random.default_rng(0)
    for _ in range(epochs):
        for rows in torch.randperm(len(y)).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(drop_modalities(x[rows], DROP, chance)), y[rows]).backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def calibrated(task: Task, net: FusionNet, x: Tensor) -> TaskCalibration:
    """What good scans look like to the network."""
    described = CachedFeatures.of(net, x).described().numpy()
    subjects = [str(k) for k in range(len(x))]
    distances = {name: FeatureDistance.fit(described[:, m], subjects) for m, name in enumerate(task.modalities)}
    return TaskCalibration({"class": task.classes}, task.modalities, {}, {}, distances=distances)


def without_atypical(calibration: TaskCalibration, net: FusionNet, x: Tensor) -> Tensor:
    """Images whose atypical modalities are NaN, unless all are."""
    cached = CachedFeatures.of(net, x)
    left = x.clone()
    for row, (described, available) in enumerate(zip(cached.described(), cached.available, strict=True)):
        found = atypical(calibration.typicality(described, available))
        if len(found) < int(available.sum()):
            left[row, [calibration.modalities.index(name) for name in found]] = torch.nan
    return left


def interval(difference: np.ndarray) -> str:
    """95 % interval of the mean, in points, by drawing subjects again."""
    _, low, high = bootstrap(lambda rows: 100 * difference[rows].mean(), range(len(difference)))
    return f"({low:+.1f} to {high:+.1f})"


@torch.inference_mode()
def row(task: Task, net: FusionNet, calibration: TaskCalibration, fault: str, x: Tensor, y: Tensor) -> str:
    """A line of the table."""
    m = task.modalities.index(SPOILED)
    spoiled = torch.arange(len(y)) % 2 == 0
    given = x.clone()
    given[spoiled, m] = FAULTS[fault](x[spoiled, m])
    left = without_atypical(calibration, net, given)
    known = given.clone()
    known[spoiled, m] = torch.nan
    ways = {"as it is": given, "absent": left, "known": known}
    is_right = {name: (net(images).argmax(1) == y).numpy().astype(float) for name, images in ways.items()}
    gone = left.isnan().flatten(2).all(2)
    whole = ~gone.any(1).numpy()
    base = is_right["as it is"]
    cells = [f"{float(gone[spoiled, m].float().mean()):.0%}", f"{float(gone[~spoiled].any(1).float().mean()):.0%}"]
    cells += [f"{base.mean():.3f}"]
    cells += [f"{is_right[k].mean():.3f} {interval(is_right[k] - base)}" for k in ("absent", "known")]
    cells += [f"{base[whole].mean():.3f} of {whole.mean():.0%}"]
    return " | ".join([fault, *cells])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=1500)
    parser.add_argument("--tested", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    task = find_task("diagnosis_images")
    torch.manual_seed(0)
    learnt, kept, tested = (task.draw(n, seed) for seed, n in enumerate((options.subjects, 400, options.tested)))
    images = [torch.from_numpy(drawn.x).float() for drawn in (learnt, kept, tested)]
    net = trained(task, images[0], torch.from_numpy(learnt.y), options.epochs)
    with torch.inference_mode():
        calibration = calibrated(task, net, images[1])
        y = torch.from_numpy(tested.y)
        clean = float((net(images[2]).argmax(1) == y).float().mean())
    rest = [name for name in task.modalities if name != SPOILED]
    print(
        f"at best {task.accuracy(tested):.3f}, without {SPOILED} {task.accuracy(tested, rest):.3f}; network {clean:.3f}"
    )
    print("fault | found | good studies that lost a scan | as it is | atypical absent | spoiled absent | drop")
    for fault in FAULTS:
        print(row(task, net, calibration, fault, images[2], y), flush=True)


if __name__ == "__main__":
    main()
