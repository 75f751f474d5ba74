"""What a converter wrote beside a volume tells what its name leaves open."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from polyscan.discovery.scan import scan
from polyscan.formats.nifti import write_nifti

SPIN = {"Modality": "MR", "ScanningSequence": "SE", "RepetitionTime": 0.5, "EchoTime": 0.012}
FLUID = {"Modality": "MR", "ScanningSequence": "SE_IR", "RepetitionTime": 9, "EchoTime": 0.1, "InversionTime": 2.5}
WEIGHTED = {"Modality": "MR", "ImageType": ["ORIGINAL", "PRIMARY", "DIFFUSION"], "ScanningSequence": "EP"}
PHASE = {**SPIN, "ImageType": ["ORIGINAL", "PRIMARY", "P"]}
AGENT = {**SPIN, "ContrastBolusIngredient": "GADOLINIUM"}


@pytest.mark.parametrize(
    ("name", "sidecar", "modality", "says"),
    [
        ("5", SPIN, "T1", "its sidecar tells: by its sequence; TR 500 ms, TE 12 ms"),
        ("5", {**SPIN, "RepetitionTime": 500, "EchoTime": 12}, "T1", "by its sequence; TR 500 ms, TE 12 ms"),
        ("5", {**SPIN, "RepetitionTime": 500, "EchoTime": 0.8}, "T1", "by its sequence; TR 500 ms, TE 0.8 ms"),
        ("5", FLUID, "FLAIR", "its sidecar tells: by its sequence"),
        ("5", {**SPIN, "SeriesDescription": "ax T1 KM"}, "T1c", "contrast agent, as its description says"),
        ("5", {**SPIN, "SeriesDescription": "ax T1 " + 20 * "long "}, "T1", "the description says so"),
        ("5", {"Modality": "CT", "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}, "CT", "Modality is CT"),
        ("5", PHASE, None, "and its sidecar: a phase, real or imaginary image"),
        ("T2/5", {"Modality": "MR", "EchoTime": 0.1}, "T2", "that of its folder does"),
        ("T2/5", SPIN, "T1", "its sidecar tells"),
        ("T1", AGENT, "T1c", "as ContrastBolusIngredient says in its sidecar"),
        ("T1_pre", AGENT, "T1", "its name says so"),
        ("sub-1_ce-none_T1w", AGENT, "T1", "its BIDS suffix is T1w"),
        ("sub-1_T1w", {**SPIN, "ContrastBolusAgent": "Gadovist"}, "T1c", "as ContrastBolusAgent says in its sidecar"),
        ("sub-1_T1w", PHASE, None, "a phase, real or imaginary image"),
        ("T2", AGENT, "T2", "its name says so"),
        ("dwi", WEIGHTED, "DWI", "its name says so"),
        ("T1", ["no", "object"], "T1", "its name says so"),
        ("T1", {"EchoTime": "unknown", "Modality": 7}, "T1", "its name says so"),
    ],
)
def test_a_sidecar(tmp_path, recwarn, name, sidecar, modality, says):
    folder = tmp_path / "anna"
    image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
    write_nifti(folder / f"{name}.nii.gz", image)
    write_nifti(folder / "FLAIR.nii.gz", image)
    (folder / f"{name}.json").write_text(json.dumps(sidecar))
    found = scan(tmp_path)
    said = [*found.left_out, *(decision for study in found.studies for decision in study.decisions)]
    (decision,) = [each for each in said if each.series.endswith(f"{name}.nii.gz")]
    assert (decision.modality, says in decision.reason) == (modality, True), decision.reason
    assert not [each for each in recwarn if "pydicom" in each.filename]


def test_one_b_value_of_zero_is_the_unweighted_image(tmp_path):
    for name, b in (("dwi1", "0\n"), ("dwi2", "1000\n")):
        path = tmp_path / "anna" / f"{name}.nii.gz"
        write_nifti(path, MetaTensor(torch.from_numpy(np.ones((1, 4, 4, 4))), affine=torch.eye(4)))
        (tmp_path / "anna" / f"{name}.json").write_text(json.dumps(WEIGHTED))
        (tmp_path / "anna" / f"{name}.bval").write_text(b)
    (study,) = scan(tmp_path).studies
    assert study.scans["DWI"].path.endswith("dwi2.nii.gz")
    assert "b = 0" in study.decisions[1].reason


@pytest.mark.parametrize(
    ("sidecar", "kind"),
    [
        ("acq-mp_T1w.json", "T1c"),
        ("sub-1/sub-1_T1w.json", "T1c"),
        ("sub-1/ses-a/anat/sub-1_ses-a_acq-mp_T1w.json", "T1c"),
        ("acq-plain_T1w.json", "T1"),
        ("sub-2_T1w.json", "T1"),
        ("T2w.json", "T1"),
    ],
)
def test_a_sidecar_of_a_whole_data_set(tmp_path, sidecar, kind):
    image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
    write_nifti(tmp_path / "sub-1/ses-a/anat/sub-1_ses-a_acq-mp_T1w.nii.gz", image)
    (tmp_path / "dataset_description.json").write_text("{}")
    kept = tmp_path.parent / "index.sqlite"
    kinds = [list(scan(tmp_path, index=kept).studies[0].scans)]
    (tmp_path / sidecar).write_text(json.dumps({"ContrastBolusIngredient": "GADOLINIUM"}))
    kinds.append(list(scan(tmp_path, index=kept).studies[0].scans))
    assert kinds == [["T1"], [kind]]


def test_a_sidecar_of_another_volume_says_nothing(tmp_path):
    image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
    write_nifti(tmp_path / "anna/ax_T1.nii.gz", image)
    (tmp_path / "anna/T1.json").write_text(json.dumps(AGENT))
    assert list(scan(tmp_path).studies[0].scans) == ["T1"]


def test_a_b_value_of_zero_without_a_sidecar(tmp_path):
    image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
    for name, b in (("a_dwi", "0"), ("b_dwi", "800")):
        write_nifti(tmp_path / f"anna/{name}.nii.gz", image)
        (tmp_path / f"anna/{name}.bval").write_text(b)
    assert scan(tmp_path).studies[0].scans["DWI"].path.endswith("b_dwi.nii.gz")
