"""What the probabilities of a network's tasks are corrected by, as it was fitted and is kept beside the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json, write_json
from polyscan.files.schema import decoded, encoded
from polyscan.inference.calibration import CALIBRATIONS, Calibration
from polyscan.inference.conformal import ConformalSets
from polyscan.inference.feature_distance import FeatureDistance
from polyscan.inference.volume_intervals import VolumeIntervals
from polyscan.study.prediction import CalibrationMethod

FORMAT_VERSION = 4


@dataclass(frozen=True)
class TaskCalibration:
    """Temperatures and prediction sets of a network's tasks, volumes of its regions, what its scans look like to it.

    Attributes:
        tasks: task to its classes, in the order of the logits.
        modalities: of the network, in order.
        temperatures: of the tasks that have been calibrated, with what ``method`` adds to them.
        sets: likewise.
        weights: fingerprint of the weights that it was fitted with.
        distances: modality to the distance of its features from those of the studies that it was fitted on; only
            modalities that enough of them have.
        method: by which the probabilities are calibrated.
        volumes: of the regions of a segmentation.
    """

    tasks: Mapping[str, Sequence[str]]
    modalities: Sequence[str]
    temperatures: Mapping[str, Calibration]
    sets: Mapping[str, ConformalSets]
    weights: str = ""
    distances: Mapping[str, FeatureDistance] = field(default_factory=dict)
    method: CalibrationMethod = "temperature"
    volumes: VolumeIntervals | None = None

    def typicality(self, described: Tensor, available: Tensor) -> dict[str, float]:
        """Modality that is there to how often a study as those of the calibration is as far from them.

        Args:
            described: (modality, feature), see :attr:`polyscan.inference.KeptFeatures.described`.
            available: (modality,) bool.
        """
        return {
            name: round(self.distances[name].p_value(described[m].numpy()), 4)
            for m, name in enumerate(self.modalities)
            if name in self.distances and bool(available[m])
        }

    def probabilities(self, logits: Tensor, available: Tensor) -> Tensor:
        """Those of the classes of each task, calibrated where the task is, else the softmax of its logits.

        Args:
            logits: (..., classes of all tasks).
            available: (modality,) bool.
        """
        pattern = available.cpu().numpy()
        corrected = []
        for task, part in zip(self.tasks, parts_of(logits.float(), self.tasks), strict=True):
            if task in self.temperatures:
                calibrated = self.temperatures[task].probabilities(part.cpu().numpy(), pattern)
                corrected.append(torch.as_tensor(calibrated).to(part))
            else:
                corrected.append(part.softmax(-1))
        return torch.cat(corrected, dim=-1)

    def prediction_sets(self, probabilities: Tensor, available: Tensor) -> dict[str, list[str]]:
        """Of each calibrated task the classes that are not ruled out at its coverage.

        Args:
            probabilities: (classes of all tasks,), as :meth:`probabilities` gives them.
            available: (modality,) bool.
        """
        pattern, found = available.cpu().numpy(), {}
        for (task, classes), part in zip(self.tasks.items(), parts_of(probabilities.cpu(), self.tasks), strict=True):
            if task in self.sets:
                inside = self.sets[task](part.numpy(), pattern)
                found[task] = [str(name) for name, held in zip(classes, inside, strict=True) if held]
        return found

    def save(self, path: str | Path) -> None:
        """Write JSON that a person can read."""
        named = replace(self, tasks={task: list(map(str, classes)) for task, classes in self.tasks.items()})
        write_json(path, {"format_version": FORMAT_VERSION, **encoded(named), "method": self.method})


def parts_of(values: Tensor, tasks: Mapping[str, Sequence[Any]]) -> tuple[Tensor, ...]:
    """Each task's part of (..., classes of all tasks)."""
    return torch.split(values, [len(classes) for classes in tasks.values()], dim=-1)


def load_calibration(
    path: str | Path,
    tasks: Mapping[str, Sequence[str]],
    modalities: Sequence[str],
    weights: str = "",
    settings: Mapping[str, Any] | None = None,
) -> TaskCalibration:
    """What ``polyscan calibrate`` wrote; nothing is corrected where ``path`` is empty.

    Args:
        path: the file, or "".
        tasks: of the network that is to be corrected.
        modalities: of the network.
        weights: fingerprint of its weights; not compared where empty.
        settings: on which volumes depend.

    Raises:
        PolyscanError: the file is none, is of another method than it says, or was made for other tasks, modalities,
            weights or settings.
    """
    if not str(path):
        return TaskCalibration(tasks, modalities, {}, {})
    content: Any = read_json(path)
    try:
        version = content.pop("format_version")
    except (AttributeError, KeyError, TypeError):
        version = None
    if version != FORMAT_VERSION:
        raise PolyscanError(f"{path} is no calibration of this version; make it anew with polyscan calibrate.")
    found = decoded(TaskCalibration, content, str(path))
    if {type(each) for each in found.temperatures.values()} - {CALIBRATIONS[found.method]}:
        raise PolyscanError(f"{path} holds no {CALIBRATIONS[found.method].NAME}; make it anew with polyscan calibrate.")
    named = {task: list(map(str, classes)) for task, classes in tasks.items()}
    for name, told, own in (
        ("tasks", found.tasks, named),
        ("modalities", found.modalities, list(modalities)),
        ("weights", found.weights, weights or found.weights),
    ):
        if told != own:
            raise PolyscanError(f"{path} was made for other {name}; make it anew with polyscan calibrate.")
    if found.volumes and found.volumes.settings != (settings or {}):
        raise PolyscanError(
            f"{path} was made with {_listed(found.volumes.settings)}, not {_listed(settings or {})}; make it anew with "
            "polyscan calibrate and the options that infer is given."
        )
    return replace(found, tasks=tasks)


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def fit_calibration(
    tasks: Mapping[str, Sequence[str]],
    modalities: Sequence[str],
    logits: np.ndarray,
    targets: np.ndarray,
    available: np.ndarray,
    subjects: Sequence[str],
    *,
    coverage: float = 0.9,
    weights: str = "",
    method: CalibrationMethod = "temperature",
) -> TaskCalibration:
    """Fit the temperatures on one half of the subjects and the prediction sets on the other.

    Args:
        tasks: task to its classes.
        modalities: of the network.
        logits: (answer, classes of all tasks); a study may have several answers, with modalities left out.
        targets: (answer, task) index of the true class, NaN where it is not known.
        available: (answer, modality) bool.
        subjects: whose each answer is; a subject is in one half.
        coverage: of the sets.
        weights: fingerprint.
        method: one of :data:`polyscan.inference.calibration.CALIBRATIONS`.

    Raises:
        PolyscanError: no task has enough labelled subjects.
    """
    names = np.asarray(subjects)
    every, order = np.unique(names, return_inverse=True)
    first = order.ravel() % 2 == 0
    temperatures: dict[str, Calibration] = {}
    sets, start = {}, 0
    for column, (task, classes) in enumerate(tasks.items()):
        part, start = logits[:, start : start + len(classes)], start + len(classes)
        known = np.isfinite(targets[:, column])
        a, b = first & known, ~first & known
        if len(set(names[a])) < 10 or not b.any():
            continue
        true = np.where(known, targets[:, column], 0).astype(int)
        temperatures[task] = CALIBRATIONS[method].fit(part[a], true[a], available[a], tuple(modalities))
        calibrated = temperatures[task].probabilities(part[b], available[b])
        sets[task] = ConformalSets.fit(calibrated, true[b], available[b], names[b], coverage)
    if not temperatures:
        raise PolyscanError(
            f"No task has the twenty labelled subjects that calibration needs; there are {len(every)} in the section "
            "'validation'."
        )
    return TaskCalibration(tasks, modalities, temperatures, sets, weights, method=method)
