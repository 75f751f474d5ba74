"""Make pseudo-pairs: give studies that lack a scan one that is translated from what they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import torch

from polyscan.devices import check_usable
from polyscan.errors import PolyscanError, sentence
from polyscan.files.atomic import read_json, write_json
from polyscan.files.owned import replace_owned, rewrite_owned
from polyscan.formats.nifti import read_nifti, sidecar_of, write_nifti
from polyscan.learning.checkpoint import CHECKPOINT
from polyscan.modality import modality
from polyscan.progress import Progress, silent
from polyscan.study import Scan, Study
from polyscan.study.made import preparation_of
from polyscan.study.manifest import MANIFEST, Failure, Manifest, write_manifest
from polyscan.study.outputs import OutputFolder, fingerprint, sources_of
from polyscan.study.record import NEVER_ACQUIRED
from polyscan.translation.fidelity import Fidelity, fidelity, mean_fidelity
from polyscan.translation.learn import TABLE, files_to_learn_from, learn_translation
from polyscan.translation.translator import NAME, Translation, Translator

_SMALLEST = 16
_TRANSLATED = NEVER_ACQUIRED + ": a network made it of {source}, and it may show what is not there"


@dataclass
class Filled:
    """What came of it.

    Attributes:
        manifest: the studies, those that lacked a scan with a translated one.
        translated: modality to how many studies have a translated one.
        fidelity: modality, tissue to how translations agree with what was acquired, over the studies of the section
            testing that have both scans; empty where none has.
        compared: how many those are.
    """

    manifest: Manifest
    translated: dict[str, int]
    fidelity: dict[tuple[str, str], Fidelity]
    compared: int


def fill_missing(
    manifest: Manifest,
    out: str | Path,
    modalities: tuple[str, str],
    *,
    make: Collection[str] = (),
    weights: str | Path | None = None,
    window: tuple[int, ...] = (128, 128),
    channels: int = 32,
    blocks: int = 6,
    steps: int = 2000,
    device: str | torch.device = "cpu",
    progress: Progress = silent,
) -> Filled:
    """Learn to translate between two modalities, and give studies that have one of them the other too.

    It learns from the sections training and validation.

    Args:
        manifest: prepared studies.
        out: folder that is new, empty, or was made so. It takes ``manifest.json``, ``translator.pt``, the losses, and a
            folder for each study that got a scan; scans that were acquired stay where they are.
        modalities: the two.
        make: which of them is made where it lacks; both where not given.
        weights: a ``translator.pt`` that was trained before; nothing is learnt then.
        window: see :class:`Translation`.
        channels: likewise.
        blocks: likewise.
        steps: see :func:`learn_translation`.
        device: to train and to translate on.
        progress: told (done, total, remark) after each hundred steps, then after each study.

    Raises:
        PolyscanError: a modality is not known, the window or the device cannot be, the studies cannot be learnt from or
            were prepared by several protocols, the weights are for something else, no study lacks what is made, or
            ``out`` cannot be used.
    """
    _check(modalities, make, window)
    check_usable(str(device))
    wanted = Translation(modalities, _protocol(manifest), window, channels, blocks)
    ways = [(source, target) for source, target in permutations(modalities) if target in (make or modalities)]
    lacking = _lacking(manifest, ways)
    given = None if weights is None else _given(weights, wanted)
    known = [*manifest.training, *manifest.validation]
    if given is None:
        files_to_learn_from(known, wanted)  # which refuses too few before anything is written
    owned = OutputFolder.claim(out, "translate", sources_of(manifest.studies))
    own = [MANIFEST] if given else [MANIFEST, NAME, TABLE, CHECKPOINT]
    owned.will_hold([*own, *lacking])
    with owned.alone(), rewrite_owned(owned.path, "translator") as written:
        (owned.path / MANIFEST).unlink(missing_ok=True)
        translator = given or learn_translation(
            known, wanted, owned.path, steps=steps, device=device, progress=progress
        )
        for generator in translator.generators:
            generator.to(device)
        done, failed = _fill_each(lacking.values(), translator, owned.path, progress)
        pairs = [study for study in manifest.testing if study.scans.keys() >= set(modalities)]
        agreement = _agreement(pairs, ways, translator)
        failures = {failure.study for failure in failed}
        filled = manifest.map(lambda study: None if study.key in failures else done.get(study.key, study))
        roots = {**manifest.roots, "translated": str(owned.path)}
        filled = replace(filled, failed=[*manifest.failed, *failed], roots=roots)
        write_manifest(owned.path / MANIFEST, filled)
        written += own
        owned.remove_others([*own, *done])
    made = Counter(target for key, (_, _, target) in lacking.items() if key in done)
    return Filled(filled, dict(made), agreement, len(pairs))


def _check(modalities: tuple[str, str], make: Collection[str], window: tuple[int, ...]) -> None:
    for name in modalities:
        modality(name)
    if len(set(modalities)) < 2:
        raise PolyscanError(f"{modalities[0]} is given twice; name two kinds of scan, such as CT T1.")
    if other := set(make) - set(modalities):
        raise PolyscanError(f"{', '.join(sorted(other))} is none of {' and '.join(modalities)}, so it cannot be made.")
    if len(window) not in (2, 3) or min(window) < _SMALLEST:
        raise PolyscanError(f"window is {list(window)}; expected two or three numbers of {_SMALLEST} voxels at least.")


def _lacking(manifest: Manifest, ways: Sequence[tuple[str, str]]) -> dict[str, tuple[Study, str, str]]:
    """The studies that lack a scan, with what is translated and what is made of it."""
    found = {
        study.key: (study, source, target)
        for source, target in ways
        for study in manifest.studies
        if source in study.scans and target not in study.scans
    }
    if not found:
        told = " or ".join(f"has {source} and lacks {target}" for source, target in ways)
        raise PolyscanError(f"No study {told}; there is nothing to translate.")
    return found


def _protocol(manifest: Manifest) -> str:
    """The one by which every study was prepared."""
    found = sorted({study.protocol or "none" for study in manifest.studies})
    if len(found) > 1 or found == ["none"]:
        raise PolyscanError(f"The studies were prepared by {' and '.join(found)}; prepare all of them by one protocol.")
    return found[0]


def _given(weights: str | Path, wanted: Translation) -> Translator:
    translator = Translator.load(weights)
    known = translator.translation
    for what, found, asked in (
        ("translates between", " and ".join(sorted(known.modalities)), " and ".join(sorted(wanted.modalities))),
        ("was trained on scans prepared by", known.protocol, wanted.protocol),
    ):
        if found != asked:
            raise PolyscanError(f"{weights} {what} {found}; asked for is {asked}.")
    return translator


def _fill_each(
    lacking: Collection[tuple[Study, str, str]], translator: Translator, out: Path, progress: Progress
) -> tuple[dict[str, Study], list[Failure]]:
    """Studies with what they lacked, by their keys, and those that could not be translated."""
    done, failed = dict[str, Study](), list[Failure]()
    for count, (study, source, target) in enumerate(lacking, start=1):
        try:
            done[study.key] = _filled(study, source, target, translator, out)
        except Exception as error:
            failed.append(Failure(study.key, f"{target} could not be translated: {sentence(error)}"))
        progress(count, len(lacking), study.key)
    return done, failed


def _filled(study: Study, source: str, target: str, translator: Translator, out: Path) -> Study:
    """The study with a translated scan, in a folder of its own; one that was made of the same is taken as it is."""
    file = out / study.key / f"{study.key}_desc-translated_{modality(target).suffix}.nii.gz"
    sidecar = Path(sidecar_of(file))
    told = {
        "Description": f"Translated from {source} by a network, and never acquired.",
        "Sources": [source],
        "Translator": translator.made_from,
        "MadeFrom": fingerprint([study.scans[source].path]),
    }
    if not (file.is_file() and sidecar.is_file() and read_json(sidecar) == told):
        made = translator.translate(read_nifti(study.scans[source].path), source)
        with replace_owned(out / study.key, last=sidecar.name) as folder:
            write_nifti(folder / file.name, made)
            write_json(folder / sidecar.name, told)
    preparation = preparation_of(study)
    return replace(
        study,
        scans={**study.scans, target: Scan(str(file), sidecar=str(sidecar))},
        preparation=replace(preparation, problems={**study.problems, target: _TRANSLATED.format(source=source)}),
    )


def _agreement(
    pairs: Sequence[Study], ways: Sequence[tuple[str, str]], translator: Translator
) -> dict[tuple[str, str], Fidelity]:
    """What is made, and tissue, to how it agrees with what was acquired in studies that have both."""
    return {
        (target, tissue): found
        for source, target in ways
        for tissue, found in mean_fidelity([_compared(each, source, target, translator) for each in pairs]).items()
    }


def _compared(study: Study, source: str, target: str, translator: Translator) -> dict[str, Fidelity]:
    made = translator.translate(read_nifti(study.scans[source].path), source)
    acquired = read_nifti(study.scans[target].path)
    return fidelity(made[0].numpy(), acquired[0].numpy(), modality(target).unit)
