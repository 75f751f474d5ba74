"""Answers for each study of a manifest by a network that has not seen it: train without one fold, answer for that fold.

    python benchmarks/cross_validate.py BUNDLE cohort/manifest.json cv/ [--config FRAGMENT] [--set NAME=VALUE]
    python benchmarks/cross_validate.py BUNDLE cohort/manifest.json cv/ --config FRAGMENT --without T1c
    polyscan evaluate cv/all/ cv/without-T1c/

A fold that was trained, or answered, is not again, and its answers stand beside those of the next call. ``--without``
treats modalities as not acquired when answers are given, not in training: one network serves every subset. ``--tested``
names a manifest of the same studies that are otherwise made, such as lesions measured on other masks: networks learn
from the one, and answer for the other.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from command import run

from polyscan.bundle.config import bundle_folder
from polyscan.bundle.fragment import read_fragments
from polyscan.bundle.run import infer, train
from polyscan.commands.options import read_settings
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.study.manifest import Manifest, read_manifest, write_manifest


def cross_validate(
    bundle: str | Path,
    manifest: Path,
    out: Path,
    *,
    fragments: Sequence[str | Path] = (),
    settings: Mapping[str, Any] | None = None,
    absent: Sequence[str] = (),
    folds: Sequence[int] = (),
    tested: Path | None = None,
) -> Path:
    """Train and answer fold by fold.

    Args:
        bundle: a bundle's name or folder.
        manifest: prepared studies with folds, of any section.
        out: a folder for the runs.
        fragments: see :func:`read_fragment`.
        settings: entries to change; of inference only those that it has.
        absent: modalities that are left out when answers are given.
        folds: those that are answered for; all where empty. Networks learn from every other fold all the same.
        tested: a manifest of the same studies, which are answered for in the place of those of ``manifest``.

    Returns:
        The manifest of all answers, those of folds that were answered for before among them: ``out/all/manifest.json``,
        or ``out/without-.../`` or ``out/FOLDER/``, the folder of ``tested``.

    Raises:
        PolyscanError: the manifest has no such fold, or what training and answering raise.
    """
    studies = [study for study in read_manifest(manifest).studies if study.fold is not None]
    known_folds = sorted({study.fold for study in studies})
    if unknown := [str(fold) for fold in folds if fold not in known_folds]:
        raise PolyscanError(f"{manifest} has no fold {', '.join(unknown)}; it has {', '.join(map(str, known_folds))}.")
    changes = read_fragments(fragments, "inference")
    known = {*changes, *read_json(bundle_folder(bundle) / "configs" / "inference.json")}
    changes |= {k: v for k, v in (settings or {}).items() if k in known}
    given = "-".join([*([tested.parent.name] if tested else []), *(["without", *absent] if absent else [])]) or "all"
    asked = read_manifest(tested or manifest).studies
    fold_of = {study.key: study.fold for study in studies}
    for fold in folds or known_folds:
        folder = out / f"fold{fold}"
        weights = folder / "run" / "model.pt"
        if not (folder / "seconds.json").is_file():
            start = time.process_time()
            write_manifest(folder / "train.json", Manifest([s for s in studies if s.fold != fold]))
            train(bundle, folder / "train.json", folder / "run", overrides=settings, fragments=fragments)
            (folder / "seconds.json").write_text(json.dumps({"cpu_seconds": round(time.process_time() - start)}))
        if not (folder / given / "manifest.json").is_file():
            write_manifest(folder / "test.json", Manifest(testing=[s for s in asked if fold_of.get(s.key) == fold]))
            infer(bundle, folder / "test.json", folder / given, weights=weights, absent=list(absent), overrides=changes)
    answers = (out / f"fold{fold}" / given / "manifest.json" for fold in known_folds)
    answered = [study for file in answers if file.is_file() for study in read_manifest(file).testing]
    write_manifest(out / given / "manifest.json", Manifest(testing=answered))
    return out / given / "manifest.json"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--config", action="append", default=[], metavar="FRAGMENT")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="as of polyscan train")
    parser.add_argument("--without", nargs="+", default=[], metavar="MODALITY")
    parser.add_argument("--folds", type=int, nargs="+", default=[], help="answer for these only")
    parser.add_argument("--tested", type=Path, metavar="MANIFEST", help="answer for these studies instead")
    options = parser.parse_args()
    answers = cross_validate(
        options.bundle,
        options.manifest,
        options.out,
        fragments=options.config,
        settings=read_settings(options.set),
        absent=options.without,
        folds=options.folds,
        tested=options.tested,
    )
    print(answers)


if __name__ == "__main__":
    run(main)
