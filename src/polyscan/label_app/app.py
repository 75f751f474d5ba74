"""The MONAI Label app: its studies, models, trainers and strategies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.random import Random

from polyscan.errors import PolyscanError
from polyscan.label_app.datastore import StudyDatastore
from polyscan.label_app.service import StudyService
from polyscan.label_app.sources import FolderStudies, WebStudies
from polyscan.label_app.tasks import StudyBatchInfer, StudyInfer, StudyTrain, Uncertainty

BUNDLES = Path(__file__).resolve().parents[3] / "bundles"


class PolyscanApp(MONAILabelApp):
    """Serves bundles for a folder of studies.

    Args:
        app_dir: the folder of this file.
        studies: a folder of studies, NIfTI or DICOM, as ``polyscan scan`` reads it; or the address of a DICOMweb
            service.
        conf: ``bundles`` is a folder of bundles, polyscan's own where not given; ``models`` their names with commas
            between them, all where not given; ``cache`` where studies fetched by DICOMweb are kept.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        folder = Path(conf.get("bundles", BUNDLES))
        names = [n for n in conf.get("models", "").split(",") if n and n != "all"]
        names = names or sorted(p.parent.parent.name for p in folder.glob("*/configs/metadata.json"))
        if not names:
            raise PolyscanError(f"{folder} holds no bundle; give a folder of bundles with --conf bundles FOLDER.")
        web = studies.startswith(("http://", "https://"))
        source = WebStudies(studies, conf.get("cache")) if web else FolderStudies(studies)
        self.service = StudyService(source, [folder / name for name in names])
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="polyscan",
            description="Multimodal fusion: a study of several series is one image.",
            version="0.1.0",
        )

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Answer a request.

        Raises:
            HTTPException: 404 for a model that is not served, or what the model raises.
        """
        if request.get("model") not in self._infers:
            known = ", ".join(self._infers)
            raise HTTPException(
                status_code=404, detail=f"There is no model {request.get('model')!r}; there are {known}."
            )
        # MONAI Label puts a path in place of the study's name, and several studies may share a scan.
        answer: dict[str, Any] = super().infer({**request, "study": request.get("image")}, datastore)
        return answer

    def init_datastore(self) -> Datastore:
        """Studies as images."""
        return StudyDatastore(self.service)

    def init_infers(self) -> dict[str, InferTask]:
        """One model a bundle."""
        return {name: StudyInfer(self.service, name) for name in self.service.bundles}

    def init_trainers(self) -> dict[str, TrainTask]:
        """One trainer a bundle."""
        return {name: StudyTrain(self.service, name) for name in self.service.bundles}

    def init_strategies(self) -> dict[str, Strategy]:
        """Which study to label next."""
        return {"random": Random(), "uncertainty": Uncertainty(self.service)}

    def init_batch_infer(self) -> Callable[..., Any]:
        """All studies, of which one that cannot be answered stops no other."""
        return StudyBatchInfer()
