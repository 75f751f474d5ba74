"""Answer for every study of a manifest: one bad study never stops the others, and each mask appears whole or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.data import list_data_collate
from monai.engines import Evaluator

from polyscan.errors import PolyscanError, sentence
from polyscan.study import Study
from polyscan.study.manifest import Manifest, read_manifest, write_manifest
from polyscan.study.outputs import OutputFolder, sources_of

ENDINGS = ("_pred.nii.gz", "_answer.json")
"""What the name of a study's prediction ends with: a mask's, a classification's."""


def infer_studies(
    evaluator: Evaluator,
    dataset: Iterable[Any],
    manifest: str | Path,
    output_dir: str | Path,
    *,
    absent: Iterable[str] = (),
    then: Callable[[Study], dict[str, Any]] | None = None,
) -> Manifest:
    """Run an evaluator study by study and write ``output_dir/manifest.json``.

    Args:
        evaluator: MONAI evaluator whose postprocessing leaves what is to be kept under ``answer``, as
            :class:`SavePredictiond` does.
        dataset: its data set, made from :func:`polyscan.bundle.items.inference_items`.
        manifest: the prepared manifest that the data set was made from.
        output_dir: where the predictions are written: a folder that is new, empty, or was made so. What it holds of an
            earlier run and not of this one is removed, a report of it too.
        absent: modalities that the data set leaves out, to be said in the result.
        then: told each study once it has its answer; what it returns is kept beside.

    Returns:
        The studies with their answers, ``present`` and ``infer_seconds``; those that failed are named in
        ``info["failed"]`` with the reason.

    Raises:
        PolyscanError: no study could be answered for, or ``output_dir`` is, holds or lies in a folder of the scans, or
            holds what was not made so.
    """
    prepared = read_manifest(manifest)
    owned = OutputFolder.claim(output_dir, "infer", sources_of(prepared.studies))
    names = [item["study"] for item in dataset.data]  # type: ignore[attr-defined]
    owned.will_hold(["manifest.json", "report.html", *(f"{name}{ending}" for name in names for ending in ENDINGS)])
    answers: dict[str, dict[str, Any]] = {}
    # An engine that raised cannot be run again; one that was told what to do with the exception can.
    raised: list[Exception] = []
    evaluator.add_event_handler(Events.EXCEPTION_RAISED, lambda _, error: raised.append(error))
    failed = list(prepared.info.get("failed", []))
    for index in range(len(names)):
        try:
            answers[names[index]] = _answer(evaluator, dataset[index], raised)  # type: ignore[index]
        except Exception as error:
            failed.append({"study": names[index], "reason": sentence(error)})
    written = [Path(answer["prediction"]).name for answer in answers.values()]
    owned.remove_others(["manifest.json", *written] if written else [])
    if not answers:
        reasons = "; ".join(f["reason"] for f in failed[:3])
        raise PolyscanError(f"None of the {len(names)} studies in {manifest} could be answered for: {reasons}")

    def answered(study: Study) -> Study | None:
        if study.key not in answers:
            return None
        there = [m for m in study.images if m not in set(absent)]
        study.extra.update(answers[study.key], present=there)
        if then is not None:
            study.extra.update(then(study))
        return study

    info = {**{k: v for k, v in prepared.info.items() if k != "polyscan"}, "failed": failed, "absent": list(absent)}
    result = prepared.map(answered, **info)
    write_manifest(Path(output_dir) / "manifest.json", result)
    return result


def _answer(evaluator: Evaluator, item: Mapping[str, Any], raised: list[Exception]) -> dict[str, Any]:
    start = time.perf_counter()
    evaluator.data_loader = [list_data_collate([item])]
    evaluator.state.epoch_length = 1
    evaluator.run()
    if raised:
        raise raised.pop()
    seconds = round(time.perf_counter() - start, 3)
    return {**evaluator.state.output[0]["answer"], "infer_seconds": seconds}
