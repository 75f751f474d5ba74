"""No sentence, record or manifest repeats what headers, sidecars and tables hold: marked values are put everywhere."""

from __future__ import annotations

import ast
import json
import warnings
from pathlib import Path

import pydicom
import pytest
import torch
from monai.data import MetaTensor
from pydicom.datadict import dictionary_VR, keyword_dict, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

import polyscan
from polyscan.cli import main
from polyscan.course.visits import read_courses
from polyscan.errors import PolyscanError, sentence
from polyscan.formats.nifti import write_nifti
from polyscan.formats.read import read_image, read_label
from polyscan.study import Label
from polyscan.study.manifest import read_manifest
from polyscan.study.table import read_rows
from polyscan.transforms.classify import TableFromClinicald, TargetsFromLabeld
from polyscan.transforms.survival import SurvivalFromLabeld
from polyscan.transforms.tables import LoadTablesd

NAME, DATE, NUMBER = "Zyxwell", "19470523", "MRN998877"
MARK = f"{NAME} {DATE} {NUMBER}"
PRIVATE = {"scans.json", "sources.json"}
TEXTS = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UT"}
NEEDED = {"SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "PixelData", "TransferSyntaxUID"}


def read_attributes() -> list[str]:
    """The attributes of text that the package reads by their keywords."""
    found: set[str] = set()
    for file in (Path(polyscan.__file__).parent).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in keyword_dict:
                found.add(node.value)
    return sorted(name for name in found - NEEDED if set(dictionary_VR(name).split(" or ")) & TEXTS)


def marked(header: Dataset, keyword: str, value: str) -> None:
    """Put a value into an attribute, whatever its value representation allows."""
    tag, content = Tag(tag_for_keyword(keyword)), value.encode() + b" " * (len(value) % 2)
    inside = header
    if keyword.startswith("Radio") and header.Modality == "PT":
        inside = header.RadiopharmaceuticalInformationSequence[0]
    inside[tag] = RawDataElement(tag, dictionary_VR(keyword), len(content), content, 0, False, True)


PET = {
    "Units": "BQML",
    "DecayCorrection": "START",
    "CorrectedImage": ["ATTN", "DECY"],
    "PatientWeight": 70,
    "SeriesDate": "20200101",
    "SeriesTime": "100000",
    "AcquisitionDate": "20200101",
    "AcquisitionTime": "100000",
}


def injection() -> Dataset:
    tracer = Dataset()
    tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife = 3e8, 6586.2
    tracer.RadiopharmaceuticalStartTime = "090000"
    return tracer


def unmarked(text: str) -> bool:
    return not any(part in text for part in (NAME, NAME.upper(), DATE, "1947-05-23", NUMBER))


def written(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().decode("latin-1")
        for path in folder.rglob("*")
        if path.is_file() and path.name not in PRIVATE
    }


@pytest.mark.parametrize("modality", ["MR", "PT", "CT"])
def test_no_attribute_of_dicom_is_repeated(modality, make_series, tmp_path, capsys):
    keywords = read_attributes()
    assert {"SeriesDescription", "RescaleType", "PatientName", "Units", "Modality"} <= set(keywords)
    for number, keyword in enumerate(keywords):
        common = {"SeriesDescription": "T1", "RepetitionTime": 500, "EchoTime": 10, "ScanningSequence": "SE"}
        if modality == "PT":
            common = PET | {"RadiopharmaceuticalInformationSequence": [injection()]}
        make_series(
            f"ward/p{number:03d}/scan",
            slices=3,
            modality=modality,
            change=lambda k, header, keyword=keyword: marked(header, keyword, MARK),
            PatientID=f"P{number}",
            StudyInstanceUID=f"1.2.{number}",
            **common,
        )
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert main(["scan", str(tmp_path / "ward"), "-o", str(tmp_path / "scans.json")]) == 0
        said = capsys.readouterr()
        studies, failed = read_manifest(tmp_path / "scans.json").studies, []
        for study in studies:
            failed += [
                refused(lambda name=name, scan=scan: read_image(scan.source, name))
                for name, scan in study.scans.items()
            ]
    assert len(studies) > len(keywords) / 2
    for text in (said.out, said.err, *failed, *(str(each.message) for each in warned)):
        assert unmarked(text), [line for line in text.splitlines() if not unmarked(line)][:5]


def test_no_record_repeats_an_attribute(make_series, tmp_path, capsys):
    for keyword in ("PatientName", "SeriesDescription", "DecayCorrection", "AcquisitionTime", "PatientWeight"):
        make_series(
            f"ward/{keyword}/scan",
            modality="PT",
            change=lambda k, header, keyword=keyword: marked(header, keyword, MARK),
            PatientID=keyword,
            StudyInstanceUID=f"1.2.{len(keyword)}",
            **PET,
            RadiopharmaceuticalInformationSequence=[injection()],
        )
    assert main(["scan", str(tmp_path / "ward"), "-o", str(tmp_path / "scans.json")]) == 0
    assert main(["prepare", str(tmp_path / "scans.json"), "--jobs", "2", "-o", str(tmp_path / "out")]) == 3
    said = capsys.readouterr()
    assert unmarked(said.out + said.err)
    assert [name for name, text in written(tmp_path / "out").items() if not unmarked(text)] == []


def refused(read) -> str:
    """What is said where something cannot be read; nothing where it can."""
    try:
        read()
    except Exception as error:
        return sentence(error)
    return ""


def test_no_region_of_a_label_is_repeated(make_series, tmp_path):
    folder = make_series("CT")
    image = read_image(str(folder), "CT")
    header = pydicom.dcmread(folder / "000.dcm")
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    header.Modality, header.StructureSetROISequence, header.ROIContourSequence = "RTSTRUCT", [], []
    for number in (1, 2):
        region, drawn, contour = Dataset(), Dataset(), Dataset()
        region.ROINumber, region.ROIName = number, f"{MARK} {number}"
        contour.ContourGeometricType, contour.ContourData = "CLOSED_PLANAR", [0, 0, 0, 4, 0, 0, 4, 4, 0]
        drawn.ReferencedROINumber, drawn.ContourSequence = number, [contour]
        header.StructureSetROISequence.append(region)
        header.ROIContourSequence.append(drawn)
    header.save_as(tmp_path / "rs.dcm")
    said = refused(lambda: read_label(Label(str(tmp_path / "rs.dcm")), image))
    assert "rs.dcm has the regions 1, 2 by ROINumber" in said
    assert unmarked(said)


SIDECAR = {
    "Units": "Bq/mL",
    "BodyWeight": 70,
    "InjectedRadioactivity": 300,
    "InjectedRadioactivityUnits": "MBq",
    "TracerRadionuclide": "F18",
    "InjectionStart": 0,
    "ImageDecayCorrected": True,
    "ImageDecayCorrectionTime": 3600,
}


@pytest.mark.parametrize("field", SIDECAR)
def test_no_field_of_a_sidecar_is_repeated(field, tmp_path):
    write_nifti(tmp_path / "PET.nii.gz", MetaTensor(torch.rand(1, 8, 8, 8), affine=torch.eye(4)))
    (tmp_path / "PET.json").write_text(json.dumps(SIDECAR))
    assert refused(lambda: read_image(str(tmp_path / "PET.nii.gz"), "PET")) == ""
    (tmp_path / "PET.json").write_text(json.dumps(SIDECAR | {field: MARK}))
    said = refused(lambda: read_image(str(tmp_path / "PET.nii.gz"), "PET"))
    assert said
    assert unmarked(said)


def test_nothing_given_by_hand_is_repeated(make_series):
    folder = make_series("PT", modality="PT", **PET, RadiopharmaceuticalInformationSequence=[injection()])
    for given in ({"PatientWeight": MARK}, {"RadiopharmaceuticalStartTime": MARK}):
        said = refused(lambda given=given: read_image(str(folder), "PET", given))
        assert said
        assert unmarked(said)


CELLS = {
    "a class": lambda: TargetsFromLabeld("label", {"grade": ["2", "3"]})({"label": {"grade": MARK}, "study": "s"}),
    "a number": lambda: TableFromClinicald("c", {"age": (60, 10)}, {})({"c": {"age": MARK}, "study": "s"}),
    "a time": lambda: SurvivalFromLabeld("label")({"label": {"survival": {"time": MARK, "event": 1}}, "study": "s"}),
    "a value": lambda: LoadTablesd("image", {"clinical": ["age"]})(
        {"image": {}, "clinical": {"age": MARK}, "study": "s"}
    ),
    "a word": lambda: LoadTablesd("image", {"clinical": {"sex": ["F", "M"]}})(
        {"image": {}, "clinical": {"sex": MARK}, "study": "s"}
    ),
}


@pytest.mark.parametrize("cell", CELLS)
def test_no_cell_that_a_network_reads_is_repeated(cell):
    with pytest.raises(PolyscanError) as said:
        CELLS[cell]()
    assert unmarked(str(said.value))


@pytest.mark.parametrize("column", ["day", "volume_ml", "treated"])
def test_no_cell_of_a_course_is_repeated(column, tmp_path):
    rows = [{"subject": "A", "day": day, "volume_ml": 3.0, "treated": 0} for day in (0, 30)]
    rows[1][column] = MARK
    (tmp_path / "volumes.csv").write_text(
        "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)])
    )
    with pytest.raises(PolyscanError) as said:
        read_courses(tmp_path / "volumes.csv")
    assert unmarked(str(said.value))


def test_no_cell_of_a_clinical_table_is_repeated(make_ward, tmp_path, capsys):
    make_ward(tmp_path / "ward", 2)
    scan = ["scan", str(tmp_path / "ward"), "-o", str(tmp_path / "scans.json"), "--clinical", str(tmp_path / "t.csv")]
    for columns, cells in (("subject,split", MARK), ("subject,birth_date,age,ward", f"{DATE},{MARK},{NAME}")):
        (tmp_path / "t.csv").write_text(f"{columns}\npatient0,{cells}\npatient1,{cells}\n")
        main(scan)
        said = capsys.readouterr()
        assert unmarked(said.out + said.err)
    (tmp_path / "t.csv").write_text(f"subject,{NAME},{DATE}\npatient0,1,2\n")  # turned on its side
    for more in ([], ["--columns", "age"]):
        main([*scan, *more])
        said = capsys.readouterr()
        assert unmarked(said.out + said.err)
    (tmp_path / "t.csv").write_text(f"{NAME},{DATE},{NAME}\n{NAME},{DATE},{NAME}\n")  # without headings
    with pytest.raises(PolyscanError, match="one heading over its columns 1 and 3") as error:
        read_rows(tmp_path / "t.csv")
    assert unmarked(str(error.value))


def test_what_libraries_say_holds_no_value():
    assert sentence(ValueError(f"could not convert string to float: '{MARK}'")) == (
        "ValueError: could not convert string to float: '...'"
    )
    assert sentence(KeyError(NAME)) == "KeyError: '...'"
    assert sentence(ImportError("No module named 'highdicom'")) == "ImportError: No module named 'highdicom'"
