"""Another encoder, with weights that it had from another training, as changes to a bundle's training."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyscan import networks
from polyscan.bundle.class_option import find_class, read_call
from polyscan.bundle.config import bundle_folder, read_config
from polyscan.errors import PolyscanError
from polyscan.networks import Encoder, PooledEncoder, PretrainedEncoder, VectorEncoder

TRAINING = {"full": (), "frozen": (), "low-rank": ("rank",)}
"""How much of a pretrained encoder learns, and the options of each way."""


def encoder_option(
    text: str,
    bundle: str | Path,
    changes: Mapping[str, Any],
    weights: str | Path | None = None,
    training: str = "full",
) -> dict[str, Any]:
    """Read ``NAME``, an encoder of polyscan.networks, or ``DOTTED.PATH``, each with options in brackets or without.

    Each modality has one of its own. With weights it is a :class:`polyscan.networks.PretrainedEncoder`; where all of it
    learns, at a tenth of the learning rate, unless ``encoder_learning_rate`` is changed too. A decoder has the channels
    of the encoder's levels, unless its ``width`` is changed too.

    Args:
        text: what was given.
        bundle: folder or name.
        changes: what is changed of the bundle's training already.
        weights: a file of weights for the encoder.
        training: ``full``, ``frozen``, ``low-rank`` or ``low-rank(rank=16)``.

    Returns:
        The changes with those of the encoder.

    Raises:
        PolyscanError: there is no such encoder, option or file, the encoder takes no weights, or the bundle does not
            encode images of each modality.
    """
    part, network = encoder_part(bundle, changes)
    given = {"in_channels", "spatial_dims", "weights"}
    kind, path, own = find_class(
        "--encoder", text, "encoder of images", Encoder, "polyscan.networks", encoders(), given
    )
    encoder = {"_target_": path, "_mode_": "callable", **own}
    way, options = read_call("--encoder-training", training)
    if way not in TRAINING or set(options) - set(TRAINING[way]):
        raise PolyscanError(f"--encoder-training is {training}; expected full, frozen, low-rank or low-rank(rank=16).")
    added: dict[str, Any] = {f"{part}#encoder": encoder}
    if "width" in network["head"]:
        added[f"{part}#head#width"] = changes.get(f"{part}#head#width")
    if weights is None and way != "full":
        raise PolyscanError(f"--encoder-training {way} needs an encoder that was trained; name its --encoder-weights.")
    if weights is not None:
        if "weights" not in inspect.signature(kind).parameters:
            raise PolyscanError(f"{kind.__name__} takes no file of weights; leave --encoder-weights away.")
        if not Path(weights).is_file():
            raise PolyscanError(f"--encoder-weights {weights} is no file.")
        added[f"{part}#encoder"] = {
            "_target_": "polyscan.networks.PretrainedEncoder",
            "_mode_": "callable",
            "encoder": encoder,
            "weights": "@encoder_weights",
            "training": way,
            **options,
        }
        added["encoder_weights"] = str(Path(weights).resolve())
        added["encoder_learning_rate"] = changes.get("encoder_learning_rate", "$@learning_rate / 10")
    return {**changes, **added}


def encoders() -> list[type[Encoder]]:
    """Those of polyscan.networks that read images."""
    found = (getattr(networks, name) for name in dir(networks))
    others = (Encoder, PooledEncoder, PretrainedEncoder, VectorEncoder)
    return [each for each in found if inspect.isclass(each) and issubclass(each, Encoder) and each not in others]


def encoder_part(bundle: str | Path, changes: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Where in a bundle's config the network stands that has an encoder of images for each modality, and its config.

    Raises:
        PolyscanError: there is none.
    """
    config = read_config(bundle_folder(bundle), "train", changes)
    part, network = "network_def", config["network_def"]
    while "network" in network:
        part, network = f"{part}#network", network["network"]
    why = ""
    if "encoder" not in network:
        why = f"its network, {network['_target_'].rpartition('.')[2]}, is made with its own"
    elif network.get("spatial_dims") == 1:
        why = "it reads tables"
    elif config.get("fuse_at") == "input":
        why = "it joins modalities before they are encoded; give --set 'fuse_at=[0]' or other levels"
    if why:
        raise PolyscanError(f"{bundle} has no encoder of images for each modality that could be another: {why}.")
    return part, network
