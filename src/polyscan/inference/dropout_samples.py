"""How sure a network is: samples of its dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.utils import train_mode
from torch import Tensor

from polyscan.networks import FusionModel
from polyscan.networks.cached_features import CachedFeatures


@torch.inference_mode()
def monte_carlo(
    network: FusionModel, image: Any, n_samples: int = 30, *, inputs: Sequence[Tensor] = (), seed: int = 0
) -> Tensor:
    """Sample a network's dropout (Gal and Ghahramani, ICML 2016); what stands before the dropout runs once.

    Args:
        network: in evaluation mode, with dropout.
        image: what the network takes first, such as (batch, modality, *spatial); NaN where absent.
        n_samples: how many, 2 or more.
        inputs: what the network takes behind the image.
        seed: the same seed gives the same samples on the same kind of device.

    Returns:
        Logits (sample, batch, ...), each as ``network`` gives them.

    Raises:
        ValueError: the network has no such dropout, so that all samples would be the same; or one sample is wanted.
    """
    if n_samples < 2:
        raise ValueError(f"n_samples is {n_samples}; expected 2 or more, since one tells nothing of how they vary.")
    layers = network.dropout_layers()
    if not layers:
        raise ValueError("the network has no dropout to sample, so all samples would be alike; give it dropout > 0.")
    cached = CachedFeatures.of(network, image, inputs)
    devices = [cached.available.device] if cached.available.is_cuda else []
    sample = cached.sampler()
    with train_mode(*layers), torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        return torch.stack([sample() for _ in range(n_samples)])
