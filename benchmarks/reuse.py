"""What it costs to ask a network again: subsets of modalities, dropout samples, and the encoders as one call.

    python benchmarks/reuse.py [--device cuda] [--side 48] [--repeats 7]

Each figure is the median over repeats, taken in turns, of a ratio to one pass of the same network, with its range.
"""

from __future__ import annotations

import argparse
import itertools
import time
from functools import partial

import numpy as np
import torch

from polyscan.fusion import AttentionWeighted
from polyscan.inference import every_subset, monte_carlo
from polyscan.networks import ClassificationHead, FusionNet, SegmentationHead, UNetEncoder
from polyscan.networks.encoders import EncoderEach, together

CHANNELS = (16, 32, 64, 128)


def network(head: str, device: str, *, shared: bool = False) -> FusionNet:
    """Four modalities, fused at every level for a segmentation and at the deepest for a class."""
    torch.manual_seed(0)
    classify = head == "classification"
    made = partial(ClassificationHead, dropout=0.2) if classify else partial(SegmentationHead, dropout=0.2)
    fuse_at = [3] if classify else [0, 1, 2, 3]
    encoder = partial(UNetEncoder, channels=CHANNELS)
    names = ["T1", "T1c", "T2", "FLAIR"]
    return FusionNet(names, encoder, fuse_at, AttentionWeighted, made, shared=shared).eval().to(device)


def ratios(runs: list, repeats: int, device: str) -> list[str]:
    """Median and range of each run's time over the first one's, turn by turn."""
    times = []
    for _ in range(repeats + 1):
        turn = []
        for run in runs:
            start = time.perf_counter()
            run()
            if device == "cuda":
                torch.cuda.synchronize()
            turn.append(time.perf_counter() - start)
        times.append(turn)
    found = np.array(times[1:])
    found = found[:, 1:] / found[:, :1]
    return [f"{np.median(x):.2f} ({x.min():.2f} to {x.max():.2f})" for x in found.T]


def one_after_the_other(encoders: EncoderEach, image: torch.Tensor) -> list[torch.Tensor]:
    """The plain loop."""
    levels = [encoder(image[:, m : m + 1]) for m, encoder in enumerate(encoders)]
    return [torch.stack(level, dim=1) for level in zip(*levels, strict=True)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--side", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    image = torch.randn(1, 4, *[options.side] * 3, device=options.device)
    print(f"4 modalities of {options.side}^3, {options.device}; time over one pass of the network.\n")
    print("| head | encoders alone | 15 subsets | 15 passes | 30 dropout samples | 30 passes |")
    print("|---|---|---|---|---|---|")
    with torch.inference_mode():
        for head in ("classification", "segmentation"):
            net = network(head, options.device)
            runs = [
                partial(net, image),
                partial(net.encode, image),
                partial(every_subset, net, image),
                lambda net=net: [net(image) for _ in range(15)],
                partial(monte_carlo, net, image, 30),
                lambda net=net: [net(image) for _ in range(30)],
            ]
            print(f"| {head} | {' | '.join(ratios(runs, options.repeats, options.device))} |", flush=True)
    print("\nFour encoders of a batch of one or two: time over running them one after the other.\n")
    print("| batch | side | over stacked weights | one shared encoder |")
    print("|---|---|---|---|")
    with torch.inference_mode():
        own, shared = (network("segmentation", options.device, shared=s).body.encoders for s in (False, True))
        for batch, side in itertools.product((1, 2), (32, 48, 64, 96)):
            image = torch.randn(batch, 4, *[side] * 3, device=options.device)
            runs = [
                partial(one_after_the_other, own, image),
                partial(together, list(own), image),
                partial(shared, image),
            ]
            print(f"| {batch} | {side} | {' | '.join(ratios(runs, options.repeats, options.device))} |", flush=True)


if __name__ == "__main__":
    main()
