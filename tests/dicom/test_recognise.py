"""What words and headers say of a series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from polyscan.dicom.diffusion import b_value
from polyscan.dicom.read import find_series
from polyscan.dicom.recognise import from_header
from polyscan.dicom.words import UNWEIGHTED, Told, told

WORDS = """
AX T1 => T1
AX T1 +C => T1c
Ax T1 +C => T1c
T1 C+ => T1c
t1_fl2d_tra_brain_C => T1c
T1 KM => T1c
T1 pos contraste => T1c
t1_mprage_tra_p2_iso_KM => T1c
AX T1 POST GD => T1c
eT1W_3D_TFE => T1
FLAIR_longTR => FLAIR
T2W_FLAIR => FLAIR
ep2d_diff_3scan_trace_ADC => ADC
AX T2 FLAIR => FLAIR
t2_tirm_tra_dark-fluid => FLAIR
TOF_3D_multi-slab => an angiography
B0map => a B0 field map
Iodine map => None
DTI_Biobank_2mm_MB3S2_EPI => DWI
Ax DWI TENSOR R1p5 => DWI
B0 NS => the unweighted (b = 0) image of a diffusion series
DWI b value 0 => the unweighted (b = 0) image of a diffusion series
DWI b0 64dir => the unweighted (b = 0) image of a diffusion series
DWI b0 b1000 => a diffusion image of several b-values, b = 0 among them, of which nothing tells this one's
ep2d_diff_b0_1000 => a diffusion image of several b-values, b = 0 among them, of which nothing tells this one's
DWI b=0,500,1000 => a diffusion image of several b-values, b = 0 among them, of which nothing tells this one's
dwi b1000 b0 => a diffusion image of several b-values, b = 0 among them, of which nothing tells this one's
ADC b0 b1000 => ADC
DWI b50 b800 => DWI
T1 FLAIR => T1
Sag T1 FLAIR => T1
Ax T1 FLAIR +C => T1c
T1 pre => T1
T1 pre contrast => T1
T1 ohne KM => T1
t1_se_tra nativ => T1
T1 nach KM => T1c
T1_SE_CE- => T1
T1 KM- => T1
T1 GD - AX => T1c
T1 BRAVO DELAYED => T1c
Ax LAVA-Flex => an image of fat and water apart
AX T1 W/O => T1
AX T1 WO CONTRAST => T1
AX T1 post fossa => T1
AX T1 post op => T1
T1 SE gado => T1c
AX T1 FS => T1
T1 fat sat => T1
T1_vibe_dixon_W => an image of fat and water apart
SAG T1 C SPINE => T1
T1 C- => T1
AX T2* => T2star
t2_star => T2star
T2* GRE => T2star
t2_fl2d_tra_hemo => T2star
AX T2 => T2
t2_tse_tra => T2
T2W_TSE => T2
SWI_Images => SWI
Ax SWAN => SWI
SWI mIP => a projection, not a volume
Pha_Images => a phase image
STIR_longTE => STIR
COR STIR => STIR
PD_TSE => PD
PDW => PD
relCBV => CBV
rCBF => CBF
pcasl_3d => an arterial spin labelling series
ep2d_perf => a perfusion series or map
ep2d_bold_rest => a functional series
t1_mprage_sag => T1
MPRAGE => T1
SAG MPRAGE => T1
t1_mpr_sag => a reformatted series
eADC => an exponential ADC map
Exponential Apparent Diffusion Coefficient => an exponential ADC map
Apparent Diffusion Coefficient (mm2/s) => ADC
dADC => ADC
FA map => a diffusion tensor map
t1_mprage_sag_p2_iso => T1
T1w 3D GRE => T1
T1 TSE SENSE => T1
AX 3D T1 BRAVO => T1
3D T1 SPGR +C => T1c
Ax FSPGR Post => T1c
t1 map => a quantitative map
T1Map => a quantitative map
AAHead_Scout => a localizer
3-plane localizer => a localizer
t2_space_dark-fluid_sag => FLAIR
T1 增强 => T1c
T1 с контрастом => T1c
T1 без контраста => T1
T1 Gd => T1c
T1Gd => T1c
T1w+ => T1c
t1ce => T1c
t1c => T1c
t1n => T1
t2w => T2
t2f => FLAIR
T1 with contrast => T1c
T1 enhanced => T1c
T1 après injection => T1c
T1 injecté => T1c
T1 con mdc => T1c
T1 senza mdc => T1
T1_gadolinium => T1c
Perfusion_MTT => a perfusion series or map
T2 TSE fat sat => T2
STIR T2 => STIR
PD T2 => None
MP2RAGE_INV1 => an inversion image of MP2RAGE
MP2RAGE_UNI => T1
spectroscopy => a spectroscopy
MRA => an angiography
phase => a phase image
CT_image => CT
octopus => None
PET_image => PET
case7-t1ce => T1c
t2_tirm_flair => FLAIR
ep2d_diff ADC => ADC
MR_T1_image => T1
IBSI_1_STS_002_MR_T1_image => T1
gre_field_mapping => a B0 field map
T2 map => a quantitative map
AX T1 GAD => T1c
SAG T1 PRE GAD => T1
T1_SE_contrast => T1c
T1 3D TFE => T1
3D_T1W_TFE +GD => T1c
mDIXON-All => an image of fat and water apart
T1 VIBE fs tra post KM => T1c
Ax T1 MEMP => T1
Ax T1W SE C+ => T1c
WIP 3D FLAIR SENSE => FLAIR
sT2W_TSE => T2
sT1W_SE => T1
DWI_b1000 => DWI
ep2d_diff_b0 => the unweighted (b = 0) image of a diffusion series
OAx T1 FSE => T1
T1 AX GADAVIST => T1c
T1 TRA KM => T1c
T1_tse_tra_+KM => T1c
T1 mit KM => T1c
T1 postKM => T1c
T1post => T1c
T1_POST => T1c
POST T1 => T1c
POST AX T1 => T1c
Cor T1 Post => T1c
AX T1 PRE => T1
T1 sem contraste => T1
T1 c/ contraste => T1c
T1 s/ contraste => T1
T1 sin contraste => T1
swi3d => SWI
ce-gd_T1w => T1c
flair post => FLAIR
FLAIR_reg_to_T1 => FLAIR
T1 volume => T1
Reg - MPRAGE => T1
VEN_BOLD => SWI
T1_dynamic => T1
b1000 => DWI
TRACEW => DWI
ep2d_diff_TRACEW => DWI
ep2d_diff_FA => a diffusion tensor map
ep2d_diff_tensor => a diffusion tensor map
localizer_T1 => a localizer
T2 haste => T2
subtraction T1 => a subtraction of two scans
Brain T1 => T1
NeuroMelanin T1 => T1
THIN T2 TRA => T2
T1 in T2 space => T1
T1 -C => T1
AX T1 -KM => T1
AX T1 - KM => T1c
T1-C => T1c
3DT1CE => T1c
3DT1 => T1
T2W_FFE => T2star
VenoBOLD => SWI
t2_tirm_cor => STIR
TIRM COR => STIR
Mag_Images => T2star
"""


@pytest.mark.parametrize(("text", "expected"), [line.split(" => ") for line in WORDS.strip().splitlines()])
def test_words(text, expected):
    assert name_of(told(text)) == expected


def name_of(found: Told) -> str:
    return found.modality or found.other or "None"


def descriptions() -> list[list[str]]:
    """Series descriptions of several vendors and languages, each with what it is."""
    table = Path(__file__).with_name("descriptions.tsv").read_text().splitlines()
    return [line.split("\t") for line in table[1:]]


def test_descriptions():
    wrong = {text: (said, expected) for text, expected in descriptions() if (said := name_of(told(text))) != expected}
    assert not wrong


def header(**attributes) -> Dataset:
    ds = Dataset()
    ds.Modality = "MR"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    for name, value in attributes.items():
        setattr(ds, name, value)
    return ds


SPIN, GRADIENT, INVERSION = "SE", "GR", ["SE", "IR"]


AGENT = Dataset()
AGENT.CodeMeaning = "Gadobutrol"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ScanningSequence": SPIN, "RepetitionTime": 500, "EchoTime": 10}, "T1"),
        ({"ScanningSequence": SPIN, "RepetitionTime": 4000, "EchoTime": 100}, "T2"),
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
        ({"ScanningSequence": GRADIENT, "RepetitionTime": 600, "EchoTime": 20, "SeriesDescription": "AX T2"}, "T2star"),
        ({"SeriesDescription": "T2 FLAIR"}, "FLAIR"),
        ({"ProtocolName": "FLAIR_longTR"}, "FLAIR"),
        ({"SeriesDescription": "AX T1", "ProtocolName": "BRAIN W CONTRAST MRA"}, "T1"),
        ({"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"], "SeriesDescription": "ep2d_diff_trace"}, "ADC"),
        ({"AcquisitionContrast": "T2_STAR"}, "T2star"),
        ({"SeriesDescription": "T1", "ContrastBolusAgent": "Gadovist"}, "T1c"),
        ({"SeriesDescription": "T1", "ContrastBolusAgent": "NONE"}, "T1"),
        ({"SeriesDescription": "T1", "ContrastBolusAgent": "None given"}, "T1"),
        ({"SeriesDescription": "T1", "ContrastBolusAgent": "W/O"}, "T1"),
        ({"SeriesDescription": "T1", "ContrastBolusAgent": "Without IV contrast"}, "T1"),
        ({"SeriesDescription": "T1", "ContrastBolusAgent": "SALINE"}, "T1"),
        ({"SeriesDescription": "T1", "ContrastBolusAgent": "ORAL & WATER"}, "T1"),
        ({"SeriesDescription": "T1", "ContrastBolusAgent": "Oral and IV Gd"}, "T1c"),
        ({"SeriesDescription": "T1", "ContrastBolusAgent": "Lumivision", "ContrastBolusRoute": "PER ORAL"}, "T1"),
        ({"SeriesDescription": "T1", "ContrastBolusAgent": "Gadovist", "ContrastBolusRoute": "IV"}, "T1c"),
        ({"SeriesDescription": "T1", "ContrastBolusAgent": "NOVOTEC"}, "T1c"),
        ({"SeriesDescription": "T1 pre", "ContrastBolusAgent": "Gadovist"}, "T1"),
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


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("EADC", "an exponential ADC map"),
        ("B0 MAP", "a B0 field map"),
        ("B1", "a B1 map"),
        ("P", "a phase, real or imaginary image"),
        ("T2 MAP", "a quantitative map"),
        ("FA", "a diffusion tensor map"),
        ("TTP", "a perfusion series or map"),
        ("ASL", "an arterial spin labelling series"),
        ("TOF", "an angiography"),
        ("WATER", "an image of fat and water apart"),
        ("MIP", "a projection or a capture, not a volume"),
        ("SUBTRACTION", "a subtraction of two scans"),
        ("MPR", "a reformatted series"),
    ],
)
def test_what_is_no_modality_is_left_out_under_its_name(kind, other):
    modality, reason = from_header(
        header(ImageType=["DERIVED", "PRIMARY", kind], SeriesDescription="T1", ScanningSequence="SE")
    )
    assert modality is None
    assert reason.startswith(other)


@pytest.mark.parametrize(
    ("description", "modality"),
    [("CTA BoneRemoval 0.6", None), ("Head bone-free", None), ("NO BONE", None), ("Head bone 1.0", "CT")],
)
def test_a_ct_without_its_bones_is_none(description, modality):
    assert from_header(header(Modality="CT", SeriesDescription=description))[0] == modality


@pytest.mark.parametrize("kind", ["IODINE", "VNC", "Z_EFF", "MONOENERGETIC"])
def test_dual_energy_is_no_ct(kind):
    ct = header(Modality="CT", ImageType=["DERIVED", "SECONDARY", "AXIAL", kind])
    assert "dual-energy" in from_header(ct)[1]
    assert from_header(ct)[0] is None
    assert from_header(header(Modality="CT", RescaleType="MGML"))[0] is None
    assert from_header(header(Modality="CT", RescaleType="HU"))[0] == "CT"
    assert from_header(header(Modality="CT", SeriesDescription="Rho/Z Abdomen 1.5"))[0] is None


@pytest.mark.parametrize(
    ("description", "is_map"),
    [
        ("DE_Abd Iodine Overlay", True),
        ("MD Iodine(Water)", True),
        ("70 keV monochromatic", True),
        ("Z Effective", True),
        ("MonoE 70keV [HU]", True),
        ("Lung PBV", True),
        ("Bone Marrow VNCa", True),
        ("Fat map", True),
        ("VPCT Neuro 0-45s", True),
        ("CaScore 3.0", False),
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
