"""Which study to label next."""

from __future__ import annotations

import logging
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from polyscan.errors import PolyscanError
from polyscan.label_app.parameters import number, text
from polyscan.label_app.service import StudyService

logger = logging.getLogger(__name__)


class Uncertainty(Strategy):
    """The unlabelled study that the model is least sure of (Lewis and Gale, SIGIR 1994).

    Args:
        service: answers.
    """

    def __init__(self, service: StudyService) -> None:
        super().__init__("The study that the model is least sure of")
        self.service = service

    def info(self) -> dict[str, Any]:
        """What a client is told, and may say: ``model`` names the bundle, ``limit`` how many studies are tried."""
        return {**super().info(), "config": {"model": ["", *self.service.bundles], "limit": 10}}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Choose among the unlabelled studies, by the model in use where none is named.

        Raises:
            PolyscanError: there is no such model, or the limit is no number.
        """
        model, limit = text(request, "model") or self.service.in_use, number(request, "limit", 10, 1)
        self.service.model(model)
        scores = {}
        for key in sorted(datastore.get_unlabeled_images())[:limit]:
            with tempfile.TemporaryDirectory(prefix="polyscan-") as folder:
                try:
                    _, facts = self.service.predict(model, self.service.find(key), Path(folder))
                except PolyscanError as error:
                    logger.warning("%s", error)
                    continue
                scores[key] = facts["uncertainty"]
        if not scores:
            return None
        best = max(scores, key=lambda key: scores[key])
        return {"id": best, "weight": scores[best], "uncertainty": scores}


class AnyStudy(Strategy):
    """Any unlabelled study, the likelier the longer ago it was chosen; none is fetched for that.

    Args:
        service: knows what a model reads.
    """

    def __init__(self, service: StudyService) -> None:
        super().__init__("Any study that has no label")
        self.service = service

    def info(self) -> dict[str, Any]:
        """What a client is told, and may say: ``model`` asks for a study that this bundle can answer for."""
        return {**super().info(), "config": {"model": ["", *self.service.bundles]}}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Choose among the studies without a final label, or without one of ``label_tag``.

        Raises:
            PolyscanError: there is no such model, or the tag is no name.
        """
        model, tag = text(request, "model"), text(request, "label_tag") or None
        reads = set(self.service.model(model).modalities) if model else set()
        objects, now = datastore.json()["objects"], int(time.time())
        weights = {}
        for key in datastore.get_unlabeled_images(tag):
            info = objects[key]["image"]["info"]
            known = info["modalities"]  # none where the study lies on a DICOMweb server and was not asked for
            if reads and known and not reads & set(known):
                continue
            chosen = info.get("strategy", {}).get(request.get("strategy"), {})
            weights[key] = max(now - int(chosen.get("ts", 0)), 1)
        if not weights:
            return None
        key = random.choices(list(weights), weights=list(weights.values()))[0]
        return {"id": key, "weight": weights[key]}
