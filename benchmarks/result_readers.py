"""Whether other programs read the DICOM objects that polyscan writes, voxel for voxel, however the series lies.

    npm install --prefix NODE dcmjs @cornerstonejs/adapters @babel/runtime esbuild && pip install dcmqi
    python benchmarks/result_readers.py [--node NODE]

Every object is written for series of 8 x 6 pixels and 5 slices that lie in each of the 48 orders and directions of axes
(24 ways to lay rows and columns, feet first among them, with slices along their normal or against it), for two oblique
ones, an enhanced image whose frames are shuffled, and one that is tilted. Each voxel that a reader finds is compared by
its place in the patient. Printed for each object and reader: in how many cases it read the same, another thing, or
nothing, with its reason. Readers that are not installed are left out, and named.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations, product
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from polyscan.dicom.source_images import SourceImages, source_images
from polyscan.errors import sentence
from polyscan.export.dicom import OBJECTS, apart, write_objects
from polyscan.files.dicom import item, save_dicom
from polyscan.formats.nifti import write_nifti
from polyscan.geometry import FLIP, affine_of
from polyscan.study import (
    Grid,
    PredictionRecord,
    Preparation,
    RegistrationRecord,
    Source,
    Study,
    TaskPrediction,
    scans_of,
)
from polyscan.study.sources import StudySources

Points = dict[str, np.ndarray]
"""What is read: name to rows of x, y, z in LPS+ millimetres, and of a map its value behind them."""
REGIONS = {"whole tumour": [1, 2, 4], "tumour core": [1, 4], "enhancing tumour": [4]}
MAPS = ("probabilities", "uncertainty")
MATRIX = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3, (4.0, 5.0, 6.0))
TURNED = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, 0.96, -0.28], [0, 0.28, 0.96]])
JAVASCRIPT = Path(__file__).with_suffix(".mjs")


def lays() -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
    """Name of a case, its (3, 3) rows, columns and steps, and what else is done to the series."""
    for axes in permutations(range(3), 2):
        for signs in product((1, -1), repeat=3):
            rows, columns = (np.eye(3)[axis] * sign for axis, sign in zip(axes, signs[:2], strict=True))
            name = " ".join(f"{'+-'[sign < 0]}{'LPS'[axis]}" for axis, sign in zip(axes, signs[:2], strict=True))
            yield f"{name} {signs[2]:+d}", np.array([rows, columns, signs[2] * np.cross(rows, columns)]), {}
    yield "oblique", TURNED, {}
    yield "doubly oblique", TURNED[[2, 0, 1]] * [[1], [1], [-1]], {}
    yield "enhanced", TURNED, {"enhanced": True}
    yield "tilted", np.array([[1, 0, 0], [0, 1, 0], [0, 0.2, 1]]), {}


def write_series(folder: Path, modality: str, lay: np.ndarray, enhanced: bool = False) -> Path:
    """Five slices, 3 mm apart, of 6 rows and 8 columns of 1.5 and 2 mm."""
    folder.mkdir(parents=True)
    series, frame = generate_uid(), generate_uid()
    slices = []
    for k in range(5):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID(
            f"1.2.840.10008.5.1.4.1.1.{'2' if modality == 'CT' else '4'}"
        )
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.FrameOfReferenceUID, ds.Modality = (
            series,
            "1.2.3",
            frame,
            modality,
        )
        ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = "1", "A^B", "", "O"
        ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.ReferringPhysicianName, ds.StudyID = (
            "20260101",
            "10",
            "",
            "",
            "1",
        )
        ds.PatientPosition, ds.PositionReferenceIndicator, ds.Laterality = "FFS" if lay[2, 2] < 0 else "HFS", "", ""
        ds.ImageType, ds.SeriesNumber, ds.InstanceNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], 1, k + 1
        ds.ImageOrientationPatient = [float(f"{x:.9f}") for x in lay[:2].ravel()]
        ds.ImagePositionPatient = [float(f"{x:.6f}") for x in [-10, -20, 5] + 3 * k * lay[2]]
        ds.PixelSpacing, ds.SliceThickness, ds.Rows, ds.Columns = [1.5, 2], 3, 6, 8
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.RescaleSlope, ds.RescaleIntercept = 16, 16, 15, 1, 0
        ds.PixelData = (np.arange(48) + 100 * k).astype("<u2").tobytes()
        slices.append(ds)
    for ds in [enhance([slices[k] for k in (3, 0, 4, 1, 2)])] if enhanced else slices:
        save_dicom(ds, folder / f"{ds.InstanceNumber}.dcm")
    return folder


def enhance(slices: list[Dataset]) -> Dataset:
    """Slices as the frames of one enhanced image, in their order."""
    made = Dataset()
    made.update({element.tag: element for element in slices[0]})
    made.file_meta = slices[0].file_meta
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = UID(f"{slices[0].SOPClassUID}.1")
    made.NumberOfFrames, made.PixelData = len(slices), b"".join(each.PixelData for each in slices)
    measures = item(PixelSpacing=made.PixelSpacing, SliceThickness=made.SliceThickness)
    orientation = item(ImageOrientationPatient=made.ImageOrientationPatient)
    made.SharedFunctionalGroupsSequence = [
        item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[orientation])
    ]
    places = [item(ImagePositionPatient=each.ImagePositionPatient) for each in slices]
    made.PerFrameFunctionalGroupsSequence = [item(PlanePositionSequence=[place]) for place in places]
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(made, name)
    return made


class Case:
    """A series with an answer, and every object of it.

    Attributes:
        files: object to its file.
        expected: object to what is to be read of it.
        images: of the series, as the adapters are told them.
    """

    def __init__(self, name: str, folder: Path, lay: np.ndarray, options: dict[str, Any]) -> None:
        self.name, self.folder = name, folder
        scans: dict[str, Source] = {
            "CT": str(write_series(folder / "CT", "CT", lay, **options)),
            "T1": str(write_series(folder / "T1", "MR", np.eye(3))),
        }
        source = source_images(scans["CT"])
        random = np.random.default_rng(0)
        mask = random.choice([0, 0, 1, 2, 4], tuple(source.grid.shape)).astype(np.uint8)
        mask[..., 2] = 0  # a slice that no frame of a binary segmentation holds
        p = random.integers(0, 4097, (len(REGIONS), *mask.shape[1:])) / np.float32(4096)
        for file, values in (("mask", mask), ("p", p)):
            write_nifti(folder / f"{file}.nii.gz", MetaTensor(torch.from_numpy(values), affine=source.grid.affine))
        sitk.WriteTransform(MATRIX, str(folder / "t.tfm"))
        study = Study("a", scans=scans_of(scans))
        study.preparation = Preparation(
            "default",
            "CT",
            grids={"CT": Grid(list(mask.shape[1:]), source.grid.affine.tolist())},
            registrations={"T1": RegistrationRecord(True, "fits", str(folder / "t.tfm"))},
        )
        answers = {"stage": TaskPrediction("2", probabilities={"1": 0.25, "2": 0.75})}
        study.prediction = PredictionRecord(
            str(folder / "mask.nii.gz"),
            ["CT"],
            answers=answers,
            regions=REGIONS,
            probabilities=str(folder / "p.nii.gz"),
        )
        (folder / "dicom").mkdir()
        written = write_objects(study, StudySources(scans), folder / "dicom", OBJECTS, "model")
        self.files = {name: folder / "dicom" / file for name, file in written.items()}
        self.images = list(told(source, str(folder)))
        self.lps = FLIP @ np.asarray(source.grid.affine)
        self.shape = mask.shape[1:]
        whole = p.clip(1e-6, 1 - 1e-6)
        entropy = (-whole * np.log2(whole) - (1 - whole) * np.log2(1 - whole)).max(0)
        voxel = abs(np.linalg.det(self.lps[:3, :3])) / 1000
        moved = np.eye(4)
        moved[:3, :3] = np.reshape(MATRIX.GetMatrix(), (3, 3))
        moved[:3, 3] = MATRIX.TransformPoint((0.0, 0.0, 0.0))
        self.expected: dict[str, Points] = {
            "seg": {name: self.inside(np.isin(mask[0], values)) for name, values in REGIONS.items()},
            "labelmap": {name: self.inside(np.isin(mask[0], values)) for name, values in apart(REGIONS).items()},
            "probabilities": {f"probability of {n}": self.valued(each) for n, each in zip(REGIONS, p, strict=True)},
            "uncertainty": {"entropy of the least sure region": self.valued(entropy)},
            "sr": {"Volume": np.array([[np.isin(mask, values).sum() * voxel] for values in REGIONS.values()])},
            "registration": {"matrices": np.array([np.eye(4).ravel(), np.linalg.inv(moved).ravel()])},
        }

    def inside(self, mask: np.ndarray) -> np.ndarray:
        """The places of the voxels (x, y, z) of a mask."""
        return placed(np.argwhere(mask), self.lps)

    def valued(self, volume: np.ndarray) -> np.ndarray:
        """The places of all voxels, with what they hold."""
        return np.c_[self.inside(np.ones_like(volume)), volume.ravel()]

    def names(self, what: str) -> list[str]:
        """Of the segments or maps of an object, in the order of their numbers."""
        data = pydicom.dcmread(self.files[what])
        if "SegmentSequence" not in data:
            return [*self.expected[what]]
        return [
            each.SegmentLabel for each in data.SegmentSequence if each.SegmentNumber
        ]  # 0 is the background of a label map


def placed(indices: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return indices @ affine[:3, :3].T + affine[:3, 3]


def told(source: SourceImages, folder: str) -> Iterator[dict[str, Any]]:
    """What the adapters are told of each slice of a series."""
    lps, spacing = FLIP @ np.asarray(source.grid.affine), [1.5, 2.0]
    frame_of = {z: frame for frame, z in enumerate(source.slices)}
    several = len(source.headers) > 1
    for z in range(source.grid.shape[3]):
        header, frame = source.headers[z if several else 0], 0 if several else frame_of[z]
        names = (
            "SOPInstanceUID",
            "SOPClassUID",
            "SeriesInstanceUID",
            "FrameOfReferenceUID",
            "Modality",
            "Rows",
            "Columns",
        )
        yield {
            "id": f"wadors:{folder}/{header.SOPInstanceUID}/frames/{frame + 1}",
            "position": (lps @ [0, 0, z, 1])[:3].tolist(),
            "orientation": [*(lps[:3, 0] / spacing[1]).tolist(), *(lps[:3, 1] / spacing[0]).tolist()],
            "spacing": spacing,
            **{name: header[name].value for name in names},
        }


def by_highdicom(case: Case, what: str) -> Points:
    if what == "sr":
        content: Any = highdicom.sr.srread(case.files[what]).content
        groups = content.get_volumetric_roi_measurement_groups()
        return {"Volume": np.array([[group.get_measurements()[0].value] for group in groups])}
    if what in MAPS:
        volume = highdicom.imread(case.files[what]).get_volume(dtype=np.float32)
        at = np.argwhere(np.ones(volume.array.shape[:3], bool))
        return {case.names(what)[0]: np.c_[placed(at, volume.affine), volume.array.reshape(len(at), -1)[:, 0]]}
    read = highdicom.seg.segread(case.files[what])
    volume = read.get_volume(combine_segments=False, allow_missing_positions=True)
    return {
        name: placed(np.argwhere(volume.array[..., number]), volume.affine)
        for number, name in enumerate(case.names(what))
    }


def by_dcmqi(case: Case, what: str) -> Points:
    tool = {"sr": "tid1500reader", **dict.fromkeys(MAPS, "paramap2itkimage")}.get(what, "segimage2itkimage")
    out = case.folder / f"dcmqi_{what}"
    out.mkdir()
    target = (
        ["--outputMetadata", str(out / "sr.json")] if what == "sr" else ["--outputDirectory", str(out), "-t", "nrrd"]
    )
    if what in MAPS:
        target = target[:2]
    command = [str(Path(sys.executable).with_name(tool)), "--inputDICOM", str(case.files[what]), *target]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"ends with {ended.returncode}: {(ended.stderr.strip() or ended.stdout.strip())[-80:]}")
    if what == "sr":
        every = [
            m for group in json.loads((out / "sr.json").read_text())["Measurements"] for m in group["measurementItems"]
        ]
        return {"Volume": np.array([[float(m["value"])] for m in every if m["quantity"]["CodeMeaning"] == "Volume"])}
    found = {}
    for number, name in enumerate(case.names(what), 1):
        file = {"seg": f"{number}.nrrd", "labelmap": "1.nrrd"}.get(what, "pmap.nrrd")
        image = sitk.ReadImage(str(out / file))
        values = sitk.GetArrayFromImage(image).transpose()
        lps = FLIP @ affine_of(image)
        at = np.argwhere(np.ones_like(values)) if what in MAPS else np.argwhere(values == number)
        found[name] = np.c_[placed(at, lps), values.ravel()] if what in MAPS else placed(at, lps)
    return found


def by_javascript(case: Case, what: str, reader: str, every: dict[str, Any]) -> Points:
    """Of what the script of Node read."""
    told = every[case.name][f"{what} {reader}"]
    if "refused" in told:
        raise RuntimeError(told["refused"])
    read, (x, y, z), names = told["read"], case.shape, case.names(what)
    if what == "sr":
        return {"Volume": np.array([[value] for name, value in read if name == "Volume"])}
    if what == "registration":
        return {"matrices": np.array(read)}
    if reader == "adapters" and what in MAPS:
        volume = np.frombuffer(base64.b64decode(read), np.float32).reshape(z, y, x).transpose()
        return {names[0]: case.valued(volume)}
    if reader == "adapters":
        stacks = np.array([[np.frombuffer(base64.b64decode(each), np.uint8) for each in stack] for stack in read])
        volume = stacks.reshape(-1, z, y, x).transpose(0, 3, 2, 1)
        return {name: case.inside((volume == number).any(0)) for number, name in enumerate(names, 1)}
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    for frame in read:
        pixels = np.frombuffer(base64.b64decode(frame["pixels"]), frame["type"]).reshape(y, x).transpose()
        place = case.lps.copy()
        place[:3, 3] = frame["position"]
        at = np.argwhere(np.ones_like(pixels)) if what in MAPS else np.argwhere(pixels)
        at = np.c_[at, np.zeros(len(at))]
        of = pixels[tuple(at.astype(int)[:, :2].T)]
        for value in [0] if "of" in frame else np.unique(of):
            name = frame["of"] if what in MAPS else names[int(frame.get("of", value)) - 1]
            chosen = slice(None) if "of" in frame else of == value
            points = placed(at[chosen], place)
            found[name].append(np.c_[points, of] if what in MAPS else points)
    return {name: np.concatenate(each) for name, each in found.items()}


def same(found: Points, expected: Points, what: str) -> bool:
    names = expected if what != "uncertainty" and what != "probabilities" else found
    return bool(names) and all(
        len(found[name]) == len(expected[name])
        and np.allclose(ordered(found[name], what), ordered(expected[name], what), rtol=1e-4, atol=2e-3)
        for name in names
    )


def ordered(points: np.ndarray, what: str) -> np.ndarray:
    """Rows by their place; of reports and registrations as they come."""
    return points if what in ("sr", "registration") else points[np.lexsort(points[:, :3].round(1).T)]


def javascript(cases: list[Case], node: Path, folder: Path) -> dict[str, Any]:
    """What Node's readers read of every case."""
    shutil.copy(JAVASCRIPT, node / "result_readers.mjs")
    given = [{"name": c.name, "images": c.images, "files": {k: str(v) for k, v in c.files.items()}} for c in cases]
    (folder / "cases.json").write_text(json.dumps(given))
    whole = str(folder / "readers.cjs")
    bundled = ["node_modules/.bin/esbuild", "result_readers.mjs", "--bundle", "--platform=node", "--log-level=error"]
    subprocess.run([*bundled, f"--outfile={whole}"], cwd=node, check=True)
    subprocess.run(
        ["node", whole, str(folder / "cases.json"), str(folder / "read.json")], check=True, capture_output=True
    )
    read: dict[str, Any] = json.loads((folder / "read.json").read_text())
    return read


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--node", type=Path, help="the folder in which npm installed dcmjs and the adapters")
    node = options.parse_args().node
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        cases = []
        for number, (name, lay, changes) in enumerate(lays()):
            try:
                cases.append(Case(name, Path(folder) / str(number), lay, changes))
            except Exception as error:  # what polyscan itself refuses
                print(f"{name}: no object: {sentence(error)}")
        print(f"{len(cases)} series with objects")
        read = javascript(cases, node.resolve(), Path(folder)) if node else {}
        dcmqi = Path(sys.executable).with_name("segimage2itkimage").exists()
        readers: dict[tuple[str, str], Callable[[Case], Points]] = {}
        for what in OBJECTS:
            if what in ("seg", "labelmap", "uncertainty", "sr"):
                readers[what, "highdicom"] = partial(by_highdicom, what=what)
                if dcmqi:
                    readers[what, "dcmqi"] = partial(by_dcmqi, what=what)
            for reader in ("dcmjs", "adapters"):
                if f"{what} {reader}" in next(iter(read.values()), {}):
                    readers[what, reader] = partial(by_javascript, what=what, reader=reader, every=read)
        for (what, reader), look in readers.items():
            told: Counter[str] = Counter()
            for case in cases:
                try:
                    told["the same" if same(look(case), case.expected[what], what) else f"OTHER ({case.name})"] += 1
                except Exception as error:
                    told[f"refused: {str(error)[:120]}"] += 1
            print(f"{what:14} {reader:10} {'; '.join(f'{n} {text}' for text, n in told.items())}", flush=True)
        for reader, there in (("dcmqi", dcmqi), ("dcmjs", node)):
            if not there:
                print(f"{reader} is not installed")


if __name__ == "__main__":
    main()
