"""What the server does for a study, without a word of HTTP: find it, prepare it, answer, learn from corrections."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from polyscan.bundle import StudyPredictor, run as runs
from polyscan.bundle.config import channels_of, label_classes
from polyscan.bundle.inference_options import InferenceOptions
from polyscan.errors import PolyscanError, sentence, unknown_name
from polyscan.files.atomic import read_json
from polyscan.files.schema import encoded
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.geometry import voxel_ml
from polyscan.label_app.found import Found, is_dicom
from polyscan.label_app.masks import grid_of, laid_on, revalued
from polyscan.label_app.sources import FolderStudies, WebStudies
from polyscan.label_app.weights import Weights
from polyscan.preprocess.prepare_study import prepare_study
from polyscan.study import Label, PredictionRecord, Study, TaskPrediction
from polyscan.study.made import prediction_of
from polyscan.study.outputs import fingerprint


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
        self._loaded: dict[str, tuple[str, StudyPredictor]] = {}
        self._answers = tempfile.TemporaryDirectory(prefix="polyscan-")
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

    def predict(
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
            explain: of a segmentation, tell which modality drove each region, see
                :class:`polyscan.transforms.ExplainRegionsd`. A classification says so by itself.
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
            return self._predict(model, study, out, absent, explain, prepared)

    def _predict(
        self, model: Bundle, found: Found, out: Path, absent: Sequence[str], explain: bool, place: Path | None
    ) -> tuple[Path, dict[str, Any]]:
        start, study = time.perf_counter(), found.study
        prepared = self.prepared(model, study, place)
        available = [m for m in model.modalities if m in prepared.scans and m not in absent]
        if not available:
            raise PolyscanError(
                f"{found.key} has none of the modalities that {model.folder.name} reads "
                f"({', '.join(model.modalities)}); it has {', '.join(prepared.scans) or 'none'}."
            )
        ready = time.perf_counter()
        prediction = self._infer(model, prepared, out, absent, explain)
        result = Path(prediction.path)
        facts: dict[str, Any] = {
            "study": found.key,
            "reference": prepared.preparation.reference if prepared.preparation else None,
            "modalities": available,
            "absent": [m for m in model.modalities if m not in available],
            "problems": {name: problem for name, problem in prepared.problems.items() if problem},
        }
        if prediction.answers:
            facts["answers"] = {task: encoded(found) for task, found in prediction.answers.items()}
        if model.classifies:
            facts.update(_classified(prediction.answers))
        else:
            facts["millilitres"] = _volumes(result, model.values)
            facts["confidence"] = prediction.confidence
            facts["uncertainty"] = round(1 - float(np.mean(list(prediction.confidence.values()) or [0.0])), 4)
            if explain:
                facts["contributions"] = prediction.contributions
            mask, facts["assumed"] = laid_on(read_nifti(result), prepared, found.shown.name, found.shown.source)
            write_nifti(result, revalued(mask, {model.values[name]: value for name, value in model.labels.items()}))
            facts["series"] = found.shown.name
        done = time.perf_counter()
        facts["latencies"] = {"prepare": round(ready - start, 2), "infer": round(done - ready, 2)}
        return result, facts

    def weights(self, model: Bundle) -> Weights:
        """The weights of a bundle, of which one answers."""
        return Weights(self.work / "models" / model.folder.name, model.folder / "models" / "model.pt")

    def model(self, bundle: str) -> Bundle:
        """A bundle by its name.

        Raises:
            PolyscanError: there is no such bundle.
        """
        if bundle not in self.bundles:
            raise unknown_name("bundle", bundle, self.bundles)
        return self.bundles[bundle]

    def prepared(self, model: Bundle, study: Study, place: Path | None = None) -> Study:
        """A study as a bundle's protocol prepares it, kept until its scans change; pictures need no preparation.

        Args:
            model: the bundle.
            study: its scans.
            place: where it is kept: an upload's own folder; where those of the server's studies are if None.

        Raises:
            PolyscanError: it cannot be prepared.
        """
        if model.protocol is None or not set(study.scans) & set(model.modalities):
            return study
        folder = (place or self.work / "prepared") / model.protocol
        with self._locks[str(folder / study.key)]:
            try:
                return prepare_study(study, folder, model.protocol)
            except Exception as error:  # whatever a library makes of a bad file
                raise PolyscanError(f"{study.key} cannot be prepared: {sentence(error)}") from error

    def _infer(
        self, model: Bundle, prepared: Study, out: Path, absent: Sequence[str], explain: bool
    ) -> PredictionRecord:
        """A bundle's answer for a prepared study, its file moved to a folder."""
        predictor = self._predictor(model, explain and not model.classifies)
        prediction = prediction_of(predictor.predict(replace(prepared, label=Label()), absent))
        file = Path(prediction.path)
        out.mkdir(parents=True, exist_ok=True)
        return replace(prediction, path=str(shutil.move(file, out / file.name)))

    def _predictor(self, model: Bundle, contributions: bool) -> StudyPredictor:
        """A bundle with its weights, which stays loaded until they or its configs change."""
        name, weights = f"{model.folder.name}{'_contributions' * contributions}", self.weights(model).path()
        files = [file for file in (weights, *sorted((model.folder / "configs").iterdir())) if file.is_file()]
        made_from = fingerprint(map(str, files))
        if name not in self._loaded or self._loaded[name][0] != made_from:
            options = InferenceOptions(contributions=contributions)
            predictor = runs.load_predictor(
                model.folder, Path(self._answers.name) / name, weights=weights, options=options
            )
            self._loaded[name] = made_from, predictor
        return self._loaded[name][1]


def reads_scans(metadata: Path) -> bool:
    """Whether a bundle, by its ``metadata.json``, reads what a viewer can show, and not tables alone."""
    return bool(read_json(metadata).get("data_type") != "json")


class Bundle:
    """What the server needs to know of a bundle, from its ``metadata.json``.

    Args:
        folder: the bundle.

    Attributes:
        labels: names and numbers as the server and its clients count them: 1, 2, 3, without a gap, since Slicer's
            plug-in takes the place of a name among them for its number; of a classification its classes, from 0.
        values: of a segmentation, the numbers that the bundle itself writes and is trained on, such as BraTS's 1, 2, 4.

    Raises:
        PolyscanError: it has no metadata, or they do not say what its labels are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.modalities = channels_of(folder)
        metadata = read_json(folder / "configs" / "metadata.json")
        try:
            self.protocol: str | None = metadata.get("protocol")
            self.description: str = metadata["description"]
            output_format = metadata["network_data_format"]["outputs"]["pred"]
            self.classifies = output_format["format"] == "classes"
            if self.classifies:
                self.labels = {name: int(channel) for channel, name in output_format["channel_def"].items()}
            else:
                self.values = dict(sorted(label_classes(folder).items(), key=lambda named: named[1]))
                self.labels = {name: number for number, name in enumerate(self.values, 1)}
        except (ValueError, KeyError) as error:
            raise PolyscanError(
                f"{folder} cannot be served: its configs/metadata.json lacks {error}; it needs description and the "
                "format of pred."
            ) from error


def _classified(answers: Mapping[str, TaskPrediction]) -> dict[str, Any]:
    """A classification as MONAI Label's clients read it, and how little sure it is."""
    scores = [(f"{task} {name}", p) for task, a in answers.items() for name, p in a.probabilities.items()]
    return {
        "prediction": [{"idx": i, "label": label, "score": score} for i, (label, score) in enumerate(scores)],
        "uncertainty": round(float(np.mean([prediction.uncertainty or 0.0 for prediction in answers.values()])), 4),
    }


def _volumes(mask: Path, labels: Mapping[str, int]) -> dict[str, float]:
    image = read_nifti(mask)
    voxel = voxel_ml(image.affine)
    values = image.numpy().round().astype(int)
    return {name: round(float((values == value).sum()) * voxel, 2) for name, value in labels.items()}
