"""Studies as they come to a folder, each once its files have settled."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

from polyscan.batch.run import batch
from polyscan.bundle.config import bundle_folder
from polyscan.bundle.weights import inference_fingerprint
from polyscan.errors import PolyscanError
from polyscan.study import Study
from polyscan.study.outputs import OutputFolder, fingerprint, sources_of

_LOG = logging.getLogger(__name__)


def watch(
    bundle: str | Path,
    source: str | Path,
    out: str | Path,
    *,
    settle: float,
    stop: threading.Event | None = None,
    pause: float = 10.0,
    weights: str | Path | None = None,
    **arguments: Any,
) -> None:
    """Do studies as they come to a folder, until told to stop: each once nothing of it changed for a while.

    Args:
        bundle: see :func:`batch`.
        source: the folder.
        out: see :func:`batch`.
        weights: see :func:`batch`.
        settle: seconds for which the files of a study must be as they are.
        stop: set to end; the process may as well be killed.
        pause: seconds between two looks at the folder.
        arguments: further ones of :func:`batch`.

    Raises:
        PolyscanError: the bundle or the folders cannot be used.
    """
    inference_fingerprint(bundle_folder(bundle), weights)
    if not Path(source).is_dir():
        raise PolyscanError(f"{source} is no folder; give the folder that studies come to.")
    OutputFolder.claim(out, "batch", scanned=source)
    stop = stop or threading.Event()
    looked_at: dict[str, str] = {}  # study to what it was then; while it stays so it is done

    def choose(study: Study) -> bool:
        state, last = _state(study)
        if not state or time.time() - last < settle or looked_at.get(study.key) == state:
            return False
        looked_at[study.key] = state
        return True

    while not stop.is_set():
        try:
            batch(bundle, source, out, weights=weights, choose=choose, **arguments)
        except PolyscanError as error:  # nothing came yet, all failed, or the disk is full: that may change
            _LOG.warning("%s", error)
            looked_at.clear()
        stop.wait(pause)


def _state(study: Study) -> tuple[str, float]:
    """What changes where a file of a study does, and when the last did; nothing where one is gone."""
    try:
        sources = sources_of([study])
        files = [file for path in sources for file in (path.iterdir() if path.is_dir() else [path])]
        last = max(max(stat.st_mtime, stat.st_ctime) for stat in (file.stat() for file in files))
        return fingerprint(map(str, sources)), last
    except (OSError, ValueError):
        return "", 0.0
