"""The studies of a comparison, as vectors or small images in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from polyscan.bundle.fragment import read_fragment
from polyscan.compare.protocol import Protocol
from polyscan.errors import PolyscanError
from polyscan.evaluation.folds import deal_folds
from polyscan.phantom.tasks import Drawn, Task, find_task
from polyscan.study import Study
from polyscan.study.manifest import read_manifest
from polyscan.study.outputs import sources_of
from polyscan.transforms import LoadTablesd


@dataclass(frozen=True)
class Cohort:
    """Studies, each a vector or an image a modality, and their classes.

    Attributes:
        x: (study, modality, value) or (study, modality, x, y) float32; NaN is not recorded, and throughout where a
            modality is missing.
        y: (study,) the class, an index.
        patients: (study,) a patient's studies are never in two folds.
        modalities: names, of those that some study has.
        classes: names.
        task, drawn: of a task with a known optimum.
        sources: files that were read.
    """

    x: torch.Tensor
    y: NDArray[np.int64]
    patients: NDArray[Any]
    modalities: list[str]
    classes: list[str]
    task: Task | None = None
    drawn: Drawn | None = None
    sources: Sequence[Path] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of what networks learn from."""
        digest = hashlib.sha256(self.x.numpy().tobytes())
        digest.update(repr((self.y.tolist(), self.patients.tolist(), self.modalities, self.classes)).encode())
        return digest.hexdigest()

    @property
    def fewest(self) -> int:
        """Patients of the rarest class."""
        return min(len(set(self.patients[self.y == k])) for k in range(len(self.classes)))

    def folds(self, count: int, seed: int) -> NDArray[np.intp]:
        """(study,) the fold of each: classes as even as patients allow, drawn anew for each seed.

        Raises:
            PolyscanError: there are fewer patients of a class than folds.
        """
        if self.fewest < count:
            raise PolyscanError(f"The rarest class has {self.fewest} patients; {count} folds need as many at least.")
        return np.array(deal_folds(self.patients.tolist(), self.y.tolist(), count, seed))

    def optimum(self, rows: NDArray[np.intp], modalities: list[str] | None = None) -> float | None:
        """The best accuracy on some studies, where it is known."""
        if self.task is None or self.drawn is None:
            return None
        return self.task.accuracy(Drawn(self.drawn.x[rows], self.drawn.y[rows], self.drawn.missing), modalities)


def load_cohort(protocol: Protocol) -> Cohort:
    """Draw the task, or read the tables, that a protocol names.

    Raises:
        PolyscanError: it names neither, or they cannot be used.
    """
    told = dict(protocol.cohort)
    if "task" in told:
        return _made(told)
    if "manifest" in told:
        return _read(told, Path(protocol.root))
    raise PolyscanError("The cohort of the protocol has neither a task nor a manifest; name one.")


def _made(told: dict[str, Any]) -> Cohort:
    if unknown := sorted(set(told) - {"task", "options", "subjects", "seed", "missing"}):
        raise PolyscanError(
            f"The cohort has {', '.join(unknown)}; with a task it may have options, subjects, seed and missing."
        )
    task = find_task(told["task"], **told.get("options", {}))
    drawn = task.draw(int(told.get("subjects", 1000)), int(told.get("seed", 0)), told.get("missing"))
    x = torch.from_numpy(drawn.x).float()
    return Cohort(x, drawn.y, np.arange(len(drawn.y)), task.modalities, task.classes, task, drawn)


def _read(told: dict[str, Any], root: Path) -> Cohort:
    if unknown := sorted(set(told) - {"manifest", "config", "target"}):
        raise PolyscanError(f"The cohort has {', '.join(unknown)}; with a manifest it may have config and target.")
    beside = root / told["config"]
    config = read_fragment(beside if beside.is_file() else told["config"], "train")
    manifest = root / told["manifest"]
    load = LoadTablesd("image", config["tables"])
    target = told["target"]
    studies = [study for study in read_manifest(manifest).studies if study.label.tasks.get(target) is not None]
    classes = sorted({str(study.label.tasks[target]) for study in studies})
    if len(classes) < 2:
        raise PolyscanError(f"{manifest} has {len(classes)} classes of {target}; expected two at least.")

    def table(study: Study) -> torch.Tensor:
        files = {name: scan.path for name, scan in study.scans.items()}
        return load({"study": study.key, "image": files, "clinical": study.clinical})["image"].as_tensor()

    x = torch.stack([table(study) for study in studies])
    names = list(config["tables"])
    recorded = [m for m in range(len(names)) if bool(x[:, m].isfinite().any())]
    return Cohort(
        x[:, recorded],
        np.array([classes.index(str(study.label.tasks[target])) for study in studies]),
        np.array([study.subject for study in studies]),
        [names[m] for m in recorded],
        classes,
        sources=sources_of(studies),
    )
