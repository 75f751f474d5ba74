"""Measurements and classifications to a DICOM Structured Report: TID 1500, Measurement Report."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from monai.data import MetaTensor
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from polyscan import __version__
from polyscan.dicom.own import VENDOR, save_made
from polyscan.dicom.source_images import SourceImages, lasting_uid, require_highdicom
from polyscan.dicom.write_segmentation import finding
from polyscan.geometry import spacing_of, voxel_ml
from polyscan.study import TaskPrediction

if TYPE_CHECKING:
    from highdicom.seg import Segmentation
    from highdicom.sr import AlgorithmIdentification, CodedConcept, Measurement, TrackingIdentifier
_SCHEME = "99POLYSCAN"
_PROCEDURES = {"CT": "CTUnspecifiedBodyRegion", "MR": "MRIUnspecifiedBodyRegion", "PT": "PETUnspecifiedBodyRegion"}


@dataclass(frozen=True)
class RegionMeasures:
    """What was measured of a segment.

    Attributes:
        volume_ml: in millilitres.
        long_axis_mm: the longest distance between the centres of two of its voxels in one slice.
    """

    volume_ml: float
    long_axis_mm: float


def measure_region(inside: MetaTensor) -> RegionMeasures:
    """Measure a region (1, x, y, z) bool on the grid of a series, whose slices are along z."""
    affine = np.asarray(inside.affine, dtype=float)
    voxels = inside[0].cpu().numpy().astype(bool)
    longest = 0.0
    for z in np.flatnonzero(voxels.any((0, 1))):
        points = np.argwhere(voxels[:, :, z]) * spacing_of(affine)[:2]
        try:
            points = points[ConvexHull(points).vertices]
        except (QhullError, ValueError):  # in one line
            points = points[[0, -1]]
        longest = max(longest, float(pdist(points).max(initial=0.0)))
    return RegionMeasures(float(voxels.sum()) * voxel_ml(affine), longest)


def write_measurements(
    path: str | Path,
    images: SourceImages,
    uids: tuple[str, str],
    *,
    description: str,
    segmentation: Segmentation | None = None,
    regions: Mapping[str, RegionMeasures] | None = None,
    answers: Mapping[str, TaskPrediction] | None = None,
) -> None:
    """Write a Comprehensive 3D SR by TID 1500, whole or not at all: a group a region, and one a task.

    What has a code in SNOMED CT or DICOM has that. The names of tasks and classes, which are a bundle's own, have a
    code of the private scheme 99POLYSCAN.

    Args:
        path: the file to write.
        images: the series that was measured.
        uids: SeriesInstanceUID and SOPInstanceUID.
        description: SeriesDescription, such as the name of the model.
        segmentation: holds the regions as its segments.
        regions: SegmentLabel to what was measured; of every segment.
        answers: task to what was predicted.

    Raises:
        PolyscanError: highdicom is not installed.
    """
    require_highdicom()
    from highdicom import sr

    by = sr.AlgorithmIdentification("polyscan", __version__)
    device = sr.DeviceObserverIdentifyingAttributes(lasting_uid("polyscan", __version__), name="polyscan")
    groups: list[Any] = []
    if segmentation is not None:
        measures = regions or {}
        for item in segmentation.SegmentSequence:
            groups.append(_of_region(segmentation, item, measures[item.SegmentLabel], images, uids[1], by))
    for task, prediction in (answers or {}).items():
        said = [] if prediction.predicted_class is None else [(task, prediction.predicted_class)]
        group = sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking(uids[1], task),
            algorithm_id=by,
            measurements=list(_numbers(task, prediction)),
            qualitative_evaluations=[sr.QualitativeEvaluation(_private(name), _private(found)) for name, found in said],
        )
        groups.append(group)
    header = images.headers[0]
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, device)),
        procedure_reported=getattr(codes.LN, _PROCEDURES.get(header.Modality, "CTUnspecifiedBodyRegion")),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    document = sr.Comprehensive3DSR(
        evidence=[*images.headers, *([segmentation] if segmentation is not None else [])],
        content=report[0],
        series_instance_uid=uids[0],
        series_number=1001,
        sop_instance_uid=uids[1],
        instance_number=1,
        series_description=description[:64],
        manufacturer=VENDOR,
    )
    save_made(document, path)


def _of_region(
    segmentation: Segmentation,
    item: Any,
    measures: RegionMeasures,
    images: SourceImages,
    report: str,
    by: AlgorithmIdentification,
) -> Any:
    from highdicom import sr

    name = str(item.SegmentLabel)
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(report, name),
        referenced_segment=sr.ReferencedSegment(
            segmentation.SOPClassUID,
            segmentation.SOPInstanceUID,
            int(item.SegmentNumber),
            source_series=sr.SourceSeriesForSegmentation(images.headers[0].SeriesInstanceUID),
        ),
        finding_type=finding(name),
        algorithm_id=by,
        measurements=[
            sr.Measurement(codes.SCT.Volume, _rounded(measures.volume_ml), _unit("mL", "milliliter")),
            sr.Measurement(codes.SCT.LongAxis, _rounded(measures.long_axis_mm), codes.UCUM.Millimeter),
        ],
    )


def _numbers(task: str, prediction: TaskPrediction) -> Iterator[Measurement]:
    """The numbers of an answer: what was measured, and how probable each class is."""
    from highdicom import sr

    none = codes.UCUM.NoUnits
    known: dict[str, tuple[Any, Code, Code | None]] = {
        "suv_max": (codes.DCM.Suvbw, _unit("g/mL{SUVbw}", "SUVbw"), codes.SCT.Maximum),
        "total_lesion_glycolysis": (codes.DCM.TotalLesionGlycolysis, _unit("g", "gram"), None),
        "metabolic_tumour_volume_ml": (_private("metabolic tumour volume"), _unit("mL", "milliliter"), None),
        "spread_mm": (_private("largest distance between lesions"), codes.UCUM.Millimeter, None),
    }
    for name, number in prediction.measures.items():
        if isinstance(number, (int, float)):
            concept, unit, derivation = known.get(name) or (_private(name), none, None)
            yield sr.Measurement(concept, _rounded(number), unit, derivation=derivation)
    for name, number in prediction.probabilities.items():
        yield sr.Measurement(_private(f"probability of {task} {name}"), _rounded(number), none)
    for name, found in {"log hazard": prediction.risk, "uncertainty": prediction.uncertainty}.items():
        if found is not None:
            yield sr.Measurement(_private(f"{name} of {task}"), _rounded(found), none)


def _tracking(report: str, name: str) -> TrackingIdentifier:
    from highdicom import sr

    return sr.TrackingIdentifier(uid=lasting_uid(report, name), identifier=name)


def _private(meaning: str) -> CodedConcept:
    """A code of what has none elsewhere: its own words, or 16 digits of their hash where they are longer."""
    from highdicom import sr

    words = re.sub(r"[^A-Za-z0-9.]+", "_", meaning).strip("_")
    short = words if 0 < len(words) <= 16 else hashlib.sha256(meaning.encode()).hexdigest()[:16]
    return sr.CodedConcept(short, _SCHEME, meaning[:64])


def _unit(value: str, meaning: str) -> Code:
    return Code(value, "UCUM", meaning)


def _rounded(number: float) -> float:
    """Within the 16 characters that a decimal string may have."""
    return float(f"{number:.6g}")
