"""Survival of whole studies: from a time and an event to what Cox's loss takes, and from a log risk to a file."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.networks.utils import eval_mode
from monai.utils import convert_to_tensor

from polyscan.errors import PolyscanError
from polyscan.files.atomic import write_json
from polyscan.files.schema import encoded
from polyscan.inference import monte_carlo, shapley_values
from polyscan.networks import CachedFeatures, FusionModel
from polyscan.study import PredictionRecord, TaskPrediction
from polyscan.transforms.each_key import EachKeyTransform
from polyscan.transforms.explain import contributions

SURVIVAL = "survival"


class SurvivalFromLabeld(EachKeyTransform):
    """Turn ``{"survival": {"time": ..., "event": ...}}`` into (2,): the time, and 1 where the event was seen.

    Args:
        keys: labels; NaN where the survival is not known.
        allow_missing_keys: as in MONAI.

    Raises:
        PolyscanError: the time is no positive number, or the event neither 0 nor 1.
    """

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        data[key] = torch.tensor(_time_and_event(data[key].get(SURVIVAL), data["study"]), dtype=torch.float32)


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


class ExplainRiskd(EachKeyTransform):
    """Say how long a study is likely to live, how sure that is, and what drove it.

    ``survival``: each time to the chance to live so long, and to the interval that holds 95 % of it over samples of
    dropout (Gal and Ghahramani, ICML 2016). ``standard_deviation``: that of the log risk over the samples. Of a network
    without dropout, or where no samples are wanted, neither interval nor deviation is told.
    ``contributions``: Shapley values of the modalities that are there, for the log risk; they sum to it, since without
    any it is 0, the mean of those who were learnt from; ``contribution_errors`` as of :class:`ExplainPredictiond`.

    Args:
        keys: what :class:`polyscan.networks.SurvivalNet` gives, (1 + time,).
        network: that predicted.
        horizons: its times.
        monte_carlo_samples: of dropout, 2 or more; 0 for none.
        allow_missing_keys: as in MONAI.

    Adds ``explanation``.
    """

    def __init__(
        self,
        keys: KeysCollection,
        network: FusionModel,
        horizons: Sequence[float],
        monte_carlo_samples: int = 200,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.network = network
        self.horizons = list(horizons)
        self.monte_carlo_samples = monte_carlo_samples

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        image = convert_to_tensor(data["image"], device=next(self.network.parameters()).device)[None]
        with eval_mode(self.network), torch.inference_mode():
            cached = CachedFeatures.of(self.network, image)
            sampled = self.monte_carlo_samples and self.network.dropout_layers()
            samples = monte_carlo(self.network, image, self.monte_carlo_samples)[:, 0].cpu() if sampled else None
            present = cached.available[0].nonzero().flatten().tolist()

            def risk(players: frozenset[int]) -> torch.Tensor:
                if not players:
                    return torch.zeros(())
                available = torch.zeros_like(cached.available)
                available[0, [present[k] for k in players]] = True
                return cached.logits(available)[0, 0].cpu()

            values, errors = shapley_values(risk, len(present))
        chances = [_alive(torch.as_tensor(data[key]).cpu())]
        names = [self.network.modalities[m] for m in present]
        said: dict[str, Any] = dict(contributions(names, values, errors))
        if samples is not None:
            chances += [*_alive(samples).quantile(torch.tensor([0.025, 0.975]), dim=0)]
            said["standard_deviation"] = round(float(samples[:, 0].std()), 4)
        data["explanation"] = said | {
            "survival": {
                f"{time:g}": [round(chance, 4) for chance in each]
                for time, each in zip(self.horizons, torch.stack(chances, dim=1).tolist(), strict=True)
            },
        }


def _alive(predicted: torch.Tensor) -> torch.Tensor:
    """The chance to live until each time (..., time), from log risks and log hazards until then (..., 1 + time)."""
    return predicted[..., 1:].exp().neg().exp()


class SaveRiskd(EachKeyTransform):
    """Write a log risk as JSON, with the explanation that :class:`ExplainRiskd` adds.

    Args:
        keys: log risks, the first of (1 + time,).
        output_dir: folder to write ``<study>_answer.json`` to.
        allow_missing_keys: as in MONAI.

    Adds ``prediction``: a :class:`polyscan.study.PredictionRecord` with the path and the task ``survival``.
    """

    def __init__(self, keys: KeysCollection, output_dir: str | Path, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = Path(output_dir)

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        prediction = TaskPrediction(risk=round(float(torch.as_tensor(data[key])[0]), 5), **data["explanation"])
        if data.get("label") is not None and bool(data["label"].isfinite().all()):
            time, event = data["label"].tolist()
            prediction.truth = {"time": float(f"{time:.7g}"), "event": event}
        path = self.output_dir / f"{data['study']}_answer.json"
        write_json(path, {"study": data["study"], "answers": {SURVIVAL: encoded(prediction)}})
        data["prediction"] = PredictionRecord(str(path), answers={SURVIVAL: prediction})
