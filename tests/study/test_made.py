"""What a study must have been given by a command, and what is said where it was not."""

from __future__ import annotations

import pytest

from polyscan.errors import PolyscanError
from polyscan.study import PredictionRecord, Preparation, Study
from polyscan.study.made import prediction_of, preparation_of


def test_what_was_made_is_returned_and_what_was_not_is_said():
    made = Study("a", preparation=Preparation("none", "T1"), prediction=PredictionRecord("mask.nii.gz", ["T1"]))
    assert preparation_of(made) is made.preparation
    assert prediction_of(made) is made.prediction
    with pytest.raises(PolyscanError, match="sub-b is not prepared; run polyscan prepare on its manifest first"):
        preparation_of(Study("b"))
    with pytest.raises(PolyscanError, match="sub-b has no prediction; run polyscan infer on its manifest first"):
        prediction_of(Study("b"))
