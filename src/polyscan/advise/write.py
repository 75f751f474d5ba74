"""Advice as text, as JSON, and as files that the next commands take."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from polyscan.advise.advice import Advice
from polyscan.advise.candidates import CANDIDATES
from polyscan.bundle.config import bundle_folder, read_metadata
from polyscan.compare.protocol import CONCATENATION, OUTPUT_MEAN
from polyscan.files.atomic import write_json
from polyscan.files.owned import replace_owned
from polyscan.files.schema import encoded
from polyscan.study.manifest import MANIFEST, read_manifest
from polyscan.study.outputs import OutputFolder, sources_of

CONFIG, PROTOCOL = "config.json", "compare.json"
COMPARED = 3
"""Strategies that the protocol of a comparison gets beside the baselines: the best by their estimates."""


def write_advice(advice: Advice, manifest: str | Path, out: str | Path) -> Path:
    """Write ``advice.json``, ``advice.txt``, and what the next commands take.

    ``config.json`` is a fragment for ``polyscan train --config``; of classes from tables ``compare.json`` is a protocol
    for ``polyscan compare`` of what seems best.

    Args:
        advice: what to write.
        manifest: that it is about.
        out: a folder that is new, empty, or was made so.

    Returns:
        The folder.

    Raises:
        PolyscanError: the folder holds something else.
    """
    owned = OutputFolder.claim(out, "advise", sources_of(read_manifest(manifest).studies))
    owned.will_hold(["advice.json", "advice.txt", CONFIG, PROTOCOL])
    commands = commands_of(advice, manifest, out)
    with owned.alone(), replace_owned(owned.path, group="advice") as folder:
        write_json(folder / "advice.json", {**advice.as_json(), "commands": commands})
        (folder / "advice.txt").write_text(as_text(advice, commands) + "\n", encoding="utf-8")
        _write_configs(advice, manifest, folder, owned.path)
    return owned.path


def _write_configs(advice: Advice, manifest: str | Path, folder: Path, final: Path) -> None:
    """What the next commands take, to be read in its final place."""
    if advice.setting is not None:
        about = {"bundle": advice.setting.bundle, "description": f"What polyscan advise chose: {advice.strategy}."}
        write_json(folder / CONFIG, {**about, **advice.setting.config})
    if _can_compare(advice):
        best = [each.strategy for each in advice.estimates if each.strategy not in (CONCATENATION, OUTPUT_MEAN)]
        strategies = {name: encoded(CANDIDATES[name]) for name in best[:COMPARED]}
        where = os.path.relpath(Path(manifest).resolve(), final.resolve())
        cohort = {"manifest": where, "config": CONFIG, "target": advice.cohort.target}
        write_json(folder / PROTOCOL, {"cohort": cohort, "strategies": strategies, "folds": 5, "seeds": 3})


def commands_of(advice: Advice, manifest: str | Path, out: str | Path) -> list[str]:
    """The next commands, in order; none where no bundle learns such a thing.

    Of scans that are not prepared it cannot be trained: they are prepared, and advice on them is asked for again.
    """
    if advice.setting is None:
        return []
    protocol = read_metadata(bundle_folder(advice.setting.bundle)).get("protocol")
    if protocol and not advice.cohort.prepared:
        again = ["polyscan", "advise", f"prepared/{MANIFEST}", "-o", str(out), "--target", advice.cohort.target]
        return [
            shlex.join(["polyscan", "prepare", str(manifest), "-o", "prepared", "--protocol", protocol]),
            shlex.join(again),
        ]
    found, configs = [], list(advice.setting.fragments)
    if advice.setting.plan:
        plan = Path(out) / "plan.json"
        found.append(["polyscan", "plan", advice.setting.bundle, str(manifest), "-o", str(plan)])
        configs.append(str(plan))
    given = [part for config in [*configs, str(Path(out) / CONFIG)] for part in ("--config", config)]
    train = ["polyscan", "train", advice.setting.bundle, str(manifest), "-o", "run", *given]
    found.append(train + (["--missing", advice.setting.missing] if advice.setting.missing else []))
    if _can_compare(advice):
        found.append(["polyscan", "compare", str(Path(out) / PROTOCOL), "-o", "compared"])
    return [shlex.join(command) for command in found]


def as_text(advice: Advice, commands: list[str]) -> str:
    """A report to be read."""
    cohort = advice.cohort
    missing = ", ".join(f"{name} {part:.0%}" for name, part in cohort.missing.items())
    classes = f" ({', '.join(f'{name} {count}' for name, count in cohort.classes.items())})" if cohort.classes else ""
    lines = [
        f"{cohort.studies} studies of {cohort.patients} patients; {cohort.target}: {cohort.task}{classes}.",
        f"Missing: {missing}. " + ("" if cohort.dependences else "Nothing was found that it depends on."),
    ]
    if cohort.probes:
        alone = ", ".join(f"{name} {area:.3f}" for name, area in cohort.probes.alone.items())
        lines.append(
            f"Simple models, AUROC: {alone}; all of them {cohort.probes.together:.3f}, with products "
            f"{cohort.probes.products:.3f}."
        )
    lines += ["", f"Advised: {advice.strategy}"]
    chosen = {"place": advice.place, "layer": advice.layer, "missing": advice.missing}
    if advice.setting is not None:
        chosen |= {"encoder": advice.setting.encoder, "bundle": advice.setting.bundle}
    lines += [f"  {about + ':':9}{what}. {advice.reasons[about]}" for about, what in chosen.items()]
    if advice.setting is None:
        lines.append(f"  bundle:  none. {advice.reasons['bundle']}")
    lines += ["", "Expected over concatenation, in points of AUROC (rules alone, results alone):"]
    for each in advice.estimates:
        seen = "no results" if each.evidence is None else f"{each.evidence:+.1f}"
        lines.append(f"  {each.strategy:44}{round(each.points, 1) + 0.0:+5.1f}  ({each.rule:+.0f}, {seen})")
    lines += ["", f"Results that it rests on, the most alike first (1: just alike):{'' if advice.support else ' none'}"]
    for found in advice.support:
        kind = "made" if found.made else "patients"
        had = "not compared" if found.points is None else f"{found.points:+5.1f}"
        lines.append(
            f"  {found.cohort:34}{found.alike:.2f}  {had}; best there {found.best} {found.best_points:+.1f} ({kind})"
        )
    lines += ["", f"Beside it must stand: {', '.join(advice.baselines)}."]
    lines += [f"Careful: {said}" for said in advice.cautions]
    if commands:
        lines += ["", "Next:", *(f"  {command}" for command in commands)]
    return "\n".join(lines)


def _can_compare(advice: Advice) -> bool:
    return advice.cohort.task == "classes" and not advice.cohort.images
