"""Training on corrections, which must prove itself on studies that were held out before its weights answer."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from polyscan.bundle import run as runs
from polyscan.bundle.run_folder import LAST
from polyscan.errors import PolyscanError, sentence
from polyscan.files.atomic import read_json, write_json
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.label_app.corrections import Correction
from polyscan.label_app.found import Found, attributes_of
from polyscan.label_app.masks import agreement, brought_back
from polyscan.label_app.service import StudyService
from polyscan.label_app.sources import WebStudies
from polyscan.study import Label, PredictionRecord, Study
from polyscan.study.manifest import MANIFEST, Manifest, write_manifest


class Training:
    """Trains one bundle of a server.

    Args:
        service: knows the studies.
        bundle: name of the bundle.

    Attributes:
        weights: its weights, of which one answers.
        progress: what the last training told, or the one that runs tells.

    Raises:
        PolyscanError: there is no such bundle.
    """

    def __init__(self, service: StudyService, bundle: str) -> None:
        self.service, self.model = service, service.model(bundle)
        self.weights = service.weights(self.model)
        self.progress = Progress(service.work / "training" / f"{bundle}.json")

    def train(self, labels: Mapping[str, Correction], overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Go on training on corrected labels, from the weights that answer.

        A quarter of the subjects is held out. The new weights answer from now on where they are not worse on these than
        the old ones; either way both are kept, and :meth:`Weights.put` lets any answer.

        Args:
            labels: study to its label. Those of the other kind, and masks of what the bundle does not know, are left
                alone.
            overrides: entries of the bundle's train config, such as ``{"max_epochs": 10}``.

        Returns:
            ``scores`` of each study that was held out, ``before`` and ``after``: mean Dice over labels, or the
            probability given to the right classes; ``best_metric``, the mean score of the weights that answer now;
            ``answering``, their name, and ``trained``, that of the new ones.

        Raises:
            PolyscanError: fewer than two subjects have a label, or training cannot run.
        """
        self.progress.start()
        try:
            return self.progress.end(**self._train(labels, overrides))
        except Exception as error:  # whatever a library makes of a bad label
            self.progress.end(failed=sentence(error))
            raise PolyscanError(sentence(error)) from error

    def _train(self, labels: Mapping[str, Correction], overrides: Mapping[str, Any]) -> dict[str, Any]:
        model, weights, run = self.model, self.weights, self.service.work / "training" / self.model.folder.name
        fitting = {
            key: label
            for key, label in sorted(labels.items())
            if label.is_mask != model.classifies and label.labels.keys() <= model.labels.keys()
        }
        people = {key: self._person(self.service.find(key)) for key in fitting}
        training, held_out = weights.split(people.values())
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        studies = {key: self._labelled(key, label, run / "labels") for key, label in fitting.items()}
        chosen, judges = ([studies[key] for key in studies if people[key] in who] for who in (training, held_out))
        write_manifest(run / MANIFEST, Manifest(training=chosen, validation=judges))
        best = runs.train(
            model.folder,
            run / MANIFEST,
            run / "run",
            overrides={"pretrained": str(weights.path()), **overrides},
            progress=self.progress.epoch,
        )
        new = best.with_name(LAST)  # the best were chosen by those who are held out
        earlier, later = (
            self._scores(judges, file, run / name) for name, file in (("before", weights.path()), ("after", new))
        )
        means = float(np.mean(list(earlier.values()))), float(np.mean(list(later.values())))
        scores = {key: {"before": round(earlier[key], 4), "after": round(later[key], 4)} for key in earlier}
        told = {"scores": scores, "studies": [study.key for study in chosen], "from": weights.answering}
        trained = weights.add(new, told, training, held_out)
        if means[1] >= means[0]:
            weights.put(trained)
        return {**told, "trained": trained, "answering": weights.answering, "best_metric": round(max(means), 4)}

    def _labelled(self, key: str, label: Correction, folder: Path) -> Study:
        """A prepared study with its label; a mask is written to a folder, on the grid of the study's reference."""
        prepared = self.service.prepared(self.model, self.service.find(key).study)
        if self.model.classifies:
            return replace(prepared, label=Label(tasks=dict(read_json(label.path))))
        mask = folder / f"{prepared.key}_label.nii.gz"  # apart from what training writes
        write_nifti(mask, brought_back(label.numbered(self.model.values), prepared, label.drawn_on))
        return replace(prepared, label=Label(str(mask)))

    def _scores(self, studies: Sequence[Study], weights: Path, out: Path) -> dict[str, float]:
        """How good weights are on labelled studies."""
        out.mkdir()
        write_manifest(out / MANIFEST, Manifest(testing=[replace(study, label=Label()) for study in studies]))
        answered = runs.infer(self.model.folder, out / MANIFEST, out / "answer", weights=weights)
        if len(answered.studies) < len(studies):
            raise PolyscanError(answered.failed[0].reason)
        scores, truth = {}, {study.key: study.label for study in studies}
        for study in answered.studies:
            found, label = study.prediction, truth[study.key]
            assert found is not None
            if self.model.classifies:
                scores[study.key] = class_score(found, label.tasks)
            else:
                masks = Path(found.path), Path(str(label.mask))
                scores[study.key] = mask_score(*masks, list(self.model.values.values()))
        return scores

    def _person(self, found: Found) -> str:
        """Whose study it is: on a DICOMweb server a patient can have several; nothing that could be read is kept."""
        on_server = isinstance(self.service.source, WebStudies)
        patient = attributes_of(found.shown.source).get("PatientID") if on_server else None
        return hashlib.sha256(patient.encode()).hexdigest()[:16] if patient else found.study.subject


class Progress:
    """What a training tells while it runs, in a file, since MONAI Label trains in a process of its own.

    The names are those that Slicer's and OHIF's plug-ins read: ``epoch``, ``total_epochs``, ``best_metric``,
    ``total_time``.

    Args:
        file: where it stands.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> dict[str, Any]:
        """What the last training told; nothing before the first."""
        return read_json(self.file) if self.file.exists() else {}

    def start(self) -> None:
        """A training begins; what an earlier one told is forgotten, but for how good the weights that answer are."""
        kept = {name: value for name, value in self.read().items() if name == "best_metric"}
        write_json(self.file, {"epoch": 0, **kept, "started": time.time()})

    def epoch(self, done: int, total: int, losses: str) -> None:
        """An epoch is over."""
        write_json(self.file, {**self.read(), "epoch": done, "total_epochs": total, "losses": losses})

    def end(self, **told: Any) -> dict[str, Any]:
        """The training is over."""
        found = {**self.read(), **told}
        found["total_time"] = f"{time.time() - found['started']:.0f} s"
        write_json(self.file, found)
        return found


def mask_score(prediction: Path, truth: Path, values: Sequence[int]) -> float:
    """Dice of two masks on one grid, mean over labels; a label that is in neither counts as one.

    Args:
        prediction: NIfTI label map.
        truth: the same for the truth.
        values: the labels.
    """
    found, true = (read_nifti(path).numpy() for path in (prediction, truth))
    return float(np.mean([agreement(found == value, true == value) for value in values]))


def class_score(found: PredictionRecord, truth: Mapping[str, str]) -> float:
    """The probability of the right class, 0 without an answer; mean over the tasks that were corrected."""
    given = {task: said.probabilities for task, said in found.answers.items()}
    return float(np.mean([given.get(task, {}).get(name, 0.0) for task, name in truth.items()]))
