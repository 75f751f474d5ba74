"""Answering, answering for many, and training, as MONAI Label calls them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.batch_infer import BatchInferTask
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.interfaces.tasks.train import TrainTask

from polyscan.dicom.write_segmentation import write_segmentation
from polyscan.errors import PolyscanError, sentence
from polyscan.formats.nifti import read_nifti
from polyscan.label_app.corrections import Correction
from polyscan.label_app.found import Found, is_dicom, standing
from polyscan.label_app.masks import MaskFormat, grid_of, revalued
from polyscan.label_app.parameters import flag, modality, number, text
from polyscan.label_app.service import StudyService
from polyscan.label_app.training import Training
from polyscan.label_app.uploads import uploaded_study
from polyscan.label_app.written import written

logger = logging.getLogger(__name__)

SENT_BESIDE = {"model", "client_id", "gpus", "local_rank"}
"""What clients and MONAI Label send beside a training's parameters."""


class StudyInfer(InferTask):
    """Segment or classify a study with a bundle, whichever of its modalities are there.

    Parameters of a request: ``absent``, modalities to leave out; ``explain``, to be told which modality drove each
    region of a mask; ``modality``, what an uploaded scan is whose name does not tell; ``label_prompt``, the
    numbers of the labels that are wanted; and those of :class:`MaskFormat`.

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
            # Of a list Slicer's plug-in sends the first entry, and fails at an empty one.
            {"explain": False, "absent": ["", *self.bundle.modalities], "modality": ["", *self.bundle.modalities]},
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
        form, wanted, out = MaskFormat.asked(request), self._wanted(request), Path(request["out"])
        found, result, facts = self._answered(request)
        if request.get("output") == "dicom_seg":
            result = self._segmentation(result, found, out)
        elif not self.bundle.classifies:
            mask = revalued(read_nifti(result), {value: value for value in wanted})
            result = form.write(mask, out / found.study.key, self.bundle.labels)
        return str(result), {"label_names": self.bundle.labels, **facts}

    def _answered(self, request: dict[str, Any]) -> tuple[Found, Path, dict[str, Any]]:
        """What is meant, the bundle's answer, and what is to be said of it."""
        out, upload, assumed = Path(request["out"]), request.get("upload"), ""
        if upload is None:
            found = self.service.find(request["image"])
        else:
            study, assumed = uploaded_study(upload, self.bundle.modalities, modality(request))
            found = Found("upload", study, standing(study))
        result, facts = self.service.predict(
            self.bundle.folder.name,
            found,
            out / "answer",
            absent=self._absent(request),
            explain=flag(request, "explain"),
            prepared=out / "prepared" if upload is not None else None,
        )
        facts["assumed"] = " ".join(filter(None, [assumed, facts.get("assumed")]))
        return found, result, facts

    def _segmentation(self, result: Path, found: Found, out: Path) -> Path:
        """An answer as DICOM SEG of the series that it lies on."""
        if self.bundle.classifies or not is_dicom(found.shown.source):
            raise PolyscanError("Only masks on a DICOM series can be had as DICOM SEG; ask for output=image.")
        path, name = out / f"{found.study.key}.dcm", self.bundle.folder.name
        segments = {label: [number] for label, number in self.bundle.labels.items()}
        write_segmentation(path, read_nifti(result), found.shown.source, segments, description=name)
        return path

    def _wanted(self, request: dict[str, Any]) -> list[int]:
        """The labels that OHIF's class prompts choose; all where none is."""
        labels, wanted = list(self.labels.values()), request.get("label_prompt") or []
        if not isinstance(wanted, list) or any(number not in labels for number in wanted):
            raise PolyscanError(f"label_prompt is {wanted!r}; expected a list of the model's labels, {labels}.")
        return wanted or labels

    def _absent(self, request: dict[str, Any]) -> list[str]:
        absent = request.get("absent") or []
        names = [absent] if isinstance(absent, str) else absent
        if not isinstance(names, list) or not all(name in self.bundle.modalities for name in names):
            raise PolyscanError(f"absent is {absent!r}; expected a list of {', '.join(self.bundle.modalities)}.")
        return list(names)


class AnswerOnScan(StudyInfer):
    """A classification as the viewers can show it: written onto the scan, and as the name of the label that it is.

    Slicer's and OHIF's plug-ins offer models of masks only, and have no other place for an answer.

    Args:
        service: answers.
        bundle: the name of one that classifies.
    """

    def __init__(self, service: StudyService, bundle: str) -> None:
        super().__init__(service, bundle)
        self.type, self.labels = InferType.SEGMENTATION, {f"answer of {bundle}": 1}
        self.description = f"{self.bundle.description} The answer is written onto the scan."

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """See :meth:`StudyInfer.__call__`; DICOM SEG is for masks of the body."""
        form, out = MaskFormat.asked(request), Path(request["out"])
        self._wanted(request)
        if request.get("output") == "dicom_seg":
            raise PolyscanError(f"{self.bundle.folder.name} finds no mask; ask for output=json or image.")
        found, _, facts = self._answered(request)
        lines = [
            f"{task}: {it['predicted_class']} {max(it['probabilities'].values()):.0%}"
            for task, it in facts["answers"].items()
        ]
        labels, text_on_scan = {"; ".join(lines): 1}, written(lines, grid_of(found.shown.source))
        return str(form.write(text_on_scan, out / found.study.key, labels)), {"label_names": labels, **facts}


class StudyBatchInfer(BatchInferTask):
    """Answer for many studies; one that fails is named with its reason and stops no other."""

    @staticmethod
    def check(request: dict[str, Any]) -> None:
        """Refuse parameters that mean nothing.

        Raises:
            PolyscanError: the sentence that says why.
        """
        for name in ("max_workers", "max_batch_size"):
            number(request, name, 0, 0)
        text(request, "label_tag")

    def __call__(self, request: dict[str, Any], datastore: Datastore, infer: Callable[..., Any]) -> dict[str, Any]:

        def one(single: dict[str, Any], store: Datastore) -> dict[str, Any]:
            try:
                found: dict[str, Any] = infer(single, store)
            except Exception as error:  # whatever a library makes of a bad scan
                logger.warning("a study could not be answered", exc_info=True)
                return {"error": sentence(error)}
            return found

        if not torch.cuda.is_available():
            request = {**request, "multi_gpu": False, "device": "cpu"}
        return super().__call__(request, datastore, one)


class StudyTrain(TrainTask):
    """Go on training a bundle on the studies that have a final label, or put earlier weights back.

    Args:
        service: trains.
        bundle: its name.
    """

    def __init__(self, service: StudyService, bundle: str) -> None:
        super().__init__(f"Go on training {bundle} on corrected labels")
        self.training = Training(service, bundle)

    def config(self) -> dict[str, Any]:
        """What a client may change; of a list, one entry is chosen, at first the first."""
        return {"max_epochs": 10, "put_back": ["", *self.training.weights.names]}

    def stats(self) -> dict[str, Any]:
        """What the last training told, or the one that runs tells."""
        return self.training.progress.read()

    def check(self, request: dict[str, Any]) -> None:
        """Refuse parameters that mean nothing.

        Raises:
            PolyscanError: the sentence that says why.
        """
        config = self.config()
        unknown = sorted(request.keys() - config.keys() - SENT_BESIDE)
        if unknown:
            raise PolyscanError(f"Training has no parameter {', '.join(unknown)}; it has {', '.join(config)}.")
        number(request, "max_epochs", 1, 1)
        name = request.get("put_back", "")
        if name not in config["put_back"]:
            raise PolyscanError(f"put_back is {name!r}; expected one of {', '.join(config['put_back'][1:])}.")

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train, or put back the weights that ``put_back`` names.

        Raises:
            PolyscanError: the sentence that says why it cannot be done.
        """
        self.check(request)
        if request.get("put_back"):
            self.training.weights.put(request["put_back"])
            return {"answering": self.training.weights.answering}
        labels = {}
        for item in datastore.datalist():
            info = datastore.get_label_info(item["image_id"], "final")
            labels[item["image_id"]] = Correction(Path(item["label"]), info.get("drawn_on", ""), info.get("labels", {}))
        epochs = request.get("max_epochs", self.config()["max_epochs"])
        return self.training.train(labels, {"max_epochs": epochs})
