"""The page of a comparison: what was fixed before, what came out, and what may be claimed."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from polyscan.compare.cohort import Cohort
from polyscan.compare.information import Shared
from polyscan.compare.protocol import ALONE, CONCATENATION, ONE_VALUE, OUTPUT_MEAN, SIMPLE, Protocol
from polyscan.compare.table import Row, may_claim
from polyscan.evaluation.information import entropy
from polyscan.report.render import render_page


def write_page(path: Path, protocol: Protocol, cohort: Cohort, rows: list[Row], shared: list[Shared]) -> None:
    """Write one HTML page that opens without a network."""
    baselines = [CONCATENATION, OUTPUT_MEAN, *SIMPLE, *(f"{name}{ALONE}" for name in cohort.modalities)]
    everywhere = np.arange(len(cohort.y))
    text = render_page(
        "polyscan.compare",
        "page.html",
        today=date.today().isoformat(),
        protocol=protocol,
        cohort=cohort,
        rows=rows,
        reference=CONCATENATION,
        shared=shared,
        entropy=entropy(cohort.y),
        baselines=baselines,
        images=cohort.x.dim() == 4,
        may_claim=may_claim(protocol, cohort),
        better=[row for row in rows if row.verdict == "better"],
        optimum=cohort.optimum(everywhere),
        of_one=[(name, cohort.optimum(everywhere, [name])) for name in cohort.modalities],
        commonest=np.bincount(cohort.y).max() / len(cohort.y),
        patients=len(set(cohort.patients.tolist())),
        forest=_forest(rows),
        pareto=_pareto(rows),
    )
    path.write_text(text, encoding="utf-8")


def _forest(rows: list[Row]) -> str:
    """Differences from concatenation with their intervals, as SVG."""
    shown = [row for row in rows if row.strategy != CONCATENATION][::-1]
    figure = Figure(figsize=(7, 0.8 + 0.3 * len(shown)), layout="constrained")
    axes = figure.subplots()
    for y, row in enumerate(shown):
        colour = {"better": "tab:green", "worse": "tab:red"}.get(row.verdict, "tab:gray")
        axes.plot([row.difference.low, row.difference.high], [y, y], color=colour, linewidth=2)
        axes.plot(row.difference.value, y, "o", color=colour)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [row.strategy for row in shown])
    figure.supxlabel("AUROC minus that of concatenation, 95 % interval over folds", fontsize="medium")
    return _svg(figure)


def _pareto(rows: list[Row]) -> str:
    """AUROC with one modality gone and what an answer costs, over AUROC with everything."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    gone, cost = figure.subplots(1, 2, sharex=True)
    single = [row for row in rows if row.strategy == ONE_VALUE or row.strategy.endswith(ALONE)]  # far below
    for axes, name, sign, label in (
        (gone, "without", 1, "mean AUROC with one modality gone"),
        (cost, "flops", -1, "floating-point operations for one answer"),
    ):
        shown = [row for row in rows if np.isfinite(getattr(row, name)) and row not in single]
        places = [(row.auroc.value, getattr(row, name)) for row in shown]
        front = sorted((x, y) for x, y in places if not any(a > x and sign * b > sign * y for a, b in places))
        axes.plot(*zip(*front, strict=True), color="tab:gray", linewidth=1, zorder=0)
        for row, place in zip(shown, places, strict=True):
            axes.plot(*place, "o", color="tab:blue")
            axes.annotate(str(rows.index(row) + 1), place, fontsize=8, xytext=(4, 3), textcoords="offset points")
        axes.set_xlabel("AUROC with all modalities")
        axes.set_ylabel(label)
    cost.set_yscale("log")
    return _svg(figure)


def _svg(figure: object) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))  # type: ignore[attr-defined]
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :]
