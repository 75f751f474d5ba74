r"""Make a cohort.

Make a cohort of heads with tumours: MRI, CT and PET with their truth, the same
for each seed. With --task, vectors or small images in place of scans, and the
best accuracy that can be had from each subset of modalities.

Example:
  polyscan phantom cohort/ --subjects 40 --seed 0 --format dicom
  polyscan phantom task/ --task interaction --subjects 1000
  polyscan train glioma_grading_classification task/manifest.json -o run/ \
      --config tables --config task/task.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from polyscan.commands.options import at_least, progress_bar
from polyscan.errors import PolyscanError


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("output", type=Path, help="the folder to write")
    command.add_argument("--subjects", type=int, default=40, help="how many (40)")
    command.add_argument("--seed", type=at_least(0), default=0, help="another seed makes other heads (0)")
    command.add_argument(
        "--format",
        choices=("nifti", "dicom", "png"),
        default="nifti",
        help="how scans are written (nifti); png: one slice each by MRI and CT, with a manifest",
    )
    command.add_argument("--size", choices=("small", "full"), default="small", help="3 mm or 1 mm scans (small)")
    command.add_argument(
        "--modalities", nargs="+", help="which scans (T1 T1c T2 FLAIR CT PET); ADC and CBF can be had too"
    )
    command.add_argument("--visits", type=int, choices=(1, 2), default=1, help="2: before and after treatment (1)")
    command.add_argument("--task", metavar="NAME", help="a task with a known optimum, such as interaction")
    command.set_defaults(kept="nothing was written; give the same command again.")


def run(options: argparse.Namespace) -> None:
    from polyscan.phantom import MODALITIES, make_cohort, make_slices

    if options.task is not None:
        from polyscan.phantom.tasks import find_task, write_task

        if (options.format, options.size, options.modalities, options.visits) != ("nifti", "small", None, 1):
            raise PolyscanError(
                "--task makes vectors or small images; --format, --size, --modalities and --visits are for heads."
            )
        optimum = write_task(options.output, find_task(options.task), subjects=options.subjects, seed=options.seed)
        for modalities, accuracy in optimum.items():
            print(f"{accuracy:.3f} at best from {modalities}")
        print(f"{options.subjects} subjects in {options.output}")
        return
    if options.format == "png" and (options.size, options.modalities, options.visits) != ("small", None, 1):
        raise PolyscanError(
            "--format png makes a slice by MRI and one by CT; --size, --modalities and --visits are for volumes."
        )
    with progress_bar("making") as progress:
        if options.format == "png":
            make_slices(options.output, subjects=options.subjects, seed=options.seed, progress=progress)
        else:
            make_cohort(
                options.output,
                subjects=options.subjects,
                seed=options.seed,
                format=options.format,
                size=options.size,
                modalities=options.modalities or MODALITIES,
                visits=options.visits,
                progress=progress,
            )
    print(f"{options.subjects} subjects in {options.output}")
