"""Classification of whole studies: several tasks at once, each a choice among named classes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.metrics import CumulativeIterationMetric, compute_roc_auc
from monai.networks.utils import eval_mode
from monai.transforms import MapTransform
from torch import Tensor

from polyscan.errors import PolyscanError
from polyscan.inference import Once, monte_carlo, shapley_values
from polyscan.io.files import write_json

Tasks = Mapping[str, Sequence[str]]
"""Task to the names of its classes, such as ``{"grade": ["2", "3", "4"], "IDH": ["wildtype", "mutated"]}``. The
network's answer holds the logits of the first task's classes, then those of the next."""


class TargetsFromLabeld(MapTransform):
    """Turn what is known of a study into one number a task: the index of the class, NaN where it is not known.

    Args:
        keys: labels, task to the name of the class.
        tasks: see :data:`Tasks`.
        allow_missing_keys: as in MONAI.

    Raises:
        PolyscanError: a label is no class of its task.
    """

    def __init__(self, keys: KeysCollection, tasks: Tasks, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.tasks = {name: [str(c) for c in classes] for name, classes in tasks.items()}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy with (task,) in place of the labels."""
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = torch.tensor([self._index(name, out[key], out["study"]) for name in self.tasks])
        return out

    def _index(self, task: str, label: Mapping[str, Any], study: str) -> float:
        if label.get(task) is None:
            return float("nan")
        if str(label[task]) not in self.tasks[task]:
            classes = ", ".join(self.tasks[task])
            raise PolyscanError(f"{study}: {task} is {label[task]!r}; this bundle knows {classes}.")
        return float(self.tasks[task].index(str(label[task])))


class TableFromClinicald(MapTransform):
    """Turn clinical variables into a row of a table; what was not recorded is NaN.

    Args:
        keys: clinical variables, name to value.
        numeric: name to (mean, standard deviation) that it is standardised by; they come first.
        categories: name to its values; the row holds their index. A value that is none of them counts as not recorded.
        allow_missing_keys: as in MONAI.

    Raises:
        PolyscanError: a numeric variable is no number.
    """

    def __init__(
        self,
        keys: KeysCollection,
        numeric: Mapping[str, Sequence[float]],
        categories: Mapping[str, Sequence[Any]],
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.numeric = dict(numeric)
        self.categories = {name: [str(v) for v in values] for name, values in categories.items()}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy with (variable,) in place of the variables."""
        out = dict(data)
        for key in self.key_iterator(out):
            known, row = out[key], []
            for name, (mean, deviation) in self.numeric.items():
                try:
                    row.append((float(known.get(name, "nan")) - mean) / deviation)
                except (TypeError, ValueError):
                    raise PolyscanError(f"{out['study']}: {name} is {known[name]!r}; expected a number.") from None
            for name, values in self.categories.items():
                value = str(known.get(name))
                row.append(float(values.index(value)) if value in values else float("nan"))
            out[key] = torch.tensor(row, dtype=torch.float32)
        return out


class DaysOfStudyd(MapTransform):
    """Turn the days of a study's time points into (time,); NaN where they are not known.

    Args:
        keys: days, one a time point.
        times: how many there are.
        allow_missing_keys: as in MONAI.
    """

    def __init__(self, keys: KeysCollection, times: int, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.times = times

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy with a tensor in place of the days."""
        out = dict(data)
        for key in self.key_iterator(out):
            days = [*out[key], *[float("nan")] * self.times][: self.times]
            out[key] = torch.tensor(days, dtype=torch.float32)
        return out


class TaskProbabilitiesd(MapTransform):
    """Softmax over the classes of each task.

    Args:
        keys: logits (classes of all tasks,).
        tasks: see :data:`Tasks`.
        allow_missing_keys: as in MONAI.
    """

    def __init__(self, keys: KeysCollection, tasks: Tasks, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.tasks = tasks

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy with probabilities."""
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = probabilities(torch.as_tensor(out[key]), self.tasks)
        return out


class TaskAUROC(CumulativeIterationMetric):
    """Area under the ROC curve, one class against the others, averaged over the classes, then over the tasks.

    A class that no study, or every study, has is left out; so is a study whose target is not known. NaN where nothing
    is left.

    Args:
        tasks: see :data:`Tasks`.
    """

    def __init__(self, tasks: Tasks) -> None:
        super().__init__()
        self.tasks = tasks

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **_: Any) -> Any:
        return torch.as_tensor(y_pred), y

    def aggregate(self) -> float:
        """The area over all studies seen since ``reset``."""
        pred, target = self.get_buffer()  # type: ignore[misc]
        areas = []
        for column, part in enumerate(torch.split(pred, [len(c) for c in self.tasks.values()], dim=1)):
            known = torch.isfinite(target[:, column])
            each = [
                compute_roc_auc(part[known, k], (target[known, column] == k).float())
                for k in range(part.shape[1])
                if 0 < int((target[known, column] == k).sum()) < int(known.sum())
            ]
            areas += [sum(each) / len(each)] if each else []  # type: ignore[arg-type]
        return float(sum(areas) / len(areas)) if areas else float("nan")


class ExplainAnswerd(MapTransform):
    """Say how sure an answer is and what drove it.

    ``uncertainty``: entropy of the mean of dropout samples (Gal and Ghahramani, ICML 2016), 0 sure to 1 a guess.
    ``spread``: standard deviation of the chosen class's probability over the samples.
    ``contributions``: Shapley values of the modalities that are there, and of each further input as a whole, for the
    probability of the chosen class; with 1 / classes, a guess, they sum to it.

    Args:
        keys: probabilities (classes of all tasks,).
        network: that answered.
        modalities: order of the image's channels, as many channels each.
        tasks: see :data:`Tasks`.
        inputs: entries that the network takes behind the image. One that is NaN throughout plays no part.
        samples: of dropout.
        allow_missing_keys: as in MONAI.

    Adds ``explanation``: task to the three.
    """

    def __init__(
        self,
        keys: KeysCollection,
        network: torch.nn.Module,
        modalities: Sequence[str],
        tasks: Tasks,
        inputs: Sequence[str] = (),
        samples: int = 20,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.network = network
        self.modalities = list(modalities)
        self.tasks = tasks
        self.inputs = list(inputs)
        self.samples = samples

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy with the explanation."""
        out = dict(data)
        for key in self.key_iterator(out):
            device = next(self.network.parameters()).device
            image = torch.as_tensor(out["image"]).to(device)[None]
            others = [torch.as_tensor(out[name]).to(device)[None] for name in self.inputs]
            with eval_mode(self.network):
                samples = monte_carlo(self.network, image, self.samples, others=others)
                values = self._contributions(image, others)
            out["explanation"] = {
                task: _explain(name, sample, {p: v[first : first + len(self.tasks[task])] for p, v in values.items()})
                for (task, name, first), sample in zip(
                    _chosen(out[key], self.tasks),
                    _parts(probabilities(samples[:, 0], self.tasks), self.tasks),
                    strict=True,
                )
            }
        return out

    def _contributions(self, image: Tensor, others: list[Tensor]) -> dict[str, Tensor]:
        """Player to its Shapley value (classes of all tasks,)."""
        with torch.inference_mode():
            ask = Once(self.network, image, others, len(self.modalities))
        there = [m for m in range(len(self.modalities)) if bool(ask.available[0, m])]
        more = [k for k, other in enumerate(others) if bool(other.isfinite().any())]
        guess = torch.cat([torch.full((len(c),), 1 / len(c)) for c in self.tasks.values()])

        @torch.inference_mode()
        def value(players: frozenset[int]) -> Tensor:
            chosen = torch.zeros_like(ask.available)
            chosen[0, [m for i, m in enumerate(there) if i in players]] = True
            left = {k for i, k in enumerate(more, start=len(there)) if i not in players}
            rest = [torch.full_like(other, torch.nan) if k in left else other for k, other in enumerate(others)]
            if not players:
                return guess
            logits = ask(chosen, rest) if bool(chosen.any()) else self.network(torch.full_like(image, torch.nan), *rest)
            return probabilities(logits[0], self.tasks).cpu()

        names = [self.modalities[m] for m in there] + [self.inputs[k] for k in more]
        return dict(zip(names, shapley_values(value, len(names)), strict=True))


class SaveAnswerd(MapTransform):
    """Write an answer as JSON: the class of each task, the probabilities, and the explanation where there is one.

    Args:
        keys: probabilities (classes of all tasks,).
        tasks: see :data:`Tasks`.
        output_dir: folder to write ``<study>_answer.json`` to.
        allow_missing_keys: as in MONAI.

    Adds ``answer``: ``prediction`` (path) and ``answers`` (what stands in the file, with the truth where known).
    """

    def __init__(
        self, keys: KeysCollection, tasks: Tasks, output_dir: str | Path, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.tasks = tasks
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy with the answer."""
        out = dict(data)
        for key in self.key_iterator(out):
            answers = {}
            parts = _parts(torch.as_tensor(out[key]).cpu(), self.tasks)
            for column, ((task, classes), part) in enumerate(zip(self.tasks.items(), parts, strict=True)):
                answer: dict[str, Any] = {
                    "answer": str(classes[int(part.argmax())]),
                    "probabilities": {str(c): round(float(p), 4) for c, p in zip(classes, part, strict=True)},
                    **out.get("explanation", {}).get(task, {}),
                }
                if out.get("label") is not None and bool(out["label"][column].isfinite()):
                    answer["truth"] = str(classes[int(out["label"][column])])
                answers[task] = answer
            path = self.output_dir / f"{out['study']}_answer.json"
            write_json(path, {"study": out["study"], "answers": answers})
            out["answer"] = {"prediction": str(path), "answers": answers}
        return out


def probabilities(logits: Tensor, tasks: Tasks) -> Tensor:
    """Softmax over the classes of each task, on the last axis."""
    return torch.cat([part.float().softmax(-1) for part in _parts(logits, tasks)], dim=-1)


def _parts(values: Tensor, tasks: Tasks) -> tuple[Tensor, ...]:
    return torch.split(values, [len(classes) for classes in tasks.values()], dim=-1)


def _chosen(values: Tensor, tasks: Tasks) -> list[tuple[str, int, int]]:
    """Each task with the index of its most probable class and where its classes begin."""
    chosen, first = [], 0
    for (task, classes), part in zip(tasks.items(), _parts(torch.as_tensor(values), tasks), strict=True):
        chosen.append((task, int(part.argmax()), first))
        first += len(classes)
    return chosen


def _explain(chosen: int, samples: Tensor, values: Mapping[str, Tensor]) -> dict[str, Any]:
    mean = samples.mean(0)
    entropy = -(mean * mean.clamp_min(1e-12).log()).sum() / torch.log(torch.tensor(float(len(mean))))
    return {
        "uncertainty": round(float(entropy), 4),
        "spread": round(float(samples[:, chosen].std()), 4),
        "contributions": {player: round(float(value[chosen]), 4) for player, value in values.items()},
    }
