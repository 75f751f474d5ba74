"""The command line, from ``polyscan demo`` to ``polyscan label-app``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polyscan import __version__
from polyscan.errors import PolyscanError
from polyscan.parallel import share_cores


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0; 3 where some studies failed; 1 where none could be used, or the input cannot be; 2 where the
        command line is wrong; 130 where interrupted.
    """
    options = _parser().parse_args(arguments)
    share_cores()
    try:
        return int(options.run(options) or 0)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from polyscan.errors import sentence

        if options.debug:
            raise
        print(f"polyscan {options.command}: {sentence(error)}".replace(str(Path.home()), "~"), file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="polyscan", description="Read the scans of one patient together.")
    parser.add_argument("--version", action="version", version=f"polyscan {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    adders = (
        _add_demo,
        _add_scan,
        _add_dataset,
        _add_prepare,
        _add_plan,
        _add_train,
        _add_calibrate,
        _add_infer,
        _add_native,
        _add_check_privacy,
        _add_report,
        _add_batch,
        _add_status,
        _add_phantom,
    )
    for add in (*adders, _add_label_app):
        command = add(commands)
        command.formatter_class = argparse.RawDescriptionHelpFormatter
        command.add_argument("--debug", action="store_true", help="show the whole error, for a bug report")
    return parser


def _add_demo(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "demo",
        help="go the whole way on a made cohort",
        description="Make a cohort, prepare it, train, predict with and without each contrast, and write a page.",
        epilog="example:\n  polyscan demo demo/",
    )
    command.add_argument("output", type=Path, nargs="?", default=Path("demo"), help="the folder to write (demo)")
    command.set_defaults(run=_demo)
    return command


def _demo(options: argparse.Namespace) -> None:
    from polyscan.demo import main

    main(options.output)


def _add_scan(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "scan",
        help="find the studies in a folder",
        description="Find studies and series in a tree of DICOM and NIfTI files and write a manifest.",
        epilog="example:\n  polyscan scan ward/ -o manifest.json --clinical patients.csv",
    )
    command.add_argument("folder", type=Path, help="the folder to look through")
    command.add_argument("-o", "--output", type=Path, required=True, help="the manifest to write")
    command.add_argument("--clinical", type=Path, help="a CSV or TSV table with one row a subject")
    command.add_argument("--labels", type=Path, help="a table like it whose columns are to be learnt, such as grade")
    command.add_argument(
        "--join-sessions",
        action="store_true",
        help="one study a subject, such as before and after treatment",
    )
    command.add_argument("--columns", nargs="+", help="which columns of the clinical table are used")
    command.add_argument(
        "--pet-units", help="the unit of PET volumes without a sidecar, such as SUV; DICOM tells it by itself"
    )
    command.set_defaults(run=_scan)
    return command


def _scan(options: argparse.Namespace) -> None:
    from polyscan.discovery.scan import scan
    from polyscan.study.manifest import write_manifest
    from polyscan.study.outputs import check_writable_file

    check_writable_file(options.output)
    with _progress("scanning"):
        manifest = scan(
            options.folder,
            clinical=options.clinical,
            labels=options.labels,
            join=options.join_sessions,
            pet_units=options.pet_units,
            columns=options.columns,
        )
    write_manifest(options.output, manifest)
    for study in manifest.studies:
        print(f"{study.key}: {', '.join(study.scans)}" + (" with label" if study.label else ""))
        for decision in study.decisions:
            word = f"took as {decision.modality}" if decision.taken else "left out"
            print(f"  {decision.series}: {word}: {decision.reason}")
    for old, new in manifest.renamed.items():
        print(f"{old} is called {new}: a key needs letters and digits of its own")
    for doubt in manifest.doubts:
        print(doubt)
    for decision in manifest.left_out:
        print(f"{decision.series}: left out: {decision.reason}")
    print(f"{len(manifest.studies)} studies in {options.output}")


def _add_dataset(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "dataset",
        help="check the download of a public data set and find its studies",
        description="Say what of a public data set is there and what is missing, and write a manifest of it. "
        "What is known of each stands in data_manifests/.",
        epilog="example:\n  polyscan dataset ucsf_pdgm /data/UCSF-PDGM-v3 -o manifest.json",
    )
    command.add_argument("name", help="the data set, such as brats_2021, or the path of a file that describes one")
    command.add_argument("folder", type=Path, help="where the download lies")
    command.add_argument("-o", "--output", type=Path, help="the manifest to write")
    command.set_defaults(run=_dataset)
    return command


def _dataset(options: argparse.Namespace) -> None:
    from polyscan.discovery.datasets import match_download, read_dataset, summary
    from polyscan.study.manifest import write_manifest
    from polyscan.study.outputs import check_writable_file

    if options.output is not None:
        check_writable_file(options.output)
    dataset = read_dataset(options.name)
    manifest, missing = match_download(dataset, options.folder)
    print(f"{dataset['name']} ({dataset['licence']})\nPlease cite: {dataset['citation']}\n\n{summary(manifest)}")
    for sentence in missing[:20]:
        print(f"missing: {sentence}", file=sys.stderr)
    if len(missing) > 20:
        print(f"missing: {len(missing) - 20} more like these", file=sys.stderr)
    if "settings" in dataset:
        settings = " ".join(f"--set '{name}={json.dumps(value)}'" for name, value in dataset["settings"].items())
        print(f"\nto train {dataset['bundle']} on it: {settings}")
    if options.output is not None:
        write_manifest(options.output, manifest)
        print(f"\n{len(manifest.studies)} studies in {options.output}")


def _add_prepare(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "prepare",
        help="register, normalise and match resolution",
        description="Load the scans of each study, register them, bring them to one scale and one grid.",
        epilog="example:\n  polyscan prepare manifest.json -o prepared/ --protocol brain_mri",
    )
    command.add_argument("manifest", type=Path, help="a manifest that polyscan scan wrote")
    command.add_argument("-o", "--output", type=Path, required=True, help="the folder to write to")
    command.add_argument(
        "--protocol", default="default", help="a protocol's name, such as brain_mri, or the path of a YAML file"
    )
    command.add_argument(
        "--like",
        type=Path,
        help="a bundle, or a folder that polyscan train wrote: say which scans differ from those it was trained on",
    )
    command.add_argument(
        "--registered", action="store_true", help="the scans of each study are registered to each other already"
    )
    command.add_argument("--jobs", type=int, help="studies at a time; as many as there are cores where not given")
    _add_roots(command)
    command.set_defaults(run=_prepare)
    return command


def _prepare(options: argparse.Namespace) -> int:
    from polyscan.preprocess.prepare import prepare
    from polyscan.study.manifest import read_manifest

    manifest = read_manifest(options.manifest, _roots(options))
    with _progress("preparing") as progress:
        result = prepare(
            manifest,
            options.output,
            protocol=options.protocol,
            like=options.like,
            registered=options.registered,
            jobs=options.jobs,
            progress=progress,
        )
    for study in result.studies:
        for name, problem in study.problems.items():
            print(f"{study.key}: {name}: {problem}", file=sys.stderr)
    print(f"{len(result.studies)} studies prepared in {options.output / 'manifest.json'}")
    return _tell_failed(result)


def _add_train(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "train",
        help="train a bundle",
        description="Train a bundle on prepared studies; short for python -m monai.bundle run inside it. The weights "
        "of the best validation are RUN/model.pt, those of the last epoch RUN/last.pt. A training that was cut short "
        "goes on where the same command is given again.",
        epilog="example:\n  polyscan train brain_mri_tumour_segmentation prepared/manifest.json -o run/\n"
        "  polyscan train brain_mri_tumour_segmentation prepared/manifest.json -o run/ \\\n"
        "      --set max_epochs=5 --fusion GatedSum",
    )
    _add_bundle_arguments(command)
    command.add_argument(
        "--folds",
        type=int,
        help="train a network for each of so many folds, which polyscan infer --ensemble joins; the manifest's folds, "
        "or drawn",
    )
    command.add_argument("--restart", action="store_true", help="replace another training that the folder holds")
    command.set_defaults(run=_train)
    return command


def _train(options: argparse.Namespace) -> None:
    from polyscan.bundle.folds import train_folds
    from polyscan.bundle.run import train

    with _progress("training") as progress:
        given: Any = {
            "overrides": _overrides(options, "train"),
            "restart": options.restart,
            "roots": _roots(options),
            "progress": progress,
        }
        where = (options.bundle, options.manifest, options.output)
        weights = train_folds(*where, options.folds, **given) if options.folds else [train(*where, **given)]
    for file in weights:
        print(f"weights in {file}")


def _add_plan(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "plan",
        help="plan a training from its data",
        description="Look at prepared studies and write what a bundle is to be trained with: spacing, window, batch, "
        "network, windows of values, class weights, epochs. Read it, edit it, give it to polyscan train as --config.",
        epilog="example:\n  polyscan plan prepared/manifest.json --bundle brain_mri_tumour_segmentation -o plan.json\n"
        "  polyscan train brain_mri_tumour_segmentation prepared/manifest.json -o run/ --config plan.json",
    )
    command.add_argument("manifest", type=Path, help="a manifest that polyscan prepare wrote")
    command.add_argument("--bundle", required=True, help="a bundle's name, or its folder")
    command.add_argument("-o", "--output", type=Path, required=True, help="the plan to write")
    command.add_argument(
        "--memory", type=float, help="GB that a step may take; those of the GPU, or half of the machine's, if not given"
    )
    command.set_defaults(run=_plan)
    return command


def _plan(options: argparse.Namespace) -> None:
    from polyscan.bundle.plan import make_plan
    from polyscan.files.atomic import write_json
    from polyscan.study.outputs import check_writable_file

    check_writable_file(options.output)
    plan = make_plan(options.bundle, options.manifest, memory=options.memory)
    write_json(options.output, plan)
    for name, value in {**plan["shared"], **plan["train"]}.items():
        print(f"{name}: {json.dumps(value)}")
    print(f"plan in {options.output}; train with --config {options.output}")


def _add_calibrate(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "calibrate",
        help="make a classifier's probabilities mean what they say",
        description="Fit temperatures and prediction sets on the section 'validation', with modalities left out too. "
        "calibration.json is written beside the weights; polyscan infer uses it from then on.",
        epilog="example:\n  polyscan calibrate BUNDLE prepared/manifest.json --weights run/model.pt",
    )
    command.add_argument("bundle", help="a bundle's name, such as glioma_grading_classification, or its folder")
    command.add_argument("manifest", type=Path, help="a prepared manifest; its section validation was not trained on")
    command.add_argument("--weights", type=Path, help="a file of weights; the bundle's own where not given")
    command.add_argument("--coverage", type=float, default=0.9, help="how often a set is to hold the true class (0.9)")
    command.set_defaults(run=_calibrate)
    return command


def _calibrate(options: argparse.Namespace) -> None:
    from polyscan.bundle.calibrate import calibrate

    with _progress("calibrating") as progress:
        path = calibrate(
            options.bundle, options.manifest, weights=options.weights, coverage=options.coverage, progress=progress
        )
    print(path)


def _add_infer(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "infer",
        help="predict with a bundle",
        description="Predict for prepared studies, whichever modalities each has; short for python -m monai.bundle "
        "run inside the bundle. Masks lie in the reference scan's own space.",
        epilog="example:\n  polyscan infer sarcoma_ct_mr_pet_segmentation prepared/manifest.json -o out/ \\\n"
        "      --weights run/model.pt --without T1",
    )
    _add_bundle_arguments(command)
    weights = command.add_mutually_exclusive_group()
    weights.add_argument("--weights", type=Path, help="a file of weights; the bundle's own where not given")
    weights.add_argument(
        "--ensemble",
        type=Path,
        nargs="+",
        help="the mean of several networks: their files of weights, or a folder that polyscan train --folds wrote",
    )
    command.add_argument(
        "--mirror", action="store_true", help="the mean over mirror images too: slower, and often a little better"
    )
    command.add_argument(
        "--without", metavar="MODALITY", nargs="+", default=[], help="treat these modalities as not acquired"
    )
    command.set_defaults(run=_infer)
    return command


def _infer(options: argparse.Namespace) -> int:
    from polyscan.bundle.folds import members
    from polyscan.bundle.run import infer

    with _progress("predicting") as progress:
        result = infer(
            options.bundle,
            options.manifest,
            options.output,
            weights=members(options.ensemble) if options.ensemble else options.weights,
            absent=options.without,
            overrides={**({"mirror": True} if options.mirror else {}), **_overrides(options, "inference")},
            roots=_roots(options),
            progress=progress,
        )
    print(f"{len(result.studies)} predictions in {options.output / 'manifest.json'}")
    return _tell_failed(result)


def _add_native(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "native",
        help="take predicted masks back to the scans' own grids",
        description="Write each predicted mask on the grid of each scan of its study as it was acquired, by the "
        "inverse of the scan's registration.",
        epilog="example:\n  polyscan native out/ -o native/",
    )
    command.add_argument("folder", type=Path, help="the folder that polyscan infer wrote")
    command.add_argument("-o", "--output", type=Path, required=True, help="the folder to write to")
    command.set_defaults(run=_native)
    return command


def _native(options: argparse.Namespace) -> None:
    from polyscan.preprocess.native import write_native
    from polyscan.study.manifest import read_manifest

    with _progress("resampling") as progress:
        written = write_native(read_manifest(options.folder / "manifest.json"), options.output, progress=progress)
    print(f"{sum(map(len, written.values()))} masks of {len(written)} studies in {options.output}")


def _add_report(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "report",
        help="make a page to look at",
        description="Make one HTML page with pictures of each study; it opens without a network.",
        epilog="example:\n  polyscan report out/",
    )
    command.add_argument("folder", type=Path, help="the folder that polyscan infer wrote")
    command.add_argument("-o", "--output", type=Path, help="the page to write; FOLDER/report.html where not given")
    command.set_defaults(run=_report)
    return command


def _report(options: argparse.Namespace) -> None:
    from polyscan.report import write_report
    from polyscan.study.outputs import check_writable_file

    output = options.output or options.folder / "report.html"
    check_writable_file(output)
    with _progress("drawing") as progress:
        write_report(options.folder, output, progress=progress)
    print(output)


def _add_batch(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "batch",
        help="scan, prepare, predict and draw, for any number of studies",
        description="Go the whole way for every study of a folder or a manifest. Each has one record, written last, so "
        "that the same command goes on where one was cut short, and several machines can share the work.",
        epilog="example:\n  polyscan batch petct_staging archive/ -o out/ --jobs 8\n"
        "  polyscan batch petct_staging manifest.json -o out/ --shard $SLURM_ARRAY_TASK_ID/20\n"
        "  polyscan batch petct_staging manifest.json -o out/ --dask tcp://10.0.0.1:8786",
    )
    command.add_argument("bundle", help="a bundle's name, such as petct_staging, or its folder")
    command.add_argument("source", type=Path, help="a folder of scans, or a manifest that polyscan scan wrote")
    command.add_argument("-o", "--output", type=Path, required=True, help="the folder to write to")
    command.add_argument("--weights", type=Path, help="a file of weights; the bundle's own where not given")
    command.add_argument(
        "--registered", action="store_true", help="the scans of each study are registered to each other already"
    )
    command.add_argument("--retry-failed", action="store_true", help="try again what failed though nothing changed")
    command.add_argument("--no-pages", action="store_true", help="draw no page of each study")
    command.add_argument(
        "--device", type=lambda text: text.split(","), default=[], help="such as cuda:0,cuda:1: studies are shared out"
    )
    command.add_argument("--shard", type=_shard, metavar="I/N", help="do the I-th of N equal parts of the studies")
    where = command.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=int, help="studies at a time; as many as there are cores where not given")
    where.add_argument("--dask", metavar="ADDRESS", help="of the scheduler of a Dask cluster that does them")
    command.set_defaults(run=_batch)
    return command


def _shard(text: str) -> tuple[int, int]:
    part, _, of = text.partition("/")
    if not (part.isdigit() and of.isdigit() and 1 <= int(part) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r} is no part such as 2/20: the second of twenty")
    return int(part), int(of)


def _batch(options: argparse.Namespace) -> int:
    from functools import partial

    from polyscan.batch import batch
    from polyscan.batch.engines import dask, local

    with _progress("reading together") as progress:
        result = batch(
            options.bundle,
            options.source,
            options.output,
            weights=options.weights,
            registered=options.registered,
            shard=options.shard,
            engine=dask(options.dask) if options.dask else partial(local, jobs=options.jobs),
            retry_failed=options.retry_failed,
            devices=options.device,
            pages=not options.no_pages,
            progress=progress,
        )
    print(f"{len(result.studies)} studies answered; {options.output / 'cohort.csv'}")
    return _tell_failed(result)


def _add_status(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "status",
        help="say where a batch stands",
        description="Say how many studies of a batch are done, failed and why, being worked on, and waiting.",
        epilog="example:\n  polyscan status out/",
    )
    command.add_argument("folder", type=Path, help="the folder that polyscan batch writes")
    command.set_defaults(run=_status)
    return command


def _status(options: argparse.Namespace) -> None:
    from polyscan.batch import batch_status

    status = batch_status(options.folder)
    for study, reason in status.failed.items():
        print(f"{study}: failed: {reason}")
    print(
        f"{len(status.done)} done, {len(status.failed)} failed, {len(status.running)} running, "
        f"{len(status.waiting)} waiting"
    )


def _add_check_privacy(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "check-privacy",
        help="look for what may tell who a patient is",
        description="Look in the outputs of a folder for what the headers of their sources hold of a patient, and for "
        "the names of their files and folders; nothing is changed. Ends with status 1 where something was found.",
        epilog="example:\n  polyscan check-privacy out/",
    )
    command.add_argument("folder", type=Path, help="what polyscan prepare or a later command wrote")
    command.add_argument("--sources", type=Path, help="the sources.json that polyscan prepare wrote")
    command.set_defaults(run=_check_privacy)
    return command


def _check_privacy(options: argparse.Namespace) -> int:
    from polyscan.study.privacy import PRIVATE, check_privacy

    found = check_privacy(options.folder, options.sources)
    for finding in found:
        print(f"{finding.file} holds {finding.what} of {finding.study}")
    for file in sorted(path for path in options.folder.rglob("*") if path.name in PRIVATE):
        print(f"{file} is private: leave it out of what you share")
    print(f"{len(found)} findings in {options.folder}")
    return 1 if found else 0


def _add_phantom(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "phantom",
        help="make a cohort",
        description="Make a cohort of heads with tumours: MRI, CT and PET with their truth, the same for each seed.",
        epilog="example:\n  polyscan phantom cohort/ --subjects 40 --seed 0 --format dicom",
    )
    command.add_argument("output", type=Path, help="the folder to write")
    command.add_argument("--subjects", type=int, default=40, help="how many (40)")
    command.add_argument("--seed", type=int, default=0, help="another seed makes other heads (0)")
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
    command.set_defaults(run=_phantom)
    return command


def _phantom(options: argparse.Namespace) -> None:
    from polyscan.phantom import MODALITIES, make_cohort, make_slices

    with _progress("making") as progress:
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


def _add_label_app(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "label-app",
        help="write the folder that MONAI Label serves",
        description="Write an app folder for monailabel start_server; polyscan must be installed beside MONAI Label.",
        epilog="example:\n  polyscan label-app app/\n  monailabel start_server --app app/ --studies ward/",
    )
    command.add_argument("output", type=Path, help="the folder to write")
    command.set_defaults(run=_label_app)
    return command


def _label_app(options: argparse.Namespace) -> None:
    from polyscan.files.atomic import shipped, whole_file
    from polyscan.study.outputs import OutputFolder

    OutputFolder.claim(options.output, "label-app").will_hold(["main.py"])
    with whole_file(options.output / "main.py") as file:
        file.write_bytes((shipped("label_app") / "main.py").read_bytes())
    print(f"{options.output}: monailabel start_server --app {options.output} --studies FOLDER")


def _add_roots(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--root",
        metavar="NAME=DIR",
        action="append",
        default=[],
        help="where a root of the manifest lies here",
    )


def _roots(options: argparse.Namespace) -> dict[str, str]:
    roots = {}
    for root in options.root:
        name, equals, folder = root.partition("=")
        if not equals or not Path(folder).is_dir():
            raise PolyscanError(f"--root {root} names no folder; write it as NAME=DIR.")
        roots[name] = folder
    return roots


def _add_bundle_arguments(command: argparse.ArgumentParser) -> None:
    _add_roots(command)
    command.add_argument("bundle", help="a bundle's name, such as petct_staging, or its folder")
    command.add_argument("manifest", type=Path, help="a manifest that polyscan prepare wrote")
    command.add_argument("-o", "--output", type=Path, required=True, help="the folder to write to")
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


def _overrides(options: argparse.Namespace, config: str) -> dict[str, Any]:
    from polyscan.bundle.fragment import read_fragment

    changes: dict[str, Any] = {}
    for fragment in options.config:
        changes.update(read_fragment(fragment, config))
    if options.fusion is not None:
        from polyscan.bundle.fusion_option import fusion_option

        changes["fusion"] = fusion_option(options.fusion)
    for setting in options.set:
        name, equals, value = setting.partition("=")
        if not equals:
            raise PolyscanError(f"--set {setting} names no value; write it as NAME=VALUE.")
        try:
            changes[name] = json.loads(value)
        except json.JSONDecodeError:
            changes[name] = value
    return changes


def _tell_failed(manifest: Any) -> int:
    """Name what failed; returns the exit status."""
    for failure in manifest.failed:
        print(f"{failure.study} failed: {failure.reason}", file=sys.stderr)
    return 3 if manifest.failed else 0


@contextmanager
def _progress(verb: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar on the terminal's error stream; the block is given what to call: (done, total, remark)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[remark]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task(verb, total=None, remark="")

        def show(done: int, total: int, remark: str) -> None:
            bar.update(task, completed=done, total=total, remark=remark)

        yield show


if __name__ == "__main__":
    sys.exit(main())
