"""What trials of batches share: studies of which a tenth is faulty, runs as processes, and what came of them."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import torch
from monai.data import MetaTensor
from scan_index import slice_

from polyscan.batch import batch_status
from polyscan.formats.nifti import write_nifti

BUNDLE = "sarcoma_ct_mr_pet_segmentation"
SHAPE = (24, 24, 12)
POLYSCAN = [sys.executable, "-m", "polyscan"]
Run = subprocess.Popen[bytes]


def make(ward: Path, studies: int) -> dict[str, str]:
    """Write the studies, NIfTI and DICOM in turn; returns the faulty tenth with what is wrong with each."""
    count = studies // 10
    for number in range(studies - count):
        _write_study(ward, f"G{number:04d}", number, dicom=number % 2 == 1)
    faults: dict[str, tuple[bool, Callable[[Path], None]]] = {
        "a NIfTI that ends early": (False, lambda folder: _each(folder, lambda f: f.write_bytes(f.read_bytes()[:300]))),
        "no NIfTI": (False, lambda folder: _each(folder, lambda f: f.write_bytes(b"no image at all" * 40))),
        "an empty file": (False, lambda folder: _each(folder, lambda f: f.write_bytes(b""))),
        "a NIfTI of NaN": (False, lambda folder: _each(folder, lambda f: _rewrite(f, lambda v: v * np.nan))),
        "a NIfTI of one value": (False, lambda folder: _each(folder, lambda f: _rewrite(f, lambda v: v * 0))),
        "a NIfTI of one slice": (False, lambda folder: _each(folder, lambda f: _rewrite(f, lambda v: v[:, :, :1]))),
        "a NIfTI without a grid": (False, lambda folder: _each(folder, lambda f: _rewrite(f, None))),
        "DICOM that ends early": (True, lambda folder: _each(folder, lambda f: f.write_bytes(f.read_bytes()[:400]))),
        "DICOM with a missing slice": (True, lambda folder: sorted(folder.rglob("*.dcm"))[5].unlink()),
        "DICOM without a place": (True, lambda folder: _each(folder, _without_place)),
    }
    faulty = {f"F{number:04d}": what for number, what in zip(range(count), cycle(faults), strict=False)}
    for number, (subject, what) in enumerate(faulty.items()):
        dicom, spoil = faults[what]
        spoil(_write_study(ward, subject, 100_000 + number, dicom))
    return faulty


def _write_study(ward: Path, subject: str, seed: int, dicom: bool) -> Path:
    """A CT, as one file or as slices."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    body = (x.square().sum(0) < 0.8).float()
    values = body * (1000 + 60 * x[0] + 20 * torch.rand(SHAPE, generator=generator)) - 1000
    folder = ward / subject
    if not dicom:
        affine = torch.diag(torch.tensor([2.0, 2.0, 3.0, 1.0]))
        write_nifti(folder / f"{subject}_ct.nii.gz", MetaTensor(values[None], affine=affine))
        return folder
    (folder / "CT").mkdir(parents=True)
    template = pydicom.dcmread(io.BytesIO(slice_()))
    for k in range(SHAPE[2]):
        template.StudyInstanceUID, template.SeriesInstanceUID = f"1.2.3.{seed}", f"1.2.3.{seed}.1"
        template.SOPInstanceUID = template.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{seed}.1.{k + 1}"
        template.PatientID, template.ImagePositionPatient = subject, [0, 0, 3 * k]
        template.Rows, template.Columns, template.RescaleIntercept = SHAPE[1], SHAPE[0], -1000
        template.PixelData = (values[:, :, k].T + 1000).round().to(torch.int16).contiguous().numpy().tobytes()
        template.save_as(folder / "CT" / f"{k:03d}.dcm")
    return folder


def _each(folder: Path, change: Callable[[Path], object]) -> None:
    for file in [file for file in folder.rglob("*") if file.is_file()]:
        change(file)


def _rewrite(file: Path, change: Callable[[np.ndarray], np.ndarray] | None) -> None:
    image = nibabel.load(file)
    values = np.asarray(image.dataobj, dtype=np.float32)
    affine = image.affine if change else np.zeros((4, 4))
    spoilt = nibabel.Nifti1Image(change(values) if change else values, None if change is None else affine)
    if change is None:
        spoilt.header.set_sform(affine, code=2)
        spoilt.header.set_qform(None, code=0)
    nibabel.save(spoilt, file)


def _without_place(file: Path) -> None:
    header = pydicom.dcmread(file)
    del header.ImagePositionPatient
    header.save_as(file)


def start(ward: Path, out: Path, *more: str) -> Run:
    """A batch as a process in a group of its own; what it prints is in a file beside the ward."""
    command = [*POLYSCAN, "batch", BUNDLE, str(ward), "-o", str(out), "--registered", "--no-pages", *more]
    with ward.with_name(f"{out.name}.txt").open("ab") as printed:
        return subprocess.Popen(command, stdout=printed, stderr=printed, start_new_session=True)


def finish(*runs: Run) -> None:
    """Wait for runs that must end well, or with studies that failed."""
    assert all(run.wait() in (0, 3) for run in runs), [run.returncode for run in runs]


@contextlib.contextmanager
def cluster() -> Iterator[tuple[str, Run]]:
    """The address and the scheduler of a Dask cluster of two worker processes, which come to it when they are ready."""
    port, quiet = free_port(), {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    address = f"tcp://127.0.0.1:{port}"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
    scheduler = subprocess.Popen([*dask, "--no-dashboard"], **quiet)
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nworkers", "2", "--nthreads", "1"]
    workers = subprocess.Popen([*worker, "--no-dashboard"], cwd=tempfile.gettempdir(), **quiet)
    try:
        while not answers_at(port):
            assert scheduler.poll() is None
            time.sleep(0.1)
        yield address, scheduler
    finally:
        for process in (workers, scheduler):
            process.terminate()
            process.wait()


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answers_at(port: int) -> bool:
    """Whether something takes connections there."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def outcome(out: Path) -> dict[str, object]:
    """All that must be the same whoever did it: each mask's bytes, why studies failed, the table but for its times."""
    masks = {path.name: path.read_bytes() for path in out.glob("predictions/[!.]*")}
    rows = csv.DictReader((out / "cohort.csv").open())
    table = [{name: cell for name, cell in row.items() if not name.endswith("seconds")} for row in rows]
    left = json.loads((out / "studies.json").read_text()).get("left_out", [])
    return {**masks, "failed": batch_status(out).failed, "table": table, "left out": left}


def at_work(out: Path) -> dict[str, int]:
    """Study to the process that works on it now, by the locks that the kernel lists."""
    names = {}
    for path in out.glob("locks/sub-*.lock"):
        with contextlib.suppress(FileNotFoundError):
            at = path.stat()
            names[f"{os.major(at.st_dev):02x}:{os.minor(at.st_dev):02x}:{at.st_ino}"] = path.stem
    held = [
        line.split() for line in Path("/proc/locks").read_text().splitlines() if "FLOCK" in line and "->" not in line
    ]
    return {names[fields[5]]: int(fields[4]) for fields in held if fields[5] in names}
