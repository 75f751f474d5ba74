from __future__ import annotations

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from monai.data import MetaTensor
from pydicom.dataset import Dataset, FileMetaDataset

from polyscan.dicom.read import find_series, read_series
from polyscan.dicom.rtstruct import read_rtstruct
from polyscan.discovery.labels import drawn_on
from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.files.dicom import save_dicom
from polyscan.formats.read import read_label
from polyscan.study import Label


def item(**values) -> Dataset:
    data = Dataset()
    for name, value in values.items():
        setattr(data, name, value)
    return data


def write(path, contours, names=("GTV",), kind="CLOSED_PLANAR", empty=()):
    data = item(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3",
        StructureSetROISequence=[item(ROINumber=k, ROIName=name) for k, name in enumerate(names)],
        ROIContourSequence=[
            item(
                ReferencedROINumber=k,
                ContourSequence=[item(ContourGeometricType=kind, ContourData=np.ravel(c).tolist()) for c in contours],
            )
            if name not in empty
            else item(ReferencedROINumber=k)
            for k, name in enumerate(names)
        ],
    )
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = data.SOPClassUID, "1.2.3"
    save_dicom(data, path)
    return path


def square(low, high, z):
    return [[low, low, z], [high, low, z], [high, high, z], [low, high, z]]


GRID = MetaTensor(torch.zeros(1, 10, 10, 3), affine=torch.diag(torch.tensor([-1.0, -1.0, 2.0, 1.0])))


def deep(slices: int) -> MetaTensor:
    return MetaTensor(torch.zeros(1, 10, 10, slices), affine=GRID.affine)


def per_slice(path, contours, grid) -> list[int]:
    return read_rtstruct(write(path / "rs.dcm", contours), grid)[0].sum((0, 1)).tolist()


def test_contours_that_lie_closer_than_slices_cut_no_holes(tmp_path):
    """Drawn at steps of 1 mm where slices lie 2 mm apart: each slice takes those in it, and no two cancel out."""
    contours = [square(0.5, 7.5 - z / 2, z) for z in (2, 3, 4, 5, 6)]
    assert per_slice(tmp_path, contours, deep(5)) == [0, 36, 25, 16, 0]


@pytest.mark.parametrize(("aside", "doubted"), [(0.1, False), (1, True)])
def test_contours_between_slices_are_doubted(tmp_path, aside, doubted):
    path = write(tmp_path / "rs.dcm", [square(0.5, 6.5, z + aside) for z in (2, 4)])
    said = read_rtstruct(path, deep(5)).meta["doubts"]
    assert [("each slice took the nearest" in doubt) for doubt in said] == [True] * doubted


def test_contours_in_every_second_slice_stand_for_those_between(tmp_path):
    contours = [square(0.5, 6.5, 2), square(0.5, 4.5, 6), square(0.5, 2.5, 10)]
    assert per_slice(tmp_path, contours, deep(7)) == [0, 36, 36, 16, 16, 4, 0]
    assert per_slice(tmp_path, [square(0.5, 6.5, 2), square(0.5, 4.5, 6)], deep(7)) == [0, 36, 0, 16, 0, 0, 0]


def test_contours_on_slices_at_unequal_steps_fill_what_was_resampled(make_series, tmp_path):
    depths = [0, 1, 4, 7, 8]
    folder = make_series(change=lambda k, ds: setattr(ds, "ImagePositionPatient", [0, 0, depths[k]]))
    grid = read_series(folder)
    contours = [square(-1, high, z) for z, high in zip(depths[1:4], (3, 5, 7), strict=True)]
    mask = read_rtstruct(write(tmp_path / "rs.dcm", contours), grid)[0]
    assert grid.shape[3] == 9
    assert mask.sum((0, 1)).tolist() == [0, 4, 4, 9, 9, 9, 16, 16, 0]


def test_a_channel_of_a_keyhole_that_runs_through_centres_of_voxels_cuts_none_out(tmp_path):
    channel = [(4, 0.5), (4, 2.5), (5.5, 2.5), (5.5, 5.5), (2.5, 5.5), (2.5, 2.5), (4, 2.5), (4, 0.5)]
    keyhole = [(0.5, 0.5), *channel, (7.5, 0.5), (7.5, 7.5), (0.5, 7.5)]
    slanted = [(0.5, 0.5), (2.5, 2.5), (2.5, 5.5), (5.5, 5.5), (5.5, 2.5), (2.5, 2.5), (0.5, 0.5)]
    slanted += [(7.5, 0.5), (7.5, 7.5), (0.5, 7.5)]
    for points in (keyhole, slanted):
        contour = [(x, y, 2) for x, y in points]
        assert read_rtstruct(write(tmp_path / "rs.dcm", [contour]), GRID).sum() == 49 - 9


def test_a_contour_in_a_contour_is_a_hole(tmp_path):
    mask = read_rtstruct(write(tmp_path / "rs.dcm", [square(0.5, 7.5, 2), square(2.5, 4.5, 2)]), GRID)[0].numpy()
    assert mask[:, :, 1].sum() == 49 - 4
    assert mask[[3, 4], 3, 1].sum() == 0
    assert mask[:, :, [0, 2]].sum() == 0


def test_regions_are_named(tmp_path):
    path = write(tmp_path / "rs.dcm", [square(0.5, 7.5, 2)], names=("GTV", "lung"))
    with pytest.raises(PolyscanError, match="the regions 0, 1 by ROINumber"):
        read_rtstruct(path, GRID)
    assert read_rtstruct(path, GRID, "lung").sum() == read_rtstruct(path, GRID, "1").sum() == 49


def test_contours_of_another_scan_are_refused(tmp_path):
    with pytest.raises(PolyscanError, match="does not touch"):
        read_rtstruct(write(tmp_path / "rs.dcm", [square(0.5, 7.5, 200)]), GRID)


@pytest.mark.parametrize("subject", ["STS_002", "STS_025"])
@pytest.mark.parametrize("name", ["CT", "MR_T1", "PET"])
def test_real_contours_equal_their_reference(data, subject, name):
    folder = data / "sarcoma_ct_mr_pet" / "dicom" / subject / name
    image = read_series(folder / "image")
    (file,) = (folder / "mask").iterdir()
    mask = nibabel.Nifti1Image(read_rtstruct(file, image)[0].numpy(), np.asarray(image.affine))
    reference = nibabel.load(data / "sarcoma_ct_mr_pet" / "nifti" / subject / f"{name}_mask.nii.gz")
    a, b = (nibabel.as_closest_canonical(x).get_fdata() > 0 for x in (mask, reference))
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.999


def test_a_region_without_contours_is_named_and_passed_over(tmp_path):
    with pytest.raises(PolyscanError, match="the region 0 has no contours"):
        read_rtstruct(write(tmp_path / "rs.dcm", [], empty=("GTV",)), GRID)
    two = write(tmp_path / "two.dcm", [square(0.5, 7.5, 2)], names=("GTV", "lung"), empty=("lung",))
    assert read_rtstruct(two, GRID).sum() == 49
    assert read_rtstruct(two, GRID, " gtv ").sum() == 49
    with pytest.raises(PolyscanError, match="the region lung has no contours"):
        read_rtstruct(two, GRID, "lung")


def test_points_and_lines_are_no_second_region(tmp_path):
    data = pydicom.dcmread(write(tmp_path / "rs.dcm", [square(0.5, 7.5, 2)], names=("GTV", "isocentre")))
    (marker,) = data.ROIContourSequence[1].ContourSequence
    marker.ContourGeometricType, marker.ContourData = "POINT", [5, 5, 2]
    data.save_as(tmp_path / "rs.dcm")
    assert read_rtstruct(tmp_path / "rs.dcm", GRID).sum() == 49
    with pytest.raises(PolyscanError, match="no closed contour in its region 1, only points"):
        read_rtstruct(tmp_path / "rs.dcm", GRID, "isocentre")
    with pytest.raises(PolyscanError, match="no closed contour in its region 0"):
        read_rtstruct(write(tmp_path / "line.dcm", [square(0.5, 7.5, 2)[:2]]), GRID)


def test_contours_that_overlap(tmp_path):
    overlapping = [square(0.5, 4.5, 2), square(2.5, 6.5, 2)]
    assert read_rtstruct(write(tmp_path / "a.dcm", overlapping), GRID).sum() == 16 + 16 - 4
    apart = write(tmp_path / "b.dcm", overlapping, kind="CLOSEDPLANAR_XOR")
    assert read_rtstruct(apart, GRID).sum() == 16 + 16 - 8
    twice = write(tmp_path / "c.dcm", [square(0.5, 4.5, 2)] * 2)
    assert read_rtstruct(twice, GRID).sum() == 16
    island = [square(3.5, 5.5, 2), square(0.5, 8.5, 2), square(1.5, 7.5, 2)]
    assert read_rtstruct(write(tmp_path / "d.dcm", island), GRID).sum() == 64 - 36 + 4


@pytest.mark.parametrize("at", [4.0, 4.25])
def test_a_keyhole_is_a_hole(tmp_path, at):
    """One contour that goes in along a line, around the hole and out by the same line; the line may meet centres."""
    outer, inner = square(0.5, 8.5, 2), square(2.5, 6.5, 2)
    way_in, way_out = [0.5, at, 2], [2.5, at, 2]
    keyhole = [*outer, way_in, way_out, inner[3], inner[2], inner[1], inner[0], way_out, way_in]
    assert read_rtstruct(write(tmp_path / "rs.dcm", [keyhole]), GRID).sum() == 64 - 16


def test_points_alone_and_nonsense_are_named(tmp_path):
    with pytest.raises(PolyscanError, match="only points or open lines"):
        read_rtstruct(write(tmp_path / "a.dcm", [square(0.5, 4.5, 2)], kind="OPEN_PLANAR"), GRID)
    with pytest.raises(PolyscanError, match=r"ContourData \(3006,0050\)"):
        read_rtstruct(write(tmp_path / "b.dcm", [[1.0, 2.0]]), GRID)


def test_cases_of_the_reports(data):
    cases = data / "reported_cases"
    folder = cases / "rtstruct_roi_without_contours"
    ct = read_series(folder / "in/P/CT")
    with pytest.raises(PolyscanError, match=r"rs.dcm: the region 1 has no contours"):
        read_label(Label(str(folder / "in/P/RS/rs.dcm")), ct)
    assert read_label(Label(str(folder / "two/P/RS/rs.dcm")), read_series(folder / "two/P/CT")).sum() > 0
    (study,) = scan(cases / "rtstruct_without_series_reference/in").studies
    assert study.label.drawn_on == "CT"
    assert read_label(study.label, read_series(study.scans["CT"].path)).sum() == 605


def drawn(change=lambda label: None, z=3.0, **references):
    """An RTSTRUCT of one square."""
    label = item(
        Modality="RTSTRUCT",
        ROIContourSequence=[item(ContourSequence=[item(ContourData=np.ravel(square(0, 5, z)).tolist())])],
        **references,
    )
    change(label)
    return label


def refer(uid):
    return [item(RTReferencedStudySequence=[item(RTReferencedSeriesSequence=[item(SeriesInstanceUID=uid)])])]


def test_which_scan_a_label_was_drawn_on(make_series):
    ct = find_series(make_series("ct"))
    frame, uid = ct[0].frame_of_reference, ct[0].headers[0].SeriesInstanceUID
    scout = find_series(make_series("scout", slices=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    scout_uid = scout[0].headers[0].SeriesInstanceUID
    series = [*scout, *ct]
    assert drawn_on(drawn(ReferencedFrameOfReferenceSequence=refer(uid)), series)[0] is ct[0]
    by_scout = drawn(ReferencedFrameOfReferenceSequence=refer(scout_uid), FrameOfReferenceUID=frame)
    assert drawn_on(by_scout, series)[0] is ct[0]
    image = ct[0].headers[0].SOPInstanceUID

    def show(label):
        contour = label.ROIContourSequence[0].ContourSequence[0]
        contour.ContourImageSequence = [item(ReferencedSOPInstanceUID=image)]

    assert drawn_on(drawn(show), series)[0] is ct[0]
    assert drawn_on(drawn(FrameOfReferenceUID=frame), series) == (
        ct[0],
        "RTSTRUCT in the frame of reference of CT, in whose slices it lies",
    )
    assert "names no series and does not lie" in drawn_on(drawn(FrameOfReferenceUID=frame, z=4.5), series)[1]
    assert "no scan has its frame" in drawn_on(drawn(FrameOfReferenceUID="1.2"), series)[1]
    twin = find_series(make_series("twin", FrameOfReferenceUID=frame))
    label, reason = drawn_on(drawn(FrameOfReferenceUID=frame), [*series, *twin])
    assert label is None
    assert "fits CT, CT: name its scan as 'drawn_on'" in reason
    fine = find_series(make_series("fine", FrameOfReferenceUID=frame, PixelSpacing=[1, 1]))
    frames = [item(PlanePositionSequence=[item(ImagePositionPatient=[0, 0, z])]) for z in (0, 3)]
    pixels = [item(PixelMeasuresSequence=[item(PixelSpacing=[1, 1])])]
    seg = item(Modality="SEG", FrameOfReferenceUID=frame, PerFrameFunctionalGroupsSequence=frames)
    seg.SharedFunctionalGroupsSequence = pixels
    assert drawn_on(seg, [*series, *fine])[0] is fine[0]
    frames[0].DerivationImageSequence = [item(SourceImageSequence=[item(ReferencedSOPInstanceUID=image)])]
    assert drawn_on(seg, [*series, *fine])[0] is ct[0]


def test_the_scan_that_a_label_was_drawn_on_goes_before_a_finer_one(make_series, tmp_path):
    make_series("ward/anna/diagnostic", PixelSpacing=[1, 1], FrameOfReferenceUID="1.2.3")
    planning = make_series("ward/anna/planning", SeriesDescription="Planning CT")
    header = find_series(planning)[0].headers[0]
    uid = header.SeriesInstanceUID
    path = write(tmp_path / "ward/anna/rs.dcm", [[(-9, -19, 3), (-3, -19, 3), (-3, -13, 3), (-9, -13, 3)]])
    label = pydicom.dcmread(path)
    label.update({"Modality": "RTSTRUCT", "PatientID": header.PatientID, "StudyInstanceUID": header.StudyInstanceUID})
    label.ReferencedFrameOfReferenceSequence = refer(uid)
    label.save_as(path)
    (study,) = scan(tmp_path / "ward").studies
    assert study.scans["CT"].source == str(planning)
    assert read_label(study.label, read_series(planning)).sum() == 9
    assert "planning has a label that was drawn on it" in next(d.reason for d in study.decisions if not d.taken)
