"""Commands in processes of their own, what may stand beside them, and waiting for either.

Processes are forks of one that has imported MONAI and run nothing: importing takes longer than most commands.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

LATE = ["torch._dynamo"]
"""What optimisers import when they are made."""
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["ignite.engine", "monai.bundle", "polyscan.batch.one_study", "polyscan.cli", *LATE])
ORTHANC = shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin")


def start(arguments: list[str], log: Path) -> BaseProcess:
    """A command of polyscan that runs, as ``python -m polyscan``, in a session of its own that Ctrl-C reaches."""
    process = FORKS.Process(target=_command, args=(arguments, log))
    process.start()
    return process


def _command(arguments: list[str], log: Path) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it runs in the background ignore it
    say_to(log)
    from polyscan.cli import main

    sys.exit(main(arguments))


def say_to(log: Path) -> None:
    """Let this process write what it says to a file."""
    with log.open("w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)


def until(condition: Callable[[], object], seconds: float = 300) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def free_port() -> int:
    """One that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def accepts(port: int) -> bool:
    """Whether something listens at it."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def orthanc(folder: Path, dicom: int | None = None) -> Iterator[str]:
    """Debian's Orthanc, which keeps what it gets in a folder and may listen at a DICOM port: its address."""
    http = free_port()
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "HttpPort": http,
        "DicomServerEnabled": dicom is not None,
        "DicomPort": dicom or 0,
        "DicomAlwaysAllowStore": True,
        "AuthenticationEnabled": False,
        "Plugins": ["/usr/share/orthanc/plugins"],
        "DicomWeb": {"Enable": True},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "orthanc.txt").open("w") as log:
        process = subprocess.Popen([str(ORTHANC), str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        until(lambda: all(map(accepts, filter(None, (http, dicom)))) or process.poll() is not None)
        assert process.poll() is None, (folder / "orthanc.txt").read_text()[-2000:]
        yield f"http://127.0.0.1:{http}"
    finally:
        process.terminate()
        process.wait(20)
