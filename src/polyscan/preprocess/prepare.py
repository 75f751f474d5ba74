"""Prepare the studies of a manifest; one that fails stops no other.

What prepares a study is imported by the processes that do, once for all of them: it takes as long as some studies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from polyscan.errors import PolyscanError
from polyscan.files.owned import rewrite_owned
from polyscan.parallel import Named, run_each, run_first
from polyscan.preprocess.kept import kept_study
from polyscan.preprocess.profiles import load_profiles, out_of_distribution
from polyscan.progress import Progress, silent
from polyscan.study import Study
from polyscan.study.made import preparation_of
from polyscan.study.manifest import MANIFEST, Failure, Manifest, manifest_of, none_done, write_manifest
from polyscan.study.outputs import OutputFolder, sources_of
from polyscan.study.sources import SOURCES, write_sources

_ONE_STUDY = "polyscan.preprocess.prepare_study"


def prepare(
    manifest: str | Path | Manifest | Study | Sequence[Study],
    out: str | Path,
    *,
    protocol: str | Path = "default",
    like: str | Path | None = None,
    registered: bool = False,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Manifest:
    """Load, register, normalise and resample every study, and write ``out/manifest.json``.

    A study that ``out`` holds already is taken as it is where its files, its entry in the manifest, the protocol and
    polyscan are those that it was made from; so a run that was cut short goes on where it ended.

    Args:
        manifest: what to prepare, or the path of the file; or studies, such as :func:`polyscan.find_studies` lists, or
            one of them.
        out: folder that is new, empty, or was made by ``prepare``; each study becomes a folder in it, laid out as
            BIDS derivatives are. What it holds of an earlier run and not of this one is removed; what somebody put
            there stays, and what somebody changed too: see :mod:`polyscan.files.owned`.
        protocol: see :func:`polyscan.preprocess.protocol.load_protocol`.
        like: bundle, or folder of weights, whose training scans the studies are compared with: a scan whose
            intensities lie far from theirs is kept, and named in the study's ``problems``.
        registered: whether the scans of each study are registered to each other already, so that none is again.
        jobs: studies at a time, each in a process and one thread of its own; as many as there are cores if None.
        progress: told (done, total, study) after each.

    Returns:
        The prepared studies; those that failed are named in ``failed`` with the reason.

    Raises:
        PolyscanError: the protocol cannot be used, no study could be prepared, or ``out`` is, holds or lies in a folder
            of the scans, or holds what ``prepare`` did not write.
    """
    manifest = manifest_of(manifest)
    studies = manifest.studies
    kept = [(study, kept_study(study, Path(out).absolute(), protocol, registered)) for study in studies]
    waiting = [study for study, found in kept if found is None]
    if waiting:
        run_first(Named(_ONE_STUDY, "check_protocol"), protocol, len(waiting), jobs)
    learnt = load_profiles(like) if like is not None else {}
    owned = OutputFolder.claim(out, "prepare", sources_of(studies), manifest.scanned)
    owned.will_hold([MANIFEST, SOURCES, *(study.key for study in studies)])
    done: dict[str, Study] = {}
    failed = list(manifest.failed)
    work = partial(Named(_ONE_STUDY, "make_study"), out=owned.path, protocol=protocol, registered=registered)
    results = chain(((study, found) for study, found in kept if found), run_each(work, waiting, jobs))
    with owned.alone(), rewrite_owned(owned.path, MANIFEST) as written:
        (owned.path / MANIFEST).unlink(missing_ok=True)  # never one that names results of two protocols
        write_sources(owned.path, manifest)
        written.append(SOURCES)
        for count, (study, result) in enumerate(results, start=1):
            if isinstance(result, PolyscanError):
                failed.append(Failure(study.key, str(result)))
            else:
                preparation = preparation_of(result)
                problems = preparation.problems
                for modality_name, problem in out_of_distribution(preparation.profiles, learnt).items():
                    problems[modality_name] = "; ".join(filter(None, [problems.get(modality_name), problem]))
                done[study.key] = result
            progress(count, len(studies), study.key)
        prepared = replace(
            manifest.map(lambda study: done.get(study.key)),
            roots={"prepared": str(owned.path)},
            failed=failed,
            left_out=[],
            renamed={},
        )
        if done:
            write_manifest(owned.path / MANIFEST, prepared)
            written.append(MANIFEST)
        owned.remove_others([MANIFEST, SOURCES, *done] if done else [])
    if not done:
        raise none_done("prepared", len(studies), failed)
    return prepared
