"""One training is one folder."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json, write_json
from polyscan.files.names import BEST, CALIBRATION, CURVES
from polyscan.files.owned import rewrite_owned
from polyscan.learning.checkpoint import CHECKPOINT, LAST
from polyscan.learning.history import TABLE
from polyscan.preprocess.profiles import NAME as PROFILES
from polyscan.study.manifest import read_manifest
from polyscan.study.outputs import OutputFolder, fingerprint, sources_of

CONFIG, RECORD, TENSORBOARD = "config.json", "run.json", "tensorboard"
JOB, LOGS = "job.sh", "logs"
"""Of a training that a scheduler starts: its script, and the folder of what it said."""
PACKAGES = ("polyscan", "torch", "monai", "numpy", "pytorch-ignite")
_HOLDS = (BEST, LAST, CALIBRATION, CHECKPOINT, TABLE, CURVES, CONFIG, RECORD, TENSORBOARD, PROFILES)


class RunFolder:
    """The folder of one training: all that it was, and all that came of it.

    - ``model.pt``, the weights of the best validation; ``last.pt``, those of the last epoch; ``checkpoint.pt``
    - ``config.json``, the bundle's whole config with what was changed in it; ``run.json``, data, versions, device
    - ``training.csv``, losses, metrics and pace of each epoch; ``training.png``, their curves; ``tensorboard/``

    Where config and data are what they would be now, a training goes on. Another training is replaced only if asked.

    Args:
        path: of the folder; it is new, empty, or was made by training.
        config: of the training, without paths.
        manifest: the prepared manifest.
        restart: replace another training that is there.

    Attributes:
        record: what ``run.json`` will say, to which may be added inside ``writing``.
        resume: whether the folder holds this same training.
        finished: whether that has ended.

    Raises:
        PolyscanError: the folder cannot be written to, holds another training, or a scan of the manifest is not there.
    """

    def __init__(self, path: str | Path, config: Mapping[str, Any], manifest: str | Path, *, restart: bool) -> None:
        self.path = Path(path)
        found = read_manifest(manifest)
        self.owned = OutputFolder.claim(path, "train", sources_of(found.studies), found.scanned)
        self.config = json.loads(json.dumps(config))
        self.record: dict[str, Any] = {
            "data": {"studies": len(found.studies), "fingerprint": fingerprint_of(manifest)},
            **environment(),
        }
        begun = any((self.path / name).is_file() for name in (BEST, CHECKPOINT))
        other = self._others() if begun else []
        if other and not restart:
            raise PolyscanError(
                f"{path} holds another training ({', '.join(other[:3])}); name another folder, or replace it with "
                "--restart."
            )
        self.resume = begun and not restart
        self.finished = self.resume and bool(read_json(self.path / RECORD)["finished"])

    def _others(self) -> list[str]:
        """What differs between the training that is there and this one."""
        if not all((self.path / name).is_file() for name in (CONFIG, RECORD)):
            return [f"it has no {CONFIG} and {RECORD}"]
        data = read_json(self.path / RECORD).get("data")
        other = _differences(read_json(self.path / CONFIG), self.config)
        return other if data == self.record["data"] else [*other, "its data have changed"]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Own the folder inside the block, and say at its end that the training has finished."""
        self.owned.will_hold(_HOLDS)
        with self.owned.alone():
            if not self.resume:
                self.owned.remove_others([RECORD, JOB, LOGS])
                self.owned.will_hold(_HOLDS)
            with rewrite_owned(self.path, "train") as written:
                write_json(self.path / CONFIG, self.config)
                write_json(self.path / RECORD, {**self.record, "finished": False})
                yield
                write_json(self.path / RECORD, {**self.record, "finished": True})
                written += set(_HOLDS) - {CALIBRATION}  # which polyscan calibrate makes, time and again


def fingerprint_of(manifest: str | Path) -> str:
    """Changes where the manifest does, or a file that it names.

    Raises:
        PolyscanError: a file that it names is not there.
    """
    content = Path(manifest).read_bytes()
    try:
        files = fingerprint(str(source) for source in sources_of(read_manifest(manifest).studies))
    except OSError as error:
        name = Path(error.filename or "").name
        raise PolyscanError(f"{manifest} names {name}, which cannot be read; run polyscan prepare again.") from error
    return hashlib.sha256(content + files.encode()).hexdigest()[:16]


def environment() -> dict[str, Any]:
    """Versions and the device, as far as they can change a result."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "device": device,
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Which entries of two configs differ, by name; NaN is equal to NaN."""
    if json.dumps(before) == json.dumps(now):
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        path = f"{name}#" if name else ""
        return [d for key in {**before, **now} for d in _differences(before.get(key), now.get(key), f"{path}{key}")]
    plain = not any(isinstance(value, (dict, list)) for value in (before, now))
    return [f"{name} was {before}, is {now}" if plain else name]
