"""Write where in the scans a prediction comes from."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Invertd, InvertibleTransform
from monai.utils import convert_to_tensor
from torch import Tensor

from polyscan.attribution.by_place import explain_region, find_method, share_of_modalities
from polyscan.attribution.target import Target
from polyscan.files.names import MAPS
from polyscan.files.owned import replace_owned
from polyscan.formats.nifti import write_nifti
from polyscan.inference.task_calibration import parts_of
from polyscan.networks import FusionModel
from polyscan.study import AttributionRecord
from polyscan.transforms.classify import Tasks
from polyscan.transforms.each_key import EachKeyTransform
from polyscan.transforms.regions import Regions

_Explain = Callable[[Tensor, Callable[..., Tensor], Sequence[Tensor]], Tensor]


class SaveAttributionsd(EachKeyTransform):
    """Write maps of where a prediction comes from, as NIfTI on the grid of the prepared scans, one a modality.

    Explained are the class that was predicted for each task, or each region that was segmented; see
    :mod:`polyscan.attribution`. Of 2D pictures the maps have the size that the network
    reads.

    Args:
        keys: probabilities of the classes of all tasks, or logits (region, *spatial) on the grid of ``image``.
        network: that predicted.
        methods: names, see :func:`polyscan.attribution.by_place.find_method`.
        output_dir: folder to write ``<study>_attribution/<method>_<task or region>_<modality>.nii.gz`` to; what an
            earlier run wrote there is removed.
        preprocessing: what is undone of ``image``.
        tasks: of a classifier, see :data:`polyscan.transforms.classify.Tasks`.
        regions: of a segmentation, see :data:`polyscan.transforms.regions.Regions`.
        roi_size: of a segmentation, voxels of the windows that it reads.
        inputs: entries that the network takes behind the image.
        allow_missing_keys: as in MONAI.

    Adds ``attributions``: a :class:`polyscan.study.AttributionRecord` for each method and target.

    Raises:
        PolyscanError: there is no such method, or this network cannot be explained by it.
    """

    def __init__(
        self,
        keys: KeysCollection,
        network: FusionModel,
        methods: Sequence[str],
        output_dir: str | Path,
        preprocessing: InvertibleTransform,
        *,
        tasks: Tasks | None = None,
        regions: Regions | None = None,
        roi_size: Sequence[int] = (),
        inputs: Sequence[str] = (),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.network, self.output_dir = network, Path(output_dir)
        self.methods = {name: find_method(name) for name in methods}
        self.preprocessing = preprocessing
        self.tasks, self.regions, self.roi_size = tasks or {}, regions or {}, list(roi_size)
        self.inputs = list(inputs)

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        device = next(self.network.parameters()).device
        image = data["image"].as_tensor().to(device, torch.float32)[None]
        inputs = [convert_to_tensor(data[name], device=device)[None] for name in self.inputs]
        logits = convert_to_tensor(data[key], device=device)
        folder = self.output_dir / f"{data['study']}{MAPS}"
        records = []
        with replace_owned(folder) as temporary:
            for name, method in self.methods.items():
                for target, predicted_class, explain in self._targets(logits):
                    maps = explain(image, method, inputs)[0].cpu()
                    record = AttributionRecord(name, target, predicted_class)
                    self._write(maps, image[0], data["image"], record, temporary)
                    record.maps = {modality: str(folder / file) for modality, file in record.maps.items()}
                    records.append(record)
        data["attributions"] = records

    def _write(self, maps: Tensor, read: Tensor, image: MetaTensor, record: AttributionRecord, folder: Path) -> None:
        """Write the map of each modality that was read, and note its file's name and its share."""
        present = [m for m, each in enumerate(read.unflatten(0, (len(maps), -1))) if bool(each.isfinite().any())]
        shares = share_of_modalities(maps)
        undone = self._undone(maps[present], image)
        for k, m in enumerate(present):
            modality = self.network.modalities[m]
            name = f"{'_'.join(map(_plain, (record.method, record.target, modality)))}.nii.gz"
            write_nifti(folder / name, MetaTensor(undone.as_tensor()[k : k + 1], affine=undone.affine))
            record.maps[modality] = name
            record.shares[modality] = 0.0 if shares is None else round(float(shares[m]), 4)

    def _targets(self, logits: Tensor) -> Iterator[tuple[str, str | None, _Explain]]:
        """What is explained: its name, the class, and what explains it by a method."""
        start = 0
        parts = parts_of(logits, self.tasks) if self.tasks else ()
        for (task, classes), part in zip(self.tasks.items(), parts, strict=True):
            chosen = int(part.argmax())
            yield task, str(classes[chosen]), partial(self._of_class, Target(start + chosen))
            start += len(classes)
        for channel, name in enumerate(self.regions):
            region = logits[channel] > 0
            if bool(region.any()):
                yield name, None, partial(self._of_region, channel, region)

    def _of_class(
        self, target: Target, image: Tensor, method: Callable[..., Tensor], inputs: Sequence[Tensor]
    ) -> Tensor:
        return method(self.network, image, target, inputs)

    def _of_region(
        self, channel: int, region: Tensor, image: Tensor, method: Callable[..., Tensor], inputs: Sequence[Tensor]
    ) -> Tensor:
        return explain_region(self.network, image, method, channel, region, self.roi_size, inputs)

    def _undone(self, maps: Tensor, image: MetaTensor) -> MetaTensor:
        """Maps (modality, *spatial) on the grid that the scans had before they were preprocessed."""
        if maps.dim() == 3:  # a picture's rows and columns, which NIfTI has the other way round
            return MetaTensor(maps.transpose(1, 2)[..., None])
        invert = Invertd("maps", self.preprocessing, orig_keys="image", nearest_interp=False, to_tensor=True)
        return invert({"image": image, "maps": MetaTensor(maps, affine=image.affine)})["maps"]


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9@.-]+", "-", name)
