"""How sure a classification is, and which modality drove it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.networks.utils import eval_mode
from monai.transforms import MapTransform
from torch import Tensor

from polyscan.inference import Once, monte_carlo, shapley_values
from polyscan.workflows.classify import Tasks, parts_of, probabilities


class ExplainAnswerd(MapTransform):
    """Say how sure an answer is and what drove it.

    ``uncertainty``: entropy of the mean of dropout samples (Gal and Ghahramani, ICML 2016), 0 sure to 1 a guess.
    ``spread``: standard deviation of the chosen class's probability over the samples.
    ``contributions``: Shapley values of the modalities that are there, and of each further input as a whole, for the
    probability of the chosen class; with 1 / classes, a guess, they sum to it.

    Args:
        keys: probabilities (classes of all tasks,).
        network: that answered.
        modalities: order of the image's channels, as many channels each.
        tasks: see :data:`Tasks`.
        inputs: entries that the network takes behind the image. One that is NaN throughout plays no part.
        samples: of dropout.
        allow_missing_keys: as in MONAI.

    Adds ``explanation``: task to the three.
    """

    def __init__(
        self,
        keys: KeysCollection,
        network: torch.nn.Module,
        modalities: Sequence[str],
        tasks: Tasks,
        inputs: Sequence[str] = (),
        samples: int = 20,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.network = network
        self.modalities = list(modalities)
        self.tasks = tasks
        self.inputs = list(inputs)
        self.samples = samples

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy with the explanation."""
        out = dict(data)
        for key in self.key_iterator(out):
            device = next(self.network.parameters()).device
            image = torch.as_tensor(out["image"]).to(device)[None]
            others = [torch.as_tensor(out[name]).to(device)[None] for name in self.inputs]
            with eval_mode(self.network):
                samples = monte_carlo(self.network, image, self.samples, others=others)[:, 0]
                players, values = self._contributions(image, others)
            each = (parts_of(x, self.tasks) for x in (out[key], probabilities(samples, self.tasks), values))
            out["explanation"] = {
                task: _explain(int(answer.argmax()), sampled, dict(zip(players, moved, strict=True)))
                for task, answer, sampled, moved in zip(self.tasks, *each, strict=True)
            }
        return out

    def _contributions(self, image: Tensor, others: list[Tensor]) -> tuple[list[str], Tensor]:
        """Names of the players, and their Shapley values (player, classes of all tasks)."""
        with torch.inference_mode():
            ask = Once(self.network, image, others, len(self.modalities))
        there = [m for m in range(len(self.modalities)) if bool(ask.available[0, m])]
        more = [k for k, other in enumerate(others) if bool(other.isfinite().any())]
        guess = torch.cat([torch.full((len(c),), 1 / len(c)) for c in self.tasks.values()])

        @torch.inference_mode()
        def value(players: frozenset[int]) -> Tensor:
            if not players:
                return guess
            chosen = torch.zeros_like(ask.available)
            chosen[0, [m for i, m in enumerate(there) if i in players]] = True
            left = {k for i, k in enumerate(more, start=len(there)) if i not in players}
            rest = [torch.full_like(other, torch.nan) if k in left else other for k, other in enumerate(others)]
            logits = ask(chosen, rest) if bool(chosen.any()) else self.network(torch.full_like(image, torch.nan), *rest)
            return probabilities(logits[0], self.tasks).cpu()

        names = [self.modalities[m] for m in there] + [self.inputs[k] for k in more]
        return names, shapley_values(value, len(names))


def _explain(chosen: int, samples: Tensor, values: Mapping[str, Tensor]) -> dict[str, Any]:
    """What is said of one task's answer, from its samples (sample, class) and Shapley values (class,) of players."""
    mean = samples.mean(0)
    entropy = -(mean * mean.clamp_min(1e-12).log()).sum() / torch.log(torch.tensor(float(len(mean))))
    return {
        "uncertainty": round(float(entropy), 4),
        "spread": round(float(samples[:, chosen].std()), 4),
        "contributions": {player: round(float(value[chosen]), 4) for player, value in values.items()},
    }
