"""Folders laid out as public collections and converters leave them are scanned into the studies that they hold."""

from __future__ import annotations

import json
import unicodedata
from itertools import product

import pytest
import torch
from monai.data import MetaTensor

from polyscan.discovery.scan import scan
from polyscan.formats.nifti import write_nifti
from polyscan.formats.read import read_image

BRAIN = ["FLAIR", "T1", "T1c", "T2"]
# Names of files by subject and scan, which may hold the subject; the subjects, the scans; modalities of each study, and
# whether they have labels.
LAYOUTS = {
    "BraTS of 2023": ("BraTS-GLI-{0}-000/BraTS-GLI-{0}-000-{1}", "00001 00002", "t1n t1c t2w t2f seg", BRAIN, True),
    "BraTS of 2020": ("BraTS20_Training_{0}/BraTS20_Training_{0}_{1}", "001 002", "t1 t1ce t2 flair seg", BRAIN, True),
    "folders of unpacked files": ("B_{0}/B_{0}_{1}.nii/000_brain_{1}", "001 002", "t1 flair", ["FLAIR", "T1"], False),
    "UCSF-PDGM": (
        "UCSF-PDGM-{0}_nifti/UCSF-PDGM-{0}_{1}",
        "0004 0005",
        "T1 T1_bias T1c T2 FLAIR SWI ADC DTI_eddy_FA ASL tumor_segmentation brain_segmentation",
        ["ADC", "FLAIR", "SWI", "T1", "T1c", "T2"],
        True,
    ),
    "autoPET": ("PETCT_{0}/03-23-2003-NA-PET/{1}", "0011f3deaf 0012ab", "CT CTres SUV PET SEG", ["CT", "PET"], True),
    "IXI": ("IXI-{1}/{0}-{1}", "IXI002-Guys-0828 IXI012-HH-1211", "T1 T2 PD", ["PD", "T1", "T2"], False),
    "HECKTOR": ("imagesTr/CHUM-{0}__{1}", "001 002", "CT PT", ["CT", "PET"], False),
    "images and masks": ("{1}/{0}", "0001 0002", "T1 FLAIR masks", ["FLAIR", "T1"], True),
    "HECKTOR with labels": (
        "{1}",
        "CHUM-001 MDA-002",
        "imagesTr/{0}__CT imagesTr/{0}__PT labelsTr/{0}",
        ["CT", "PET"],
        True,
    ),
    "HECKTOR of 2021": ("hecktor_nii/{0}_{1}", "CHGJ007 CHUM010", "ct pt gtvt", ["CT", "PET"], True),
    "UPENN-GBM": (
        "images_{1}",
        "UPENN-GBM-00001_11 UPENN-GBM-00002_11",
        "structural/{0}/{0}_T1 structural/{0}/{0}_T1GD DTI/{0}/{0}_DTI_AD segm/{0}_segm",
        ["T1", "T1c"],
        True,
    ),
    "labels beside patients": ("{1}", "anna bob", "{0}/T1 {0}/FLAIR labels/{0}_seg", ["FLAIR", "T1"], True),
    "ADNI": (
        "ADNI/{0}/MP-RAGE/2006-04-18_08_20_30.0/I45109/ADNI_{0}_{1}",
        "002_S_0295 002_S_0413",
        "MR_MP-RAGE",
        ["T1"],
        False,
    ),
    "MSLesSeg": ("train/{0}/T1/{0}_T1_{1}", "P1 P2", "FLAIR T1 T2 MASK", ["FLAIR", "T1", "T2"], True),
    "MSSEG": (
        "{0}/{1}",
        "07001 07003",
        "Raw_Data/3DFLAIR Raw_Data/3DT1 Raw_Data/3DT1GADO Preprocessed_Data/T1_preprocessed Masks/Consensus",
        ["FLAIR", "T1", "T1c"],
        True,
    ),
    "MSSEG, preprocessed": (
        "{0}/{1}",
        "07001 07003",
        "Preprocessed_Data/GADO_preprocessed Preprocessed_Data/T1_preprocessed Masks/Consensus",
        ["T1", "T1c"],
        True,
    ),
    "a lesion on the grid of another session's scan": (
        "sub-{0}/ses-02/sub-{0}_ses-02_space-ncct_{1}",
        "stroke1 stroke2",
        "dwi lesion-msk",
        ["DWI"],
        True,
    ),
    "FastSurfer": ("{0}/mri/{1}", "bert ernie", "T1 aparc.DKTatlas+aseg.deep mask", ["T1"], False),
    "Vestibular-Schwannoma-SEG": (
        "{0}/{1}",
        "vs_gk_1 vs_gk_2",
        "vs_gk_t1_refT1 vs_gk_t2_refT1 vs_gk_seg_refT1",
        ["T1", "T2"],
        True,
    ),
    "OASIS-1": (
        "OAS1_{0}_MR1/{1}",
        "0001 0002",
        "RAW/OAS1_{0}_MR1_mpr-1_anon FSL_SEG/OAS1_{0}_MR1_mpr_n4_anon_111_t88_masked_gfc_fseg",
        ["T1"],
        False,
    ),
    "ADNI, corrected": ("ADNI/002_S_{0}/{1}", "0295 0413", "ADNI_002_S_{0}_MR_MPR__GradWarp__N3_Br_1", ["T1"], False),
    "Virtual Skeleton Database": (
        "HGG/brats_{0}_1/{1}.{0}1/{1}.{0}1",
        "pat0001 pat0002",
        "VSD.Brain.XX.O.MR_Flair VSD.Brain.XX.O.MR_T1c VSD.Brain_3more.XX.O.OT",
        ["FLAIR", "T1c"],
        True,
    ),
    "WMH": ("{0}/{1}", "0 2", "pre/FLAIR pre/T1 wmh", ["FLAIR", "T1"], True),
    "ISLES": ("sub-case{0}/ses-1/sub-case{0}_ses-1_{1}", "01 02", "adc dwi flair msk", ["ADC", "DWI", "FLAIR"], True),
    "prostates": ("{0}/{0}_1_{1}", "10000 10001", "t2w adc hbv", ["ADC", "DWI", "T2"], False),
    "Prostate158": (
        "train/{0}/{1}",
        "020 021",
        "t2 adc t2_anatomy_reader1 t2_tumor_reader1 adc_tumor_reader1",
        ["ADC", "T2"],
        True,
    ),
    "UCSF-BMSR": ("{0}/{0}_{1}", "100101A 100102A", "T1pre T1post T2Synth seg", ["T1", "T1c"], True),
    "timepoints": ("ID_{0}/Timepoint_1/ID_{0}_{1}", "0003 0004", "t1c t2f tumorMask", ["FLAIR", "T1c"], True),
    "XNAT": ("S{0}/scans/{1}/resources/NIFTI/files/image", "01 02", "4-T1_MPRAGE 5-T2_FLAIR", ["FLAIR", "T1"], False),
    "Parkinson's disease": ("PD_{0}_{1}", "anna bob", "T1 T2", ["T1", "T2"], False),
    "fMRIPrep": (
        "fmriprep/sub-{0}/anat/sub-{0}_{1}",
        "01 02",
        "desc-preproc_T1w desc-aparcaseg_dseg dseg",
        ["T1"],
        False,
    ),
    "DTI": ("{0}/{0}_{1}", "anna bob", "DWI DTI_eddy_L1 DTI_eddy_MD T1", ["DWI", "T1"], False),
    "LUMIERE": ("Patient-{0}/{1}", "001 002", "CT1 FLAIR T1 T2", BRAIN, False),
    "dHCP": (
        "sub-CC{0}/anat/sub-CC{0}_{1}",
        "01 02",
        "T2w desc-drawem9_dseg desc-ribbon_dseg atlas-AAL_dseg",
        ["T2"],
        False,
    ),
    "fMRIPrep by itself": (
        "sub-{0}/anat/sub-{0}_{1}",
        "01 02",
        "desc-preproc_T1w dseg label-GM_probseg",
        ["T1"],
        False,
    ),
    "FSL": ("{0}/{1}", "anna bob", "T1 T1_fast_seg T1_fast_pve_0 T1_first_all_fast_firstseg", ["T1"], False),
    "OASIS-3": (
        "OAS30001_MR_{0}/{1}",
        "d0129 d0757",
        "anat2/sub-OAS30001_ses-{0}_T1w anat3/sub-OAS30001_ses-{0}_T2w",
        ["T1", "T2"],
        False,
    ),
    "scans with and without the skull": (
        "{1}",
        "UPENN-GBM-00001_11 UPENN-GBM-00002_11",
        "images_structural/{0}/{0}_T1 images_structural/{0}/{0}_T2 images_structural_unstripped/{0}/{0}_T1_unstripped "
        "images_structural_unstripped/{0}/{0}_T2_unstripped",
        ["T1", "T2"],
        False,
    ),
    "PET and the CT on its grid": (
        "Lesions/PETCT_{0}/{1}",
        "0011f3deaf 0117d7f11f",
        "CTres SUV SEG",
        ["CT", "PET"],
        True,
    ),
    "numbers that look random": ("FDG-PET/PETCT_{0}/{1}", "0011f3deaf 0117d7f11f", "SUV SEG", ["PET"], True),
    "masks of patients": ("{1}", "P01 P02", "scans/{0}/T1 scans/{0}/FLAIR masks/{0}/T1", ["FLAIR", "T1"], True),
    "a project": ("segmentation/{0}/{1}", "P01 P02", "T1 FLAIR seg", ["FLAIR", "T1"], True),
    "delineations of readers": (
        "{1}",
        "10000 10001",
        "images/{0}/{0}_1_t2w images/{0}/{0}_1_adc lesion_delineations/human_expert/resampled/{0}_1 "
        "anatomical_delineations/whole_gland/AI/{0}_1 lesion_delineations/AI/{0}_1",
        ["ADC", "T2"],
        True,
    ),
    "ISLES of 2024": (
        "train/{1}",
        "0001 0002",
        "raw_data/sub-stroke{0}/sub-stroke{0}_ses-02_dwi derivatives/sub-stroke{0}/sub-stroke{0}_ses-02_lesion-msk",
        ["DWI"],
        True,
    ),
    "FreeSurfer": ("subjects/{0}/mri/{1}", "bert ernie", "T1 aseg ../../fsaverage/mri/T1", ["T1"], False),
    "German": ("{0}/{1}", "anna bob", "t2_dunkelfluessigkeit t2_tse", ["FLAIR", "T2"], False),
    "the CT of a PET": ("{0}/{1}", "anna bob", "CTAC PET_SUV", ["CT", "PET"], False),
    "scans beside what was made of them": (
        "{0}/{1}",
        "P-001 P-002",
        "FLAIR T1 made/atlas/skull_strip/flair_skull_strip made/A/t1_strip copies/A_T1",
        ["FLAIR", "T1"],
        False,
    ),
    "RHUH-GBM": ("RHUH-{0}/{0}_0_{1}", "0001 0002", "t1 t1ce segmentations", ["T1", "T1c"], True),
    "TopCoW": ("{1}", "001 002", "imagesTr/topcow_ct_{0} cow_seg_labelsTr/topcow_ct_{0}", ["CT"], True),
    "masks of brain tumours": ("{1}", "001 002", "T1/{0}_T1 brain_tumor_masks/{0}", ["T1"], True),
    "masks of brains": ("{1}", "001 002", "T1/{0}_T1 brain_masks/{0}", ["T1"], False),
    "one of several CT": ("{0}/{1}", "anna bob", "CT1 PET_SUV", ["PET"], False),
    "dcm2niix": ("{0}/{1}", "anna bob", "2_t1_mprage 3_t2_flair_ROI1 4_localizer", ["FLAIR", "T1"], False),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout(tmp_path, name):
    pattern, subjects, names, scans, labelled = LAYOUTS[name]
    for subject, one in product(subjects.split(), names.split()):
        image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
        write_nifti(tmp_path / f"{pattern.format(subject, one).format(subject)}.nii.gz", image)
    found = scan(tmp_path)
    assert [sorted(study.scans) for study in found.studies] == [scans, scans]
    assert [study.label.mask is not None for study in found.studies] == [labelled, labelled]
    taken = [one.path.removeprefix(str(tmp_path)) for study in found.studies for one in study.scans.values()]
    assert not [study.label.mask for study in found.studies if "/AI/" in (study.label.mask or "")]
    assert not [path for path in taken for word in ("bias", "strip", "copies", "masks/") if word in path]


BRAIN_CHANNELS = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}


@pytest.mark.parametrize(
    ("listed", "names", "volumes", "scans"),
    [
        (  # a name of a case says nothing of its channels
            {"channel_names": {"0": "CT", "1": "PET"}},
            ["images{0}/fdg_{1}_03-23-2003-NA-PET_0000", "images{0}/fdg_{1}_03-23-2003-NA-PET_0001"],
            1,
            {"CT": "_0000.nii.gz", "PET": "_0001.nii.gz"},
        ),
        (
            {"modality": BRAIN_CHANNELS},
            ["images{0}/fdg_{1}_03-23-2003-NA-PET"],
            4,
            {"FLAIR": "#1", "T1": "#2", "T1c": "#3", "T2": "#4"},
        ),
        ({"modality": {"0": "CT"}}, ["images{0}/fdg_{1}_03-23-2003-NA-PET"], 1, {"CT": ".nii.gz"}),
    ],
)
def test_a_data_set_of_nnunet_or_the_decathlon(tmp_path, listed, names, volumes, scans):
    for part, case in (("Tr", "1"), ("Ts", "2")):
        for name in [*names, *(["labelsTr/fdg_{1}_03-23-2003-NA-PET"] if part == "Tr" else [])]:
            count = 1 if name.startswith("labels") else volumes
            image = MetaTensor(
                torch.arange(1.0, 1 + count)[:, None, None, None].expand(-1, 4, 4, 4), affine=torch.eye(4)
            )
            write_nifti(tmp_path / "liver" / f"{name.format(part, case)}.nii.gz", image)
    (tmp_path / "liver" / "dataset.json").write_text(json.dumps(listed))
    first, second = scan(tmp_path).studies
    assert (first.subject, second.subject) == ("liver-fdg_1_03-23-2003-NA-PET", "liver-fdg_2_03-23-2003-NA-PET")
    assert bool(first.label)
    assert not second.label
    for study in (first, second):
        assert list(study.scans) == list(scans)
        assert all(study.scans[name].path.endswith(end) for name, end in scans.items())
    if volumes > 1:
        assert float(read_image(first.scans["T1"].source, "T1").mean()) == 2


def test_a_list_that_pairs_labels_of_other_names_with_images(tmp_path):
    for name in ("imagesTr/img1", "imagesTr/img2", "labelsTr/label1", "labelsTr/label2"):
        image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
        write_nifti(tmp_path / f"{name}.nii.gz", image)
    pairs = [{"image": f"./imagesTr/img{n}.nii.gz", "label": f"./labelsTr/label{n}.nii.gz"} for n in (1, 2)]
    (tmp_path / "dataset.json").write_text(json.dumps({"modality": {"0": "CT"}, "training": pairs}))
    studies = scan(tmp_path).studies
    assert [(study.subject, study.label.mask) for study in studies] == [
        (f"img{n}", str(tmp_path / "labelsTr" / f"label{n}.nii.gz")) for n in (1, 2)
    ]


@pytest.mark.parametrize("content", ["{", "[]", '{"modality": {"1": "CT"}}', '{"channel_names": {"0": "MRI"}}'])
def test_a_list_of_channels_that_tells_nothing(tmp_path, content):
    image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
    write_nifti(tmp_path / "imagesTr" / "brain_1.nii.gz", image)
    write_nifti(tmp_path / "anna" / "T1.nii.gz", image)
    (tmp_path / "dataset.json").write_text(content)
    assert [study.subject for study in scan(tmp_path).studies] == ["anna"]


def test_diffusion_volumes_that_are_counted_from_zero(tmp_path):
    for name in ("T1", "DTI-00", "DTI-01"):
        image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
        write_nifti(tmp_path / "IXI002" / f"IXI002-Guys-0828-{name}.nii.gz", image)
    (study,) = scan(tmp_path).studies
    assert list(study.scans) == ["T1"]
    assert "one of 2 diffusion volumes" in study.decisions[1].reason


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("x_t1 x_t2 y_t1 y_t2", True),
        ("t1 t2 t1_brain t2_brain", False),
        ("t1 t2 1_t1", False),
    ],
)
def test_two_sets_of_scans_beside_each_other_are_said(tmp_path, names, said):
    for patient, name in product(("training01", "training02"), names.split()):
        image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
        write_nifti(tmp_path / "training" / patient / "orig" / f"{patient}_{name}.nii.gz", image)
    doubts = [doubt for doubt in scan(tmp_path).doubts if "has T1, T2 twice in" in doubt]
    assert len(doubts) == 2 * said


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("T1_pre T1_post FLAIR_pre FLAIR_post", "FLAIR"),
        ("pre_T2 post_T2 pre_T1ce post_T1ce", "T1c, T2"),
        ("T1_pre T1_post FLAIR", ""),
    ],
)
def test_that_pre_and_post_may_be_two_visits_is_said(tmp_path, names, said):
    for patient, name in product(("anna", "bob"), names.split()):
        write_nifti(tmp_path / patient / f"{name}.nii.gz", MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4)))
    found = scan(tmp_path)
    assert found.doubts == [
        f"sub-anna has {said} called pre and post, of which pre is taken, as in 1 more: if post is a later visit and "
        "tells no contrast agent, call them ses-1 and ses-2."
    ] * bool(said)
    for name, one in found.studies[0].scans.items():
        assert one.path.endswith("post.nii.gz") == (name == "T1c" and "T1_post" in names)


def test_visits_before_and_in_the_midst_of_radiotherapy(tmp_path):
    for patient, visit, name in product("12", ("preRT", "midRT"), ("T2", "mask")):
        image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
        write_nifti(tmp_path / patient / visit / f"{patient}_{visit}_{name}.nii.gz", image)
    studies = scan(tmp_path).studies
    assert [study.key for study in studies] == [
        f"sub-{who}_ses-{visit}" for who in "12" for visit in ("midrt", "prert")
    ]
    assert all(study.label for study in studies)
    assert list(scan(tmp_path, join=True).studies[0].scans) == ["T2@1", "T2@2"]
    assert "preRT" in scan(tmp_path, join=True).studies[0].scans["T2@1"].path


@pytest.mark.parametrize(
    ("folders", "first"),
    [
        (("11-23-2003-NA-PET-CT-42", "02-03-2004-NA-PET-CT-43"), "11-23-2003"),  # of an archive of America
        (("05.11.2003", "04.12.2003"), "05.11.2003"),
        (("02-25-2003", "01-26-2004"), "02-25-2003"),
    ],
)
def test_visits_by_dates_of_several_countries(tmp_path, folders, first):
    for folder, name in product(folders, ("CT", "SUV")):
        write_nifti(
            tmp_path / "P1" / folder / f"{name}.nii.gz", MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
        )
    studies = scan(tmp_path).studies
    assert [study.key for study in studies] == ["sub-P1_ses-1", "sub-P1_ses-2"]
    assert f"/{first}" in studies[0].scans["CT"].path


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("GLI-02005-100 GLI-02005-101 GLI-02006-100 GLI-02007-100", "GLI-02005-100, GLI-02005-101"),
        ("GLI-02005-100 GLI-02006-100 GLI-02007-100", ""),
        ("OAS1_0061_MR1 OAS1_0061_MR2 OAS1_0062_MR1 OAS1_0063_MR1", "OAS1_0061_MR1, OAS1_0061_MR2"),
        ("P1_20200101 P1_20210101 P2_20200301 P3", "P1_20200101, P1_20210101"),
        ("1-01 1-02 2-01 2-02", ""),  # of two hospitals
        ("TCGA-02-0006 TCGA-02-0009 TCGA-06-0006 TCGA-08-0006", ""),
    ],
)
def test_subjects_that_may_be_visits_of_one_patient_are_said(tmp_path, names, said):
    for name in names.split():
        write_nifti(tmp_path / name / "T1.nii.gz", MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4)))
    doubts = [doubt for doubt in scan(tmp_path).doubts if "may be visits" in doubt]
    assert [doubt.partition(" may be")[0] for doubt in doubts] == [said] * bool(said)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("1001_20252 1002_20252 1001_20253 1002_20253", True),
        ("1001_20252 1001_20254 1002_20252 1002_20254", False),  # which have T1 in common
        ("1001_20252 1001_20253 1002_20252", False),
    ],
)
def test_subjects_that_may_be_one_patients_scans_are_said(tmp_path, names, said):
    for name in names.split():
        kind = "FLAIR" if name.endswith("3") else "T1"
        write_nifti(tmp_path / name / f"{kind}.nii.gz", MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4)))
    assert [doubt for doubt in scan(tmp_path).doubts if "no modality in common" in doubt] == [
        "1001_20252, 1001_20253, as in 1 more have no modality in common: if they are one patient's, put them into one "
        "folder."
    ] * said


def test_a_folder_without_a_scan_that_can_be_used_is_no_patient(tmp_path):
    for kind, number, name in product(("ct", "mr"), ("p1", "p2"), ("image", "label")):
        image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
        write_nifti(tmp_path / f"{kind}_train" / f"{kind}_train_{number}_{name}.nii.gz", image)
    assert "mr" not in " ".join(study.subject for study in scan(tmp_path).studies)


def test_a_mask_of_which_nothing_tells_what_it_shows_is_said(tmp_path):
    for patient, name in product(("1BA001", "1BA005"), ("ct", "mask")):
        image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
        write_nifti(tmp_path / patient / f"{name}.nii.gz", image)
    assert scan(tmp_path).doubts == [
        "sub-1BA001 has the label mask.nii.gz, of which nothing says what it shows, as in 1 more: if it is the body or "
        "the brain, take it out or call it brain_mask."
    ]


def test_native_scans_go_before_those_in_a_standard_space(tmp_path):
    """As HCP has them."""
    names = "MNINonLinear/T1w MNINonLinear/T2w_restore T1w/T1w_acpc_dc_restore_brain T1w/T1w_acpc_dc T1w/T2w_acpc_dc"
    for name in names.split():
        image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
        write_nifti(tmp_path / "100307" / f"{name}.nii.gz", image)
    (study,) = scan(tmp_path).studies
    assert {name: one.path.partition("100307/")[2] for name, one in study.scans.items()} == {
        "T1": "T1w/T1w_acpc_dc.nii.gz",
        "T2": "T1w/T2w_acpc_dc.nii.gz",
    }


def test_numbers_of_two_lists_are_no_patients_in_common(make_series, tmp_path):
    """As CHAOS has CT of some people and MR of others, each counted from 1."""
    for modality, number in product(("CT", "MR"), range(1, 11)):
        uid = f"1.2.{number}.{modality == 'CT':d}"
        words = {"MR": "t2 tse"}.get(modality, "")
        name = f"ward/Train_Sets/{modality}/{number}"
        make_series(name, modality=modality, slices=3, PatientID="", StudyInstanceUID=uid, SeriesDescription=words)
    found = scan(tmp_path / "ward")
    assert sorted(one for study in found.studies for one in study.scans) == ["CT"] * 10 + ["T2"] * 10
    assert len(found.studies) == 20
    assert any(
        "Train_Sets/CT/1 and Train_Sets/MR/1 are taken as two patients', as in 9 more" in d for d in found.doubts
    )


def test_several_labels_are_said(tmp_path):
    for patient, name in product(("s0011", "s0012"), ("ct", "segmentations/liver", "segmentations/aorta")):
        image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
        write_nifti(tmp_path / patient / f"{name}.nii.gz", image)
    assert scan(tmp_path).doubts == [
        "sub-s0011 has 2 labels, of which s0011/segmentations/aorta.nii.gz is taken, as in 1 more: name the one that "
        "is meant, as 'mask' of the label in the manifest."
    ]


def test_a_label_of_a_reader_goes_before_one_of_a_program(tmp_path):
    for name in ("T1", "automated_segm/P01_automated_approx_segm", "images_segm/P01_segm"):
        image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
        write_nifti(tmp_path / "P01" / f"{name}.nii.gz", image)
    (study,) = scan(tmp_path).studies
    assert study.label.mask == str(tmp_path / "P01" / "images_segm" / "P01_segm.nii.gz")


def test_a_lesion_goes_before_a_mask_of_which_nothing_tells_what_it_shows(tmp_path):
    for name in ("T1w", "FLAIR", "T1w_mask", "FLAIR_lesion"):
        image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
        write_nifti(tmp_path / "sub-1" / "anat" / f"sub-1_{name}.nii.gz", image)
    (study,) = scan(tmp_path).studies
    assert study.label.drawn_on == "FLAIR"


def test_scans_that_lie_in_two_folders_of_which_one_is_not_used_are_said(tmp_path):
    for patient, folder, name in product(("anna", "bob"), ("scan1", "scan2"), ("T1", "FLAIR")):
        image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
        write_nifti(tmp_path / patient / folder / f"{name}.nii.gz", image)
    assert scan(tmp_path).doubts == [
        "sub-anna has FLAIR, T1 in anna/scan1 and in anna/scan2; anna/scan1 is taken, as in 1 more: if those are two "
        "visits, call them ses-1 and ses-2."
    ]


@pytest.mark.parametrize("suffix", ["Eq_1", "Tilt_1", "Tilt_Eq_1", "Eq"])
def test_what_a_converter_corrected_is_taken(tmp_path, suffix):
    for name in ("head_ct_3", f"head_ct_3_{suffix}"):
        image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
        write_nifti(tmp_path / "anna" / f"{name}.nii.gz", image)
    (study,) = scan(tmp_path).studies
    assert study.scans["CT"].path.endswith(f"_{suffix}.nii.gz")
    assert study.decisions[1].reason.endswith(f"head_ct_3_{suffix}.nii.gz is corrected")


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        ("anna/CT_bone anna/NCCT", "anna/NCCT"),
        ("anna/a_ct_sharp anna/b_ct", "anna/b_ct"),
        ("sub-1/sub-1_run-10_T1w sub-1/sub-1_run-2_T1w", "sub-1/sub-1_run-2_T1w"),
        ("sub-1/sub-1_rec-acdyn_pet sub-1/sub-1_rec-acstat_pet", "sub-1/sub-1_rec-acstat_pet"),
        ("anna/T1-copy anna/T1", "anna/T1"),
    ],
)
def test_of_several_the_usual_one_is_taken_wherever_it_comes_by_its_name(tmp_path, names, taken):
    for name in names.split():
        write_nifti(tmp_path / f"{name}.nii.gz", MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4)))
    (study,) = scan(tmp_path).studies
    ((_, found),) = study.scans.items()
    assert found.path == str(tmp_path / f"{taken}.nii.gz")


def test_the_kernel_of_a_ct_in_its_sidecar(tmp_path):
    for name, kernel in (("ct_a", "B70f"), ("ct_b", ["Br40d", "3"])):
        write_nifti(tmp_path / "anna" / f"{name}.nii.gz", MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4)))
        (tmp_path / "anna" / f"{name}.json").write_text(json.dumps({"Modality": "CT", "ConvolutionKernel": kernel}))
    assert scan(tmp_path).studies[0].scans["CT"].path.endswith("ct_b.nii.gz")


def test_a_name_whose_accents_are_written_in_two_ways_is_one(tmp_path):
    for form, name in (("NFC", "T1"), ("NFD", "FLAIR")):
        folder = tmp_path / unicodedata.normalize(form, "Müller")
        write_nifti(folder / f"{name}.nii.gz", MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4)))
    found = scan(tmp_path)
    assert [(study.key, sorted(study.scans)) for study in found.studies] == [("sub-Muller", ["FLAIR", "T1"])]


def test_several_tracers_are_said(tmp_path):
    for tracer in ("18FFDG", "11CPIB"):
        image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
        write_nifti(tmp_path / f"sub-1/pet/sub-1_trc-{tracer}_pet.nii.gz", image)
    assert scan(tmp_path).doubts == [
        "sub-1 has PET of 11CPIB, 18FFDG, of which one is taken: name the one that is meant."
    ]


def test_two_studies_of_a_subject_as_an_archive_exports_them(make_series, tmp_path):
    for study, day in (("1.2.1", "20000101"), ("1.2.2", "20000501")):
        for number, name in enumerate(("Ax T1", "Ax FLAIR"), start=2):
            folder = f"ward/LGG-1/{day}-MRI-{study}/{number}.000-{name}-111"
            make_series(folder, modality="MR", StudyInstanceUID=study, StudyDate=day, SeriesDescription=name)
    studies = scan(tmp_path / "ward").studies
    assert [(study.subject, study.session, sorted(study.scans)) for study in studies] == [
        ("LGG-1", "1", ["FLAIR", "T1"]),
        ("LGG-1", "2", ["FLAIR", "T1"]),
    ]


def test_slices_of_two_patients_in_one_folder(make_series, tmp_path):
    for name in ("anna", "bob"):
        folder = make_series(name, PatientID=name, StudyInstanceUID=f"1.2.{len(name)}")
        for file in folder.iterdir():
            (tmp_path / "ward").mkdir(exist_ok=True)
            file.rename(tmp_path / "ward" / f"{name}{file.name}")
    studies = scan(tmp_path / "ward").studies
    assert [len(study.scans["CT"].source) for study in studies] == [5, 5]


def test_of_dicom_and_what_was_converted_from_it_dicom_is_taken(make_series, tmp_path):
    series = make_series("ward/anna/z_dicom")
    image = read_image(str(series), "CT")
    write_nifti(tmp_path / "ward" / "anna" / "CT.nii.gz", image)
    (study,) = scan(tmp_path / "ward").studies
    assert study.scans["CT"].path == str(series)
