"""What words say of a series: descriptions of several vendors and languages."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyscan.dicom.words import Told, told

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
Planning CT => CT
T2 planning => T2
T1강조영상 => T1
조영증강 T1강조영상 => T1c
Т1 после КУ => T1c
Т1 без КВ => T1
T1 акустика => T1
ДВИ => DWI
T2压水 => FLAIR
磁敏感 => SWI
T1 o. KM => T1
T1 v. KM => T1
T1 n. KM => T1c
T2 étoile => T2star
T1 W-only => an image of fat and water apart
MDME => an image computed from a quantitative scan
MR Fingerprinting T1 => a quantitative map
SURESubtraction => a subtraction of two scans
B-TFE => a balanced steady-state series
B-1000 => DWI
PET WB 3D NAC => a PET without attenuation correction
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
MPR; GradWarp; B1 Correction; N3; Scaled => T1
MPR-R; GradWarp => T1
MT1; GradWarp; N3m => T1
mpr-1_anon => T1
MPR => a reformatted series
T1ce_pre => T1c
pre T1Gd => T1c
T1 pre Gd => T1
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
