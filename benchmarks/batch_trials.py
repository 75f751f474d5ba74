"""Is a batch the same whoever does it, and after a kill -9 at any moment? Tried on made studies, a tenth faulty.

    python benchmarks/batch_trials.py --studies 200 --trials 0 --work /tmp/trials
    python benchmarks/batch_trials.py --studies 20 --trials 30 --work /tmp/killed

Each run is a ``polyscan batch`` of its own. One of two processes is what the others are compared with: two shards at
once, a Dask cluster of two workers, runs that were killed with -9 (the run, a worker, the Dask scheduler) or met a full
disk, and that were started again. A listener is killed while images come to it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
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

from polyscan.batch import batch_status
from polyscan.formats.nifti import write_nifti
from polyscan.study.manifest import read_manifest

sys.path.insert(0, str(Path(__file__).parent))
from scan_index import slice_

BUNDLE = "sarcoma_ct_mr_pet_segmentation"
SHAPE = (24, 24, 12)
POLYSCAN = [sys.executable, "-m", "polyscan"]
OPTIONS = ["--registered", "--no-pages"]
Answers = dict[str, bytes]


def make(ward: Path, studies: int) -> dict[str, str]:
    """Write the studies, NIfTI and DICOM in turn; returns the faulty tenth with what is wrong with each."""
    count = studies // 10
    for number in range(studies - count):
        write_study(ward, f"G{number:04d}", number, dicom=number % 2 == 1)
    faults: dict[str, tuple[bool, Callable[[Path], None]]] = {
        "a NIfTI that ends early": (False, lambda folder: each(folder, lambda f: f.write_bytes(f.read_bytes()[:300]))),
        "no NIfTI": (False, lambda folder: each(folder, lambda f: f.write_bytes(b"no image at all" * 40))),
        "an empty file": (False, lambda folder: each(folder, lambda f: f.write_bytes(b""))),
        "a NIfTI of NaN": (False, lambda folder: each(folder, lambda f: rewrite(f, lambda v: v * np.nan))),
        "a NIfTI of one value": (False, lambda folder: each(folder, lambda f: rewrite(f, lambda v: v * 0))),
        "a NIfTI of one slice": (False, lambda folder: each(folder, lambda f: rewrite(f, lambda v: v[:, :, :1]))),
        "a NIfTI without a grid": (False, lambda folder: each(folder, lambda f: rewrite(f, None))),
        "DICOM that ends early": (True, lambda folder: each(folder, lambda f: f.write_bytes(f.read_bytes()[:400]))),
        "DICOM with a missing slice": (True, lambda folder: sorted(folder.rglob("*.dcm"))[5].unlink()),
        "DICOM without a place": (True, lambda folder: each(folder, without_place)),
    }
    faulty = {f"F{number:04d}": what for number, what in zip(range(count), cycle(faults), strict=False)}
    for number, (subject, what) in enumerate(faulty.items()):
        dicom, spoil = faults[what]
        spoil(write_study(ward, subject, 100_000 + number, dicom))
    return faulty


def write_study(ward: Path, subject: str, seed: int, dicom: bool) -> Path:
    """A CT, as one file or as slices, and a T1 in NIfTI beside it where it is one."""
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


def each(folder: Path, change: Callable[[Path], object]) -> None:
    for file in [file for file in folder.rglob("*") if file.is_file()]:
        change(file)


def rewrite(file: Path, change: Callable[[np.ndarray], np.ndarray] | None) -> None:
    image = nibabel.load(file)
    values = np.asarray(image.dataobj, dtype=np.float32)
    affine = image.affine if change else np.zeros((4, 4))
    spoilt = nibabel.Nifti1Image(change(values) if change else values, None if change is None else affine)
    if change is None:
        spoilt.header.set_sform(affine, code=2)
        spoilt.header.set_qform(None, code=0)
    nibabel.save(spoilt, file)


def without_place(file: Path) -> None:
    header = pydicom.dcmread(file)
    del header.ImagePositionPatient
    header.save_as(file)


def answers(out: Path) -> Answers:
    """What was predicted, and what failed and why."""
    found = {path.name: path.read_bytes() for path in sorted((out / "predictions").glob("[!.]*"))}
    return found | {key: reason.encode() for key, reason in batch_status(out).failed.items()}


def start(ward: Path, out: Path, *more: str, limit: int = 0) -> subprocess.Popen[bytes]:
    def limited() -> None:
        os.setpgrp()
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    command = [*POLYSCAN, "batch", BUNDLE, str(ward), "-o", str(out), *OPTIONS, *more]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet, preexec_fn=limited)


def finish(*runs: subprocess.Popen[bytes]) -> None:
    assert all(run.wait() in (0, 3) for run in runs), [run.returncode for run in runs]


@contextlib.contextmanager
def cluster() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address and the scheduler of a Dask cluster of two worker processes."""
    from distributed import Client

    port, quiet = free_port(), {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    address = f"tcp://127.0.0.1:{port}"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
    scheduler = subprocess.Popen([*dask, "--no-dashboard"], **quiet)
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nworkers", "2", "--nthreads", "1"]
    workers = subprocess.Popen([*worker, "--no-dashboard"], cwd=tempfile.gettempdir(), **quiet)
    try:
        with Client(address, timeout=120) as client:
            client.wait_for_workers(2, timeout=240)
        yield address, scheduler
    finally:
        for process in (workers, scheduler):
            process.terminate()
            process.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def workers_of(run: subprocess.Popen[bytes]) -> list[int]:
    """The processes of a run that do studies: those that no other process of it was forked from."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    found, new = set[int](), {run.pid}
    while new:
        found |= new
        new = {pid for pid, parent in parents.items() if parent in new} - found
    forking = {parents[pid] for pid in found if pid in parents}
    return sorted(found - forking - {run.pid})


def half_files(out: Path) -> list[str]:
    """Files under their own names that cannot be read to the end."""
    bad = []
    for file in [*out.glob("predictions/[!.]*.nii.gz"), *out.glob("prepared/[!.]*/*.nii.gz")]:
        try:
            np.asarray(nibabel.load(file).dataobj)
        except Exception:
            bad.append(file.name)
    for file in [*out.glob("records/[!.]*.json"), *out.glob("*.json")]:
        try:
            json.loads(file.read_text())
        except ValueError:
            bad.append(file.name)
    return bad


def trial(
    kind: str, ward: Path, out: Path, seconds: float, chance: random.Random
) -> tuple[dict[str, bytes], list[str]]:
    """A run that is disturbed at a random moment and started again: its answers, and the half files in between."""
    moment = chance.uniform(0.3, 1.0) * seconds
    if kind == "scheduler":
        with cluster() as (address, scheduler):
            run = start(ward, out, "--dask", address)
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(moment)
            scheduler.kill()
            run.wait()
    else:
        run = start(ward, out, "--jobs", "2", limit=chance.randint(300, 3000) if kind == "full disk" else 0)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(moment)
        if kind == "run" and run.poll() is None:
            os.kill(run.pid, signal.SIGKILL)
        if kind == "worker" and run.poll() is None and (workers := workers_of(run)):
            os.kill(chance.choice(workers), signal.SIGKILL)
        run.wait()
    half = half_files(out)
    finish(start(ward, out, "--jobs", "2"))
    return answers(out), half


def listener_trial(files: list[Path], out: Path, chance: random.Random) -> int:
    """Kill a listener while images come; returns how many that it confirmed are not in its spool as they were."""
    from pynetdicom import AE
    from pynetdicom.presentation import StoragePresentationContexts

    port = free_port()
    command = [*POLYSCAN, "listen", BUNDLE, "-o", str(out), "--host", "127.0.0.1", "--port", str(port)]
    listener = subprocess.Popen([*command, "--reserve", "0.001"], stderr=subprocess.DEVNULL)
    with socket.socket() as one:
        while one.connect_ex(("127.0.0.1", port)):
            time.sleep(0.2)
    entity = AE("SCANNER")
    entity.requested_contexts = StoragePresentationContexts
    association = entity.associate("127.0.0.1", port)
    confirmed, last = [], chance.randrange(1, len(files))
    for number, file in enumerate(files):
        if number == last:
            listener.kill()
        with contextlib.suppress(RuntimeError):
            if association.send_c_store(pydicom.dcmread(file)).get("Status") == 0:
                confirmed.append(pydicom.dcmread(file))
    listener.kill()
    listener.wait()
    spool = {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, out.glob("spool/*/[!.]*.dcm"))}
    return sum(one.SOPInstanceUID not in spool or spool[one.SOPInstanceUID] != one for one in confirmed)


def watched(out: Path, runs: list[subprocess.Popen[bytes]]) -> str:
    """Memory and time from study to study of runs that do studies in their own process, the first fifth left aside."""
    told = []
    while all(run.poll() is None for run in runs):
        time.sleep(0.5)
        done = len(list(out.glob("records/[!.]*.json")))
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages = [int(Path(f"/proc/{run.pid}/statm").read_text().split()[1]) for run in runs]
            if all(pages):  # one that has ended holds none
                told.append((time.perf_counter(), done, *(each * resource.getpagesize() / 2**20 for each in pages)))
    seen = np.array(told)
    seen = seen[seen[:, 1] >= seen[-1, 1] / 5]
    middle = (seen[0, 1] + seen[-1, 1]) / 2
    slopes = [np.polyfit(seen[:, 1] / len(runs), megabytes, 1)[0] for megabytes in seen[:, 2:].T]
    halves = seen[seen[:, 1] <= middle], seen[seen[:, 1] >= middle]
    seconds = [len(runs) * np.ptp(half[:, 0]) / np.ptp(half[:, 1]) for half in halves]
    ends = ", ".join(f"{first:.0f} to {last:.0f} MB" for first, last in zip(seen[0, 2:], seen[-1, 2:], strict=True))
    kilobytes = ", ".join(f"{slope * 1024:+.1f}" for slope in slopes)
    gigabytes = ", ".join(f"{slope * 10_000 / 1024:+.2f}" for slope in slopes)
    return (
        f"{ends} over {np.ptp(seen[:, 1]) / len(runs):.0f} studies each, {kilobytes} kB a study, {gigabytes} GB over "
        f"10,000; {seconds[0]:.2f} and {seconds[1]:.2f} s a study in the halves"
    )


def told_of(out: Path, key: str) -> str:
    """What is said of a study that was answered for all the same: its problems, and what of its scans was repaired."""
    (study,) = read_manifest(out / "records" / f"sub-{key}.json").testing
    sidecars = [json.loads(Path(str(scan.sidecar)).read_text()) for scan in study.scans.values()]
    repaired = [text for one in sidecars for step in one["Steps"] for text in step.get("repaired", [])]
    return f"answered: {'; '.join([*study.problems.values(), *repaired]) or 'nothing is said'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=200, help="of which a tenth is faulty, in ten ways in turn")
    parser.add_argument("--trials", type=int, default=30, help="that are disturbed")
    parser.add_argument("--work", type=Path, required=True, help="a new folder")
    options = parser.parse_args()
    ward = options.work / "ward"
    faulty = make(ward, options.studies)
    begun = time.perf_counter()
    finish(start(ward, options.work / "jobs", "--jobs", "2"))
    seconds = time.perf_counter() - begun
    expected = answers(options.work / "jobs")
    failed = batch_status(options.work / "jobs").failed
    found = json.loads((options.work / "jobs" / "studies.json").read_text())
    masks = sum(name.endswith(".nii.gz") for name in expected)
    print(
        f"{options.studies} studies, {len(faulty)} of them faulty: "
        f"{masks} answered, {len(failed)} failed, {seconds:.0f} s"
    )
    for key, what in faulty.items():
        left = [each["reason"] for each in found.get("left_out", []) if each["series"].startswith(key)]
        print(
            f"  {what}: {failed.get(f'sub-{key}') or '; '.join(left) or told_of(options.work / 'jobs', key)}",
            flush=True,
        )
    shards = [start(ward, options.work / "shards", "--jobs", "1", "--shard", f"{part}/2") for part in (1, 2)]
    memory = watched(options.work / "shards", shards)
    finish(*shards)
    print(f"two shards at once: {'the same' if answers(options.work / 'shards') == expected else 'OTHER'}", flush=True)
    print(f"memory of each: {memory}", flush=True)
    with cluster() as (address, _):
        finish(start(ward, options.work / "dask", "--dask", address))
    print(f"Dask, two workers: {'the same' if answers(options.work / 'dask') == expected else 'OTHER'}", flush=True)
    chance, kinds = random.Random(0), ("run", "worker", "full disk", "scheduler", "listener")
    images = sorted(ward.glob("G*/CT/*.dcm"))[: SHAPE[2]]
    told = {kind: [0, 0, 0] for kind in kinds}
    for number in range(options.trials):
        kind, out = kinds[number % len(kinds)], options.work / f"trial{number}"
        if kind == "listener":
            same, half = listener_trial(images, out, chance) == 0, []
        else:
            result, half = trial(kind, ward, out, seconds, chance)
            same = result == expected
        told[kind] = [told[kind][0] + 1, told[kind][1] + same, told[kind][2] + len(half)]
        print(f"  trial {number + 1}, {kind}: {'the same' if same else 'OTHER'}, {len(half)} half files", flush=True)
        shutil.rmtree(out)
    for kind, (count, same, half) in told.items():
        print(f"{kind}: {count} trials, {same} the same in the end, {half} half files seen")


if __name__ == "__main__":
    main()
