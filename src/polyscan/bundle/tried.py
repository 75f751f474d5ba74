"""A trained segmentation that is tried on studies whose masks are known and which it did not learn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from polyscan.bundle.carried import check_not_learnt
from polyscan.bundle.regions import check_regions
from polyscan.bundle.run import load_inference
from polyscan.errors import PolyscanError
from polyscan.study import PredictionRecord, Study
from polyscan.study.made import prediction_of
from polyscan.study.manifest import Manifest, read_manifest


class TriedSegmentation:
    """A bundle that segments, with its weights, and the studies with a mask of the section ``validation``.

    Args:
        bundle: its folder.
        weights: its weights; a calibration beside them is not read.
        manifest: a prepared manifest.
        overrides: config entries to change, those that ``infer`` is given.
        folder: an empty one, for the files of one answer at a time.

    Attributes:
        studies: of the manifest.
        parser: of the bundle's inference config.

    Raises:
        PolyscanError: no study has a mask, they are numbered otherwise, the weights learnt from one, or the bundle, the
            weights or an override cannot be used.
    """

    def __init__(
        self, bundle: Path, weights: Path, manifest: str | Path, overrides: Mapping[str, Any], folder: str
    ) -> None:
        self.studies = [study for study in read_manifest(manifest).validation if study.label.mask]
        if not self.studies:
            raise PolyscanError(f"{manifest} has no study with a mask in the section 'validation'; give some.")
        changes = {"dataset#data": [], **overrides}
        self.parser = load_inference(bundle, Manifest(), folder, weights, changes, calibrated=False).parser
        self._predictor = self.parser.get_parsed_content("predictor")
        self._folder = Path(folder)
        check_not_learnt(self.studies, self._predictor.learnt)
        check_regions(self.studies, self.parser.get_parsed_content("regions"), chosen=True)

    def ask(self, study: Study, absent: Iterable[str] = ()) -> PredictionRecord:
        """What it says of a study, some modalities left out; the files are there until the next answer.

        Raises:
            PolyscanError: the study cannot be segmented.
        """
        for written in self._folder.iterdir():
            written.unlink()
        return prediction_of(self._predictor.predict(study, absent))
