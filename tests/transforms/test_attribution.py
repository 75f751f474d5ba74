"""Maps of attribution lie on the grid of the prepared scans, one a modality that is there, and are noted."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Orientationd, ResizeWithPadOrCropd, Spacingd

from polyscan.attribution.grad_cam import grad_cam
from polyscan.attribution.target import Target
from polyscan.errors import PolyscanError
from polyscan.files.owned import replace_owned
from polyscan.formats.nifti import read_nifti
from polyscan.fusion import Mean
from polyscan.networks import FusionNet, MulticlassHead, SegmentationHead, UNetEncoder
from polyscan.transforms import SaveAttributionsd

TASKS = {"grade": ["2", "3"], "IDH": ["wild", "mutated"]}
REGIONS = {"whole tumour": [1, 2], "core": [2]}


@pytest.fixture
def study():
    """What a transform made of scans of 2 mm that run to the left and the back; T2 is absent."""
    image = torch.randn(3, 20, 18, 16, generator=torch.Generator().manual_seed(0))
    image[1] = torch.nan
    affine = torch.diag(torch.tensor([-2.0, -2.0, 2.0, 1.0], dtype=torch.float64))
    preprocessing = Compose(
        [
            Orientationd("image", axcodes="RAS", labels=None),
            Spacingd("image", pixdim=(4.0, 4.0, 4.0)),
            ResizeWithPadOrCropd("image", (12, 8, 8), value=torch.nan),
        ]
    )
    return {**preprocessing({"image": MetaTensor(image, affine=affine)}), "study": "sub-1"}, preprocessing, affine


def network(head):
    torch.manual_seed(0)
    encoder = partial(UNetEncoder, channels=(4, 8))
    return FusionNet(["T1", "T2", "FLAIR"], encoder, [0, 1], Mean, head).eval()


def save(study, network, folder, **options):
    item, preprocessing, _ = study
    with torch.no_grad():
        logits = network(item["image"].as_tensor()[None])[0]
    transform = SaveAttributionsd("pred", network, output_dir=folder, preprocessing=preprocessing, **options)
    return transform({**item, "pred": logits})["attributions"], logits


def test_maps_of_a_classification(study, tmp_path):
    classifier = network(partial(MulticlassHead, tasks=TASKS))
    with replace_owned(tmp_path / "sub-1_attribution") as folder:
        (folder / "of_before.nii.gz").touch()
    records, logits = save(study, classifier, tmp_path, methods=["gradcam"], tasks=TASKS)
    assert [(each.method, each.target) for each in records] == [("gradcam", "grade"), ("gradcam", "IDH")]
    for record, part, classes in zip(records, logits.split(2), TASKS.values(), strict=True):
        assert record.predicted_class == classes[int(part.argmax())]
        assert list(record.maps) == ["T1", "FLAIR"]
        assert sum(record.shares.values()) == pytest.approx(1, abs=1e-3)
    names = {path.name for path in (tmp_path / "sub-1_attribution").glob("[!.]*")}
    assert names == {f"gradcam_{task}_{name}.nii.gz" for task in TASKS for name in ("T1", "FLAIR")}
    found = read_nifti(records[1].maps["FLAIR"])
    assert found.shape == (1, 20, 18, 16)
    torch.testing.assert_close(found.affine, study[2])
    own = grad_cam(classifier, study[0]["image"].as_tensor()[None], Target(2 + int(logits[2:].argmax())))[0, 2]
    peak = torch.stack(torch.unravel_index(own.argmax(), own.shape))  # on the network's grid
    there = study[0]["image"].affine @ torch.tensor([*peak.tolist(), 1.0], dtype=torch.float64)
    x, y, z = (torch.linalg.inv(found.affine) @ there).round().int()[:3].tolist()
    assert found[0, x, y, z] > 0.8 * found.max()


def test_maps_of_a_segmentation(study, tmp_path):
    segmenter = network(partial(SegmentationHead, regions=list(REGIONS), width=(4,)))
    records, logits = save(study, segmenter, tmp_path, methods=["gradcam:0"], regions=REGIONS, roi_size=[8, 8, 8])
    assert [each.target for each in records] == [n for n, c in zip(REGIONS, logits, strict=True) if (c > 0).any()]
    assert (tmp_path / "sub-1_attribution" / "gradcam-0_whole-tumour_T1.nii.gz").is_file()
    assert records[0].predicted_class is None


def test_unknown_method_is_refused_before_a_study_is_read(study, tmp_path):
    with pytest.raises(PolyscanError, match="no method of attribution 'lime'"):
        save(study, network(partial(MulticlassHead, tasks=TASKS)), tmp_path, methods=["lime"], tasks=TASKS)
