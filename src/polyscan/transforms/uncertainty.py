"""Where in a segmentation doubt is, and whether the scans or the network leave it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.transforms import Invertd, InvertibleTransform
from monai.utils import convert_to_tensor
from torch import Tensor

from polyscan.formats.nifti import write_nifti
from polyscan.inference import EnsembleAverage, sampled_maps, split_entropy
from polyscan.study import RegionUncertainty
from polyscan.transforms.each_key import EachKeyTransform
from polyscan.transforms.regions import Regions


class SaveUncertaintyd(EachKeyTransform):
    """Split the entropy of each voxel into what the scans leave open and what the network does not know.

    The samples are those of :func:`polyscan.inference.sampled_maps`, the split is that of classes,
    :func:`polyscan.inference.split_entropy`. One number a region is the sum of the entropy over the image, in bits, a
    marked voxel; that rule ranks masks as well as the confidence does, where a mean over the image ranks as chance.

    Args:
        keys: logits (region, *spatial) on the grid of ``image``.
        network: that predicted.
        inferer: goes over the image.
        axes: spatial axes that are mirrored.
        regions: see :data:`polyscan.transforms.regions.Regions`.
        threshold: from which probability on a voxel is marked.
        output_dir: folder to write ``<study>_entropy.nii.gz`` to, (x, y, z, 2): aleatoric and epistemic entropy in bits
            of the region that is the least sure.
        preprocessing: what is undone of ``image``.
        inputs: entries that the network takes behind the image.
        allow_missing_keys: as in MONAI.

    Adds ``entropies``, the path, and ``uncertainty``: marked region to a :class:`polyscan.study.RegionUncertainty`.

    Raises:
        PolyscanError: nothing varies: one network without dropout, and no axis to mirror.
    """

    def __init__(
        self,
        keys: KeysCollection,
        network: EnsembleAverage,
        inferer: Inferer,
        axes: Sequence[int],
        *,
        regions: Regions,
        threshold: float,
        output_dir: str | Path,
        preprocessing: InvertibleTransform,
        inputs: Sequence[str] = (),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.network, self.inferer, self.axes = network, inferer, list(axes)
        self.regions, self.threshold, self.output_dir = regions, threshold, Path(output_dir)
        self.invert = Invertd("entropy", preprocessing, orig_keys="image", nearest_interp=False, to_tensor=True)
        self.inputs = list(inputs)

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        device = next(self.network.parameters()).device
        image, *inputs = (convert_to_tensor(data[name], device=device)[None] for name in ("image", *self.inputs))

        def ask(network: Callable[..., Tensor]) -> Tensor:
            p = self.inferer(image, network, *inputs)[0].float().sigmoid().cpu()
            return torch.stack([p, 1 - p], dim=-1)

        parts = split_entropy(sampled_maps(self.network, self.axes, ask))
        each = torch.stack([part.as_subclass(Tensor) for part in parts])  # (part, region, *spatial)
        marked = convert_to_tensor(data[key], device="cpu", track_meta=False).sigmoid() >= self.threshold
        data["uncertainty"] = {
            name: RegionUncertainty(*(round(float(part[r].sum() / marked[r].sum()), 4) for part in each))
            for r, name in enumerate(self.regions)
            if bool(marked[r].any())
        }
        least_sure = each.sum(0).argmax(0).expand(2, 1, *each.shape[2:])
        entropy = MetaTensor(each.gather(1, least_sure)[:, 0], affine=data["image"].affine)
        path = self.output_dir / f"{data['study']}_entropy.nii.gz"
        write_nifti(path, self.invert({"image": data["image"], "entropy": entropy})["entropy"])
        data["entropies"] = str(path)
