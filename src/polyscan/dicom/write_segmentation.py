"""A mask to a DICOM Segmentation object of the series that it lies on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from monai.data import MetaTensor
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from polyscan import __version__
from polyscan.dicom.own import EQUIPMENT, VENDOR, save_made
from polyscan.dicom.source_images import SourceImages, require_highdicom, source_images
from polyscan.errors import PolyscanError
from polyscan.study import Source

if TYPE_CHECKING:
    from highdicom.seg import Segmentation, SegmentDescription


def write_segmentation(
    path: str | Path,
    mask: MetaTensor,
    source: Source | SourceImages,
    segments: Mapping[str, Collection[int]],
    *,
    description: str,
    manual: bool = False,
    label_map: bool = False,
    uids: tuple[str, str] | None = None,
) -> Segmentation:
    """Write a SEG (PS3.3 A.51), whole or not at all.

    Args:
        path: the file to write.
        mask: (1, x, y, z) whole numbers on the grid of the series.
        source: the series: a folder or files, or its images.
        segments: SegmentLabel to the numbers of the mask that it consists of; segments are numbered from 1 in the
            order of these numbers.
        description: SeriesDescription, such as the name of the model.
        manual: whether a person drew or corrected it.
        label_map: write one number a voxel (LABELMAP, of which the segments must not overlap; highdicom 0.24 or later)
            instead of one frame a slice and segment (BINARY).
        uids: SeriesInstanceUID and SOPInstanceUID; new ones where not given.

    Returns:
        What was written.

    Raises:
        PolyscanError: the mask lies elsewhere than the slices, the series cannot carry it, segments of a label map
            overlap, or highdicom is not installed, or is too old for a label map.
    """
    require_highdicom()
    import highdicom
    from highdicom.seg import Segmentation, SegmentationTypeValues

    images = source if isinstance(source, SourceImages) else source_images(source)
    frames = images.frames(mask)
    order = sorted(segments, key=lambda name: sorted(segments[name]))
    inside = np.stack([np.isin(frames, list(segments[name])) for name in order], axis=-1)
    if label_map and not hasattr(SegmentationTypeValues, "LABELMAP"):
        raise PolyscanError(f"highdicom {highdicom.__version__} writes no label map; install 0.24 or later.")
    if label_map and inside.sum(-1).max() > 1:
        raise PolyscanError("Segments overlap, which a label map cannot hold; ask for a binary segmentation.")
    series, instance = uids or (highdicom.UID(), highdicom.UID())
    segmentation = Segmentation(
        source_images=images.headers,
        pixel_array=(inside @ np.arange(1, len(order) + 1)).astype(np.uint8) if label_map else inside.astype(np.uint8),
        segmentation_type=SegmentationTypeValues["LABELMAP" if label_map else "BINARY"],
        segment_descriptions=[_described(number, name, manual) for number, name in enumerate(order, 1)],
        series_instance_uid=series,
        series_number=1000,
        sop_instance_uid=instance,
        instance_number=1,
        **EQUIPMENT,
        series_description=description[:64],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=bool(inside.any()),
    )
    segmentation.ContentCreatorName = VENDOR  # type 2, which highdicom leaves away
    save_made(segmentation, path)
    return segmentation


def finding(name: str) -> Code:
    """The SNOMED CT code of what a region's name says that it is; a lesion where it says nothing known."""
    known = {
        "edema": codes.SCT.Edema,
        "oedema": codes.SCT.Edema,
        "necro": codes.SCT.Necrosis,
        "tumour": codes.SCT.Neoplasm,
        "tumor": codes.SCT.Neoplasm,
    }
    return next((code for word, code in known.items() if word in name.lower()), codes.SCT.Lesion)


def _described(segment: int, name: str, manual: bool) -> SegmentDescription:
    import highdicom
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription

    how = highdicom.AlgorithmIdentificationSequence("polyscan", codes.DCM.ArtificialIntelligence, __version__)
    kind = SegmentAlgorithmTypeValues.SEMIAUTOMATIC if manual else SegmentAlgorithmTypeValues.AUTOMATIC
    category = codes.SCT.MorphologicallyAbnormalStructure
    return SegmentDescription(segment, name[:64], category, finding(name), kind, algorithm_identification=how)
