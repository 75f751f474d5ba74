"""The digital reference objects of the IBSI's manual of SUV (Vacha et al., 2026): 0.2, 1 and 4 in each.

Their headers and stored values are written down here; ``benchmarks/suv_references.py`` reads the objects themselves.
"""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from polyscan.dicom.suv import suv_factors
from polyscan.errors import PolyscanError

EXPECTED = np.array([0.2, 1.0, 4.0])
DAY = "20250101"
TRACER = {
    "RadionuclideTotalDose": 368.08e6, "RadionuclideHalfLife": 6586.2,
    "RadiopharmaceuticalStartTime": "100000", "RadiopharmaceuticalStartDateTime": f"{DAY}100000",
}  # fmt: skip
SERIES = {
    "SeriesDate": DAY, "SeriesTime": "110000", "AcquisitionDate": DAY, "AcquisitionTime": "110000",
    "PatientSize": 1.75, "PatientWeight": 70, "PatientSex": "O", "ActualFrameDuration": 300_000,
    "CorrectedImage": ["ATTN", "DECY"], "Units": "BQML", "DecayCorrection": "START", "FrameReferenceTime": 150_000,
    "RescaleSlope": 1,
}  # fmt: skip
PLAIN = [720, 3600, 14400]
GE = (0x0009, "GEMS_PETD_01", 0x0D, "DT")
PHILIPS = (0x7053, "Philips PET Private Group")
NIGHT = {"SeriesDate": "20250102", "AcquisitionDate": "20250102", "SeriesTime": "003000", "AcquisitionTime": "003000"}
FIRST_BED = {"AcquisitionTime": "110230", "FrameReferenceTime": 450_000}
SECOND_BED = {"AcquisitionTime": "110500", "FrameReferenceTime": 600_000}
UNCORRECTED = {"DecayCorrection": "NONE", "CorrectedImage": ["ATTN"], "ActualFrameDuration": 603_000}
# What is other than in the first one: of the tracer, of the series, and of each slice, with what it stores.
OBJECTS = {
    "0_0": ({}, {}, [({}, PLAIN)]),
    "1_0 slopes": ({}, {}, [({"RescaleSlope": 4}, [180, 900, 3600]), ({"RescaleSlope": 3}, [240, 1200, 4800])]),
    "2_0 BW": ({}, {"Units": "GML", "SUVType": "BW"}, [({"RescaleSlope": 0.1}, [2, 10, 40])]),
    "2_1 LBM": (
        {},
        {"Units": "GML", "SUVType": "LBMJAMES128", "PatientSex": "M"},
        [({"RescaleSlope": 0.001}, [161, 807, 3229])],
    ),
    "2_2 IBW": ({}, {"Units": "GML", "SUVType": "IBW"}, [({"RescaleSlope": 0.002}, [99, 495, 1983])]),
    "2_3 BSA": ({}, {"Units": "CM2ML", "SUVType": "BSA"}, [({"RescaleSlope": 0.01}, [5, 26, 105])]),
    "2_4 counts to SUV": ({}, {"Units": "CNTS", (*PHILIPS, 0x00, "DS"): "0.0005"}, [({}, [400, 2000, 8000])]),
    "2_5 counts to Bq": ({}, {"Units": "CNTS", (*PHILIPS, 0x09, "DS"): "0.5"}, [({}, [1440, 7200, 28800])]),
    "3_1 ADMIN": ({}, {"DecayCorrection": "ADMIN"}, [({}, [1051, 5258, 21033])]),
    "3_2 series later": (
        {},
        {"SeriesTime": "113000", "ActualFrameDuration": 603_000},
        [(FIRST_BED, PLAIN), (SECOND_BED, PLAIN)],
    ),
    "3_3 GE": ({}, {"AcquisitionTime": "113000", GE: f"{DAY}110000"}, [({}, PLAIN)]),
    "3_4 NONE": ({}, UNCORRECTED, [({}, [697, 3488, 13952]), (SECOND_BED, [675, 3379, 13518])]),
    "4_0 date time": ({"RadiopharmaceuticalStartTime": None}, {}, [({}, PLAIN)]),
    "4_1 time": ({"RadiopharmaceuticalStartDateTime": None}, {}, [({}, PLAIN)]),
    "4_2 midnight": (
        {"RadiopharmaceuticalStartTime": "233000", "RadiopharmaceuticalStartDateTime": None},
        NIGHT,
        [({}, PLAIN)],
    ),
    "5_0 Ga68": ({"RadionuclideHalfLife": 4057.7}, {}, [({}, [568, 2843, 11372])]),
}


def header(tracer, series) -> Dataset:
    made, injected = Dataset(), Dataset()
    for name, value in {**TRACER, **tracer}.items():
        if value is not None:
            setattr(injected, name, value)
    made.RadiopharmaceuticalInformationSequence = [injected]
    for name, value in {**SERIES, **series}.items():
        if isinstance(name, str):
            setattr(made, name, value)
        else:
            group, creator, element, kind = name
            made.private_block(group, creator, create=True).add_new(element, kind, value)
    return made


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_are_what_they_are_meant_to_be(name):
    tracer, series, slices = OBJECTS[name]
    headers = [header(tracer, {**series, **own}) for own, _ in slices]
    factors, _ = suv_factors(headers)
    for factor, made, (_, stored) in zip(factors, headers, slices, strict=True):
        step = factor * float(made.RescaleSlope)  # the objects round down
        np.testing.assert_allclose((np.array(stored) + 0.5) * step, EXPECTED, 3e-4, 0.5 * step)


def test_a_dose_in_megabecquerel_is_refused():
    """Object 3_0."""
    with pytest.raises(PolyscanError, match=r"RadionuclideTotalDose .* in another unit"):
        suv_factors([header({"RadionuclideTotalDose": 368.08}, {})])
