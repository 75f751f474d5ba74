"""What every test may use."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

for threads in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
    os.environ.setdefault(threads, "1")  # tests run side by side; threads of each would wait for those of the others

ROOT = Path(__file__).resolve().parents[1]


SERVERS = ("web_client", "client")
"""Fixtures that start a label server, which takes longer than most of what it is asked."""


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in a hook of the same name
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process run the tests of a file, and those of all files that ask one server."""
    for item in items:
        server = next((name for name in SERVERS if name in getattr(item, "fixturenames", ())), None)
        item.add_marker(pytest.mark.xdist_group(server or item.path.name))


@pytest.fixture(scope="session", autouse=True)
def one_core() -> Iterator[None]:
    """Nor does a command start processes unasked: each would take longer to import than to do its part."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        yield


OWN_ERRORS = (
    "Tag (0062,000B) (Referenced Segment Number) is unexpected",  # it takes rows below an Include for rows beside it
    "(Rescale Intercept) - enum value '0.0' not allowed",  # it compares numbers as text
    "(Rescale Slope) - enum value '1.0' not allowed",
)
"""What dicom-validator 0.9 says of files that keep the standard."""


@pytest.fixture(scope="session")
def check_modules() -> Callable[[Iterable[Path]], None]:
    """Dicom-validator finds that files have the attributes which the modules of their objects ask for, and no others.

    It runs where ``validate_iods`` is installed and ``DICOM_STANDARD`` names its folder of editions of the standard.
    """
    standard, tool = os.environ.get("DICOM_STANDARD"), shutil.which("validate_iods")
    if not (standard and tool):
        pytest.skip("no dicom-validator (validate_iods), or no edition of the standard for it ($DICOM_STANDARD)")

    def check(files: Iterable[Path]) -> None:
        files = [str(file) for file in files]
        words = [tool, "--standard-path", standard, "--edition", "local", *files]
        said = subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
        assert len([line for line in said if line.startswith("SOP class is")]) == len(files), said
        told = [line.strip() for line in said if line.strip().startswith("Tag (")]
        assert not [line for line in told if not any(own in line for own in OWN_ERRORS)]

    return check


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real sample studies; a test that asks for it is skipped where there is none."""
    folder = Path(os.environ.get("POLYSCAN_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "sarcoma_ct_mr_pet").is_dir():
        pytest.skip(f"real sample data not found at {folder}; set POLYSCAN_DATA to try this")
    return folder


@pytest.fixture(scope="session")
def make_ward() -> Callable[[Path, int], None]:
    """Write CT, T1 and the mask of a ball for some patients, 16 voxels of 2 mm wide: what commands are tried on."""
    import torch
    from monai.data import MetaTensor

    from polyscan.formats.nifti import write_nifti

    def make(folder: Path, patients: int) -> None:
        ball = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 16)] * 3, indexing="ij")).square().sum(0) < 0.6
        affine = torch.diag(torch.tensor([2.0, 2, 2, 1]))
        for number in range(patients):
            noise = torch.randn(16, 16, 16, generator=torch.Generator().manual_seed(number))
            scans = {"CT": ball * 1040.0 - 1000 + noise, "T1": ball * (100 + noise), "mask": ball.byte()}
            for name, image in scans.items():
                write_nifti(folder / f"patient{number}" / f"{name}.nii.gz", MetaTensor(image[None], affine=affine))

    return make


SOP = {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4", "PT": "1.2.840.10008.5.1.4.1.1.128"}


@pytest.fixture
def make_series(tmp_path: Path) -> Callable[..., Path]:
    """Write a series of 2 x 2 mm pixels; slice k is filled with 10 k + its pixel's column."""

    from polyscan.files.dicom import save_dicom

    def make(
        name: str = "series", *, slices: int = 5, modality: str = "CT", change=lambda k, ds: None, **common
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        series, study, frame = generate_uid(), "1.2.3.4", generate_uid()
        for k in range(slices):
            ds = Dataset()
            ds.file_meta = FileMetaDataset()
            ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = SOP[modality]
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.FrameOfReferenceUID = series, study, frame
            ds.PatientID, ds.PatientName, ds.Modality = "SECRET-ID", "Secret^Name", modality
            ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
            ds.ImageOrientationPatient, ds.PixelSpacing = [1, 0, 0, 0, 1, 0], [2, 2]
            ds.ImagePositionPatient, ds.SliceThickness, ds.InstanceNumber = [-10, -20, 3 * k], 3, k + 1
            ds.Rows, ds.Columns, ds.SamplesPerPixel = 6, 7, 1
            ds.PhotometricInterpretation, ds.PixelRepresentation = "MONOCHROME2", 0
            ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
            ds.RescaleSlope, ds.RescaleIntercept = 1, 0
            ds.PixelData = (np.tile(np.arange(7), (6, 1)) + 10 * k).astype("<u2").tobytes()
            for attribute, value in common.items():
                setattr(ds, attribute, value)
            change(k, ds)
            save_dicom(ds, folder / f"{k:03d}.dcm")
        return folder

    return make
