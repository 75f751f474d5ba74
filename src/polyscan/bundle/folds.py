"""Cross-validation: a network a fold, each watched on the studies that it does not learn from."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from polyscan.bundle.config import bundle_folder, labels_of, read_config
from polyscan.bundle.items import check_folds, labelled_studies, unlabelled_studies
from polyscan.bundle.processes import by_the_first, process_group
from polyscan.bundle.run import train
from polyscan.errors import PolyscanError, first_of
from polyscan.files.names import BEST
from polyscan.files.owned import rewrite_file
from polyscan.progress import Progress, silent
from polyscan.study import Study
from polyscan.study.manifest import Manifest, read_manifest, write_manifest
from polyscan.study.outputs import OutputFolder, sources_of


def train_folds(
    bundle: str | Path,
    manifest: str | Path,
    output_dir: str | Path,
    folds: int,
    *,
    overrides: Mapping[str, Any] | None = None,
    fragments: Sequence[str] = (),
    restart: bool = False,
    cache: str | Path | None = None,
    roots: Mapping[str, str | Path] | None = None,
    progress: Progress = silent,
) -> list[Path]:
    """Train one network a fold, or go on where that was cut short.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        manifest: the prepared manifest; its testing studies are left alone.
        output_dir: will hold ``fold0.json``, the manifest of the first fold, ``fold0/``, its run, and so on.
        folds: how many, see :func:`assign_folds`.
        overrides: config entries to change; of each manifest its own section ``validation`` is watched.
        fragments: see :func:`train`.
        restart: replace other runs that the folders hold.
        cache: see :func:`train`; all folds read the same.
        roots: name of a root of the manifest to the folder that it is on this machine.
        progress: told after every epoch.

    Returns:
        The path of each fold's weights.

    Raises:
        PolyscanError: as ``train``, or there are fewer subjects than folds.
    """
    config = read_config(bundle_folder(bundle), "train", overrides or {})
    found = read_manifest(manifest, roots)
    studies = assign_folds(labelled_studies(found, labels_of(config)), folds)
    unlabelled = unlabelled_studies(found, labels_of(config))
    out = Path(output_dir)

    def write() -> bool:
        owned = OutputFolder.claim(out, "train --folds", sources_of(found.studies), found.scanned)
        owned.will_hold(name for k in range(folds) for name in (f"fold{k}", f"fold{k}.json"))
        for k in range(folds):
            watched = [s for s in studies if s.fold == k]
            away = {s.subject for s in watched}
            learnt = [*(s for s in studies if s.fold != k), *(s for s in unlabelled if s.subject not in away)]
            with rewrite_file(out / f"fold{k}.json"):
                write_manifest(out / f"fold{k}.json", Manifest(learnt, watched, found.testing))
        return True

    options: Any = {"overrides": {**(overrides or {}), "fold": None}, "fragments": fragments, "progress": progress}
    options |= {"restart": restart, "cache": cache}
    with process_group():
        by_the_first(write)
        return [train(bundle, out / f"fold{k}.json", out / f"fold{k}", **options) for k in range(folds)]


def assign_folds(studies: list[Study], folds: int) -> list[Study]:
    """Give each study a fold; all studies of a subject have the same one.

    Where the studies have the folds from 0 to ``folds`` - 1 already, they keep them; else subjects are dealt out in an
    order that is drawn, always the same.

    Raises:
        PolyscanError: there are fewer subjects than folds, a subject is in two folds, or the folds are numbered
            otherwise than from 0, or given to some studies only.
    """
    given = {study.fold for study in studies}
    if given != {None} and given != set(range(len(given))):
        raise PolyscanError(
            f"Studies with a label have the folds {first_of(sorted(map(str, given)))}; expected 0, 1, 2 and on, one "
            "for each study: correct them, or take them all out of the manifest."
        )
    subjects = sorted({study.subject for study in studies})
    if not 2 <= folds <= len(subjects):
        raise PolyscanError(
            f"{folds} folds are asked for of {len(subjects)} subjects with a label; give 2 to that many."
        )
    if given == set(range(folds)):
        check_folds(studies)
        return studies
    random.Random(0).shuffle(subjects)
    dealt = {subject: k % folds for k, subject in enumerate(subjects)}
    return [replace(study, fold=dealt[study.subject]) for study in studies]


def members(paths: list[Path]) -> list[Path]:
    """The files of weights that are meant by files, and by folders of :func:`train_folds`.

    Raises:
        PolyscanError: a folder has no weights.
    """
    files: list[Path] = []
    for path in paths:
        inside = sorted(path.glob(f"fold*/{BEST}")) if path.is_dir() else [path]
        if not inside:
            raise PolyscanError(
                f"{path} holds no fold with weights; name files, or a folder of polyscan train --folds."
            )
        files += inside
    return files
