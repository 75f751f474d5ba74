"""What the server does for a study, without a word of HTTP: find it, prepare it, answer, learn from corrections."""

from __future__ import annotations

import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from polyscan.bundle import run as runs
from polyscan.errors import PolyscanError, sentence
from polyscan.files.atomic import read_json, whole_file
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.label_app.corrections import Correction
from polyscan.label_app.found import Found, is_dicom
from polyscan.label_app.masks import brought_back, grid_of, laid_on
from polyscan.label_app.sources import FolderStudies, WebStudies
from polyscan.preprocess.prepare import prepare_study
from polyscan.study import Label, PredictionRecord, Study, TaskPrediction
from polyscan.study.manifest import Manifest, read_manifest, write_manifest
from polyscan.study.outputs import fingerprint
from polyscan.study.schema import encoded


class UnknownStudyError(PolyscanError):
    """A name means no study."""


class StudyService:
    """Answers for studies with the bundles of a folder.

    What it computes lies in ``.polyscan`` beside the studies: prepared studies, scans as NIfTI for viewers, weights
    that were trained on corrections. Nothing else is touched.

    Args:
        source: of the studies.
        bundles: folders of bundles.

    Attributes:
        in_use: the bundle that answered last; the first before that.

    Raises:
        PolyscanError: a bundle lacks what is needed.
    """

    def __init__(self, source: FolderStudies | WebStudies, bundles: Sequence[str | Path]) -> None:
        self.source = source
        self.work = source.work
        self.bundles = {Path(bundle).name: Bundle(Path(bundle)) for bundle in bundles}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._answering = threading.Lock()
        self.in_use = next(iter(self.bundles))

    def studies(self) -> dict[str, Study]:
        """Studies by their name."""
        return self.source.all()

    def find(self, name: str) -> Found:
        """What a name, a StudyInstanceUID or a SeriesInstanceUID means.

        Raises:
            UnknownStudyError: there is no such study.
            PolyscanError: it means two, or what it means cannot be had.
        """
        found = self.source.find(name)
        if found is None:
            known = len(self.studies())
            raise UnknownStudyError(f"There is no study {name!r}; {known} are known: see /datastore/?output=all.")
        return found

    def shown(self, found: Found) -> Path:
        """A NIfTI of the scan that a viewer shows; a DICOM series is converted until it changes."""
        scan = found.shown
        if isinstance(scan.source, str) and not is_dicom(scan.source):
            return Path(scan.source)
        every = self.work / "shown" / found.study.key / scan.name
        path = every / fingerprint([scan.source]) / f"{found.study.key}_{scan.name}.nii.gz"
        with self._locks[str(every)]:
            if not path.exists():
                shutil.rmtree(every, ignore_errors=True)
                write_nifti(path, grid_of(scan.source))
        return path

    def answer(
        self,
        bundle: str,
        study: Found,
        out: Path,
        *,
        absent: Sequence[str] = (),
        explain: bool = False,
        prepared: Path | None = None,
    ) -> tuple[Path, dict[str, Any]]:
        """Segment or classify a study with a bundle; one request after the other, since each uses every core.

        Args:
            bundle: name of a bundle.
            study: its scans, and the one on whose grid the mask is wanted.
            out: folder for the mask or the answer.
            absent: modalities to treat as though they had not been acquired.
            explain: of a segmentation, also answer without each modality in turn: how much the mask changes says what
                drove it, and the mean of that how little sure the answer is. A classification says so by itself.
            prepared: folder for the prepared study: an upload's own; where those of the server's studies are kept if
                None.

        Returns:
            The mask, on that grid, or the answer as JSON; and what is to be said of it.

        Raises:
            PolyscanError: the study cannot be answered.
        """
        model = self.model(bundle)
        with self._answering:
            self.in_use = bundle
            return self._answer(model, study, out, absent, explain, prepared or self.work / "prepared")

    def _answer(
        self, model: Bundle, found: Found, out: Path, absent: Sequence[str], explain: bool, place: Path
    ) -> tuple[Path, dict[str, Any]]:
        start, study = time.perf_counter(), found.study
        prepared = self._prepared(model, study, place)
        there = [m for m in model.modalities if m in prepared.scans and m not in absent]
        if not there:
            raise PolyscanError(
                f"{found.key} has none of the modalities that {model.folder.name} reads "
                f"({', '.join(model.modalities)}); it has {', '.join(prepared.scans) or 'none'}."
            )
        ready = time.perf_counter()
        prediction = self._infer(model, prepared, out, absent)
        result = Path(prediction.path)
        facts: dict[str, Any] = {
            "study": found.key,
            "reference": prepared.preparation.reference if prepared.preparation else None,
            "modalities": there,
            "absent": [m for m in model.modalities if m not in there],
            "problems": {name: problem for name, problem in prepared.problems.items() if problem},
        }
        if prediction.answers:
            facts["answers"] = {task: encoded(answer) for task, answer in prediction.answers.items()}
        if model.classifies:
            facts.update(_classified(prediction.answers))
        else:
            facts["millilitres"] = _volumes(result, model.labels)
            if explain and len(there) > 1:
                facts.update(self._contributions(model, prepared, out, result, there, absent))
            mask, facts["assumed"] = laid_on(read_nifti(result), prepared, found.shown.name, found.shown.source)
            write_nifti(result, mask)
            facts["series"] = found.shown.name
        done = time.perf_counter()
        facts["latencies"] = {"prepare": round(ready - start, 2), "infer": round(done - ready, 2)}
        return result, facts

    def _contributions(
        self, model: Bundle, prepared: Study, out: Path, mask: Path, there: Sequence[str], absent: Sequence[str]
    ) -> dict[str, Any]:
        """How much the mask changes without each modality."""
        changes = {}
        for name in there:
            other = self._infer(model, prepared, out / f"without_{name}", [*absent, name])
            changes[name] = round(1 - _dice(mask, Path(other.path)), 4)
        return {"contributions": changes, "uncertainty": round(float(np.mean(list(changes.values()))), 4)}

    def train(self, bundle: str, labels: Mapping[str, Correction], overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Go on training a bundle on corrected labels; its answers come from the new weights afterwards.

        Args:
            bundle: name of a bundle.
            labels: study to its label. Those of the other kind, and masks of what the bundle does not know, are left
                alone.
            overrides: entries of the bundle's train config, such as ``{"max_epochs": 10}``.

        Raises:
            PolyscanError: fewer than two studies have a label, or training cannot run.
        """
        model = self.model(bundle)
        fitting = {
            key: label
            for key, label in labels.items()
            if label.is_mask != model.classifies and label.labels.keys() <= model.labels.keys()
        }
        if len(fitting) < 2:
            raise PolyscanError(f"{len(fitting)} studies have a final label; training needs two at least.")
        run = self.work / "training" / bundle
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        studies = []
        for key, label in sorted(fitting.items()):
            prepared = self._prepared(model, self.find(key).study, self.work / "prepared")
            if model.classifies:
                truth = Label(tasks=dict(read_json(label.path)))
            else:
                mask = run / "labels" / f"{prepared.key}_label.nii.gz"  # apart from what training writes
                write_nifti(mask, brought_back(label.numbered(model.labels), prepared, label.drawn_on))
                truth = Label(str(mask))
            studies.append(replace(prepared, label=truth))
        write_manifest(run / "manifest.json", Manifest(training=studies))
        weights = runs.train(
            model.folder,
            run / "manifest.json",
            run / "run",
            overrides={"pretrained": str(self._weights(model)), **overrides},
        )
        kept = self._trained(model)
        with whole_file(kept) as temporary:
            shutil.move(weights, temporary)
        return {"studies": sorted(fitting), "weights": str(kept)}

    def model(self, bundle: str) -> Bundle:
        """A bundle by its name.

        Raises:
            PolyscanError: there is no such bundle.
        """
        if bundle not in self.bundles:
            raise PolyscanError(f"There is no bundle {bundle!r}; there are {', '.join(self.bundles)}.")
        return self.bundles[bundle]

    def _prepared(self, model: Bundle, study: Study, place: Path) -> Study:
        """A study as the bundle's protocol prepares it, kept until its scans change; pictures need no preparation."""
        if model.protocol is None or not set(study.scans) & set(model.modalities):
            return study
        every = place / model.protocol / study.key
        folder = every / fingerprint(scan.source for scan in study.scans.values())
        with self._locks[str(every)]:
            if not (folder / "manifest.json").exists():
                shutil.rmtree(every, ignore_errors=True)
                try:
                    prepared = prepare_study(study, folder, model.protocol)
                except Exception as error:  # whatever a library makes of a bad file
                    raise PolyscanError(f"{study.key} cannot be prepared: {sentence(error)}") from error
                write_manifest(folder / "manifest.json", Manifest(testing=[prepared]))
            return read_manifest(folder / "manifest.json").studies[0]

    def _infer(self, model: Bundle, prepared: Study, out: Path, absent: Sequence[str]) -> PredictionRecord:
        out.mkdir(parents=True, exist_ok=True)
        manifest = out / "manifest_in.json"
        write_manifest(manifest, Manifest(testing=[replace(prepared, label=Label())]))
        answered = runs.infer(model.folder, manifest, out / "answer", weights=self._weights(model), absent=list(absent))
        (study,) = answered.studies
        assert study.prediction is not None
        return study.prediction

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
        PolyscanError: it has no metadata, or they do not say what its labels are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.modalities = runs.channels_of(folder)
        metadata = read_json(folder / "configs" / "metadata.json")
        try:
            self.protocol: str | None = metadata.get("protocol")
            self.description: str = metadata["description"]
            answer = metadata["network_data_format"]["outputs"]["pred"]
            self.classifies = answer["format"] == "classes"
            if self.classifies:
                self.labels = {name: int(channel) for channel, name in answer["channel_def"].items()}
            else:
                parts = [part.split(maxsplit=1) for part in str(metadata["label_classes"]).split(",")]
                self.labels = {name.strip(): int(value) for value, name in parts}
        except (ValueError, KeyError) as error:
            raise PolyscanError(
                f"{folder} cannot be served: its configs/metadata.json lacks {error}; it needs description, the format "
                "of pred and, of a segmentation, label_classes such as '1 core, 2 oedema'."
            ) from error


def _classified(answers: Mapping[str, TaskPrediction]) -> dict[str, Any]:
    """A classification as MONAI Label's clients read it, and how little sure it is."""
    scores = [(f"{task} {name}", p) for task, a in answers.items() for name, p in a.probabilities.items()]
    return {
        "prediction": [{"idx": i, "label": label, "score": score} for i, (label, score) in enumerate(scores)],
        "uncertainty": round(float(np.mean([answer.uncertainty or 0.0 for answer in answers.values()])), 4),
    }


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
