"""What each modality tells of the class, and what all others do: a description of the cohort, not of a strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from polyscan.compare.cohort import Cohort
from polyscan.compare.protocol import ALONE, CONCATENATION, LOGISTIC, Protocol
from polyscan.compare.table import ALL, told_by_strategy
from polyscan.evaluation.information import Bounds, partial_information, predicted_information

if TYPE_CHECKING:
    from polyscan.compare.run import Cell


@dataclass(frozen=True)
class Shared:
    """Bits on the class, of one modality and of all others.

    Attributes:
        modality: its name.
        alone, others, together: what models that read it, all others, everything tell at least.
        redundant, unique, unique_of_others, synergistic: see
            :class:`polyscan.evaluation.information.PartialInformation`.
    """

    modality: str
    alone: float
    others: float
    together: float
    redundant: Bounds
    unique: Bounds
    unique_of_others: Bounds
    synergistic: Bounds


def shared_information(protocol: Protocol, cohort: Cohort, records: Mapping[Cell, Mapping[str, Any]]) -> list[Shared]:
    """A row a modality; none where there is one modality, which shares nothing.

    Of each set of modalities the best of those models counts that are always there and read no others, so that the
    strategies of a protocol change nothing: concatenation, logistic regression, and networks of single modalities.

    Args:
        protocol: what was fixed before.
        cohort: the studies.
        records: see :func:`polyscan.compare.table.summarise`.
    """
    if len(cohort.modalities) < 2:
        return []
    told = told_by_strategy(protocol, cohort, records)
    truth = np.tile(cohort.y, protocol.seeds)

    def bits(strategy: str, condition: str) -> float:
        return predicted_information(told[strategy].p[condition].reshape(len(truth), -1), truth)

    def of_all(condition: str) -> float:
        return max(bits(strategy, condition) for strategy in (CONCATENATION, LOGISTIC))

    single = {m: max(bits(f"{m}{ALONE}", ALL), of_all(f"{m} alone")) for m in cohort.modalities}
    others = {
        m: max(of_all(f"without {m}"), *(single[o] for o in cohort.modalities if o != m)) for m in cohort.modalities
    }
    together = max(of_all(ALL), *others.values())
    return [
        Shared(m, single[m], others[m], together, *partial_information(single[m], others[m], together))
        for m in cohort.modalities
    ]
