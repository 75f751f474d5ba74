"""Train on studies as they come: with modalities missing."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import RandomizableTransform

from polyscan.transforms.each_key import EachKeyTransform


class RandModalityDropoutd(RandomizableTransform, EachKeyTransform):
    """Make each modality of a study absent with a probability of its own draw; one that is there is always kept.

    ModDrop (Neverova et al., TPAMI 2016) with absence as NaN, so that the network sees the same thing as
    for a modality that was not acquired. If every modality were dropped, one of them drawn evenly is kept.

    Args:
        keys: images (modality, *spatial) whose absent channels are NaN.
        prob: probability that a modality is dropped; one, or one a modality, such as the rates at which they are
            missing in the data (:func:`polyscan.bundle.missing_rates`).
        channels: that each modality has, as three of a colour picture.
        allow_missing_keys: as in MONAI.

    Attributes:
        risen: part of ``prob`` that is in force, which :class:`RaiseModalityDropout` sets.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float | Sequence[float] = 0.3,
        *,
        channels: int = 1,
        allow_missing_keys: bool = False,
    ) -> None:
        EachKeyTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        if not all(0 <= p < 1 for p in ([prob] if isinstance(prob, int | float) else prob)):
            raise ValueError(f"prob is {prob}; expected 0 <= prob < 1.")
        self.drop = prob
        self.risen = 1.0
        self.channels = channels

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        image = data[key].clone()
        each = image.as_tensor() if isinstance(image, MetaTensor) else image
        each = each.view(-1, self.channels, *image.shape[1:])
        rates = [self.drop] * len(each) if isinstance(self.drop, int | float) else list(self.drop)
        if len(rates) != len(each):
            raise ValueError(f"prob has {len(rates)} rates; expected one for each of {len(each)} modalities.")
        present = torch.nonzero(torch.isfinite(each).flatten(1).any(1)).flatten().tolist()
        dropped = [m for m in present if self.R.random() < self.risen * rates[m]]
        if dropped == present and present:
            dropped.remove(present[self.R.randint(len(present))])
        each[dropped] = float("nan")
        data[key] = image


class RaiseModalityDropout:
    """Let the rates of :class:`RandModalityDropoutd` rise from 0, linearly over the first epochs of a training.

    A network learns from whole studies first, and from fewer modalities later (curriculum learning, Bengio et al., ICML
    2009): where one modality alone tells nothing, studies that lack another are noise to a network that has learnt
    nothing yet.

    Args:
        rise: part of the epochs during which the rates rise; 0: they are in force from the first epoch on.
    """

    def __init__(self, rise: float) -> None:
        self.rise = rise

    def attach(self, engine: Engine) -> None:
        """Attach to a ``monai.engines.Trainer`` whose data set has one transform, in the way of MONAI's."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Any) -> None:
        """Set the rates of this epoch."""
        over = self.rise * engine.state.max_epochs
        for transform in _dropouts(engine.data_loader.dataset.transform):
            transform.risen = min((engine.state.epoch - 1) / over, 1.0) if over else 1.0


def _dropouts(transform: Any) -> Iterator[RandModalityDropoutd]:
    """The modality dropout in a transform, however deep it stands."""
    if isinstance(transform, RandModalityDropoutd):
        yield transform
    for each in getattr(transform, "transforms", ()):
        yield from _dropouts(each)
