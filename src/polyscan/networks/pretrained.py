"""Weights that someone trained before, into an encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from polyscan.errors import PolyscanError

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
}


def load_pretrained(
    network: nn.Module, path: str | Path, needed: nn.Module, aliases: Mapping[str, str] | None = None
) -> None:
    """Load a file of weights into a network of which parts are needed.

    A wrapper (``state_dict``, ``model``) and a prefix of all names (``module.``, ``swinViT.``) are taken off. A first
    convolution for several channels is summed over them where the network reads one: the answer to a grey image
    repeated in all of them.

    Args:
        network: whose names the file uses.
        path: a file of ``torch.save``, or of safetensors.
        needed: the part of the network that is used; each of its weights must be in the file. Others may be missing.
        aliases: parts of names in files of other code to what stands in their place in the network's.

    Raises:
        PolyscanError: the file cannot be read, or lacks a weight, or has another shape for one.
    """
    stored = _read(Path(path))
    for other, here in (aliases or {}).items():
        stored = {name.replace(other, here): tensor for name, tensor in stored.items()}
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


def _read(path: Path) -> dict[str, Tensor]:
    """Name to tensor, without wrappers."""
    try:
        safe = path.suffix == ".safetensors"
        stored = _read_safetensors(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise PolyscanError(f"{path} cannot be read as weights ({type(error).__name__}).") from error
    for wrapper in ("state_dict", "model"):
        if isinstance(stored, dict) and isinstance(stored.get(wrapper), dict):
            stored = stored[wrapper]
    return {name: tensor for name, tensor in dict(stored).items() if isinstance(tensor, Tensor)}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """The length of a header, the header, then all values (https://huggingface.co/docs/safetensors, Format)."""
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    entries = {name: entry for name, entry in json.loads(content[8:start]).items() if name != "__metadata__"}
    stored = {}
    for name, entry in entries.items():
        first, last = (start + offset for offset in entry["data_offsets"])
        stored[name] = torch.frombuffer(content[first:last], dtype=_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return stored


def _prefix(stored: Mapping[str, Tensor], names: list[str]) -> str:
    """What stands before every name in the file: that of the entry which ends with the longest name."""
    longest = max((name for name in names if not name.endswith("num_batches_tracked")), key=len)
    found = [key.removesuffix(longest) for key in stored if key.endswith(longest)]
    return min(found, key=len) if found else ""


def _fitted(tensor: Tensor, own: Tensor) -> Tensor:
    one = own.dim() > 2 and own.shape[1] == 1 < tensor.shape[1] and tensor.shape[2:] == own.shape[2:]
    return tensor.sum(1, keepdim=True) if one else tensor
