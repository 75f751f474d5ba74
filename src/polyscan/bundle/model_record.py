"""What is noted with an answer of the network that gave it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import ID_REF_KEY

from polyscan import __version__
from polyscan.bundle.carried import MISSING_BY_LABEL, PROTOCOLS, UNLEARNT
from polyscan.bundle.class_option import objects_in
from polyscan.bundle.config import read_metadata
from polyscan.bundle.weights import calibration_of, inference_fingerprint
from polyscan.files.digest import sha256
from polyscan.missing import strategies
from polyscan.study import ModelRecord

_PACKAGES = ("monai", "torch")
_SAME_ANSWER = {
    *("absent", "dataset#data", "device"),
    *("attribution", "contributions", "features", "save_probabilities", "uncertainty"),
}
"""Entries that say of which scans, where, and what is kept beside the answer."""


def model_record(
    bundle: Path,
    config: ConfigParser,
    weights: Sequence[Path],
    settings: Sequence[Mapping[str, Any]],
    overrides: Mapping[str, Any],
) -> ModelRecord:
    """What another would need to know of a network to ask the same one.

    Args:
        bundle: its folder.
        config: of inference, with all that was changed of it.
        weights: its files.
        settings: what each of them carries.
        overrides: the entries that were changed.
    """
    changed = {name: value for name, value in overrides.items() if name not in _SAME_ANSWER}
    at = config.get("fuse_at", "")
    parts, metadata = _names(_parts(config.get("network_def", {}), config)), read_metadata(bundle)
    reads = str([config.get(name) for name in ("preprocessing", "inferer")])
    unlearnt = {name for carried in settings for name in carried.get(UNLEARNT, ())}
    own = [metadata["protocol"]] if metadata.get("protocol") else []
    fusion = _names(config.get("fusion", {}))
    method = {"calibration_method": config.get_parsed_content("calibrated").method} if "calibrated" in config else {}
    return ModelRecord(
        bundle.resolve().name,
        bundle_version=str(metadata.get("version", "")),
        network=parts[0] if parts else "",
        parts=[name for name in parts[1:] if not name.islower()],  # functions that give a number
        fusion=", ".join(fusion),
        fuse_at=", ".join(map(str, at)) if isinstance(at, list) else str(at),
        modalities=[name for name in config.get_parsed_content("modalities") if name not in unlearnt],
        spacing=list(config.get("spacing", [])) if "@spacing" in reads else [],
        roi_size=list(config.get("roi_size", [])) if "roi_size" in reads else [],
        inferer=class_name(str(config.get("inferer", {}).get("_target_", ""))),
        weights=[sha256(file) for file in weights],
        calibrated="tasks" in config and bool(calibration_of(weights)),
        mirrored=len(config.get("mirror_axes", [])) if config.get("mirror", False) else 0,
        settings=inference_fingerprint(bundle, weights, changed),
        protocols=sorted({name for carried in settings for name in carried.get(PROTOCOLS, own)}),
        stands_in=next((kind.STANDS_IN for kind in strategies() if kind.__name__ in fusion), ""),
        missing_by_label={
            name: labels for carried in settings for name, labels in carried.get(MISSING_BY_LABEL, {}).items()
        },
        versions={"polyscan": __version__, **{name: version(name) for name in _PACKAGES}},
        **method,
    )


def _parts(content: Any, config: ConfigParser) -> Any:
    """A part of a config with the parts that it refers to in their places, but for the fusion, which is told apart."""
    if isinstance(content, dict):
        return {name: _parts(each, config) for name, each in content.items()}
    if isinstance(content, list):
        return [_parts(each, config) for each in content]
    name = content.removeprefix(ID_REF_KEY) if isinstance(content, str) else content
    referred = config.get(name) if name not in (content, "fusion") else None
    return _parts(referred, config) if isinstance(referred, dict) else content


def _names(content: Any) -> list[str]:
    """The classes that a part of a config names, without their packages, each once."""
    return list(dict.fromkeys(map(class_name, class_paths(content))))


def class_paths(content: Any) -> Iterator[str]:
    """The dotted paths of the classes that a part of a config names."""
    return (each["_target_"] for each in objects_in(content))


def class_name(target: str) -> str:
    """The name of a class without its package."""
    return target.rpartition(".")[2]
