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


@pytest.mark.parametrize(
    ("paths", "keys"),
    [
        (["anna_T1", "bob_T1"], "anna bob"),
        (["anna_T1", "anna_FLAIR", "bob_T1"], "anna bob"),
        (["anna_T1", "anna_2_T1", "bob_T1"], "anna bob"),
        (["Anna_T1", "anna_FLAIR", "bob_T1", "Bob_FLAIR"], "Anna Bob"),
        (["0001_T1", "0001_seg", "0002_T1", "0002_seg"], "0001 0002"),
        (["HGG/0001_T1", "HGG/0002_T1"], "0001 0002"),
        (["IXI002-Guys-0828-T1", "IXI012-HH-1211-T1"], "IXI002Guys0828 IXI012HH1211"),
        (["OAS1_0001_MR1_T1", "OAS1_0002_MR1_T1"], "OAS10001 OAS10002"),
        (["imagesTr/CT_001", "imagesTr/CT_002"], "001 002"),
        (["P01_M00_T1", "P01_M06_T1", "P02_M00_T1"], "P01_ses-m00 P01_ses-m06 P02"),
    ],
)
def test_files_beside_each_other_that_share_one_modality(tmp_path, paths, keys):
    found, doubts = studies(tmp_path, *(f"{path}.nii.gz" for path in paths))
    assert set(found) == {f"sub-{key}" for key in keys.split()}
    assert "holds several patients by the names in it" in doubts[0]


@pytest.mark.parametrize("paths", [["anna_T1", "bob_CT"], ["T1_anna", "T1_bob"], ["P1_T1", "P2_T1"]])
def test_files_that_may_be_of_several_patients_are_said(tmp_path, paths):
    found, doubts = studies(tmp_path, *(f"ward/{path}.nii.gz" for path in paths))
    assert set(found) == {"sub-ward"}
    assert "ward is taken as one patient's" in doubts[0]


@pytest.mark.parametrize(
    "names",
    [
        ["T1_01", "T1_02"],
        ["HFS_t1_fl2d_sag", "HFP_t1_fl2d_sag"],  # how somebody lay
        ["003_T1_mprage", "005_FLAIR", "009_T1_mprage"],
        ["anna_T1_mprage_20200101120000_3", "anna_T1_mprage_20200101120000_9"],
        ["anna_FLAIR_20200101120000_5", "anna_T1_mprage_20200101120000_9"],
    ],
)
def test_files_of_one_patient_beside_each_other(tmp_path, names):
    found, doubts = studies(tmp_path, *(f"anna/{name}.nii.gz" for name in names))
    assert set(found) == {"sub-anna"}
    assert not doubts


def test_two_sets_of_scans_that_are_mixed_are_said(tmp_path):
    studies(tmp_path, *of("anna", "scan1", "scan2"))
    finer = nibabel.Nifti1Image(np.ones((4, 4, 9), np.float32), np.diag([0.5, 0.5, 0.5, 1]))
    nibabel.save(finer, tmp_path / "anna/scan1/T1.nii.gz")
    (said,) = scan(tmp_path).doubts
    assert said.startswith("sub-anna is put together from anna/scan1 and anna/scan2, which hold FLAIR, T1 each.")


@pytest.mark.parametrize(
    "names",
    [
        "2020-01-01 2021-06-30",
        "20200101 20210630",
        "20200101120000 20210630093000",
        "2006-04-18_08_20_30.0 2007-05-18_08_20_30.0",
        "01.02.2020 03.04.2021",
        "2019 2020",
        "2019-05 2020-01",
    ],
)
def test_days_are_sessions_by_their_order(tmp_path, names):
    paths = [path for patient in ("anna", "bob") for path in of(patient, *names.split())]
    found, doubts = studies(tmp_path, *paths)
    assert {key: files[0].split("/")[1] for key, files in found.items()} == {
        f"sub-{patient}_ses-{k}": day for patient in ("anna", "bob") for k, day in enumerate(names.split(), start=1)
    }
    assert not doubts


@pytest.mark.parametrize("names", ["M00 M06", "week2 week12", "week-000-1 week-044", "preop postop", "before after"])
def test_visits_of_other_names_are_sessions_in_their_order(tmp_path, names):
    first, second = names.split()
    studies(tmp_path, *of("anna", first, second))
    assert len(scan(tmp_path).studies) == 2
    (study,) = scan(tmp_path, join=True).studies
    assert {key: one.path.split("/")[-2] for key, one in study.scans.items()} == {
        "FLAIR@1": first, "T1@1": first, "FLAIR@2": second, "T1@2": second,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("paths", "sessions"),
    [
        ("RHUH-0001/{0}/RHUH-0001_{0}_t1 RHUH-0001/{0}/RHUH-0001_{0}_flair RHUH-0002/t1", "0 1 2"),
        ("RHUH-0001/RHUH-0001_{0}_t1 RHUH-0001/RHUH-0001_{0}_flair RHUH-0002/t1", "0 1 2"),
        ("10001/10001_{0}_t2w 10001/10001_{0}_adc 10001/10001_{0}_adc_2 10002/t2w", "1000001 1000400"),
        ("ward/P12/orig/P12_{0}_flair ward/P12/orig/P12_{0}_t2 ward/P13/T1", "01 02"),
        ("P01/P01_{0}_T1", "V1 V2"),
        ("S01/S01_{0}_T1 S01/S01_{0}_FLAIR", "scan1 scan2"),
        ("anna/{0}_3_T1 anna/{0}_4_FLAIR", "V1 V2"),
        ("anna/{0}/T1", "t0 t1"),
        ("anna/{0}/T1", "T1 T2"),
    ],
)
def test_numbers_that_count_visits_of_one_patient_are_sessions_and_said(tmp_path, paths, sessions):
    every = [f"{path.format(visit)}.nii.gz" for path in paths.split() for visit in sessions.split()]
    found, doubts = studies(tmp_path, *dict.fromkeys(every))
    found = {key: files for key, files in found.items() if "_ses-" in key}
    assert len({key.partition("_ses-")[0] for key in found}) == 1
    for visit, files in zip(sessions.split(), found.values(), strict=True):
        assert files
        assert all(visit in path.removesuffix("T1.nii.gz") for path in files)
    assert any("differ in numbers only are taken as visits" in doubt for doubt in doubts)


@pytest.mark.parametrize("names", ["T1_1 T1_2", "003_T1 005_FLAIR 009_T1", "T1_2mm T2_2mm T1_1mm T2_1mm"])
def test_numbers_that_count_series_are_no_visits(tmp_path, names):
    found, doubts = studies(tmp_path, *(f"anna/{name}.nii.gz" for name in names.split()))
    assert set(found) == {"sub-anna"}
    assert not [doubt for doubt in doubts if "visits" in doubt]


@pytest.mark.parametrize(
    "groups",
    [
        "ISLES2015 ISLES2017",
        "controls patients",
        "ds000114 ds000115",
        "hospital1 hospital2",
        "Center_01 Center_07",
    ],
)
def test_numbers_in_folders_of_groups_are_patients(tmp_path, groups):
    found, _ = studies(tmp_path, *(path for group in groups.split() for path in of(group, "1", "2", "3")))
    assert len({key.partition("_ses-")[0] for key in found}) == 6


def test_scans_of_two_days_that_complement_each_other_are_one_study(tmp_path):
    found, _ = studies(tmp_path, "anna/T1_20200101.nii.gz", "anna/PET_SUV_20200103.nii.gz")
    assert set(found) == {"sub-anna"}
    found, _ = studies(tmp_path, "anna/T1_20200601.nii.gz")
    assert {key: len(files) for key, files in found.items()} == {
        "sub-anna_ses-1": 1,
        "sub-anna_ses-2": 1,
        "sub-anna_ses-3": 1,
    }


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
        [f"anna/{folder}/{kind}.nii.gz" for folder in ("scan1", "scan2") for kind in ("T1", "FLAIR")],
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


def test_one_modality_in_common_tells_persons_whose_names_are_words(tmp_path):
    found, doubts = studies(tmp_path, "HGG/anna/T1.nii.gz", "HGG/anna/FLAIR.nii.gz", "HGG/bob/T1.nii.gz")
    assert found == {
        "sub-anna": ["HGG/anna/FLAIR.nii.gz", "HGG/anna/T1.nii.gz"],
        "sub-bob": ["HGG/bob/T1.nii.gz"],
    }
    assert "HGG holds several patients by the names in it: anna, bob" in doubts[0]


@pytest.mark.parametrize(
    "names",
    [("0001", "0002", "0010"), ("P01", "P12"), ("case-7", "case-12"), ("UPENN_0001", "UPENN_0002"), ("07", "12")],
)
def test_one_modality_in_common_tells_patients_who_are_numbered(tmp_path, names):
    paths = of("HGG", *names, kinds=("T1",)) + of("LGG", *names[:2], kinds=("T1",))  # each group counts from one
    found, doubts = studies(tmp_path, *paths)
    assert sorted(files for files in found.values()) == sorted([path] for path in paths)
    assert f"HGG holds several patients by the names in it: {', '.join(sorted(names))}" in doubts[0]


def test_patients_who_are_numbered_below_a_folder_that_names_nobody(tmp_path):
    paths = of("nifti", "0001", "0002", kinds=("T1", "seg"))
    studies(tmp_path, *paths)
    found = scan(tmp_path).studies
    assert {study.key: str(study.label.mask).split("/")[-2] for study in found} == {
        "sub-0001": "0001",
        "sub-0002": "0002",
    }


@pytest.mark.parametrize(
    "names",
    [
        ("ses-1", "ses-2"),
        ("baseline", "followup"),
        ("visit1", "visit2"),
        ("2020-01-01", "2021-06-30"),
        ("2020_01", "2020_06"),
        ("20200101", "20210630"),
        ("20200101120000", "20210630120000"),
        ("01.02.2020", "03.04.2021"),
        ("2019", "2020"),
        ("M00", "M06", "M12"),
        ("run-1", "run-2"),
        ("scan1", "scan2"),
    ],
)
def test_visits_that_share_one_modality_stay_one_patients(tmp_path, names):
    paths = [path for patient in ("anna", "bob") for path in of(patient, *names, kinds=("T1",))]
    found, doubts = studies(tmp_path, *paths)
    assert {key.partition("_")[0] for key in found} == {"sub-anna", "sub-bob"}
    assert not doubts


@pytest.mark.parametrize("patients", [("0001", "0002"), ("patient1", "patient2"), ("P07", "P08")])
def test_numbers_in_the_folder_of_a_numbered_patient_are_series_or_visits(tmp_path, patients):
    found, doubts = studies(tmp_path, *[path for name in patients for path in of(name, "001", "002", kinds=("T1",))])
    assert set(found) == {f"sub-{name}" for name in patients}
    assert not doubts


@pytest.mark.parametrize("names", [("2", "7"), ("301", "401", "1201")])
def test_numbers_that_may_be_those_of_series_are_said(tmp_path, names):
    found, doubts = studies(tmp_path, *of("anna", *names, kinds=("T1",)))
    assert set(found) == {"sub-anna"}
    assert "anna is taken as one patient's, with scans from" in doubts[0]


def test_a_series_that_was_repeated_among_others_is_the_patients(tmp_path):
    paths = ["anna/0002/T1.nii.gz", "anna/0003/FLAIR.nii.gz", "anna/0007/T1.nii.gz"]
    found, _ = studies(tmp_path, *paths, *(path.replace("anna", "bob") for path in paths))
    assert set(found) == {"sub-anna", "sub-bob"}


def test_a_group_alone_below_another_folder(tmp_path):
    found, _ = studies(tmp_path, *of("export/HGG", "anna", "bob"))
    assert set(found) == {"sub-anna", "sub-bob"}


def test_files_of_a_group_beside_each_other(tmp_path):
    paths = [f"HGG/{name}_{kind}.nii.gz" for name in ("anna", "bob") for kind in ("T1", "FLAIR")]
    found, _ = studies(tmp_path, *paths)
    assert found == {f"sub-{name}": [f"HGG/{name}_FLAIR.nii.gz", f"HGG/{name}_T1.nii.gz"] for name in ("anna", "bob")}


def test_what_cannot_be_told_is_said_with_both_names(tmp_path):
    found, doubts = studies(tmp_path, "HGG/anna/T1.nii.gz", "HGG/bob/FLAIR.nii.gz")
    assert set(found) == {"sub-HGG"}
    assert "HGG is taken as one patient's, with scans from anna, bob, whose names do not tell" in doubts[0]


def test_patients_of_two_sites_may_have_one_name(tmp_path):
    found, _ = studies(
        tmp_path, *[f"site{site}/p{n}/{kind}.nii.gz" for site in (1, 2) for n in (1, 2) for kind in ("T1", "T2")]
    )
    assert {key: len(files) for key, files in found.items()} == {f"sub-site{s}p{n}": 2 for s in (1, 2) for n in (1, 2)}


def test_patients_of_two_sites_are_not_put_together_from_single_scans(tmp_path):
    paths = [f"site{site}/p{n}/T{site}.nii.gz" for site in (1, 2) for n in (1, 2)]
    found, _ = studies(tmp_path, *paths)
    assert sorted(files for files in found.values()) == [[path] for path in paths]


@pytest.mark.parametrize("name", ["source/crossmoda23_ukm_{}_ceT1.nii.gz", "Train_Sets/MR/{}/T2SPIR/T2SPIR.nii.gz"])
def test_many_that_are_counted_from_one_are_patients(tmp_path, name):
    found, _ = studies(tmp_path, *[name.format(number) for number in range(1, 13)])
    assert len(found) == 12
    few, doubts = studies(tmp_path / "few", *[name.format(number) for number in range(1, 4)])
    assert len(few) == 1
    assert "is taken as one patient's" in doubts[0]


def test_subjects_of_bids_of_two_data_sets_may_have_one_name(tmp_path):
    names = [f"sub-{n}/anat/sub-{n}_{kind}.nii.gz" for n in "12" for kind in ("T1w", "FLAIR")]
    mask = "siteA/derivatives/masks/sub-1/anat/sub-1_space-T1w_desc-lesion_mask.nii.gz"
    third = ["siteA/sub-3/anat/sub-3_T1w.nii.gz", "siteB/sub-3/anat/sub-3_FLAIR.nii.gz"]
    found, doubts = studies(tmp_path, *[f"site{site}/{name}" for site in "AB" for name in names], mask, *third)
    assert {key: len(files) for key, files in found.items() if key[-1] in "12"} == {
        f"sub-site{s}{n}": 2 for s in "AB" for n in "12"
    }
    assert all(len({path.split("/")[0] for path in files}) == 1 for files in found.values())
    assert "siteA, siteB hold subjects of one name (3)" in doubts[0]


@pytest.mark.parametrize("folders", ["rawdata preprocessed", "rawdata derivatives/x", "visit1 visit2", "MR PET"])
def test_parts_of_one_data_set_of_bids_are_one_patients(tmp_path, folders):
    found, _ = studies(tmp_path, *[f"{folder}/sub-1/anat/sub-1_T1w.nii.gz" for folder in folders.split()])
    assert {key.partition("_")[0] for key in found} == {"sub-1"}


@pytest.mark.parametrize("visits", ["visit1 visit2", "baseline followup"])
def test_visits_above_patients_are_their_sessions(tmp_path, visits):
    paths = [f"{visit}/p{n}/{kind}.nii.gz" for visit in visits.split() for n in (1, 2) for kind in ("T1", "T2")]
    found, _ = studies(tmp_path, *paths)
    assert {key.partition("_")[0] for key in found} == {"sub-p1", "sub-p2"}
    assert len(found) == 4
    assert all(len({path.split("/")[0] for path in files}) == 1 for files in found.values())


@pytest.mark.parametrize(
    ("groups", "names", "kinds"),
    [
        ("best/train/{kind} best/dev_in/{kind}", [f"{number}_{{kind}}_isovox" for number in range(1, 13)], "FLAIR T1"),
        ("data/train data/test", ["P001_{kind}", "P002_{kind}"], "T1"),
        ("hospitalA hospitalB", ["001_{kind}", "002_{kind}"], "FLAIR T1"),
        ("{kind}/AD {kind}/CN", ["001", "002"], "FLAIR T1"),
    ],
)
def test_files_of_many_patients_in_the_folder_of_a_group(tmp_path, groups, names, kinds):
    paths = [
        f"{group}/{name}.nii.gz".format(kind=kind)
        for group in groups.split()
        for name in names
        for kind in kinds.split()
    ]
    found, _ = studies(tmp_path, *paths)
    assert len(found) == 2 * len(names)
    assert all(len(files) == len(kinds.split()) for files in found.values())
    assert sorted(path for files in found.values() for path in files) == sorted(paths)


@pytest.mark.parametrize(
    "paths",
    [
        [
            "ward/10005/10005_1000005_t2.nii.gz",
            "ward/10005/10005_1000006_t2.nii.gz",
            "ward/10006/10006_1000007_t2.nii.gz",
        ],
        ["a/anna/tse_T1.nii.gz", "a/anna/fse_T1.nii.gz", "a/bob/tse_T1.nii.gz", "a/bob/fse_T1.nii.gz"],
    ],
)
def test_files_in_the_folder_of_a_patient_are_nobody_elses(tmp_path, paths):
    found, _ = studies(tmp_path, *paths)
    assert len(found) == 2


@pytest.mark.parametrize(
    ("pattern", "subjects"),
    [
        ("sub-P_{0}/anat/sub-P_{0}_{1}.nii.gz", "001 002"),
        ("sub-GE-{0}_{1}.nii.gz", "01 02"),
        ("{0}_sub-mm_{1}.nii.gz", "anna bob"),
        ("sub-{0}/wsub-{0}_{1}.nii.gz", "01 02"),
    ],
)
def test_subjects_that_are_called_nearly_as_in_bids(tmp_path, pattern, subjects):
    found, _ = studies(tmp_path, *(pattern.format(s, kind) for s in subjects.split() for kind in ("T1w", "FLAIR")))
    held = [sum(who in path for path in files) for files in found.values() for who in subjects.split()]
    assert sorted(held) == [0, 0, 2, 2]


def test_few_files_of_a_group_of_which_nothing_tells_whether_they_are_patients_are_said(tmp_path):
    paths = [f"best/{part}/{n}_{kind}.nii.gz" for part in ("train", "test") for n in (1, 2) for kind in ("T1", "FLAIR")]
    _, doubts = studies(tmp_path, *paths)
    assert "best/train is taken as one patient's, with scans from 1, 2, whose names do not tell" in " ".join(doubts)


@pytest.mark.parametrize(
    "paths",
    [
        [f"anna/{folder}/{kind}.nii.gz" for folder, kind in (("T1", "T1"), ("FLAIR", "FLAIR"), ("AXIAL_T1", "T1"))],
        ["anna/ses-1/T1.nii.gz", "anna/ses-1/FLAIR.nii.gz", "anna/run-2/T1.nii.gz"],
        ["anna/siemens/T1.nii.gz", "anna/recon/T1.nii.gz"],  # the same for every patient
        ["anna/2/T1.nii.gz", "anna/7/T1.nii.gz"],
        [f"anna/{name}_{kind}.nii.gz" for name in ("tse", "fse") for kind in ("T1", "T2")],
        [f"anna/{name}_{kind}.nii.gz" for name in ("left_breast", "right_breast") for kind in ("T1", "T2")],
        *(
            [f"anna/{folder}/{kind}.nii.gz" for folder in pair.split() for kind in ("T1", "FLAIR")]
            for pair in (
                "week0 week12",
                "day1 day2",
                "pre_op post_op",
                "preRT postRT",
                "before after",
                "Jan2020 March2021",
                "MR1 MR2",
                "exam1 exam2",
                "diagnosis relapse",
                "initial followup2",
                "test retest",
                "siteA siteB",
            )
        ),
        [f"anna/visit{number}_{kind}.nii.gz" for number in (1, 2) for kind in ("T1", "T2")],
    ],
)
def test_series_of_one_patient_are_nobody_elses(tmp_path, paths):
    paths = [*paths, *(path.replace("anna", "bob") for path in paths)]
    found, doubts = studies(tmp_path, *paths)
    assert {key.partition("_")[0] for key in found} == {"sub-anna", "sub-bob"}
    assert not doubts
