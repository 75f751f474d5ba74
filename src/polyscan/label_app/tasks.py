"""Answering, answering for many, training, and choosing the next study, as MONAI Label calls them."""

from __future__ import annotations

import logging
import tempfile
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

from polyscan.errors import PolyscanError, sentence
from polyscan.label_app.service import StudyService
from polyscan.label_app.uploads import uploaded_study

logger = logging.getLogger(__name__)


class StudyInfer(InferTask):
    """Segment or classify a study with a bundle, whichever of its modalities are there.

    Parameters of a request: ``absent``, modalities to leave out; ``explain``, to be told how sure the answer is and
    which modality drove it; ``modality``, what an uploaded scan is whose name does not tell.

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
        study, assumed = (
            uploaded_study(upload, self.bundle.modalities, _text(request, "modality"))
            if upload is not None
            else (self.service.study(request["image"]), "")
        )
        result, facts = self.service.answer(
            self.bundle.folder.name,
            study,
            out / "answer",
            absent=self._absent(request),
            explain=_flag(request, "explain"),
            prepared=out / "prepared" if upload is not None else None,
        )
        return str(result), {"label_names": self.bundle.labels, "assumed": assumed, **facts}

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
        labels = {item["image_id"]: Path(item["label"]) for item in datastore.datalist()}
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

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Choose among the unlabelled studies; ``model`` names the bundle, ``limit`` how many are tried (10)."""
        model = request.get("model") or next(iter(self.service.bundles))
        scores = {}
        for key in sorted(datastore.get_unlabeled_images())[: int(request.get("limit", 10))]:
            with tempfile.TemporaryDirectory(prefix="polyscan-") as folder:
                try:
                    _, facts = self.service.answer(model, self.service.study(key), Path(folder), explain=True)
                except PolyscanError as error:
                    logger.warning("%s", error)
                    continue
                scores[key] = facts.get("uncertainty", 1.0)  # one modality alone: nothing to compare with
        if not scores:
            return None
        best = max(scores, key=lambda key: scores[key])
        return {"id": best, "weight": scores[best], "uncertainty": scores}
