"""What each fusion layer costs, relative to concatenation, and how its cost grows.

    python benchmarks/fusion_layers.py [--device cuda] [--repeats 7] [--layers Mean CoAttention] [--sizes]

Parameters; FLOPs of matrix products, convolutions and attention; time forward and forward with backward (the shortest
of the repeats); peak memory of tensors; and the exponents of time in voxels, channels and modalities (least squares
through logarithms). On a CPU the time is that of one thread of the processor, which other work on the machine changes
little. With ``--sizes`` nothing is timed.
"""

from __future__ import annotations

import argparse
import time
import weakref
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from polyscan import fusion
from polyscan.fusion import FusionLayer, table
from polyscan.fusion.table import TableFusion

Layer = type[FusionLayer] | type[TableFusion]
BASE = {"modalities": 4, "channels": 32, "side": 20}
VARY = {"side": [16, 24, 36], "channels": [16, 32, 64], "modalities": [1, 2, 4, 8]}


class PeakMemory(TorchDispatchMode):
    """Bytes of all tensors that live at one time, on any device."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._seen:
            self._seen.add(key)
            size = storage.nbytes()
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def make(layer: Layer, modalities: int, channels: int) -> nn.Module:
    """A layer; a table acts with as many variables as there are modalities elsewhere."""
    return layer(channels, modalities) if issubclass(layer, TableFusion) else layer(modalities, channels)


def shapes_of(layer: Layer, rows: int, modalities: int, channels: int, side: int) -> list[list[int]]:
    """Of what it takes before which modalities are available: maps, or a map and a table."""
    volume = [channels, side, side, side]
    if issubclass(layer, TableFusion):
        return [[rows, *volume], [rows, modalities, 32]]
    return [[rows, modalities, *volume]]


class Trial:
    """A layer of some size with its inputs."""

    def __init__(self, layer: Layer, device: str, modalities: int, channels: int, side: int) -> None:
        torch.manual_seed(0)
        there = torch.ones(1, modalities, dtype=torch.bool, device=device)
        self.net = make(layer, modalities, channels)
        self.net.to(device)
        self.inputs = [
            torch.randn(shape, device=device) for shape in shapes_of(layer, 1, modalities, channels, side)
        ] + [there]

    def forward(self) -> None:
        """Run without gradients."""
        with torch.no_grad():
            self.net(*self.inputs)

    def both(self) -> None:
        """Run forward and backward, to the features too."""
        out = self.net(self.inputs[0].clone().requires_grad_(), *self.inputs[1:])
        if out.requires_grad:
            out.sum().backward()


def shortest(runs: list[Callable[[], None]], repeats: int, device: str) -> list[float]:
    """Seconds of the quickest of several runs of each, taking turns, so that a busy moment hits all alike."""
    clock = time.perf_counter if device == "cuda" else time.thread_time
    best = [float("inf")] * len(runs)
    for turn in range(repeats + 1):
        for k, run in enumerate(runs):
            start = clock()
            run()
            if device == "cuda":
                torch.cuda.synchronize()
            if turn:
                best[k] = min(best[k], clock() - start)
    return best


def size_of(layer: Layer, device: str) -> np.ndarray:
    """Parameters, FLOPs and peak bytes at the base size."""
    trial = Trial(layer, device, **BASE)
    with FlopCounterMode(display=False) as flops, sdpa_kernel(SDPBackend.MATH):  # whose products are counted
        trial.net(*trial.inputs)  # with gradients, without which the counter stumbles over views of parameters
    with PeakMemory() as memory:
        trial.both()
    return np.array([sum(p.numel() for p in trial.net.parameters()), flops.get_total_flops(), memory.peak], dtype=float)


def speed_of(layer: Layer, device: str, repeats: int) -> np.ndarray:
    """Seconds forward and with backward, of concatenation and of the layer: (2, 2)."""
    trials = [Trial(each, device, **BASE) for each in (fusion.Concatenation, layer)]
    return np.array(
        [shortest(runs, repeats, device) for runs in ([t.forward for t in trials], [t.both for t in trials])]
    )


def exponent(layer: Layer, device: str, repeats: int, what: str) -> float:
    """How time forward and backward grows with one of the sizes: the slope through logarithms."""
    runs = [Trial(layer, device, **{**BASE, what: size}).both for size in VARY[what]]
    sizes = np.array(VARY[what]) ** (3 if what == "side" else 1)
    return float(np.polyfit(np.log(sizes), np.log(shortest(runs, repeats, device)), 1)[0])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--layers", nargs="*")
    parser.add_argument("--sizes", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [x for x in [*fusion.layers(), *table.layers()] if not options.layers or x.__name__ in options.layers]
    peer, times = size_of(fusion.Concatenation, options.device), speed_of(fusion.Mean, options.device, options.repeats)
    print(
        "{modalities} modalities or variables, {channels} channels, {side}^3 voxels, ".format(**BASE) + options.device
    )
    print(
        f"Concatenation: {peer[0]:.0f} parameters, {peer[1] / 1e6:.0f} MFLOP, {peer[2] / 2**20:.0f} MiB, "
        f"{times[0, 0] * 1e3:.1f} ms forward, {times[1, 0] * 1e3:.1f} ms with backward. "
        "All else relative to it; exponents of the time with backward.\n"
    )
    print("| layer | parameters | FLOPs | memory | forward | with backward | voxels^ | channels^ | modalities^ |")
    print("| --- " * 9 + "|")
    for layer in chosen:
        cells = [f"{ratio:.2f}" for ratio in size_of(layer, options.device) / peer]
        if options.sizes:
            cells += ["–"] * 5
        else:
            times = speed_of(layer, options.device, options.repeats)
            cells += [f"{ratio:.2f}" for ratio in times[:, 1] / times[:, 0]]
            cells += [f"{exponent(layer, options.device, options.repeats, what):.1f}" for what in VARY]
        print(f"| {layer.__name__} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
