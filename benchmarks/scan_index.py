"""Time and memory to find the studies in trees of more and more files, the first time and again.

    python benchmarks/scan_index.py --files 10000 100000 --work /tmp/scan_index

Each scan runs in a process of its own: ``first`` fills an index, ``again`` uses it, ``without`` keeps none.
The files are CT slices of 8 x 8 pixels, forty of each patient in two series.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

SLICES, SERIES = 20, 2
STUDY, SERIES_UID, INSTANCE = "1.2.826.1.11111111", "1.2.826.2.22222222", "1.2.826.3.333333333333"
PATIENT, PLACE = "P4444444", "555555.5"

MEASURED = """
import json, resource, sys, time
from polyscan.discovery.scan import scan
from polyscan.study.manifest import write_manifest
folder, index = sys.argv[1:3]
begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start, of_core = time.perf_counter(), time.process_time()
found = scan(folder, **({"index": index} if index else {}))
seconds, of_core = time.perf_counter() - start, time.process_time() - of_core
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"studies": len(found.studies), "seconds": seconds, "of_core": of_core, "mb": (peak - begun) / 1024}))
"""


def make(folder: Path, files: int) -> None:
    """Write the tree, unless it is there."""
    if folder.exists():
        return
    template = slice_()
    for number in range(files):
        patient, in_patient = divmod(number, SLICES * SERIES)
        series, k = divmod(in_patient, SLICES)
        path = folder / f"P{patient:07d}" / f"CT{series}" / f"{k:03d}.dcm"
        if k == 0:
            path.parent.mkdir(parents=True)
        content = template.replace(STUDY.encode(), f"1.2.826.1.{patient + 10**7:08d}".encode())
        content = content.replace(SERIES_UID.encode(), f"1.2.826.2.{patient * SERIES + series + 10**7:08d}".encode())
        content = content.replace(INSTANCE.encode(), f"1.2.826.3.{number + 10**11:012d}".encode())
        content = content.replace(PATIENT.encode(), f"P{patient:07d}".encode())
        path.write_bytes(content.replace(PLACE.encode(), f"{3.0 * k:8.1f}".encode()))


def slice_() -> bytes:
    """A slice in whose bytes the identifiers and the place can be exchanged."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = CTImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = INSTANCE
    header.StudyInstanceUID, header.SeriesInstanceUID, header.FrameOfReferenceUID = STUDY, SERIES_UID, STUDY
    header.PatientID, header.Modality, header.ImageType = PATIENT, "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.ImageOrientationPatient, header.PixelSpacing = [1, 0, 0, 0, 1, 0], [2, 2]
    header.ImagePositionPatient, header.SliceThickness = [0, 0, PLACE], 3
    header.Rows = header.Columns = 8
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = 1, "MONOCHROME2", 0
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.RescaleSlope, header.RescaleIntercept, header.PixelData = 1, -1024, bytes(128)
    buffer = io.BytesIO()
    dcmwrite(buffer, header, enforce_file_format=True)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--work", type=Path, required=True, help="a folder for the trees")
    parser.add_argument("--without", action="store_true", help="measure a scan that keeps no index too")
    options = parser.parse_args()
    print("files    scan     studies  seconds  of a core  memory above the start (MB)  index (MB)")
    for files in options.files:
        tree, index = options.work / f"{files}", options.work / f"{files}.sqlite"
        make(tree, files)
        index.unlink(missing_ok=True)
        for name, kept in [("first", str(index)), ("again", str(index)), *([("without", "")] * options.without)]:
            command = [sys.executable, "-c", MEASURED, str(tree), kept]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            size = index.stat().st_size / 1e6 if index.exists() else 0
            told = f"{found['studies']:7d}  {found['seconds']:7.1f}  {found['of_core']:9.1f}"
            print(f"{files:7d}  {name:7s}  {told}  {found['mb']:27.0f}  {size:10.0f}", flush=True)


if __name__ == "__main__":
    main()
