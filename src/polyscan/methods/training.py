"""How weights were trained, from the folders of training runs."""

from __future__ import annotations

import json
import pydoc
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from polyscan.bundle.items import ALL
from polyscan.bundle.model_record import class_name, class_paths
from polyscan.bundle.run_folder import CONFIG, RECORD
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.files.digest import sha256
from polyscan.files.names import BEST
from polyscan.files.tables import rows_in
from polyscan.learning.history import TABLE
from polyscan.methods.text import Text, counted, enumerated

SECTION = "Training"
_OF_NO_LAYER = ("supervised", "objective", "distillation", "deep")
"""What begins the names of losses that no fusion layer has."""


def tell_training(text: Text, runs: Sequence[Path], answered_by: Collection[str]) -> dict[str, str]:
    """Say how networks were trained.

    Args:
        text: to say it in.
        runs: folders of runs of one config, such as those of folds.
        answered_by: SHA-256 of the weights that answered; empty where there are no answers.

    Returns:
        Package to its version.

    Raises:
        PolyscanError: a run has no weights yet, or its weights are not those that answered.
    """
    for run in runs:
        if not (run / BEST).is_file():
            raise PolyscanError(f"{run} has no {BEST} yet; let polyscan train end first.")
        if answered_by and sha256(run / BEST) not in answered_by:
            raise PolyscanError(f"{run} did not train the weights that answered; name the folder of the run that did.")
    config, records = read_json(runs[0] / CONFIG), [read_json(run / RECORD) for run in runs]
    data, used = records[0]["data"], [record["studies"] for record in records if "studies" in record]
    text.say(
        SECTION,
        f"{'The network was' if len(runs) == 1 else f'{len(runs)} networks, one a fold, were'} trained on "
        f"{_used(used)}a manifest of {counted(data['studies'], 'study')} (fingerprint {data['fingerprint']}).",
        _optimisation(text, config),
        _losses(text, config, runs[0]),
        _augmentation(text, config),
        *_epochs(config, runs),
    )
    return records[0]["versions"]


def _used(runs: Sequence[dict[str, int]]) -> str:
    """How many studies each run learnt from, and how many it was watched on, where records tell."""
    if not runs:
        return ""
    learnt, watched = (" or ".join(map(str, sorted({run[what] for run in runs}))) for what in ("trained_on", "watched"))
    return f"{learnt} and watched on {watched} of "


def _optimisation(text: Text, config: dict[str, Any]) -> str:
    from polyscan.learning import AveragedWeights, ClipGradients

    optimizer, schedule = config["optimizer"]["_target_"], config.get("lr_scheduler", {}).get("_target_", "")
    rate = config["learning_rate"]
    told = [f"The optimiser was {class_name(optimizer)}{text.cite(optimizer)} with a learning rate of {rate:g}"]
    if schedule:
        told.append(f"scheduled by {class_name(schedule)}{text.cite(schedule)}")
    told.append(f"and a batch size of {config['batch_size']}")
    if config.get("accumulation_steps", 1) > 1:
        told.append(f"over {config['accumulation_steps']} accumulated steps")
    if config.get("bfloat16"):
        told.append("(on a CPU in bfloat16)")
    sentences = [" ".join(told) + "."]
    if config.get("clip_gradients"):
        sentences.append(f"Gradients were clipped at a norm of {config['clip_gradients']:g}{text.cite(ClipGradients)}.")
    if config.get("ema_decay"):
        decay = config["ema_decay"]
        sentences.append(f"Weights were averaged over steps with a decay of {decay:g}{text.cite(AveragedWeights)}.")
    return " ".join(sentences)


def _losses(text: Text, config: dict[str, Any], run: Path) -> str:
    from polyscan.learning import WithDistillation
    from polyscan.learning.deep_supervision import deep_losses

    losses = list(dict.fromkeys(class_paths(config["loss"])))
    told = enumerated(f"{class_name(name)}{text.cite(pydoc.locate(name))}" for name in losses)
    terms = (name.removeprefix("loss/") for name in rows_in(run / TABLE)[0] if name.startswith("loss/"))
    of_layers = {term for term in terms if term.partition(".")[0] not in _OF_NO_LAYER}
    beside = sorted({term.rpartition(".")[2] for term in of_layers})
    sentence = f"The loss was {told}{f', beside it {enumerated(beside)} of the fusion layer' if beside else ''}."
    if levels := config.get("deep_supervision"):
        sentence += f" {counted(levels, 'coarser level')} of the decoder stood under it too{text.cite(deep_losses)}."
    network = config["train"].get("network", {})
    if network.get("_target_", "").endswith(WithDistillation.__name__):
        sentence += (
            " What the network answered from all modalities of a study taught what it answered from a random part of "
            f"them{text.cite(WithDistillation)}."
        )
    paths = [entry["_target_"] for entry in config.get("objectives", [])]
    if not paths:
        return sentence
    told = enumerated(f"{class_name(path)}{text.cite(pydoc.locate(path))}" for path in paths)
    where = ", which studies without a label were trained by too" if config["unlabelled"] else ""
    return f"{sentence} Beside it stood {told}{where}."


def _augmentation(text: Text, config: dict[str, Any]) -> str:
    from polyscan.transforms import RaiseModalityDropout, RandModalityDropoutd

    written = json.dumps(config["train"].get("random_transforms", []))
    names = dict.fromkeys(re.findall(r"\bRand\w+", written))
    dropout = config.get("modality_dropout", 0) if names.pop(RandModalityDropoutd.__name__, 1) is None else 0
    told = f"Images were augmented by {enumerated(names)}." if names else ""
    if dropout:
        told += f" Modalities were left out {_rates(dropout)}{text.cite(RandModalityDropoutd)}"
        if rise := config.get("modality_dropout_rise"):
            told += f", rising from 0 over {rise:.0%} of the epochs{text.cite(RaiseModalityDropout)}"
        told += "."
    return told


def _rates(dropout: Any) -> str:
    """How often modalities were left out: one rate, one a modality, or what makes the rates of the data."""
    if isinstance(dropout, dict):
        return "as often as the training studies lack them"
    if isinstance(dropout, list):
        return f"with probabilities of {enumerated(f'{rate:g}' for rate in dropout)}"
    return f"with a probability of {dropout:g}"


def _epochs(config: dict[str, Any], runs: Sequence[Path]) -> Iterator[str]:
    """How many epochs there were and which was the best, by the tables that runs leave behind."""
    each = [rows_in(run / TABLE) for run in runs]
    counts = sorted({len(rows) for rows in each})
    yield f"It took {enumerated(map(str, counts))} of at most {config['max_epochs']} epochs; seed {config['seed']}."
    metrics = [name for name in each[0][0] if name.startswith("val_")]
    if metrics:
        where = "the studies that were watched" if config.get("fold") == ALL else "validation studies"
        yield f"The weights with the best {enumerated(metrics)} on {where} were kept."
