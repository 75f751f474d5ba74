"""Ways to fuse on cohorts: the table that ``polyscan advise`` takes its evidence from.

    python benchmarks/strategies.py OUT [--made interaction interaction+missing ...]
    python benchmarks/strategies.py OUT --real NAME=MANIFEST:CONFIG:TARGET ...
    python benchmarks/strategies.py OUT --compared misalignment_images alignment_images
    python benchmarks/strategies.py OUT --table

Each of the made tasks (``polyscan.phantom.tasks``) is compared by the machinery of ``polyscan compare``, complete, and
as ``NAME+missing`` with each modality missing in 30 % of subjects by chance. ``--real`` compares tables of patients:
what the cohort is drawn from, its manifest, the fragment that reads it, and the task of its labels. Strategies and
training are the same for all: ``SETTING``. ``--compared`` takes protocols of ``polyscan compare`` as they are: of
images, on which few strategies can be paid for. Every cohort is a folder of ``OUT``, and goes on where it was cut
short. ``--table`` writes the rows of all that are finished to ``benchmarks/results/strategies.csv``, beside those of
other cohorts that it holds, and to ``cohorts.json`` what each is like, made tasks by other subjects than were compared
on.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from polyscan.advise.candidates import CANDIDATES, COMPARED
from polyscan.advise.describe import Description, describe_arrays
from polyscan.compare import Cohort, Protocol, compare, load_cohort, read_protocol
from polyscan.compare.protocol import CONCATENATION, OUTPUT_MEAN, SIMPLE
from polyscan.compare.run import Cell
from polyscan.compare.table import ALL, Told
from polyscan.files.atomic import atomic_write, read_json, write_json
from polyscan.phantom.tasks import find_task, task_names

RESULTS = Path(__file__).parent / "results"
SUBJECTS, RATE = 1500, 0.3
SETTING: dict[str, Any] = {"strategies": COMPARED, "folds": 3, "seeds": 1, "epochs": 20, "batch_size": 100}
MADE = {**SETTING, "learning_rate": 0.005}
REAL = {**SETTING, "folds": 5, "epochs": 40, "batch_size": 64, "weight_decay": 0.1, "dropout": 0.2}
"""Of patients: as ``configs/compare/picai.json``."""
KEPT = ("task", "target", "studies", "patients", "missing", "tables", "classes", "values", "untrusted", "probes")
"""What is known of vectors and of images in memory."""
MOVED = {"misalignment_images": ["PET"]}
"""What does not lie on the other images."""
SAME_PATIENTS = {"tcga_glioma_multiomic": "lgg_mri"}
"""Of the 75 patients of ``lgg_mri`` 71 are in both."""


def made(name: str, seed: int = 0, options: Mapping[str, float] | None = None) -> Protocol:
    """The comparison on a made task, ``NAME`` or ``NAME+missing``; ``options`` change its law."""
    task = name.removesuffix("+missing")
    missing = dict.fromkeys(find_task(task).modalities, RATE) if name != task else {}
    told = {"task": task, "subjects": SUBJECTS, "seed": seed, "missing": missing}
    return Protocol({**told, "options": dict(options)} if options else told, **MADE)


def real(manifest: str, config: str, target: str) -> Protocol:
    """The comparison on tables of patients; where a table is long, as many parameters as give it 32 units."""
    protocol = Protocol({"manifest": manifest, "config": config, "target": target}, **REAL)
    _, modalities, values = load_cohort(protocol).x.shape
    return replace(protocol, parameters=max(protocol.parameters, 32 * modalities * values))


def source_of(name: str) -> str:
    """What a cohort is drawn from: ``lgg_mri:IDH`` and ``lgg_mri:grade`` have the same patients."""
    source = name.removesuffix("+missing").partition(":")[0]
    return SAME_PATIENTS.get(source, source)


def describe(name: str, cohort: Cohort) -> Description:
    """What a cohort is like."""
    return describe_arrays(cohort.x.numpy(), cohort.y, cohort.patients, cohort.modalities, MOVED.get(name, []))


def summarised(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a finished comparison tells: the entry of ``cohorts.json``, and the rows of ``strategies.csv``."""
    name = folder.name
    told = read_json(folder / "protocol.json")
    settings = {k: v for k, v in told.items() if k not in ("sha256", "data", "strategies", "cohort")}
    protocol = Protocol(told["cohort"], COMPARED, **settings)
    cohort = load_cohort(protocol)
    others = replace(protocol, cohort={**protocol.cohort, "seed": 1})
    described = describe(name, load_cohort(others) if cohort.task else cohort)
    about = {
        "source": told["cohort"].get("task") or source_of(name),
        "made": cohort.task is not None,
        "studies": len(cohort.y),
        "folds": protocol.folds,
        "optimum": cohort.optimum(np.arange(len(cohort.y))),
        "described": {field: value for field, value in asdict(described).items() if field in KEPT},
    }
    rows = []
    compared = {CONCATENATION, OUTPUT_MEAN, *SIMPLE, *told["strategies"]}
    for strategy in [each for each in [*CANDIDATES, *SIMPLE] if each in compared]:
        cells = {
            (seed, fold): read_json(folder / "cells" / Cell(strategy, seed, fold).file)
            for seed in range(protocol.seeds)
            for fold in range(protocol.folds)
        }
        of = Told(protocol, cohort, cells)
        areas = of.fold_areas()
        rows.append(
            {
                "cohort": name,
                "strategy": strategy,
                "auroc": f"{areas.mean():.5f}",
                "without": f"{np.mean(of.mean_area([f'without {m}' for m in cohort.modalities])):.5f}",
                "alone": f"{np.mean(of.mean_area([f'{m} alone' for m in cohort.modalities])):.5f}",
                "accuracy": f"{(of.p[ALL].argmax(-1) == of.truth).mean():.5f}",
                "parameters": int(of.cost["parameters"]),
                "seconds": of.cost["seconds"],
                "fold_auroc": " ".join(f"{area:.5f}" for area in areas),
            }
        )
    return about, rows


def table(out: Path) -> None:
    """Write the results of all cohorts that are finished, beside those of others."""
    finished = sorted(path.parent for path in out.glob("*/compare.csv"))
    names = {folder.name for folder in finished}
    with (RESULTS / "strategies.csv").open(newline="", encoding="utf-8") as file:
        rows: list[dict[str, Any]] = [row for row in csv.DictReader(file) if row["cohort"] not in names]
    about = {name: one for name, one in read_json(RESULTS / "cohorts.json").items() if name not in names}
    for folder in finished:
        about[folder.name], found = summarised(folder)
        rows += found
    write_json(RESULTS / "cohorts.json", dict(sorted(about.items())))
    rows.sort(key=lambda row: str(row["cohort"]))
    with atomic_write(RESULTS / "strategies.csv") as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(about)} cohorts, {len(rows)} rows")


def main() -> None:
    """Compare, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--made", nargs="*", default=None, help="all of them where neither these nor --real are given")
    parser.add_argument("--real", nargs="*", default=[], metavar="NAME=MANIFEST:CONFIG:TARGET")
    parser.add_argument("--compared", nargs="*", default=[], metavar="PROTOCOL")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        table(options.out)
        return
    every = [name + more for more in ("", "+missing") for name in task_names() if not find_task(name).is_image]
    names = every if options.made is None and not options.real and not options.compared else options.made or []
    protocols = {name: made(name) for name in names} | {name: read_protocol(name) for name in options.compared}
    for given in options.real:
        name, _, told = given.partition("=")
        manifest, config, target = told.split(":")
        protocols[name] = real(str(Path(manifest).resolve()), config, target)
    for name, protocol in protocols.items():
        compare(protocol, options.out / name, jobs=options.jobs)
        print(name, flush=True)


if __name__ == "__main__":
    main()
