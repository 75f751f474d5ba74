"""Weights that someone trained before, into an encoder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from polyscan.errors import PolyscanError


def load_pretrained(network: nn.Module, path: str | Path, needed: nn.Module) -> None:
    """Load a file of weights into a network of which parts are needed.

    A wrapper (``state_dict``, ``model``) and a prefix of all names (``module.``, ``swinViT.``) are taken off. A first
    convolution for several channels is summed over them where the network reads one: the answer to a grey image
    repeated in all of them.

    Args:
        network: whose names the file uses.
        path: a file of ``torch.save``.
        needed: the part of the network that is used; each of its weights must be in the file. Others may be missing.

    Raises:
        PolyscanError: the file cannot be read, or lacks a weight, or has another shape for one.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise PolyscanError(f"{path} cannot be read as weights ({type(error).__name__}).") from error
    for wrapper in ("state_dict", "model"):
        if isinstance(stored, dict) and isinstance(stored.get(wrapper), dict):
            stored = stored[wrapper]
    own = network.state_dict()
    used = {id(tensor) for tensor in needed.state_dict(keep_vars=True).values()}
    names = [name for name, tensor in network.state_dict(keep_vars=True).items() if id(tensor) in used]
    prefix = _prefix(stored, names)
    fitting = {name: _fitted(stored[prefix + name], own[name]) for name in names if prefix + name in stored}
    lacking = [name for name in names if name not in fitting and not name.endswith("num_batches_tracked")]
    wrong = [name for name, tensor in fitting.items() if tensor.shape != own[name].shape]
    if lacking or wrong:
        first = (lacking + wrong)[0]
        found = list(stored[prefix + first].shape) if first in wrong else "no such entry"
        raise PolyscanError(
            f"{path} does not fit: of {len(names)} weights {len(lacking)} are missing and {len(wrong)} have "
            f"another shape; {first} should have {list(own[first].shape)}, found {found}."
        )
    network.load_state_dict(fitting, strict=False)


def _prefix(stored: dict[str, Tensor], names: list[str]) -> str:
    """What stands before every name in the file: that of the entry which ends with the longest name."""
    longest = max(names, key=len)
    found = [key.removesuffix(longest) for key in stored if key.endswith(longest)]
    return min(found, key=len) if found else ""


def _fitted(tensor: Tensor, own: Tensor) -> Tensor:
    one = own.dim() > 2 and own.shape[1] == 1 < tensor.shape[1] and tensor.shape[2:] == own.shape[2:]
    return tensor.sum(1, keepdim=True) if one else tensor
