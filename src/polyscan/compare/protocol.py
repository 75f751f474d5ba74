"""What is compared, written down before anything is run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from polyscan.bundle.fusion_option import fusion_option
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.files.resources import resource_file
from polyscan.files.schema import decoded
from polyscan.missing import strategies as missing_strategies
from polyscan.study.entry import Entry

MISSING = ("available", "dropout", "zero", "mean")
"""What stands for a modality that is missing: nothing, and the layer is told (``available``), the same with modalities
left out in training too (``dropout``), zeros as if they had been measured, or the mean of the training studies."""

ENCODERS = ("dense", "convolutional")
"""How a vector is read: each value with weights of its own (``dense``), or as places side by side that share them, as
in a spectrum, a profile or a course. Images are read by convolutions always."""

DISTILLATION = "Distillation"
"""Beside them, and beside the names of :mod:`polyscan.missing`: :class:`polyscan.learning.WithDistillation`."""

CONCATENATION = "concatenation"
OUTPUT_MEAN = "output mean"
LOGISTIC = "logistic regression"
ONE_VALUE = "best single value"
ALONE = " alone"
"""Behind the name of a modality: the network that reads no other."""
SIMPLE = (LOGISTIC, ONE_VALUE)
"""Models that are no networks: of all values, and of the one that tells most, which is what a threshold is put on."""


@dataclass(frozen=True)
class Strategy(Entry):
    """One way to fuse.

    Attributes:
        fusion: as for ``--fusion``: a layer of ``polyscan.fusion``, or a dotted path, with options or without.
        fuse_at: ``"input"``, ``"output"`` or levels, as in :class:`polyscan.networks.FusionNet`; an encoder has two.
        missing: one of :data:`MISSING`, a name of :mod:`polyscan.missing`, or :data:`DISTILLATION`.
        encoder: one of :data:`ENCODERS`.
        modality: reads this one alone; all where not given.
    """

    fusion: str = "Concatenation"
    fuse_at: Any = (1,)
    missing: str = "dropout"
    encoder: str = "dense"
    modality: str | None = None


@dataclass(frozen=True)
class Protocol(Entry):
    """A comparison: cohort, strategies, and how they are trained, the same for all.

    Attributes:
        cohort: ``{"task": NAME, "subjects": N, "seed": S, "missing": {...}}``, a task with a known optimum, whose law
            ``options`` may change, see :func:`polyscan.phantom.tasks.find_task`, or
            ``{"manifest": FILE, "config": FRAGMENT, "target": TASK}``, tables as a fragment reads them.
        strategies: name to strategy. Concatenation, the mean of outputs, each modality alone, a logistic regression
            and the best single value are always there.
        folds: of a cross-validation that keeps patients whole.
        seeds: how often studies are shared out anew, and networks begin anew.
        parameters: that each network has, within 5 % where its layers allow it; the table tells how many it has.
        epochs, batch_size, learning_rate, weight_decay, dropout: of every training; the epoch is kept that is best on
            15 % of the training studies.
        modality_dropout: of strategies whose ``missing`` is ``dropout`` or a name of :mod:`polyscan.missing`, once a
            network has begun to learn, or half of its training is over; of distillation throughout, since it reads
            each study whole as well.
        level: how probable a false claim may be.
    """

    cohort: Mapping[str, Any]
    strategies: Mapping[str, Strategy]
    folds: int = 5
    seeds: int = 3
    parameters: int = 5000
    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 0.003
    weight_decay: float = 0.01
    dropout: float = 0.0
    modality_dropout: float = 0.3
    level: float = 0.05
    root: str = field(default=".", compare=False)

    @property
    def content(self) -> dict[str, Any]:
        """Everything that is fixed before the run, as JSON has it."""
        return {name: value for name, value in asdict(self).items() if name != "root"}

    @property
    def digest(self) -> str:
        """SHA-256 of what is fixed."""
        return hashlib.sha256(json.dumps(self.content, sort_keys=True).encode()).hexdigest()

    def all_strategies(self, modalities: list[str]) -> dict[str, Strategy]:
        """The networks that are always there, and what is compared with them; :data:`SIMPLE` is there too."""
        baselines = {
            CONCATENATION: Strategy(),
            OUTPUT_MEAN: Strategy("polyscan.fusion.output.MeanProbability", "output"),
            **{f"{name}{ALONE}": Strategy(modality=name) for name in modalities},
        }
        return {**baselines, **self.strategies}


def read_protocol(name_or_file: str | Path) -> Protocol:
    """Read a protocol: a JSON file, or the name of one of ``configs/compare``.

    Raises:
        PolyscanError: there is none, or an entry of it is not known or cannot be.
    """
    file = resource_file(name_or_file, "configs/compare", ".json", "protocol")
    content = read_json(file)
    if isinstance(content, dict):
        content.pop("description", None)
    protocol = replace(decoded(Protocol, content, str(file)), root=str(file.parent))
    ways = [*MISSING, *(kind.__name__ for kind in missing_strategies()), DISTILLATION]
    for name, strategy in protocol.strategies.items():
        for entry, can_be in {"missing": ways, "encoder": ENCODERS}.items():
            if (given := getattr(strategy, entry)) not in can_be:
                raise PolyscanError(f"{name}: {entry} is {given!r}; expected one of {', '.join(can_be)}.")
    for entry, least in {"folds": 2, "seeds": 1, "parameters": 1, "epochs": 1, "batch_size": 2}.items():
        if (number := getattr(protocol, entry)) < least:
            raise PolyscanError(f"{file}: {entry} is {number}; expected {least} at least.")
    for name, strategy in protocol.strategies.items():
        _check_fusion(name, strategy)
    return protocol


def _check_fusion(name: str, strategy: Strategy) -> None:
    """Refuse, before anything is trained, a layer or a place that there is not, and the name of a baseline."""
    if name in (CONCATENATION, OUTPUT_MEAN, *SIMPLE) or name.endswith(ALONE):
        raise PolyscanError(f"A strategy is called {name}, as a baseline that is always there; give it another name.")
    try:
        fusion_option(strategy.fusion)
    except PolyscanError as error:
        raise PolyscanError(f"{name}: {error}") from error
    levels = strategy.fuse_at if isinstance(strategy.fuse_at, (list, tuple)) else [strategy.fuse_at]
    if strategy.fuse_at not in ("input", "output") and not {*map(str, levels)} <= {"0", "1"}:
        raise PolyscanError(f"{name}: fuse_at is {strategy.fuse_at}; expected input, output, or levels 0 and 1.")
