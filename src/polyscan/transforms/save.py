"""Write what a network answered for a study: a mask, or the classes of its tasks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.evaluation import region_scores, region_volumes
from polyscan.files.atomic import write_json
from polyscan.files.schema import encoded
from polyscan.formats.nifti import write_nifti
from polyscan.inference.task_calibration import parts_of
from polyscan.study import PredictionRecord, TaskPrediction
from polyscan.transforms.classify import Tasks
from polyscan.transforms.each_key import EachKeyTransform
from polyscan.transforms.regions import Regions, label_map

STEPS = 4096
"""To how many steps kept probabilities are rounded, which makes the files a good deal smaller."""


class SaveProbabilitiesd(EachKeyTransform):
    """Keep the probabilities of regions beside the mask that is made of them, as NIfTI of (x, y, z, region).

    They are rounded to 1 / :data:`STEPS`.

    Args:
        keys: probabilities (region, x, y, z); the affine of each is where it lies.
        output_dir: folder to write ``<study>_prob.nii.gz`` to.
        allow_missing_keys: as in MONAI.

    Adds ``probabilities``: the path.
    """

    def __init__(self, keys: KeysCollection, output_dir: str | Path, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = Path(output_dir)

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        probabilities = data[key].cpu()
        path = self.output_dir / f"{data['study']}_prob.nii.gz"
        rounded = (probabilities.as_tensor().to(torch.float32) * STEPS).round() / STEPS
        write_nifti(path, MetaTensor(rounded, affine=probabilities.affine))
        data["probabilities"] = str(path)


class SaveSegmentationd(EachKeyTransform):
    """Write a prediction as a label map in the space of the prepared scans, and score it where the truth is known.

    The truth are the regions under ``label``, on the prepared grid.

    Args:
        keys: binary predictions (region, x, y, z); the affine of each is where it lies.
        regions: see :data:`polyscan.transforms.regions.Regions`.
        output_dir: folder to write ``<study>_pred.nii.gz`` to.
        allow_missing_keys: as in MONAI.

    Adds ``prediction``: a :class:`polyscan.study.PredictionRecord` with the path, the scores and the volumes.
    """

    def __init__(
        self,
        keys: KeysCollection,
        regions: Regions,
        output_dir: str | Path,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.regions = regions
        self.output_dir = Path(output_dir)

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        prediction = data[key].cpu()
        path = self.output_dir / f"{data['study']}_pred.nii.gz"
        painted = label_map(prediction, self.regions)[None]
        write_nifti(path, MetaTensor(painted, affine=prediction.affine))
        known = data.get("label") is not None  # an engine adds None where there is no label
        scores = region_scores(prediction, data["label"].cpu(), self.regions) if known else {}
        data["prediction"] = PredictionRecord(
            str(path),
            scores=scores,
            regions={name: sorted(values) for name, values in self.regions.items()},
            volumes_ml=region_volumes(prediction, self.regions),
            confidence=data.get("confidence", {}),
            contributions=data.get("contributions", {}),
            uncertainty=data.get("uncertainty", {}),
            entropies=data.get("entropies"),
            probabilities=data.get("probabilities"),
            attributions=data.get("attributions", []),
        )


class SaveClassesd(EachKeyTransform):
    """Write an answer as JSON: the class of each task, the probabilities, and the explanation where there is one.

    Args:
        keys: probabilities (classes of all tasks,).
        tasks: see :data:`Tasks`.
        output_dir: folder to write ``<study>_answer.json`` to.
        untaught: task to the modalities that no study with a label of it had in training. From these alone the task is
            not answered, and named under ``unanswered``; what was read are the ``contributions`` of an explanation.
        allow_missing_keys: as in MONAI.

    Adds ``prediction``: a :class:`polyscan.study.PredictionRecord` with the path and what stands in the file.

    Raises:
        PolyscanError: no task can be answered.
    """

    def __init__(
        self,
        keys: KeysCollection,
        tasks: Tasks,
        output_dir: str | Path,
        untaught: Mapping[str, Sequence[str]] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.tasks = tasks
        self.untaught = untaught or {}
        self.output_dir = Path(output_dir)

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        answers = {}
        explanation = data.get("explanation", {})
        read = {name for told in explanation.values() for name in told["contributions"]}
        unanswered = [task for task in self.tasks if read and read.issubset(self.untaught.get(task, ()))]
        if len(unanswered) == len(self.tasks):
            raise PolyscanError(
                f"{data['study']} has only {', '.join(sorted(read))}, from which none of {', '.join(unanswered)} was "
                "learnt; give a scan from which one was."
            )
        parts = parts_of(torch.as_tensor(data[key]).cpu(), self.tasks)
        for column, ((task, classes), part) in enumerate(zip(self.tasks.items(), parts, strict=True)):
            if task in unanswered:
                continue
            known = data.get("label") is not None and bool(data["label"][column].isfinite())
            answers[task] = TaskPrediction(
                str(classes[int(part.argmax())]),
                truth=str(classes[int(data["label"][column])]) if known else None,
                probabilities={str(c): round(float(p), 4) for c, p in zip(classes, part, strict=True)},
                **explanation.get(task, {}),
            )
        path = self.output_dir / f"{data['study']}_answer.json"
        told = {task: encoded(prediction) for task, prediction in answers.items()}
        write_json(path, {"study": data["study"], "answers": told, "unanswered": unanswered})
        data["prediction"] = PredictionRecord(
            str(path), answers=answers, attributions=data.get("attributions", []), unanswered=unanswered
        )
