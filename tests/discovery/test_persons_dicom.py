"""Whose scans are in DICOM: by PatientID, and by folders where that tells nothing or too little."""

from __future__ import annotations

import pydicom
import pytest

from polyscan.discovery.scan import scan


def dicom(make_series, folder, patient, study, **common):
    make_series(f"ward/{folder}", PatientID=patient, StudyInstanceUID=study, **common)


def found_in(folder):
    found = scan(folder)
    return {study.key: sorted(study.scans) for study in found.studies}, found.doubts


def test_patients_of_a_group_of_dicom_are_named_by_their_folders(make_series, tmp_path):
    for number, name in enumerate(("anna", "bob")):
        dicom(make_series, f"HGG/{name}/CT", f"P{number}X", f"1.2.{number}")
        dicom(make_series, f"HGG/{name}/PET", f"P{number}X", f"1.2.{number}")
    found, doubts = found_in(tmp_path / "ward")
    assert found == {"sub-anna": ["CT"], "sub-bob": ["CT"]}
    assert not doubts


@pytest.mark.parametrize(("folders", "said"), [(("anna", "bob"), True), (("archive",), False)])
def test_visits_that_were_made_anonymous_one_by_one_may_be_one_patients(make_series, tmp_path, folders, said):
    for number, name in enumerate(folders):
        for visit, day in enumerate(("20260101", "20260701")):
            dicom(make_series, f"{name}/{day}", f"ID{number}{visit}7", f"1.2.{number}.{visit}", StudyDate=day)
    found, doubts = found_in(tmp_path / "ward")
    assert len(found) == 2 * len(folders)
    assert any("though one folder holds them, as in 1 more: if they are one" in each for each in doubts) == said


@pytest.mark.parametrize("identifier", ["", "ANONYMOUS"])
def test_patients_of_a_group_without_patient_id_are_told_apart(make_series, tmp_path, identifier):
    dicom(make_series, "HGG/anna/series", identifier, "1.2.1")
    mr = {"modality": "MR", "SeriesDescription": "T1 mprage"}
    dicom(make_series, "HGG/bob/series", identifier, "1.2.2", **mr)  # would make one study with anna's CT
    found, doubts = found_in(tmp_path / "ward")
    assert found == {"sub-anna": ["CT"], "sub-bob": ["T1"]}
    assert "HGG holds several patients by the names in it: anna, bob" in doubts[0]


def test_headers_that_contradict_each_other_are_two_patients(make_series, tmp_path):
    dicom(make_series, "HGG/a1", "SHARED7", "1.2.1", PatientBirthDate="19500101")
    dicom(make_series, "HGG/b2", "SHARED7", "1.2.2", PatientBirthDate="19600101")
    found, doubts = found_in(tmp_path / "ward")
    assert set(found) == {"sub-a1", "sub-b2"}
    assert "whose headers name several birth dates or sexes" in doubts[0]


def test_numbers_without_patient_id_are_said_to_be_taken_as_one(make_series, tmp_path):
    dicom(make_series, "HGG/31", "", "1.2.1")
    dicom(make_series, "HGG/32", "", "1.2.2")
    found, doubts = found_in(tmp_path / "ward")
    assert set(found) == {"sub-HGG_ses-1", "sub-HGG_ses-2"}  # never one study
    assert "HGG is taken as one patient's, with studies from 31, 32" in doubts[0]


def test_numbered_patients_without_patient_id_are_told_apart(make_series, tmp_path):
    for number in (1, 2):
        dicom(make_series, f"HGG/000{number}/series", "ANON", f"1.2.{number}")
    found, doubts = found_in(tmp_path / "ward")
    assert found == {"sub-0001": ["CT"], "sub-0002": ["CT"]}
    assert "HGG holds several patients by the names in it: 0001, 0002" in doubts[0]


@pytest.mark.parametrize("names", [("2020-01-01", "2021-01-01"), ("M00", "M06"), ("baseline", "followup")])
def test_dates_without_patient_id_stay_one_patients(make_series, tmp_path, names):
    for number, name in enumerate(names):
        dicom(make_series, f"HGG/{name}/series", "ANON", f"1.2.{number}")
    assert {key.partition("_")[0] for key in found_in(tmp_path / "ward")[0]} == {"sub-HGG"}


def test_patient_ids_are_believed_whatever_folders_are_called(make_series, tmp_path):
    for number in (1, 2):
        dicom(make_series, f"anna/000{number}/series", "P77", f"1.2.{number}")
    found, doubts = found_in(tmp_path / "ward")
    assert set(found) == {"sub-anna_ses-1", "sub-anna_ses-2"}
    assert not doubts


@pytest.mark.parametrize(
    "folders",
    [("anna/T1", "anna/FLAIR"), ("anna/ses-1/CT", "anna/ses-2/CT"), ("anna/run-1", "anna/AXIAL_T1")],
)
def test_series_of_one_patient_without_patient_id_stay_one(make_series, tmp_path, folders):
    for number, folder in enumerate(folders):
        dicom(make_series, folder, "", f"1.2.{number}")
    found, doubts = found_in(tmp_path / "ward")
    assert {key.partition("_")[0] for key in found} == {"sub-anna"}
    assert not doubts


def test_a_patient_with_an_id_keeps_the_studies_of_all_folders(make_series, tmp_path):
    dicom(make_series, "anna/first visit", "P77", "1.2.1")
    dicom(make_series, "anna/later", "P77", "1.2.2")
    found, doubts = found_in(tmp_path / "ward")
    assert set(found) == {"sub-anna_ses-1", "sub-anna_ses-2"}
    assert not doubts


def test_names_that_two_groups_of_dicom_use_are_two_patients(make_series, tmp_path):
    for number, folder in enumerate(("HGG/001", "HGG/002", "LGG/001", "LGG/003")):
        dicom(make_series, folder, f"P{number}X", f"1.2.{number}")
    found, _ = found_in(tmp_path / "ward")
    assert set(found) == {"sub-HGG001", "sub-002", "sub-LGG001", "sub-003"}


def test_patients_whose_files_lie_in_one_folder_are_numbered(make_series, tmp_path):
    for number in range(2):
        for path in make_series(f"other{number}", PatientID=f"P{number}X", StudyInstanceUID=f"1.2.{number}").iterdir():
            (tmp_path / "ward" / "box").mkdir(parents=True, exist_ok=True)
            path.rename(tmp_path / "ward" / "box" / f"{number}_{path.name}")
    assert set(found_in(tmp_path / "ward")[0]) == {"sub-box1", "sub-box2"}


@pytest.mark.parametrize("offset", [0, 1.5, 15])
def test_folders_of_two_names_are_two_patients_though_all_uids_are_one(make_series, tmp_path, offset):
    """Careless de-identification: their slices would interleave in one volume."""
    same = {"SeriesInstanceUID": "1.9", "FrameOfReferenceUID": "1.8"}
    dicom(make_series, "anna/CT", "X", "1.2.1", **same)
    position = lambda k, ds: setattr(ds, "ImagePositionPatient", [-10, -20, 3 * k + offset])  # noqa: E731
    dicom(make_series, "bob/CT", "X", "1.2.1", **same, RescaleIntercept=5, change=position)
    found, (doubt,) = found_in(tmp_path / "ward")
    assert found == {"sub-anna": ["CT"], "sub-bob": ["CT"]}
    assert doubt.startswith("sub-anna and sub-bob are several patients") or doubt.startswith("anna and bob are several")


def test_parts_of_one_series_in_two_folders_are_one(make_series, tmp_path):
    folder = make_series("ward/anna/part1")
    (tmp_path / "ward/anna/part2").mkdir()
    for file in sorted(folder.iterdir())[:3]:
        file.rename(tmp_path / "ward/anna/part2" / file.name)
    (study,) = scan(tmp_path / "ward").studies
    assert len(study.scans["CT"].source) == 5
    (decision,) = study.decisions
    assert decision.reason.endswith("its slices lie in 2 folders")
    first, _, more = decision.series.partition(" and ")
    assert more == "4 more"
    assert str(tmp_path / "ward" / first) == study.scans["CT"].source[0]


def test_studies_in_the_scanned_folder_itself_are_said_to_be_taken_as_one(make_series, tmp_path):
    make_series("ward", PatientID="", StudyInstanceUID="1.2.1")
    for file in list((tmp_path / "ward").iterdir()):
        file.rename(file.with_name(f"ct{file.name}"))
    make_series("ward", PatientID="", StudyInstanceUID="1.2.2", modality="MR", SeriesDescription="T1 mprage")
    found, (doubt,) = found_in(tmp_path / "ward")
    assert found == {"sub-ward": ["CT", "T1"]}
    assert doubt.startswith("The 2 studies that lie in the scanned folder itself are taken as one patient's")


def test_patients_in_the_folders_of_their_modalities_have_their_names(make_series, tmp_path):
    for number, name in enumerate(("anna", "bob")):
        dicom(make_series, f"CT/{name}", f"P{number}X", f"1.2.{number}")
        dicom(make_series, f"MR/{name}", f"P{number}X", f"1.3.{number}", modality="MR", SeriesDescription="T1")
    assert found_in(tmp_path / "ward")[0] == {"sub-anna": ["CT", "T1"], "sub-bob": ["CT", "T1"]}


def test_a_label_with_another_patient_id_is_of_the_one_who_has_scans_beside_it(make_series, tmp_path):
    dicom(make_series, "anna/ct", "ANON-1", "1.2.1")
    ct = pydicom.dcmread(next((tmp_path / "ward/anna/ct").iterdir()))
    drawn = {"Modality": "RTSTRUCT", "ReferencedFrameOfReferenceSequence": [of_series(ct.SeriesInstanceUID)]}
    dicom(make_series, "anna/rs", "MRN77", "1.2.1", slices=1, change=lambda k, ds: ds.pop("Rows"), **drawn)
    dicom(make_series, "bob/ct", "ANON-2", "1.2.2")
    anna, bob = scan(tmp_path / "ward").studies
    assert (anna.key, anna.label.drawn_on, bob.key, bob.label.mask) == ("sub-anna", "CT", "sub-bob", None)


@pytest.mark.parametrize(
    ("names", "keys"), [("P01 P02", ["sub-P01", "sub-P02"]), ("case-1 case-2", ["sub-case1", "sub-case2"])]
)
def test_numbered_patients_to_whom_one_study_was_given(make_series, tmp_path, names, keys):
    for number, name in enumerate(names.split()):
        dicom(make_series, name, "anonymous", "1.2.1", RescaleIntercept=number)
    found, (doubt,) = found_in(tmp_path / "ward")
    assert list(found) == keys
    assert "several patients by the names of their folders, though their headers name one study" in doubt


def test_folders_of_numbers_alone_are_one_patient_by_their_study_and_it_is_said(make_series, tmp_path):
    for number, name in enumerate(("1", "2")):
        dicom(make_series, name, "anonymous", "1.2.1", RescaleIntercept=number)
    found, (doubt,) = found_in(tmp_path / "ward")
    assert len(found) == 1
    assert doubt.startswith("1, 2 are taken as one patient's")


@pytest.mark.parametrize(("above", "names"), [("", "1 2"), ("", "11 12"), ("data/", "1 2"), ("data/", "anna bob")])
def test_folders_of_several_scans_each_are_patients_to_whom_one_study_was_given(make_series, tmp_path, above, names):
    for number, name in enumerate(names.split()):
        for series in ("a", "b"):
            dicom(make_series, f"{above}{name}/{series}", "anonymous", "1.2.1", RescaleIntercept=number)
    found, doubts = found_in(tmp_path / "ward")
    assert list(found) == [f"sub-{name}" for name in names.split()]
    assert "several patients by the names of their folders" in doubts[-1]


@pytest.mark.parametrize(("modalities", "doubted"), [(("CT", "T1"), True), (("T1", "T2"), True), (("T1", "T1"), False)])
@pytest.mark.parametrize("above", ["anna/", ""])
def test_two_numbers_that_may_be_one_patient_are_said(make_series, tmp_path, above, modalities, doubted):
    """Two PatientIDs and two studies in one folder, where each lacks what the other has."""
    for number, name in enumerate(modalities):
        kind = {} if name == "CT" else {"modality": "MR", "SeriesDescription": name}
        dicom(make_series, f"{above}series{number}", f"H{number}X", f"1.2.{number}", **kind)
    found, doubts = found_in(tmp_path / "ward")
    assert sorted(found.values()) == [[name] for name in sorted(modalities)]
    assert any("are patients by their PatientID, though one folder holds" in doubt for doubt in doubts) is doubted


@pytest.mark.parametrize(("born", "count"), [("19500101", 1), ("19700101", 2)])
def test_scans_of_one_study_under_two_numbers_are_one_patients(make_series, tmp_path, born, count):
    dicom(make_series, "anna/ct", "H1", "1.2.1", PatientBirthDate="19500101")
    pet = {"modality": "PT", "CorrectedImage": ["ATTN"], "Units": "GML"}
    dicom(make_series, "anna/pet", "H2-91", "1.2.1", PatientBirthDate=born, **pet)
    assert len(found_in(tmp_path / "ward")[0]) == count


@pytest.mark.parametrize(
    ("identifier", "day", "description", "found"),
    [
        ("P7X", "20200101", "T2", {"sub-anna": ["T1", "T2"]}),
        ("P7X", "20200101", "T1", {"sub-anna_ses-1": ["T1"], "sub-anna_ses-2": ["T1"]}),
        ("P7X", "20200102", "T2", {"sub-anna_ses-1": ["T1"], "sub-anna_ses-2": ["T2"]}),
        ("", "20200101", "T2", {"sub-anna_ses-1": ["T1"], "sub-anna_ses-2": ["T2"]}),  # of whom, nothing tells
    ],
)
def test_two_studies_of_one_day_without_a_modality_in_common_are_one(
    make_series, tmp_path, identifier, day, description, found
):
    mr = {"modality": "MR", "FrameOfReferenceUID": "1.2.9"}
    dicom(make_series, "anna/1", identifier, "1.2.1", StudyDate="20200101", SeriesDescription="T1", **mr)
    mr |= {"StudyDate": day, "SeriesDescription": description, "PixelSpacing": [1, 1]}
    dicom(make_series, "anna/2", identifier, "1.2.2", **mr)
    assert found_in(tmp_path / "ward")[0] == found


def of_series(uid):
    study, series = pydicom.Dataset(), pydicom.Dataset()
    frame = pydicom.Dataset()
    series.SeriesInstanceUID, study.RTReferencedSeriesSequence = uid, [series]
    frame.RTReferencedStudySequence = [study]
    return frame


def test_files_with_a_study_each_are_one_study_and_said(make_series, tmp_path):
    own = {"StudyInstanceUID": "1.3.{}", "SeriesInstanceUID": "1.4.{}", "FrameOfReferenceUID": "1.5.{}"}

    def each(of):
        def change(k, ds):
            for name, uid in own.items():
                setattr(ds, name, uid.format(f"{of}.{k}"))

        return change

    mr = {"modality": "MR", "PatientID": "P1X", "StudyDate": "20200101"}
    kinds = {
        1: {"SeriesDescription": "t1_mprage", "SeriesTime": "1000", "AcquisitionTime": "100000"},
        2: {
            "SeriesDescription": "t2_tse",
            "SeriesTime": "1100",
            "ContrastBolusAgent": "Gadovist",
            "AcquisitionTime": "110000",
        },
        3: {"SeriesDescription": "t1_tse", "SeriesTime": "1200", "AcquisitionTime": "120000"},
    }
    for of, common in kinds.items():
        make_series(f"ward/anna/{of}", change=each(of), **mr, **common)
    make_series("ward/anna/later", change=each(4), **mr | {"StudyDate": "20210101"}, SeriesDescription="t2_tse")
    found = scan(tmp_path / "ward")
    assert {study.key: sorted(study.scans) for study in found.studies} == {
        "sub-anna_ses-1": ["T1", "T1c", "T2"],  # by what the study tells together
        "sub-anna_ses-2": ["T2"],
    }
    assert "StudyInstanceUID of its own" in " ".join(found.studies[0].scans["T1"].notes)
