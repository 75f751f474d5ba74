"""Whether a device that a user names can be computed on."""

from __future__ import annotations

from polyscan.errors import PolyscanError


def is_usable(device: str) -> bool:
    """Whether this process can compute on a device of PyTorch; the bundle's choice, where empty, is one that it can."""
    import torch

    try:
        torch.empty(0, device=device or "cpu")
    except (RuntimeError, AssertionError):  # that is what a torch without CUDA raises
        return False
    return True


def check_usable(device: str) -> None:
    """Refuse a device on which :func:`is_usable` finds that nothing can be computed.

    Raises:
        PolyscanError: it is one.
    """
    if not is_usable(device):
        raise PolyscanError(f"{device} cannot be used here; name one that is there, such as cpu.")
