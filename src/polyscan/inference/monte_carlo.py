"""How sure a network is: samples of its dropout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from polyscan.inference.once import Once
from polyscan.networks.fusion_net import FusionNet, on_grid
from polyscan.networks.heads import Head


@torch.inference_mode()
def monte_carlo(
    network: nn.Module, image: Tensor, samples: int = 30, *, others: Sequence[Tensor] = (), seed: int = 0
) -> Tensor:
    """Sample a network's dropout (Gal and Ghahramani, ICML 2016).

    Of a network that tells apart what it does to each modality and what it makes of all the heads' dropout is sampled,
    and the encoders run once; of another one all dropout layers are, and it runs as often as there are samples.

    Args:
        network: in evaluation mode, with dropout.
        image: (batch, modality, *spatial), NaN where absent.
        samples: how many answers.
        others: what the network takes behind the image.
        seed: the same seed gives the same samples on the same kind of device.

    Returns:
        Logits (sample, batch, ...), each as ``network`` gives them.

    Raises:
        ValueError: the network has no such dropout, so that all samples would be the same.
    """
    layers = _of_heads(network) if hasattr(network, "decide") else _of_all(network)
    if not layers:
        raise ValueError("the network has no dropout to sample, so all samples would be alike; give it dropout > 0.")
    ask = Once(network, image, others)
    if isinstance(network, FusionNet):  # everything up to the dropout once
        embedding = network.embed(ask.features or [], ask.available)
    devices = [image.device] if image.is_cuda else []
    answers = []
    with _dropping(layers), torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        for _ in range(samples):
            if isinstance(network, FusionNet):
                answers.append(on_grid(network.answer(embedding, ask.available), image))
            else:
                answers.append(ask())
    return torch.stack(answers)


def _of_heads(network: nn.Module) -> list[_DropoutNd]:
    return [head.dropout for head in network.modules() if isinstance(head, Head) and head.dropout.p > 0]


def _of_all(network: nn.Module) -> list[_DropoutNd]:
    return [layer for layer in network.modules() if isinstance(layer, _DropoutNd) and layer.p > 0]


@contextmanager
def _dropping(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Let dropout layers drop while everything else stays as it is."""
    before = [layer.training for layer in layers]
    try:
        for layer in layers:
            layer.train()
        yield
    finally:
        for layer, training in zip(layers, before, strict=True):
            layer.train(training)
