"""What another device and mixed precision change: each fusion layer beside itself on the CPU in float32.

    python benchmarks/precision.py [--device cuda] [--csv FILE] [--side 12] [--layers Mean CoAttention]

One layer, one draw of weights and inputs, a modality missing in one row of three. Printed is the greatest difference of
the output, and of the gradient of its square's sum with respect to the inputs, as a part of the greatest absolute value
of the CPU's; ``nan`` where a value is not finite. Then the full setting: a plan's network for four contrasts on
``--window`` voxels an edge, a training step in each precision: seconds, peak memory of the device, and the same by
``torch.compile`` with ``--compile``. On a CPU the full setting is left out unless ``--window`` is given.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fusion_layers import Layer, make, shapes_of, shortest
from torch import Tensor, nn

from polyscan import fusion
from polyscan.fusion import table
from polyscan.learning import RegionLoss
from polyscan.networks import FusionNet, SegmentationHead
from polyscan.networks.encoders import SegResEncoder

MODALITIES, CHANNELS, ROWS, REPEATS = 3, 16, 3, 3
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def autocast(device: str, dtype: torch.dtype | None) -> Any:
    """The context of a precision."""
    return nullcontext() if dtype is None else torch.autocast(device, dtype)


def inputs_of(layer: Layer, side: int) -> list[Tensor]:
    """What a layer takes, a modality missing in the first row."""
    torch.manual_seed(1)
    available = torch.ones(ROWS, MODALITIES, dtype=torch.bool)
    available[0, 1] = False
    return [*map(torch.randn, shapes_of(layer, ROWS, MODALITIES, CHANNELS, side)), available]


def passed(layer: nn.Module, inputs: list[Tensor], device: str, dtype: torch.dtype | None) -> tuple[Tensor, Tensor]:
    """Output and gradient of one pass, as float32 on the CPU."""
    layer = layer.to(device).eval()
    given = [x.to(device).requires_grad_(x.is_floating_point()) for x in (y.clone() for y in inputs)]
    with autocast(device, dtype):
        out = layer(*given)
    if out.requires_grad:  # a vote has no gradient
        out.float().square().sum().backward()
    gradient = torch.zeros_like(given[0]) if given[0].grad is None else given[0].grad
    return out.detach().float().cpu(), gradient.float().cpu()


def difference(found: Tensor, expected: Tensor) -> float:
    """The greatest difference, as a part of the greatest absolute value that is expected."""
    if not bool(found.isfinite().all()):
        return float("nan")
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


def layers(device: str, side: int, names: list[str]) -> list[dict[str, Any]]:
    """A row for each layer."""
    rows = []
    for layer in [*fusion.layers(), *table.layers()]:
        if names and layer.__name__ not in names:
            continue
        torch.manual_seed(0)
        made = make(layer, MODALITIES, CHANNELS)
        inputs = inputs_of(layer, side)
        expected = passed(made, inputs, "cpu", None)
        row: dict[str, Any] = {"layer": layer.__name__}
        for name, dtype in PRECISIONS.items():
            try:
                found = passed(made, inputs, device, dtype)
            except (RuntimeError, ValueError) as error:
                row[f"{name} output"] = row[f"{name} gradient"] = f"{type(error).__name__}: {error}"[:60]
                continue
            for what, a, b in zip(("output", "gradient"), found, expected, strict=True):
                row[f"{name} {what}"] = difference(a, b)
        rows.append(row)
        print(row["layer"], *(f"{v:.1e}" if isinstance(v, float) else v for v in list(row.values())[1:]), flush=True)
    return rows


def full_setting(device: str, window: int, compiling: bool) -> None:
    """Time and memory of a training step of what ``polyscan plan`` sets up for four contrasts."""
    levels, modalities = 5, ["T1", "T1c", "T2", "FLAIR"]
    width = [min(32 * 2**level, 160) for level in range(levels)]
    print(f"| full setting, {len(modalities)} x {window}^3, batch 2 | seconds a step | peak GB | seconds compiled |")
    print("|---|---|---|---|")
    for name, dtype in PRECISIONS.items():
        torch.manual_seed(0)
        network = FusionNet(
            modalities,
            partial(SegResEncoder, init_filters=32, blocks_down=(1, 2, 2, 4, 4), max_filters=160),
            fusion=fusion.AttentionWeighted,
            fuse_at=list(range(levels)),
            head=partial(SegmentationHead, regions=["tumour"], width=width[:-1], deep_supervision=3),
        ).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
        image = torch.randn(2, len(modalities), window, window, window, device=device)
        label = torch.rand(2, 1, window, window, window, device=device) > 0.5
        (seconds,) = shortest([partial(step, network, optimizer, image, label, dtype)], REPEATS, device)
        peak = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else float("nan")
        told = ""
        if compiling:
            (compiled,) = shortest(
                [partial(step, torch.compile(network), optimizer, image, label, dtype)], REPEATS, device
            )
            told = f"{compiled:.3f}"
        print(f"| {name} | {seconds:.3f} | {peak:.1f} | {told} |", flush=True)
        del network, optimizer
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()


def step(
    network: Any, optimizer: torch.optim.Optimizer, image: Tensor, label: Tensor, dtype: torch.dtype | None
) -> None:
    """One step of training."""
    optimizer.zero_grad()
    with autocast(image.device.type, dtype):
        loss = RegionLoss()(network.train()(image), label)
    loss.backward()
    optimizer.step()


def main() -> None:
    """Read the command line and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--csv", type=Path, help="also write the first table to this file")
    parser.add_argument("--side", type=int, default=12, help="voxels an edge of the maps (12)")
    parser.add_argument("--window", type=int, help="voxels an edge of the full setting; 128 on a GPU")
    parser.add_argument("--layers", nargs="*", default=[], help="only these")
    parser.add_argument("--compile", action="store_true", help="time the full setting compiled too")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="torch")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    print("layer", *(f"{name} {what}" for name in PRECISIONS for what in ("output", "gradient")), sep=", ")
    rows = layers(options.device, options.side, options.layers)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    if window := options.window or (128 if options.device == "cuda" else 0):
        full_setting(options.device, window, options.compile)


if __name__ == "__main__":
    main()
