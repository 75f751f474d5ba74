"""Where the CPU time of preparing one study goes, step by step, and the memory that it needs.

    python benchmarks/prepare_profile.py [--data FOLDER] [--beside OTHER/src ...] [--repeats 5]
    python benchmarks/prepare_profile.py --whole-body [--beside OTHER/src ...] --repeats 1

Each run of ``polyscan prepare`` is a fresh process of one thread; times are CPU seconds, medians and ranges.
``imports`` is what a process pays once, however many studies it prepares. ``--beside`` names the ``src`` of other
versions that read the same manifests: their runs alternate with this one's, and their images are compared with its own.

Studies: a made head's four contrasts at 1 mm and its CT and PET at 2 mm; with ``--data`` a glioma patient's four
contrasts, brought to 1 mm, and a sarcoma patient's CT and PET from DICOM at 2 mm. ``--whole-body`` makes, alone, a
PET/CT in DICOM of 512 x 512 x 900 and 400 x 400 x 900 voxels.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import yaml
from dicom_readers import slice_of

from polyscan.files.dicom import save_dicom
from polyscan.phantom.cohort import make_cohort
from polyscan.study import Scan, Study
from polyscan.study.manifest import Manifest, write_manifest

_BRAIN = ("T1", "T1c", "T2", "FLAIR")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
# polyscan takes its times by perf_counter; what is asked for here is CPU time.
_RUN = """
import resource, sys, time
time.perf_counter = time.process_time
import monai.bundle, polyscan.preprocess.intensity_steps
imported = time.process_time()
from polyscan.cli import main
main(sys.argv[1:])
usage = resource.getrusage(resource.RUSAGE_SELF)
print(imported, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20)
"""


def write(folder: Path, images: dict[str, Path], resolution: str | float) -> Path:
    """Write a manifest of one study, and a protocol as those that come with polyscan at a resolution."""
    names = list(images)
    steps: list[dict] = [
        {
            "_target_": "polyscan.preprocess.LoadScansd",
            "modalities": names,
            "reference": [n for n in ("CT", "T1c") if n in names],
        },
        {"_target_": "polyscan.preprocess.RegisterRigidd", "within_frame": "T1c" in names, "keep_untrusted": True},
        {"_target_": "polyscan.preprocess.Resampled", "resolution": resolution},
        {"_target_": "polyscan.preprocess.ForegroundMaskd"},
        {"_target_": "polyscan.preprocess.ZScored", "keys": [name for name in names if name not in ("CT", "PET")]},
    ]
    folder.mkdir(parents=True)
    study = Study("1", scans={name: Scan(str(path)) for name, path in images.items()})
    write_manifest(folder / "manifest.json", Manifest(testing=[study]))
    (folder / "protocol.yaml").write_text(yaml.safe_dump({"steps": steps}))
    return folder


def studies(folder: Path, data: Path | None) -> Iterator[tuple[str, Path]]:
    """Name and folder of each study."""
    make_cohort(folder / "made", subjects=1, size="full", modalities=(*_BRAIN, "CT", "PET"), missing=0.0)
    made, endings = folder / "made" / "sub-001", {"T1": "T1w", "T1c": "ce-gd_T1w", "T2": "T2w", "FLAIR": "FLAIR"}
    brain = {name: made / "anat" / f"sub-001_{ending}.nii.gz" for name, ending in endings.items()}
    yield "made head, four contrasts, 1 mm", write(folder / "a", brain, "reference")
    pair = {"CT": made / "ct" / "sub-001_ct.nii.gz", "PET": made / "pet" / "sub-001_pet.nii.gz"}
    yield "made PET/CT, 2 mm", write(folder / "b", pair, 2.0)
    if data is not None:
        native = data.resolve() / "glioma_mri_native" / "native"
        yield (
            "glioma, four contrasts, 1 mm",
            write(folder / "c", {n: native / f"{n.lower()}.nii.gz" for n in _BRAIN}, 1.0),
        )
        sarcoma = data.resolve() / "sarcoma_ct_mr_pet" / "dicom" / "STS_002"
        yield "sarcoma PET/CT, 2 mm", write(folder / "d", {n: sarcoma / n / "image" for n in ("CT", "PET")}, 2.0)


def whole_body(folder: Path) -> Iterator[tuple[str, Path]]:
    """A PET/CT in DICOM: noise about a cylinder of water."""
    rng = np.random.default_rng(0)
    for kind, modality, size, pixel in (("CT", "CT", 512, 0.98), ("PT", "PET", 400, 1.65)):
        (folder / modality).mkdir(parents=True)
        row, column = (np.indices((size, size)) - size / 2) * pixel
        body = np.where(np.hypot(row, column / 1.4) < 140, 0, -1000) + (1000 if kind == "PT" else 0)
        noise = rng.integers(-30, 30, (8, size, size))
        for k in range(900):
            ds = slice_of(k, np.array([-size / 2 * pixel, -size / 2 * pixel, 2.0 * k]), kind=kind, series=f"1.2.{size}")
            ds.Rows = ds.Columns = size
            ds.PixelSpacing, ds.SliceThickness = [pixel, pixel], 2
            ds.PixelData = (body + noise[k % 8]).astype("<i2").tobytes()
            ds.RescaleSlope = 0.005 if kind == "PT" else 1
            save_dicom(ds, folder / modality / f"{k:04d}.dcm")
    yield "whole-body PET/CT", write(folder / "w", {name: folder / name for name in ("CT", "PET")}, "reference")


def run(source: Path, folder: Path, out: Path) -> dict[str, float]:
    """CPU seconds of each part of one run, and the most memory in GiB."""
    environment = {**os.environ, "PYTHONPATH": str(source), **dict.fromkeys(_THREADS, "1")}
    command = [sys.executable, "-c", _RUN, "prepare", str(folder / "manifest.json"), "-o", str(out), "--jobs", "1"]
    command += ["--protocol", str(folder / "protocol.yaml")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    imports, process, memory = map(float, done.stdout.splitlines()[-1].split())
    seconds = json.loads((out / "manifest.json").read_text())["testing"][0]["preparation"]["seconds"]
    steps = {name: seconds[name] for name in ("read", "register", "resample", "mask", "z-score")}
    study = process - imports
    write = study - sum(steps.values())
    return {"imports": imports, **steps, "write and rest": write, "study": study, "most memory, GiB": memory}


def differences(folder: Path, other: Path) -> str:
    """The largest difference of the images of two runs, and of what part of the voxels it is more than a thousandth."""
    told = []
    for path in sorted(folder.rglob("*preproc*.nii*")):
        beside = next(iter(other.rglob(path.name.split(".")[0] + ".nii*")))
        mine, others = (np.asarray(nibabel.load(file).dataobj) for file in (path, beside))
        if mine.shape != others.shape:
            told.append(f"{path.name}: shapes {mine.shape} and {others.shape}")
            continue
        apart = np.abs(mine - others)
        far = (np.nan_to_num(apart) > 1e-3).mean()
        nan = (np.isnan(mine) != np.isnan(others)).sum()
        name = path.name.rsplit("_", 1)[-1].split(".")[0]
        told.append(f"{name}: at most {np.nanmax(apart):.3g}, {far:.2%} above 0.001, {nan} voxels absent in one only")
    return "; ".join(told)


def main() -> None:
    """Print a table of each study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--beside", type=Path, nargs="*", default=[])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--whole-body", action="store_true")
    options = parser.parse_args()
    sources = [Path(__file__).resolve().parents[1] / "src", *(path.resolve() for path in options.beside)]
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for number, (name, folder) in enumerate(
            whole_body(place) if options.whole_body else studies(place, options.data)
        ):
            runs: list[list[dict[str, float]]] = [[] for _ in sources]
            for _ in range(options.repeats):
                for k, source in enumerate(sources):
                    runs[k].append(run(source, folder, place / f"out{number}-{k}"))
                    for marker in (place / f"out{number}-{k}").rglob("study.json"):
                        marker.unlink()  # so that the next run prepares it anew
            print(f"\n{name}\n\n| version | " + " | ".join(runs[0][0]) + " |\n" + "|---" * (len(runs[0][0]) + 1) + "|")
            for source, found in zip(sources, runs, strict=True):
                cells = []
                for part in found[0]:
                    values = [one[part] for one in found]
                    cells.append(f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
                print(f"| {source} | " + " | ".join(cells) + " |", flush=True)
            for k in range(1, len(sources)):
                print(
                    f"images beside {sources[k]}: {differences(place / f'out{number}-0', place / f'out{number}-{k}')}"
                )


if __name__ == "__main__":
    main()
