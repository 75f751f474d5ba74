"""What another device and mixed precision change: each fusion layer beside itself on the CPU in float32.

    python benchmarks/precision.py [--device cuda] [--csv FILE] [--side 12] [--layers Mean CoAttention]

One layer, one draw of weights and inputs, a modality missing in one row of three. Printed is the greatest difference of
the output, and of the gradient of its square's sum with respect to the inputs, as a part of the greatest absolute value
of the CPU's; ``nan`` where a value is not finite. Then the full setting: a plan's network for four contrasts on
``--window`` voxels an edge, the answer for a whole volume and a training step: seconds and peak memory, in each
precision, and seconds of a step by ``torch.compile`` with ``--compile``. On a CPU the full setting is left out unless
``--window`` is given, and is computed once, in float32: CPU time, and the most memory that the process held so far.
"""

from __future__ import annotations

import argparse
import csv
import resource
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fusion_layers import Layer, make, shapes_of, shortest
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from polyscan import fusion
from polyscan.fusion import table
from polyscan.learning import RegionLoss
from polyscan.networks import FusionNet, SegmentationHead, SegResEncoder

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


def full_setting(device: str, window: int, batch: int, volume: Sequence[int], compiling: bool) -> None:
    """Time and memory of what ``polyscan plan`` sets up for four contrasts: an answer and a step of training."""
    levels, modalities = 5, ["T1", "T1c", "T2", "FLAIR"]
    width = [min(32 * 2**level, 160) for level in range(levels)]
    print(f"| {len(modalities)} x {window}^3 | answer for {volume}: s | GB | step of {batch}: s | GB | compiled |")
    print("|---|---|---|---|---|---|")
    for name, dtype in PRECISIONS.items() if device == "cuda" else [("float32", None)]:
        torch.manual_seed(0)
        network = FusionNet(
            modalities,
            partial(SegResEncoder, init_filters=32, blocks_down=(1, 2, 2, 4, 4), max_filters=160),
            fusion=fusion.AttentionWeighted,
            fuse_at=list(range(levels)),
            head=partial(SegmentationHead, regions=["tumour"], width=width[:-1], deep_supervision=3),
        ).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
        image = torch.randn(batch, len(modalities), window, window, window, device=device)
        label = torch.rand(batch, 1, window, window, window, device=device) > 0.5
        whole = torch.randn(1, len(modalities), *volume, device=device)
        told = [*measured(partial(answer, network, whole, window, dtype), device)]
        told += measured(partial(step, network, optimizer, image, label, dtype), device)
        if compiling:
            told += measured(partial(step, torch.compile(network), optimizer, image, label, dtype), device)[:1]
        print(f"| {name} |", " | ".join(f"{value:.2f}" for value in told), "|", flush=True)


def measured(run: Callable[[], object], device: str) -> list[float]:
    """Seconds and the highest memory so far, in GB: on a CPU of one run, CPU time and all that the process holds."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return [*shortest([run], REPEATS, device), torch.cuda.max_memory_allocated() / 1e9]
    start = time.process_time()
    run()
    return [time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9]


@torch.no_grad()
def answer(network: FusionNet, image: Tensor, window: int, dtype: torch.dtype | None) -> None:
    """The answer for a whole volume, window by window."""
    with autocast(image.device.type, dtype):
        sliding_window_inference(image, (window,) * 3, 1, network.eval(), overlap=0.25)


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
    parser.add_argument("--batch", type=int, default=2, help="windows of a training step of the full setting (2)")
    parser.add_argument("--volume", type=int, nargs=3, default=[192, 192, 160], help="voxels that are answered for")
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
        full_setting(options.device, window, options.batch, options.volume, options.compile)


if __name__ == "__main__":
    main()
