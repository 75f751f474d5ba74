"""What studies without a label are worth: each objective beside the labelled studies alone, on made tasks.

    python benchmarks/objectives.py [--task shared_latent] [--labelled 20] [--unlabelled 2000] [--tested 4000]
        [--seeds 5] [--epochs 40] [--objectives NAME NAME=WEIGHT ...]

Vectors of a task with a known optimum (``polyscan.phantom.tasks``) and the same network for all (``VectorEncoder``,
``Concatenation``, modality dropout of 0.3), trained as ``polyscan train`` does, for equally many steps. "labels alone"
sees the labelled studies only, "all labelled" has the labels of all, "oracle" is the Bayes posterior. Tested: all
modalities; each alone (mean); and a linear probe, logistic regression with the same few labels on the features of the
encoders. Accuracy is the mean over seeds; in brackets points more than with labels alone, with the 95 % interval of
Student's t over seeds, as which few studies have a label is drawn anew with each.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from polyscan.fusion import Concatenation
from polyscan.learning import MulticlassLoss, OneHotTasks, WithAuxiliaryLosses
from polyscan.learning.distillation import random_subset
from polyscan.networks import FusionNet, MulticlassHead, VectorEncoder
from polyscan.objectives import Consistency, objectives
from polyscan.phantom.tasks import Task, find_task

BATCH, DROP = 64, 0.3
ALONE, EVERY, ORACLE = "labels alone", "all labelled", "oracle"


def network(task: Task) -> FusionNet:
    head = partial(MulticlassHead, tasks={"label": task.classes}, dropout=0.1, hidden=32)
    encoder = partial(VectorEncoder, size=task.shape[0], channels=(32,))
    return FusionNet(task.modalities, encoder, [0], Concatenation, head, spatial_dims=1)


def trained(task: Task, x: Tensor, y: Tensor, steps: int, names: list[str]) -> FusionNet:
    """Train on studies of which some have a label, the others NaN."""
    net, one_hot = network(task), OneHotTasks({"label": task.classes})
    known = {kind.__name__: kind for kind in objectives()} | {"Consistency": partial(Consistency, one_hot=one_hot)}
    asked = [name.partition("=") for name in names]
    made = [known[name](net, weight=float(weight or 1)) for name, _, weight in asked]
    loss = MulticlassLoss({"label": task.classes})
    step = WithAuxiliaryLosses(net, one_hot, objectives=made).train()
    optimizer = torch.optim.AdamW(step.parameters(), lr=3e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    done = 0
    while done < steps:
        for rows in torch.randperm(len(y)).split(BATCH):
            if done == steps:
                break
            there = torch.isfinite(x[rows]).all(2)
            image = x[rows].masked_fill(~random_subset(there, DROP)[:, :, None], torch.nan)
            optimizer.zero_grad()
            logits, more = step(image, y[rows, None])
            torch.stack([loss(logits, y[rows, None]), *more.values()]).sum().backward()
            optimizer.step()
            schedule.step()
            done += 1
    return net.eval()


@torch.inference_mode()
def tested(task: Task, net: FusionNet, labelled: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> list[float]:
    """Accuracy with all modalities, with one (mean), and of a linear probe."""
    x, y = test

    def right(left: list[int]) -> float:
        gone = [m not in left for m in range(len(task.modalities))]
        return float((net(x.masked_fill(torch.tensor(gone)[None, :, None], torch.nan)).argmax(1) == y).float().mean())

    every = list(range(len(task.modalities)))
    few, many = (net.encode(each)[0][-1].flatten(1).numpy() for each in (labelled[0], x))
    scale = few.std(0) + 1e-6
    probe = LogisticRegression(C=0.1, max_iter=1000).fit(few / scale, labelled[1].numpy())
    return [right(every), float(np.mean([right([m]) for m in every])), probe.score(many / scale, y.numpy())]


def optimum(task: Task, seed: int, count: int) -> list[float]:
    """The best accuracy on the test subjects, with all modalities and with one; a probe can have no more than all."""
    drawn = task.draw(count, seed)
    every = task.accuracy(drawn)
    return [every, float(np.mean([task.accuracy(drawn, [name]) for name in task.modalities])), every]


def cell(found: np.ndarray, base: np.ndarray | None) -> str:
    """Mean over seeds, and the interval of what it is more than ``base``."""
    if base is None or len(found) < 2:
        return f"{found.mean():.3f}"
    gain = 100 * (found - base)
    half = stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain))
    return f"{found.mean():.3f} ({gain.mean() - half:+.1f} to {gain.mean() + half:+.1f})"


def main() -> None:
    """Print a row for each way to train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="shared_latent")
    parser.add_argument("--labelled", type=int, default=20)
    parser.add_argument("--unlabelled", type=int, default=2000)
    parser.add_argument("--tested", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--objectives", nargs="*", default=["Consistency", "Contrastive", "MaskedReconstruction"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    task = find_task(options.task)
    steps = options.epochs * -(-(options.labelled + options.unlabelled) // BATCH)
    ways: dict[str, list[str]] = {ALONE: [], **{name: [name] for name in options.objectives}, EVERY: []}
    found: dict[str, list[list[float]]] = {name: [] for name in (ORACLE, *ways)}
    for seed in range(options.seeds):
        drawn, test = (
            task.draw(count, 2 * seed + 1 + k)
            for k, count in enumerate((options.labelled + options.unlabelled, options.tested))
        )
        x, y = torch.as_tensor(drawn.x, dtype=torch.float32), torch.as_tensor(drawn.y, dtype=torch.float32)
        few = slice(options.labelled)
        told = torch.full_like(y, torch.nan)
        told[few] = y[few]
        held = torch.as_tensor(test.x, dtype=torch.float32), torch.as_tensor(test.y)
        found[ORACLE].append(optimum(task, 2 * seed + 2, options.tested))
        for name, names in ways.items():
            torch.manual_seed(seed)
            given = {ALONE: (x[few], y[few]), EVERY: (x, y)}.get(name, (x, told))
            net = trained(task, *given, steps, names)
            found[name].append(tested(task, net, (x[few], y[few]), held))
    print(
        f"{options.task}, {options.labelled} labelled and {options.unlabelled} unlabelled, {options.tested} tested, "
        f"{options.seeds} seeds, {steps} steps\n"
    )
    print("| | all | one left | linear probe |\n|---|---|---|---|")
    base = np.array(found[ALONE])
    for name, rows in found.items():
        each = np.array(rows)
        cells = [cell(each[:, k], None if name in (ALONE, ORACLE) else base[:, k]) for k in range(3)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
