"""``polyscan infer --attribution``: maps beside each answer, kept and removed with it, whatever a bundle reads."""

from __future__ import annotations

import re

import pytest
from prepared import BUNDLES, make_manifest

from polyscan.bundle.inference_options import InferenceOptions
from polyscan.bundle.run import infer
from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti
from polyscan.report.study_page import write_study_page
from polyscan.study.manifest import read_manifest


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("petct_staging", "lesion"),
        ("drifa_multitask_classification", "mri"),
    ],
)
def test_maps_lie_beside_answers(name, target, tmp_path):
    bundle, out = BUNDLES / name, tmp_path / "out"
    manifest = make_manifest(bundle, tmp_path / "prepared")
    asked = InferenceOptions(attribution=("gradcam",))
    infer(bundle, manifest, out, options=asked)
    studies = read_manifest(out / "manifest.json").testing
    explained = {s.key: s.prediction for s in studies if s.prediction.attributions}
    assert explained
    for study in studies:
        if study.key not in explained:  # nothing was segmented, so that there is nothing to explain
            continue
        first = explained[study.key].attributions[0]
        assert first.target == target
        assert set(first.maps) == set(study.scans) == set(first.shares)
        grid = read_nifti(next(iter(study.scans.values())).path).shape[1:] if "drifa" not in name else (112, 112, 1)
        assert {read_nifti(path).shape[1:] for path in first.maps.values()} == {grid}
        page = write_study_page(study, tmp_path / "page.html").read_text()
        assert re.search(rf'<th scope="rowgroup" rowspan="1">(<span [^>]*></span>)?{target}\b', page)
    first_map = explained[next(iter(explained))].maps[0]
    before = read_manifest(out / "manifest.json").testing
    infer(bundle, manifest, out, options=asked)
    assert read_manifest(out / "manifest.json").testing == before
    infer(bundle, manifest, out)
    assert not list(out.glob("*_attribution"))
    assert first_map not in (out / "manifest.json").read_text()


def test_tables_have_no_places(tmp_path):
    bundle = BUNDLES / "glioma_grading_classification"
    manifest = make_manifest(bundle, tmp_path / "prepared")
    nowhere = {"postprocessing": {"_target_": "monai.transforms.Compose", "transforms": []}}
    with pytest.raises(PolyscanError, match="which have no places"):
        infer(bundle, manifest, tmp_path / "out", overrides={"attribution": ["gradcam"], **nowhere})
