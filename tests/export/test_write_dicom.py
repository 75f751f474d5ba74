"""Predictions as DICOM objects: on the series voxel for voxel, however it lies, by our reader and by others."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from answers import ORIENTATIONS, REGIONS, check_standard, exported, placed, sorted_rows
from monai.data import MetaTensor
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset

from polyscan.cli import main
from polyscan.dicom.read import read_series
from polyscan.dicom.rtstruct import read_rtstruct
from polyscan.dicom.segmentation import read_segmentation
from polyscan.errors import PolyscanError
from polyscan.export.dicom import OBJECTS, apart, write_dicom
from polyscan.files.atomic import write_json
from polyscan.formats.nifti import write_nifti
from polyscan.geometry import FLIP, affine_of
from polyscan.study import Study, scans_of
from polyscan.study.manifest import Manifest, write_manifest
from polyscan.study.sources import Sources, write_sources

highdicom = pytest.importorskip("highdicom")


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_read_back_voxel_for_voxel(answered, tmp_path, orientation):
    study, sources, grid, mask = answered(orientation)
    files = exported(study, sources, tmp_path / "dicom", ["seg", "labelmap"])
    for name, values in REGIONS.items():
        np.testing.assert_array_equal(read_segmentation(files["seg"], grid, name), np.isin(mask, values))
    for name, values in apart(REGIONS).items():
        np.testing.assert_array_equal(read_segmentation(files["labelmap"], grid, name), np.isin(mask, values))
    # highdicom's own reader: a volume with an affine, whose axes are slice, row, column.
    volume = highdicom.seg.segread(files["seg"]).get_volume(combine_segments=False, allow_missing_positions=True)
    where = np.argwhere(volume.array[..., 0])
    points = where @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    voxels = np.argwhere(np.isin(mask[0], REGIONS["whole tumour"]))
    affine = FLIP @ np.asarray(grid.affine)
    np.testing.assert_allclose(sorted_rows(points), sorted_rows(voxels @ affine[:3, :3].T + affine[:3, 3]), atol=1e-3)


def test_what_somebody_put_there_or_changed_stays(answered, tmp_path):
    study, sources, _, _ = answered()
    files = exported(study, sources, tmp_path / "dicom")
    (tmp_path / "dicom" / "notes.txt").write_text("mine")
    for file in files.values():
        file.write_bytes(b"corrected")
    study.prediction.regions = {"tumour": [1, 2, 4]}
    again = exported(study, sources, tmp_path / "dicom", ["seg"])
    assert again.keys() == {"seg"}
    assert pydicom.dcmread(again["seg"]).SegmentSequence[0].SegmentLabel == "tumour"
    assert sorted(path.name for path in (tmp_path / "dicom").glob("[!.]*")) == sorted(
        ["dicom.json", "notes.txt", "sub-a_seg.dcm", *(f"sub-a_{name}_corrected.dcm" for name in files)]
    )


def test_every_object_keeps_the_standard_and_refers_to_the_series(answered, tmp_path):
    study, sources, _, _ = answered("oblique")
    files = exported(study, sources, tmp_path / "dicom")
    assert sorted(files) == ["labelmap", "registration", "seg", "sr"]
    raw = {pydicom.dcmread(p).SOPInstanceUID for p in Path(sources.studies["sub-a"].scans["CT"]).iterdir()}
    for name, file in files.items():
        data = pydicom.dcmread(file)
        assert (data.StudyInstanceUID, data.PatientID) == ("1.2.3.4", "SECRET-ID")
        assert raw <= set(referred(data)), name
    del files["labelmap"]  # younger than dicom3tools of 2022, which says "Information Object Not found" of it
    check_standard(files)


def test_every_object_has_what_its_modules_ask_for(answered, tmp_path, check_modules):
    study, sources, grid, mask = answered("doubly oblique, from the head")
    study.prediction.probabilities = str(tmp_path / "out" / "sub-a_prob.nii.gz")
    write_nifti(study.prediction.probabilities, MetaTensor(torch.zeros(3, *mask.shape[1:]), affine=grid.affine))
    files = exported(study, sources, tmp_path / "dicom", OBJECTS)
    check_modules(files.values())
    header = pydicom.dcmread(files["seg"])
    del header.SegmentSequence[0].SegmentLabel
    header.save_as(tmp_path / "changed.dcm")
    with pytest.raises(AssertionError, match="Segment Label"):
        check_modules([tmp_path / "changed.dcm"])


def test_objects_hold_who_a_patient_is_and_no_more(answered, tmp_path):
    whose = ["PatientName", "PatientID", "IssuerOfPatientID", "PatientSpeciesDescription"]
    whose += ["StudyID", "AccessionNumber", "ReferringPhysicianName"]
    groups, texts = (0x08, 0x10, 0x12, 0x32, 0x38, 0x40), ("LO", "SH", "PN", "ST", "LT", "UT", "UC")
    names = [name for tag, (vr, *_, name) in DicomDictionary.items() if tag >> 16 in groups and vr in texts]
    others = {*names, "DeviceSerialNumber", "ProtocolName"} - {*whose}
    assert {"InstitutionName", "PatientComments", "StudyDescription"} <= others

    def told(k, header):
        placed(*ORIENTATIONS["axial"])(k, header)
        for name in (*whose, *others):
            setattr(header, name, "Own^Name" if name in whose else "SECRET^Name")
        header.ProcedureCodeSequence = [Dataset()]
        header.ProcedureCodeSequence[0].CodeMeaning = "SECRET^Name"

    study, sources, grid, mask = answered(change=told)
    study.prediction.probabilities = str(tmp_path / "out" / "sub-a_prob.nii.gz")
    write_nifti(study.prediction.probabilities, MetaTensor(torch.zeros(3, *mask.shape[1:]), affine=grid.affine))
    for name, file in exported(study, sources, tmp_path / "dicom", OBJECTS).items():
        written = pydicom.dcmread(file)
        assert (written.PatientName, written.AccessionNumber, written.StudyInstanceUID) == (
            *["Own^Name"] * 2,
            "1.2.3.4",
        )
        assert not [e.keyword for e in written.iterall() if e.VR != "SQ" and "SECRET" in str(e.value)], name


def referred(data):
    return [element.value for element in data.iterall() if element.keyword == "ReferencedSOPInstanceUID"]


def test_report_holds_what_was_measured(answered, tmp_path):
    study, sources, grid, mask = answered()
    files = exported(study, sources, tmp_path / "dicom", ["sr"])
    assert sorted(files) == ["seg", "sr"]  # the report measures the segments
    report = highdicom.sr.srread(files["sr"])
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == list(REGIONS)
    voxel = abs(np.linalg.det(np.asarray(grid.affine)[:3, :3])) / 1000
    for group, values in zip(groups, REGIONS.values(), strict=True):
        volume, axis = group.get_measurements()
        assert volume.value == pytest.approx(np.isin(mask, values).sum() * voxel, rel=1e-5)
        inside = [np.argwhere(np.isin(mask[0, :, :, z], values)) * 2 for z in range(mask.shape[3])]
        longest = max(np.linalg.norm(a - b) for points in inside for a in points for b in points)
        assert axis.value == pytest.approx(longest, rel=1e-5)
    (group,) = report.content.get_image_measurement_groups()
    assert {m.name.meaning: m.value for m in group.get_measurements()} == {
        "lesions": 2,
        "SUVbw": 7.25,
        "largest distance between lesions": 31.5,
        "probability of stage 1": 0.25,
        "probability of stage 2": 0.75,
    }
    (said,) = group.get_qualitative_evaluations()
    assert (said.name.meaning, said.value.meaning) == ("stage", "2")


def test_maps_are_read_back_voxel_for_voxel(answered, tmp_path):
    study, sources, grid, mask = answered("oblique")
    values = np.random.default_rng(1).integers(0, 4097, (len(REGIONS), *mask.shape[1:])) / np.float32(4096)
    study.prediction.probabilities = str(tmp_path / "out" / "sub-a_prob.nii.gz")
    write_nifti(study.prediction.probabilities, MetaTensor(torch.from_numpy(values), affine=grid.affine))
    files = exported(study, sources, tmp_path / "dicom", ["probabilities", "uncertainty"])
    assert sorted(files) == ["probabilities", "uncertainty"]
    p = values.clip(1e-6, 1 - 1e-6)
    entropy = (-p * np.log2(p) - (1 - p) * np.log2(1 - p)).max(0)
    assert entropy.min() < 0.5 < 0.99 < entropy.max()
    maps = {f"probability of {name}": each for name, each in zip(REGIONS, values, strict=True)}
    check_maps(files["probabilities"], maps, "1", grid)
    check_maps(files["uncertainty"], {"entropy of the least sure region": entropy}, "bit", grid)
    check_standard(files)


def check_maps(file, maps, unit, grid):
    """A parametric map holds maps (x, y, z), told by pydicom alone."""
    data = pydicom.dcmread(file)
    (shared,) = data.SharedFunctionalGroupsSequence  # which holds the meaning where there is one map
    groups = [shared if "RealWorldValueMappingSequence" in shared else g for g in data.PerFrameFunctionalGroupsSequence]
    said = [group.RealWorldValueMappingSequence[0] for group in groups]
    assert {each.MeasurementUnitsCodeSequence[0].CodeValue for each in said} == {unit}
    affine = FLIP @ np.asarray(grid.affine)
    for name, expected in maps.items():
        frames = [k for k, each in enumerate(said) if each.LUTExplanation == name]
        assert len(frames) == expected.shape[2]
        for k in frames:
            place = data.PerFrameFunctionalGroupsSequence[k].PlanePositionSequence[0].ImagePositionPatient
            z = np.linalg.solve(affine[:3, :3], np.asarray(place, float) - affine[:3, 3])[2]
            np.testing.assert_allclose(data.pixel_array[k].T, expected[:, :, round(float(z))], atol=1e-6)


def test_registration_takes_points_of_the_scan_to_the_reference(answered, tmp_path):
    study, sources, _, _ = answered()
    data = pydicom.dcmread(exported(study, sources, tmp_path / "dicom", ["registration"])["registration"])
    fixed, moved = data.RegistrationSequence
    matrices = [
        np.reshape(each.MatrixRegistrationSequence[0].MatrixSequence[0].FrameOfReferenceTransformationMatrix, (4, 4))
        for each in (fixed, moved)
    ]
    np.testing.assert_array_equal(matrices[0], np.eye(4))
    np.testing.assert_allclose(matrices[1] @ [1, 2, 3, 1], [0, 0, 0, 1])  # the transform sends 0 to (1, 2, 3)
    moving = pydicom.dcmread(next(Path(sources.studies["sub-a"].scans["T1"]).iterdir()))
    assert moved.FrameOfReferenceUID == moving.FrameOfReferenceUID


def test_same_answer_same_uids_another_answer_others(answered, tmp_path):
    study, sources, grid, _ = answered()
    first, again = (pydicom.dcmread(exported(study, sources, tmp_path / n, ["seg"])["seg"]) for n in ("1", "2"))
    assert first.SOPInstanceUID == again.SOPInstanceUID
    nothing = MetaTensor(torch.zeros(grid.shape, dtype=torch.uint8), affine=grid.affine)
    write_nifti(study.prediction.path, nothing)
    other = exported(study, sources, tmp_path / "3", ["seg", "sr"])
    assert pydicom.dcmread(other["seg"]).SOPInstanceUID != first.SOPInstanceUID
    assert not read_segmentation(other["seg"], grid, "whole tumour").any()
    check_standard(other)


def test_a_tilted_series_is_refused_and_named(answered, tmp_path):
    change = placed(*ORIENTATIONS["axial"], shear=0.2)
    study, sources, _, _ = answered(change=change)
    with pytest.raises(PolyscanError, match=r"sheared by .* degrees"):
        write_dicom(Manifest(testing=[study]), sources, tmp_path / "dicom")
    assert not list((tmp_path / "dicom").glob("*.dcm"))


def test_enhanced_image_whose_frames_are_shuffled(answered, tmp_path):
    study, sources, grid, mask = answered("coronal")
    folder = Path(sources.studies["sub-a"].scans["CT"])
    (tmp_path / "enhanced").mkdir()
    enhance([pydicom.dcmread(folder / f"{k:03d}.dcm") for k in (3, 0, 4, 1, 2)], tmp_path / "enhanced" / "all.dcm")
    np.testing.assert_allclose(read_series(tmp_path / "enhanced").affine, grid.affine, atol=1e-5)
    sources.studies["sub-a"].scans["CT"] = str(tmp_path / "enhanced")
    files = exported(study, sources, tmp_path / "dicom", ["seg", "labelmap", "rtstruct", "sr", "registration"])
    for name, values in REGIONS.items():
        np.testing.assert_array_equal(read_segmentation(files["seg"], grid, name), np.isin(mask, values))
        np.testing.assert_array_equal(read_rtstruct(files["rtstruct"], grid, name), np.isin(mask, values))
    for name, values in apart(REGIONS).items():
        np.testing.assert_array_equal(read_segmentation(files["labelmap"], grid, name), np.isin(mask, values))


def enhance(images, path):
    """The images of a CT as one enhanced CT, a frame each, in their order."""
    made = pydicom.dcmread(images[0].filename)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(made, name)
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    made.NumberOfFrames = len(images)
    shared, spacing, orientation = Dataset(), Dataset(), Dataset()
    spacing.PixelSpacing, spacing.SliceThickness = images[0].PixelSpacing, 3
    orientation.ImageOrientationPatient = images[0].ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [spacing], [orientation]
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = [shared], []
    for image in images:
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = image.ImagePositionPatient
        frame.PlanePositionSequence = [position]
        made.PerFrameFunctionalGroupsSequence.append(frame)
    made.PixelData = b"".join(image.PixelData for image in images)
    made.save_as(path)


def dcmqi(tool, file, out, *more):
    """Let dcmqi read an object into a folder."""
    reader = Path(sys.executable).with_name(tool)
    if not reader.exists():
        pytest.skip("dcmqi is not installed (pip install dcmqi)")
    out.mkdir()
    call = [str(reader), "--inputDICOM", str(file), "--outputDirectory", str(out), *more]
    subprocess.run(call, capture_output=True, check=True)
    return out


def test_dcmqi_reads_the_same_voxels(answered, tmp_path):
    study, sources, grid, mask = answered("oblique")
    files = exported(study, sources, tmp_path / "dicom", ["seg"])
    read = dcmqi("segimage2itkimage", files["seg"], tmp_path / "itk", "-t", "nrrd")
    for number, values in enumerate(REGIONS.values(), 1):
        image = sitk.ReadImage(str(read / f"{number}.nrrd"))
        where = np.argwhere(sitk.GetArrayFromImage(image).transpose())
        affine = affine_of(image)
        voxels = np.argwhere(np.isin(mask[0], values))
        own = np.asarray(grid.affine)
        points = (at @ to[:3, :3].T + to[:3, 3] for at, to in ((where, affine), (voxels, own)))
        found, expected = map(sorted_rows, points)
        np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("orientation", ["oblique", "axial, stored from the head"])
def test_dcmqi_reads_the_same_map(answered, tmp_path, orientation):
    study, sources, grid, mask = answered(orientation)
    values = np.random.default_rng(1).random((len(REGIONS), *mask.shape[1:]), np.float32)
    study.prediction.probabilities = str(tmp_path / "out" / "sub-a_prob.nii.gz")
    write_nifti(study.prediction.probabilities, MetaTensor(torch.from_numpy(values), affine=grid.affine))
    files = exported(study, sources, tmp_path / "dicom", ["uncertainty"])
    image = sitk.ReadImage(str(dcmqi("paramap2itkimage", files["uncertainty"], tmp_path / "itk") / "pmap.nrrd"))
    p = values.clip(1e-6, 1 - 1e-6)
    entropy = (-p * np.log2(p) - (1 - p) * np.log2(1 - p)).max(0)
    for at in np.argwhere(entropy)[::7]:
        place = np.linalg.solve(affine_of(image), np.asarray(grid.affine) @ [*at, 1])[:3]
        assert image.GetPixel(*(int(x) for x in place.round())) == pytest.approx(entropy[tuple(at)], abs=1e-5)


def test_command(answered, tmp_path, capsys):
    def named(k, header):
        placed(*ORIENTATIONS["axial"])(k, header)
        header.PatientName = "ANNA"  # highdicom warns of a name of one part, with the name

    study, sources, _, _ = answered(change=named)
    raw = Study("a", scans=scans_of(sources.studies["sub-a"].scans))
    write_sources(tmp_path / "out", Manifest(testing=[raw]))
    write_manifest(tmp_path / "out" / "manifest.json", Manifest(testing=[study], bundle="brain"))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert main(["dicom", str(tmp_path / "out"), "-o", str(tmp_path / "dicom")]) == 0
    assert not [each for each in warned if "ANNA" in str(each.message)]
    assert "3 files of 1 studies" in capsys.readouterr().out
    index = json.loads((tmp_path / "dicom" / "dicom.json").read_text())
    assert index["files"]["sub-a"]["sr"] == "sub-a_sr.dcm"
    assert main(["dicom", str(tmp_path / "out"), "-o", str(tmp_path / "out" / "x")]) == 1
    assert "apart from the scans" in capsys.readouterr().err


def test_a_folder_without_a_manifest_is_told_by_what_wrote_it(tmp_path, capsys):
    write_json(tmp_path / "out" / ".polyscan.json", {"command": "listen", "holds": ["objects"]})
    assert main(["dicom", str(tmp_path / "out"), "-o", str(tmp_path / "dicom")]) == 1
    assert "which polyscan listen wrote, has no manifest.json; name a folder" in capsys.readouterr().err


def test_what_is_missing_is_said(answered, tmp_path, monkeypatch):
    study, sources, _, _ = answered()
    with pytest.raises(PolyscanError, match=r"CT lies is not known; name the sources\.json"):
        write_dicom(Manifest(testing=[study]), Sources(), tmp_path / "dicom")
    study.prediction.regions = {}
    with pytest.raises(PolyscanError, match="does not tell what its numbers mean"):
        write_dicom(Manifest(testing=[study]), sources, tmp_path / "dicom")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PolyscanError, match="pip install 'polyscan\\[dicom\\]'"):
        write_dicom(Manifest(testing=[study]), sources, tmp_path / "dicom")


def test_parts_of_regions_inside_each_other():
    assert apart(REGIONS) == {
        "whole tumour without tumour core": [2],
        "tumour core without enhancing tumour": [1],
        "enhancing tumour": [4],
    }
