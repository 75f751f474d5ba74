"""What commands made of a study, where the study must have it."""

from __future__ import annotations

from polyscan.errors import PolyscanError
from polyscan.study.prediction import PredictionRecord
from polyscan.study.record import Preparation, Study


def preparation_of(study: Study) -> Preparation:
    """What ``prepare`` did to a study.

    Raises:
        PolyscanError: it was not prepared.
    """
    if study.preparation is None:
        raise PolyscanError(f"{study.key} is not prepared; run polyscan prepare on its manifest first.")
    return study.preparation


def prediction_of(study: Study) -> PredictionRecord:
    """What ``infer`` found of a study.

    Raises:
        PolyscanError: it has no prediction.
    """
    if study.prediction is None:
        raise PolyscanError(f"{study.key} has no prediction; run polyscan infer on its manifest first.")
    return study.prediction
