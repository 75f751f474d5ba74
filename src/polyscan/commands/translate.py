"""Translate between two kinds of scan, to fill in what lacks.

Learn to translate between two kinds of scan from patients of whom none needs
to have both (CycleGAN), and give every study that has one of them the other
too: pairs to train a fusion network on. What is translated was never acquired,
and every page says so.

Example:
  polyscan translate prepared/manifest.json --between CT T1 -o pairs/
"""

from __future__ import annotations

import argparse
from pathlib import Path

from polyscan.commands.options import add_output, add_roots, at_least, progress_bar, roots, tell_failed


def add(command: argparse.ArgumentParser) -> None:
    add_roots(command)
    command.add_argument("manifest", type=Path, help="a manifest that polyscan prepare wrote")
    command.add_argument("--between", metavar="MODALITY", nargs=2, required=True, help="the two kinds of scan")
    command.add_argument("--make", metavar="MODALITY", help="make this one alone; both where not given")
    add_output(command)
    command.add_argument("--weights", type=Path, help="a translator.pt of an earlier run; nothing is learnt then")
    command.add_argument(
        "--window",
        type=at_least(1),
        nargs="+",
        default=[128, 128],
        help="voxels that the network sees; two numbers: slice by slice (128 128), three: in 3D",
    )
    command.add_argument("--channels", type=at_least(1), default=32, help="of its finest level (32)")
    command.add_argument("--steps", type=at_least(1), default=2000, help="steps to learn for (2000)")
    command.add_argument("--device", help="to train and translate on; a GPU where there is one")
    command.set_defaults(kept="{output} keeps what was learnt; give the same command again to go on.")


def run(options: argparse.Namespace) -> int:
    import torch

    from polyscan.study.manifest import read_manifest
    from polyscan.translation.fill import fill_missing

    with progress_bar("translating") as progress:
        filled = fill_missing(
            read_manifest(options.manifest, roots(options)),
            options.output,
            tuple(options.between),
            make=[options.make] if options.make else [],
            weights=options.weights,
            window=tuple(options.window),
            channels=options.channels,
            steps=options.steps,
            device=options.device or ("cuda" if torch.cuda.is_available() else "cpu"),
            progress=progress,
        )
    for (name, tissue), found in filled.fidelity.items():
        agreement = f"mean absolute error {found.error:.3g}, Dice {found.dice:.3f}"
        print(f"{name}, {tissue}: {agreement} ({filled.compared} studies of testing)")
    made = ", ".join(f"{count} with a translated {name}" for name, count in filled.translated.items())
    print(f"{len(filled.manifest.studies)} studies, {made}, in {options.output / 'manifest.json'}")
    return tell_failed(filled.manifest)
