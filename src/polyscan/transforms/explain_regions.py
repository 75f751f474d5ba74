"""Which modality drove a mask."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.networks.utils import eval_mode
from monai.utils import convert_to_tensor
from torch import Tensor, nn

from polyscan.inference import shapley_values, soft_dice_confidence
from polyscan.transforms.each_key import EachKeyTransform
from polyscan.transforms.regions import Regions


class ExplainRegionsd(EachKeyTransform):
    """Say which modality drove the mask of each region.

    What a subset of the modalities is worth is how sure it is of the mask that all of them gave: the soft Dice of that
    mask with the probabilities from the subset, as a part of that with the probabilities from all, and 0 from none; see
    :func:`polyscan.inference.soft_dice_confidence`. So the Shapley values of the modalities sum to 1. The network
    answers for every other subset; of more than ten they are sampled, see :func:`polyscan.inference.shapley_values`.

    Args:
        keys: logits (region, *spatial) on the grid of ``image``.
        network: that predicted; (1, modality * channel, *spatial), NaN where absent, to logits.
        modalities: in the order of its channels.
        regions: see :data:`polyscan.transforms.regions.Regions`.
        threshold: probability from which on a voxel is marked.
        inferer: asks the network for an image that is larger than it reads at once.
        inputs: entries that the network takes behind the image.
        allow_missing_keys: as in MONAI.

    Adds ``contributions``: region, of those that are marked, to modality to its part.
    """

    def __init__(
        self,
        keys: KeysCollection,
        network: nn.Module,
        modalities: Sequence[str],
        regions: Regions,
        threshold: float,
        inferer: Callable[..., Tensor],
        inputs: Sequence[str] = (),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.network, self.inferer = network, inferer
        self.modalities, self.regions, self.threshold = list(modalities), regions, threshold
        self.inputs = list(inputs)

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        device = next(self.network.parameters()).device
        image, *inputs = (convert_to_tensor(data[name], device=device)[None] for name in ("image", *self.inputs))
        each = image.unflatten(1, (len(self.modalities), -1))
        present = each[0].flatten(1).isfinite().any(1).nonzero().flatten().tolist()
        predicted = convert_to_tensor(data[key], device=device, track_meta=False)
        marked = predicted.sigmoid() >= self.threshold

        def value(players: frozenset[int]) -> Tensor:
            if not players:
                return torch.zeros(len(marked))
            logits = predicted
            if len(players) < len(present):
                chosen = [present[k] for k in players]
                read = torch.full_like(each, torch.nan)
                read[:, chosen] = each[:, chosen]
                logits = self.inferer(read.flatten(1, 2), self.network, *inputs)[0]
            return soft_dice_confidence(logits.sigmoid(), marked).cpu()

        with eval_mode(self.network), torch.inference_mode():
            values, _ = shapley_values(value, len(present))
        names = [self.modalities[m] for m in present]
        data["contributions"] = {
            region: {name: round(part, 4) for name, part in zip(names, parts, strict=True)}
            for region, parts, mask in zip(self.regions, (values / values.sum(0)).T.tolist(), marked, strict=True)
            if bool(mask.any())
        }
