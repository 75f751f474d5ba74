"""Run a bundle as ``python -m monai.bundle run`` does, with progress and one clear sentence when something is wrong."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser, ConfigWorkflow

from polyscan.bundle.carried import carried_settings, shared_settings
from polyscan.bundle.model_record import model_record
from polyscan.bundle.predictor import StudyPredictor
from polyscan.bundle.run_folder import RunFolder
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json, resource_folder
from polyscan.inference.task_calibration import NAME as CALIBRATION
from polyscan.learning.checkpoint import BEST
from polyscan.networks.fusion_model import check_weights
from polyscan.parallel import Progress
from polyscan.preprocess.profiles import save_profiles
from polyscan.study.manifest import Manifest, read_manifest
from polyscan.transforms import SaveAttributionsd

FEATURES = "features"


def train(
    bundle: str | Path,
    manifest: str | Path,
    output_dir: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    restart: bool = False,
    roots: Mapping[str, str | Path] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train a bundle on a prepared manifest, or go on where the same training was cut short.

    The same as ``python -m monai.bundle run --config_file configs/train.json --manifest M --output_dir O`` inside it.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        manifest: the prepared manifest.
        output_dir: the folder of the run, new, empty, or of this same training; see :class:`RunFolder`. Beside them
            stands ``profiles.json``: how the training scans' intensities are spread.
        overrides: config entries to change, such as ``{"max_epochs": 5}``.
        restart: replace another training that the folder holds.
        roots: name of a root of the manifest to the folder that it is on this machine.
        progress: told after every epoch.

    Returns:
        The path of ``model.pt``.

    Raises:
        PolyscanError: the bundle, the manifest, an override or the folder cannot be used.
    """
    found, bundle = read_manifest(manifest, roots), bundle_folder(bundle)
    changes = dict(overrides or {})
    if changes.get("pretrained"):
        changes = {**carried_settings(changes["pretrained"], bundle, changes), **changes}
    config = read_config(bundle, "train", changes)
    run = RunFolder(output_dir, config, manifest, restart=restart)
    if run.finished:
        return run.path / BEST
    with _quiet(), run.writing():
        workflow = _load(bundle, "train", found, output_dir, {**changes, "resume": run.resume})
        workflow.parser.get_parsed_content("network_def").settings = shared_settings(bundle, config)
        trainer: Any = workflow.parser.get_parsed_content("train#trainer")
        if progress is not None:
            tell = progress

            @trainer.on(Events.EPOCH_COMPLETED)
            def _(engine: Engine) -> None:
                tell(engine.state.epoch, int(engine.state.max_epochs or 0), _losses(engine))

        workflow.run()
        save_profiles(found.training, output_dir)
    return run.path / BEST


def infer(
    bundle: str | Path,
    manifest: str | Path,
    output_dir: str | Path,
    *,
    weights: str | Path | Sequence[str | Path] | None = None,
    absent: list[str] | None = None,
    keep_features: bool = False,
    overrides: Mapping[str, Any] | None = None,
    roots: Mapping[str, str | Path] | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Answer for every study of a prepared manifest with a bundle.

    The same as ``python -m monai.bundle run --config_file configs/inference.json --manifest M --output_dir O``.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        manifest: the prepared manifest.
        output_dir: where predictions and ``manifest.json`` are written. What it holds of the same weights, settings and
            files is taken as it is, so that a run that was cut short goes on.
        weights: a file of weights, or several, whose logits are averaged; the bundle's own where not given.
        absent: modalities to treat as though they had not been acquired.
        keep_features: keep in ``output_dir/features`` what encoders made of each scan, so that they need not run again
            when a scan of the study comes later; see :class:`polyscan.inference.KeptFeatures`.
        overrides: config entries to change.
        roots: name of a root of the manifest to the folder that it is on this machine.
        progress: told after every study.

    Returns:
        What was written to ``output_dir/manifest.json``.

    Raises:
        PolyscanError: the bundle, the manifest, the weights or an override cannot be used, or no study was answered.
    """
    found = read_manifest(manifest, roots)
    with _quiet():
        changes = {"absent": absent or [], **_features(output_dir, keep_features), **(overrides or {})}
        workflow = load_inference(bundle, found, output_dir, weights, changes)
        workflow.parser.get_parsed_content("predictor").progress = progress
        (result,) = workflow.run()
    return result


def load_predictor(
    bundle: str | Path,
    output_dir: str | Path,
    *,
    weights: str | Path | Sequence[str | Path] | None = None,
    keep_features: bool = False,
    overrides: Mapping[str, Any] | None = None,
) -> StudyPredictor:
    """A bundle with its weights, loaded once to answer for studies as they come.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        output_dir: where the files of its answers are written.
        weights: a file of weights; the bundle's own where not given.
        keep_features: see :func:`infer`; in a folder ``features`` beside ``output_dir``.
        overrides: config entries to change.

    Raises:
        PolyscanError: the bundle, the weights or an override cannot be used.
    """
    with _quiet():
        kept = _features(Path(output_dir).parent, keep_features)
        changes = {"dataset#data": [], **kept, **(overrides or {})}
        workflow = load_inference(bundle, Manifest(), output_dir, weights, changes)
        return workflow.parser.get_parsed_content("predictor")


def _features(folder: str | Path, keep: bool) -> dict[str, str]:
    """What to change of a bundle so that it keeps features in a folder."""
    return {"features": str((Path(folder) / FEATURES).resolve())} if keep else {}


def inference_fingerprint(
    bundle: Path,
    weights: str | Path | Sequence[str | Path] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> str:
    """Changes where the weights, the bundle's settings or what is changed of them do.

    Args:
        bundle: its folder.
        weights: a file of weights; the bundle's own where not given.
        overrides: config entries that are changed.

    Raises:
        PolyscanError: the weights are not there.
    """
    settings = [(bundle / "configs" / "inference.json").read_text(encoding="utf-8"), dict(overrides or {})]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    files = weights_of(bundle, weights)
    for file in [*files, *_calibration_of(files)]:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def weights_fingerprint(weights: Path) -> str:
    """Changes where what stands in the file does."""
    return hashlib.sha256(weights.read_bytes()).hexdigest()[:16]


def weights_of(bundle: str | Path, weights: str | Path | Sequence[str | Path] | None = None) -> list[Path]:
    """A file of weights, or those of an ensemble; the bundle's own where not given.

    Raises:
        PolyscanError: one is not there.
    """
    named = [bundle_folder(bundle) / "models" / BEST] if weights is None else weights
    files = [Path(named)] if isinstance(named, (str, Path)) else [Path(file) for file in named]
    for file in files:
        if not file.is_file():
            raise PolyscanError(f"Weights {file} do not exist; train the bundle first or name the file with --weights.")
    return files


def _calibration_of(files: Sequence[Path]) -> list[Path]:
    """What lies beside the weights; an ensemble has none, since each was calibrated by itself."""
    beside = files[0].with_name(CALIBRATION)
    return [beside] if len(files) == 1 and beside.is_file() else []


def load_inference(
    bundle: str | Path,
    manifest: Manifest,
    output_dir: str | Path,
    weights: str | Path | Sequence[str | Path] | None,
    overrides: Mapping[str, Any],
) -> ConfigWorkflow:
    """The inference config of a bundle, initialised, with its weights and the calibration that lies beside them.

    Raises:
        PolyscanError: the bundle, the weights or an override cannot be used.
    """
    bundle = bundle_folder(bundle)
    files = weights_of(bundle, weights)
    changes = {**carried_settings(files[0], bundle, overrides), "weights": str(files[0].resolve()), **overrides}
    if len(files) > 1:
        changes["ensemble"] = [str(file.resolve()) for file in files[1:]]
    for beside in _calibration_of(files):
        changes |= {"calibration": str(beside.resolve()), "weights_fingerprint": weights_fingerprint(files[0])}
    workflow = _load(bundle, "inference", manifest, output_dir, changes)
    for file in files:
        _check_weights(file, workflow.parser.get_parsed_content("network_def"))
    if workflow.parser.get("attribution") and SaveAttributionsd.__name__ not in str(workflow.parser["postprocessing"]):
        raise PolyscanError(
            f"{bundle.name} with these settings answers from tables, which have no places; leave --attribution away."
        )
    workflow.parser["made_from"] = inference_fingerprint(bundle, files, overrides)
    workflow.parser.get_parsed_content("predictor").model = model_record(
        bundle, workflow.parser, files, calibrated=bool(_calibration_of(files))
    )
    return workflow


def _losses(engine: Engine) -> str:
    """The mean of each loss over the epoch: the supervised one, and each term of the fusion layers over all of them."""
    losses: dict[str, float] = {}
    for name, value in engine.state.metrics.items():
        if name.startswith("loss/"):
            term = name.removeprefix("loss/").rpartition(".")[2]
            losses[term] = losses.get(term, 0.0) + float(value)
    return ", ".join(f"{term} {value:.3f}" for term, value in losses.items())


def _check_weights(path: Path, network: torch.nn.Module) -> None:
    """Refuse weights of another network, other modalities or other outputs before any study is read."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        shapes = {name: value.shape for name, value in stored.items() if not name.endswith("_extra_state")}
    except Exception as error:
        raise PolyscanError(f"{path} cannot be read as weights ({type(error).__name__}); train them again.") from error
    check_weights(network, stored, "")
    own = {name: value.shape for name, value in network.state_dict().items() if not name.endswith("_extra_state")}
    wrong = [name for name in own.keys() | shapes.keys() if own.get(name) != shapes.get(name)]
    if wrong:
        raise PolyscanError(
            f"{path} does not fit the bundle's network: {len(wrong)} of {len(own)} entries differ; "
            "give the bundle and the --set options that they were trained with."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what MONAI and ignite log on their way: the user sees progress, results, and what is raised."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)  # of an exception they log the traceback
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def bundle_folder(name_or_folder: str | Path) -> Path:
    """The folder of a bundle: a folder as it is, else the bundle of that name that comes with polyscan.

    Raises:
        PolyscanError: there is neither.
    """
    for folder in (Path(name_or_folder), resource_folder("bundles") / name_or_folder):
        if (folder / "configs").is_dir():
            return folder
    known = sorted(path.parents[1].name for path in resource_folder("bundles").glob("*/configs/metadata.json"))
    raise PolyscanError(
        f"{name_or_folder} is no bundle: it has no folder configs; give a bundle's folder, or the name of one "
        f"that comes with polyscan: {', '.join(known)}."
    )


def read_metadata(folder: Path) -> dict[str, Any]:
    """A bundle's ``metadata.json``.

    Raises:
        PolyscanError: it is not there or is no JSON.
    """
    content: dict[str, Any] = read_json(folder / "configs" / "metadata.json")
    return content


def _open(bundle: str | Path, config: str, overrides: Mapping[str, Any]) -> ConfigWorkflow:
    """A bundle's config with some entries changed, before anything is made of it."""
    file = Path(bundle) / "configs" / f"{config}.json"
    if not file.is_file():
        raise PolyscanError(f"{bundle} is no bundle with a config {config}.json; give a folder such as bundles/NAME.")
    workflow = ConfigWorkflow(str(file), workflow_type=config, logging_file=False)
    for key in overrides:
        if key not in workflow.parser and f"@{key}" not in str(overrides):
            raise PolyscanError(f"{file} has no entry {key!r} to change; its entries are named in the file.")
    workflow.parser.update(dict(overrides))
    return workflow


def read_config(bundle: str | Path, config: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The whole of a bundle's config with some entries changed.

    Raises:
        PolyscanError: there is no such config, or it has no such entry.
    """
    with _quiet():
        content: dict[str, Any] = _open(bundle, config, overrides).parser.get()
    return content


def label_classes(bundle: str | Path) -> dict[str, int]:
    """The regions of a bundle's masks and their numbers, by its metadata, such as ``1 core, 2 oedema``.

    Raises:
        PolyscanError: the metadata do not say.
    """
    said = read_metadata(Path(bundle)).get("label_classes")
    try:
        parts = [part.split(maxsplit=1) for part in str(said).split(",")]
        return {name.strip(): int(value) for value, name in parts}
    except ValueError:
        raise PolyscanError(
            f"{bundle} has label_classes {said!r}; its configs/metadata.json needs them such as '1 core, 2 oedema'."
        ) from None


def labels_of(config: Mapping[str, Any]) -> list[str]:
    """What a study must be labelled with to be learnt from, by a config as :func:`read_config` gives it."""
    parser = ConfigParser({name: config[name] for name in ("labels", "tasks") if name in config})
    labels: list[str] = parser.get_parsed_content("labels")
    return labels


def _load(
    bundle: str | Path, config: str, manifest: Manifest, output_dir: str | Path, overrides: Mapping[str, Any]
) -> ConfigWorkflow:
    workflow = _open(bundle, config, overrides)
    paths = {"bundle_root": bundle, "output_dir": output_dir}
    workflow.parser.update({name: str(Path(path).resolve()) for name, path in paths.items()})
    workflow.parser.update({"manifest": manifest})  # read once, checked, for all that ask for it
    if "modalities" not in overrides:
        _check_channels(bundle, workflow.parser["modalities"])
    workflow.initialize()
    return workflow


def channels_of(bundle: str | Path) -> list[str]:
    """The modalities in the order of the channels that a bundle reads, by its metadata; colours are of one modality.

    Raises:
        PolyscanError: the metadata do not say.
    """
    try:
        content = read_metadata(Path(bundle))
        channels = content["network_data_format"]["inputs"]["image"]["channel_def"]
        return list(dict.fromkeys(channels[str(k)] for k in range(len(channels))))
    except (PolyscanError, KeyError, TypeError) as error:
        raise PolyscanError(
            f"{bundle} does not say which modality each channel is ({error}); its configs/metadata.json needs "
            "network_data_format with inputs, image and channel_def."
        ) from error


def _check_channels(bundle: str | Path, modalities: list[str]) -> None:
    """Refuse a bundle whose config reads its channels in another order than its metadata say."""
    said = channels_of(bundle)
    if said != list(modalities):
        raise PolyscanError(
            f"{bundle} reads {', '.join(modalities)}, but its metadata name the channels {', '.join(said)}; weights "
            "are made for one order only: set both alike."
        )
