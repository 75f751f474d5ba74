"""The MONAI Label app: its studies, models, trainers and strategies."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask

from polyscan import __version__
from polyscan.errors import PolyscanError
from polyscan.files.resources import resource_folder
from polyscan.label_app.datastore import StudyDatastore
from polyscan.label_app.routes import serve_routes
from polyscan.label_app.service import StudyService, reads_scans
from polyscan.label_app.sources import FolderStudies, WebStudies
from polyscan.label_app.strategies import AnyStudy, Uncertainty
from polyscan.label_app.tasks import AnswerOnScan, StudyBatchInfer, StudyInfer, StudyTrain


class PolyscanApp(MONAILabelApp):
    """Serves bundles for a folder of studies.

    Args:
        app_dir: the folder of this file.
        studies: a folder of studies, NIfTI or DICOM, as ``polyscan scan`` reads it; or the address of a DICOMweb
            service.
        conf: ``bundles`` is a folder of bundles, polyscan's own where not given; ``models`` their names with commas
            between them, all that read scans where not given; ``cache`` where studies fetched by DICOMweb are kept.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        folder = Path(conf.get("bundles", resource_folder("bundles")))
        names = [n for n in conf.get("models", "").split(",") if n and n != "all"]
        names = names or sorted(p.parent.parent.name for p in folder.glob("*/configs/metadata.json") if reads_scans(p))
        if not names:
            raise PolyscanError(
                f"{folder} holds no bundle that reads scans; give a folder of bundles with --conf bundles FOLDER."
            )
        web = studies.startswith(("http://", "https://"))
        source = WebStudies(studies, conf.get("cache")) if web else FolderStudies(studies)
        self.service = StudyService(source, [folder / name for name in names])
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="polyscan",
            description="Multimodal fusion: a study of several series is one image.",
            version=__version__,
            labels=list(dict.fromkeys(n for b in self.service.bundles.values() if not b.classifies for n in b.labels)),
        )

    def on_init_complete(self) -> None:
        """Called once the server is up."""
        from monailabel.app import app as server

        super().on_init_complete()
        serve_routes(server, self)

    def predict(self, model: str, request: dict[str, Any], out: Path) -> tuple[Path, dict[str, Any]]:
        """Answer for one study.

        Args:
            model: name of a bundle.
            request: ``image``, the name of a study, or ``upload``, where an upload lies, and the model's parameters.
            out: folder for the answer.

        Raises:
            HTTPException: 404 for a model that is not there.
            PolyscanError: the study is not there, or cannot be answered.
        """
        self.known(model)
        result, facts = self._infers[model]({**request, "out": str(out)})
        return Path(result), facts

    def known(self, model: str) -> None:
        """Refuse a model that there is not.

        Raises:
            HTTPException: 404.
        """
        if model not in self._infers:
            known = ", ".join(self._infers)
            raise HTTPException(status_code=404, detail=f"There is no model {model!r}; there are {known}.")

    def trainer(self, model: str) -> StudyTrain:
        """What trains a model."""
        return self._trainers[model]

    def info(self) -> dict[str, Any]:
        """What a client is told; viewers show the first of ``train_stats``, which is the training that began last."""
        told: dict[str, Any] = super().info()
        stats = told["train_stats"].items()
        return {**told, "train_stats": dict(sorted(stats, key=lambda one: one[1].get("started", 0), reverse=True))}

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Answer for one of the server's studies, as batches ask; the answer is kept as a label where it is asked for.

        Raises:
            HTTPException, PolyscanError: see :meth:`predict`.
        """
        image, tag = str(request.get("image")), request.get("label_tag", "original")
        tag = str(getattr(tag, "value", tag))  # batches name it by an enumeration
        with tempfile.TemporaryDirectory(prefix="polyscan-") as folder:
            named = {name: value for name, value in request.items() if name != "upload"}
            result, facts = self.predict(str(request.get("model")), {**named, "image": image}, Path(folder))
            store = datastore or self.datastore()
            info = {"model": request.get("model"), "params": facts}
            label = store.save_label(image, str(result), tag, info) if request.get("save_label") else ""
        return {"label": label, "tag": tag, "params": facts}

    def init_datastore(self) -> Datastore:
        """Studies as images."""
        return StudyDatastore(self.service)

    def init_infers(self) -> dict[str, InferTask]:
        """One model a bundle, and one more of each that classifies scans: for viewers that show masks only."""
        models: dict[str, InferTask] = {name: StudyInfer(self.service, name) for name in self.service.bundles}
        for name, bundle in self.service.bundles.items():
            if bundle.classifies and bundle.protocol:
                models[f"{name}_on_scan"] = AnswerOnScan(self.service, name)
        return models

    def init_trainers(self) -> dict[str, TrainTask]:
        """One trainer a bundle."""
        return {name: StudyTrain(self.service, name) for name in self.service.bundles}

    def init_strategies(self) -> dict[str, Strategy]:
        """Which study to label next."""
        return {"random": AnyStudy(self.service), "uncertainty": Uncertainty(self.service)}

    def init_batch_infer(self) -> Callable[..., Any]:
        """All studies, of which one that cannot be answered stops no other."""
        return StudyBatchInfer()
