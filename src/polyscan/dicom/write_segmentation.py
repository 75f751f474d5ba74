"""A mask to a DICOM Segmentation object of the series that it lies on."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from monai.data import MetaTensor

from polyscan.dicom.attributes import numbers
from polyscan.errors import PolyscanError
from polyscan.files.packed import open_binary
from polyscan.files.walk import is_folder, walk
from polyscan.geometry import voxels_of
from polyscan.study import Source

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription
    from pydicom import Dataset

# Type 2 of the modules that the SEG has in common with its images (PS3.3 C.7.1.1, C.7.2.1): they may be empty.
_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)


def write_segmentation(
    path: str | Path,
    mask: MetaTensor,
    source: Source,
    labels: Mapping[str, int],
    *,
    description: str,
    manual: bool = False,
) -> None:
    """Write a binary SEG (PS3.3 A.51), a segment a label.

    Args:
        path: the file to write.
        mask: (1, x, y, z) whole numbers on the grid of the series.
        source: the series: a folder or files.
        labels: segment label to the mask's number; segments are numbered from 1 in the order of the numbers.
        description: SeriesDescription, such as the name of the model.
        manual: whether a person drew or corrected it.

    Raises:
        PolyscanError: the mask lies elsewhere than the slices, or the series is not one image a slice.
    """
    import highdicom
    from highdicom.seg import Segmentation, SegmentationTypeValues
    from pydicom.uid import ExplicitVRLittleEndian

    slices = _slices(source, mask)
    order = sorted(labels, key=lambda name: labels[name])
    values = mask[0].cpu().numpy()
    numbered = np.zeros(values.shape, np.uint8)
    for segment, name in enumerate(order, 1):
        numbered[values == labels[name]] = segment
    segmentation = Segmentation(
        source_images=slices,
        pixel_array=np.ascontiguousarray(numbered.transpose(2, 1, 0)),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_described(number, name, manual) for number, name in enumerate(order, 1)],
        series_instance_uid=highdicom.UID(),
        series_number=1000,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="polyscan",
        manufacturer_model_name="polyscan",
        software_versions=version("polyscan"),
        device_serial_number="0",
        series_description=description[:64],
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    segmentation.save_as(path)


def _slices(source: Source, mask: MetaTensor) -> list[Dataset]:
    """The images of a series in the order of the mask's slices, each where its slice lies."""
    import pydicom

    names = [source] if isinstance(source, str) else source
    places = [Path(name.partition("#")[0]) for name in names]
    files = [file for place in places for file in (walk(place)[0] if is_folder(place) else [place])]
    found: dict[int, Dataset] = {}
    for file in files:
        with open_binary(file) as opened:
            image = pydicom.dcmread(opened)
        origin = numbers(image, "ImagePositionPatient", 3)
        if origin is None:
            continue
        voxel = voxels_of(origin[None], mask)[0]
        if np.abs(voxel - [0, 0, np.rint(voxel[2])]).max() < 0.1 and (image.Columns, image.Rows) == mask.shape[1:3]:
            found[int(np.rint(voxel[2]))] = image
        for name in _MAY_BE_EMPTY:
            if name not in image:
                setattr(image, name, "")
    if sorted(found) != list(range(mask.shape[3])):
        raise PolyscanError(
            f"{len(found)} of {mask.shape[3]} slices of the mask lie on an image of the series; a DICOM SEG needs a "
            "series of one image a slice, evenly spaced: ask for NIfTI."
        )
    return [found[place] for place in sorted(found)]


def _described(segment: int, name: str, manual: bool) -> SegmentDescription:
    import highdicom
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from pydicom.sr.codedict import codes

    how = highdicom.AlgorithmIdentificationSequence("polyscan", codes.DCM.ArtificialIntelligence, version("polyscan"))
    kind = SegmentAlgorithmTypeValues.SEMIAUTOMATIC if manual else SegmentAlgorithmTypeValues.AUTOMATIC
    category, meaning = codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Lesion
    return SegmentDescription(segment, name[:64], category, meaning, kind, algorithm_identification=how)
