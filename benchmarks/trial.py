"""What trials of commands share: a made ward of scans, and a command run in a fork or here."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path

import torch
from monai.data import MetaTensor

from polyscan.cli import main as polyscan
from polyscan.formats.nifti import write_nifti
from polyscan.study import Label, Scan, Study
from polyscan.study.manifest import Manifest, write_manifest

BUNDLE = "sarcoma_ct_mr_pet_segmentation"
SHAPE = (24, 24, 12)
RAW = re.compile(r"Traceback|\b(?!PolyscanError)[A-Z]\w*(?:Error|Exception)\b: ")
"""What an exception of Python or a library looks like where a sentence should stand."""


def make(folder: Path, studies: int) -> Path:
    """Write CT, T1 and the mask of a ball in it, and their manifest."""
    x = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    affine, listed = torch.diag(torch.tensor([2.0, 2.0, 4.0, 1.0])), []
    for number in range(studies):
        generator = torch.Generator().manual_seed(number)
        body = x.square().sum(0) < 0.8
        ball = (x - 0.2 * torch.rand(3, 1, 1, 1, generator=generator)).square().sum(0) < 0.1
        noise = torch.randn(SHAPE, generator=generator)
        values = {"CT": body * 1040 - 1000 + 60 * ball + 5 * noise, "T1": (100 + 50 * x[1] + 40 * ball + noise) * body}
        home = folder / f"patient{number}"
        for name, image in [*values.items(), ("mask", ball.to(torch.uint8))]:
            write_nifti(home / f"{name}.nii.gz", MetaTensor(image[None], affine=affine))
        scans = {name: Scan(str(home / f"{name}.nii.gz")) for name in values}
        label = Label(str(home / "mask.nii.gz"), drawn_on="CT")
        listed.append(Study(f"{number}", scans=scans, label=label))
    manifest = folder.parent / "scans.json"
    write_manifest(manifest, Manifest(training=listed, roots={"scans": str(folder)}))
    return manifest


def hashes(folder: Path) -> dict[str, str]:
    """Of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass
class Ended:
    """How a command ended: its status, -9 where it was killed, what it printed, and whether it was disturbed."""

    status: int
    printed: str
    seconds: float
    cut_short: bool


def run(
    command: list[str], *, largest_file: int | None = None, meanwhile: Callable[[int], None] = lambda process: None
) -> Ended:
    """Run a command in a fork, in a session of its own."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as printed:
        process = os.fork()
        if process == 0:
            os.setsid()
            forkserver._forkserver._forkserver_pid = None  # type: ignore[attr-defined]  # which only the parent may ask
            os.dup2(printed.fileno(), 1)
            os.dup2(printed.fileno(), 2)
            if largest_file is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
            status = 70
            try:
                status = polyscan(command)
            except SystemExit as error:
                status = error.code if isinstance(error.code, int) else 2
            except BaseException as error:
                with contextlib.suppress(OSError):
                    os.write(2, f"Traceback: {type(error).__name__}: {error}".encode())
            finally:
                os._exit(status)
        meanwhile(process)
        _, ended = os.waitpid(process, 0)
        printed.seek(0)
        text = printed.read().decode(errors="replace")
    code = os.waitstatus_to_exitcode(ended)
    return Ended(code, text, time.perf_counter() - start, cut_short=code != 0)


def quietly(command: list[str]) -> Ended:
    """Run a command here; what is no PolyscanError is raised as a user would see it."""
    printed = io.StringIO()
    start = time.perf_counter()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            status = polyscan(command)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 2
        except Exception as error:
            status = 70
            print(f"Traceback: {type(error).__name__}: {error}")
    return Ended(status, printed.getvalue(), time.perf_counter() - start, cut_short=status != 0)


def prepared(manifest: Path, out: Path) -> Path:
    """Prepare a made ward; returns its prepared manifest."""
    ended = run(["prepare", str(manifest), "-o", str(out), "--registered", "--jobs", "1"])
    assert ended.status == 0, ended.printed
    return out / "manifest.json"


def has_ended(process: int) -> bool:
    """Whether a process has, without taking note of how."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
