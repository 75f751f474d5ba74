"""Classification of whole studies: several tasks at once, each a choice among named classes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from torch import Tensor

from polyscan.errors import PolyscanError
from polyscan.inference.task_calibration import parts_of
from polyscan.transforms.each_key import EachKeyTransform
from polyscan.transforms.standardised import standardised, word_of

Tasks = Mapping[str, Sequence[str]]
"""Task to the names of its classes, such as ``{"grade": ["2", "3", "4"], "IDH": ["wildtype", "mutated"]}``. The
network's answer holds the logits of the first task's classes, then those of the next."""


class TargetsFromLabeld(EachKeyTransform):
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

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        data[key] = torch.tensor([self._index(name, data[key], data["study"]) for name in self.tasks])

    def _index(self, task: str, label: Mapping[str, Any], study: str) -> float:
        if label.get(task) is None:
            return float("nan")
        if str(label[task]) not in self.tasks[task]:
            classes = ", ".join(self.tasks[task])
            raise PolyscanError(f"{study}: {task} is none of the classes that this bundle knows: {classes}.")
        return float(self.tasks[task].index(str(label[task])))


class TableFromClinicald(EachKeyTransform):
    """Turn clinical variables into a row of a table; what was not recorded is NaN.

    Args:
        keys: clinical variables, name to value.
        numeric: name to (mean, standard deviation) that it is standardised by; they come first.
        categories: name to its values; the row holds their index. A value that is none of them is refused; where the
            item has a list ``unread`` it counts as not recorded, and the list gets its name.
        allow_missing_keys: as in MONAI.

    Raises:
        PolyscanError: a numeric variable is no number, or one that only another unit can give, or a category is none
            that is known.
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

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        known, row = data[key], []
        for name, (mean, deviation) in self.numeric.items():
            row.append(standardised(known.get(name), mean, deviation, name, data["study"]))
        for name, values in self.categories.items():
            told = None if known.get(name) is None else str(known[name])
            word = word_of(told, values, name, data["study"], data.get("unread"))
            row.append(float("nan") if word is None else float(values.index(word)))
        data[key] = torch.tensor(row, dtype=torch.float32)


class DaysOfStudyd(EachKeyTransform):
    """Turn the days of a study's time points into (time,); NaN where they are not known.

    Args:
        keys: days, one a time point.
        times: how many there are.
        allow_missing_keys: as in MONAI.
    """

    def __init__(self, keys: KeysCollection, times: int, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.times = times

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        days = [*data[key], *[float("nan")] * self.times][: self.times]
        data[key] = torch.tensor(days, dtype=torch.float32)


class TaskProbabilitiesd(EachKeyTransform):
    """Softmax over the classes of each task.

    Args:
        keys: logits (classes of all tasks,).
        tasks: see :data:`Tasks`.
        allow_missing_keys: as in MONAI.
    """

    def __init__(self, keys: KeysCollection, tasks: Tasks, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.tasks = tasks

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        data[key] = probabilities(torch.as_tensor(data[key]), self.tasks)


def probabilities(logits: Tensor, tasks: Tasks) -> Tensor:
    """Softmax over the classes of each task, on the last axis."""
    return torch.cat([part.float().softmax(-1) for part in parts_of(logits, tasks)], dim=-1)
