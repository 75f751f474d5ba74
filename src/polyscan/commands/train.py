r"""Train a bundle.

Train a bundle on prepared studies; short for python -m monai.bundle run inside
it. The weights of the best validation are RUN/model.pt, those of the last
epoch RUN/last.pt. A training that was cut short goes on where the same command
is given again.

Example:
  polyscan train brain_mri_tumour_segmentation prepared/manifest.json -o run/
  polyscan train brain_mri_tumour_segmentation prepared/manifest.json -o run/ \
      --set max_epochs=5 --fusion GatedSum
  polyscan train brain_mri_tumour_segmentation prepared/manifest.json -o cv/ \
      --folds 5 --evaluate
"""

from __future__ import annotations

import argparse
import re
import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from polyscan.commands.options import add_bundle_arguments, overrides, progress_bar, roots, tell_failed, words_without
from polyscan.errors import PolyscanError
from polyscan.progress import silent


def add(command: argparse.ArgumentParser) -> None:
    add_bundle_arguments(command)
    folds = command.add_mutually_exclusive_group()
    folds.add_argument(
        "--folds",
        type=int,
        help="train a network for each of so many folds, which polyscan infer --ensemble joins; the manifest's folds, "
        "or drawn",
    )
    folds.add_argument(
        "--fold",
        metavar="NUMBER",
        type=_fold,
        help="watch this fold of the manifest and learn from the others; all: learn from every labelled study and keep "
        "the last weights",
    )
    command.add_argument(
        "--evaluate",
        action="store_true",
        help="with --folds: answer for each study by the network that has not learnt from it, in OUTPUT/answers, and "
        "print what polyscan evaluate makes of that: a table for each task, beside simple models, with intervals",
    )
    command.add_argument(
        "--missing",
        metavar="STRATEGY",
        help="how to cope with modalities that are missing: a name of polyscan.missing, ModalityDropout or "
        "Distillation, with options or without: GenerativeImputation, 'ModalityDropout(prob=0.4)'; see docs/missing.md",
    )
    command.add_argument(
        "--encoder",
        metavar="NAME",
        help="encode each modality by another network: a name of polyscan.networks or any dotted path, with options or "
        "without: 'ResNetEncoder(depth=18)'; see docs/networks.md",
    )
    command.add_argument(
        "--encoder-weights", metavar="FILE", help="weights that the encoder had from another training, as of MedicalNet"
    )
    command.add_argument(
        "--encoder-training",
        metavar="WAY",
        default="full",
        help="how much of an encoder with such weights learns: full (the default; at a tenth of the learning rate), "
        "frozen (nothing), or low-rank, 'low-rank(rank=16)' (LoRA: few weights beside its own)",
    )
    command.add_argument(
        "--objective",
        metavar="NAME",
        action="append",
        default=[],
        help="learn from studies without a label too: a name of polyscan.objectives or a dotted path, with options or "
        "without: Contrastive, 'Contrastive(weight=0.5)'; may be given several times; see docs/objectives.md",
    )
    command.add_argument(
        "--cache",
        metavar="FOLDER",
        type=Path,
        help="keep decoded studies in this folder, mapped into memory, instead of in memory itself: an epoch decodes "
        "nothing, and no process holds the cohort; several trainings may share it",
    )
    command.add_argument(
        "--job",
        metavar="slurm:NODESxPROCESSES",
        type=_job,
        help="do nothing but write OUTPUT/job.sh, which SLURM runs on so many machines with so many processes each",
    )
    command.add_argument("--restart", action="store_true", help="replace another training that the folder holds")
    command.set_defaults(
        kept="{output} keeps what was trained until its last checkpoint; give the same command again to go on.",
    )


def _fold(text: str) -> int | str:
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no fold: give its number, or all")
    return text if text == "all" else int(text)


def _job(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"slurm:([1-9]\d*)(?:x([1-9]\d*))?", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no job such as slurm:2x4: two machines, four processes on each")
    return int(found[1]), int(found[2] or 1)


def run(options: argparse.Namespace) -> int:
    from polyscan.bundle.encoder_option import encoder_option
    from polyscan.bundle.folds import train_folds
    from polyscan.bundle.missing_option import missing_option
    from polyscan.bundle.objective_option import objective_option
    from polyscan.bundle.processes import is_first
    from polyscan.bundle.run import train

    if options.evaluate and options.folds is None:
        raise PolyscanError("--evaluate scores the networks of folds: say how many by --folds.")
    if options.job:
        _write_job(options)
        return 0
    changes = overrides(options, "train")
    if options.fold is not None:
        last = {"val_interval": "@max_epochs"} if options.fold == "all" else {}
        changes = last | changes | {"fold": options.fold}
    if options.missing is not None:
        changes = missing_option(options.missing, options.bundle, changes)
    if options.encoder is not None:
        pretrained = (options.encoder_weights, options.encoder_training)
        changes = encoder_option(options.encoder, options.bundle, changes, *pretrained)
    elif options.encoder_weights is not None or options.encoder_training != "full":
        raise PolyscanError("--encoder-weights and --encoder-training are of another encoder: name it by --encoder.")
    if options.objective:
        changes = objective_option(options.objective, options.bundle, changes)
    with progress_bar("training") if is_first() else nullcontext(silent) as progress:
        given: Any = {
            "overrides": changes,
            "fragments": options.config,
            "restart": options.restart,
            "cache": options.cache,
            "roots": roots(options),
            "progress": progress,
        }
        where = (options.bundle, options.manifest, options.output)
        weights = train_folds(*where, options.folds, **given) if options.folds is not None else [train(*where, **given)]
    for file in weights if is_first() else ():
        print(f"weights in {file}")
    return _evaluate(options) if options.evaluate and is_first() else 0


def _evaluate(options: argparse.Namespace) -> int:
    from polyscan.baselines.evaluate import evaluate
    from polyscan.bundle.folds import infer_folds
    from polyscan.study.manifest import read_manifest

    answers = options.output / "answers"
    with progress_bar("predicting") as progress:
        found = read_manifest(options.manifest, roots(options))
        result = infer_folds(options.bundle, found, options.output, answers, progress=progress)
    for table in evaluate([answers]):
        print(f"\n{table}")
    return tell_failed(result)


def _write_job(options: argparse.Namespace) -> None:
    from polyscan.bundle.job import write_slurm_job

    if options.restart:
        raise PolyscanError(
            "A job that is submitted again goes on; train into another folder, and leave --restart away."
        )
    nodes, processes = options.job
    words, folds = words_without(options, "--job"), options.folds is not None
    script = write_slurm_job(options.manifest, options.output, nodes, processes, words, folds=folds)
    print(f"sbatch {shlex.quote(str(script))}")
