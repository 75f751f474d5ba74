"""What a network of survival makes of time is fitted before each validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.utils import convert_to_tensor

from polyscan.networks import CachedFeatures, SurvivalNet


class FitSurvival:
    """Fit the slope and the cumulative hazard of a network as soon as it is validated, so that its weights hold them.

    Args:
        network: what is validated.
        dataset: items with ``image`` and ``label`` (time, event) of those who are learnt from.
        held_out: of those who are not, who tell the slope; it is 1 where there are none.
    """

    def __init__(self, network: SurvivalNet, dataset: Sequence[Any], held_out: Sequence[Any] = ()) -> None:
        self.network = network
        self.datasets = (dataset, held_out)

    def attach(self, engine: Engine) -> None:
        """Attach to a validator."""
        engine.add_event_handler(Events.STARTED, self)

    @torch.inference_mode()
    def __call__(self, engine: Engine) -> None:
        network = self.network.eval()
        subsets = network.subsets()
        risks, available, targets, held_out = [], [], [], []
        for away, dataset in enumerate(self.datasets):
            for k in range(len(dataset)):
                item = dataset[k]
                image, target = (convert_to_tensor(item[key], device=subsets.device) for key in ("image", "label"))
                if bool(target.isfinite().all()):
                    encoded = CachedFeatures.of(network.network, image[None])
                    risks.append(encoded.repeated(len(subsets)).logits(subsets)[:, 0])
                    available.append(encoded.available[0])
                    targets.append(target)
                    held_out.append(bool(away))
        risk, target = torch.stack(risks), torch.stack(targets)
        network.fit(risk, torch.stack(available), target, torch.tensor(held_out, device=subsets.device))
