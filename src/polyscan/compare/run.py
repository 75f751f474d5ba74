"""Train and test every strategy on every fold, one record each, and tell what came out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from polyscan.baselines.tasks import logistic
from polyscan.compare.cohort import Cohort, load_cohort
from polyscan.compare.information import shared_information
from polyscan.compare.network import TrainedNetwork
from polyscan.compare.page import write_page
from polyscan.compare.protocol import ONE_VALUE, SIMPLE, Protocol, Strategy, read_protocol
from polyscan.compare.table import ALL, SCANNER, Row, flat, summarise
from polyscan.cores import one_torch_thread
from polyscan.errors import PolyscanError, unknown_name
from polyscan.files.atomic import read_json, write_json
from polyscan.files.owned import replace_owned
from polyscan.files.tables import write_rows
from polyscan.parallel import run_each
from polyscan.progress import Progress, silent
from polyscan.study.outputs import OutputFolder
from polyscan.transforms import RandScannerd

SPOILED = 3.0
"""Standard deviations of the noise that a spoiled modality holds in place of what it measured."""
MOVED = (2, 5, 10)
"""Millimetres by which one image is moved against the others."""


@dataclass(frozen=True)
class Cell:
    """One training: a strategy, a seed and a fold."""

    strategy: str
    seed: int
    fold: int

    @property
    def file(self) -> str:
        """Of its record."""
        return f"{self.strategy} {self.seed}-{self.fold}.json".replace("/", "_")


def compare(
    protocol: Protocol | str | Path, out: str | Path, *, jobs: int | None = None, progress: Progress = silent
) -> list[Row]:
    """Compare ways to fuse on one cohort, and write a page, a table and a record of every training.

    Where a run was cut short, the same call goes on; a folder of another protocol is refused.

    Args:
        protocol: see :func:`read_protocol`.
        out: the folder to write: ``compare.html``, ``compare.csv``, ``information.csv``, ``protocol.json``, ``cells``.
        jobs: trainings at a time; as many as there are cores if None.
        progress: told (done, total, strategy) after each training.

    Returns:
        A row a strategy, the best first.

    Raises:
        PolyscanError: the protocol or its cohort cannot be used, the folder holds something else, or a training failed.
    """
    if not isinstance(protocol, Protocol):
        protocol = read_protocol(protocol)
    cohort = load_cohort(protocol)
    owned = OutputFolder.claim(out, "compare", cohort.sources)
    owned.will_hold(["cells", "protocol.json", "compare.csv", "information.csv", "compare.html"])
    with owned.alone():
        _same_protocol(owned.path / "protocol.json", protocol, cohort)
        cells = owned.path / "cells"
        cells.mkdir(exist_ok=True)
        names = [*protocol.all_strategies(cohort.modalities), *SIMPLE]
        every = [
            Cell(name, seed, fold) for name in names for seed in range(protocol.seeds) for fold in range(protocol.folds)
        ]
        waiting = [cell for cell in every if not (cells / cell.file).is_file()]
        work = partial(run_cell, protocol=protocol, cohort=cohort, cells=cells)
        for done, (cell, result) in enumerate(run_each(work, waiting, jobs), start=len(every) - len(waiting) + 1):
            if isinstance(result, PolyscanError):
                raise PolyscanError(f"{cell.strategy}: {result}")
            progress(done, len(every), cell.strategy)
        records = {cell: read_json(cells / cell.file) for cell in every}
        if not all("cost" in record for record in records.values()):
            raise PolyscanError(f"{owned.path} was begun by an earlier polyscan, which asked less; name a new folder.")
        rows, shared = summarise(protocol, cohort, records), shared_information(protocol, cohort, records)
        with replace_owned(owned.path, group="compare") as folder:
            write_rows(folder / "compare.csv", [*map(flat, rows)])
            write_rows(folder / "information.csv", [*map(flat, shared)])
            write_page(folder / "compare.html", protocol, cohort, rows, shared)
    return rows


@one_torch_thread()
def run_cell(cell: Cell, protocol: Protocol, cohort: Cohort, cells: Path) -> None:
    """Train and test one strategy on one fold, and write its record.

    The record holds the probabilities of the testing studies under each of :func:`conditions`, and what it cost.
    """
    tested = cohort.folds(protocol.folds, cell.seed) == cell.fold
    train, test = np.flatnonzero(~tested), np.flatnonzero(tested)
    model: Any = (
        Logistic(cohort, train, one_value=cell.strategy == ONE_VALUE)
        if cell.strategy in SIMPLE
        else Fused(protocol.all_strategies(cohort.modalities)[cell.strategy], protocol, cohort, train, cell)
    )
    told = {
        name: model.probabilities(x).round(5).tolist()
        for name, x in conditions(cohort, test, [protocol.seeds, cell.seed, cell.fold]).items()
    }
    write_json(cells / cell.file, {"test": test.tolist(), "cost": model.cost, "probabilities": told})


def conditions(cohort: Cohort, rows: NDArray[np.intp], seed: list[int]) -> dict[str, torch.Tensor]:
    """The testing studies as they are, without each modality, with each one alone, with each one spoiled.

    Images also with each one moved, by each of :data:`MOVED` in a direction of its own for each study, and all of them
    as by another scanner (:class:`polyscan.transforms.RandScannerd`).
    """
    x = cohort.x[torch.from_numpy(rows)]
    found = {ALL: x}
    chance = np.random.default_rng(seed)
    noise = torch.from_numpy(chance.standard_normal(x.shape)).float()
    centre, scale = x.nanmean(0), (x - x.nanmean(0)).square().nanmean(0).sqrt().nan_to_num(1.0)
    for m, name in enumerate(cohort.modalities):
        for condition, gone in ((f"without {name}", [m]), (f"{name} alone", [k for k in range(x.shape[1]) if k != m])):
            changed = x.clone()
            changed[:, gone] = torch.nan
            found[condition] = changed
        spoiled = x.clone()
        bad = (centre + SPOILED * scale * noise)[:, m]
        spoiled[:, m] = torch.where(x[:, m].isfinite(), bad.nan_to_num(0.0), x[:, m])
        found[f"{name} spoiled"] = spoiled
    if x.dim() == 4:
        for m, name in enumerate(cohort.modalities):
            for distance in MOVED:
                found[f"{name} moved {distance} mm"] = x.clone()
                found[f"{name} moved {distance} mm"][:, m] = _moved(x[:, m], distance, chance)
        scanner = RandScannerd("image", cohort.modalities, prob=1.0).set_random_state(int(chance.integers(2**32)))
        found[SCANNER] = torch.stack([scanner({"image": image})["image"] for image in x])
    return found


def _moved(images: torch.Tensor, distance: float, chance: np.random.Generator) -> torch.Tensor:
    """Images (study, x, y) moved by whole pixels of a millimetre, each in a direction of its own; NaN comes in."""
    angle = torch.from_numpy(chance.uniform(0, 2 * np.pi, len(images)))
    moved = images
    for axis, part in enumerate((angle.cos(), angle.sin()), start=1):
        size = images.shape[axis]
        of = torch.arange(size) - (distance * part).round().long()[:, None]
        at = of.clamp(0, size - 1).unsqueeze(3 - axis).expand_as(images)
        outside = ((of < 0) | (of >= size)).unsqueeze(3 - axis)
        moved = moved.gather(axis, at).masked_fill(outside, torch.nan)
    return moved


class Fused:
    """A strategy's network; what it does not read it does not see."""

    def __init__(
        self, strategy: Strategy, protocol: Protocol, cohort: Cohort, train: NDArray[np.intp], cell: Cell
    ) -> None:
        read = [m for m, name in enumerate(cohort.modalities) if strategy.modality in (None, name)]
        if strategy.modality is not None and not read:
            raise unknown_name("modality", strategy.modality, cohort.modalities)
        self.read = read
        rows = torch.from_numpy(train)
        self.model = TrainedNetwork(
            strategy,
            protocol,
            cohort.x[rows][:, read],
            torch.from_numpy(cohort.y[train]),
            len(cohort.classes),
            seed=1000 * cell.seed + cell.fold,
        )
        self.cost = self.model.cost

    def probabilities(self, x: torch.Tensor) -> NDArray[np.float32]:
        """(study, class)."""
        return self.model.probabilities(x[:, self.read])


class Logistic:
    """scikit-learn's logistic regression, see :func:`polyscan.baselines.tasks.logistic`.

    Args:
        cohort: the studies.
        train: rows to learn from.
        one_value: reads the one value that tells the classes apart best by an F test on the training studies, as a
            threshold does; all values and which were recorded where not.
    """

    def __init__(self, cohort: Cohort, train: NDArray[np.intp], *, one_value: bool) -> None:
        imputed = SimpleImputer(strategy="mean", add_indicator=not one_value, keep_empty_features=True)
        chosen = [VarianceThreshold(), SelectKBest(k=1)] if one_value else []
        self.model = logistic(imputed, *chosen, StandardScaler())
        values = cohort.x[torch.from_numpy(train)].flatten(1).numpy()
        start = time.process_time()
        self.model.fit(values, cohort.y[train])
        fitted = self.model.best_estimator_[-1]
        self.cost = {
            "parameters": int(fitted.coef_.size + fitted.intercept_.size),
            "flops": 2 * int(fitted.coef_.size),
            "memory": values.nbytes,
            "seconds": round(time.process_time() - start, 2),
        }

    def probabilities(self, x: torch.Tensor) -> NDArray[np.float64]:
        """(study, class)."""
        return self.model.predict_proba(x.flatten(1).numpy())


def _same_protocol(file: Path, protocol: Protocol, cohort: Cohort) -> None:
    found = read_json(file) if file.is_file() else None
    if found is not None and found.get("sha256") != protocol.digest:
        raise PolyscanError(
            f"{file.parent} holds a comparison by another protocol ({str(found.get('sha256'))[:12]}, not "
            f"{protocol.digest[:12]}); what is compared is fixed before a run: name a new folder."
        )
    if found is not None and found.get("data") != cohort.digest:
        raise PolyscanError(f"{file.parent} holds a comparison on other data; name a new folder.")
    with replace_owned(file.parent, group="protocol") as folder:
        write_json(folder / file.name, {"sha256": protocol.digest, "data": cohort.digest, **protocol.content})
