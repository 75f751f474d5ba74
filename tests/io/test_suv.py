from __future__ import annotations

import json

import pydicom
import pytest
from pydicom.dataset import Dataset

from polyscan.errors import PolyscanError
from polyscan.io.suv import give, suv_factor, suv_factor_and_notes

TRACER = {
    "RadionuclideTotalDose": 370e6,
    "RadionuclideHalfLife": 6586.2,
    "RadiopharmaceuticalStartTime": "090000",
}
SERIES = {
    "Units": "BQML",
    "DecayCorrection": "START",
    "PatientWeight": 70,
    "PatientSize": 1.75,
    "PatientSex": "F",
    "SeriesDate": "20200101",
    "SeriesTime": "100000",
    "AcquisitionTime": "100500",
}


def header(tracer=None, **changes) -> Dataset:
    data, item = Dataset(), Dataset()
    for name, value in {**TRACER, **(tracer or {})}.items():
        if value is not None:
            setattr(item, name, value)
    for name, value in {**SERIES, **changes}.items():
        if value is not None:
            setattr(data, name, value)
    data.RadiopharmaceuticalInformationSequence = [item]
    return data


EXPECTED = 70_000 / (370e6 * 0.5 ** (3600 / 6586.2))


def test_decays_from_injection_to_the_start_of_the_series():
    assert suv_factor([header()]) == pytest.approx(EXPECTED, rel=1e-12)


def test_start_is_the_earliest_time_of_all_slices():
    late = header(SeriesTime="110000", AcquisitionTime="110000")
    early = header(SeriesTime="110000", AcquisitionTime="100000")
    assert suv_factor([late, early]) == pytest.approx(EXPECTED, rel=1e-12)


def test_administration_time_needs_no_decay():
    assert suv_factor([header(DecayCorrection="ADMIN")]) == pytest.approx(70_000 / 370e6)


def test_past_midnight():
    crossing = header({"RadiopharmaceuticalStartTime": "233000"}, SeriesTime="003000", AcquisitionTime="003500")
    assert suv_factor([crossing]) == pytest.approx(EXPECTED, rel=1e-12)


@pytest.mark.parametrize("date", ["20200102", "20191225", "19000101"])
def test_dates_that_disagree_leave_the_time_of_day(date):
    shifted = header({"RadiopharmaceuticalStartDateTime": f"{date}090000.00"})
    assert suv_factor([shifted]) == pytest.approx(EXPECTED, rel=1e-12)
    assert suv_factor_and_notes([shifted])[1] == [
        "the dates of injection and scan disagree: the times of day were used"
    ]


def test_scaling_laws():
    assert suv_factor([header(PatientWeight=140)]) == pytest.approx(2 * EXPECTED)
    assert suv_factor([header({"RadionuclideTotalDose": 185e6})]) == pytest.approx(2 * EXPECTED)


def test_lean_body_mass_and_surface():
    decayed = EXPECTED / 70_000
    assert suv_factor([header()], "lbm") / decayed == pytest.approx(1000 * (1.07 * 70 - 148 * (70 / 175) ** 2))
    bmi = 70 / 1.75**2
    assert suv_factor([header()], "lbm_janma") / decayed == pytest.approx(1000 * 9270 * 70 / (8780 + 244 * bmi))
    assert suv_factor([header()], "bsa") / decayed == pytest.approx(71.84 * 70**0.425 * 175**0.725)


def test_what_is_suv_already_stays():
    assert suv_factor([header(Units="GML", SUVType="BW")]) == 1
    lean = suv_factor([header(Units="GML", SUVType="LBM")])
    assert lean == pytest.approx(suv_factor([header()]) / suv_factor([header()], "lbm"))


def test_philips_counts():
    counts = header(Units="CNTS")
    with pytest.raises(PolyscanError, match="7053,1000"):
        suv_factor([counts])
    counts.add_new((0x7053, 0x1009), "DS", "4.5")
    assert suv_factor([counts]) == pytest.approx(4.5 * EXPECTED)
    counts.add_new((0x7053, 0x1000), "DS", "0.0035")
    assert suv_factor([counts]) == pytest.approx(0.0035)


@pytest.mark.parametrize(
    ("changes", "tracer", "words"),
    [
        ({"PatientWeight": None}, {}, "PatientWeight is missing.*in kg"),
        ({"PatientWeight": 0}, {}, "PatientWeight is 0"),
        ({}, {"RadionuclideTotalDose": None}, "RadionuclideTotalDose is missing"),
        ({}, {"RadiopharmaceuticalStartTime": None}, "injection time"),
        ({}, {"RadiopharmaceuticalStartTime": "noon"}, "not written as DICOM asks"),
        ({"Units": "PROPCPS"}, {}, "PROPCPS"),
        ({"Units": None}, {}, "missing"),
        ({"DecayCorrection": "SOME"}, {}, "START, ADMIN or NONE"),
        ({"SeriesTime": None, "AcquisitionTime": None}, {}, "SeriesTime"),
        ({}, {"RadiopharmaceuticalStartTime": "103000"}, "correct the start time"),
    ],
)
def test_what_is_missing_is_named(changes, tracer, words):
    with pytest.raises(PolyscanError, match=words):
        suv_factor([header(tracer, **changes)])


def test_real_vendors(data):
    folder = data / "pet_suv"
    expected = json.loads((folder / "expected_suvbw.json").read_text())
    for vendor, factor in expected["vendor_tags"].items():
        rows = json.loads((folder / "vendor_tags" / f"{vendor}-instances.json").read_text())
        headers = []
        for row in rows:
            known = {name: value for name, value in row.items() if pydicom.datadict.tag_for_keyword(name)}
            tracer = {name: known.pop(name, None) for name in [*TRACER, "RadiopharmaceuticalStartDateTime"]}
            headers.append(header(tracer, **{**dict.fromkeys(SERIES), **known}))
        assert suv_factor(headers) == pytest.approx(factor, rel=1e-6), vendor
    for file, entry in expected["acrin_flt_breast_dicom"].items():
        found = suv_factor([pydicom.dcmread(folder / "acrin_flt_breast_dicom" / file)])
        assert found == pytest.approx(entry["suvbw_factor"], rel=1e-6), file


def test_what_is_missing_can_be_given_by_hand():
    bare = header()
    del bare.PatientWeight
    del bare.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose
    with pytest.raises(PolyscanError, match="by hand in the manifest"):
        suv_factor([bare])
    give([bare], {"PatientWeight": 70, "RadionuclideTotalDose": 370e6})
    assert suv_factor([bare]) == pytest.approx(EXPECTED, rel=1e-12)
    with pytest.raises(PolyscanError, match="it can hold numbers"):
        give([bare], {"Weight": 70})
