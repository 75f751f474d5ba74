"""What DICOM readers make of awkward series: polyscan, dcm2niix, and MONAI's two readers.

    python benchmarks/dicom_readers.py [--speed]

Every made case is a linear function of the position in the patient, so that any resampling keeps its values and any
wrong place changes them. Printed for each reader: "right", or the 95th percentile of the distance by which values are
displaced, with what part of the slices is there, or what it said when it refused. ``--speed`` instead times a CT of 400
slices of 512 x 512 pixels to an array in memory.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless, generate_uid

from polyscan.errors import sentence
from polyscan.files.dicom import save_dicom

SLOPE = np.array([3.0, 2.0, 4.0])  # values per millimetre along LPS
SIZE, PIXEL, STEP, COUNT = 32, 2.0, 3.0, 12
Change = Callable[[int, Dataset], None]


def slice_of(k: int, position: np.ndarray, kind: str = "CT", series: str = "1.2.3", rows: int = SIZE) -> Dataset:
    """One slice at a position."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    classes = {"CT": "2", "MR": "4", "PT": "128"}
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = f"1.2.840.10008.5.1.4.1.1.{classes[kind]}"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.FrameOfReferenceUID = series, "1.2.4", "1.2.5"
    ds.Modality, ds.PatientID, ds.PatientName, ds.StudyDate, ds.SeriesDate = kind, "1", "A", "20260101", "20260101"
    ds.Manufacturer, ds.StudyTime, ds.AcquisitionTime, ds.AcquisitionDate = "GE", "100000", "100000", "20260101"
    ds.ImageType, ds.SeriesNumber, ds.InstanceNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], 1, k + 1
    ds.ImageOrientationPatient, ds.PixelSpacing, ds.SliceThickness = [1, 0, 0, 0, 1, 0], [PIXEL, PIXEL], STEP
    ds.PatientPosition, ds.SeriesDescription, ds.GantryDetectorTilt = "HFS", "case", 0
    ds.Rows = ds.Columns = rows
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 1
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    if kind == "PT":
        ds.Units, ds.SUVType, ds.CorrectedImage, ds.DecayCorrection = "GML", "BW", ["ATTN"], "START"
    place(ds, position)
    return ds


def place(ds: Dataset, position: np.ndarray) -> None:
    """Put a slice somewhere, with the values that belong there."""
    ds.ImagePositionPatient = [float(f"{x:.6f}") for x in position]
    row, column = np.indices((ds.Rows, ds.Columns))
    axes = np.array(ds.ImageOrientationPatient, dtype=float).reshape(2, 3)
    points = position + (column[..., None] * axes[0] + row[..., None] * axes[1]) * PIXEL
    stored = (points @ SLOPE + 300 - float(ds.RescaleIntercept)) / float(ds.RescaleSlope)
    ds.PixelData = np.rint(stored).astype("<i2").tobytes()


def made(folder: Path, change: Change = lambda k, ds: None, **common: str) -> Path:
    """A plain series with a change to every slice."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(COUNT):
        ds = slice_of(k, np.array([-30.0, -30.0, STEP * k]), **common)
        change(k, ds)
        save_dicom(ds, folder / f"{common.get('series', '')}{k:03d}.dcm")
    return folder


def at(shift: Callable[[int], tuple[float, float, float]]) -> Change:
    """Slices at other positions."""

    def change(k: int, ds: Dataset) -> None:
        place(ds, np.array([-30.0, -30.0, 0.0]) + shift(k))
        ds.GantryDetectorTilt = float(np.degrees(np.arctan2(shift(1)[1], shift(1)[2])))

    return change


def rescale(slope: Callable[[int], float]) -> Change:
    """Slices with slopes of their own."""

    def change(k: int, ds: Dataset) -> None:
        ds.RescaleSlope = slope(k)
        place(ds, np.array(ds.ImagePositionPatient, dtype=float))

    return change


def attribute(**values: Callable[[int], object]) -> Change:
    """Slices with attributes of their own."""

    def change(k: int, ds: Dataset) -> None:
        for name, value in values.items():
            if value(k) is None:
                del ds[name]
            else:
                setattr(ds, name, value(k))

    return change


def big_endian(_: int, ds: Dataset) -> None:
    """The same slice, big-endian."""
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    ds.PixelData = np.frombuffer(ds.PixelData, "<i2").astype(">i2").tobytes()


def two_echoes(k: int, ds: Dataset) -> None:
    """The second echo has other values."""
    place(ds, np.array([-30.0, -30.0, STEP * (k % (COUNT // 2))]))
    ds.EchoTime, ds.RepetitionTime = (10 if k < COUNT // 2 else 90), 2500
    if k >= COUNT // 2:
        ds.PixelData = (np.frombuffer(ds.PixelData, "<i2") + 500).astype("<i2").tobytes()


def cases(folder: Path) -> Iterator[tuple[str, Path, int]]:
    """Name, folder and the number of slices that a right answer spans."""
    yield "plain", made(folder / "plain"), COUNT
    shuffled = np.random.default_rng(0).permutation(COUNT)
    yield "shuffled InstanceNumber", made(folder / "a", attribute(InstanceNumber=lambda k: int(shuffled[k]))), COUNT
    missing = attribute(InstanceNumber=lambda k: None if k % 4 == 1 else k)
    yield "InstanceNumber missing in some", made(folder / "b", missing), COUNT
    yield "reversed order", made(folder / "c", at(lambda k: (0, 0, -STEP * k))), COUNT
    yield "slope of each slice (PET)", made(folder / "d", rescale(lambda k: 0.5 + k / 64), kind="PT"), COUNT
    yield "first slope 1, then fractions (PET)", made(folder / "e", rescale(lambda k: 1 - k / 64), kind="PT"), COUNT
    yield "gantry tilt 18 degrees", made(folder / "f", at(lambda k: (0, k, STEP * k))), COUNT
    yield "gantry tilt -18 degrees", made(folder / "g", at(lambda k: (0, -k, STEP * k))), COUNT
    uneven = np.cumsum([0, 3, 3, 3, 3, 3, 6, 6, 6, 6, 6, 6])
    yield "unequal steps", made(folder / "h", at(lambda k: (0, 0, float(uneven[k])))), int(uneven[-1] / STEP) + 1
    gap = made(folder / "i")
    (gap / "005.dcm").unlink()
    yield "missing slice", gap, COUNT
    copy = made(folder / "j")
    shutil.copy(copy / "004.dcm", copy / "copy.dcm")
    yield "a file twice", copy, COUNT
    made(folder / "k", kind="PT", series="1.2.6")
    other = attribute(CorrectedImage=lambda k: ["DECY"], PixelData=lambda k: bytes(2 * SIZE * SIZE))
    yield "AC and NAC of one grid in a folder", made(folder / "k", other, kind="PT", series="1.2.7"), COUNT
    mixed = made(folder / "l", series="1.2.8")
    save_dicom(slice_of(0, np.zeros(3), kind="CT", series="1.2.9", rows=64), mixed / "scout.dcm")
    yield "scout of another size beside it", mixed, COUNT
    yield "two echoes in one series", made(folder / "m", two_echoes, kind="MR"), COUNT // 2
    yield "big-endian", made(folder / "n", big_endian), COUNT
    yield "RLE", made(folder / "o", lambda k, ds: ds.compress(RLELossless)), COUNT


def judge(volume: np.ndarray, affine: np.ndarray, count: int) -> tuple[float, str]:
    """Compare a volume (x, y, z) with a RAS affine with the truth."""
    index = np.indices(volume.shape[:3]).reshape(3, -1).T
    world = (index @ affine[:3, :3].T + affine[:3, 3]) * [-1, -1, 1]
    values = volume.reshape(-1)
    inside = (values != 0) & np.isfinite(values) & (values > -1000)
    error = np.abs(values - (world @ SLOPE + 300))[inside] / np.linalg.norm(SLOPE)
    displaced = float(np.percentile(error, 95)) if inside.any() else np.inf
    span = (volume.shape[2] - 1) * np.linalg.norm(affine[:3, :3], axis=0)[2] / STEP + 1
    lost = abs(span - count)
    if displaced < 0.25 and lost < 0.6:
        return 0.0, "right"
    slices = f", {span:.0f} of {count} slices" if lost >= 0.6 else ""
    return displaced + STEP * lost, f"displaced {displaced:.1f} mm{slices}"


Images = list[tuple[np.ndarray, np.ndarray]]


def by_polyscan(folder: Path) -> Images:
    """read_series, the first of those that can be used where there are several."""
    from polyscan.dicom.read import find_series, read_series

    found = find_series(folder)
    first = next((k for k, series in enumerate(found) if series.modality), None)
    image = read_series(folder if first is None or len(found) == 1 else f"{folder}#{first + 1}")
    return [(image[0].numpy(), np.asarray(image.affine))]


def by_dcm2niix(folder: Path) -> Images:
    """All the images that dcm2niix writes, of which the best counts."""
    with tempfile.TemporaryDirectory() as out:
        command = ["dcm2niix", "-z", "n", "-b", "n", "-f", "%s", "-o", out, folder]
        subprocess.run(command, capture_output=True, check=False)
        images = [nibabel.load(path) for path in sorted(Path(out).glob("*.nii"))]
        if not images:
            raise RuntimeError("no image")
        return [(np.array(image.dataobj, dtype=np.float32), image.affine) for image in images]


def by_monai(reader: str) -> Callable[[Path], Images]:
    """One of MONAI's readers."""

    def read(folder: Path) -> Images:
        from monai.transforms import LoadImage

        image = LoadImage(reader=reader)(folder)
        return [(np.asarray(image), np.asarray(image.affine))]

    return read


READERS = {
    "polyscan": by_polyscan,
    "dcm2niix": by_dcm2niix,
    "MONAI ITKReader": by_monai("itkreader"),
    "MONAI PydicomReader": by_monai("pydicomreader"),
}


def table(folder: Path) -> None:
    """Print what each reader makes of each case."""
    print("| case | " + " | ".join(READERS) + " |\n" + "|---" * (len(READERS) + 1) + "|")
    for name, case, count in cases(folder):
        answers = []
        for read in READERS.values():
            try:
                answers.append(min(judge(*image, count) for image in read(case))[1])
            except Exception as error:
                answers.append(f"refused: {sentence(error).splitlines()[0][:60]}")
        print(f"| {name} | " + " | ".join(answers) + " |", flush=True)


def speed(folder: Path, repeats: int = 7) -> None:
    """Print the time of a core that each reader takes for a large CT, its child processes' too, beside polyscan's."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    noise = rng.integers(-50, 50, (512, 512)).astype("<i2").tobytes()
    for k in range(400):
        ds = slice_of(k, np.array([-250.0, -250.0, float(k)]))
        ds.Rows = ds.Columns = 512
        ds.PixelData, ds.SliceThickness = noise, 1
        save_dicom(ds, folder / f"{rng.integers(1 << 40):x}.dcm")
    times: dict[str, list[float]] = {name: [] for name in READERS}
    for repeat in range(repeats + 1):
        for name, read in READERS.items():
            start = of_core()
            read(folder)[0][0].astype(np.float32, copy=False)
            if repeat:  # the first warms the disk's cache and the imports
                times[name].append(of_core() - start)
    print("| reader | median core seconds | spread | as a multiple of polyscan's |\n|---|---|---|---|")
    for name, took in times.items():
        ratio = np.median(np.array(took) / np.array(times["polyscan"]))
        print(f"| {name} | {np.median(took):.2f} | {min(took):.2f} to {max(took):.2f} | {ratio:.2f} |")


def of_core() -> float:
    """Seconds of a core that this process and its children that have ended took, in the kernel too."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        (speed if options.speed else table)(Path(scratch) / "cases")
