"""Which slices become which volume."""

from __future__ import annotations

import shutil

import numpy as np
import pydicom
import pytest

from polyscan.cli import main
from polyscan.dicom.read import find_series, read_series
from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.formats.read import read_image


def change_all(folder, change):
    for k, path in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(path)
        change(k, data)
        data.save_as(path)
    return folder


def twice(**different):
    """Ten slices at five positions, told apart by an attribute."""

    def change(k, ds):
        ds.ImagePositionPatient = [-10, -20, 3 * (k % 5)]
        for name, (first, second) in different.items():
            setattr(ds, name, first if k < 5 else second)

    return change


@pytest.mark.parametrize(
    "different",
    [
        {"EchoTime": (10, 90)},
        {"ImageType": (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"])},
        {"DiffusionBValue": (0.0, 1000.0)},
        {"TemporalPositionIdentifier": (1, 2)},
        {"AcquisitionNumber": (1, 2)},
    ],
    ids=lambda d: next(iter(d)),
)
def test_volumes_of_one_series_are_told_apart(make_series, different):
    folder = make_series(slices=10, modality="MR", change=twice(**different))
    first, second = find_series(folder)
    assert [len(first.slices), len(second.slices)] == [5, 5]
    assert next(iter(different)) in first.reason + second.reason or "phase" in second.reason
    files = sorted(folder.iterdir())
    np.testing.assert_array_equal(read_series(files[5:])[0, 0, 0].numpy(), [50, 60, 70, 80, 90])
    np.testing.assert_array_equal(read_series(f"{folder}#2")[0, 0, 0].numpy(), [50, 60, 70, 80, 90])


def test_passes_without_a_tell_are_told_apart_by_their_order(make_series):
    folder = make_series(slices=10, change=twice())
    first, second = find_series(folder)
    assert ["pass 1" in first.reason, "pass 2" in second.reason] == [True, True]


@pytest.mark.parametrize(
    "different",
    [
        {"AcquisitionNumber": (1, 2)},
        {"NominalPercentageOfCardiacPhase": (30, 75)},
        {"KVP": (80, 140)},
        {"AcquisitionTime": ("100000", "100010")},
        {},
    ],
    ids=lambda d: next(iter(d), "by order"),
)
def test_no_pass_of_a_ct_is_the_static_one_and_one_may_be_named(make_series, different):
    folder = make_series(slices=10, change=twice(**different))
    first, second = find_series(folder)
    assert (first.modality, second.modality) == (None, None)
    assert second.reason.startswith("volume 2 of 2 at the same positions, as of a dynamic or gated CT")
    np.testing.assert_array_equal(read_series(f"{folder}#2")[0, 0, 0].numpy(), [50, 60, 70, 80, 90])


@pytest.mark.parametrize("overlap", [1, 2])
def test_two_acquisitions_of_a_ct_that_overlap_are_one_volume(make_series, overlap):
    def change(k, ds):
        ds.AcquisitionNumber = 1 if k < 5 else 2
        ds.ImagePositionPatient = [-10, -20, 3 * (k if k < 5 else k - overlap)]

    folder = make_series(slices=10, change=change)
    image = read_series(folder)
    np.testing.assert_array_equal(image[0, 0, 0].numpy(), [10 * k for k in range(10) if not 5 - overlap <= k < 5])
    (said,) = image.meta["problems"]
    assert said == f"{overlap} of {10 - overlap} positions made twice: the later by AcquisitionNumber is kept"


def test_slices_of_another_kernel_in_part_of_a_ct_are_not_mixed_in(make_series):
    def change(k, ds):
        ds.AcquisitionNumber, ds.ConvolutionKernel = (1, "B31f") if k < 7 else (2, "B70f")
        ds.ImagePositionPatient = [-10, -20, 3 * (k if k < 7 else k - 3)]

    (series,) = find_series(make_series(slices=10, change=change))
    assert series.modality is None
    assert "no attribute tells which belong together" in series.reason


@pytest.mark.parametrize(("count", "said"), [(3, False), (4, True)])
def test_a_perfusion_of_a_series_each_time_is_said(make_series, tmp_path, count, said):
    for k in range(count):
        frame = {"FrameOfReferenceUID": "1.2.9"}
        make_series(f"ward/anna/{k}", SeriesDescription="Head 5.0", AcquisitionTime=f"1000{k}0", **frame)
    (study,) = scan(tmp_path / "ward").studies
    assert study.scans["CT"].path.endswith(str(count - 1))
    assert any("check that it is no perfusion" in note for note in study.scans["CT"].notes) == said


def test_of_passes_of_an_mr_the_last_is_taken_and_said(make_series, tmp_path):
    frames = [at(k, FrameContentSequence=sequence(TemporalPositionIndex=k // 3 + 1)) for k in range(9)]
    enhanced(make_series("ward/anna", modality="MR", SeriesDescription="t1 vibe +C"), frames)
    (study,) = scan(tmp_path / "ward").studies
    assert study.scans["T1c"].source == [str(tmp_path / "ward" / "anna" / "000.dcm#3")]
    said = "volume 3 of 3 of its series, made one after the other at the same positions"
    assert study.scans["T1c"].notes == [said]


def test_one_slice_of_each_echo_does_not_split_a_volume(make_series):
    folder = make_series(modality="MR", change=lambda k, ds: setattr(ds, "EchoTime", 10 + 0.01 * k))
    assert len(find_series(folder)) == 1


def test_a_file_copied_twice_counts_once(make_series):
    folder = make_series()
    shutil.copy(folder / "001.dcm", folder / "copy.dcm")
    (series,) = find_series(folder)
    assert len(series.slices) == 5
    assert read_series(folder).meta["problems"] == ["copies of slices, which are not used: 1"]


def test_one_slice_copied_under_another_number_counts_once(make_series):
    folder = make_series()
    copy = pydicom.dcmread(folder / "001.dcm")
    copy.InstanceNumber = 77
    copy.save_as(folder / "copy.dcm")
    (series,) = find_series(folder)
    assert (series.modality, len(series.slices)) == ("CT", 5)
    assert series.notes[0] == "1 of 5 positions made twice: with the same pixels, of which one is kept"
    copy.PixelData = bytes(len(copy.PixelData))  # other pixels, and nothing tells which
    copy.save_as(folder / "copy.dcm")
    assert find_series(folder)[0].modality is None


@pytest.mark.parametrize("change", ["numbered", "compressed"])
def test_copies_of_all_slices_are_told_by_their_pixels(make_series, change):
    folder = make_series()
    for path in [*folder.iterdir()]:
        copy = pydicom.dcmread(path)
        if change == "numbered":
            copy.InstanceNumber += 100
        else:
            copy.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        copy.save_as(folder / f"copy{path.name}")
    (series,) = find_series(folder)
    assert len(series.slices) == 5
    assert series.notes == ("copies of slices, which are not used: 5",)


def test_two_series_of_one_uid_are_told_by_their_names(make_series):
    folder = make_series(slices=10, change=twice(SeriesDescription=("soft", "lung")))
    change_all(folder, lambda k, ds: setattr(ds, "InstanceNumber", 1))
    assert [(series.modality, len(series.slices)) for series in find_series(folder)] == [("CT", 5), ("CT", 5)]


def test_of_passes_of_a_t1_the_first_is_taken(make_series, tmp_path):
    frames = [at(k, FrameContentSequence=sequence(TemporalPositionIndex=k // 3 + 1)) for k in range(9)]
    enhanced(make_series("ward/anna", modality="MR", SeriesDescription="t1 vibe"), frames)
    (study,) = scan(tmp_path / "ward").studies
    assert study.scans["T1"].source == [str(tmp_path / "ward" / "anna" / "000.dcm#1")]


def test_mixed_orientations_are_split(make_series):
    def three_planes(k, ds):
        if k >= 5:
            ds.ImageOrientationPatient = [0, 1, 0, 0, 0, 1]
            ds.ImagePositionPatient = [3 * (k - 5), -20, -10]

    axial, sagittal = find_series(make_series(slices=9, change=three_planes))
    assert [len(axial.slices), len(sagittal.slices)] == [5, 4]
    assert axial.where is not None
    assert sagittal.where is not None


def test_one_missing_slice_is_interpolated_and_said(make_series):
    folder = make_series(slices=7)
    (folder / "003.dcm").unlink()
    image = read_series(folder)
    assert "slice steps from 3.00 to 6.00 mm" in image.meta["problems"][0]
    np.testing.assert_allclose(image[0, 2, 3].numpy(), [2, 12, 22, 32, 42, 52, 62])


def test_a_wide_gap_stays_empty_and_is_said(make_series):
    folder = make_series(slices=12)
    for k in (5, 6, 7):
        (folder / f"{k:03d}.dcm").unlink()
    image = read_series(folder)
    assert "left empty" in image.meta["problems"][1]
    finite = np.isfinite(image[0, 2, 3].numpy())
    assert finite.tolist() == [True] * 5 + [False] * 3 + [True] * 4


def test_slices_that_do_not_lie_over_each_other_are_refused(make_series):
    def aside(k, ds):
        ds.ImagePositionPatient = [-10 + 50 * k, -20, 3 * k]

    (series,) = find_series(make_series(change=aside))
    assert series.modality is None
    assert "absurd" in series.reason


def test_what_is_no_volume_is_listed_with_its_reason(make_series):
    make_series("all/a", SeriesDescription="3-plane localizer")
    make_series("all/b", ImageType=["DERIVED", "SECONDARY", "MIP"])
    make_series("all/c", SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    folder = make_series("all/d", Modality="SR", change=lambda k, ds: ds.pop("Rows")).parent
    reasons = " | ".join(series.reason for series in find_series(folder))
    for expected in ("a localizer", "a projection", "a secondary capture", "holds no image (its Modality is SR)"):
        assert expected in reasons


def test_scan_names_the_volume_of_a_file_that_holds_two(data, tmp_path):
    case = data / "dicom_cases" / "enhanced_multiframe" / "In" / "Siemens" / "XA10" / "6_1.dcm"
    enhanced = pydicom.dcmread(case)
    second = len(enhanced.PerFrameFunctionalGroupsSequence) // 2
    enhanced.SharedFunctionalGroupsSequence[0].MRTimingAndRelatedParametersSequence[0].RepetitionTime = 500
    enhanced.EchoPlanarPulseSequence = "NO"
    enhanced.SeriesDescription = "T1"
    for k, group in enumerate(enhanced.PerFrameFunctionalGroupsSequence):
        group.FrameContentSequence[0].StackID = str(1 + k // second)
        group.MREchoSequence = pydicom.Sequence([pydicom.Dataset()])
        group.MREchoSequence[0].EffectiveEchoTime = 15.0
    (tmp_path / "study").mkdir()
    enhanced.save_as(tmp_path / "study" / "two.dcm")
    (study,) = scan(tmp_path).studies
    (source,) = study.scans["T1"].source
    assert source.endswith(("two.dcm#1", "two.dcm#2"))
    taken = [decision.series for decision in study.decisions if decision.taken]
    assert taken == [f"study/{source.rsplit('/', 1)[1]}"]
    assert read_series(source).shape == (1, 64, 64, second)


def test_a_reformat_is_taken_where_nothing_else_shows_its_contrast(make_series, tmp_path):
    reformat = {
        "ImageType": ["DERIVED", "SECONDARY", "REFORMATTED"],
        "SeriesDescription": "COR MPR",
        "StudyInstanceUID": "1.2.3.5.6",
    }
    make_series("a/mpr", **reformat)
    (alone,) = find_series(tmp_path / "a")
    assert alone.modality == "CT"
    assert "a reformatted series, taken since no other series of the study is CT" in alone.reason
    make_series("a/original", StudyInstanceUID="1.2.3.5.6")
    assert {(series.modality, series.files[0].parent.name) for series in find_series(tmp_path / "a")} == {
        (None, "mpr"),
        ("CT", "original"),
    }
    for name, change in {
        "curved": {"ImageType": ["DERIVED", "SECONDARY", "CPR"]},
        "mip": {"SeriesDescription": "MIP"},
    }.items():
        make_series(f"{name}/x", **{**reformat, **change})
        (series,) = find_series(tmp_path / name)
        assert series.modality is None


def test_a_t1_reformat_beside_t1c_may_be_of_either(make_series, tmp_path):
    one = {
        "modality": "MR",
        "StudyInstanceUID": "1.2.3.5.6",
        "ScanningSequence": "SE",
        "RepetitionTime": 500,
        "EchoTime": 9,
    }
    make_series("mpr", **one, ImageType=["DERIVED", "PRIMARY", "MPR"], SeriesDescription="T1 MPR")
    make_series("post", **one, SeriesDescription="T1 +C")
    assert sorted(str(series.modality) for series in find_series(tmp_path)) == ["None", "T1c"]


def test_diffusion_volumes_of_which_nothing_tells_the_b_value_are_left_out(make_series):
    def dwi(name, **different):
        made = make_series(name, slices=10, modality="MR", SeriesDescription="DWI", change=twice(**different))
        return [(series.modality, series.reason.split(";")[0]) for series in find_series(made)]

    unknown = "one of 2 diffusion volumes of a series of which nothing tells the b-value"
    assert dwi("untold") == [(None, unknown), (None, unknown)]
    assert dwi("canon", ImageComments=("b=0(0.0,0.0,0.0)", "b=1000(0.4,0.0,0.9)")) == [
        (None, "the unweighted (b = 0) image of a diffusion series"),
        ("DWI", "b-value 1000 s/mm2"),
    ]


def test_a_capture_in_a_series_is_no_slice_that_it_lacks(make_series):
    folder = make_series(SeriesInstanceUID="1.2.9")
    capture = pydicom.dcmread(folder / "000.dcm")
    capture.SOPClassUID, capture.ImageType = "1.2.840.10008.5.1.4.1.1.7", ["DERIVED", "SECONDARY"]
    del capture.ImagePositionPatient
    capture.save_as(folder / "capture.dcm")
    series, left = find_series(folder)
    assert (series.reason, series.notes) == ("Modality is CT", ())
    assert left.reason.startswith("a secondary capture, not a volume")
    del capture.PixelData  # what would be a slice, had it a place
    capture.SOPClassUID, capture.ImageType = series.headers[0].SOPClassUID, ["ORIGINAL", "PRIMARY", "AXIAL"]
    capture.save_as(folder / "capture.dcm")
    assert "slices may be missing (ImagePositionPatient is missing" in find_series(folder)[0].reason


def test_several_frames_of_another_kind_have_their_own_name(make_series):
    (found,) = find_series(make_series(slices=1, Modality="RTDOSE", NumberOfFrames=3))
    assert found.reason.startswith("Modality is RTDOSE, not MR, CT or PT; holds several frames")


def enhanced(folder, frames, **common):
    """Make the first file of a series an enhanced object of frames, which each tell their functional groups."""
    (path, *others) = sorted(folder.iterdir())
    ds = pydicom.dcmread(path)
    for other in others:
        other.unlink()
    rows = np.full((len(frames), 6, 7), np.arange(len(frames))[:, None, None], "<u2")
    ds.NumberOfFrames, ds.PixelData = len(frames), rows.tobytes()
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(ds, name)
    plane, pixels = sequence(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]), sequence(PixelSpacing=[2, 2])
    ds.SharedFunctionalGroupsSequence = sequence(PlaneOrientationSequence=plane, PixelMeasuresSequence=pixels, **common)
    ds.PerFrameFunctionalGroupsSequence = [groups for frame in frames for groups in sequence(**frame)]
    ds.save_as(path)
    return find_series(path.parent)


def sequence(**values):
    item = pydicom.Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return [item]


def at(k, **more):
    return {"PlanePositionSequence": sequence(ImagePositionPatient=[0, 0, 3 * (k % 3)]), **more}


@pytest.mark.parametrize(("kind", "why"), [("MAX_IP", "a projection"), ("MEAN", "one slice is no volume")])
def test_a_computed_frame_is_none_of_the_volume(make_series, kind, why):
    """One image of another FrameType, at the place of one of the others, does not take them with it."""
    types = [sequence(FrameType=["ORIGINAL", "PRIMARY", "VOLUME"])] * 3 + [
        sequence(FrameType=["DERIVED", "PRIMARY", kind])
    ]
    frames = [at(k if k < 3 else 1, MRImageFrameTypeSequence=each) for k, each in enumerate(types)]
    folder = make_series(modality="MR", SeriesDescription="T1", ScanningSequence="SE")
    volume, computed = enhanced(folder, frames)
    assert (volume.modality, volume.shape, computed.modality) == ("T1", (7, 6, 3), None)
    assert why in computed.reason


def test_frames_that_only_their_order_tells_apart(make_series):
    found = enhanced(make_series(modality="MR", SeriesDescription="T1 dynamic"), [at(k) for k in range(6)])
    assert [(series.modality, [each.frame for each in series.slices]) for series in found] == [
        ("T1", [0, 1, 2]),
        ("T1", [3, 4, 5]),
    ]
    assert "pass 2 by InstanceNumber or the order of frames" in found[1].reason


def test_the_trace_of_a_diffusion_object_is_apart_from_its_directions(make_series):
    kinds = [(0.0, "NONE"), (1000.0, "DIRECTIONAL"), (1000.0, "ISOTROPIC")]
    frames = [
        at(k, MRDiffusionSequence=sequence(DiffusionBValue=b, DiffusionDirectionality=kind))
        for b, kind in kinds
        for k in range(3)
    ]
    found = enhanced(make_series(modality="MR", SeriesDescription="DWI"), frames)
    assert [(series.modality, series.slices[0].frame) for series in found] == [(None, 0), ("DWI", 3), ("DWI", 6)]


def test_what_a_converter_could_not_assign_gives_way(make_series):
    other = {"UnassignedPerFrameConvertedAttributesSequence": sequence(ImagePositionPatient=[7, 7, 7])}
    (series,) = enhanced(make_series(), [at(k, **other) for k in range(3)])
    np.testing.assert_array_equal(series.where.origins, [[0, 0, 0], [0, 0, 3], [0, 0, 6]])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda ds: delattr(ds, "ImagePositionPatient"),
        lambda ds: delattr(ds, "ImageOrientationPatient"),
        lambda ds: delattr(ds, "PixelSpacing"),
        lambda ds: setattr(ds, "PixelSpacing", [3, 3]),
        lambda ds: setattr(ds, "Columns", 5),
    ],
)
@pytest.mark.parametrize("at", [0, 4])
def test_one_odd_slice_does_not_take_its_series_with_it(make_series, spoil, at):
    found = find_series(make_series(slices=9, change=lambda k, ds: spoil(ds) if k == at else None))
    (series,) = [each for each in found if each.modality]
    assert len(series.slices) == 8
    assert "other slices of its series cannot be used, so that slices may be missing" in series.notes[0]
    assert np.diff(series.where.depths).max() == (6 if at == 4 else 3)


def test_a_slice_that_does_not_tell_its_scale_costs_itself_only(make_series):
    def without(k, ds):
        if k == 4:
            del ds.RescaleSlope

    folder = make_series(slices=12, change=without)
    image = read_series(folder)
    assert image.shape == (1, 7, 6, 12)  # the gap is bridged
    assert any("RescaleSlope or RescaleIntercept is missing" in problem for problem in image.meta["problems"])
    half = make_series("half", slices=12, change=lambda k, ds: without(4 + k % 2, ds))
    with pytest.raises(PolyscanError, match="RescaleSlope is missing in 6 of 12 slices"):
        read_series(half)


@pytest.mark.parametrize(("names", "said"), [(("nativ", "portalvenös"), 1), (("nativ", "soft"), 0)])
def test_ct_with_and_without_contrast_agent_in_one_study_is_said(make_series, tmp_path, names, said):
    for name in names:
        make_series(f"ward/anna/{name}", SpecificCharacterSet="ISO_IR 100", SeriesDescription=f"Abdomen {name}")
    (study,) = scan(tmp_path / "ward").studies
    assert len([note for note in study.scans["CT"].notes if "with and without contrast agent" in note]) == said


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"SeriesDescription": "Thorax exp"}, 1),
        ({}, 0),  # called alike: a repeat
        ({"SeriesDescription": "Thorax lung", "ConvolutionKernel": "B70f"}, 0),  # the kernel decides
        ({"SeriesDescription": "Abdomen", "change": lambda k, ds: setattr(ds, "ImagePositionPatient", [0, 0, k])}, 0),
    ],
)
def test_ct_of_the_same_slices_under_another_description_is_said(make_series, tmp_path, other, said):
    both = {"FrameOfReferenceUID": "1.2.9", "SeriesDescription": "Thorax insp"}
    make_series("ward/anna/a", **both)
    make_series("ward/anna/b", **{**both, **other})
    (study,) = scan(tmp_path / "ward").studies
    assert len([note for note in study.scans["CT"].notes if "under several descriptions" in note]) == said


@pytest.mark.parametrize(
    ("tracers", "said"), [(("FDG", "PSMA"), 1), (("FDG", "FDG"), 0), (("FDG", ""), 0), ((109.8, 67.7), 1)]
)
def test_pet_of_two_tracers_in_one_study_is_said(make_series, tmp_path, tracers, said):
    for number, tracer in enumerate(tracers):
        injected = pydicom.Dataset()
        if isinstance(tracer, str):
            injected.Radiopharmaceutical = tracer
        else:
            injected.RadionuclideHalfLife = 60 * tracer
        pet = {"modality": "PT", "CorrectedImage": ["ATTN"], "RadiopharmaceuticalInformationSequence": [injected]}
        make_series(f"ward/anna/{number}", **pet)
    (study,) = scan(tmp_path / "ward").studies
    assert len([note for note in study.scans["PET"].notes if "another tracer" in note]) == said
    assert "PSMA" not in str(study.decisions)


@pytest.mark.parametrize(("later", "said"), [("1200", 1), ("1000", 0), ("1002", 0), (None, 0)])
def test_pet_of_several_times_in_one_study_is_said(make_series, tmp_path, later, said):
    for folder, begun in (("early", "1000"), ("late", later)):

        def acquired(number, header, begun=begun):
            header.AcquisitionTime = f"{int(begun) + number:04d}00" if begun else ""  # the bed moves on

        make_series(f"ward/anna/{folder}", modality="PT", CorrectedImage=["ATTN"], change=acquired)
    (study,) = scan(tmp_path / "ward").studies
    assert len([note for note in study.scans["PET"].notes if "made at several times" in note]) == said


def test_a_scan_of_another_place_that_is_not_taken_is_said(make_series, tmp_path):
    for name, first, frame in (("chest", 8, "1.2.3"), ("abdomen", 0, "1.2.3"), ("knee", 40, "1.2.4")):
        at = {"change": lambda k, ds: setattr(ds, "ImagePositionPatient", [-10, -20, 3 * (k + first)])}  # noqa: B023
        make_series(f"ward/anna/{name}", slices=8, FrameOfReferenceUID=frame, **at)
    (study,) = scan(tmp_path / "ward").studies
    assert study.scans["CT"].notes == ["another CT of its study lies in another place, which is not read"]
    assert [d.series for d in study.decisions if "lies in another place" in d.reason] == ["anna/chest"]


def test_what_is_to_be_looked_at_comes_last_and_is_counted(make_series, tmp_path, capsys):
    """Of a ward of many studies nobody reads why each series was taken."""
    for number, who in enumerate(("anna", "bob", "carl")):
        patient = {"PatientID": who, "StudyInstanceUID": f"1.2.{number}", "SeriesType": ["GATED", "IMAGE"]}
        make_series(f"ward/{who}/1", modality="PT", CorrectedImage=["ATTN"], **patient)
    (tmp_path / "ward" / "letter.txt").write_text("no scan")
    assert main(["scan", str(tmp_path / "ward"), "-o", str(tmp_path / "m.json")]) == 0
    *_, before, count, said = capsys.readouterr().out.splitlines()
    assert before.startswith("letter.txt: left out")
    assert count == f"3 studies in {tmp_path / 'm.json'}; to be looked at: 1"
    assert said.startswith("  PET of sub-anna, PET of sub-bob, PET of sub-carl: a dynamic or gated PET of which")
    assert said.endswith("check that it is a static image")


@pytest.mark.parametrize("unit", ["1CM", "STDDEV"])
def test_a_pet_that_shows_no_activity_is_none(make_series, tmp_path, unit):
    make_series("ward/anna/a", modality="PT", Units=unit, CorrectedImage=["ATTN"], slices=9)
    make_series("ward/anna/b", modality="PT", Units="BQML", CorrectedImage=["ATTN"])
    (study,) = scan(tmp_path / "ward").studies
    assert study.scans["PET"].path.endswith("b")


def test_the_trace_of_philips_diffusion_is_apart_from_its_directions_and_goes_before_them(make_series, tmp_path):
    def change(k, ds):
        ds.ImagePositionPatient = [-10, -20, 3 * (k % 5)]
        block = ds.private_block(0x2001, "Philips Imaging DD 001", create=True)
        block.add_new(0x03, "FL", 1000.0)
        block.add_new(0x04, "CS", "PMSI"[k // 5])

    make_series("ward/anna/dwi", slices=20, modality="MR", change=change)
    (study,) = scan(tmp_path / "ward").studies
    assert read_image(study.scans["DWI"].source, "DWI")[0, 0, 0].tolist() == [150, 160, 170, 180, 190]
