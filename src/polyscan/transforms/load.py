"""The scans, pictures and masks of a study as tensors; what is absent is NaN."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from PIL import Image

from polyscan.errors import PolyscanError, nothing_to_read
from polyscan.formats.nifti import read_nifti
from polyscan.geometry import same_grid
from polyscan.transforms.each_key import EachKeyTransform


class LoadStudyd(EachKeyTransform):
    """Read the prepared scans of a study into one tensor (modality, x, y, z); a modality that is absent is NaN.

    The tensor's ``filename_or_obj`` is the study's name, so that what is saved later is named after the study.

    Args:
        keys: entries that map modality to file.
        modalities: order of the channels.
        absent: modalities to treat as though they had not been acquired.
        allow_missing_keys: as in MONAI.

    Raises:
        PolyscanError: a study has no name or none of the modalities, or its files do not lie on one grid.
    """

    def __init__(
        self,
        keys: KeysCollection,
        modalities: Sequence[str],
        *,
        absent: Sequence[str] = (),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.modalities = list(modalities)
        check_absent(absent, modalities)
        self.read = [m for m in modalities if m not in absent]
        if not self.read:
            raise PolyscanError(f"All of {', '.join(modalities)} are left out; leave at least one for the network.")

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        if "study" not in data or not isinstance(data[key], Mapping):
            example = {"study": "sub-1", key: {self.modalities[0]: "FILE"}}
            raise PolyscanError(f"An item names its study, and under {key} the file of each modality: {example}.")
        study = str(data["study"])
        images = {m: self._read(data[key][m], study) for m in self.read if m in data[key]}
        if not images:
            raise nothing_to_read(study, data[key], self.read)
        data.update(self._entries(key, images, study))

    def _read(self, file: str, study: str) -> MetaTensor:
        return read_nifti(file)

    def _entries(self, key: Hashable, images: Mapping[str, MetaTensor], study: str) -> dict[Hashable, Any]:
        """What the images that were read become in the dictionary."""
        return {key: self._stack(images, study)}

    def _stack(self, images: Mapping[str, MetaTensor], study: str) -> MetaTensor:
        first = next(iter(images.values()))
        for name, image in images.items():
            _check_grid(image, first, study, name)
        empty = torch.full_like(first.as_tensor(), float("nan"))
        stacked = torch.cat([images[m].as_tensor() if m in images else empty for m in self.modalities])
        return MetaTensor(stacked, affine=first.affine, meta={"filename_or_obj": study})


class LoadScalesd(LoadStudyd):
    """Read scans that keep their own grids: the first that enters at level 0 into a tensor, the others beside it.

    Where none enters at level 0, the grid is that of the next, and the tensor is empty (NaN).

    Args:
        keys, modalities, absent, allow_missing_keys: as for :class:`LoadStudyd`.
        enters: modality to its level in :class:`polyscan.networks.MultiScaleNet`.

    Adds ``<key>_scans``, modality to scan, for :class:`polyscan.preprocess.PackScalesd`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        modalities: Sequence[str],
        enters: Mapping[str, int],
        *,
        absent: Sequence[str] = (),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, modalities, absent=absent, allow_missing_keys=allow_missing_keys)
        self.enters = dict(enters)

    def _entries(self, key: Hashable, images: Mapping[str, MetaTensor], study: str) -> dict[Hashable, Any]:
        others = dict(images)
        first = min(images, key=lambda name: self.enters[name])
        if self.enters[first] == 0:
            grid = {first: others.pop(first)}
        else:
            empty = torch.full_like(images[first].as_tensor(), float("nan"))
            grid = {self.modalities[0]: MetaTensor(empty, affine=images[first].affine)}
        return {key: self._stack(grid, study), f"{key}_scans": others}


def check_absent(absent: Iterable[str], known: Iterable[str], what: str = "Modality") -> None:
    """Refuse to leave out what a bundle does not read, and letters of a name."""
    if isinstance(absent, str):
        raise PolyscanError(f"To be left out is {absent!r}; give a list of names: [{absent!r}].")
    if unknown := sorted(set(absent) - set(known)):
        raise PolyscanError(f"{what} {', '.join(unknown)} cannot be left out: this bundle reads {', '.join(known)}.")


def block_overlap(roi_size: Sequence[int], overlap: float, enters: Mapping[str, int]) -> list[float]:
    """The overlap of sliding windows that all begin where a voxel of the coarsest packed scan begins.

    A window that began within a block of :class:`polyscan.preprocess.PackScalesd` would have the network average
    voxels of two neighbours. The image must begin and end with whole blocks.

    Args:
        roi_size: of a window, in voxels.
        overlap: the part of a window that is wanted to overlap with the next; steps are rounded down to whole blocks.
        enters: modality to its level in :class:`polyscan.networks.MultiScaleNet`.

    Returns:
        For each axis the overlap to give to MONAI's ``SlidingWindowInferer``.

    Raises:
        PolyscanError: a window is no whole number of blocks.
    """
    block = 2 ** max(enters.values())
    if any(size % block for size in roi_size):
        raise PolyscanError(
            f"roi_size is {list(roi_size)}; expected multiples of {block}, a voxel of the coarsest scan."
        )
    steps = [max(int(size * (1 - overlap)) // block, 1) * block for size in roi_size]
    # MONAI cuts size * (1 - overlap) down to a whole number: half a voxel more keeps rounding away.
    return [max(1 - (step + 0.5) / size, 0.0) for step, size in zip(steps, roi_size, strict=True)]


class LoadPictured(LoadStudyd):
    """Read 2D pictures (PNG, JPEG and the like) of a study into one tensor (3 * modality, y, x).

    Red, green and blue of each image type, from -1 to 1; one that is not there is NaN.

    Args:
        keys, modalities, absent, allow_missing_keys: as for :class:`LoadStudyd`.
        size: rows and columns that each is brought to.

    Raises:
        PolyscanError: a file cannot be read as a picture.
    """

    def __init__(
        self,
        keys: KeysCollection,
        modalities: Sequence[str],
        size: Sequence[int],
        *,
        absent: Sequence[str] = (),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, modalities, absent=absent, allow_missing_keys=allow_missing_keys)
        self.size = (int(size[1]), int(size[0]))

    def _read(self, file: str, study: str) -> MetaTensor:
        try:
            with Image.open(file) as picture:
                small = picture.convert("RGB").resize(self.size, Image.Resampling.BILINEAR)
        except OSError as error:
            raise PolyscanError(f"{study}: {Path(file).name} cannot be read as a picture ({error}).") from error
        return MetaTensor(torch.from_numpy(np.array(small, dtype=np.float32) / 127.5 - 1).permute(2, 0, 1))


class LoadMaskd(EachKeyTransform):
    """Read the mask of a study's label as (1, x, y, z).

    Args:
        keys: files of masks.
        image: entry whose grid the mask must have.
        allow_missing_keys: as in MONAI.

    Raises:
        PolyscanError: the mask lies on another grid, or was resampled as an image is.
    """

    def __init__(self, keys: KeysCollection, image: str = "image", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image = image

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        mask = data[key] = read_nifti(data[key])
        _check_grid(mask, data[self.image], str(data["study"]), "label")
        if not torch.equal(mask.as_tensor(), mask.as_tensor().round()):
            raise PolyscanError(f"{data['study']}: label holds values that are no whole numbers; export it again.")


def _check_grid(image: MetaTensor, grid: MetaTensor, study: str, name: str) -> None:
    if not same_grid(image, grid):
        which = "place or size of its voxels" if image.shape[1:] == grid.shape[1:] else "grid"
        raise PolyscanError(
            f"{study}: {name} has another {which} ({list(image.shape[1:])} voxels) than the other scans "
            f"({list(grid.shape[1:])}); bring them to one by polyscan prepare."
        )
