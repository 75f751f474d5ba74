"""The guide's rules: what to expect before any result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import studentized_range

from polyscan.advise.candidates import CANDIDATES, place_of
from polyscan.advise.describe import Description, families
from polyscan.compare.protocol import DISTILLATION, Strategy

ALWAYS = 0.05
"""A modality is always there that fewer studies lack."""
OFTEN = 0.25
"""Modalities are often missing where this part of all scans is."""
FEW = 100
"""Patients with a label below which labels are few."""
PRODUCTS_TELL = 0.03
"""AUROC that products of values tell more than their sums; of two modalities: where these must be seen together. No
less than the standard error of one AUROC counts; simple models on the same studies differ by less."""
VARIES = 0.1
"""AUROC by which modalities alone differ, where their importance does; no less than what of so many that tell alike
the best and the worst differ by in 95 of 100 cohorts at most (Tukey's studentised range)."""
SMALL_MEMORY, SHORT = 4.0, 2.0
"""GB of memory and hours for a training, below which one encoder a modality is much."""


@dataclass(frozen=True)
class Rule:
    """A rule that applies to a cohort.

    Attributes:
        about: ``place``, ``layer`` or ``missing``: which choice it is a reason for.
        says: a sentence: what was found, and what follows.
        points: of AUROC, in hundredths, that it expects of the strategies that it is about.
        applies: to which strategies.
    """

    about: str
    says: str
    points: float
    applies: Callable[[Strategy], bool]


def rules_for(
    cohort: Description, *, must_show: bool = False, memory: float | None = None, hours: float | None = None
) -> list[Rule]:
    """The rules that apply to a cohort.

    Args:
        cohort: what it is like.
        must_show: which modality drove an answer must be seen.
        memory: GB at hand; None where not known.
        hours: for a training; None where not known.
    """
    return [*_places(cohort, memory, hours), *_layers(cohort, must_show), *_missing(cohort)]


def points_by_strategy(rules: list[Rule]) -> dict[str, float]:
    """What the rules expect of each candidate: the sum of those that apply to it."""
    return {name: sum(rule.points for rule in rules if rule.applies(strategy)) for name, strategy in CANDIDATES.items()}


def _places(cohort: Description, memory: float | None, hours: float | None) -> Iterator[Rule]:
    scanners = families(cohort.images)
    one_grid = bool(cohort.images) and cohort.prepared and len(scanners) == 1 and not cohort.untrusted
    one_grid = one_grid and not cohort.tables
    across = cohort.probes.across_gain if cohort.probes else 0.0
    within = cohort.probes.within_gain if cohort.probes else 0.0
    telling = max(PRODUCTS_TELL, cohort.auroc_error)
    coupled = one_grid or across > telling
    always = max(cohort.missing.values()) < ALWAYS and not cohort.vanishing
    mixed = len(scanners) > 2 or bool(cohort.images and cohort.tables)
    often = cohort.mean_missing > OFTEN
    if coupled and always:
        says = (
            "The scans are of one kind of scanner, on one grid and always there: they can be joined voxel by voxel."
            if one_grid
            else "What a value means depends on values of other modalities, which are always there: an encoder that "
            "sees one modality has little to learn from."
        )
        yield Rule("place", says, 1, _at("input"))
    if cohort.untrusted:
        worst = max(cohort.untrusted, key=lambda name: cohort.untrusted[name])
        says = (
            f"The registration of {worst} was not trusted in {cohort.untrusted[worst]:.0%} of the studies: scans that "
            "do not lie on each other cannot be joined voxel by voxel."
        )
        yield Rule("place", says, -1, _at("input"))
    if mixed or often:
        why = "are of very different kinds" if mixed else f"are often missing ({cohort.mean_missing:.0%} of all)"
        says = f"The modalities {why}: an answer from each, joined at the end, needs none of the others."
        yield Rule("place", says, 1, _at("output"))
    if not (coupled and always) and not mixed and not often:
        says = "Modalities are neither tightly coupled nor very different: features, joined once, are between."
        yield Rule("place", says, 1, _at("single-level"))
    if cohort.task == "segmentation":
        says = "A decoder reads every level: what is joined at the deepest one alone leaves it without skips."
        yield Rule("place", says, 2, _at("hierarchical"))
        yield Rule("place", says, -1, _at("single-level", "attention"))
    if across > telling:
        says = (
            f"Pairs of values of two modalities tell {100 * across:.0f} points of AUROC more than a sum of what each "
            "modality tells: what joins separate answers cannot see that."
        )
        yield Rule("place", says, -1, _at("output"))
        if not always:  # low-rank bilinear fusion sees as many products as its rank (Kim et al., ICLR 2017)
            says = (
                "Fusion at the input, which sees every such pair, needs modalities that are always there; a layer that "
                "multiplies features sees some of them."
            )
            yield Rule("layer", says, 1, lambda strategy: "Bilinear" in strategy.fusion)
    if within > max(telling, across):
        says = (
            f"Pairs of values of one modality tell {100 * within:.0f} points of AUROC more than their sum: each needs "
            "an encoder of its own before it is joined."
        )
        yield Rule("place", says, -1, _at("input"))
    scarce = (memory is not None and memory < SMALL_MEMORY) or (hours is not None and hours < SHORT)
    if cohort.images and scarce:
        says = f"Memory or time are short: one encoder in place of {len(cohort.images)} takes as much less of both."
        yield Rule("place", says, 1, _at("input"))


def _layers(cohort: Description, must_show: bool) -> Iterator[Rule]:
    alone = cohort.probes.alone.values() if cohort.probes else [0.0]
    apart = max(alone) - min(alone)
    if must_show:
        says = "Which modality drove an answer must be seen: attention tells its weights."
        yield Rule("layer", says, 1, _at("attention"))
    elif apart > VARIES and apart > studentized_range.ppf(0.95, len(alone), np.inf) * cohort.auroc_error:
        says = f"Modalities alone differ by {100 * apart:.0f} points: attention can weigh them."
        yield Rule("layer", says, 1, _at("attention"))


def _missing(cohort: Description) -> Iterator[Rule]:
    if cohort.vanishing or cohort.patients < FEW:
        why = (
            f"{', '.join(cohort.vanishing)} will be missing where the network is used"
            if cohort.vanishing
            else f"{cohort.patients} patients have a label"
        )
        says = f"{why[0].upper()}{why[1:]}: the answer from everything can teach the one from less (distillation)."
        yield Rule("missing", says, 1, lambda strategy: strategy.missing == DISTILLATION)
    if cohort.vanishing:
        says = "More is missing where the network is used: one that was trained without modalities answers better then."
        yield Rule("missing", says, -1, lambda strategy: strategy.missing == "available")
    elif max(cohort.missing.values()) == 0:
        says = "Nothing is ever missing: to leave modalities out in training would only take away."
        yield Rule("missing", says, 1, lambda strategy: strategy.missing == "available")


def _at(*places: str) -> Callable[[Strategy], bool]:
    return lambda strategy: place_of(strategy) in places
