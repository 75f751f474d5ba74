"""One archive and one label server before it, for all tests that ask over DICOMweb."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from served import ROOT, Client, serve

from polyscan.phantom import make_cohort
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
