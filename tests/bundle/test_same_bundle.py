"""What one bundle answered is not replaced by another's answers."""

from __future__ import annotations

import pytest

from polyscan.bundle.earlier import check_same_bundle
from polyscan.bundle.predictor import StudyPredictor
from polyscan.errors import PolyscanError
from polyscan.study import ModelRecord, PredictionRecord, Study
from polyscan.study.manifest import Failure, Manifest, write_manifest


@pytest.fixture
def out(tmp_path):
    """A folder with the records of a study that failed, of one without a model and of one with it."""
    for key, model in (("sub-02", None), ("sub-03", ModelRecord("petct_staging"))):
        answered = PredictionRecord(str(tmp_path / "out" / f"{key}_answer.json"), model=model)
        write_manifest(
            tmp_path / "out" / f"{key}_study.json", Manifest(testing=[Study(key[4:], None, prediction=answered)])
        )
    write_manifest(tmp_path / "out" / "sub-01_study.json", Manifest(failed=[Failure("sub-01", "no scan")]))
    return tmp_path / "out"


def test_answers_of_another_bundle_are_refused(out):
    check_same_bundle(out, sorted(out.iterdir()), "petct_staging")
    with pytest.raises(PolyscanError, match="holds answers of petct_staging, which those of other would replace"):
        check_same_bundle(out, sorted(out.iterdir()), "other")
    predictor = StudyPredictor.__new__(StudyPredictor)  # no network is needed to be refused
    predictor.model = ModelRecord("other")
    with pytest.raises(PolyscanError, match="holds answers of petct_staging"):
        predictor.run(Manifest(), out)
