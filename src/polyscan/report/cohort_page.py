"""The page of a cohort: what failed and what stands out first, every study in a table, a mosaic and on strip plots."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from polyscan.errors import PolyscanError
from polyscan.files.names import CURVES
from polyscan.files.owned import replace_owned
from polyscan.parallel import Named, run_each
from polyscan.progress import Progress, silent
from polyscan.report.measures import is_number, outlying, rows_of
from polyscan.report.ratings import as_json, read_ratings
from polyscan.report.render import data_uri, render_page
from polyscan.report.summary import modalities, summarise, summarise_answers, summarise_risks
from polyscan.study import Study
from polyscan.study.manifest import MANIFEST, Manifest, read_manifest
from polyscan.study.outputs import REPORT, OutputFolder, check_writable_file
from polyscan.study.sources import without_paths

PAGES, DATA = "pages", "studies.js"
_NO_MEASURES = {"study", "subject", "session", "status", "reason", "problems"}


def write_report(
    source: str | Path,
    output: str | Path | None = None,
    *,
    training: str | Path | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Path:
    """Write the page of a cohort, and a page of each study beside it, from what ``infer`` or ``batch`` wrote.

    They open from a disk, without a network or a server. Pages of studies that are current are kept.

    Args:
        source: the folder where ``manifest.json`` and the predictions lie.
        output: the page of the cohort; ``report.html`` in the folder where not given. Pages of studies lie in the
            folder ``pages`` of a batch, which draws them itself, else in one beside the page that has its name without
            ``.html``: it is new, empty, or was made so.
        training: the folder of the run that the network was trained in, whose curves the page shows.
        jobs: studies at a time, each in a process of its own; as many as there are cores if None.
        progress: told (done, total, study) after each.

    Returns:
        The path of the page.

    Raises:
        PolyscanError: there are no predictions, the output is no page, the folder of pages holds what a report did not
            write, or ``training`` holds no curves.
    """
    folder = Path(source)
    manifest = read_manifest(folder / MANIFEST)
    studies = [study for study in manifest.studies if study.prediction is not None]
    if not studies:
        raise PolyscanError("There are no predictions to draw; make some with polyscan infer.")
    page = folder / REPORT if output is None else Path(output)
    if page.suffix != ".html":
        raise PolyscanError(f"{page} is no name of a page; name a file that ends in .html, such as {page}.html.")
    check_writable_file(page, "page")
    curves = None if training is None else Path(training) / CURVES
    if curves is not None and not curves.is_file():
        raise PolyscanError(f"{training} holds no {CURVES}; name the folder of a training that was finished.")
    pages = page.with_suffix("")
    owned = None
    if (folder / PAGES).is_dir() and output is None:
        pages = folder / PAGES
    else:
        owned = OutputFolder.claim(pages, "report", [scan.path for study in studies for scan in study.scans.values()])
        owned.will_hold([DATA, *(f"{study.key}{ending}" for study in studies for ending in (".html", ".jpg"))])
    draw = partial(Named("polyscan.report.study_page", "draw_study"), pages=pages, cohort=f"../{page.name}")
    not_drawn: dict[str, str] = {}
    for done, (study, result) in enumerate(run_each(draw, studies, jobs), start=1):
        if isinstance(result, PolyscanError):
            not_drawn[study.key] = without_paths(str(result), study)
        progress(done, len(studies), study.key)
    write_cohort_page(manifest, page, pages, not_drawn, curves)
    if owned is not None:
        kept = [f"{study.key}{ending}" for study in studies for ending in (".html", ".jpg")]
        owned.remove_others([DATA, *kept])
    return page


def write_cohort_page(
    manifest: Manifest,
    page: Path,
    pages: Path,
    not_drawn: Mapping[str, str] | None = None,
    curves: Path | None = None,
) -> None:
    """Write the page of a cohort over pages of studies that lie beside it.

    Args:
        manifest: the studies with their answers, and what failed.
        page: to write, whole or not at all; ``ratings.json`` beside it tells what was rated.
        pages: folder of ``<study>.html`` and ``<study>.jpg``; ``studies.js`` is written there.
        not_drawn: study to why it has no page.
        curves: PNG of losses and metrics over the epochs of the training.
    """
    studies = [study for study in manifest.studies if study.prediction is not None]
    predictions = [study.prediction for study in studies if study.prediction is not None]
    data = cohort_data(rows_of(studies, manifest.failed), not_drawn or {})
    data["ratings"] = as_json(read_ratings(page.parent))
    with replace_owned(pages, group=DATA) as folder:
        text = f"window.cohort = {json.dumps(data, separators=(',', ':'))};\n"
        (folder / DATA).write_text(text, encoding="utf-8")
    text = render_page(
        "polyscan.report",
        "cohort.html",
        pages=pages.name,
        protocols=sorted({study.preparation.protocol for study in studies if study.preparation}),
        bundles=_bundles(studies),
        warnings=manifest.cautions,
        absent=manifest.absent,
        count=len(studies),
        failed=len(manifest.failed),
        stand_out=sum(1 for row in data["rows"] if row[data["columns"].index("stands out by")]),
        regions=summarise(predictions),
        tasks=summarise_answers(predictions),
        risks=summarise_risks(predictions),
        modalities=modalities(predictions),
        curves=None if curves is None else data_uri(curves.read_bytes(), "png"),
    )
    with replace_owned(page.parent, group=page.name) as folder:
        (folder / page.name).write_text(text, encoding="utf-8")


_NOTED = ("problems", "undecided", "atypical", "unanswered", "unread", "stray labels")


def cohort_data(rows: Sequence[Mapping[str, Any]], not_drawn: Mapping[str, str]) -> dict[str, Any]:
    """What the page reads: columns, which of them are measures, and the rows, what failed and stands out first.

    Args:
        rows: as :func:`polyscan.report.measures.rows_of` gives them.
        not_drawn: study to why it has no page.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    measures = [name for name in names if name not in _NO_MEASURES and any(is_number(row.get(name)) for row in rows)]
    told = [name for name in names if any(row.get(name) for row in rows)]
    texts = [name for name in told if name not in measures and name not in ("study", "status", "reason")]
    columns = ["study", "status", "stands out by", "reason", *measures, *texts]
    found = []
    for row, far in zip(rows, outlying(rows), strict=True):
        failed = row["status"] == "failed"
        worst = max(far.values(), default=0.0)
        reason = row.get("reason") or (f"has no page: {not_drawn[row['study']]}" if row["study"] in not_drawn else "")
        by = ", ".join(sorted(far, key=lambda name: -far[name]))
        noted = any(row.get(name) for name in _NOTED)
        rank = 0 if failed else 1 if reason else 2 if far else 3 if noted else 4
        values = [row.get(name) for name in (*measures, *texts)]
        found.append((rank, -worst, row["study"], [row["study"], row["status"], by, reason, *values]))
    found.sort(key=lambda each: each[:3])
    return {
        "columns": columns,
        "measures": measures,
        "rows": [row for *_, row in found],
        "pages": [row[1] != "failed" and row[0] not in not_drawn for *_, row in found],
    }


def _bundles(studies: Sequence[Study]) -> list[str]:
    models = (study.model for study in studies)
    return sorted({f"{model.bundle} {model.bundle_version}".strip() for model in models if model})
