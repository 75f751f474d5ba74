"""Answering, answering for many, training, and choosing the next study, as MONAI Label calls them."""

from __future__ import annotations

import logging
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fastapi import HTTPException
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.batch_infer import BatchInferTask
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask

from polyscan.dicom.write_segmentation import write_segmentation
from polyscan.errors import PolyscanError, sentence
from polyscan.formats.nifti import read_nifti
from polyscan.label_app.corrections import Correction
from polyscan.label_app.found import Found, is_dicom, standing
from polyscan.label_app.masks import MaskFormat
from polyscan.label_app.service import StudyService
from polyscan.label_app.uploads import uploaded_study

logger = logging.getLogger(__name__)


class StudyInfer(InferTask):
    """Segment or classify a study with a bundle, whichever of its modalities are there.

    Parameters of a request: ``absent``, modalities to leave out; ``explain``, to be told how sure the answer is and
    which modality drove it; ``modality``, what an uploaded scan is whose name does not tell; and those of
    :class:`MaskFormat`.

    Args:
        service: answers.
        bundle: its name.
    """

    def __init__(self, service: StudyService, bundle: str) -> None:
        self.service = service
        self.bundle = service.model(bundle)
        super().__init__(
            InferType.CLASSIFICATION if self.bundle.classifies else InferType.SEGMENTATION,
            self.bundle.labels,
            3,
            self.bundle.description,
            {"explain": False, "absent": [], "modality": ["", *self.bundle.modalities]},
        )

    def info(self) -> dict[str, Any]:
        """What a client is told of the model."""
        return {**super().info(), "modalities": self.bundle.modalities, "protocol": self.bundle.protocol}

    def is_valid(self) -> bool:
        """Whether there are weights."""
        return (self.bundle.folder / "models" / "model.pt").is_file()

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Answer for ``request["image"]``, a study's name, or for ``request["upload"]``, what was uploaded.

        The answer is written to the folder ``request["out"]``.

        Raises:
            PolyscanError: the study cannot be answered, or a parameter has a value that means nothing.
        """
        out, upload = Path(request["out"]), request.get("upload")
        form, assumed = MaskFormat.asked(request), ""
        if upload is None:
            found = self.service.find(request["image"])
        else:
            study, assumed = uploaded_study(upload, self.bundle.modalities, _text(request, "modality"))
            found = Found("upload", study, standing(study))
        result, facts = self.service.answer(
            self.bundle.folder.name,
            found,
            out / "answer",
            absent=self._absent(request),
            explain=_flag(request, "explain"),
            prepared=out / "prepared" if upload is not None else None,
        )
        if request.get("output") == "dicom_seg":
            result = self._segmentation(result, found, out)
        elif not self.bundle.classifies:
            result = form.write(read_nifti(result), out / found.study.key, self.bundle.labels)
        facts["assumed"] = " ".join(filter(None, [assumed, facts.get("assumed")]))
        return str(result), {"label_names": self.bundle.labels, **facts}

    def _segmentation(self, result: Path, found: Found, out: Path) -> Path:
        """An answer as DICOM SEG of the series that it lies on."""
        if self.bundle.classifies or not is_dicom(found.shown.source):
            raise PolyscanError("Only masks on a DICOM series can be had as DICOM SEG; ask for output=image.")
        path, name = out / f"{found.study.key}.dcm", self.bundle.folder.name
        write_segmentation(path, read_nifti(result), found.shown.source, self.bundle.labels, description=name)
        return path

    def _absent(self, request: dict[str, Any]) -> list[str]:
        absent = request.get("absent") or []  # a list without entries is sent as empty text by Slicer
        names = [absent] if isinstance(absent, str) else absent
        if not isinstance(names, list) or not all(name in self.bundle.modalities for name in names):
            raise PolyscanError(f"absent is {absent!r}; expected a list of {', '.join(self.bundle.modalities)}.")
        return list(names)


def _flag(request: dict[str, Any], name: str) -> bool:
    value = request.get(name, False)
    if not isinstance(value, bool):
        raise PolyscanError(f"{name} is {value!r}; expected true or false.")
    return value


def _text(request: dict[str, Any], name: str) -> str:
    value = request.get(name) or ""
    if not isinstance(value, str):
        raise PolyscanError(f"{name} is {value!r}; expected a name.")
    return value


class StudyBatchInfer(BatchInferTask):
    """Answer for many studies; one that fails is named with its reason and stops no other."""

    def __call__(self, request: dict[str, Any], datastore: Datastore, infer: Callable[..., Any]) -> dict[str, Any]:
        """See ``BatchInferTask``."""

        def one(single: dict[str, Any], store: Datastore) -> dict[str, Any]:
            try:
                found: dict[str, Any] = infer(single, store)
            except HTTPException as error:
                return {"error": error.detail}
            return found

        if not torch.cuda.is_available():
            request = {**request, "multi_gpu": False, "device": "cpu"}
        result: dict[str, Any] = super().__call__(request, datastore, one)
        return result


class StudyTrain(TrainTask):
    """Go on training a bundle on the studies that have a final label.

    Args:
        service: trains.
        bundle: its name.
    """

    def __init__(self, service: StudyService, bundle: str) -> None:
        super().__init__(f"Go on training {bundle} on corrected labels")
        self.service = service
        self.bundle = bundle
        self._stats: dict[str, Any] = {}

    def config(self) -> dict[str, Any]:
        """What a client may change."""
        return {"max_epochs": 10}

    def stats(self) -> dict[str, Any]:
        """What the last training told."""
        return self._stats

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train; the bundle's answers come from the new weights afterwards.

        Raises:
            HTTPException: 422 with the sentence that says why it cannot be trained.
        """
        labels = {}
        for item in datastore.datalist():
            info = datastore.get_label_info(item["image_id"], "final")
            labels[item["image_id"]] = Correction(Path(item["label"]), info.get("drawn_on", ""), info.get("labels", {}))
        try:
            self._stats = self.service.train(
                self.bundle, labels, {"max_epochs": int(request.get("max_epochs", self.config()["max_epochs"]))}
            )
        except Exception as error:  # MONAI wraps what a transform says in errors of its own
            raise HTTPException(status_code=422, detail=sentence(error)) from error
        return self._stats


class Uncertainty(Strategy):
    """The unlabelled study whose answer changes most when one of its modalities is left out.

    Query by committee (Seung et al., COLT 1992) whose members are the bundle without each modality in turn.

    Args:
        service: answers.
    """

    def __init__(self, service: StudyService) -> None:
        super().__init__("The study that the model is least sure of")
        self.service = service

    def info(self) -> dict[str, Any]:
        """What a client is told, and may say: ``model`` names the bundle, ``limit`` how many studies are tried."""
        return {**super().info(), "config": {"model": list(self.service.bundles), "limit": 10}}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Choose among the unlabelled studies, by the model in use where none is named.

        Raises:
            HTTPException: 422 for a model or a limit that there is not.
        """
        model, limit = request.get("model") or self.service.in_use, request.get("limit", 10)
        if model not in self.service.bundles or not isinstance(limit, int) or limit < 1:
            known = ", ".join(self.service.bundles)
            raise HTTPException(
                status_code=422,
                detail=f"model is {model!r} and limit {limit!r}; expected one of {known} and a number from 1.",
            )
        scores = {}
        for key in sorted(datastore.get_unlabeled_images())[:limit]:
            with tempfile.TemporaryDirectory(prefix="polyscan-") as folder:
                try:
                    _, facts = self.service.answer(model, self.service.find(key), Path(folder), explain=True)
                except PolyscanError as error:
                    logger.warning("%s", error)
                    continue
                scores[key] = facts.get("uncertainty", 1.0)  # one modality alone: nothing to compare with
        if not scores:
            return None
        best = max(scores, key=lambda key: scores[key])
        return {"id": best, "weight": scores[best], "uncertainty": scores}


class AnyStudy(Strategy):
    """Any unlabelled study, the likelier the longer ago it was chosen; none is fetched for that."""

    def __init__(self) -> None:
        super().__init__("Any study that has no label")

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Choose among the studies without a final label, or without one of ``label_tag``."""
        objects, now = datastore.json()["objects"], int(time.time())
        weights = {}
        for key in datastore.get_unlabeled_images(request.get("label_tag")):
            chosen = objects[key]["image"]["info"].get("strategy", {}).get(request.get("strategy"), {})
            weights[key] = max(now - int(chosen.get("ts", 0)), 1)
        if not weights:
            return None
        key = random.choices(list(weights), weights=list(weights.values()))[0]
        return {"id": key, "weight": weights[key]}
