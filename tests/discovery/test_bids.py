"""Names of BIDS, nearly so, and of programs that compute or change scans."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from polyscan.discovery.bids import named, named_in
from polyscan.discovery.scan import scan
from polyscan.formats.nifti import write_nifti


def nifti(path, size=4):
    write_nifti(path, MetaTensor(torch.zeros(1, size, size, size), affine=torch.eye(4)))


def test_bids_tree_with_participants(tmp_path):
    root = tmp_path / "bids"
    for subject in ("01", "02"):
        nifti(root / f"sub-{subject}" / "anat" / f"sub-{subject}_T1w.nii.gz")
        nifti(root / f"sub-{subject}" / "anat" / f"sub-{subject}_ce-gd_T1w.nii.gz")
    truth = root / "derivatives" / "truth" / "sub-01"
    nifti(truth / "sub-01_space-T1c_dseg.nii.gz")
    nifti(truth / "sub-01_space-T1c_desc-brain_mask.nii.gz")
    table = "participant_id\tage\tsplit\tsite\nsub-01\t61\tvalidation\tn/a\nsub-02\t\t\tB\n"
    (root / "participants.tsv").write_text(table)
    manifest = scan(root)
    (first,), (second,) = manifest.validation, manifest.testing
    assert (first.subject, list(first.scans), first.clinical) == ("01", ["T1", "T1c"], {"age": 61})
    assert first.label.drawn_on == "T1c"
    assert first.label.mask.endswith("dseg.nii.gz")
    assert second.clinical == {"site": "B"}


def test_sessions_are_studies_of_their_own(tmp_path):
    for session in ("a", "b"):
        nifti(tmp_path / "r" / "sub-1" / f"ses-{session}" / f"sub-1_ses-{session}_FLAIR.nii.gz")
    assert [s.key for s in scan(tmp_path / "r").studies] == ["sub-1_ses-a", "sub-1_ses-b"]


@pytest.mark.parametrize(
    ("name", "modality", "said"),
    [
        ("MP2RAGE", None, "an inversion image of MP2RAGE"),
        ("IRT1", None, "an image for a T1 map"),
        ("PDT2", None, "two echoes in one file"),
        ("chunk-1_T1w", None, "a part of a volume: chunk-1"),
        ("trc-FDG_rec-nacstat_pet", None, "a PET without attenuation correction: rec-nacstat"),
        ("trc-FDG_rec-acstat_pet", "PET", "pet"),
        ("UNIT1", "T1", "UNIT1"),
        ("acq-postGd_T1w", "T1c", "contrast agent by its acq-"),
        ("acq-noGd_T1w", "T1", "T1w"),
        ("acq-postop_T1w", "T1", "T1w"),
        ("ce-none_acq-post_T1w", "T1", "T1w"),
        ("acq-dixonFat_T1w", None, "an image of fat and water apart"),
        ("acq-localizer_T1w", None, "a localizer"),
        ("rec-ADC_dwi", "ADC", "says so"),
        ("acq-b0_dwi", None, "b = 0"),
        ("acq-highres_rec-norm_T1w", "T1", "T1w"),
    ],
)
def test_what_a_bids_name_says_is_no_scan(name, modality, said):
    found = named(f"sub-01_{name}.nii.gz")
    assert found.modality == modality
    assert said in found.reason


def test_a_file_of_bids_in_the_folder_of_another_subject_is_said(tmp_path):
    nifti(tmp_path / "r" / "sub-01" / "ses-1" / "anat" / "sub-02_ses-1_T1w.nii.gz")
    (study,) = scan(tmp_path / "r").studies
    assert study.key == "sub-02_ses-1"
    assert study.decisions[0].reason.endswith("; it lies in sub-01, and is sub-02's by its name")


def test_sessions_of_bids_by_their_folders(tmp_path):
    for session, name in (("pre", "T1w"), ("post", "T1w"), ("post", "FLAIR")):
        nifti(tmp_path / "r" / "sub-01" / f"ses-{session}" / "anat" / f"sub-01_{name}.nii.gz")
    assert {s.key: sorted(s.scans) for s in scan(tmp_path / "r").studies} == {
        "sub-01_ses-pre": ["T1"],
        "sub-01_ses-post": ["FLAIR", "T1"],
    }


def test_bids_suffix_is_the_contrast(data):
    manifest = scan(data / "reported_cases" / "bids_names" / "in")
    found = {
        study.subject: {name: one.path.rsplit("/", 1)[1] for name, one in study.scans.items()}
        for study in manifest.studies
    }
    assert found == {
        "01": {"T1": "sub-01_run-1_T1w.nii.gz"},
        "02": {"T1": "sub-02_space-MNI152NLin2009cAsym_desc-preproc_T1w.nii.gz"},
        "06": {"T1c": "sub-06_ce-gadolinium_T1w.nii.gz"},
        "07": {"T2": "sub-07_inplaneT2.nii.gz"},
        "08": {"T2": "sub-08_space-T1w_T2w.nii.gz"},
    }


def test_an_image_beside_a_functional_series_comes_after_a_whole_one(tmp_path):
    for suffix, size in (("inplaneT2", 0.5), ("T2w", 1.0)):
        image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.diag(torch.tensor([size, size, size, 1])))
        write_nifti(tmp_path / "sub-01" / "anat" / f"sub-01_{suffix}.nii.gz", image)
    (study,) = scan(tmp_path).studies
    assert study.scans["T2"].path.endswith("T2w.nii.gz")


def test_a_space_of_bids_says_that_scans_lie_together(tmp_path):
    for subject, spaces in {"01": ("SRI24", "SRI24"), "02": ("SRI24", "MNI152Lin")}.items():
        for suffix, space in zip(("T1w", "T2w"), spaces, strict=True):
            nifti(tmp_path / "r" / f"sub-{subject}" / f"sub-{subject}_space-{space}_{suffix}.nii.gz")
    assert [study.aligned for study in scan(tmp_path / "r").studies] == [["T1", "T2"], []]


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("sub-01_ce-none_T1w", "T1"),
        ("sub-01_ce-pre_T1w", "T1"),
        ("sub-01_ce-nogad_T1w", "T1"),
        ("sub-01_ce-gadovist_T1w", "T1c"),
        ("SUB-01_T1w", "T1"),
        ("sub_001_T1_post", "T1c"),
        ("Sub01 FLAIR", "FLAIR"),
        ("patient1_FLAIR", "FLAIR"),
        ("set12-dark-fluid", "FLAIR"),
        ("axT1_FLAIR", "T1"),
        ("PD001_T1", "T1"),
        ("PD_001_T2", "T2"),
        ("UCSF-PDGM-0004_T1c", "T1c"),
        ("PD_FS", "PD"),
        ("PD_001", "PD"),
        ("PT_001_CT", "CT"),
        ("pt-12_ct", "CT"),
        ("PT_2_WB", "PET"),
        ("PET_CT", "PET"),
        ("PD_anna_T1", "T1"),
        ("PD_T2", None),
        ("PD_tse_T2", None),
        ("T1_diff", None),
        ("T1_sub", None),
        ("sub_T1", None),
    ],
)
def test_names_that_are_nearly_those_of_bids(name, modality):
    assert named(f"{name}.nii.gz").modality == modality


@pytest.mark.parametrize(
    ("name", "modality", "derived"),
    [
        ("T1_real", None, False),
        ("c1T1", None, False),
        ("T1_probability", None, False),
        ("CT_70keV", None, False),
        ("CT_PBV", None, False),
        ("kevin_CT", "CT", False),
        ("Jodie_CT", "CT", False),
        ("PDFF", None, False),
        ("T1_LGE", "T1c", False),
        ("LDCT", "CT", False),
        ("c1_T1", "T1", False),
        ("sT1W_3D_TFE", "T1", False),
        ("wT1", "T1", True),
        ("T1_to_MNI", "T1", True),
        ("T1_brain", "T1", True),
    ],
)
def test_maps_and_changed_scans_are_told_by_their_names(name, modality, derived):
    found = named(f"{name}.nii.gz")
    assert (found.modality, found.derived > 0) == (modality, derived)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        *((f"anna_FLAIR_{word}", True) for word in ("lesion", "gt", "truth", "tumor", "lesionMask", "msk", "segm")),
        *((f"{word}_FLAIR", False) for word in ("tumor", "lesions", "truth", "msk")),
        ("1-LesionSeg-Flair", True),
        ("t2_tumor_reader1", True),
        ("t2_anatomy_reader1", False),
        ("FLAIR_seg_pred", False),
        ("T1_bet_mask", False),
        ("alphabet_mask", True),
        ("wmh", True),
        ("WMH_01_T1", False),
    ],
)
def test_what_a_label_is_called(name, label):
    assert named(f"{name}.nii.gz").label is label


NAMES = """
T1_3D_post_reg2FLAIR => T1c
t2_refT1 => T2
CT_on_PET_grid => CT
mpr-1.nifti => T1
ep2d_diff_tra_DYNDISTCALC_BVAL_0 => DWI
T1_entropy => None
MNI152_T1_1mm => None
lesions_manual => label
labelmap => label
CTV => label
RTSTRUCT => label
infarct => label
Laesion_Maske => label
Tumor_Segmentierung => label
masque_tumeur => label
mascara => label
maschera => label
segmentazione => label
маска => label
脑肿瘤分割 => label
腫瘍マスク => label
병변_마스크 => label
VSD.Brain_3more.XX.O.OT.54515 => label
SMIR.Brain.XX.O.OT.345570 => label
Hirn_Maske => None
masque_cerveau => None
маска_мозга => None
脑掩膜 => None
T1_subcort_seg => None
"""


@pytest.mark.parametrize("line", NAMES.strip().splitlines())
def test_names_that_programs_and_people_give(line):
    name, _, expected = line.partition(" => ")
    found = named_in(["anna"], f"{name}.nii.gz")
    assert ("label" if found.label else str(found.modality)) == expected
