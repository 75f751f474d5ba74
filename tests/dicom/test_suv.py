from __future__ import annotations

import json
import math

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from polyscan.dicom.decay import average_time
from polyscan.dicom.nuclides import half_life_of
from polyscan.dicom.read import read_series
from polyscan.dicom.suv import override_attributes, suv_factor, suv_factors
from polyscan.errors import PolyscanError

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


def item(**values) -> Dataset:
    data = Dataset()
    for name, value in values.items():
        setattr(data, name, value)
    return data


def coded(meaning: str) -> Dataset:
    return item(CodeMeaning=meaning)


EXPECTED = 70_000 / (370e6 * 0.5 ** (3600 / 6586.2))


@pytest.mark.parametrize(
    ("tracer", "series", "said"),
    [
        ({}, {"PatientWeight": 0.07}, "cannot be meant in kg"),
        ({}, {"PatientWeight": 1.75}, "cannot be meant in kg"),  # the size, in the wrong place
        (
            {},
            {"PatientWeight": 1.75, "PatientSize": 70},
            "cannot be meant in kg",
        ),  # the two, each in the place of the other
        ({}, {"Units": "CNTS"}, "Units differs"),
        ({}, {"PatientWeight": 80}, "PatientWeight differs"),
        ({}, {"DecayCorrection": "ADMIN"}, "DecayCorrection differs"),
        ({"RadionuclideTotalDose": 300e6}, {}, "RadionuclideTotalDose differs"),
        ({"RadiopharmaceuticalStartTime": "091000"}, {}, "RadiopharmaceuticalStartTime differs"),
    ],
)
def test_what_cannot_be_meant_of_a_scan_is_refused(tracer, series, said):
    slices = header(tracer, **series) if "meant" in said else [header(), header(tracer, **series)]
    with pytest.raises(PolyscanError, match=said):
        suv_factor(slices)


def test_the_zone_of_the_scan_is_that_of_its_own_date_times():
    given = {"RadiopharmaceuticalStartDateTime": "20200101080000+0000", "RadiopharmaceuticalStartTime": None}
    scan = {"AcquisitionDateTime": "20200101100500+0100", "AcquisitionTime": None}
    (factor,), notes = suv_factors([header(given, **scan)])
    assert factor == pytest.approx(EXPECTED, rel=1e-12)
    assert notes == []


def test_corrections_that_contradict_each_other_are_said():
    (factor,), notes = suv_factors([header(CorrectedImage=["ATTN", "SCAT"])])
    assert factor == pytest.approx(EXPECTED, rel=1e-12)
    assert "CorrectedImage names no correction for decay" in notes[0]


def test_decays_from_injection_to_the_start_of_the_series():
    assert suv_factor([header()]) == pytest.approx(EXPECTED, rel=1e-12)


@pytest.mark.parametrize("units", ["Bq/ml", "bqml", "BQ/CC"])
def test_units_may_be_written_in_words(units):
    assert suv_factor([header(Units=units)]) == pytest.approx(EXPECTED)
    with pytest.raises(PolyscanError, match=r"Units .* is none of the terms that are known"):
        suv_factor([header(Units=f"k{units}")])


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
    assert suv_factors([shifted])[1] == ["the dates of injection and scan disagree: the times of day were used"]


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
    assert suv_factor([header(Units="GML", SUVType="BW")]) == suv_factor([header(Units="g/ml")]) == 1
    lean = suv_factor([header(Units="GML", SUVType="LBM", PatientSex="M")])
    assert lean == pytest.approx(70 / (1.10 * 70 - 120 * (70 / 175) ** 2))  # Morgan's; James' has 128


def test_philips_counts():
    counts = header(Units="CNTS")
    with pytest.raises(PolyscanError, match="7053,1000"):
        suv_factor([counts])
    counts.add_new((0x7053, 0x1009), "DS", "4.5")
    assert suv_factor([counts]) == pytest.approx(4.5 * EXPECTED)
    counts.add_new((0x7053, 0x1000), "DS", "0.0035")
    assert suv_factor([counts]) == pytest.approx(0.0035)
    counts.add_new((0x7053, 0x0010), "LO", "SOMEBODY ELSE")
    with pytest.raises(PolyscanError, match="7053,1000"):
        suv_factor([counts])
    counts.add_new((0x7053, 0x0011), "LO", "Philips PET Private Group")
    counts.add_new((0x7053, 0x1100), "DS", "0.0045")
    assert suv_factor([counts]) == pytest.approx(0.0045)


def test_each_slice_of_philips_counts_has_its_own_factor():
    slices = [header(Units="CNTS") for _ in range(3)]
    for each, factor in zip(slices, ("0.001", "0.002", "0.003"), strict=True):
        each.add_new((0x7053, 0x1000), "DS", factor)
    np.testing.assert_allclose(suv_factors(slices)[0], [0.001, 0.002, 0.003])
    del slices[1][0x7053, 0x1000]
    with pytest.raises(PolyscanError, match="in every slice"):
        suv_factors(slices)


def test_two_times_of_the_injection_that_disagree_are_said():
    both = {"RadiopharmaceuticalStartDateTime": "20200101100000", "RadiopharmaceuticalStartTime": "090000"}
    (factor,), notes = suv_factors([header(both, SeriesTime="110000", AcquisitionTime="110000")])
    assert factor == pytest.approx(EXPECTED)
    assert notes == ["RadiopharmaceuticalStartDateTime and RadiopharmaceuticalStartTime disagree: the first was used"]
    assert not suv_factors([header({**both, "RadiopharmaceuticalStartTime": "100000"}, SeriesTime="110000")])[1]
    blanked = {**both, "RadiopharmaceuticalStartDateTime": "19000101000000"}
    (factor,), (note,) = suv_factors([header(blanked, SeriesTime="100000", AcquisitionTime="100000")])
    assert factor == pytest.approx(EXPECTED)
    assert note.endswith("disagree: the second was used")


def test_one_time_in_place_of_all_is_said():
    _, (said,) = suv_factors([header({"RadiopharmaceuticalStartTime": "100000"})])
    assert said.startswith("injection and scan have one time")


def test_a_scan_hours_after_the_injection_is_said():
    _, (said,) = suv_factors([header({"RadiopharmaceuticalStartTime": "000500"})])
    assert said == "the scan lies 9.9 h after the injection, 5 half-lives and more: check the times"


@pytest.mark.parametrize(
    ("changes", "tracer", "words"),
    [
        ({"PatientWeight": None}, {}, "PatientWeight is missing.*in kg"),
        ({"PatientWeight": 0}, {}, "PatientWeight is not above 0 and at most"),
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
    override_attributes([bare], {"PatientWeight": 70, "RadionuclideTotalDose": 370e6})
    assert suv_factor([bare]) == pytest.approx(EXPECTED, rel=1e-12)
    with pytest.raises(PolyscanError, match="it can hold numbers"):
        override_attributes([bare], {"Weight": 70})


def test_cases_of_the_reports(data):
    with pytest.raises(PolyscanError, match=r"RadionuclideTotalDose.* lies outside 1 MBq to 10 GBq"):
        read_series(data / "reported_cases/pet_dose_in_MBq/in/PT")
    given = read_series(data / "reported_cases/pet_dose_in_MBq/in/PT", {"RadionuclideTotalDose": 370e6})
    assert given.min().item() == pytest.approx(0.276, abs=1e-3)
    assert given.max().item() == pytest.approx(2.155, abs=1e-3)
    early = read_series(data / "reported_cases/pet_started_before_injection/in/PT")
    assert early.min().item() == pytest.approx(0.18899, abs=1e-5)
    assert early.max().item() == pytest.approx(1.47412, abs=1e-5)
    assert early.meta["problems"] == ["the scan began 10 s before the injection"]


@pytest.mark.parametrize(
    ("changes", "tracer", "words"),
    [
        ({}, {"RadionuclideTotalDose": 370}, "lies outside 1 MBq to 10 GBq"),
        ({}, {"RadionuclideTotalDose": 370e9}, "lies outside 1 MBq to 10 GBq"),
        ({"PatientWeight": 70_000}, {}, "PatientWeight is not above 0 and at most .*in kg"),
        ({}, {"RadionuclideCodeSequence": [coded("^18^Fluorine")], "RadionuclideHalfLife": 109.77}, "names has 6586"),
        (
            {},
            {"RadionuclideHalfLife": 20.4, "RadiopharmaceuticalStartTime": "095800"},
            "as many minutes or hours has 1223",
        ),
        ({}, {"Radiopharmaceutical": "68Ga-PSMA-11"}, "names has 406"),
        ({}, {"RadiopharmaceuticalStartTime": "070000", "RadionuclideHalfLife": 600}, "more than a half-life"),
        ({}, {"RadionuclideHalfLife": 282_240}, "not both known.*days matter"),
        ({"Units": "GML", "SUVType": "XBW"}, {}, "not one of BW, LBM"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, tracer, words):
    with pytest.raises(PolyscanError, match=words):
        suv_factor([header(tracer, **changes)])


def test_a_height_in_centimetres_is_refused_where_it_is_used():
    tall = header(PatientSize=175)
    assert suv_factor([tall]) == pytest.approx(EXPECTED)
    with pytest.raises(PolyscanError, match=r"PatientSize is not above 0 and at most 2\.6.*in m"):
        suv_factor([tall], "lbm")


def test_two_injections_are_refused_unless_they_are_one():
    twice = header()
    twice.RadiopharmaceuticalInformationSequence = [*twice.RadiopharmaceuticalInformationSequence] * 2
    assert suv_factor([twice]) == pytest.approx(EXPECTED)
    twice.RadiopharmaceuticalInformationSequence[1] = item(**{**TRACER, "RadionuclideTotalDose": 100e6})
    with pytest.raises(PolyscanError, match="2 different injections"):
        suv_factor([twice])


@pytest.mark.parametrize(("code", "nuclide"), [("C-111A1", "F18"), ("77004003", "F18"), ("C-131A3", "Ga68")])
def test_a_code_alone_names_the_nuclide(code, nuclide):
    tracer = {"RadionuclideCodeSequence": [item(CodeValue=code)], "RadionuclideHalfLife": None}
    (factor,), _ = suv_factors([header(tracer)])
    assert factor == pytest.approx(70_000 / (370e6 * 0.5 ** (3600 / half_life_of(nuclide))))
    with pytest.raises(PolyscanError, match="the nuclide that the header names"):
        suv_factor([header({**tracer, "RadionuclideHalfLife": 1223.4})])


def test_the_nuclide_tells_its_half_life():
    found = suv_factors(
        [header({"RadionuclideHalfLife": None, "RadionuclideCodeSequence": [coded("F^18^[^18^Fluorine]")]})]
    )
    assert found[0] == pytest.approx(EXPECTED)
    assert "6586.2 s of the nuclide" in found[1][0]
    assert [half_life_of(name) for name in ("C11", "[11C]", "carbon-11", "F-18", "x")] == [1223.4] * 3 + [6586.2, None]


@pytest.mark.parametrize(("stamp", "zone"), [("20200101080000+0000", "+0100"), ("20200101030000-0500", "+0100")])
def test_time_zones_are_reckoned_with(stamp, zone):
    tracer = {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": stamp}
    assert suv_factor([header(tracer, TimezoneOffsetFromUTC=zone)]) == pytest.approx(EXPECTED, rel=1e-12)


def test_a_zone_in_the_injection_alone_is_said():
    stamp = {"RadiopharmaceuticalStartDateTime": "20200101080000+0000"}
    assert suv_factor([header(stamp)]) == pytest.approx(EXPECTED)  # its StartTime is in the scanner's clock
    same = header({"RadiopharmaceuticalStartDateTime": "20200101090000+0100", "RadiopharmaceuticalStartTime": None})
    assert suv_factor([same]) == pytest.approx(EXPECTED)
    assert "time zone" in suv_factors([same])[1][0]


def test_a_scan_may_begin_before_the_injection_and_not_end():
    tracer = {"RadiopharmaceuticalStartTime": "100010", "RadiopharmaceuticalStartDateTime": "20200101100010"}
    dynamic = header(tracer, AcquisitionTime="100000", ActualFrameDuration=60_000)
    assert suv_factor([dynamic]) == pytest.approx(70_000 / (370e6 * 2 ** (10 / 6586.2)), rel=1e-9)
    with pytest.raises(PolyscanError, match="ends before the injection"):
        suv_factor([header(tracer, AcquisitionTime="100000", ActualFrameDuration=5_000)])


def test_without_decay_correction_each_slice_has_its_own_time():
    first = header(DecayCorrection="NONE", AcquisitionTime="100000", ActualFrameDuration=1)
    second = header(DecayCorrection="NONE", AcquisitionTime="102000", ActualFrameDuration=1)
    factors, _ = suv_factors([second, first])
    assert factors[1] == pytest.approx(EXPECTED)
    assert factors[0] / factors[1] == pytest.approx(2 ** (1200 / 6586.2))
    long = header(DecayCorrection="NONE", AcquisitionTime="100000", ActualFrameDuration=1_200_000)
    rate = math.log(2) / 6586.2
    mean = (1 - math.exp(-rate * 1200)) / (rate * 1200)  # what the frame shows of its activity at the start
    assert suv_factor([long]) == pytest.approx(EXPECTED / mean, rel=1e-6)


def test_a_series_that_was_made_later_gets_its_start_from_the_frames():
    later = {"SeriesTime": "150000", "ActualFrameDuration": 120_000}
    average = average_time(120, 6586.2)
    bed = header(**later, AcquisitionTime="101000", FrameReferenceTime=(600 + average) * 1000)
    (factor,), notes = suv_factors([bed])
    assert factor == pytest.approx(EXPECTED, rel=1e-6)
    assert "SeriesTime lies after the acquisition" in notes[0]
    for creator, group, element in (("GEMS_PETD_01", 0x0009, 0x0D), ("SIEMENS MED PT", 0x0071, 0x22)):
        vendor = header(**later, AcquisitionTime="101000")
        vendor.private_block(group, creator, create=True).add_new(element, "DT", "20200101100000.00")
        assert suv_factor([vendor]) == pytest.approx(EXPECTED, rel=1e-9), creator


def test_slices_past_midnight_that_keep_the_date_of_the_first():
    clock = ("235500", "235900", "000300")
    slices = [header({"RadiopharmaceuticalStartTime": "225500"}, SeriesTime="235500", AcquisitionTime=t) for t in clock]
    for each in slices:
        each.AcquisitionDate = "20200101"
    factors, notes = suv_factors(slices)
    np.testing.assert_allclose(factors, EXPECTED)
    assert notes == ["the dates of slices do not change at midnight, unlike their times: the times were believed"]


def test_an_acquisition_past_midnight_without_a_date():
    late = header({"RadiopharmaceuticalStartTime": "225500"}, SeriesTime="235500", AcquisitionTime="000500")
    assert suv_factor([late]) == pytest.approx(EXPECTED, rel=1e-12)


def test_a_series_whose_date_was_blanked_or_shifted():
    tracer = {"RadiopharmaceuticalStartDateTime": "20200101090000"}
    blank = header(tracer, SeriesDate=None, AcquisitionDate="20200101")
    (factor,), notes = suv_factors([blank])
    assert (factor, notes) == (pytest.approx(EXPECTED), [])
    shifted = header(tracer, SeriesDate="19500101", AcquisitionDate="20200101")
    (factor,), notes = suv_factors([shifted])
    assert factor == pytest.approx(EXPECTED)
    assert notes == ["the dates of series and acquisition disagree: the series' time of day was used"]


def test_a_long_lived_nuclide_days_after_the_injection():
    tracer = {"RadionuclideHalfLife": 282_240, "RadiopharmaceuticalStartDateTime": "20191228090000"}
    assert suv_factor([header(tracer)]) == pytest.approx(70_000 / (370e6 * 0.5 ** ((4 * 86_400 + 3600) / 282_240)))


def test_an_enhanced_object_names_units_and_moment():
    enhanced = {"Units": None, "DecayCorrection": None, "DecayCorrected": "YES", "SeriesTime": "150000"}
    enhanced |= {"DecayCorrectionDateTime": "20200101100000", "RescaleSlope": 2, "RealWorldValueSlope": 2}
    enhanced["MeasurementUnitsCodeSequence"] = [item(CodeValue="Bq/ml")]
    assert suv_factor([header(**enhanced)]) == pytest.approx(EXPECTED, rel=1e-12)
    with pytest.raises(PolyscanError, match=r"RealWorldValueSlope.*is 3"):
        suv_factor([header(**{**enhanced, "RealWorldValueSlope": 3})])
