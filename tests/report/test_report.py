from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.formats.nifti import write_nifti
from polyscan.geometry import matrix_of
from polyscan.report import write_report
from polyscan.report.page import _before
from polyscan.report.pictures import _sample
from polyscan.report.planes import planes
from polyscan.report.summary import summarise
from polyscan.study import Label, PredictionRecord, Preparation, RegionScore, RegistrationRecord, Scan, Study
from polyscan.study.manifest import Failure, Manifest, read_manifest, write_manifest


def scores(dice, predicted=1.0):
    return {"tumour": RegionScore(dice, predicted, 0.0 if dice is None else 1.0)}


@pytest.fixture
def out(tmp_path):
    shape, affine = (1, 20, 24, 16), torch.diag(torch.tensor([-2.0, -2.0, 4.0, 1.0], dtype=torch.float64))
    rng = np.random.default_rng(0)
    paths = {}
    for name in ("CT", "T1"):
        values = torch.from_numpy(rng.normal(size=shape).astype(np.float32) * 100)
        values[:, :3] = float("nan") if name == "T1" else 0
        paths[name] = str(tmp_path / f"{name}.nii.gz")
        write_nifti(paths[name], MetaTensor(values, affine=affine))
    mask = torch.zeros(shape, dtype=torch.uint8)
    mask[:, 8:14, 8:14, 5:9] = 1
    paths["mask"] = str(tmp_path / "mask.nii.gz")
    write_nifti(paths["mask"], MetaTensor(mask, affine=affine))
    paths["transform"] = str(tmp_path / "t.tfm")
    sitk.WriteTransform(sitk.Euler3DTransform((0.0, 0, 0), 0.1, 0, 0, (4.0, 0, 0)), paths["transform"])
    first = Study("<b>one</b>", scans={"CT": Scan(paths["CT"]), "T1": Scan(paths["T1"])}, label=Label(paths["mask"]))
    first.preparation = Preparation(
        "default",
        "CT",
        registrations={"T1": RegistrationRecord(True, "it fits", paths["transform"])},
        problems={"PET": "left out: its slice is corrupt"},
        seconds={"read": 1.25},
    )
    first.prediction = PredictionRecord(paths["mask"], ["CT", "T1"], scores(0.875), seconds=2.5)
    second = Study("two", scans={"CT": Scan(paths["CT"])}, preparation=Preparation("default", "CT"))
    second.prediction = PredictionRecord(paths["mask"], ["CT"], scores(None))
    folder, failed = tmp_path / "out", [Failure("sub-3", "nothing could be read")]
    write_manifest(folder / "manifest.json", Manifest(testing=[first, second], failed=failed))
    return folder


def test_page_says_where_scores_are_those_of_training(out):
    manifest = read_manifest(out / "manifest.json")
    assert "section testing" not in write_report(out, out / "report.html").read_text()
    learnt = replace(manifest, training=manifest.testing, testing=[])
    page = write_report(learnt, out / "report.html").read_text()
    assert page.index("no study in its section testing") < page.index("tumour")


def test_page_says_and_shows_everything(out):
    told = []
    page = write_report(out, out / "r.html", progress=lambda *a: told.append(a))
    text = page.read_text()
    assert told == [(1, 2, "sub-boneb"), (2, 2, "sub-two")]
    for words in ("0.875", "left out: its slice is corrupt", "nothing could be read", "found in error in 1 of 1"):
        assert words in text
    for words in ("Not for clinical use", "CT in 2, T1 in 1 of 2", "it fits", "predict 2.5"):
        assert words in text
    assert text.count("data:image/png;base64,") == 2 + 1 + 2  # modalities of both studies, before and after
    assert "<b>one" not in text
    assert "&lt;b&gt;one" in text
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert all(re.search(r'alt="[^"]+"', tag) for tag in re.findall(r"<img[^>]*>", text))


def test_page_is_the_same_each_time(out):
    first = write_report(out, out / "a.html").read_bytes()
    assert first == write_report(out, out / "b.html").read_bytes()


def test_before_is_where_the_header_had_the_scan(tmp_path):
    """The prepared scan, laid back by its transform, has the values of the scan itself at the scan's own points."""

    def scan(points):
        return np.exp(-(((points - [6, -4, 8]) / [12, 18, 15]) ** 2).sum(-1))

    transform = sitk.Euler3DTransform((5.0, 0, -3), 0.1, -0.05, 0.2, (4.0, -6.0, 3.0))
    sitk.WriteTransform(transform, str(tmp_path / "t.tfm"))
    matrix = matrix_of(transform)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -40
    grid = np.stack(np.meshgrid(*[np.arange(41)] * 3, indexing="ij"), -1) @ affine[:3, :3] + affine[:3, 3]
    moved = (grid * [-1, -1, 1]) @ matrix[:3, :3].T + matrix[:3, 3]
    prepared = MetaTensor(torch.from_numpy(scan(moved)[None]), affine=torch.from_numpy(affine))
    points = np.stack(np.meshgrid(np.linspace(-15, 15, 9), np.linspace(-15, 15, 9), [2.0]), -1)[:, :, 0]
    before = _sample(prepared, _before(str(tmp_path / "t.tfm")), points)
    np.testing.assert_allclose(before, scan(points), atol=0.01)
    assert np.abs(_sample(prepared, np.eye(4), points) - scan(points)).max() > 0.2


def test_folder_without_predictions(tmp_path):
    write_manifest(tmp_path / "manifest.json", Manifest(testing=[Study("a", scans={"CT": Scan("x")})]))
    with pytest.raises(PolyscanError, match="no predictions to draw"):
        write_report(tmp_path, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()
    with pytest.raises(PolyscanError, match="does not exist"):
        write_report(tmp_path / "nowhere", tmp_path / "r.html")


def test_summary_counts_empty_truth_apart():
    predictions = [PredictionRecord("", scores=scores(d, p)) for d, p in [(0.8, 1), (0.6, 1), (None, 0)]]
    (region,) = summarise(predictions)
    assert (region.count, region.mean, region.empty, region.false_positives) == (2, pytest.approx(0.7), 1, 0)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_right_is_left_and_head_is_up_whatever_the_axes(order, signs):
    """Each picture's left, right, top and bottom are where its letters say, by the points' own coordinates."""
    affine = np.zeros((4, 4))
    for column, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        affine[axis, column] = sign * (1.0, 2.0, 3.0)[column]
    affine[3, 3] = 1
    grid = MetaTensor(torch.zeros(1, 5, 6, 7), affine=torch.from_numpy(affine))
    toward = {"R": (0, -1), "L": (0, 1), "A": (1, -1), "P": (1, 1), "I": (2, -1), "S": (2, 1)}  # LPS+
    for plane in planes(grid, np.array([2, 3, 3])):
        left, right, top, bottom = plane.letters
        middle = plane.points.mean((0, 1))
        edges = {left: plane.points[:, 0], right: plane.points[:, -1], top: plane.points[0], bottom: plane.points[-1]}
        for letter, edge in edges.items():
            axis, sign = toward[letter]
            assert (edge.mean(0) - middle)[axis] * sign > 0, (plane.name, letter)
