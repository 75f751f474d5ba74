"""A PET as NIfTI: its sidecar, its unit, the weight of who was scanned."""

from __future__ import annotations

import json

import numpy as np
import pytest
from saved import save

from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti
from polyscan.formats.read import read_image

PET = {
    "Units": "Bq/mL",
    "InjectedRadioactivity": 370,
    "InjectedRadioactivityUnits": "MBq",
    "BodyWeight": 70,
    "TracerRadionuclide": "F18",
    "InjectionStart": -3600,
    "ScanStart": 0,
    "ImageDecayCorrected": True,
    "ImageDecayCorrectionTime": 0,
}


def test_pet_with_a_sidecar_becomes_suv(tmp_path):
    path = save(tmp_path / "a_pet.nii.gz", np.full((2, 3, 4), 5000, np.float32))
    with pytest.raises(PolyscanError, match="no sidecar that tells its unit"):
        read_nifti(path, "PET")
    (tmp_path / "a_pet.json").write_text(json.dumps(PET))
    image = read_nifti(path, "PET")
    np.testing.assert_allclose(image.numpy(), 5000 * 70_000 / (370e6 * 0.5 ** (3600 / 6586.2)), rtol=1e-6)
    assert (image.meta["unit"], image.meta["problems"]) == ("SUVbw", [])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"BodyWeight": None}, "no usable"),
        ({"BodyWeight": 0.07}, "no usable BodyWeight"),
        ({"Units": "counts"}, "Units that are not known"),
        ({"AttenuationCorrection": "none"}, "attenuation was not corrected"),
        ({"AttenuationCorrection": ["none"]}, "attenuation was not corrected"),
        ({"AttenuationCorrection": "not corrected"}, "attenuation was not corrected"),
        ({"BodyWeightUnits": "lb"}, "BodyWeightUnits other than kg"),
        ({"InjectionStartUnits": "min"}, "InjectionStartUnits other than s"),
        ({"InjectionStart": 600, "FrameDuration": [600]}, "a scan that ends before the injection, which lies 10 min"),
    ],
)
def test_pet_sidecar_that_is_not_enough(tmp_path, change, words):
    path = save(tmp_path / "a_pet.nii.gz", np.ones((2, 3, 4), np.float32))
    (tmp_path / "a_pet.json").write_text(json.dumps({**PET, **change}))
    with pytest.raises(PolyscanError, match=words):
        read_nifti(path, "PET")


@pytest.mark.parametrize(
    ("moment", "doubted"),
    [(0, False), (-3600, False), (-5, False), (-60, True), (-1, True), (3600, True), (-1800, True)],
)
def test_a_moment_of_decay_correction_that_is_none_of_the_scans_is_said(tmp_path, moment, doubted):
    path = save(tmp_path / "a_pet.nii.gz", np.ones((2, 3, 4), np.float32))
    (tmp_path / "a_pet.json").write_text(json.dumps({**PET, "ImageDecayCorrectionTime": moment}))
    said = read_nifti(path, "PET").meta["doubts"]
    assert any("neither the injection nor the start of the scan (-3600 and 0 s)" in doubt for doubt in said) == doubted


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Units": "unitless"}, "taken as SUV, which a ratio of SUV is not"),
        ({"FrameDuration": [60, 60]}, "tells of 2 frames and this is one volume"),
        ({"InjectionStart": -60, "FrameDuration": [10]}, "starts 60 s after the injection"),  # in minutes
        ({"FrameDuration": [600]}, ""),
        (
            {"InjectionStart": 0, "FrameTimesStart": [3600], "ImageDecayCorrectionTime": 3600, "FrameDuration": [600]},
            "",
        ),
    ],
)
def test_what_is_doubtful_of_a_sidecar_is_said(tmp_path, change, said):
    path = save(tmp_path / "a_pet.nii.gz", np.ones((2, 3, 4), np.float32))
    (tmp_path / "a_pet.json").write_text(json.dumps({**PET, **change}))
    doubts = read_nifti(path, "PET").meta["doubts"]
    assert [said in doubt for doubt in doubts] == [True] * bool(said)


def bids(tmp_path, sidecar, weight="70", units=None):
    """A data set of one PET whose weight stands in participants.tsv; it need not describe itself."""
    folder = tmp_path / "sub-01" / "pet"
    folder.mkdir(parents=True)
    (tmp_path / "participants.tsv").write_text(f"participant_id\tweight\nsub-02\t1\nsub-01\t{weight}\n")
    if units:
        (tmp_path / "participants.json").write_text(json.dumps({"weight": {"Units": units}}))
    (tmp_path / "pet.json").write_text(json.dumps({name: value for name, value in sidecar.items() if name != "Units"}))
    (folder / "sub-01_pet.json").write_text(json.dumps({"Units": sidecar["Units"]}))
    return save(folder / "sub-01_pet.nii.gz", np.full((2, 3, 4), 5000, np.float32))


WITHOUT_WEIGHT = {name: value for name, value in PET.items() if name != "BodyWeight"}


LATE = {"ImageDecayCorrected": False, "InjectionStart": 0, "FrameDuration": [1e-6]}  # a frame long after the injection
SUV = 5000 * 70_000 / (370e6 * 0.5 ** (3600 / 6586.2))


@pytest.mark.parametrize(("weight", "units"), [("70", None), ("70000", "g"), ("154.3236", "lb")])
def test_body_weight_of_participants(tmp_path, weight, units):
    image = read_nifti(bids(tmp_path, WITHOUT_WEIGHT, weight, units), "PET")
    np.testing.assert_allclose(image.numpy(), SUV, rtol=1e-5)
    assert image.meta["problems"] == ["the body weight is that of participants.tsv"]


def test_what_a_sidecar_lacks_can_be_given(tmp_path):
    path = bids(tmp_path, WITHOUT_WEIGHT, "n/a")
    with pytest.raises(PolyscanError, match=r"BodyWeight.*participants.tsv.*given"):
        read_nifti(path, "PET")
    np.testing.assert_allclose(read_image(str(path), "PET", {"PatientWeight": 70}).numpy(), SUV, rtol=1e-5)
    with pytest.raises(PolyscanError, match="'given' has Weight"):
        read_nifti(path, "PET", {"Weight": 70})


@pytest.mark.parametrize(
    ("change", "factor"),
    [
        ({"Units": "kBq/mL"}, 1000),
        ({"InjectedRadioactivity": 10, "InjectedRadioactivityUnits": "mCi"}, 1),
        ({"InjectionStart": 0, "ScanStart": 3600, "ImageDecayCorrectionTime": 3600}, 1),
        ({"ImageDecayCorrected": False, "FrameDuration": [1e-6]}, 1),
        ({**LATE, "FrameTimesStart": [3600]}, 1),
        ({**LATE, "ScanStart": 3600, "FrameTimesStart": [0]}, 1),  # from the start of the scan
        ({**LATE, "ScanStart": 3600, "FrameTimesStart": [3600, 4200]}, 1),
        ({"InjectedRadioactivity": 10_000, "InjectedRadioactivityUnits": "\u00b5Ci"}, 1),
        ({"TracerRadionuclide": "[18F]"}, 1),
        ({"ImageDecayCorrectionTime": -3610}, 0.5 ** (3610 / 6586.2)),
    ],
)
def test_bids_fields(tmp_path, change, factor):
    path = save(tmp_path / "a_pet.nii.gz", np.full((2, 3, 4), 5000, np.float32))
    (tmp_path / "a_pet.json").write_text(json.dumps({**PET, **change}))
    np.testing.assert_allclose(read_nifti(path, "PET").numpy(), SUV * factor, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"InjectedRadioactivityUnits": "Bq"}, "lies outside 1 MBq to 10 GBq"),
        ({"InjectedRadioactivityUnits": None}, "InjectedRadioactivityUnits"),
        ({"TracerRadionuclide": "X99"}, "TracerRadionuclide"),
        ({"ImageDecayCorrectionTime": None}, "ImageDecayCorrectionTime in seconds"),
        ({"InjectionStart": -90_000}, "h after the injection"),
        ({"ImageDecayCorrected": None}, "ImageDecayCorrected"),
    ],
)
def test_bids_fields_that_cannot_be_meant(tmp_path, change, words):
    path = save(tmp_path / "a_pet.nii.gz", np.ones((2, 3, 4), np.float32))
    (tmp_path / "a_pet.json").write_text(json.dumps({**PET, **change}))
    with pytest.raises(PolyscanError, match=words):
        read_nifti(path, "PET")


def test_an_image_whose_name_says_suv_is_not_brought_to_suv_again(tmp_path):
    path = save(tmp_path / "sub-1_desc-SUV_pet.nii.gz", np.full((2, 3, 4), 5, np.float32))
    (tmp_path / "sub-1_pet.json").write_text(json.dumps(PET))  # of what it was computed from
    assert read_nifti(path, "PET").max() == 5
    (tmp_path / "sub-1_desc-SUV_pet.json").write_text(json.dumps(PET))
    with pytest.raises(PolyscanError, match="has Units in Bq/mL, and the file's name says SUV"):
        read_nifti(path, "PET")
    assert read_nifti(path, "PET", {"Units": "SUV"}).max() == 5


def test_an_injection_before_midnight(tmp_path):
    path = save(tmp_path / "a_pet.nii.gz", np.full((2, 3, 4), 5000, np.float32))
    (tmp_path / "a_pet.json").write_text(json.dumps({**PET, "TimeZero": "00:30:00"}))
    given = {"RadiopharmaceuticalStartTime": "233000"}
    np.testing.assert_allclose(read_nifti(path, "PET", given).numpy(), SUV, rtol=1e-5)


def a_body(typical):
    """A PET whose body has a value in its middle and a hot spot in it; air around."""
    values = np.full((12, 12, 12), 0.01 * typical, np.float32)
    values[3:9, 3:9, 3:9] = typical
    values[5, 5, 5] = 9 * typical
    return values


@pytest.mark.parametrize("typical", [0.5, 1.0])
def test_a_pet_without_a_unit_that_can_be_suv_is_said_to_be_doubtful(tmp_path, typical):
    path = save(tmp_path / "PET_image.nii.gz", a_body(typical))
    image = read_nifti(path, "PET")
    np.testing.assert_allclose(image[0].numpy(), a_body(typical))
    assert "nothing tells the unit of PET_image.nii.gz; taken as SUV" in image.meta["doubts"][0]


@pytest.mark.parametrize("typical", [4.0, 4000.0, 1e-3])
def test_a_pet_without_a_unit_that_need_not_be_suv_is_refused_until_it_is_said(tmp_path, typical):
    path = save(tmp_path / "PET_image.nii.gz", a_body(typical))
    with pytest.raises(PolyscanError, match=r"no sidecar that tells its unit.*--pet-units SUV"):
        read_nifti(path, "PET")
    image = read_nifti(path, "PET", {"Units": "SUV"})
    assert (image.meta["doubts"], float(image.max())) == ([], pytest.approx(9 * typical))
    named = read_nifti(save(tmp_path / "PET_SUV.nii.gz", a_body(typical)), "PET")
    assert (named.meta["doubts"], named.meta["problems"]) == ([], ["SUV, as the name of the file says"])
    with pytest.raises(PolyscanError, match="BodyWeight"):
        read_nifti(path, "PET", {"Units": "Bq/mL"})
    dose = {"PatientWeight": 70, "RadionuclideTotalDose": 350e6, "RadionuclideHalfLife": 6586.2}
    image = read_nifti(path, "PET", {"Units": "kBq/mL", **dose, "DecayCorrection": "ADMIN"})
    assert float(image.max()) == pytest.approx(9 * typical * 1000 * 70_000 / 350e6, rel=1e-5)
