"""Studies and their scans in two calls, for a notebook or a script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai.data import MetaTensor

from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError, first_of
from polyscan.formats.read import read_image, read_volume
from polyscan.study import Study
from polyscan.study.manifest import Manifest


class StudyImages(dict[str, MetaTensor]):
    """Modality to scan, (1, x, y, z) float32 each, with a RAS+ affine in millimetres: as it lies in its files.

    CT is in HU, PET in SUV by body weight, MRI as stored; the scans are not registered, and each has its own grid.

    Attributes:
        study: what was found, sources included.
        left_out: what else the folder holds, and scans that could not be read: a sentence each.
    """

    def __init__(self, study: Study) -> None:
        super().__init__()
        self.study = study
        self.left_out: list[str] = []


def find_studies(folder: str | Path) -> list[Study]:
    """The studies in a tree of DICOM and NIfTI files, as ``polyscan scan`` finds them.

    Args:
        folder: of one patient or of many.

    Returns:
        A study for each patient, or for each session of one; ``study.scans`` maps modality to where the scan lies.

    Raises:
        PolyscanError: the folder does not exist or holds no image.
    """
    return scan(folder).studies


def read_study(folder: Study | str | Path) -> StudyImages:
    """Read the scans of one patient.

    Args:
        folder: one patient's, DICOM or NIfTI; or one of :func:`find_studies`, raw or prepared.

    Returns:
        The scans, and beside them what was left out and why. A scan that cannot be read stops no other.

    Raises:
        PolyscanError: the folder holds no study, several, or none whose scans can be read.
    """
    found = Manifest(testing=[folder]) if isinstance(folder, Study) else scan(folder)
    study = only_study(found.studies, folder)
    images = StudyImages(study)
    images.left_out = [f"{d.series}: {d.reason}" for d in [*study.decisions, *found.left_out] if not d.taken]
    for name, one in study.scans.items():
        try:
            raw = study.preparation is None
            images[name] = read_image(one.source, name, one.given) if raw else read_volume(str(one.source))
        except PolyscanError as error:
            images.left_out.append(f"{name}: {error}")
    if not images:
        raise PolyscanError(f"No scan of {study.key} can be read: {'; '.join(images.left_out)}")
    return images


def only_study(studies: Sequence[Study], folder: object) -> Study:
    """The one study that was found in a folder; PolyscanError where it holds none or several."""
    if len(studies) != 1:
        keys = first_of([study.key for study in studies])
        raise PolyscanError(
            f"{folder} holds {len(studies)} studies ({keys}); name the folder of one, or list them with find_studies."
        )
    return studies[0]
