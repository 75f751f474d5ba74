"""Every strategy against missing modalities beside what can be had at best, on made tasks.

    python benchmarks/missing_modalities.py [--task diagnosis] [--subjects 600] [--tested 10000] [--seeds 3]
        [--rate 0.2] [--by-label] [--epochs 60] [--strategies NAME ...]

Vectors of a task with a known optimum (``polyscan.phantom.tasks``); training subjects lack each modality at a rate, or,
``--by-label``, at a rate of its own for each class, in training and in testing alike. The same network for all
(``VectorEncoder``, ``Concatenation``). Tested: the same test subjects with all modalities (as they
come, ``--by-label``), with each one gone and with one left. Accuracy is the mean over seeds; in brackets the 95 %
interval of the difference from "as it comes", paired by seed and subject, by drawing test subjects again. "oracle" is
the Bayes posterior on the very test subjects, "trained for it" a network for exactly that subset of the modalities.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  it makes the next import possible
from sklearn.impute import IterativeImputer, KNNImputer
from torch import Tensor

from polyscan import missing
from polyscan.evaluation import bootstrap
from polyscan.fusion import Concatenation, FlexMixtureOfExperts, LatentAttention, SharedSpecific
from polyscan.learning import MulticlassLoss, OneHotTasks, WithAuxiliaryLosses, WithDistillation
from polyscan.networks import FusionNet, MulticlassHead, VectorEncoder
from polyscan.phantom.tasks import Drawn, Task, find_task

DROP = 0.3
BASE = "as it comes"
Predict = Callable[[np.ndarray], np.ndarray]


def network(task: Task, fusion: Callable) -> FusionNet:
    head = partial(MulticlassHead, tasks={"label": task.classes}, dropout=0.1, hidden=32)
    encoder = partial(VectorEncoder, size=task.shape[0], channels=(32,))
    return FusionNet(task.modalities, encoder, [0], fusion, head, spatial_dims=1)


def dropped(image: Tensor, rate: float) -> Tensor:
    """Each modality gone with a probability, one that is there always kept, as ``RandModalityDropoutd`` does."""
    there = torch.isfinite(image).any(2)
    chance = torch.rand(there.shape).masked_fill(~there, -1.0)
    gone = (chance < rate) & (chance < chance.max(1, keepdim=True).values)
    return image.masked_fill(gone[:, :, None], torch.nan)


def trained(
    task: Task, x: np.ndarray, y: np.ndarray, epochs: int, fusion: Callable, rate: float, distil: bool
) -> Predict:
    """Train a network; what is returned answers with a class."""
    net = network(task, fusion)
    loss = MulticlassLoss({"label": task.classes})
    one_hot = OneHotTasks({"label": task.classes})
    step = WithDistillation(net, one_hot, loss) if distil else WithAuxiliaryLosses(net, one_hot)
    image, target = torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y, dtype=torch.float32)[:, None]
    steps = epochs * -(-len(y) // 64)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    step.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(y)).split(64):
            optimizer.zero_grad()
            logits, auxiliary = step(dropped(image[rows], rate), target[rows])
            (loss(logits, target[rows]) + sum(auxiliary.values())).backward()
            optimizer.step()
            schedule.step()
    net.eval()

    @torch.inference_mode()
    def predict(values: np.ndarray) -> np.ndarray:
        return net(torch.as_tensor(values, dtype=torch.float32)).argmax(1).numpy()

    return predict


def filled(fill: Callable[[np.ndarray], np.ndarray], fit: Callable[[np.ndarray], Predict], x: np.ndarray) -> Predict:
    """A network that is given whole vectors, by what fills them."""
    inner = fit(fill(x))
    return lambda values: inner(fill(values))


def imputed(imputer: object, x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    imputer.fit(x.reshape(len(x), -1))  # type: ignore[attr-defined]
    return lambda values: imputer.transform(values.reshape(len(values), -1)).reshape(values.shape)  # type: ignore[attr-defined]


def strategies(task: Task, epochs: int) -> dict[str, Callable[[np.ndarray, np.ndarray], Predict]]:
    """Name to what trains it, from (subject, modality, value) and classes."""

    def layer(fusion: Callable, rate: float = DROP, distil: bool = False) -> Callable:
        return lambda x, y: trained(task, x, y, epochs, fusion, rate, distil)

    def complete(x: np.ndarray, y: np.ndarray) -> Predict:
        rows = np.isfinite(x).all((1, 2))
        return filled(np.nan_to_num, lambda whole: layer(Concatenation, 0.0)(whole, y[rows]), x[rows])

    def zeros(x: np.ndarray, y: np.ndarray) -> Predict:
        return filled(np.nan_to_num, lambda whole: layer(Concatenation, 0.0)(whole, y), x)

    def by(make: Callable[[], object]) -> Callable:
        return lambda x, y: filled(imputed(make(), x), lambda whole: layer(Concatenation, 0.0)(whole, y), x)

    return {
        BASE: layer(Concatenation, 0.0),
        "zeros, complete subjects alone": complete,
        "zeros": zeros,
        "kNN imputation of values": by(lambda: KNNImputer(n_neighbors=10)),
        "iterative imputation of values": by(lambda: IterativeImputer(max_iter=5, random_state=0)),
        "ModalityDropout": layer(Concatenation),
        **{kind.__name__: layer(partial(kind, fusion=Concatenation)) for kind in missing.strategies()},
        **{kind.__name__: layer(kind) for kind in (SharedSpecific, FlexMixtureOfExperts, LatentAttention)},
        "Distillation": layer(Concatenation, 0.0, True),
    }


def cases(task: Task) -> dict[str, list[str]]:
    """What is left in each test."""
    names = task.modalities
    without = (
        {f"without {name}": [other for other in names if other != name] for name in names} if len(names) > 2 else {}
    )
    return {"all": list(names), **without, **{f"{name} alone": [name] for name in names}}


def draw(task: Task, subjects: int, seed: int, rate: float, by_label: bool) -> Drawn:
    rates = [rate, min(2.5 * rate, 0.9)] if by_label else rate
    return task.draw(subjects, seed, missing=dict.fromkeys(task.modalities, rates))


def summary(right: np.ndarray, base: np.ndarray | None) -> str:
    """Accuracy of (seed, subject), and the interval of its difference from ``base``."""
    text = f"{right.mean():.3f}"
    if base is None:
        return text
    each = (right - base).mean(0)
    _, low, high = bootstrap(lambda rows: each[rows].mean(), range(len(each)))
    return f"{text} ({100 * low:+.1f} to {100 * high:+.1f})"


def only(task: Task, x: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Values of some modalities, the others NaN."""
    left = x.copy()
    left[:, [name not in names for name in task.modalities]] = np.nan
    return left


def run(task: Task, seed: int, options: argparse.Namespace) -> Iterator[tuple[str, str, np.ndarray]]:
    """Strategy, case and which of the tested subjects are answered rightly."""
    learnt = draw(task, options.subjects, 2 * seed + 1, options.rate, options.by_label)
    tested = draw(task, options.tested, 2 * seed + 2, options.rate if options.by_label else 0.0, options.by_label)
    left = cases(task)
    subjects = {case: only(task, tested.x, names) for case, names in left.items()}
    for case, names in left.items():
        yield "oracle", case, task.posterior(tested, names).argmax(1) == tested.y
    every = strategies(task, options.epochs)
    for name in options.strategies or every:
        torch.manual_seed(seed)
        predict = every[name](learnt.x, learnt.y)
        for case, x in subjects.items():
            yield name, case, predict(x) == tested.y
    for case, names in left.items():
        torch.manual_seed(seed)
        x = only(task, learnt.x, names)
        rows = np.isfinite(x).any((1, 2))
        predict = trained(task, x[rows], learnt.y[rows], options.epochs, Concatenation, 0.0, False)
        yield "trained for it", case, predict(subjects[case]) == tested.y


def main() -> None:
    """Print a table: a row a strategy; columns all, one gone and one left, each the mean over which."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="diagnosis")
    parser.add_argument("--subjects", type=int, default=600)
    parser.add_argument("--tested", type=int, default=10000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--by-label", action="store_true")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--strategies", nargs="*")
    options = parser.parse_args()
    task = find_task(options.task)
    right: dict[str, dict[str, list[np.ndarray]]] = {}
    for seed in range(options.seeds):
        for name, case, answered in run(task, seed, options):
            right.setdefault(name, {}).setdefault(case, []).append(answered)
    left = cases(task)
    groups = {
        "all": ["all"],
        "one gone": [c for c in left if c.startswith("without")],
        "one left": [c for c in left if c.endswith("alone")],
    }
    groups = {name: members for name, members in groups.items() if members}
    print(
        f"{options.task}, {options.subjects} to learn from, {options.tested} tested, {options.seeds} seeds, "
        f"missing {options.rate}{' in the first class, 2.5 times in the second' if options.by_label else ''}\n"
    )
    print(f"| strategy | {' | '.join(groups)} |\n|---|{'---|' * len(groups)}")
    for name in right:
        cells = []
        for members in groups.values():
            own, base = (
                np.mean([np.array(right[who][case]) for case in members], axis=0) if who in right else None
                for who in (name, BASE)
            )
            cells.append(summary(own, None if name == BASE else base))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
