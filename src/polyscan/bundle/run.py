"""Run a bundle as ``python -m monai.bundle run`` does, with progress and one clear sentence when something is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow

from polyscan.bundle.carried import (
    LEARNT,
    UNTAUGHT,
    carried_fragments,
    carried_settings,
    settings_of,
    settings_of_studies,
    shared_settings,
)
from polyscan.bundle.config import bundle_folder, check_channels, labels_of, open_config, quiet, read_config
from polyscan.bundle.fragment import read_fragments
from polyscan.bundle.inference_options import DEFAULTS, InferenceOptions
from polyscan.bundle.items import labelled_studies, learnt_studies
from polyscan.bundle.mapped_dataset import claim_cache
from polyscan.bundle.model_record import model_record
from polyscan.bundle.predictor import StudyPredictor
from polyscan.bundle.processes import by_the_first, is_first, process_group, world_size
from polyscan.bundle.regions import check_regions
from polyscan.bundle.run_folder import RunFolder
from polyscan.bundle.unknown_entry import check_arguments
from polyscan.bundle.weights import (
    calibration_of,
    check_fit,
    inference_fingerprint,
    read_weights,
    weights_fingerprint,
    weights_of,
)
from polyscan.errors import PolyscanError, sentence
from polyscan.files.features import FEATURES
from polyscan.files.names import BEST
from polyscan.learning.history import PACE, WAITED, History
from polyscan.preprocess.profiles import save_profiles
from polyscan.progress import Progress, silent
from polyscan.study.manifest import Manifest, manifest_of, read_manifest
from polyscan.transforms import SaveAttributionsd


def train(
    bundle: str | Path,
    manifest: str | Path,
    output_dir: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    fragments: Sequence[str | Path] = (),
    restart: bool = False,
    cache: str | Path | None = None,
    roots: Mapping[str, str | Path] | None = None,
    progress: Progress = silent,
) -> Path:
    """Train a bundle on a prepared manifest, or go on where the same training was cut short.

    The same as ``python -m monai.bundle run --config_file configs/train.json --manifest M --output_dir O`` inside it.
    Processes that torchrun started train together, each on its part of every epoch.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        manifest: the prepared manifest.
        output_dir: the folder of the run, new, empty, or of this same training; see :class:`RunFolder`. Beside them
            stands ``profiles.json``: how the training scans' intensities are spread.
        overrides: config entries to change, such as ``{"max_epochs": 5}``.
        fragments: whose entries are changed before these; weights carry what of them an answer needs, or name the file
            that ``infer`` must be given again.
        restart: replace another training that the folder holds.
        cache: a folder in which decoded studies are kept, and mapped into memory; in memory itself where not given. See
            :class:`polyscan.bundle.mapped_dataset.MappedDataset`.
        roots: name of a root of the manifest to the folder that it is on this machine.
        progress: told after every epoch.

    Returns:
        The path of ``model.pt``.

    Raises:
        PolyscanError: the bundle, the manifest, an override or the folder cannot be used.
    """
    bundle = bundle_folder(bundle)  # first, since a manifest in its place is named so
    found = read_manifest(manifest, roots)
    changes, before = {**read_fragments(fragments, "train"), **(overrides or {})}, None
    if changes.get("pretrained"):
        (pretrained,) = weights_of(bundle, changes["pretrained"])
        before = settings_of(read_weights(pretrained))
        changes = {**carried_settings(before, pretrained, bundle, changes), **changes}
    config = read_config(bundle, "train", changes)
    if world_size() > 1:
        config = {"processes": world_size(), **config}  # whose batches are one batch

    def begin() -> tuple[RunFolder, dict[str, str]]:
        if isinstance(config.get("regions"), Mapping):
            studies = labelled_studies(found, labels_of(config))
            check_regions(studies, config["regions"], chosen=any(name.split("#")[0] == "regions" for name in changes))
        kept = {"cache_dir": str(claim_cache(cache, found))} if cache else {}
        return RunFolder(output_dir, config, manifest, restart=restart), kept

    with process_group():
        run, kept = by_the_first(begin)
        if not run.finished:
            settings = shared_settings(bundle, config, fragments)
            with quiet(), run.writing() if is_first() else nullcontext():
                _train(bundle, found, run, {**changes, **kept}, settings, before, progress)
    return run.path / BEST


def _train(
    bundle: Path,
    manifest: Manifest,
    run: RunFolder,
    overrides: Mapping[str, Any],
    settings: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    progress: Progress,
) -> None:
    """Train until the end; the weights carry ``settings``, and of the studies what an answer must know.

    ``before`` are the settings of the weights that it starts from.
    """
    workflow = _load(bundle, "train", manifest, run.path, {**overrides, "resume": run.resume})
    parsed: Any = workflow.parser.get_parsed_content
    labels, every = parsed("labels"), [*manifest.training, *manifest.validation]
    learnt = learnt_studies(manifest, labels, parsed("unlabelled"), parsed("fold"))
    of_studies = by_the_first(lambda: settings_of_studies(learnt, every, parsed("modalities"), labels, before))
    parsed("network_def").settings = {**settings, **of_studies}
    run.record["studies"] = {
        what: len(parsed(f"{part}#dataset#data")) for what, part in (("trained_on", "train"), ("watched", "validate"))
    }
    trainer = parsed("train#trainer")
    history = next(handler for handler in parsed("train#handlers") if isinstance(handler, History))

    @trainer.on(Events.EPOCH_COMPLETED)
    def _(engine: Engine) -> None:
        row = history.rows[-1]
        pace = f"{row[PACE]:.3g} studies/s, waited {row[WAITED]:.0%} of the time for them"
        progress(engine.state.epoch, int(engine.state.max_epochs or 0), f"{_losses(engine)}; {pace}")

    with _windows_too_small_named():
        workflow.run()
    if is_first():
        save_profiles(learnt, run.path)


@contextmanager
def _windows_too_small_named() -> Iterator[None]:
    """Say what to change where a norm has a single number of each channel to normalise."""
    try:
        yield
    except Exception as error:
        if "Expected more than 1" not in sentence(error):  # as PyTorch's norms say it
            raise
        raise PolyscanError(
            "The deepest level of the network has a single voxel of a window, which its norm cannot be computed from; "
            "give a larger roi_size, fewer levels of the encoder, or, for batch norm, batches of two or more."
        ) from error


def infer(
    bundle: str | Path,
    manifest: str | Path | Manifest,
    output_dir: str | Path,
    *,
    weights: str | Path | Sequence[str | Path] | None = None,
    absent: list[str] | None = None,
    options: InferenceOptions = DEFAULTS,
    overrides: Mapping[str, Any] | None = None,
    roots: Mapping[str, str | Path] | None = None,
    progress: Progress = silent,
) -> Manifest:
    """Answer for every study of a prepared manifest with a bundle.

    The same as ``python -m monai.bundle run --config_file configs/inference.json --manifest M --output_dir O``.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        manifest: a prepared manifest, or its file.
        output_dir: where predictions and ``manifest.json`` are written. What it holds of the same weights, settings and
            files is taken as it is, so that a run that was cut short goes on.
        weights: a file of weights, or several, whose logits are averaged; the bundle's own where not given.
        absent: modalities to treat as though they had not been acquired.
        options: what is asked for beside the plain answer; features are kept in ``output_dir/features``.
        overrides: further config entries to change.
        roots: name of a root of the file to the folder that it is on this machine.
        progress: told after every study.

    Returns:
        What was written to ``output_dir/manifest.json``.

    Raises:
        PolyscanError: the bundle, the manifest, the weights or an override cannot be used, or no study was answered.
    """
    bundle = bundle_folder(bundle)
    found = manifest_of(manifest, roots)
    with quiet():
        asked = _asked(options, output_dir)
        changes = {"absent": absent or [], **asked, **(overrides or {})}
        workflow = load_inference(bundle, found, output_dir, weights, changes)
        workflow.parser.get_parsed_content("predictor").progress = progress
        (result,) = workflow.run()
    return result


def load_predictor(
    bundle: str | Path,
    output_dir: str | Path,
    *,
    weights: str | Path | Sequence[str | Path] | None = None,
    options: InferenceOptions = DEFAULTS,
    overrides: Mapping[str, Any] | None = None,
) -> StudyPredictor:
    """A bundle with its weights, loaded once to answer for studies as they come.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        output_dir: where the files of its answers are written.
        weights: a file of weights; the bundle's own where not given.
        options: see :func:`infer`; features are kept in a folder ``features`` beside ``output_dir``.
        overrides: further config entries to change.

    Raises:
        PolyscanError: the bundle, the weights or an override cannot be used.
    """
    with quiet():
        asked = _asked(options, Path(output_dir).parent)
        changes = {"dataset#data": [], **asked, **(overrides or {})}
        workflow = load_inference(bundle, Manifest(), output_dir, weights, changes)
        return workflow.parser.get_parsed_content("predictor")


def _asked(options: InferenceOptions, folder: str | Path) -> dict[str, Any]:
    """What to change of a bundle so that it answers so, and keeps features, where it does, in a folder."""
    kept = {"features": str((Path(folder) / FEATURES).resolve())} if options.keep_features else {}
    return {**kept, **options.overrides}


def load_inference(
    bundle: str | Path,
    manifest: Manifest,
    output_dir: str | Path,
    weights: str | Path | Sequence[str | Path] | None,
    overrides: Mapping[str, Any],
    *,
    calibrated: bool = True,
) -> ConfigWorkflow:
    """The inference config of a bundle, initialised, with its weights and, if wanted, the calibration beside them.

    Raises:
        PolyscanError: the bundle, the weights or an override cannot be used.
    """
    bundle = bundle_folder(bundle)
    files = weights_of(bundle, weights)
    stored = [read_weights(file) for file in files]
    settings = [settings_of(each) for each in stored]
    fragments = carried_fragments(settings[0])
    carried = carried_settings(settings[0], files[0], bundle, overrides, fragments)
    changes = {**fragments, **carried, "weights": str(files[0].resolve()), **overrides}
    if len(files) > 1:
        changes["ensemble"] = [str(file.resolve()) for file in files[1:]]
    for beside in calibration_of(files) if calibrated else []:
        changes |= {"calibration": str(beside.resolve()), "weights_fingerprint": weights_fingerprint(files[0])}
    workflow = _load(bundle, "inference", manifest, output_dir, changes)
    parser = workflow.parser
    for file, each in zip(files, stored, strict=True):
        check_fit(file, each, parser.get_parsed_content("network_def"))
    if parser.get("attribution") and SaveAttributionsd.__name__ not in str(parser["postprocessing"]):
        raise PolyscanError(
            f"{bundle.name} with these settings answers from tables, which have no places; leave --attribution away."
        )
    parser["made_from"] = inference_fingerprint(bundle, files, overrides)
    predictor = parser.get_parsed_content("predictor")
    if predictor.ignore_atypical and not predictor.calibration.distances:
        raise PolyscanError(
            "Nothing tells which scans are atypical: beside the weights lies no calibration on twenty subjects or "
            "more; run polyscan calibrate first, or leave --ignore-atypical away."
        )
    predictor.model = model_record(bundle, parser, files, settings, overrides)
    predictor.learnt = {mark for each in settings for mark in each.get(LEARNT, ())}
    if bundle in files[0].parents:  # weights of another place are of another training
        predictor.model.carried = sorted(carried.keys() - {"network_def", UNTAUGHT})
    return workflow


def _losses(engine: Engine) -> str:
    """The mean of each loss over the epoch: the supervised one, and each term of the fusion layers over all of them."""
    losses: dict[str, float] = {}
    for name, value in engine.state.metrics.items():
        if name.startswith("loss/"):
            term = name.removeprefix("loss/").rpartition(".")[2]
            losses[term] = losses.get(term, 0.0) + float(value)
    return ", ".join(f"{term} {value:.3f}" for term, value in losses.items())


def _load(
    bundle: str | Path, config: str, manifest: Manifest, output_dir: str | Path, overrides: Mapping[str, Any]
) -> ConfigWorkflow:
    together = config == "train" and world_size() > 1
    workflow = open_config(bundle, config, overrides, ["multi_gpu_train"] if together else [])
    check_arguments(Path(bundle), config, workflow.parser.get())
    paths = {"bundle_root": bundle, "output_dir": output_dir}
    workflow.parser.update({name: str(Path(path).resolve()) for name, path in paths.items()})
    workflow.parser.update({"manifest": manifest})  # read once, checked, for all that ask for it
    if "modalities" not in overrides:
        check_channels(bundle, workflow.parser["modalities"])
    workflow.initialize()
    return workflow
