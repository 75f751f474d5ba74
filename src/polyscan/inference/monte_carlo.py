"""How sure a network is: samples of its dropout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from polyscan.networks.fusion_net import FusionNet, on_grid
from polyscan.networks.heads import Head


@torch.inference_mode()
def monte_carlo(network: FusionNet, image: Tensor, samples: int = 30, *, seed: int = 0) -> Tensor:
    """Sample the heads' dropout (Gal and Ghahramani, ICML 2016); everything before it runs once.

    Args:
        network: in evaluation mode, with a head that has dropout.
        image: (batch, modality, *spatial), NaN where absent.
        samples: how many answers.
        seed: the same seed gives the same samples on the same kind of device.

    Returns:
        Logits (sample, batch, ...), each as ``network`` gives them.

    Raises:
        ValueError: no head has dropout, so that all samples would be the same.
    """
    features, available = network.encode(image)
    embedding = network.embed(features, available)
    devices = [image.device] if image.is_cuda else []
    with _dropout(network), torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        return torch.stack([on_grid(network.answer(embedding, available), image) for _ in range(samples)])


@contextmanager
def _dropout(network: nn.Module) -> Iterator[None]:
    """Let the dropout layers of heads drop while everything else stays as it is."""
    layers = [head.dropout for head in network.modules() if isinstance(head, Head) and head.dropout.p > 0]
    if not layers:
        raise ValueError("no head of the network has dropout, so all samples would be alike; make it with dropout > 0.")
    before = [layer.training for layer in layers]
    try:
        for layer in layers:
            layer.train()
        yield
    finally:
        for layer, training in zip(layers, before, strict=True):
            layer.train(training)
