"""Whether a device that a user names can be computed on."""

from __future__ import annotations

from polyscan.errors import PolyscanError


def check_usable(device: str) -> None:
    """Refuse a device of PyTorch that this process cannot compute on; the bundle's choice, where empty, is none.

    Raises:
        PolyscanError: it is one.
    """
    import torch

    try:
        torch.empty(0, device=device or "cpu")
    except (RuntimeError, AssertionError) as error:  # that is what a torch without CUDA raises
        raise PolyscanError(f"{device} cannot be used here; name one that is there, such as cpu.") from error
