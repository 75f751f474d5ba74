"""What ``infer`` predicted as DICOM objects in the space of each study's reference series."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from polyscan.dicom.source_images import SourceImages, lasting_uids, require_highdicom, source_images
from polyscan.dicom.write_measurements import RegionMeasures, measure_region, write_measurements
from polyscan.dicom.write_parametric_map import write_parametric_map
from polyscan.dicom.write_registration import write_registration
from polyscan.dicom.write_rtstruct import write_rtstruct
from polyscan.dicom.write_segmentation import write_segmentation
from polyscan.errors import PolyscanError
from polyscan.export import OBJECTS
from polyscan.files.digest import sha256
from polyscan.files.numbered import numbered
from polyscan.formats.endings import is_volume
from polyscan.formats.nifti import read_nifti
from polyscan.geometry import matrix_of
from polyscan.preprocess.native import to_native
from polyscan.progress import Progress, silent
from polyscan.report.uncertainty import region_probabilities, uncertainty_map
from polyscan.study import PredictionRecord, Study, paths_in
from polyscan.study.made import prediction_of, preparation_of
from polyscan.study.manifest import Manifest
from polyscan.study.outputs import OutputFolder, sources_of
from polyscan.study.sources import Sources, StudySources
from polyscan.study.write_each import Written, write_each

if TYPE_CHECKING:
    from highdicom.seg import Segmentation

_INDEX = "dicom.json"
_MAPS = {"probabilities": (1004, ""), "uncertainty": (1006, "bit")}
"""Object to its SeriesNumber and its unit."""


def write_dicom(
    manifest: Manifest,
    sources: Sources,
    out: str | Path,
    objects: Collection[str] = ("seg", "sr", "registration"),
    *,
    progress: Progress = silent,
) -> Written:
    """Write predictions as DICOM objects, ``<study>_<object>.dcm``, that belong to the study of the reference series.

    A segmentation holds each region as a segment; where regions lie inside each other its label map holds the
    parts that are left of each. The same answer always gets the same UIDs, so that an archive that it is sent to twice
    holds it once; another answer gets others. The objects hold what the headers of the series say of the patient.

    Args:
        manifest: what ``infer`` or ``batch`` wrote.
        sources: where the series lie.
        out: folder that is new, empty, or was made so; ``dicom.json`` lists what was written.
        objects: some of :data:`polyscan.export.OBJECTS`; what a study has nothing for is not written.
        progress: told (done, total, study) after each.

    Raises:
        PolyscanError: there is nothing predicted, nothing could be written, ``out`` cannot be used, or highdicom is not
            installed.
    """
    require_highdicom()
    studies = [study for study in manifest.studies if study.prediction and study.preparation]
    if not studies:
        raise PolyscanError("No study has a prediction on prepared scans; name the folder that polyscan infer wrote.")
    raw = [path for study in studies for path in _files(sources.studies.get(study.key))]
    owned = OutputFolder.claim(out, "dicom", [*sources_of(studies), *raw])
    owned.will_hold([_INDEX, *(f"{study.key}_{name}.dcm" for study in studies for name in OBJECTS)])

    def write(study: Study, folder: Path) -> dict[str, str]:
        of_study = sources.studies.get(study.key, StudySources())
        return write_objects(study, of_study, folder, objects, manifest.bundle or "polyscan")

    return write_each(owned, studies, write, done="written as DICOM", index=_INDEX, sources=sources, progress=progress)


def write_objects(
    study: Study, sources: StudySources, out: Path, objects: Collection[str], description: str
) -> dict[str, str]:
    """Write the objects of one study; see :func:`write_dicom`.

    Args:
        study: with its preparation and prediction.
        sources: where its series lie.
        out: folder to write to.
        objects: some of :data:`polyscan.export.OBJECTS`.
        description: SeriesDescription, such as the name of the model.

    Returns:
        Object to the name of its file.

    Raises:
        PolyscanError: the series of the reference is not known, or cannot carry the objects.
    """
    prediction, preparation = prediction_of(study), preparation_of(study)
    fixed = _images(sources, preparation.reference)
    to = _Objects(study.key, out, fixed, description, sha256(Path(prediction.path)))
    segmentation, measures = None, dict[str, RegionMeasures]()
    if prediction.is_mask and set(objects) & {"seg", "labelmap", "rtstruct", "sr"}:
        segmentation, measures = _write_mask(to, prediction, objects)
    for name, maps in _maps(prediction, fixed, objects).items():
        number, unit = _MAPS[name]
        path, uids = to.next(name)
        write_parametric_map(path, maps, fixed, uids, description=description, series_number=number, unit=unit)
    if "sr" in objects:
        path, uids = to.next("sr")
        write_measurements(
            path,
            fixed,
            uids,
            description=description,
            segmentation=segmentation,
            regions=measures,
            answers=prediction.answers,
        )
    if "registration" in objects and preparation.transforms:
        moving = {name: (_images(sources, name), _to_reference(file)) for name, file in preparation.transforms.items()}
        path, uids = to.next("registration", str([matrix.round(6).tolist() for _, matrix in moving.values()]))
        write_registration(path, fixed, moving, uids, description="polyscan registration")
    return to.written


@dataclass
class _Objects:
    """The objects of a study: where they go, and what they all refer to.

    Attributes:
        key: of the study.
        out: folder.
        images: the series of the reference.
        description: SeriesDescription.
        digest: of the answer.
        written: object to the name of its file.
    """

    key: str
    out: Path
    images: SourceImages
    description: str
    digest: str
    written: dict[str, str] = field(default_factory=dict)

    def next(self, name: str, content: str = "") -> tuple[Path, tuple[str, str]]:
        """The file of an object that is about to be written, and its UIDs, which are of the answer where not given."""
        self.written[name] = f"{self.key}_{name}.dcm"
        return self.out / self.written[name], lasting_uids(name, self.images, content or self.digest)


def _write_mask(
    to: _Objects, prediction: PredictionRecord, objects: Collection[str]
) -> tuple[Segmentation | None, dict[str, RegionMeasures]]:
    """Write a mask as what of it is asked for; returns the segmentation that a report measures, and its measures."""
    if not prediction.regions:
        raise PolyscanError("The prediction does not tell what its numbers mean; make it again with polyscan infer.")
    regions, description = prediction.regions, to.description
    mask = to_native(read_nifti(prediction.path), to.images.grid)
    segmentation, measures = None, dict[str, RegionMeasures]()
    if {"seg", "sr"} & set(objects):  # what is measured is the segmentation's
        path, uids = to.next("seg")
        segmentation = write_segmentation(path, mask, to.images, regions, description=description, uids=uids)
        measures = {name: measure_region(_inside(mask, values)) for name, values in regions.items()}
    if "labelmap" in objects:
        path, uids = to.next("labelmap")
        parts = apart(regions)
        write_segmentation(path, mask, to.images, parts, description=description, label_map=True, uids=uids)
    if "rtstruct" in objects:
        path, uids = to.next("rtstruct")
        write_rtstruct(path, mask, to.images, regions, uids, description=description)
    return segmentation, measures


def apart(regions: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """What of each region is in none inside it, by a name that says so: ``whole tumour without tumour core``."""
    found = {}
    for name, values in regions.items():
        within = [other for other, inner in regions.items() if set(inner) < set(values)]
        outermost = [a for a in within if not any(set(regions[a]) < set(regions[b]) for b in within)]
        left = set(values) - {value for other in within for value in regions[other]}
        found[f"{name} without {', '.join(outermost)}" if within else name] = sorted(left)
    return found


def _maps(
    prediction: PredictionRecord, fixed: SourceImages, objects: Collection[str]
) -> dict[str, dict[str, MetaTensor]]:
    """Object to its maps on the grid of the reference series, where probabilities were kept."""
    if prediction.probabilities is None or not set(objects) & set(_MAPS):
        return {}
    regions = list(prediction.regions)
    each = [to_native(p, fixed.grid) for p in region_probabilities(prediction.probabilities, len(regions))]
    found = {
        "probabilities": {f"probability of {name}": p for name, p in zip(regions, each, strict=True)},
        "uncertainty": {"entropy of the least sure region": uncertainty_map(each)},
    }
    return {name: maps for name, maps in found.items() if name in objects}


def _images(sources: StudySources, scan: str) -> SourceImages:
    source = sources.scans.get(scan)
    if source is None:
        raise PolyscanError(f"Where {scan} lies is not known; name the sources.json of its study with --sources.")
    if is_volume(paths_in(source)[0]):
        raise PolyscanError(f"{scan} is no DICOM series, so that no DICOM object can refer to it; take the NIfTI.")
    return source_images(source)


def _inside(mask: MetaTensor, values: Sequence[int]) -> MetaTensor:
    return MetaTensor(torch.isin(mask.as_tensor(), torch.tensor(list(values))), affine=mask.affine)


def _to_reference(file: str) -> np.ndarray:
    """``prepare`` keeps what goes from points of the reference to those of the scan."""
    return np.linalg.inv(matrix_of(sitk.ReadTransform(file)))


def _files(sources: StudySources | None) -> list[Path]:
    every = list(sources.scans.values()) if sources else []
    return [numbered(path)[0] for source in every for path in paths_in(source)]
