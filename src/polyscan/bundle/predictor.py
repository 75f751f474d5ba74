"""A network that is loaded once and answers for one study after another, of a manifest or as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.data import Dataset, list_data_collate
from monai.engines import Evaluator
from monai.handlers import CheckpointLoader

from polyscan import __version__
from polyscan.bundle.carried import marks_of
from polyscan.bundle.earlier import check_same_bundle, earlier_answers, last_answer, moved_aside
from polyscan.bundle.items import inference_item
from polyscan.errors import PolyscanError, nothing_to_read, sentence
from polyscan.files.digest import digest_of
from polyscan.files.features import FEATURES, remove_features
from polyscan.files.names import MAPS
from polyscan.files.owned import rewrite_owned
from polyscan.inference import KeptFeatures, TaskCalibration
from polyscan.parallel import one_ahead
from polyscan.progress import Progress, each_told, silent
from polyscan.study import ModelRecord, PredictionRecord, Study, VolumeInterval
from polyscan.study.manifest import MANIFEST, Failure, Manifest, manifest_of, none_done, read_record, write_manifest
from polyscan.study.outputs import OutputFolder, files_digest, remove_report, sources_of
from polyscan.study.prediction import atypical
from polyscan.study.record import CLINICAL
from polyscan.study.sources import without_paths

_RECORD = "_study.json"
_ENDINGS = ("_pred.nii.gz", "_prob.nii.gz", "_entropy.nii.gz", "_answer.json", MAPS, _RECORD)
"""What the names of a study's files end with: a mask, its probabilities, its entropy, a classification, the folder of
its maps of attribution, and the record that says it is done."""


class LoadOnce(CheckpointLoader):
    """MONAI's loader of weights for an evaluator that is run anew for every study: the first run loads them."""

    loaded = False

    def __call__(self, engine: Engine) -> None:
        if not self.loaded:
            super().__call__(engine)
            self.loaded = True


@dataclass(frozen=True)
class _Loaded:
    """A study as the network reads it.

    Attributes:
        study: as it was given.
        left: the study with what of it is read.
        read: the names of that.
        item: the network's.
        noted: what was noted of it on the way, for the record.
        before: what was said of it last.
        seconds: that loading it took.
        made_from: of what the answer is made, for its record.
    """

    study: Study
    left: Study
    read: list[str]
    item: dict[str, Any]
    noted: dict[str, Any]
    before: PredictionRecord | None
    seconds: float
    made_from: str = ""


class StudyPredictor:
    """Answers for prepared studies with an evaluator, one at a time; one that fails stops no other.

    Args:
        evaluator: MONAI evaluator whose postprocessing leaves what is to be kept under ``prediction``, as
            :class:`polyscan.transforms.SaveSegmentationd` does.
        dataset: its transform makes an item of :func:`polyscan.bundle.inference_items` what the network reads.
        labels: what a study is labelled with; see :func:`polyscan.bundle.inference_items`.
        extra_keys: what an item carries beside.
        postprocess: told each study and what was predicted for it; may add to that.
        features: the evaluator's network, or the one within it, which keeps what it encoded and tells what it reads.
        calibration: by which the typicality of scans is told, and of a segmentation intervals of volumes.
        ignore_atypical: answer anew without the scans that are unlike those of the calibration, unless none would be
            left.

    Attributes:
        progress: told (done, total, study) after each study of a manifest.
        model: what is noted with each answer of which network gave it; None where that is not known.
        learnt: of the studies that it learnt from, :func:`polyscan.bundle.carried.marks_of`.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        dataset: Dataset,
        *,
        labels: Sequence[str] = (),
        extra_keys: Sequence[str] = (),
        postprocess: Callable[[Study, PredictionRecord], None] | None = None,
        features: KeptFeatures | None = None,
        calibration: TaskCalibration | None = None,
        ignore_atypical: bool = False,
    ) -> None:
        self.evaluator, self.transform = evaluator, dataset.transform
        self.labels, self.extra_keys, self.postprocess, self.features = labels, extra_keys, postprocess, features
        self.calibration, self.ignore_atypical = calibration, ignore_atypical
        if features is not None:
            features.describes = bool(calibration and calibration.distances)
        self.progress: Progress = silent
        self.model: ModelRecord | None = None
        self.learnt: set[str] = set()
        # An engine that raised cannot be run again; one that was told what to do with the exception can.
        self._raised: list[Exception] = []
        evaluator.add_event_handler(Events.EXCEPTION_RAISED, lambda _, error: self._raised.append(error))

    def predict(self, study: Study, absent: Iterable[str] = (), before: PredictionRecord | None = None) -> Study:
        """Answer for one prepared study.

        Args:
            study: as ``prepare`` returns it.
            absent: modalities to treat as though they had not been acquired.
            before: what was said of it last. Where the same model said so from fewer scans, it stays in the new
                record as an earlier answer, its files beside the new ones.

        Returns:
            The study with its prediction.

        Raises:
            PolyscanError: the study cannot be answered.
        """
        return self._predicted(self._load(study, absent, before))

    def _load(self, study: Study, absent: Iterable[str], before: PredictionRecord | None = None) -> _Loaded:
        start, absent = time.perf_counter(), set(absent)
        scans = {name: scan for name, scan in study.scans.items() if name not in absent and self._reads(name)}
        left = replace(study, scans=scans, clinical={} if CLINICAL in absent else study.clinical)
        read = [*scans, *([CLINICAL] if left.clinical and CLINICAL in self.extra_keys else [])]
        if self.model is not None and not read:
            raise nothing_to_read(study.key, [n for n in study.scans if n not in absent], self.model.modalities)
        noted: dict[str, Any] = {"unread": [], "stray_labels": []}
        try:
            item = self.transform({**inference_item(left, self.labels, self.extra_keys), **noted})
        except Exception as error:
            raise PolyscanError(without_paths(sentence(error), study)) from error
        for name in noted:
            del item[name]
        return _Loaded(study, left, read, item, noted, before, time.perf_counter() - start)

    def _predicted(self, loaded: _Loaded) -> Study:
        """What is to be said of a study that is loaded; see :meth:`predict`."""
        start, study, read, before = time.perf_counter(), loaded.study, loaded.read, loaded.before
        earlier = earlier_answers(before, self.model, read, study.key)
        try:
            with self.features.study(study.key) if self.features is not None else nullcontext():
                prediction = self._predict(loaded)
            prediction.seconds = round(loaded.seconds + time.perf_counter() - start, 3)
            prediction.at = datetime.now(timezone.utc).isoformat(timespec="seconds")
            prediction.present = [name for name in read if name not in prediction.ignored]
            prediction.model = self.model
            prediction.learnt = bool(self.learnt) and not self.learnt.isdisjoint(marks_of([study]))
            if self.features is not None:
                prediction.reused = self.features.reused
            if self.calibration is not None and self.calibration.volumes is not None:
                volumes = self.calibration.volumes
                available = [name in prediction.present for name in self.calibration.modalities]
                prediction.volume_intervals = {
                    name: VolumeInterval(*ends, volumes.coverage)
                    for name, ends in volumes(prediction.volumes_ml, available).items()
                }
            prediction.earlier = earlier
            if self.postprocess is not None:
                self.postprocess(study, prediction)
        except Exception as error:
            for copied in earlier[len(before.earlier) :] if before is not None else []:
                for file in copied.files:
                    Path(file).unlink()
            raise PolyscanError(without_paths(sentence(error), study)) from error
        return replace(study, prediction=prediction)

    def _reads(self, name: str) -> bool:
        """Whether the network reads a scan, and learnt to, as far as that is known."""
        if self.model is not None:
            return name in self.model.modalities
        return self.features is None or name in self.features.modalities

    def _predict(self, loaded: _Loaded) -> PredictionRecord:
        """What the evaluator says of a study, from its typical scans alone where the others are to be ignored."""
        prediction = self._ask(loaded)
        if self.features is None or not self.features.describes or self.calibration is None:
            return prediction
        described, available = self.features.described
        typicality = self.calibration.typicality(described, available)
        found = atypical(typicality) if self.ignore_atypical else []
        ignored = found if len(found) < int(available.sum()) else []
        if ignored:
            prediction = self._ask(self._load(loaded.left, ignored))
        prediction.typicality, prediction.ignored = typicality, ignored
        return prediction

    def _ask(self, loaded: _Loaded) -> PredictionRecord:
        """What the evaluator says of a study from all that was loaded."""
        self.evaluator.data_loader = [list_data_collate([loaded.item])]
        self.evaluator.state.epoch_length = 1
        self.evaluator.run()
        if self._raised:
            raise self._raised.pop()
        (output,) = self.evaluator.state.output
        prediction: PredictionRecord = output["prediction"]
        return replace(prediction, **loaded.noted)

    def run(
        self,
        manifest: str | Path | Manifest,
        output_dir: str | Path,
        *,
        absent: Iterable[str] = (),
        made_from: str = "",
    ) -> Manifest:
        """Answer for every study of a manifest and write ``output_dir/manifest.json``.

        Args:
            manifest: a prepared manifest, or its file.
            output_dir: where the evaluator's transforms write: a folder that is new, empty, or was made so. What it
                holds of an earlier run and not of this one is removed, a report of it too.
            absent: modalities to treat as though they had not been acquired.
            made_from: changes where the weights or the bundle's settings do. A study that was answered with the same,
                from the same files, is taken as it is, so that a run that was cut short goes on; empty: all anew.

        Returns:
            The studies with their answers; those that failed are named in ``failed`` with the reason.

        Raises:
            PolyscanError: no study could be answered for, or ``output_dir`` is, holds or lies in a folder of the scans,
                or holds what was not made so, or what another bundle answered.
        """
        prepared, out = manifest_of(manifest), Path(output_dir)
        studies = prepared.tested
        if self.model is not None:
            check_same_bundle(out, out.glob(f"[!.]*{_RECORD}"), self.model.bundle)
        owned = OutputFolder.claim(out, "infer", sources_of(prepared.studies))
        files = (f"{study.key}{ending}" for study in studies for ending in _ENDINGS)
        features = self.features.folder if self.features else None
        kept_features = [features.name] if features else []
        owned.will_hold([MANIFEST, *kept_features, *files])
        done: dict[str, Study] = {}
        failed = list(prepared.failed)
        with owned.alone(), rewrite_owned(out, MANIFEST) as written:
            (out / MANIFEST).unlink(missing_ok=True)  # never one that names answers of two settings
            remove_report(owned.path)
            begun = one_ahead(partial(self._begun, out, set(absent), made_from), studies)
            for study in each_told(studies, self.progress):
                try:
                    done[study.key] = self._answered(next(begun).result(), owned)
                except PolyscanError as error:
                    failed.append(Failure(study.key, str(error)))
            kept = prepared.map(lambda study: done.get(study.key))
            roots = {**prepared.roots, "predictions": str(owned.path)}
            result = replace(kept, roots=roots, failed=failed, absent=list(absent))
            if done:
                write_manifest(out / MANIFEST, result)
                written.append(MANIFEST)
            kept_files = [name for answered in done.values() for name in answer_files(answered)]
            records = [f"{key}{_RECORD}" for key in done]
            maps = [f"{key}{MAPS}" for key, study in done.items() if study.prediction and study.prediction.maps]
            for place in (features or out / FEATURES).glob("*"):
                if not features or place.name not in done:
                    remove_features(place)
            owned.remove_others([MANIFEST, *kept_features, *kept_files, *maps, *records] if done else [])
        if not done:
            raise none_done("answered for", len(studies), failed)
        return result

    def _begun(self, out: Path, absent: Iterable[str], made_from: str, study: Study) -> Study | _Loaded:
        """A study with its answer where its record was made from the same; else as the network reads it."""
        files = files_digest(study)
        made_from = made_from and digest_of(__version__, made_from, files, asdict(study), sorted(absent))
        kept = read_record(out / f"{study.key}{_RECORD}")
        before = last_answer(kept)
        is_same = bool(made_from) and kept is not None and kept.made_from == made_from
        if kept and before and is_same and all(Path(file).is_file() for file in (*before.files, *before.maps)):
            return kept.testing[0]
        return replace(self._load(study, absent, before), made_from=made_from)

    def _answered(self, begun: Study | _Loaded, owned: OutputFolder) -> Study:
        """A study with its answer, a new one with its record."""
        if isinstance(begun, Study):
            return begun
        key, before = begun.study.key, begun.before
        record = owned.path / f"{key}{_RECORD}"
        if before:
            owned.will_hold(Path(file).name for file in moved_aside(before, key).files)
        with rewrite_owned(owned.path, key) as written:
            record.unlink(missing_ok=True)  # before its answer is replaced
            answered = self._predicted(begun)
            written += answer_files(answered)
        write_manifest(record, Manifest(testing=[answered], made_from=begun.made_from))
        return answered


def answer_files(study: Study) -> list[str]:
    """The names of what was written of an answer and of earlier ones, maps of attribution not included."""
    return [Path(file).name for file in study.prediction.all_files] if study.prediction else []
