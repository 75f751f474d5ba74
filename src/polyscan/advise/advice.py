"""Advice: where and how to fuse on a cohort, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from polyscan.advise.candidates import CANDIDATES, Place, place_of
from polyscan.advise.describe import Description, describe_manifest
from polyscan.advise.evidence import Estimate, alike, estimate, stored_cohorts
from polyscan.advise.rules import Rule, points_by_strategy, rules_for
from polyscan.advise.setting import Setting, setting_for
from polyscan.compare.protocol import CONCATENATION, LOGISTIC, OUTPUT_MEAN, Strategy
from polyscan.study.manifest import read_manifest

SHOWN = 5
"""Stored cohorts that are named: the most alike, of those that count for a hundredth of one that is just alike."""


@dataclass(frozen=True)
class Support:
    """A stored cohort that advice rests on.

    Attributes:
        cohort: its name. made: no patients.
        alike: from 0 to 1.
        points: of AUROC, in hundredths, that the advised strategy had over concatenation there; None where it was not
            compared.
        best, best_points: what was best there, with what it had.
    """

    cohort: str
    made: bool
    alike: float
    points: float | None
    best: str
    best_points: float


@dataclass(frozen=True)
class Advice:
    """What is advised.

    Attributes:
        cohort: what it is like.
        strategy: name of the one that is advised. fuse: its place, layer and what stands for a missing modality.
        place, layer, missing: of it.
        reasons: ``place``, ``layer``, ``missing``, ``encoder`` and ``bundle`` to a sentence each.
        estimates: every strategy, the best first.
        support: the stored cohorts that are most alike; none where none is.
        baselines: what must stand beside it.
        setting: what is trained; None where no bundle learns such a thing.
        cautions: what to be wary of, a sentence each.
    """

    cohort: Description
    strategy: str
    place: Place
    layer: str
    missing: str
    reasons: dict[str, str]
    estimates: list[Estimate]
    support: list[Support]
    baselines: list[str]
    setting: Setting | None
    cautions: list[str]

    def as_json(self) -> dict[str, Any]:
        """Everything but the config, which is a file of its own."""
        found = asdict(self)
        if found["setting"]:
            del found["setting"]["config"]
        return found


def advise(
    manifest: str | Path,
    *,
    target: str | None = None,
    must_show: bool = False,
    memory: float | None = None,
    hours: float | None = None,
    leave_out: Collection[str] = (),
    roots: Mapping[str, str | Path] | None = None,
) -> Advice:
    """Advise on a cohort.

    Args:
        manifest: its file.
        target: see :func:`polyscan.advise.describe.describe_manifest`.
        must_show: which modality drove an answer must be seen.
        memory: GB at hand; None where not known.
        hours: for a training; None where not known.
        leave_out: names of stored cohorts, or of their sources, whose results are not used: the cohort's own.
        roots: see :func:`polyscan.study.manifest.read_manifest`.

    Raises:
        PolyscanError: the manifest cannot be used, or has nothing to fuse.
    """
    content = read_manifest(manifest, roots)
    cohort = describe_manifest(content, target)
    known = [*content.training, *content.validation] or content.studies
    studies = [study for study in known if study.label.holds(cohort.target)]
    rules = rules_for(cohort, must_show=must_show, memory=memory, hours=hours)
    estimates, support = choose(cohort, rules, leave_out)
    name = estimates[0].strategy
    strategy = CANDIDATES[name]
    setting = setting_for(cohort, strategy, studies)
    return Advice(
        cohort=cohort,
        strategy=name,
        place=place_of(strategy),
        layer=strategy.fusion.rpartition(".")[2],
        missing=strategy.missing,
        reasons=_reasons(cohort, strategy, rules, estimates, setting),
        estimates=estimates,
        support=support,
        baselines=_baselines(cohort),
        setting=setting,
        cautions=_cautions(cohort),
    )


def choose(
    cohort: Description, rules: list[Rule], leave_out: Collection[str] = ()
) -> tuple[list[Estimate], list[Support]]:
    """Estimates of every strategy, the best first, and the stored cohorts that are most alike.

    Args:
        cohort: what it is like.
        rules: that apply to it.
        leave_out: see :func:`advise`.
    """
    stored = [each for each in stored_cohorts() if not {each.name, each.source} & set(leave_out)]
    one_gone = bool(cohort.vanishing)
    estimates = estimate(cohort, points_by_strategy(rules), stored, one_gone)
    nearest = sorted(((alike(cohort, each.described), each) for each in stored), key=lambda pair: -pair[0])
    support = []
    for weight, each in [pair for pair in nearest[:SHOWN] if pair[0] >= 0.01]:
        gains = {name: each.gain(name, one_gone) for name in CANDIDATES if name in each.results}
        best = max(gains, key=lambda name: gains[name])
        support.append(Support(each.name, each.made, weight, gains.get(estimates[0].strategy), best, gains[best]))
    return estimates, support


def _reasons(
    cohort: Description, strategy: Strategy, rules: list[Rule], estimates: list[Estimate], setting: Setting | None
) -> dict[str, str]:
    best = estimates[0]
    weighed = (
        f"cohorts that are alike (together as much as {best.weight:.1f} that are just alike) gave it "
        f"{best.evidence:+.1f} points of AUROC over concatenation"
        if best.evidence is not None
        else "no stored cohort is alike"
    )
    found = {}
    for about in ("place", "layer", "missing"):
        here = [rule for rule in rules if rule.about == about]
        found[about] = (
            _said("", [rule for rule in here if rule.points > 0 and rule.applies(strategy)])
            or _said("Against a rule: ", [rule for rule in here if rule.points < 0 and rule.applies(strategy)])
            or _said("Rules speak for another: ", [rule for rule in here if rule.points > 0])
            or "No rule speaks of it."
        )
    found["place"] += f" Of stored results, {weighed}."
    if setting is not None:
        found |= {"encoder": setting.why_encoder, "bundle": setting.why_bundle}
    else:
        found["bundle"] = (
            "No bundle of polyscan learns survival from images, or a number; build a FusionNet with a head for it "
            "(docs/networks.md)."
        )
    return found


def _said(before: str, rules: list[Rule]) -> str:
    return before + " ".join(rule.says for rule in rules) if rules else ""


def _baselines(cohort: Description) -> list[str]:
    simple = {"classes": LOGISTIC, "survival": "ridge Cox", "number": "ridge regression", "segmentation": "a threshold"}
    alone = [f"{name} alone" for name in cohort.missing]
    return [CONCATENATION, OUTPUT_MEAN, *alone, f"{simple[cohort.task]} on simple features"]


def _cautions(cohort: Description) -> list[str]:
    said = [
        f"{found.modality} is not missing by chance: it depends on {found.on} (p = {found.p:.3f})."
        + (
            " A network that sees what is missing learns that, and is misled where scans are missing for other reasons."
            if found.on == f"label {cohort.target}"
            else ""
        )
        for found in cohort.dependences
    ]
    if cohort.vanishing:
        said.append(f"{', '.join(cohort.vanishing)}: there in training, missing in nearly all studies for testing.")
    if not cohort.prepared:
        said.append("The studies are not prepared: grids and registration are not known. Run polyscan prepare first.")
    if cohort.images and cohort.tables:
        said.append(f"{', '.join(cohort.tables)}: tables beside images are read by no bundle, and were left out.")
    if cohort.classes and min(cohort.classes.values()) < 10:
        rare = min(cohort.classes, key=lambda name: cohort.classes[name])
        said.append(f"Class {rare} has {cohort.classes[rare]} studies: differences between strategies will be chance.")
    return said
