"""Write what a network answered for a study: a mask, or the classes of its tasks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from polyscan.evaluation import region_scores, region_volumes
from polyscan.files.atomic import write_json
from polyscan.formats.nifti import write_nifti
from polyscan.study import PredictionRecord, TaskPrediction
from polyscan.study.schema import encoded
from polyscan.transforms.classify import Tasks, parts_of
from polyscan.transforms.regions import Regions, label_map


class SaveProbabilitiesd(MapTransform):
    """Keep the probabilities of regions beside the mask that is made of them, as NIfTI of (x, y, z, region).

    They are rounded to 1/4096, which makes the files a good deal smaller.

    Args:
        keys: probabilities (region, x, y, z); the affine of each is where it lies.
        output_dir: folder to write ``<study>_prob.nii.gz`` to.
        allow_missing_keys: as in MONAI.

    Adds ``probabilities``: the path.
    """

    def __init__(self, keys: KeysCollection, output_dir: str | Path, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy with the path."""
        out = dict(data)
        for key in self.key_iterator(out):
            probabilities = out[key].cpu()
            path = self.output_dir / f"{out['study']}_prob.nii.gz"
            rounded = (probabilities.as_tensor().to(torch.float32) * 4096).round() / 4096
            write_nifti(path, MetaTensor(rounded, affine=probabilities.affine))
            out["probabilities"] = str(path)
        return out


class SavePredictiond(MapTransform):
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

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy with the paths and scores beside the predictions."""
        out = dict(data)
        for key in self.key_iterator(out):
            prediction = out[key].cpu()
            path = self.output_dir / f"{out['study']}_pred.nii.gz"
            painted = label_map(prediction, self.regions)[None]
            write_nifti(path, MetaTensor(painted, affine=prediction.affine))
            known = out.get("label") is not None  # an engine adds None where there is no label
            scores = region_scores(prediction, out["label"].cpu(), self.regions) if known else {}
            out["prediction"] = PredictionRecord(
                str(path),
                scores=scores,
                regions={name: sorted(values) for name, values in self.regions.items()},
                volumes_ml=region_volumes(prediction, self.regions),
                probabilities=out.get("probabilities"),
                attributions=out.get("attributions", []),
            )
        return out


class SaveAnswerd(MapTransform):
    """Write an answer as JSON: the class of each task, the probabilities, and the explanation where there is one.

    Args:
        keys: probabilities (classes of all tasks,).
        tasks: see :data:`Tasks`.
        output_dir: folder to write ``<study>_answer.json`` to.
        allow_missing_keys: as in MONAI.

    Adds ``prediction``: a :class:`polyscan.study.PredictionRecord` with the path and what stands in the file.
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
            parts = parts_of(torch.as_tensor(out[key]).cpu(), self.tasks)
            for column, ((task, classes), part) in enumerate(zip(self.tasks.items(), parts, strict=True)):
                known = out.get("label") is not None and bool(out["label"][column].isfinite())
                answers[task] = TaskPrediction(
                    str(classes[int(part.argmax())]),
                    truth=str(classes[int(out["label"][column])]) if known else None,
                    probabilities={str(c): round(float(p), 4) for c, p in zip(classes, part, strict=True)},
                    **out.get("explanation", {}).get(task, {}),
                )
            path = self.output_dir / f"{out['study']}_answer.json"
            typicality = out.get("typicality", {})
            write_json(
                path,
                {
                    "study": out["study"],
                    "answers": {task: encoded(prediction) for task, prediction in answers.items()},
                    "typicality": typicality,
                    "ignored": out.get("ignored", []),
                },
            )
            out["prediction"] = PredictionRecord(
                str(path),
                answers=answers,
                typicality=typicality,
                ignored=out.get("ignored", []),
                attributions=out.get("attributions", []),
            )
        return out
