"""What every study of a batch is done with, and what is noted of one; no network is loaded here."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from filelock import Timeout

from polyscan.batch.status import PARTS, lock, record_files, record_of
from polyscan.bundle.config import bundle_folder, read_metadata
from polyscan.bundle.earlier import check_same_bundle
from polyscan.bundle.inference_options import DEFAULTS, InferenceOptions
from polyscan.bundle.weights import inference_fingerprint
from polyscan.files.atomic import clear_parts
from polyscan.files.digest import digest_of
from polyscan.preprocess.kept import made_from
from polyscan.study import Study
from polyscan.study.manifest import Failure, Manifest, write_manifest


@dataclass(frozen=True)
class Halt:
    """Why no further study can be done, which is no fault of the one that it was seen at: that stays to be done.

    Attributes:
        reason: a sentence for the user.
    """

    reason: str


Outcome = Literal["done", "failed", "kept", "elsewhere"] | Halt
"""Answered now; failed now; an earlier run's record is current; another run is at it; nothing can be done now."""


@dataclass(frozen=True)
class Batch:
    """What every study of a batch is done with, the same in every process.

    Attributes:
        out: the batch's folder.
        bundle: the bundle's folder.
        weights: a file of weights; the bundle's own if None.
        settings: fingerprint of the bundle's settings and weights.
        registered: whether the scans of each study are registered to each other already.
        retry_failed: whether what failed before is tried again though nothing changed.
        devices: what networks run on, such as ``("cuda:0", "cuda:1")``, shared out among the studies; the bundle's
            choice where empty.
        pages: whether a page of each study is drawn.
        options: what is asked for beside the plain answers.
    """

    out: Path
    bundle: Path
    weights: Path | None = None
    settings: str = ""
    registered: bool = False
    retry_failed: bool = False
    devices: tuple[str, ...] = ()
    pages: bool = True
    options: InferenceOptions = DEFAULTS


def plan_batch(bundle: str | Path, out: str | Path, weights: str | Path | None, **attributes: Any) -> Batch:
    """What every study is to be done with; whether the network can do it is told where it is loaded.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        out: the batch's folder.
        weights: a file of weights; the bundle's own if None.
        attributes: further ones of the :class:`Batch`.

    Raises:
        PolyscanError: there is no such bundle, or there are no such weights, or the folder holds what another bundle
            answered.
    """
    folder = bundle_folder(bundle)
    batch = Batch(Path(out).absolute(), folder, Path(weights).absolute() if weights is not None else None, **attributes)
    batch = replace(batch, settings=inference_fingerprint(folder, weights, batch.options.overrides))
    check_same_bundle(batch.out, record_files(batch.out), folder.resolve().name)
    return batch


def clear_begun(studies: Iterable[Study], batch: Batch) -> None:
    """Clear away what processes began of these studies that were ended in the middle, unless another run is at it."""
    parts = " ".join(part.name for folder in PARTS for part in (batch.out / folder).glob(".part-*"))
    for study in studies:
        if study.key in parts:
            with suppress(Timeout), lock(batch.out, study.key).acquire(timeout=0):
                clear(study, batch)


def clear(study: Study, batch: Batch) -> None:
    """Clear away what a process began of a study that was ended in the middle."""
    for folder in PARTS:
        clear_parts(batch.out / folder, study.key)


def batch_made_from(study: Study, batch: Batch) -> str:
    """Changes where anything does that a study's answer depends on; empty where a file is not there."""
    protocol = read_metadata(batch.bundle).get("protocol")
    scans = made_from(study, protocol, batch.registered)
    return scans and digest_of(scans, batch.settings)


def write_failed(study: Study, batch: Batch, reason: str) -> None:
    """Note that there is no answer for a study, and why."""
    record = Manifest(
        failed=[Failure(study.key, reason)], made_from=batch_made_from(study, batch), finished=timestamp()
    )
    write_manifest(record_of(batch.out, study.key), record)


def timestamp() -> str:
    """The time as records have it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
