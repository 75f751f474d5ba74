"""Patients whose folders do not lie right under the scanned one are told apart, and nobody's scans are mixed."""

import nibabel
import numpy as np
import pytest

from polyscan.discovery.scan import scan


def studies(folder, *paths):
    slices: dict[str, int] = {}
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        # The last has most slices, and would be taken for all.
        count = slices.setdefault(str((folder / path).parent), 4 + len(slices))
        nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, count), np.float32), np.eye(4)), folder / path)
    found = scan(folder)
    return {
        study.key: sorted(str(one.source).removeprefix(f"{folder}/") for one in study.scans.values())
        for study in found.studies
    }, found.doubts


def of(folder, *names, kinds=("T1", "FLAIR")):
    return [f"{folder}/{name}/{kind}.nii.gz" for name in names for kind in kinds]


def test_patients_of_a_group_are_told_apart(tmp_path):
    found, doubts = studies(tmp_path, *of("HGG", "anna", "bob"), *of("LGG", "carl", "dora"))
    assert set(found) == {"sub-anna", "sub-bob", "sub-carl", "sub-dora"}
    assert found["sub-bob"] == ["HGG/bob/FLAIR.nii.gz", "HGG/bob/T1.nii.gz"]
    assert any("HGG holds several patients by the names in it: anna, bob" in doubt for doubt in doubts)


def test_names_that_two_groups_use_are_two_patients(tmp_path):
    found, _ = studies(tmp_path, *of("train", "001", "002"), *of("test", "001", "003"))
    assert len(found) == 4
    assert all(len({path.rsplit("/", 1)[0] for path in paths}) == 1 for paths in found.values())


def test_groups_in_groups(tmp_path):
    found, _ = studies(tmp_path, *of("train/HGG", "anna", "bob"), *of("train/LGG", "carl", "dora"))
    assert set(found) == {"sub-anna", "sub-bob", "sub-carl", "sub-dora"}


def test_modality_first(tmp_path):
    paths = [f"{kind}/{name}/{kind}.nii.gz" for kind in ("T1", "FLAIR") for name in ("anna", "bob")]
    found, _ = studies(tmp_path, *paths)
    assert found == {f"sub-{name}": [f"FLAIR/{name}/FLAIR.nii.gz", f"T1/{name}/T1.nii.gz"] for name in ("anna", "bob")}


def test_files_beside_each_other(tmp_path):
    paths = [f"{name}_{kind}.nii.gz" for name in ("anna", "bob") for kind in ("T1", "FLAIR")]
    found, _ = studies(tmp_path, *paths)
    assert found == {f"sub-{name}": [f"{name}_FLAIR.nii.gz", f"{name}_T1.nii.gz"] for name in ("anna", "bob")}


def test_masks_go_with_their_patient(tmp_path):
    studies(tmp_path, *of("HGG", "anna", "bob", kinds=("T1", "FLAIR", "seg")))
    found = scan(tmp_path)
    assert {study.key: str(study.label.mask).split("/")[-2] for study in found.studies} == {
        "sub-anna": "anna",
        "sub-bob": "bob",
    }


@pytest.mark.parametrize(
    "paths",
    [
        of("anna", "3_T1_mprage", "5_FLAIR", "9_T1_mprage", kinds=("T1", "FLAIR")),
        [f"anna/scans/{number}/NIFTI/{kind}.nii.gz" for number, kind in ((2, "T1"), (3, "FLAIR"), (7, "T1"))],
        of("anna", "native", "preproc_bet"),
        ["anna/T1.nii.gz", "anna/FLAIR.nii.gz", "anna/T1_old.nii.gz"],
        ["anna/MPRAGE/2006-04-18_08_20_30.0/I1/a_T1.nii.gz", "anna/MPRAGE/2007-05-18_08_20_30.0/I2/a_T1.nii.gz"],
    ],
)
def test_series_and_versions_of_one_patient_stay_one(tmp_path, paths):
    paths = [*paths, *(path.replace("anna", "bob") for path in paths)]
    found, doubts = studies(tmp_path, *paths)
    assert set(found) <= {"sub-anna", "sub-bob"}
    assert not doubts


def test_visits_stay_sessions(tmp_path):
    found, _ = studies(tmp_path, *of("anna", "visit1", "visit2"), *of("bob", "visit1", "visit2"))
    assert set(found) == {"sub-anna_ses-1", "sub-anna_ses-2", "sub-bob_ses-1", "sub-bob_ses-2"}


def test_bids_is_as_it_says(tmp_path):
    paths = [f"sub-{name}/anat/sub-{name}_{kind}.nii.gz" for name in ("01", "02") for kind in ("T1w", "FLAIR")]
    found, doubts = studies(tmp_path, *(f"derivatives/x/{path}" for path in paths), *paths)
    assert set(found) == {"sub-01", "sub-02"}
    assert not doubts
