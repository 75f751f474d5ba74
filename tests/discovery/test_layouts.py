"""Folders laid out as public collections and converters leave them are scanned into the studies that they hold."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from monai.data import MetaTensor

from polyscan.discovery.scan import scan
from polyscan.formats.nifti import write_nifti

BRAIN = ["FLAIR", "T1", "T1c", "T2"]
# Names of files by subject and scan; the subjects, the scans; modalities of each study, and whether they have labels.
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
    "dcm2niix": ("{0}/{1}", "anna bob", "2_t1_mprage 3_t2_flair_ROI1 4_localizer", ["FLAIR", "T1"], False),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout(tmp_path, name):
    pattern, subjects, names, scans, labelled = LAYOUTS[name]
    for subject, one in product(subjects.split(), names.split()):
        image = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.eye(4))
        write_nifti(tmp_path / f"{pattern.format(subject, one)}.nii.gz", image)
    found = scan(tmp_path)
    assert [sorted(study.scans) for study in found.studies] == [scans, scans]
    assert [study.label.mask is not None for study in found.studies] == [labelled, labelled]
    assert not [one.path for study in found.studies for one in study.scans.values() if "bias" in one.path]


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
