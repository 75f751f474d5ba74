"""A mask to a DICOM RT Structure Set of the series that it lies on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
from monai.data import MetaTensor
from pydicom import Dataset
from pydicom.uid import RTStructureSetStorage
from scipy.spatial import KDTree

from polyscan.dicom.attributes import text
from polyscan.dicom.derived import derived_object, reference, references
from polyscan.dicom.source_images import SourceImages, require_highdicom
from polyscan.dicom.write_segmentation import finding
from polyscan.errors import PolyscanError
from polyscan.files.atomic import atomic_write
from polyscan.files.dicom import item, save_dicom
from polyscan.geometry import FLIP

_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # a retired one, which the module asks for all the same
_COLOURS = ([245, 121, 58], [0, 168, 120], [204, 121, 167], [86, 180, 233], [240, 228, 66])


def write_rtstruct(
    path: str | Path,
    mask: MetaTensor,
    images: SourceImages,
    regions: Mapping[str, Collection[int]],
    uids: tuple[str, str],
    *,
    description: str,
) -> None:
    """Write an RTSTRUCT (PS3.3 A.19), whole or not at all: for each region the outlines in each slice.

    An outline runs half-way between voxels inside and outside, so that a reader that takes a voxel whose centre lies
    inside gets the mask again. A hole is cut out by a keyhole, since readers do not agree on what a contour inside
    another means. A region that is empty is listed without outlines.

    Args:
        path: the file to write.
        mask: (1, x, y, z) whole numbers on the grid of the series.
        images: the series.
        regions: ROIName to the numbers of the mask that it consists of.
        uids: SeriesInstanceUID and SOPInstanceUID.
        description: SeriesDescription and StructureSetLabel, such as the name of the model.

    Raises:
        PolyscanError: the mask lies elsewhere than the series, the series has no frame of reference, or highdicom,
            which checks the series, is not installed.
    """
    require_highdicom()
    images.frames(mask)  # on its grid
    source = images.headers[0]
    frame = text(source, "FrameOfReferenceUID")
    if not frame:
        raise PolyscanError("The series of the reference has no FrameOfReferenceUID, which contours are drawn in.")
    made = derived_object(
        images,
        RTStructureSetStorage,
        uids,
        modality="RTSTRUCT",
        series_number=1005,
        description=description,
        implicit=True,
    )
    made.OperatorsName = ""
    made.StructureSetLabel, made.StructureSetName = description[:16], description[:64]
    made.StructureSetDate, made.StructureSetTime = made.ContentDate, made.ContentTime
    del made.ContentDate, made.ContentTime
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = frame, source.get("PositionReferenceIndicator", "")
    series = item(SeriesInstanceUID=source.SeriesInstanceUID, ContourImageSequence=references(images))
    study = item(
        ReferencedSOPClassUID=_STUDY_CLASS,
        ReferencedSOPInstanceUID=source.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    made.ReferencedFrameOfReferenceSequence = [item(FrameOfReferenceUID=frame, RTReferencedStudySequence=[study])]
    made.StructureSetROISequence, made.ROIContourSequence, made.RTROIObservationsSequence = [], [], []
    values = np.asarray(mask[0].cpu())
    for number, (name, numbers) in enumerate(regions.items(), start=1):
        made.StructureSetROISequence.append(
            item(
                ROINumber=number,
                ReferencedFrameOfReferenceUID=frame,
                ROIName=name[:64],
                ROIGenerationAlgorithm="AUTOMATIC",
            )
        )
        made.ROIContourSequence.append(_contours(number, np.isin(values, list(numbers)), images))
        made.RTROIObservationsSequence.append(_observation(number, name))
    with atomic_write(path) as temporary:
        save_dicom(made, temporary)


def _observation(number: int, name: str) -> Dataset:
    code = finding(name)
    return item(
        ObservationNumber=number,
        ReferencedROINumber=number,
        RTROIInterpretedType="",
        ROIInterpreter="",
        RTROIIdentificationCodeSequence=[
            item(CodeValue=code.value, CodingSchemeDesignator=code.scheme_designator, CodeMeaning=code.meaning)
        ],
    )


def _contours(number: int, inside: np.ndarray, images: SourceImages) -> Dataset:
    """The outlines of a region (x, y, z), in LPS+ millimetres."""
    affine = FLIP @ np.asarray(images.grid.affine, dtype=float)
    drawn: list[Dataset] = []
    for z in np.flatnonzero(inside.any((0, 1))):
        for outline in outlines(inside[:, :, z]):
            points = np.column_stack([outline, np.full(len(outline), z)]) @ affine[:3, :3].T + affine[:3, 3]
            contour = item(
                ContourImageSequence=[_image(images, int(z))],
                ContourGeometricType="CLOSED_PLANAR",
                ContourNumber=len(drawn) + 1,
                NumberOfContourPoints=len(outline),
                ContourData=[f"{value:.4f}" for value in points.ravel()],
            )
            drawn.append(contour)
    return item(
        ROIDisplayColor=_COLOURS[(number - 1) % len(_COLOURS)],
        ReferencedROINumber=number,
        **({"ContourSequence": drawn} if drawn else {}),
    )


def _image(images: SourceImages, z: int) -> Dataset:
    """The image, or the frame of an enhanced one, that holds a slice."""
    if len(images.headers) > 1 or len(images.slices) == 1:
        return reference(images.headers[z])
    frame = reference(images.headers[0])
    frame.ReferencedFrameNumber = images.slices.index(z) + 1
    return frame


def outlines(inside: np.ndarray) -> list[np.ndarray]:
    """Closed polygons (point, 2) about the parts of a slice (x, y) bool, in voxels; each goes round its holes too."""
    from contourpy import FillType, contour_generator

    padded = np.pad(inside, 1).astype(float)
    lines = contour_generator(z=padded.T, fill_type=FillType.OuterOffset)  # which has y before x
    found = []
    for points, offsets in zip(*lines.filled(0.5, np.inf), strict=True):
        outer, *holes = [points[a : b - 1] - 1 for a, b in pairwise(offsets)]
        found.append(_without_straight(_keyholed(outer, holes)))
    return found


def _keyholed(outer: np.ndarray, holes: list[np.ndarray]) -> np.ndarray:
    """One polygon of an outline and its holes, each joined where it is nearest, by a way there and back.

    The ways begin and end at parts of the sides that have nothing in common, so that none goes through the centre of a
    voxel, where readers would not agree on which side of it that lies.
    """
    while holes:
        begins, ends = _along(outer, 0.382), [_along(hole, 0.276) for hole in holes]
        tree = KDTree(begins)
        near = [tree.query(each) for each in ends]
        first = int(np.argmin([distances.min() for distances, _ in near]))
        hole, (distances, indices) = holes.pop(first), near[first]
        start = int(distances.argmin())
        side = int(indices[start])
        begin, end = begins[[side]], ends[first][[start]]
        round_it = [end, np.roll(hole, -start - 1, axis=0), end]
        outer = np.concatenate([outer[: side + 1], begin, *round_it, begin, outer[side + 1 :]])
    return outer


def _along(ring: np.ndarray, part: float) -> np.ndarray:
    """A point on each side of a polygon."""
    return ring + part * (np.roll(ring, -1, axis=0) - ring)


def _without_straight(points: np.ndarray) -> np.ndarray:
    """Leave away the points between two others on a straight line; a way there and back is none."""
    before, behind = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    cross = before[:, 0] * behind[:, 1] - before[:, 1] * behind[:, 0]
    return points[(np.abs(cross) > 1e-9) | ((before * behind).sum(1) <= 0)]
