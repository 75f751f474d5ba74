"""A trained network that encodes studies one by one, for what asks it more than once about each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.utils import convert_to_tensor

from polyscan.bundle.items import inference_item
from polyscan.bundle.run import load_inference
from polyscan.bundle.weights import weights_of
from polyscan.networks import CachedFeatures
from polyscan.study import Study
from polyscan.study.manifest import Manifest


class StudyEncoder:
    """The network of a bundle with its weights, in evaluation mode, not calibrated, and what prepares a study for it.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        weights: a file of weights; the bundle's own where not given.
        overrides: config entries to change, those that ``infer`` is given.

    Attributes:
        network: of the bundle, on its device.
        parser: of the bundle's inference config.
        learnt: see :class:`polyscan.bundle.StudyPredictor`.

    Raises:
        PolyscanError: the bundle, the weights or an override cannot be used.
    """

    def __init__(
        self, bundle: str | Path, weights: str | Path | None = None, overrides: Mapping[str, Any] | None = None
    ) -> None:
        (file,) = weights_of(bundle, weights)
        changes = {"dataset#data": [], **(overrides or {})}
        self.parser = load_inference(bundle, Manifest(), file.parent, file, changes, calibrated=False).parser
        self.network, self._transform, self._extra_keys, self._inputs = (
            self.parser.get_parsed_content(name) for name in ("network", "preprocessing", "extra_keys", "inputs")
        )
        self.learnt: set[str] = self.parser.get_parsed_content("predictor").learnt
        self.network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        self.network.eval()
        self._device = self.parser.get_parsed_content("device")

    def encode(self, study: Study, labels: Sequence[str] = ()) -> tuple[CachedFeatures, Any]:
        """What the network makes of a study's scans, and its label where some are named; call in inference mode."""
        item = self._transform(inference_item(study, list(labels), self._extra_keys))
        names = ("image", *self._inputs)
        image, *rest = (convert_to_tensor(item[name], device=self._device)[None] for name in names)
        return CachedFeatures.of(self.network, image, rest), item.get("label")
