"""What the server does for a study, without a word of HTTP: find it, prepare it, answer, learn from corrections."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from polyscan.errors import PolyscanError, sentence
from polyscan.io.files import read_json, whole_file
from polyscan.io.manifest import Manifest, read_manifest, write_manifest
from polyscan.io.nifti import read_nifti, write_nifti
from polyscan.io.read import is_nifti, read_image
from polyscan.io.scan import scan
from polyscan.preprocess.prepare import prepare_study
from polyscan.study import Study
from polyscan.workflows import bundle as runs

SHOWN = ("T1c", "CT", "T1", "T2", "FLAIR", "PET")
"""Which scan of a study stands for it in a viewer, the first there is."""


class StudyService:
    """Answers for the studies of one folder with the bundles of another.

    What it computes lies in ``<studies>/.polyscan``: prepared studies, scans as NIfTI for viewers, weights that were
    trained on corrections. Nothing else in the folder is touched.

    Args:
        studies: a folder of studies as ``polyscan scan`` reads it, NIfTI or DICOM.
        bundles: folders of bundles.

    Raises:
        PolyscanError: a bundle lacks what is needed, or the folder holds no study.
    """

    def __init__(self, studies: str | Path, bundles: Sequence[str | Path]) -> None:
        self.folder = Path(studies).resolve()
        self.work = self.folder / ".polyscan"
        self.bundles = {Path(bundle).name: Bundle(Path(bundle)) for bundle in bundles}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._listed: tuple[str, ...] = ()
        self._studies: dict[str, Study] = {}
        self.studies()

    def studies(self) -> dict[str, Study]:
        """Studies by their key; read again where the folder has changed."""
        listed = tuple(sorted(f"{p.name} {p.stat().st_mtime_ns}" for p in self.folder.iterdir() if _is_study(p)))
        with self._locks["studies"]:
            if listed != self._listed:
                self._studies = {study.key: study for study in scan(self.folder).studies}
                self._listed = listed
        return self._studies

    def study(self, key: str) -> Study:
        """One study.

        Raises:
            PolyscanError: there is no such study.
        """
        studies = self.studies()
        if key not in studies:
            raise PolyscanError(f"There is no study {key!r}; {len(studies)} are known: see /datastore/?output=all.")
        return studies[key]

    def find(self, image: str) -> Study:
        """The study that a name, the scan that stands for it, or any folder or file of scans means.

        Raises:
            PolyscanError: it means none, or more than one.
        """
        studies, path = self.studies(), Path(image)
        if image in studies or not path.exists():
            return self.study(image)
        for study in studies.values():
            if path == self._standing(study):
                return study
        found = scan(path if path.is_dir() else path.parent).studies
        if len(found) != 1:
            raise PolyscanError(f"{path.name} holds {len(found)} studies; expected the scans of one.")
        return found[0]

    def shown(self, study: Study) -> Path:
        """A NIfTI of the scan that stands for a study in a viewer; a DICOM series is converted once."""
        path = self._standing(study)
        with self._locks[str(path)]:
            if path.parent == self.work / "shown" and not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                name = _stands(study)
                write_nifti(path, read_image(study.images[name], name))
        return path

    def answer(
        self, bundle: str, study: Study, out: Path, *, absent: Sequence[str] = (), explain: bool = False
    ) -> tuple[Path, dict[str, Any]]:
        """Segment a study with a bundle.

        Args:
            bundle: name of a bundle.
            study: its scans.
            out: folder for the mask.
            absent: modalities to treat as though they had not been acquired.
            explain: also answer without each modality in turn: how much the mask changes says what drove it, and the
                mean of that how little sure the answer is.

        Returns:
            The mask, in the space of the reference scan, and what is to be said of it.

        Raises:
            PolyscanError: the study cannot be answered.
        """
        start = time.perf_counter()
        model = self.model(bundle)
        prepared = self._prepared(model, study)
        there = [m for m in model.modalities if m in prepared.images and m not in absent]
        if not there:
            raise PolyscanError(
                f"{study.key} has none of the modalities that {bundle} reads ({', '.join(model.modalities)}); "
                f"it has {', '.join(prepared.images) or 'none'}."
            )
        ready = time.perf_counter()
        mask = self._infer(model, prepared, out, absent)
        facts: dict[str, Any] = {
            "study": study.key,
            "reference": prepared.extra["reference"],
            "modalities": there,
            "absent": [m for m in model.modalities if m not in there],
            "problems": {name: problem for name, problem in prepared.extra["problems"].items() if problem},
            "millilitres": _volumes(mask, model.labels),
        }
        if explain and len(there) > 1:
            changes = {}
            for name in there:
                other = self._infer(model, prepared, out / f"without_{name}", [*absent, name])
                changes[name] = round(1 - _dice(mask, other), 4)
            facts["contributions"] = changes
            facts["uncertainty"] = round(float(np.mean(list(changes.values()))), 4)
        done = time.perf_counter()
        facts["latencies"] = {"prepare": round(ready - start, 2), "infer": round(done - ready, 2)}
        return mask, facts

    def train(self, bundle: str, masks: Mapping[str, Path], overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Go on training a bundle on corrected masks; its answers come from the new weights afterwards.

        Args:
            bundle: name of a bundle.
            masks: study to mask, in the space of the scan that was segmented.
            overrides: entries of the bundle's train config, such as ``{"max_epochs": 10}``.

        Raises:
            PolyscanError: fewer than two studies have a mask, or training cannot run.
        """
        model = self.model(bundle)
        if len(masks) < 2:
            raise PolyscanError(f"{len(masks)} studies have a final label; training needs two at least.")
        studies = []
        for key, mask in sorted(masks.items()):
            prepared = self._prepared(model, self.study(key))
            studies.append(replace(prepared, label={"mask": str(mask)}))
        run = self.work / "training" / bundle
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        write_manifest(run / "manifest.json", Manifest(training=studies))
        weights = runs.train(
            model.folder, run / "manifest.json", run, overrides={"pretrained": str(self._weights(model)), **overrides}
        )
        kept = self._trained(model)
        with whole_file(kept) as temporary:
            shutil.move(weights, temporary)
        return {"studies": sorted(masks), "weights": str(kept)}

    def model(self, bundle: str) -> Bundle:
        """A bundle by its name.

        Raises:
            PolyscanError: there is no such bundle.
        """
        if bundle not in self.bundles:
            raise PolyscanError(f"There is no bundle {bundle!r}; there are {', '.join(self.bundles)}.")
        return self.bundles[bundle]

    def _standing(self, study: Study) -> Path:
        """Where :meth:`shown` keeps or finds its NIfTI."""
        name = _stands(study)
        source = study.images[name]
        if isinstance(source, str) and is_nifti(source):
            return Path(source)
        return self.work / "shown" / f"{study.key}_{name}.nii.gz"

    def _prepared(self, model: Bundle, study: Study) -> Study:
        """A study as the bundle's protocol prepares it, kept until its scans change."""
        every = self.work / "prepared" / model.protocol / study.key
        folder = every / _fingerprint(study)[:16]
        with self._locks[str(every)]:
            if not (folder / "manifest.json").exists():
                shutil.rmtree(every, ignore_errors=True)
                try:
                    prepared = prepare_study(study, folder, model.protocol)
                except Exception as error:  # whatever a library makes of a bad file
                    raise PolyscanError(f"{study.key} cannot be prepared: {sentence(error)}") from error
                write_manifest(folder / "manifest.json", Manifest(testing=[prepared]))
            return read_manifest(folder / "manifest.json").studies[0]

    def _infer(self, model: Bundle, prepared: Study, out: Path, absent: Sequence[str]) -> Path:
        out.mkdir(parents=True, exist_ok=True)
        manifest = out / "manifest_in.json"
        write_manifest(manifest, Manifest(testing=[replace(prepared, label={})]))
        answered = runs.infer(model.folder, manifest, out, weights=self._weights(model), absent=list(absent))
        if not answered.studies:
            raise PolyscanError(str(answered.info.get("failed", [{}])[0].get("reason", "the study was not answered")))
        return Path(answered.studies[0].extra["prediction"])

    def _weights(self, model: Bundle) -> Path:
        trained = self._trained(model)
        return trained if trained.exists() else model.folder / "models" / "model.pt"

    def _trained(self, model: Bundle) -> Path:
        return self.work / "models" / model.folder.name / "model.pt"


class Bundle:
    """What the server needs to know of a bundle, from its ``metadata.json``.

    Args:
        folder: the bundle.

    Raises:
        PolyscanError: it has no metadata, or they do not say which protocol prepares its studies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.modalities = runs.channels_of(folder)
        metadata = read_json(folder / "configs" / "metadata.json")
        try:
            self.protocol: str = metadata["protocol"]
            self.description: str = metadata["description"]
            parts = [part.split(maxsplit=1) for part in str(metadata["label_classes"]).split(",")]
            self.labels = {name.strip(): int(value) for value, name in parts}
        except (ValueError, KeyError) as error:
            raise PolyscanError(
                f"{folder} cannot be served: its configs/metadata.json lacks {error}; it needs protocol, description "
                "and label_classes such as '1 core, 2 oedema'."
            ) from error


def _stands(study: Study) -> str:
    """The modality whose scan stands for a study."""
    name = next((m for m in (*SHOWN, *study.images) if m in study.images), None)
    if name is None:
        raise PolyscanError(f"{study.key} has no scan to show.")
    return name


def _is_study(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and path.name not in ("labels", "derivatives")


def _fingerprint(study: Study) -> str:
    """Changes where a file of the study does."""
    digest = hashlib.sha256()
    sources = chain.from_iterable([s] if isinstance(s, str) else s for s in study.images.values())
    for source in sorted(sources):
        path = Path(source.partition("#")[0])
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in files:
            stat = file.stat()
            digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _volumes(mask: Path, labels: Mapping[str, int]) -> dict[str, float]:
    image = read_nifti(mask)
    voxel = abs(float(np.linalg.det(np.asarray(image.affine)[:3, :3]))) / 1000
    values = image.numpy().round().astype(int)
    return {name: round(float((values == value).sum()) * voxel, 2) for name, value in labels.items()}


def _dice(a: Path, b: Path) -> float:
    """Dice of two masks' foreground; one where both are empty."""
    x, y = (read_nifti(path).numpy() > 0.5 for path in (a, b))
    total = int(x.sum()) + int(y.sum())
    return 2 * int((x & y).sum()) / total if total else 1.0
