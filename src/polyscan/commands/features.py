"""``polyscan features``: see what a network makes of a cohort."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from polyscan.commands.options import add_changes, overrides, progress_bar


def add(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "features",
        help="see what a network makes of a cohort",
        description="Map what a trained network makes of each study, from all of its scans together and from each, to "
        "two dimensions by t-SNE: a table, and a picture coloured by class, site and which scans there are. Of "
        "classifications also how much each modality is used.",
        epilog="example:\n  polyscan features glioma_grading_classification out/manifest.json -o features/",
    )
    command.add_argument("bundle", help="a bundle's name, such as glioma_grading_classification, or its folder")
    command.add_argument("manifest", type=Path, help="the manifest that polyscan infer wrote, or a prepared one")
    command.add_argument("-o", "--output", type=Path, required=True, help="the folder to write to")
    command.add_argument("--weights", type=Path, help="a file of weights; the bundle's own where not given")
    command.add_argument("--umap", action="store_true", help="UMAP too; needs pip install 'polyscan[umap]'")
    add_changes(command)
    command.set_defaults(run=run)
    return command


def run(options: argparse.Namespace) -> None:
    import numpy as np

    from polyscan.attribution.by_cohort import AT_LEAST, check_studies, tsne_map, umap_map, utilisation
    from polyscan.bundle.features import FUSED, cohort_features
    from polyscan.files.atomic import write_json
    from polyscan.report.feature_maps import write_feature_maps
    from polyscan.study.manifest import read_manifest
    from polyscan.study.outputs import OutputFolder, sources_of

    found = read_manifest(options.manifest)
    studies = found.testing or found.studies
    check_studies(len(studies))
    owned = OutputFolder.claim(options.output, "features", sources_of(studies))
    methods = {"t-SNE": tsne_map, **({"UMAP": umap_map} if options.umap else {})}
    spaces: dict[str, list[Any]] = {FUSED: []}
    with progress_bar("reading") as progress:
        changes = overrides(options, "inference")
        read = cohort_features(options.bundle, found, weights=options.weights, overrides=changes)
        for done, (study, vectors) in enumerate(read, start=1):
            for space, vector in vectors.items():
                spaces.setdefault(space, []).append((study, vector))
            progress(done, len(studies), study.key)
    enough = {space: each for space, each in spaces.items() if len(each) >= AT_LEAST}
    maps = {
        method: {space: ([s for s, _ in each], place(np.stack([v for _, v in each]))) for space, each in enough.items()}
        for method, place in methods.items()
    }
    names = ["features.csv", "utilisation.json", *(f"features_{method.lower()}.png" for method in methods)]
    owned.will_hold(names)
    with owned.alone():
        table, pictures = write_feature_maps(owned.path, maps)
        said = [task for s in studies if s.prediction is not None for task in s.prediction.answers.values()]
        used = utilisation(task.contributions for task in said)
        kept = [table.name, *(picture.name for picture in pictures)]
        if used:
            write_json(owned.path / "utilisation.json", used)
            kept.append("utilisation.json")
            print("used: " + ", ".join(f"{name} {share:.2f}" for name, share in used.items()))
        owned.remove_others(kept)
    print(table, *pictures, sep="\n")
