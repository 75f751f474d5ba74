"""An index finds what a scan without one finds, and reads again only what changed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import asdict
from textwrap import dedent

import pydicom
import pytest
import torch
from monai.data import MetaTensor

from polyscan.discovery import index
from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.formats.nifti import write_nifti


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The files whose headers are read, by folder and name."""
    names: list[str] = []
    each, volume = index.read_each, index.volume_candidates

    def read_each(files):
        for path, found in each(list(files)):
            names.append(f"{path.parent.name}/{path.name}")
            yield path, found

    def volume_candidates(folder, path):
        names.append(f"{path.parent.name}/{path.name}")
        return volume(folder, path)

    monkeypatch.setattr(index, "read_each", read_each)
    monkeypatch.setattr(index, "volume_candidates", volume_candidates)
    return names


@pytest.fixture
def ward(make_series, tmp_path):
    make_series("ward/anna/CT")
    make_series("ward/anna/PET", modality="PT", CorrectedImage=["ATTN"])
    make_series("ward/bert/CT", PatientID="OTHER", StudyInstanceUID="1.2.9")
    write_nifti(tmp_path / "ward/cleo/cleo_T1w.nii.gz", MetaTensor(torch.zeros(1, 4, 4, 4), affine=torch.eye(4)))
    (tmp_path / "ward/bert/CT/broken.dcm").write_bytes(b"no DICOM")
    (tmp_path / "ward/bert/notes.txt").write_text("nothing")
    (tmp_path / "ward/link").symlink_to(tmp_path / "ward/anna")
    return tmp_path / "ward"


def test_the_second_scan_reads_nothing_and_finds_the_same(ward, tmp_path, read):
    kept = tmp_path / "index.sqlite"
    plain = asdict(scan(ward))
    assert asdict(scan(ward, index=kept)) == plain
    read.clear()
    assert asdict(scan(ward, index=kept)) == plain
    assert read == []
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    told = {decision["series"]: decision["reason"] for decision in plain["left_out"]}
    assert told["link"] == "a link to a folder that was met already"
    assert "no DICOM file, unlike those beside it" in told["bert/CT/broken.dcm"]


def test_only_what_changed_is_read_again(ward, tmp_path, read):
    kept = tmp_path / "index.sqlite"
    scan(ward, index=kept)
    read.clear()
    slices = sorted((ward / "anna/CT").iterdir())
    header = pydicom.dcmread(slices[0])
    header.PatientSex = "F"
    header.save_as(slices[0])
    slices[-1].unlink()
    (ward / "bert/CT/broken.dcm").unlink()
    write_nifti(ward / "dora/dora_FLAIR.nii.gz", MetaTensor(torch.zeros(1, 4, 4, 4), affine=torch.eye(4)))
    found = asdict(scan(ward, index=kept))
    assert sorted(read) == [f"CT/{slices[0].name}", "dora/dora_FLAIR.nii.gz"]
    assert found == asdict(scan(ward))
    assert [study["subject"] for study in found["testing"]] == ["anna", "bert", "cleo", "dora"]


def test_what_files_beside_it_make_of_a_file_is_seen(tmp_path):
    """A part of a volume that is taken away is a file by itself; a sidecar that comes or goes tells of its volume."""
    kept, ward = tmp_path / "index.sqlite", tmp_path / "ward"
    write_nifti(ward / "cleo/cleo_T1w.nii.gz", MetaTensor(torch.zeros(1, 4, 4, 4), affine=torch.eye(4)))
    (ward / "cleo/cleo_T2w.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 1 1\nElementDataFile = a.raw\n"
    )
    (ward / "cleo/a.raw").write_bytes(bytes(64))
    sidecar, agent = ward / "cleo/cleo_T1w.json", '{"Modality": "MR", "ContrastBolusAgent": "Gadovist"}'
    kinds = []
    for change in (
        lambda: None,
        (ward / "cleo/cleo_T2w.mhd").unlink,
        lambda: sidecar.write_text(agent),
        sidecar.unlink,
    ):
        change()
        found = scan(ward, index=kept)
        assert asdict(found) == asdict(scan(ward))
        kinds.append(sorted(found.studies[0].scans))
    assert kinds == [["T1", "T2"], ["T1"], ["T1c"], ["T1"]]


def test_an_index_of_another_folder_is_made_anew(ward, tmp_path):
    kept = tmp_path / "index.sqlite"
    scan(ward, index=kept)
    assert asdict(scan(ward / "anna", index=kept)) == asdict(scan(ward / "anna"))


def test_a_disk_that_refuses_is_not_called_a_damaged_index(ward, tmp_path):
    """And what is kept goes on where there is room again."""
    kept = tmp_path / "index.sqlite"
    for size in (4096, 40_960):
        scanned = f"""
            import resource, signal
            from polyscan.cli import main
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
            main(["scan", {str(ward)!r}, "--index", {str(kept)!r}, "-o", {str(tmp_path / "manifest.json")!r}])
        """
        said = subprocess.run([sys.executable, "-c", dedent(scanned)], capture_output=True, text=True).stderr
        assert "polyscan scan: a disk failed while" in said
    assert asdict(scan(ward, index=kept)) == asdict(scan(ward))


@pytest.mark.parametrize("content", [b'{"polyscan": "0.2.0", "testing": []}', os.urandom(8192)], ids=["JSON", "noise"])
def test_a_file_of_something_else_is_refused(ward, tmp_path, content):
    other = tmp_path / "manifest.json"
    other.write_bytes(content)
    with pytest.raises(PolyscanError, match="is no index"):
        scan(ward, index=other)
    assert other.read_bytes() == content
