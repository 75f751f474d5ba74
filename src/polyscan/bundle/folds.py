"""Cross-validation: a network a fold, each watched on, and answering for, the studies that it does not learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from polyscan.bundle.config import bundle_folder, labels_of, read_config
from polyscan.bundle.fragment import read_fragments
from polyscan.bundle.inference_options import DEFAULTS, InferenceOptions
from polyscan.bundle.items import MASK, check_folds, labelled_studies, unlabelled_studies
from polyscan.bundle.processes import by_the_first, process_group
from polyscan.bundle.run import infer, train
from polyscan.errors import PolyscanError, first_of
from polyscan.evaluation.folds import deal_folds
from polyscan.files.names import BEST
from polyscan.files.owned import rewrite_file
from polyscan.learning.checkpoint import LAST
from polyscan.progress import Progress, silent
from polyscan.study import Study
from polyscan.study.manifest import MANIFEST, Manifest, manifest_of, read_manifest, write_manifest
from polyscan.study.outputs import OutputFolder, sources_of


def train_folds(
    bundle: str | Path,
    manifest: str | Path,
    output_dir: str | Path,
    folds: int,
    *,
    overrides: Mapping[str, Any] | None = None,
    fragments: Sequence[str | Path] = (),
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
    changed = {**read_fragments(fragments, "train"), **(overrides or {})}
    config = read_config(bundle_folder(bundle), "train", changed)
    found = read_manifest(manifest, roots)
    labels = labels_of(config)
    studies = assign_folds(labelled_studies(found, labels), folds, labels)
    unlabelled = unlabelled_studies(found, labels)
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


def infer_folds(
    bundle: str | Path,
    manifest: str | Path | Manifest,
    trained: str | Path,
    output_dir: str | Path,
    *,
    absent: list[str] | None = None,
    options: InferenceOptions = DEFAULTS,
    overrides: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Manifest:
    """Answer for every study by the network that has not learnt from it.

    The weights are those of the last epoch, since the best validation of a fold was chosen on these very studies.

    Args:
        bundle: that the networks were trained of.
        manifest: the prepared manifest that they were trained on, or its file; studies in no fold are left alone.
        trained: what :func:`train_folds` wrote.
        output_dir: will hold ``fold0/``, what :func:`polyscan.bundle.run.infer` writes for the first fold, and so on,
            and the ``manifest.json`` of all answers, each study with its fold.
        absent: modalities to treat as though they had not been acquired.
        options: what is asked for beside the plain answer.
        overrides: config entries to change.
        progress: told after every study.

    Returns:
        What was written to ``output_dir/manifest.json``.

    Raises:
        PolyscanError: ``trained`` has no folds, or not those of this manifest, or a training was not finished; or what
            ``infer`` raises.
    """
    found = manifest_of(manifest)
    watched = {k: {s.key for s in read_manifest(file).validation} for k, file in _folds_in(Path(trained))}
    parts = {k: [replace(s, fold=k) for s in found.studies if s.key in keys] for k, keys in watched.items()}
    if not all(parts.values()):
        raise PolyscanError(f"{trained} was not trained on these studies; give the manifest that it was trained on.")
    out = Path(output_dir)
    owned = OutputFolder.claim(out, "infer --out-of-fold", sources_of(found.studies), found.scanned)
    owned.will_hold([MANIFEST, *(f"fold{k}" for k in parts)])
    told = Manifest(roots=found.roots, bundle=bundle_folder(bundle).name, absent=absent or [])
    for k, studies in parts.items():
        weights = Path(trained) / f"fold{k}" / LAST
        given: Any = {"absent": absent, "options": options, "overrides": overrides, "progress": progress}
        part = infer(bundle, replace(told, testing=studies), out / f"fold{k}", weights=weights, **given)
        told = replace(told, testing=[*told.testing, *part.testing], failed=[*told.failed, *part.failed])
    with rewrite_file(out / MANIFEST, listed=True):
        write_manifest(out / MANIFEST, told)
    return told


def _folds_in(trained: Path) -> list[tuple[int, Path]]:
    """The number of each fold that was trained, and its manifest.

    Raises:
        PolyscanError: there is none, or one whose training was not finished.
    """
    found = sorted((int(file.stem.removeprefix("fold")), file) for file in trained.glob("fold[0-9]*.json"))
    if not found:
        raise PolyscanError(f"{trained} holds no folds; give a folder that polyscan train --folds wrote.")
    for k, _ in found:
        if not (trained / f"fold{k}" / BEST).is_file():
            raise PolyscanError(f"{trained / f'fold{k}'} has no weights yet; give polyscan train --folds again first.")
    return found


def assign_folds(studies: list[Study], folds: int, labels: Sequence[str] = MASK) -> list[Study]:
    """Give each study a fold; all studies of a subject have the same one.

    Where the studies have the folds from 0 to ``folds`` - 1 already, they keep them; else subjects are dealt out at
    random, always in the same way, so that folds have about as many studies of each class.

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
    subjects = {study.subject for study in studies}
    if not 2 <= folds <= len(subjects):
        raise PolyscanError(
            f"{folds} folds are asked for of {len(subjects)} subjects with a label; give 2 to that many."
        )
    if given == set(range(folds)):
        check_folds(studies)
        return studies
    ordered = sorted(studies, key=lambda study: study.key)
    classes = [" ".join(_class_of(study, name) for name in labels) for study in ordered]
    dealt = deal_folds([study.subject for study in ordered], classes, folds)
    fold_of = {study.subject: fold for study, fold in zip(ordered, dealt, strict=True)}
    return [replace(study, fold=fold_of[study.subject]) for study in studies]


def _class_of(study: Study, label: str) -> str:
    """What a fold should have its share of: a class, or whether an event was seen; masks are all alike."""
    value = study.label.tasks.get(label)
    return str(value.get("event") if isinstance(value, Mapping) else value)


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
