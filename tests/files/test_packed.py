"""DICOM in zip archives and gzip files is read where it lies, as if it had been unpacked."""

from __future__ import annotations

import gzip
import zipfile

import numpy as np
import pytest

from polyscan.dicom.read import find_series, read_series
from polyscan.discovery.read_study import read_study
from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.files.owned import MARKER
from polyscan.files.packed import members_of
from polyscan.files.walk import is_folder, walk
from polyscan.formats.read import read_image
from polyscan.study.manifest import read_manifest, write_manifest
from polyscan.study.outputs import OutputFolder, fingerprint, sources_of


def packed(folder, archive, *, inside="", kind=zipfile.ZIP_DEFLATED):
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", kind) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, f"{inside}{path.relative_to(folder).as_posix()}")
    return archive


@pytest.mark.parametrize("inside", ["", "anna/export/"])
def test_a_patients_archive_is_a_folder(make_series, tmp_path, inside):
    folder = make_series("plain/anna/CT")
    make_series("plain/anna/PET", modality="PT", CorrectedImage=["ATTN"])
    packed(folder.parent, tmp_path / "ward" / "anna.zip", inside=inside)
    manifest = scan(tmp_path / "ward")
    write_manifest(tmp_path / "m.json", manifest)
    (study,) = read_manifest(tmp_path / "m.json").studies
    assert (study.key, sorted(study.scans)) == ("sub-anna", ["CT", "PET"])
    image = read_image(study.scans["CT"].source, "CT")
    np.testing.assert_array_equal(image, read_series(folder))
    assert image.affine.equal(read_series(folder).affine)


def test_an_archive_itself_can_be_named(make_series, tmp_path):
    folder = make_series("plain/CT")
    archive = packed(folder.parent, tmp_path / "anna.zip")
    assert list(read_study(archive)) == ["CT"]
    assert [series.modality for series in find_series(archive)] == ["CT"]
    np.testing.assert_array_equal(read_series(archive / "CT" / "002.dcm")[0, 0, 0], 20)
    assert is_folder(archive / "CT")
    assert not is_folder(archive / "CT" / "002.dcm")
    with pytest.raises(PolyscanError, match="no DICOM series"):
        read_series(archive / "MR")


@pytest.mark.parametrize("inside", ["", "results/prepared/"])
def test_what_polyscan_wrote_is_left_out_of_an_archive_too(make_series, tmp_path, inside):
    make_series("ward/anna/CT")
    written = make_series("prepared/sub-anna/CT").parents[1]
    (written / MARKER).write_text("{}")
    packed(written, tmp_path / "ward" / "results.zip", inside=inside)
    manifest = scan(tmp_path / "ward")
    assert [study.key for study in manifest.studies] == ["sub-anna"]
    (decision,) = manifest.left_out
    assert "written by polyscan" in decision.reason


def test_gzip_files_in_an_archive_are_read(make_series, tmp_path):
    folder = make_series("plain")
    (tmp_path / "ward").mkdir()
    with zipfile.ZipFile(tmp_path / "ward" / "anna.zip", "w") as file:
        for path in folder.iterdir():
            file.writestr(f"{path.name}.gz", gzip.compress(path.read_bytes()))
    (study,) = scan(tmp_path / "ward").studies
    np.testing.assert_array_equal(read_image(study.scans["CT"].source, "CT"), read_series(folder))


def test_gzip_files_are_read(make_series, tmp_path):
    folder = make_series("plain")
    (tmp_path / "ward" / "anna").mkdir(parents=True)
    for path in folder.iterdir():
        (tmp_path / "ward" / "anna" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    (study,) = scan(tmp_path / "ward").studies
    np.testing.assert_array_equal(read_image(study.scans["CT"].source, "CT"), read_series(folder))


def test_cases_of_the_reports(data):
    case = data / "reported_cases" / "dicom_gz_and_zip"
    packs = [read_study(case / name)["CT"] for name in ("in", "zip")]
    np.testing.assert_array_equal(*packs)
    assert packs[0].shape[3] == 12


def test_what_cannot_be_unpacked_is_said(make_series, tmp_path):
    folder = make_series("ward/anna")
    (folder / "cut.dcm.gz").write_bytes(gzip.compress((folder / "000.dcm").read_bytes())[:40])
    (folder / "cut.zip").write_bytes(packed(folder, tmp_path / "other.zip").read_bytes()[:200])
    archive = packed(folder, tmp_path / "ward" / "bert.zip", kind=zipfile.ZIP_STORED)
    content = bytearray(archive.read_bytes())
    at = content.index(b"PK\x01\x02")  # the first entry of the list says that it is encrypted
    content[at + 8] |= 1
    archive.write_bytes(content)
    with zipfile.ZipFile(tmp_path / "ward" / "carl.zip", "w") as file:
        file.writestr("T1.nii.gz", b"x")
        file.writestr("../outside.dcm", (folder / "000.dcm").read_bytes())
    manifest = scan(tmp_path / "ward")
    reasons = {entry.series: entry.reason for entry in manifest.left_out}
    assert "cannot be decompressed" in reasons["anna/cut.dcm.gz"]
    assert "zip archive that is damaged" in reasons["anna/cut.zip"]
    assert "encrypted" in reasons["bert.zip/000.dcm"]
    assert "unpack it first" in reasons["carl.zip/T1.nii.gz"]
    assert "leads out of its zip archive" in reasons["carl.zip/../outside.dcm"]
    assert members_of(tmp_path / "ward" / "carl.zip")[0] == [tmp_path / "ward" / "carl.zip" / "T1.nii.gz"]
    assert walk(tmp_path / "ward" / "carl.zip")[0] == [tmp_path / "ward" / "carl.zip" / "T1.nii.gz"]


def test_an_archive_is_kept_apart_from_what_is_written_and_known_by_its_changes(make_series, tmp_path):
    archive = packed(make_series("plain/CT").parent, tmp_path / "ward" / "anna.zip")
    studies = scan(tmp_path / "ward").studies
    assert sources_of(studies) == [archive]
    with pytest.raises(PolyscanError, match="apart from the scans"):
        OutputFolder.claim(tmp_path / "ward" / "out", "prepare", sources_of(studies))
    before = fingerprint(one.source for one in studies[0].scans.values())
    packed(make_series("plain/CT").parent, archive)
    assert fingerprint(one.source for one in studies[0].scans.values()) != before
