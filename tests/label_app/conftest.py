"""A label server of a folder of studies, and one before an archive, each for all tests that ask it."""

from __future__ import annotations

import os
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from served import ROOT, Client, serve

from polyscan.phantom import make_cohort, make_slices
from processes import orthanc


@dataclass(frozen=True)
class Archive:
    """An Orthanc, and the folders of what it holds.

    Attributes:
        url: its DICOMweb service.
        heads: two made heads, DICOM folders ``sub-001/T1c`` and so on.
        sarcomas: the real patients' folders; None where there are none.
    """

    url: str
    heads: Path
    sarcomas: Path | None


@pytest.fixture(scope="package")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    folder = tmp_path_factory.mktemp("orthanc")
    heads = folder / "heads"
    make_cohort(heads, subjects=2, seed=5, modalities=("T1c", "FLAIR"), missing=0.0, format="dicom")
    files = sorted(heads.rglob("*.dcm"))
    data = Path(os.environ.get("POLYSCAN_DATA", ROOT.parent / "shared" / "data"))
    real = data / "sarcoma_ct_mr_pet" / "dicom"
    if real.is_dir():
        files += [file for file in real.rglob("*") if file.is_file() and file.parent.name == "image"]
    with orthanc(folder) as url:
        for file in files:
            urllib.request.urlopen(urllib.request.Request(f"{url}/instances", file.read_bytes(), method="POST"))
        yield Archive(f"{url}/dicom-web", heads, real if real.is_dir() else None)


@pytest.fixture(scope="package")
def web_client(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A label server that reads the archive."""
    with serve(archive.url, tmp_path_factory.mktemp("web")) as found:
        yield found


@pytest.fixture(scope="package")
def studies(tmp_path_factory) -> Path:
    """Heads: one as DICOM, one without T1c, one spoiled, one of two visits; two tumours in a FLAIR alone; pictures."""
    folder = tmp_path_factory.mktemp("label")
    contrasts = ("T1", "T1c", "T2", "FLAIR")
    make_cohort(folder / "nifti", subjects=4, seed=5, modalities=contrasts, missing=0.0)
    make_cohort(folder / "dicom", subjects=1, seed=6, modalities=("T1c", "FLAIR"), missing=0.0, format="dicom")
    shutil.rmtree(folder / "nifti" / "derivatives")
    shutil.move(folder / "dicom" / "sub-001", folder / "nifti" / "sub-005")
    next((folder / "nifti" / "sub-003").rglob("*ce-*T1w.nii.gz")).unlink()
    make_cohort(folder / "visits", subjects=1, seed=7, modalities=("T1c", "FLAIR"), missing=0.0, visits=2)
    shutil.move(folder / "visits" / "sub-001", folder / "nifti" / "sub-006")
    for file in sorted((folder / "nifti" / "sub-006").rglob("sub-001*")):
        file.rename(file.with_name(file.name.replace("sub-001", "sub-006")))
    make_slices(folder / "slices", subjects=4, seed=5)
    shutil.move(folder / "slices" / "sub-0004", folder / "nifti" / "sub-pictures")
    make_cohort(folder / "alone", subjects=2, seed=8, modalities=("FLAIR",), missing=0.0)
    for place, name in (("sub-001", "sub-007"), ("sub-002", "sub-008")):
        (folder / "nifti" / name).mkdir()
        nibabel.save(tumour_of(folder / "alone", place), folder / "nifti" / name / "FLAIR.nii.gz")
    for scan in (folder / "nifti" / "sub-004").rglob("*.nii.gz"):
        scan.write_bytes(scan.read_bytes()[:3000])
    return folder / "nifti"


def tumour_of(cohort: Path, subject: str) -> nibabel.Nifti1Image:
    """The FLAIR of a head, cut to 8 cm about its brightest place: what is asked for often is answered soon."""
    scan = nibabel.load(next((cohort / subject).rglob("*FLAIR.nii.gz")))
    zooms = np.array(scan.header.get_zooms())
    place = np.unravel_index(gaussian_filter(scan.get_fdata(), 10 / zooms).argmax(), scan.shape)
    reach = (40 / zooms).astype(int)
    return scan.slicer[tuple(slice(max(0, at - n), at + n) for at, n in zip(place, reach, strict=True))]


@pytest.fixture(scope="package")
def client(studies, tmp_path_factory):
    """A server, up."""
    with serve(str(studies), tmp_path_factory.mktemp("server")) as found:
        yield found
