"""A mask as the client wants it: on the grid that it shows, in the format that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from polyscan.dicom.read import read_series
from polyscan.errors import PolyscanError
from polyscan.evaluation import dice
from polyscan.formats.endings import is_volume
from polyscan.formats.nifti import read_nifti
from polyscan.formats.read import read_volume
from polyscan.geometry import same_grid, to_sitk
from polyscan.preprocess.native import to_native
from polyscan.preprocess.resample import resample
from polyscan.study import Source, Study
from polyscan.study.made import preparation_of

EXTENSIONS = (".nii.gz", ".nii", ".nrrd", ".seg.nrrd")
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


@dataclass(frozen=True)
class MaskFormat:
    """How a mask is written.

    Attributes:
        extension: one of :data:`EXTENSIONS`.
        dtype: one of :data:`DTYPES`.
        compress: whether an NRRD file is packed by gzip; ``.nii.gz`` is, ``.nii`` is not, whatever is said here.
    """

    extension: str = ".nii.gz"
    dtype: str = "uint8"
    compress: bool = True

    @classmethod
    def asked(cls, request: Mapping[str, Any]) -> MaskFormat:
        """What ``result_extension``, ``result_dtype`` and ``result_compress`` of a request say.

        Raises:
            PolyscanError: a value means nothing.
        """
        extension = request.get("result_extension") or cls.extension
        dtype = request.get("result_dtype") or cls.dtype
        compress = request.get("result_compress", cls.compress)
        if extension not in EXTENSIONS:
            raise PolyscanError(f"result_extension is {extension!r}; expected one of {', '.join(EXTENSIONS)}.")
        if dtype not in DTYPES:
            raise PolyscanError(f"result_dtype is {dtype!r}; expected one of {', '.join(DTYPES)}.")
        if not isinstance(compress, bool):
            raise PolyscanError(f"result_compress is {compress!r}; expected true or false.")
        return cls(extension, dtype, compress)

    def write(self, mask: MetaTensor, stem: Path, labels: Mapping[str, int]) -> Path:
        """Write a mask (1, x, y, z).

        Args:
            mask: whole numbers, with its affine.
            stem: the path without its ending.
            labels: name to value; ``.seg.nrrd`` keeps them as Slicer's segments.

        Returns:
            The path.
        """
        values = mask[0].cpu().numpy()
        image = to_sitk(MetaTensor(torch.from_numpy(values.astype(self.dtype)[None]), affine=mask.affine))
        if self.extension == ".seg.nrrd":
            for name, text in _segments(values, labels).items():
                image.SetMetaData(name, text)
        path = stem.with_name(stem.name + self.extension)
        sitk.WriteImage(image, str(path), useCompression=self.compress)
        return path


def _segments(values: np.ndarray, labels: Mapping[str, int]) -> dict[str, str]:
    """The header of a Slicer segmentation, as its vtkMRMLSegmentationStorageNode reads it: all labels in one layer."""
    extent = " ".join(f"0 {length - 1}" for length in values.shape)
    header = {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for index, (name, value) in enumerate(labels.items()):
        entries = {"ID": f"Segment_{value}", "Name": name, "LabelValue": str(value), "Layer": "0", "Extent": extent}
        header |= {f"Segment{index}_{key}": text for key, text in entries.items()}
    return header


def grid_of(source: Source) -> MetaTensor:
    """The image (1, x, y, z) of a source, of which the grid is wanted.

    Raises:
        PolyscanError: it cannot be read.
    """
    return read_volume(source) if isinstance(source, str) and is_volume(source) else read_series(source)


def laid_on(mask: MetaTensor, prepared: Study, name: str, source: Source) -> tuple[MetaTensor, str]:
    """Bring a mask from the reference of a prepared study to the grid of a scan of the study, voxel for voxel.

    Args:
        mask: (1, x, y, z) labels on the grid of the reference.
        prepared: knows the reference, and the transform by which each scan was registered to it.
        name: the scan's modality, or what else it is called where the protocol did not read it.
        source: where the scan lies.

    Returns:
        (1, x, y, z) labels on the scan's own grid, and what was assumed: a sentence, or nothing.

    Raises:
        PolyscanError: the scan cannot be read.
    """
    grid, preparation = grid_of(source), prepared.preparation
    reference = preparation.reference if preparation else None
    file = preparation.transforms.get(name) if preparation else None
    if file is None and same_grid(mask, grid):
        return MetaTensor(mask.as_tensor(), affine=grid.affine), ""
    known = file is not None or name == reference or name in prepared.scans
    assumed = "" if known else f"{name} was not registered to {reference}; the mask lies by the scanner's coordinates."
    return to_native(mask, grid, file), assumed


def revalued(mask: MetaTensor, numbers: Mapping[int, int]) -> MetaTensor:
    """A mask (1, x, y, z) as uint8 with other numbers, old to new; what has no new number becomes background."""
    out = torch.zeros(mask.shape, dtype=torch.uint8)
    for old, new in numbers.items():
        out[mask.as_tensor() == old] = new
    return MetaTensor(out, affine=mask.affine)


def brought_back(mask: MetaTensor, prepared: Study, name: str) -> MetaTensor:
    """Bring a mask (1, x, y, z) that was drawn on a scan to the grid of the reference: what :func:`laid_on` undoes."""
    preparation = preparation_of(prepared)
    reference = read_nifti(prepared.scans[preparation.reference].path)
    file = preparation.transforms.get(name)
    return resample(mask, reference, sitk.ReadTransform(file) if file else None, label=True)


def agreement(found: np.ndarray, true: np.ndarray) -> float:
    """Dice of two boolean masks; 1 where both are empty."""
    return float(np.nan_to_num(dice(found, true), nan=1.0))
