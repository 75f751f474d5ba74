"""Maps of numbers, such as probabilities of regions, to a DICOM Parametric Map of the series that they lie on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from monai.data import MetaTensor
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from polyscan.dicom.own import EQUIPMENT, VENDOR, save_made
from polyscan.dicom.source_images import SourceImages, require_highdicom
from polyscan.files.dicom import item


def write_parametric_map(
    path: str | Path,
    maps: Mapping[str, MetaTensor],
    images: SourceImages,
    uids: tuple[str, str],
    *,
    description: str,
    series_number: int,
    unit: str = "",
) -> None:
    """Write a Parametric Map (PS3.3 A.75) of 32-bit floats, whole or not at all: for each map a frame a slice.

    Args:
        path: the file to write.
        maps: what each tells, such as ``probability of tumour``, to (1, x, y, z) from 0 to 1 on the grid of the series.
        images: the series.
        uids: SeriesInstanceUID and SOPInstanceUID.
        description: SeriesDescription, such as the name of the model.
        series_number: SeriesNumber.
        unit: UCUM's code of it, such as ``bit``; none where not given.

    Raises:
        PolyscanError: a map lies elsewhere than the series, or highdicom is not installed.
    """
    require_highdicom()
    from highdicom import VOILUTTransformation
    from highdicom.pm import ParametricMap, RealWorldValueMapping
    from highdicom.sr import CodedConcept

    channels = np.stack([images.frames(each) for each in maps.values()], axis=-1).astype(np.float32)
    meanings = [
        RealWorldValueMapping(
            lut_label=f"map {number}",
            lut_explanation=name[:64],
            unit=Code(unit, "UCUM", unit) if unit else codes.UCUM.NoUnits,
            value_range=(0.0, 1.0),
            slope=1.0,
            intercept=0.0,
        )
        for number, name in enumerate(maps, 1)
    ]
    made = ParametricMap(
        source_images=images.headers,
        pixel_array=channels,
        series_instance_uid=uids[0],
        series_number=series_number,
        sop_instance_uid=uids[1],
        instance_number=1,
        **EQUIPMENT,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[[meaning] for meaning in meanings],
        voi_lut_transformations=[VOILUTTransformation(window_center=0.5, window_width=1.0)],
        series_description=description[:64],
    )
    made.ContentCreatorName = VENDOR  # type 2, which highdicom leaves away
    # Of what part of the body is not known; dcmqi, by which 3D Slicer reads maps, crashes where nothing is told.
    anatomy = item(AnatomicRegionSequence=[CodedConcept("85756007", "SCT", "Body tissue")], FrameLaterality="U")
    made.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]
    _order_frames(made, len(maps))
    save_made(made, path)


def _order_frames(made: Dataset, maps: int) -> None:
    """Order the frames of each map along the normal of the slices: dcmqi and cornerstone take them to lie so."""
    groups = list(made.PerFrameFunctionalGroupsSequence)
    rows = made.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    normal = np.cross(*np.reshape(np.asarray(rows, dtype=float), (2, 3)))
    places = [np.asarray(each.PlanePositionSequence[0].ImagePositionPatient, dtype=float) @ normal for each in groups]
    slices = np.reshape(places, (maps, -1))
    order = (np.argsort(slices, axis=1) + slices.shape[1] * np.arange(maps)[:, None]).ravel()
    made.PerFrameFunctionalGroupsSequence = [groups[k] for k in order]
    frames = np.frombuffer(made.FloatPixelData, dtype="<f4").reshape(len(groups), -1)
    made.FloatPixelData = frames[order].tobytes()
