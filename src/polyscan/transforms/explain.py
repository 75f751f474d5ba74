"""How sure a classification is, and which modality drove it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Any

import torch
from monai.config import KeysCollection
from monai.networks.utils import eval_mode
from monai.utils import convert_to_tensor
from torch import Tensor

from polyscan.inference import (
    TaskCalibration,
    conflict,
    monte_carlo,
    shapley_interactions,
    shapley_values,
    split_entropy,
)
from polyscan.inference.task_calibration import parts_of
from polyscan.networks import CachedFeatures, FusionModel
from polyscan.transforms.each_key import EachKeyTransform


class ExplainPredictiond(EachKeyTransform):
    """Say how sure a prediction is and what drove it.

    ``uncertainty``: entropy of the mean of dropout samples (Gal and Ghahramani, ICML 2016), 0 sure to 1 a guess. It is
    the sum of ``aleatoric``, what the data leave open, and ``epistemic``, what the network has not learnt.
    ``standard_deviation``: that of the predicted class's probability over the samples. Of a network without dropout, or
    where no samples are wanted, ``uncertainty`` is the prediction's own entropy, and the other three are not told.
    ``prediction_set``: of a calibrated task, the classes that are not ruled out at its coverage.
    ``contributions``: Shapley values of the modalities that are there, and of each further input as a whole, for the
    probability of the predicted class; with 1 / classes, a guess, they sum to it.
    Of more than ten they are sampled, and ``contribution_errors`` tells their standard errors; see
    :func:`polyscan.inference.shapley_values`.
    ``interactions``: of each pair of those, above 0 where they tell more together, below where one repeats the other;
    of at most ten.
    ``conflict``: how far the answers from each alone contradict each other, 0 to 1; where there are at least two.
    It means something only of networks that were trained with modality dropout, and so saw modalities alone.

    Args:
        keys: logits (classes of all tasks,).
        network: that predicted.
        calibration: of the network's tasks.
        inputs: entries that the network takes behind the image. One that is NaN throughout plays no part.
        monte_carlo_samples: of dropout, 2 or more; 0 for none.
        allow_missing_keys: as in MONAI.

    Puts probabilities, calibrated where the tasks are, in place of the logits, and adds ``explanation``: task to the
    others.
    """

    def __init__(
        self,
        keys: KeysCollection,
        network: FusionModel,
        calibration: TaskCalibration,
        inputs: Sequence[str] = (),
        monte_carlo_samples: int = 20,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.network = network
        self.calibration = calibration
        self.inputs = list(inputs)
        self.monte_carlo_samples = monte_carlo_samples

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        device = next(self.network.parameters()).device
        image, *inputs = (convert_to_tensor(data[name], device=device)[None] for name in ("image", *self.inputs))
        tasks = self.calibration.tasks
        with eval_mode(self.network), torch.inference_mode():
            cached = CachedFeatures.of(self.network, image, inputs)
            available = cached.available[0]
            samples = torch.as_tensor(data[key])[None]
            if self.monte_carlo_samples and self.network.dropout_layers():
                samples = monte_carlo(self.network, image, self.monte_carlo_samples, inputs=inputs)[:, 0]
            players, value = self._game(image, cached)
            alone = torch.stack([value(frozenset([k])) for k in range(len(players))])
            values, errors = shapley_values(value, len(players))
            pairs = shapley_interactions(value, len(players))
        data[key] = self.calibration.probabilities(torch.as_tensor(data[key]), available)
        sets = self.calibration.prediction_sets(data[key], available)
        samples = self.calibration.probabilities(samples, available)
        each = (parts_of(x, tasks) for x in (data[key], samples, alone, values, errors, pairs))
        data["explanation"] = {
            task: _explain(players, int(predicted.argmax()), *parts)
            | ({"prediction_set": sets[task]} if task in sets else {})
            for task, predicted, *parts in zip(tasks, *each, strict=True)
        }

    def _game(self, image: Tensor, cached: CachedFeatures) -> tuple[list[str], Callable[[frozenset[int]], Tensor]]:
        """Names of the players, and the probabilities (classes of all tasks,) that a subset of them leads to."""
        inputs = cached.inputs
        # A network that is given no scan at all reads zeros, so that a table alone has a value too.
        blank = CachedFeatures.of(self.network, torch.full_like(image, torch.nan), inputs) if inputs else None
        present = cached.available[0].nonzero().flatten().tolist()
        given = [k for k, value in enumerate(inputs) if bool(value.isfinite().any())]
        guess = torch.cat([torch.full((len(c),), 1 / len(c)) for c in self.calibration.tasks.values()])

        @cache
        def value(players: frozenset[int]) -> Tensor:
            if not players:
                return guess
            available = torch.zeros_like(cached.available)
            available[0, [m for i, m in enumerate(present) if i in players]] = True
            left_out = {k for i, k in enumerate(given, start=len(present)) if i not in players}
            rest = tuple(torch.full_like(x, torch.nan) if k in left_out else x for k, x in enumerate(inputs))
            if blank and not bool(available.any()):
                logits = replace(blank, inputs=rest).logits()
            else:
                logits = replace(cached, inputs=rest).logits(available)
            return self.calibration.probabilities(logits[0], available[0]).cpu()

        return [self.network.modalities[m] for m in present] + [self.inputs[k] for k in given], value


def contributions(
    names: Sequence[str], values: Tensor, errors: Tensor, output: int | tuple[()] = ()
) -> dict[str, dict[str, float]]:
    """What is said of Shapley values (name, ...) and, where they were sampled, of their standard errors (name, ...).

    Args:
        names: of the players.
        values: as :func:`polyscan.inference.shapley_values` returns them.
        errors: beside them.
        output: which they are told of, where there are several.
    """
    told = {"contributions": values} | ({"contribution_errors": errors} if bool(errors.any()) else {})
    return {
        what: {name: round(of_name[output].item(), 4) for name, of_name in zip(names, each, strict=True)}
        for what, each in told.items()
    }


def _explain(
    players: Sequence[str],
    predicted: int,
    samples: Tensor,
    alone: Tensor,
    values: Tensor,
    errors: Tensor,
    pairs: Tensor,
) -> dict[str, Any]:
    """What is said of one task, from (sample, class) and what (player, class) and (player, player, class) hold."""
    aleatoric, epistemic = (float(part) for part in split_entropy(samples))
    said: dict[str, Any] = {
        "uncertainty": round(aleatoric + epistemic, 4),
        **contributions(players, values, errors, predicted),
    }
    if len(samples) > 1:
        said["aleatoric"], said["epistemic"] = round(aleatoric, 4), round(epistemic, 4)
        said["standard_deviation"] = round(float(samples[:, predicted].std()), 4)
    if len(players) > 1:
        said["conflict"] = round(float(conflict(alone)), 4)
        said["interactions"] = {
            f"{players[a]} + {players[b]}": round(float(pairs[a, b, predicted]), 4)
            for a, b in combinations(range(len(players)), 2)
            if bool(pairs[a, b].isfinite().all())
        }
    return said
