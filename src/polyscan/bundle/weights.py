"""The weights that a bundle answers with, and what changes when they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscan.bundle.config import bundle_folder
from polyscan.errors import PolyscanError
from polyscan.files.digest import digest_of, sha256
from polyscan.files.names import BEST, CALIBRATION

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


def weights_of(bundle: str | Path, weights: str | Path | Sequence[str | Path] | None = None) -> list[Path]:
    """A file of weights, or those of an ensemble; the bundle's own where not given.

    Raises:
        PolyscanError: one is not there.
    """
    named = [bundle_folder(bundle) / "models" / BEST] if weights is None else weights
    files = [Path(named)] if isinstance(named, (str, Path)) else [Path(file) for file in named]
    for file in files:
        if not file.is_file():
            wrong = f"are a folder; name the file in it, such as {file / BEST}" if file.is_dir() else "do not exist"
            raise PolyscanError(f"Weights {file} {wrong}; train the bundle first or name the file with --weights.")
    return files


def calibration_of(files: Sequence[Path]) -> list[Path]:
    """What lies beside the weights; an ensemble has none, since each was calibrated by itself."""
    beside = files[0].with_name(CALIBRATION)
    return [beside] if len(files) == 1 and beside.is_file() else []


def weights_fingerprint(weights: Path) -> str:
    """Changes where what stands in the file does."""
    return sha256(weights)[:16]


def inference_fingerprint(
    bundle: Path,
    weights: str | Path | Sequence[str | Path] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> str:
    """Changes where the weights, the bundle's settings or what is changed of them do.

    Args:
        bundle: its folder.
        weights: a file of weights; the bundle's own where not given.
        overrides: config entries that are changed.

    Raises:
        PolyscanError: the weights are not there.
    """
    config = bundle / "configs" / "inference.json"
    files = weights_of(bundle, weights)
    return digest_of(dict(overrides or {}), *map(sha256, [config, *files, *calibration_of(files)]))


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The entries of a file of weights, on the CPU.

    Raises:
        PolyscanError: it is none.
    """
    import torch

    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        return {name: torch.as_tensor(value) for name, value in stored.items()}
    except Exception as error:
        raise PolyscanError(f"{path} cannot be read as weights ({type(error).__name__}); train them again.") from error


def check_fit(path: Path, stored: Mapping[str, Tensor], network: nn.Module) -> None:
    """Refuse weights of another network, other modalities or other outputs before any study is read."""
    from polyscan.networks.fusion_model import check_weights

    check_weights(network, stored, "")
    own, shapes = _shapes(network.state_dict()), _shapes(stored)
    wrong = [name for name in own.keys() | shapes.keys() if own.get(name) != shapes.get(name)]
    if wrong:
        raise PolyscanError(
            f"{path} does not fit the bundle's network: {len(wrong)} of {len(own)} entries differ; "
            "give the bundle and the --set options that they were trained with."
        )


def _shapes(entries: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in entries.items() if not name.endswith("_extra_state")}
