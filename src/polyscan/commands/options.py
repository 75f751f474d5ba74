"""What several commands take and tell: roots, changes to a bundle, a bar of progress, what failed."""

from __future__ import annotations

import argparse
import ast
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscan.errors import PolyscanError

if TYPE_CHECKING:
    from polyscan.bundle.inference_options import InferenceOptions
    from polyscan.study.manifest import Manifest

_TOLD = 20  # files that were left out, of what may be thousands

FINISHED_STUDIES = "{output} keeps the studies that are done; give the same command again to go on."
"""What is said where a command was interrupted that does study by study."""


def at_least(least: int, kind: type[int] | type[float] = int) -> Callable[[str], float]:
    """The type of an option that is a number of no less than this, a whole one where ``kind`` says nothing else."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = float("nan")
        if not value >= least:
            whole = "whole " if kind is int else ""
            raise argparse.ArgumentTypeError(f"{text!r} is no {whole}number of {least} or more")
        return value

    return read


def add_bundle(command: argparse.ArgumentParser) -> None:
    """Let a command take a bundle."""
    command.add_argument("bundle", help="a bundle's name, such as glioma_grading_classification, or its folder")


def check_given(options: argparse.Namespace) -> None:
    """Refuse a bundle, weights or a manifest that there are not before libraries are imported that take seconds.

    Raises:
        PolyscanError: one is not there.
    """
    given = vars(options)
    if given.get("bundle"):
        from polyscan.bundle.config import bundle_folder
        from polyscan.bundle.weights import weights_of

        folder = bundle_folder(options.bundle)
        if given.get("weights"):
            weights_of(folder, options.weights)
    if given.get("manifest") and not options.manifest.is_file():
        from polyscan.study.manifest import read_manifest

        read_manifest(options.manifest)


def add_output(command: argparse.ArgumentParser) -> None:
    """Let a command be told which folder to write to."""
    command.add_argument("-o", "--output", type=Path, required=True, help="the folder to write to")


def add_weights(command: argparse._ActionsContainer) -> None:
    """Let a command, or a group of its options, take weights for a bundle."""
    command.add_argument("--weights", type=Path, help="a file of weights; the bundle's own where not given")


def add_jobs(command: argparse._ActionsContainer, of: str = "studies") -> None:
    """Let a command, or a group of its options, be told how many are done at a time."""
    help = f"{of} at a time; as many as there are cores where not given"
    command.add_argument("--jobs", type=at_least(1), help=help)


def add_roots(command: argparse.ArgumentParser) -> None:
    """Let a command be told where the roots of its manifest lie."""
    command.add_argument(
        "--root",
        metavar="NAME=DIR",
        action="append",
        default=[],
        help="where a root of the manifest lies here",
    )


def add_inference_options(command: argparse.ArgumentParser) -> None:
    """Let a command say how a bundle is to answer; see :func:`inference_options`."""
    command.add_argument(
        "--mirror", action="store_true", help="the mean over mirror images too: slower, and often a little better"
    )
    command.add_argument(
        "--probabilities",
        action="store_true",
        help="keep the probability of each region too, for an uncertainty map on the page and polyscan dicom",
    )
    command.add_argument(
        "--contributions",
        action="store_true",
        help="tell which modality drove each mask, by an answer from every subset of them (classes always tell)",
    )
    command.add_argument(
        "--uncertainty",
        action="store_true",
        help="map how sure a mask is, and whether the scans or the network leave the doubt: asks each network of "
        "--ensemble for each mirror image, so it is slower",
    )
    command.add_argument(
        "--attribution",
        metavar="METHOD",
        nargs="+",
        default=[],
        help="maps of where in each scan the answer comes from: gradcam, occlusion, integrated-gradients",
    )
    command.add_argument(
        "--ignore-atypical",
        action="store_true",
        help="treat a scan that is unlike those of the calibration as not acquired, as it may be spoiled",
    )
    command.add_argument(
        "--keep-features",
        action="store_true",
        help="keep what the encoders made of each scan, so that a scan that comes later is encoded alone",
    )


def inference_options(options: argparse.Namespace) -> InferenceOptions:
    """How the bundle is to answer."""
    from polyscan.bundle.inference_options import InferenceOptions

    given = {each.name: getattr(options, each.name) for each in fields(InferenceOptions)}
    return InferenceOptions(**{**given, "attribution": tuple(options.attribution)})


def words_without(options: argparse.Namespace, *names: str) -> list[str]:
    """The words of this command line but those of some options, each of which takes a value."""
    taken = argparse.ArgumentParser(add_help=False)
    for name in names:
        taken.add_argument(name)
    return taken.parse_known_args(options.words)[1]


def roots(options: argparse.Namespace) -> dict[str, str]:
    """Folders by the names of the roots that were given."""
    roots = {}
    for root in options.root:
        name, equals, folder = root.partition("=")
        if not equals or not Path(folder).is_dir():
            raise PolyscanError(f"--root {root} names no folder; write it as NAME=DIR.")
        roots[name] = folder
    return roots


def add_bundle_arguments(command: argparse.ArgumentParser) -> None:
    """Let a command take a bundle, a prepared manifest, an output folder and changes to the bundle's config."""
    add_roots(command)
    add_bundle(command)
    command.add_argument("manifest", type=Path, help="a manifest that polyscan prepare wrote")
    add_output(command)
    add_changes(command)


def add_changes(command: argparse.ArgumentParser) -> None:
    """Let a command take changes to a bundle's config; see :func:`overrides`."""
    command.add_argument(
        "--config",
        metavar="FRAGMENT",
        action="append",
        default=[],
        help="change entries of the bundle's configs by a file, or by one of configs/fragments, such as lgg_lesion",
    )
    command.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="change an entry of the bundle's config"
    )
    command.add_argument(
        "--fusion",
        metavar="LAYER",
        help="fuse by another layer: a name of polyscan.fusion (see docs/fusion) or any dotted path, with options or "
        "without: GatedSum, 'polyscan.fusion.CrossAttention(query=0)'",
    )


def overrides(options: argparse.Namespace, config: str) -> dict[str, Any]:
    """The changes that were given to a bundle's config, ``train`` or ``inference``, by the names of its entries."""
    from polyscan.bundle.fragment import read_fragments

    changes = read_fragments(options.config, config)
    if options.fusion is not None:
        from polyscan.bundle.fusion_option import fusion_option

        changes["fusion"] = fusion_option(options.fusion)
    return changes | read_settings(options.set)


def read_settings(settings: Iterable[str]) -> dict[str, Any]:
    """What ``--set NAME=VALUE`` gave, by name."""
    read = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise PolyscanError(f"--set {setting} names no value; write it as NAME=VALUE.")
        read[name] = _value(name, value)
    return read


def _value(name: str, text: str) -> Any:
    """What a config has in an entry: JSON, true, false, lists and names as Python writes them, or else a text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        pass
    if text not in ("True", "False", "None") and not text.startswith(("[", "{")):
        return text
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        raise PolyscanError(
            f"--set {name}={text} cannot be read as JSON; a shell takes quotes away: put it in single quotes."
        ) from None


def tell_failed(manifest: Any) -> int:
    """Name what failed; returns the exit status."""
    for failure in manifest.failed:
        print(f"{failure.study} failed: {failure.reason}", file=sys.stderr)
    return 3 if manifest.failed else 0


def tell_problems(prepared: Manifest) -> None:
    """Say of each study which scans were left out, or are doubtful, and why."""
    for study in prepared.studies:
        for name, problem in study.problems.items():
            print(f"{study.key}: {name}: {problem}", file=sys.stderr)


def tell_left_out(found: Manifest, where: Path) -> None:
    """Name the first files and folders of which no study came, and say where all of them stand."""
    for decision in found.left_out[:_TOLD]:
        print(f"{decision.series}: left out: {decision.reason}", file=sys.stderr)
    if len(found.left_out) > _TOLD:
        print(f"{len(found.left_out) - _TOLD} more were left out; {where} says why", file=sys.stderr)


def stopped_by_signals() -> threading.Event:
    """An event that is set when the process is asked to end, by Ctrl-C or by a service manager."""
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    return stop


@contextmanager
def progress_bar(verb: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar on the terminal's error stream; the block is given what to call: (done, total, remark)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[remark]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task(verb, total=None, remark="")

        def show(done: int, total: int, remark: str) -> None:
            bar.update(task, completed=done, total=total, remark=remark)

        yield show
