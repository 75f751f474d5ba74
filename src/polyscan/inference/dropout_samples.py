"""How sure a network is: samples of its dropout, of an ensemble and of mirror images."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from monai.networks.utils import train_mode
from torch import Tensor

from polyscan.errors import PolyscanError
from polyscan.inference.averaged import EnsembleAverage, MirrorAverage
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


@torch.inference_mode()
def sampled_maps(
    network: EnsembleAverage,
    axes: Sequence[int],
    ask: Callable[[Callable[..., Tensor]], Tensor],
    n_dropout: int = 10,
    seed: int = 0,
) -> Iterator[Tensor]:
    """Every answer for an image of each network of an ensemble, each mirror image and, where there is any, of dropout.

    Deep ensembles (Lakshminarayanan et al., NeurIPS 2017), test-time augmentation (Wang et al., Neurocomputing 338,
    2019) and Monte Carlo dropout (Gal and Ghahramani, ICML 2016) at once, each as far as it is there.

    Args:
        network: in evaluation mode.
        axes: spatial axes that are mirrored, all combinations of them.
        ask: asks a network that takes an image, window by window where it is large.
        n_dropout: answers at least where dropout is sampled.
        seed: of dropout.

    Raises:
        PolyscanError: there would be one answer only.
    """
    layers = network.dropout_layers()
    each = [
        partial(mirror.mirrored, dims)
        for mirror in (MirrorAverage(member, axes) for member in network.members)
        for dims in mirror.flips
    ]
    if len(each) == 1 and not layers:
        raise PolyscanError(
            "One network without dropout answers and no axis is mirrored, so that there is one answer, which tells no "
            "doubt apart; give --ensemble, or leave --uncertainty away."
        )
    count = max(n_dropout, len(each)) if layers else len(each)
    devices = [p.device for p in itertools.islice(network.parameters(), 1) if p.is_cuda]
    with train_mode(*layers), torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        for sample in itertools.islice(itertools.cycle(each), count):
            yield ask(sample)
