"""Survival of whole studies: from a time and an event to what Cox's loss takes, and from a log risk to a file."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from polyscan.errors import PolyscanError
from polyscan.files.atomic import write_json
from polyscan.study import PredictionRecord, TaskPrediction
from polyscan.study.schema import encoded

SURVIVAL = "survival"


class SurvivalFromLabeld(MapTransform):
    """Turn ``{"survival": {"time": ..., "event": ...}}`` into (2,): the time, and 1 where the event was seen.

    Args:
        keys: labels; NaN where the survival is not known.
        allow_missing_keys: as in MONAI.

    Raises:
        PolyscanError: the time is no positive number, or the event neither 0 nor 1.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy with the pair in place of the labels."""
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = torch.tensor(_time_and_event(out[key].get(SURVIVAL), out["study"]), dtype=torch.float32)
        return out


def _time_and_event(told: Any, study: str) -> tuple[float, float]:
    if told is None:
        return float("nan"), float("nan")
    try:
        time, event = float(told["time"]), float(told["event"])
    except (KeyError, TypeError, ValueError):
        time, event = float("nan"), float("nan")
    if not 0 <= time < float("inf") or event not in (0, 1):
        raise PolyscanError(f"{study}: survival is no such pair; expected a time, 0 or more, and an event, 0 or 1.")
    return time, event


class SaveRiskd(MapTransform):
    """Write a log risk as JSON: how much higher the hazard is, as a logarithm, than that of a log risk of 0.

    Args:
        keys: log risks (1,), as :class:`polyscan.networks.CoxHead` gives them.
        output_dir: folder to write ``<study>_answer.json`` to.
        allow_missing_keys: as in MONAI.

    Adds ``prediction``: a :class:`polyscan.study.PredictionRecord` with the path and the task ``survival``.
    """

    def __init__(self, keys: KeysCollection, output_dir: str | Path, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy with the answer."""
        out = dict(data)
        for key in self.key_iterator(out):
            prediction = TaskPrediction(risk=round(float(torch.as_tensor(out[key]).flatten()[0]), 5))
            if out.get("label") is not None and bool(out["label"].isfinite().all()):
                time, event = out["label"].tolist()
                prediction.truth = {"time": float(f"{time:.7g}"), "event": event}
            path = self.output_dir / f"{out['study']}_answer.json"
            write_json(path, {"study": out["study"], "answers": {SURVIVAL: encoded(prediction)}})
            out["prediction"] = PredictionRecord(str(path), answers={SURVIVAL: prediction})
        return out
