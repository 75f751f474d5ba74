"""Why something was left out is said once, in a sentence without the folders that lie above the scanned one."""

import gzip

import nibabel
import numpy as np
import pytest

from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.formats.read import open_volume
from polyscan.preprocess.prepare import prepare


def image(path, values, affine=None):
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), path)


SPOILED = {
    "several.nii.gz": lambda p: image(p, np.zeros((4, 4, 4, 3), np.float32)),
    "complex.nii.gz": lambda p: image(p, np.ones((4, 4, 4), np.complex64)),
    "flat.nii.gz": lambda p: image(p, np.ones((4, 4), np.float32)),
    "tiny.nii.gz": lambda p: image(p, np.ones((4, 4, 4), np.float32), np.diag([1e-6, 1, 1, 1])),
    "text.nii.gz": lambda p: p.write_bytes(b"spoiled"),
    "short.nii.gz": lambda p: p.write_bytes(gzip.compress(b"short")),
    "empty.nii": lambda p: p.write_bytes(b""),
    "cut.nii": lambda p: p.write_bytes(nibabel.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)).to_bytes()[:-9]),
    "text.mha": lambda p: p.write_bytes(b"ObjectType = Image\n"),
    "text.nrrd": lambda p: p.write_bytes(b"NRRD0004\nbla"),
    "short.mgz": lambda p: p.write_bytes(gzip.compress(b"x")),
}


@pytest.fixture
def ward(tmp_path):
    """One patient with a scan that is well and others that are not, below a folder with somebody's name."""
    folder = tmp_path / "Mueller-Anna" / "ward"
    (folder / "patient1").mkdir(parents=True)
    image(folder / "patient1" / "T1.nii.gz", np.random.default_rng(0).normal(size=(6, 6, 6)).astype(np.float32))
    for name, write in SPOILED.items():
        write(folder / "patient1" / f"T2_{name}")
    return folder


def test_reasons_name_no_folder_above(ward):
    (study,) = scan(ward).studies
    left = {decision.series: decision.reason for decision in study.decisions if not decision.taken}
    assert set(left) == {f"patient1/T2_{name}" for name in SPOILED}
    for series, reason in left.items():
        assert "Mueller" not in reason, series
        assert reason.count(series.rpartition("/")[2]) <= 2, reason
        assert len(set(reason.split("; "))) == len(reason.split("; ")), reason


def test_a_failed_study_says_once_why(ward, tmp_path):
    (found := scan(ward)).studies[0].scans["T1"].source = str(ward / "patient1" / "T2_text.nii.gz")
    other = scan(ward).studies[0]
    other.subject = "other"
    found.testing.append(other)
    result = prepare(found, tmp_path / "prepared", registered=True, jobs=1)
    (failure,) = result.failed
    assert failure.reason.startswith("none of ")
    assert "left out" not in failure.reason
    assert failure.reason.count("cannot be read") == 1
    assert "Mueller" not in failure.reason
    assert "T2_text" not in failure.reason


def test_a_file_that_may_not_be_read_is_called_that(ward, monkeypatch):
    def load(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(nibabel, "load", load)
    with pytest.raises(PolyscanError, match=r"T2_text.nii.gz may not be read: no permission"):
        open_volume(ward / "patient1" / "T2_text.nii.gz")
