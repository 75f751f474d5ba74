"""Downloads of public data sets, laid out as they come, map to studies; what is missing is said."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from polyscan.cli import main
from polyscan.discovery.datasets import match_download, read_dataset
from polyscan.errors import PolyscanError
from polyscan.modality import MODALITIES
from polyscan.study.manifest import read_manifest

KNOWN = sorted(path.stem for path in (Path(__file__).resolve().parents[2] / "data_manifests").glob("*.json"))
PICTURES = {"ham10000", "sipakmed", "nickparvar", "iq_othnccd"}


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.mark.parametrize("name", KNOWN)
def test_each_is_described_whole(name):
    dataset = read_dataset(name)
    assert dataset["access"].startswith("https://")
    bundle = Path(__file__).resolve().parents[2] / "bundles" / dataset["bundle"] / "configs" / "inference.json"
    config = json.loads(bundle.read_text())
    assert set(dataset.get("settings", {})) <= set(config)
    if name not in PICTURES:
        assert set(dataset["images"]) <= set(MODALITIES)
    for pattern in [*dataset["images"].values(), dataset.get("mask", "(?P<subject>)")]:
        groups = set(re.compile(pattern).groupindex)
        assert "subject" in groups or "subject" in dataset
    known = {"subject", "session", "split", *dataset.get("classes", {})}
    if "subject" not in dataset:
        assert {g for p in dataset["images"].values() for g in re.compile(p).groupindex} <= known


def test_the_ten_that_are_meant_are_there():
    wanted = (
        "adni autopet_fdg brats_2021 brats_2023_glioma ham10000 hecktor_2022 iq_othnccd nickparvar oasis_3 sipakmed"
    )
    assert set(wanted.split()) | {"ucsf_pdgm"} <= set(KNOWN)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("brats_2021", "BraTS2021_00000/<subject>_t1.nii.gz"),
        ("ucsf_pdgm", "UCSF-PDGM-0000_nifti/UCSF-PDGM-0000_T1_bias.nii.gz"),
        ("adni", "000_S_0000/*MP-RAGE*/0000-00-*/*/"),
        ("hecktor_2022", "imagesTr/A-0__CT.nii.gz"),
        ("nickparvar", "Training/glioma/*.jpg"),
    ],
)
def test_what_is_expected_is_told_as_a_person_would_write_it(name, path, tmp_path):
    with pytest.raises(PolyscanError, match=re.escape(f"paths such as {path}. Ask for")):
        match_download(read_dataset(name), tmp_path)


def test_brats(tmp_path):
    for number in range(7):
        stem = f"training/BraTS2021_{number:05d}/BraTS2021_{number:05d}"
        touch(tmp_path, *(f"{stem}_{kind}.nii.gz" for kind in ("t1", "t1ce", "t2", "flair", "seg")))
    (tmp_path / "training/BraTS2021_00003/BraTS2021_00003_t1ce.nii.gz").unlink()
    (tmp_path / "training/BraTS2021_00004/BraTS2021_00004_seg.nii.gz").unlink()
    manifest, missing = match_download(read_dataset("brats_2021"), tmp_path)
    assert len(manifest.training) == 7
    assert manifest.training[0].scans["T1c"].path.endswith("BraTS2021_00000_t1ce.nii.gz")
    assert manifest.training[0].label.drawn_on == "T1c"
    assert Counter(study.fold for study in manifest.training) == {0: 2, 1: 2, 2: 1, 3: 1, 4: 1}
    assert missing == [
        "sub-BraTS202100003 lacks T1c",
        "sub-BraTS202100004 lacks its mask",
        "7 subjects are there, 1251 belong to it",
    ]


def test_brats_2023_keeps_sessions_of_one_subject_in_one_fold(tmp_path):
    for study in ("00001-000", "00001-001", "00002-000"):
        stem = f"BraTS-GLI-{study}/BraTS-GLI-{study}"
        touch(tmp_path, *(f"{stem}-{kind}.nii.gz" for kind in ("t1n", "t1c", "t2w", "t2f", "seg")))
    manifest, missing = match_download(read_dataset("brats_2023_glioma"), tmp_path)
    assert [study.fold for study in manifest.training] == [0, 0, 1]
    assert not missing


def test_ucsf_pdgm_with_its_table(tmp_path):
    """Folders count subjects with four digits, the table with three."""
    for number in (4, 5, 7):
        stem = f"UCSF-PDGM-v3/UCSF-PDGM-{number:04d}_nifti/UCSF-PDGM-{number:04d}"
        kinds = ("T1_bias", "T1c_bias", "T2_bias", "FLAIR_bias", "ADC", "ASL", "tumor_segmentation", "DTI_eddy_FA")
        touch(tmp_path, *(f"{stem}_{kind}.nii.gz" for kind in kinds))
    table = "ID,Sex,Age at MRI,WHO CNS Grade,IDH\nUCSF-PDGM-004,M,66,4,wildtype\nUCSF-PDGM-005,F,,2,IDH1 p.R132H\n"
    (tmp_path / "UCSF-PDGM-metadata_v2.csv").write_text(table)
    manifest, missing = match_download(read_dataset("ucsf_pdgm"), tmp_path)
    first, second, third = manifest.training
    assert set(first.scans) == {"T1", "T1c", "T2", "FLAIR", "ADC", "CBF"}
    assert (first.label.tasks["grade"], first.label.tasks["IDH"], first.clinical) == (
        4,
        "wildtype",
        {"age": 66, "sex": "M"},
    )
    assert (second.label.tasks["IDH"], second.clinical) == ("mutated", {"sex": "F"})
    assert "grade" not in third.label.tasks
    assert missing == ["UCSF-PDGM-0007 is not in UCSF-PDGM-metadata_v2.csv"]


def test_hecktor_names_scans_and_masks_in_two_ways(tmp_path):
    touch(tmp_path, "imagesTr/CHUM-001__CT.nii.gz", "imagesTr/CHUM-001__PT.nii.gz", "labelsTr/CHUM_001.nii.gz")
    manifest, missing = match_download(read_dataset("hecktor_2022"), tmp_path)
    assert set(manifest.training[0].scans) == {"CT", "PET"}
    assert manifest.training[0].label.mask.endswith("CHUM_001.nii.gz")
    assert any("the table hecktor2022" in sentence for sentence in missing)


def test_autopet_adni_and_oasis(tmp_path):
    visit = "FDG-PET-CT-Lesions/PETCT_0011f3deaf/03-23-2003-NA-PET-CT Ganzkoerper-42966"
    touch(tmp_path / "a", *(f"{visit}/{name}.nii.gz" for name in ("CT", "CTres", "SUV", "PET", "SEG")))
    (study,) = match_download(read_dataset("autopet_fdg"), tmp_path / "a")[0].training
    assert [Path(one.path).name for one in study.scans.values()] == ["CT.nii.gz", "SUV.nii.gz"]
    series = "ADNI/002_S_0295/MP-RAGE/2006-04-18_08_20_30.0/I13722"
    touch(tmp_path / "b", f"{series}/a.dcm", f"{series}/b.dcm", "ADNI/002_S_0295/Axial_FLAIR/2006-04-18_08/I2/a.dcm")
    (tmp_path / "b" / "ADNIMERGE_1.csv").write_text("PTID,AGE,PTGENDER,DX_bl\n002_S_0295,84.8,Male,CN\n")
    (study,) = match_download(read_dataset("adni"), tmp_path / "b")[0].training
    assert study.scans["T1"].path == str(tmp_path / "b" / series)
    assert study.label.tasks == {"diagnosis": "CN"}
    touch(tmp_path / "c", "OAS30001_MR_d0129/anat2/sub-OAS30001_ses-d0129_T1w.nii.gz")
    (study,) = match_download(read_dataset("oasis_3"), tmp_path / "c")[0].training
    assert (study.subject, study.session) == ("OAS30001", "d0129")


def test_pictures_in_folders_of_classes(tmp_path):
    touch(
        tmp_path / "n", "Training/glioma/Tr-gl_0010.jpg", "Training/notumor/Tr-no_0010.jpg", "Testing/pituitary/a.jpg"
    )
    manifest, _ = match_download(read_dataset("nickparvar"), tmp_path / "n")
    assert [study.label.tasks["tumour"] for study in manifest.training] == ["glioma", "none"]
    assert [study.label.tasks["tumour"] for study in manifest.testing] == ["pituitary"]
    touch(tmp_path / "q", "The IQ-OTHNCCD lung cancer dataset/Bengin cases/Bengin case (1).jpg")
    (study,) = match_download(read_dataset("iq_othnccd"), tmp_path / "q")[0].training
    assert study.label.tasks == {"lung": "benign"}
    cells = ("im_Koilocytotic/im_Koilocytotic/CROPPED/001_01.bmp", "im_Koilocytotic/im_Koilocytotic/CROPPED/001_02.bmp")
    touch(tmp_path / "s", *cells, "im_Parabasal/im_Parabasal/CROPPED/001_01.bmp", "im_Parabasal/im_Parabasal/001.bmp")
    manifest, _ = match_download(read_dataset("sipakmed"), tmp_path / "s")
    assert [(s.label.tasks["cell"], s.fold) for s in manifest.training] == [
        ("koilocytotic", 0),
        ("koilocytotic", 0),
        ("parabasal", 1),
    ]


def test_images_of_one_lesion_stay_in_one_fold(tmp_path):
    touch(tmp_path, *(f"HAM10000_images_part_{k % 2 + 1}/ISIC_{k:07d}.jpg" for k in range(4)))
    rows = [f"HAM_{k // 2},ISIC_{k:07d},{'mel' if k < 2 else 'nv'},histo,{60 + k},male,back" for k in range(4)]
    header = "lesion_id,image_id,dx,dx_type,age,sex,localization"
    (tmp_path / "HAM10000_metadata.csv").write_text("\n".join([header, *rows]) + "\n")
    manifest, missing = match_download(read_dataset("ham10000"), tmp_path)
    assert [(s.label.tasks["skin"], s.fold) for s in manifest.training] == [
        ("mel", 0),
        ("mel", 0),
        ("nv", 1),
        ("nv", 1),
    ]
    assert missing == ["4 subjects are there, 10015 belong to it"]


def test_the_command_says_what_is_missing_and_writes_a_manifest(tmp_path, capsys):
    touch(tmp_path / "d", *(f"BraTS2021_00001/BraTS2021_00001_{kind}.nii.gz" for kind in ("t1", "t2", "flair")))
    assert main(["dataset", "brats_2021", str(tmp_path / "d"), "-o", str(tmp_path / "m.json")]) == 0
    out, err = capsys.readouterr()
    assert "Please cite: Baid U et al." in out
    assert "missing: sub-BraTS202100001 lacks T1c, its mask" in err
    assert read_manifest(tmp_path / "m.json").training[0].subject == "BraTS2021_00001"
    (tmp_path / "empty").mkdir()
    assert main(["dataset", "brats_2021", str(tmp_path / "empty")]) == 1
    assert "Ask for the data at https://www.synapse.org" in capsys.readouterr().err
    with pytest.raises(PolyscanError, match="no data set that comes with polyscan: adni, autopet_fdg"):
        read_dataset("none")
