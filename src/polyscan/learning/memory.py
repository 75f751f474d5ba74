"""How much memory a step of training takes, measured on a small window."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn

WEIGHT_COPIES = 5
"""Weights, their gradients, Adam's two moments, and the averaged weights."""


def bytes_to_train(config: Mapping[str, Any], batch: int) -> float:
    """What a step takes: what the forward pass keeps for the backward one, and the copies of the weights.

    Autograd is asked for every tensor that it keeps (``saved_tensors_hooks``) on a window of half the edge; features
    grow with the number of voxels.

    Args:
        config: a bundle's train config with ``network_def`` and ``roi_size``.
        batch: windows a step.

    Returns:
        Bytes.
    """
    parser = ConfigParser(copy.deepcopy(dict(config)))
    network = parser.get_parsed_content("network_def").train()
    window = [max(edge // 2, 16) for edge in config["roi_size"]]
    scale = torch.tensor(config["roi_size"]).prod() / torch.tensor(window).prod()
    kept = bytes_kept(network, torch.zeros(1, len(config["modalities"]), *window))
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    return float(batch * scale * kept + WEIGHT_COPIES * weights)


def bytes_kept(network: nn.Module, image: Tensor) -> int:
    """Bytes of the tensors that autograd keeps from one forward pass, weights apart."""
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}
    sizes: dict[int, int] = {}
    held = []

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)  # a freed storage's address could be another's
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        network(image)
    return sum(sizes.values())
