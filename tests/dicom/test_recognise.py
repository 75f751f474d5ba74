"""What headers and words say together of a series."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from polyscan.dicom.diffusion import b_value
from polyscan.dicom.read import find_series
from polyscan.dicom.recognise import from_header
from polyscan.dicom.words import UNWEIGHTED


def header(**attributes) -> Dataset:
    ds = Dataset()
    ds.Modality = "MR"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    for name, value in attributes.items():
        setattr(ds, name, value)
    return ds


SPIN, GRADIENT, INVERSION = "SE", "GR", ["SE", "IR"]
FLUID = {"ScanningSequence": INVERSION, "RepetitionTime": 9000, "EchoTime": 100, "InversionTime": 2500}


AGENT = Dataset()
AGENT.CodeMeaning = "Gadobutrol"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ScanningSequence": SPIN, "RepetitionTime": 500, "EchoTime": 10}, "T1"),
        ({"ScanningSequence": SPIN, "RepetitionTime": 4000, "EchoTime": 100}, "T2"),
        ({"ScanningSequence": SPIN, "RepetitionTime": 4000, "EchoTime": 700}, None),  # fluid alone, as of bile ducts
        ({"ScanningSequence": SPIN, "RepetitionTime": 3000, "EchoTime": 20}, "PD"),
        ({"ScanningSequence": INVERSION, "RepetitionTime": 9000, "EchoTime": 120, "InversionTime": 2500}, "FLAIR"),
        ({"ScanningSequence": INVERSION, "RepetitionTime": 9000, "EchoTime": 120}, "FLAIR"),
        ({"ScanningSequence": INVERSION, "RepetitionTime": 4000, "EchoTime": 60, "InversionTime": 160}, "STIR"),
        ({"ScanningSequence": INVERSION, "RepetitionTime": 2500, "EchoTime": 12, "InversionTime": 860}, "T1"),
        ({"ScanningSequence": ["GR", "IR"], "RepetitionTime": 2300, "EchoTime": 3, "InversionTime": 900}, "T1"),
        ({"ScanningSequence": GRADIENT, "RepetitionTime": 600, "EchoTime": 20}, "T2star"),
        # Short or long times alone are no contrast.
        ({"ScanningSequence": GRADIENT, "RepetitionTime": 20, "EchoTime": 4}, None),
        ({"RepetitionTime": 500, "EchoTime": 10}, None),
        ({"RepetitionTime": 4000, "EchoTime": 100}, None),
        ({"ScanningSequence": "EP", "RepetitionTime": 2000, "EchoTime": 30}, None),
        ({"ScanningSequence": GRADIENT, "RepetitionTime": 20, "EchoTime": 4, "AngioFlag": "Y"}, None),
        # The sequence decides where a word is of another echo of its series.
        ({"ScanningSequence": SPIN, "RepetitionTime": 3000, "EchoTime": 15, "SeriesDescription": "PD T2 TSE"}, "PD"),
        ({"ScanningSequence": SPIN, "RepetitionTime": 2500, "EchoTime": 33, "SeriesDescription": "T2_TurboRARE"}, "T2"),
        ({"ScanningSequence": SPIN, "RepetitionTime": 2500, "EchoTime": 12, "SeriesDescription": "T2_TurboRARE"}, "PD"),
        ({"ScanningSequence": GRADIENT, "RepetitionTime": 600, "EchoTime": 20, "SeriesDescription": "AX T2"}, "T2star"),
        ({"SeriesDescription": "T2 FLAIR"}, "FLAIR"),
        ({"ProtocolName": "FLAIR_longTR"}, "FLAIR"),
        # A word that the sequence cannot be is of what the scan was planned for.
        ({**FLUID, "SeriesDescription": "t2_tirm_tra"}, "FLAIR"),
        ({**FLUID, "SeriesDescription": "STIR", "InversionTime": 160}, "STIR"),
        ({**FLUID, "SeriesDescription": "STIR", "InversionTime": None}, "STIR"),
        ({**FLUID, "SeriesDescription": "FLAIR", "InversionTime": 160}, None),
        ({**FLUID, "SeriesDescription": "SWI"}, None),
        ({"ScanningSequence": SPIN, "RepetitionTime": 4000, "EchoTime": 100, "SeriesDescription": "T2 for DWI"}, "T2"),
        ({"SeriesDescription": "T1", "ArterialSpinLabelingContrast": "PSEUDOCONTINUOUS"}, None),
        ({"SeriesDescription": "AX T1", "ProtocolName": "BRAIN W CONTRAST MRA"}, "T1"),
        ({"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"], "SeriesDescription": "ep2d_diff_trace"}, "ADC"),
        ({"AcquisitionContrast": "T2_STAR"}, "T2star"),
        ({"SeriesDescription": "T1", "ContrastBolusAgent": "Gadovist"}, "T1c"),
        ({"SeriesDescription": "T1", "ContrastBolusAgent": "Lumivision", "ContrastBolusRoute": "PER ORAL"}, "T1"),
        ({"SeriesDescription": "T1", "ContrastBolusAgent": "Gadovist", "ContrastBolusRoute": "IV"}, "T1c"),
        ({"SeriesDescription": "T1 pre", "ContrastBolusAgent": "Gadovist"}, "T1"),
        ({"SeriesDescription": "post Gd", "ScanningSequence": SPIN, "RepetitionTime": 500, "EchoTime": 10}, "T1c"),
        ({"SeriesDescription": "T1", "ContrastBolusIngredient": "GADOLINIUM"}, "T1c"),
        ({"SeriesDescription": "T1", "ContrastBolusAgentSequence": [AGENT]}, "T1c"),
        (
            {"SeriesDescription": "T1", "ContrastBolusAgentSequence": [AGENT], "ContrastBolusAgentAdministered": "NO"},
            "T1",
        ),
    ],
)
def test_mr_is_told_by_its_sequence_and_words(attributes, expected):
    modality, reason = from_header(header(**attributes))
    assert modality == expected
    assert reason


AGENTS = """
Gadovist 7.5ml => T1c
Dotarem 0.2ml/kg => T1c
NOVOTEC => T1c
Oral and IV Gd => T1c
IV Contrast: Yes => T1c
Y => T1c
+ => T1c
NONE => T1
None given => T1
W/O => T1
Without IV contrast => T1
NEIN => T1
keine KM-Gabe => T1
Nessuno => T1
yok => T1
без контраста => T1
无 => T1
NONCON => T1
Pre-Gd => T1
C- => T1
? => T1
0 ml => T1
Patient refused contrast => T1
contrast: none => T1
Gadovist - not injected => T1
SALINE => T1
Buscopan i.v. => T1
ORAL & WATER => T1
PO CONTRAST => T1
"""


@pytest.mark.parametrize(("agent", "expected"), [line.split(" => ") for line in AGENTS.strip().splitlines()])
def test_what_is_written_of_the_agent_may_be_that_there_was_none(agent, expected):
    assert from_header(header(SeriesDescription="T1", ContrastBolusAgent=agent))[0] == expected


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("EADC", "an exponential ADC map"),
        ("B0 MAP", "a B0 field map"),
        ("B1", "a B1 map"),
        ("P", "a phase, real or imaginary image"),
        ("T2 MAP", "a quantitative map"),
        ("T1MAP", "a quantitative map"),
        ("EFF_R2STAR", "a quantitative map"),
        ("T_MAP", "a functional series"),
        ("RELMTT", "a perfusion series or map"),
        ("OUTPHASE", "an image of fat and water apart"),
        ("MIP_SUM", "a projection, not a volume"),
        ("LOC", "a localizer"),
        ("FA", "a diffusion tensor map"),
        ("TTP", "a perfusion series or map"),
        ("ASL", "an arterial spin labelling series"),
        ("ASL\\PERFUSION", "an arterial spin labelling series"),
        ("TOF", "an angiography"),
        ("WATER", "an image of fat and water apart"),
        ("MIP", "a projection, not a volume"),
        ("SUBTRACTION", "a subtraction of two scans"),
        ("MPR", "a reformatted series"),
    ],
)
def test_what_is_no_modality_is_left_out_under_its_name(kind, other):
    modality, reason = from_header(
        header(ImageType=["DERIVED", "PRIMARY", *kind.split("\\")], SeriesDescription="T1", ScanningSequence="SE")
    )
    assert modality is None
    assert reason.startswith(other)


@pytest.mark.parametrize(
    ("description", "modality"),
    [("CTA BoneRemoval 0.6", None), ("Head bone-free", None), ("NO BONE", None), ("Head bone 1.0", "CT")],
)
def test_a_ct_without_its_bones_is_none(description, modality):
    assert from_header(header(Modality="CT", SeriesDescription=description))[0] == modality


@pytest.mark.parametrize(
    ("description", "modality"),
    [
        ("WB 3D NAC", None),
        ("NAC_TOF", None),
        ("PET AC-", None),
        ("WB nicht korrigiert", None),
        ("TEP non corrigée", None),
        ("非衰减校正", None),
        ("WB AC no contrast", "PET"),
        ("PET motion uncorrected", "PET"),
        ("SUB-01", "PET"),
        ("PET ohne AC", None),
        ("WB without attenuation correction", None),
        ("PET FDG MRAC Brain", "PET"),
        ("WB CTAC", "PET"),
        ("Patlak slope", None),
        ("Influx rate", None),
    ],
)
def test_a_pet_that_was_corrected_by_mr_is_no_map_and_one_called_nac_is_not_corrected(description, modality):
    pet = header(Modality="PT", SeriesDescription=description, CorrectedImage=["ATTN"], Units="BQML")
    assert from_header(pet)[0] == modality


@pytest.mark.parametrize(
    ("description", "kind", "modality"), [("", "M", None), ("_INV2", "M", None), ("", "UNI", "T1"), ("_UNI", "M", "T1")]
)
def test_of_mp2rage_only_the_uniform_image_is_t1(description, kind, modality):
    one = header(SeriesDescription=f"t1_mp2rage{description}", ScanningSequence=["GR", "IR"], RepetitionTime=5000)
    one.EchoTime, one.InversionTime, one.ImageType = 3, 700, ["ORIGINAL", "PRIMARY", kind]
    assert from_header(one)[0] == modality


@pytest.mark.parametrize(
    "kind",
    ["IODINE", "VNC", "Z_EFF", "MONOENERGETIC", "VMI", "MONO_70KEV", "MAT_REMOVED", "EFF_ATOMIC_NUM", "DE_MONO", "GSI"],
)
def test_dual_energy_is_no_ct(kind):
    ct = header(Modality="CT", ImageType=["DERIVED", "SECONDARY", "AXIAL", kind])
    assert "dual-energy" in from_header(ct)[1]
    assert from_header(ct)[0] is None
    assert from_header(header(Modality="CT", RescaleType="MGML"))[0] is None
    for spelt in ("HU", "HOUNSFIELD", "Hounsfield Units"):
        assert from_header(header(Modality="CT", RescaleType=spelt))[0] == "CT"
    assert from_header(header(Modality="CT", RescaleType="HOUNSFIELDISH"))[1] == (
        "not in Hounsfield units: RescaleType is none of the terms that are known"
    )
    assert from_header(header(Modality="CT", SeriesDescription="Rho/Z Abdomen 1.5"))[0] is None


@pytest.mark.parametrize(
    ("modality", "kind"),
    [
        ("CT", "MTT_MAP"),
        ("CT", "TTD"),
        ("CT", "BONE_REMOVED"),
        ("CT", "ATTENUATION_MAP"),
        ("PT", "NAC"),
        ("PT", "PATLAK"),
    ],
)
def test_words_of_the_image_type_count_as_those_of_a_description(modality, kind):
    usual = {"Modality": modality, "CorrectedImage": ["ATTN"], "Units": "BQML"}
    assert from_header(header(**usual, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"]))[0] is not None
    assert from_header(header(**usual, ImageType=["DERIVED", "PRIMARY", kind]))[0] is None


@pytest.mark.parametrize(
    ("description", "is_map"),
    [
        ("DE_Abd Iodine Overlay", True),
        ("MD Iodine(Water)", True),
        ("Abd MonoPlus 55", True),
        ("VMI 50", True),
        ("ME40keV", True),
        ("Iod", True),
        ("Virtual Unenhanced", True),
        ("Liver HAP", False),
        ("PureCalcium", True),
        ("70 keV monochromatic", True),
        ("Z Effective", True),
        ("MonoE 70keV [HU]", True),
        ("Lung PBV", True),
        ("Bone Marrow VNCa", True),
        ("Fat map", True),
        ("VPCT Neuro 0-45s", True),
        ("Contrast-Enhanced Structures[HU*]", True),
        ("SBI", True),
        ("Abd VUE", True),
        ("MD Calcium(Water)", True),
        ("Attenuation Curve", True),
        ("Thorax MaxIP", True),
        ("Fused PET CT", True),
        ("Dose Report", True),
        ("Synthetic CT", True),
        ("Monitoring 10.0", True),
        ("Mean transit time", True),
        ("Blood Flow", True),
        ("Dose Info", True),
        ("CaScore 3.0", False),
        ("Skeletal survey low dose", False),
        ("Pelvis perforation", False),
        ("CT chest with iodine contrast", False),
        ("Abd DE 80/140 F_0.5", False),
        ("Kevin Jodie", False),
    ],
)
def test_maps_of_a_dual_energy_ct_by_their_description(description, is_map):
    assert (from_header(header(Modality="CT", SeriesDescription=description))[0] is None) == is_map


def vendor(group, creator, element, kind, value) -> Dataset:
    ds = header(SeriesDescription="T2")
    ds.private_block(group, creator, create=True).add_new(element, kind, value)
    return ds


@pytest.mark.parametrize(
    ("ds", "expected"),
    [
        (header(DiffusionBValue=700.0), 700),
        (vendor(0x0019, "SIEMENS MR HEADER", 0x0C, "IS", "1000"), 1000),
        (vendor(0x0019, "SIEMENS MR HEADER", 0x0C, "UN", b"1000"), 1000),
        (vendor(0x2001, "Philips Imaging DD 001", 0x03, "FL", 800.0), 800),
        (vendor(0x2001, "Philips Imaging DD 001", 0x03, "UN", np.float32(800).tobytes()), 800),
        (vendor(0x0065, "Image Private Header", 0x09, "FD", 600.0), 600),
        (vendor(0x0043, "GEMS_PARM_01", 0x39, "IS", ["1000001000", "8", "0", "0"]), 1000),
        (vendor(0x0043, "GEMS_PARM_01", 0x39, "IS", ["0", "8", "0", "0"]), 0),
        (header(SequenceName="*ep_b50t"), 50),
        (header(SequenceName="*re_b1000t"), 1000),
        (header(), None),
    ],
)
def test_b_values_of_every_vendor(ds, expected):
    assert b_value(ds) == expected
    if expected:
        assert from_header(ds)[0] == "DWI"
        unweighted = header(SeriesDescription="T2", ScanningSequence="SE", RepetitionTime=4000, EchoTime=70)
        assert from_header(unweighted, [ds])[0] is None
        assert from_header(unweighted)[0] == "T2"


@pytest.mark.parametrize("description", ["DWI b0 b1000", "ep2d_diff_b0_1000"])
def test_a_volumes_own_b_value_comes_before_the_description_of_its_series(description):
    weighted, unweighted, untold = (
        header(SeriesDescription=description, **({} if b is None else {"DiffusionBValue": b})) for b in (1000, 0, None)
    )
    assert from_header(weighted, [unweighted])[0] == "DWI"
    assert from_header(unweighted, [weighted]) == (None, UNWEIGHTED)
    modality, reason = from_header(untold)
    assert modality is None
    assert "nothing tells this one's" in reason


def test_t1_after_the_contrast_agent_is_t1c(make_series):
    mr = {"modality": "MR", "ScanningSequence": "SE", "RepetitionTime": 500, "EchoTime": 10}
    for k, agent in enumerate(("", "Gd", "")):
        make_series(f"anna/{k}", AcquisitionTime=f"10{k}000", ContrastBolusAgent=agent, **mr)
    found = {series.files[0].parent.name: series for series in find_series(make_series("anna/pet").parent)}
    assert [found[name].modality for name in "012"] == ["T1", "T1c", "T1c"]
    assert "acquired after a series with contrast agent" in found["2"].reason


@pytest.mark.parametrize(
    ("acquired", "injected", "agent", "expected"),
    [
        ("095000", "100500", "Gadovist", "T1"),
        ("101000", "100500", "Gadovist", "T1c"),
        ("101000", "100500", "", "T1c"),
        ("101000", "000000", "", "T1"),
        ("030000", "100500", "Gadovist", "T1c"),  # times that de-identification has shifted
        ("", "100500", "Gadovist", "T1c"),
    ],
)
def test_when_the_agent_was_injected(acquired, injected, agent, expected):
    times = {"AcquisitionTime": acquired, "ContrastBolusStartTime": injected}
    assert from_header(header(SeriesDescription="T1", ContrastBolusAgent=agent, **times))[0] == expected


@pytest.mark.parametrize(("agents", "said"), [(("Gd",) * 4, 1), (("", "Gd", "Gd", "Gd"), 0)])
def test_that_an_agent_is_written_down_for_every_series_is_said(make_series, agents, said):
    for k, agent in enumerate(agents):
        description = "T1" if k == 3 else "T2"
        folder = make_series(f"anna/{k}", modality="MR", SeriesDescription=description, ContrastBolusAgent=agent)
    (after,) = [series for series in find_series(folder.parent) if series.modality == "T1c"]
    assert len([note for note in after.notes if "for every series of the study" in note]) == said


@pytest.mark.parametrize(
    ("name", "agent", "said"), [("Ph2/LAVA", "", 1), ("Ph2/LAVA +C", "", 0), ("Ph2/LAVA", "Gadovist", 0)]
)
def test_a_contrast_agent_that_only_the_number_of_a_pass_tells_is_doubted(make_series, name, agent, said):
    make_series("study/t2", modality="MR", SeriesDescription="t2_tse", ContrastBolusAgent=agent)
    folder = make_series("study/t1", modality="MR", SeriesDescription=name).parent
    (found,) = [series for series in find_series(folder) if series.modality == "T1c"]
    assert [note.partition(":")[0] for note in found.notes] == [
        "only the number of its pass tells of a contrast agent"
    ] * said


def test_iodine_in_a_ct_of_the_study_makes_no_t1c(make_series):
    make_series("anna/ct", AcquisitionTime="090000", ContrastBolusAgent="Omnipaque")
    folder = make_series("anna/t1", modality="MR", AcquisitionTime="100000", SeriesDescription="T1")
    assert "T1" in [series.modality for series in find_series(folder.parent)]


def test_negative_values_are_no_magnitude(make_series):
    def signed(k, ds):
        ds.PixelRepresentation = 1
        ds.PixelData = (np.arange(42).reshape(6, 7) - 20 + k).astype("<i2").tobytes()

    mr = {"modality": "MR", "ScanningSequence": "SE", "RepetitionTime": 500, "EchoTime": 10}
    (series,) = find_series(make_series(change=signed, **mr))
    assert series.modality is None
    assert series.reason.startswith("negative values")


@pytest.mark.parametrize(
    ("description", "kind", "means"),
    [
        ("t1_mpr_sag", ["ORIGINAL", "PRIMARY", "M", "ND", "NORM"], "T1"),
        ("t1_mpr_ns_sag_KM", ["ORIGINAL", "PRIMARY", "M", "ND"], "T1c"),
        ("t1_mpr_sag", ["DERIVED", "SECONDARY", "MPR"], None),
    ],
)
def test_the_short_word_for_mprage_is_no_reformat(description, kind, means):
    series = header(SeriesDescription=description, SequenceName="*tfl3d1_ns", EchoTime=3, RepetitionTime=2300)
    series.ScanningSequence, series.InversionTime, series.ImageType = ["GR", "IR"], 900, kind
    assert from_header(series)[0] == means


@pytest.mark.parametrize(("echo", "means"), [(14, "PD"), (95, "T2")])
def test_echoes_of_one_description_are_told_by_their_sequence(echo, means):
    named = {"SeriesDescription": "pd+t2_tse_tra", "ScanningSequence": "SE", "RepetitionTime": 3500}
    assert from_header(header(**named, EchoTime=echo))[0] == means
    del named["ScanningSequence"]
    assert from_header(header(**named, EchoTime=14))[0] is None
