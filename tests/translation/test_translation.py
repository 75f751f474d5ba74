"""Translating scans: the network, what is drawn, a training that goes on, and pairs that say what they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.study import Label, PredictionRecord, Preparation, Scan, Study
from polyscan.study.manifest import Manifest, read_manifest, write_manifest
from polyscan.translation.cycle_gan import CycleGAN, ImagePool
from polyscan.translation.fidelity import fidelity
from polyscan.translation.fill import fill_missing
from polyscan.translation.generator import ResNetGenerator
from polyscan.translation.learn import learn_translation
from polyscan.translation.structure import mind
from polyscan.translation.translator import Intensities, Translation, Translator

SMALL = {"window": (16, 16), "channels": 4, "blocks": 1}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Six studies of a ball: three have CT, three T1, which is its mirrored brightness; testing has both."""
    folder = tmp_path_factory.mktemp("translation")
    ball = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 16)] * 3, indexing="ij")).square().sum(0) < 0.5
    affine = torch.diag(torch.tensor([2.0, 2, 2, 1]))

    def study(number, names):
        chance = torch.Generator().manual_seed(number)
        noise = torch.rand(16, 16, 16, generator=chance)
        values = {"CT": ball * 1100.0 - 1000 + 50 * noise, "T1": ball * -2.0 + noise}
        files = {name: str(folder / f"sub-{number}" / f"{name}.nii.gz") for name in names}
        for name, file in files.items():
            write_nifti(file, MetaTensor(values[name][None], affine=affine))
        scans = {name: Scan(file) for name, file in files.items()}
        return Study(f"{number}", scans=scans, label=Label(), preparation=Preparation("made", names[0]))

    training = [study(n, ["CT"] if n < 3 else ["T1"]) for n in range(6)]
    write_manifest(folder / "manifest.json", Manifest(training=training, testing=[study(6, ["CT", "T1"])]))
    return folder / "manifest.json"


@pytest.mark.parametrize("size", [(10, 10), (17, 23), (11, 12, 13)], ids=str)
def test_a_generator_keeps_the_grid_and_the_range(size):
    image = torch.rand(2, 1, *size) * 2 - 1
    found = ResNetGenerator(len(size), channels=4, blocks=1)(image)
    assert found.shape == image.shape
    assert found.abs().max() <= 1


@pytest.mark.parametrize("dims", [2, 3])
def test_descriptors_of_structure_do_not_see_brightness_but_see_a_shift(dims):
    torch.manual_seed(0)
    coarse = torch.rand(1, 1, *[8] * dims)
    image = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear" if dims == 2 else "trilinear")
    inverted, shifted = 0.5 - 0.7 * image, image.roll(3, dims=2)
    descriptor = mind(image)
    assert descriptor.shape == (1, 2 * dims, *[32] * dims)
    assert descriptor.min() >= 0
    assert descriptor.amax(1).allclose(torch.ones(()))
    same, moved = ((mind(other) - descriptor).abs().mean() for other in (inverted, shifted))
    assert same < 0.1 * moved
    assert mind(torch.zeros(1, 1, *[5] * dims)).allclose(torch.ones(()))


def test_a_pool_shows_older_images_and_keeps_new_ones():
    pool, draws = ImagePool((1, 2, 2)), torch.Generator().manual_seed(0)
    numbered = torch.arange(150.0).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    first = pool.exchange(numbered[:50], draws)
    assert first.equal(numbered[:50])
    later = pool.exchange(numbered[50:], draws)
    older = (later != numbered[50:]).flatten(1).any(1)
    assert 0.3 < older.float().mean() < 0.7
    assert len({*later[:, 0, 0, 0].tolist(), *pool.images[:, 0, 0, 0].tolist()}) == 150  # none is lost or shown twice


def test_losses_are_the_papers():
    torch.manual_seed(0)
    network = CycleGAN((16, 16), channels=4, blocks=1, cycle_weight=10, identity_weight=5, structure_weight=0)
    network.forth = network.back = torch.nn.Identity()
    a, b = torch.rand(2, 2, 1, 16, 16)
    terms, made = network.generator_losses(a, b)
    assert made["a"].equal(b)
    assert made["b"].equal(a)
    assert [terms[name].item() for name in ("cycle", "identity", "structure")] == [0, 0, 0]
    judged = {side: network.judges[side](image)[-1] for side, image in (("a", b), ("b", a))}
    expected = sum((each - 1).square().mean() for each in judged.values())  # least squares, of real as 1
    assert terms["adversarial"].item() == pytest.approx(expected.item(), rel=1e-5)
    real = {side: network.judges[side](image)[-1] for side, image in (("a", a), ("b", b))}
    expected = sum(((real[s] - 1).square().mean() + judged[s].square().mean()) / 2 for s in "ab")
    found = network.discriminator_loss(a, b, made, torch.Generator())
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_intensities_come_back_and_nothing_measured_is_the_lowest():
    scale = Intensities(-1000, 600)
    values = torch.tensor([-1000.0, 0, 600, 900, float("nan")])
    assert scale.scaled(values).tolist() == pytest.approx([-1, 0.25, 1, 1, -1])
    assert scale.unscaled(scale.scaled(values[:3])).tolist() == pytest.approx([-1000, 0, 600])


def test_fidelity_tells_tissues_apart():
    acquired = np.array([-1000.0, 40, 40, 700, np.nan])
    translated = np.array([-900.0, 60, 200, 650, 0])
    found = fidelity(translated, acquired, "HU")
    assert {name: each.error for name, each in found.items()} == {"air": 100, "soft tissue": 90, "bone": 50}
    assert found["soft tissue"].dice == pytest.approx(2 / 3)
    assert found["bone"].dice == pytest.approx(2 / 3)
    assert fidelity(translated, acquired, "arbitrary")["everything"].error == pytest.approx(330 / 4)


def test_a_training_that_was_cut_short_ends_as_one_that_was_not(prepared, tmp_path, monkeypatch):
    studies = read_manifest(prepared).training
    translation = Translation(("CT", "T1"), "made", (16, 16), 4, 1)
    monkeypatch.setattr("polyscan.translation.learn._INTERVAL", 3)
    learnt = learn_translation(studies, translation, tmp_path / "whole", steps=6, batch=2)

    def cut(done, total, told):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn_translation(studies, translation, tmp_path / "cut", steps=6, batch=2, progress=cut)
    resumed = learn_translation(studies, translation, tmp_path / "cut", steps=6, batch=2)
    for name, weight in learnt.generators[0].state_dict().items():
        assert weight.equal(resumed.generators[0].state_dict()[name]), name
    tables = [(tmp_path / run / "translator.csv").read_text() for run in ("whole", "cut")]
    assert tables[0] == tables[1]
    assert tables[0].count("\n") == 3
    other = learn_translation(studies, translation, tmp_path / "cut", steps=3, batch=2)
    assert other.made_from != learnt.made_from


def test_pairs_are_made_where_they_lack_and_say_that_they_were(prepared, tmp_path, capsys):
    command = ["translate", str(prepared), "--between", "CT", "T1", "-o", str(tmp_path / "pairs")]
    command += ["--window", "16", "16", "--channels", "4", "--steps", "4", "--device", "cpu"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "7 studies, 3 with a translated T1, 3 with a translated CT, in " in said
    assert "CT, bone: mean absolute error " in said
    assert "T1, everything: mean absolute error " in said
    filled = read_manifest(tmp_path / "pairs" / "manifest.json")
    assert [sorted(study.scans) for study in filled.training] == [["CT", "T1"]] * 6
    for study, made, source in ((filled.training[0], "T1", "CT"), (filled.training[5], "CT", "T1")):
        assert f"was never acquired: a network made it of {source}" in study.problems[made]
    assert not filled.testing[0].problems
    answered = filled.map(lambda s: replace(s, prediction=PredictionRecord("", present=[*s.scans])))
    assert "6 of the 7 studies are answered from a scan that was never acquired (CT, T1)." in answered.cautions
    made, source = (read_nifti(filled.training[0].scans[name].path) for name in ("T1", "CT"))
    assert made.shape == source.shape
    assert made.affine.equal(source.affine)
    assert made.isfinite().all()
    assert made.min() >= -2.1
    again = {path: path.stat().st_mtime_ns for path in (tmp_path / "pairs").rglob("*translated*")}
    assert main(command) == 0
    assert again == {path: path.stat().st_mtime_ns for path in (tmp_path / "pairs").rglob("*translated*")}
    weights = tmp_path / "pairs" / "translator.pt"
    other = fill_missing(read_manifest(prepared), tmp_path / "other", ("T1", "CT"), make=["T1"], weights=weights)
    assert other.translated == {"T1": 3}
    assert read_nifti(other.manifest.training[0].scans["T1"].path).allclose(made)
    assert not (tmp_path / "other" / "translator.pt").exists()


def test_a_scan_with_a_hole_has_it_in_its_translation():
    torch.manual_seed(0)
    translation = Translation(("CT", "T1"), "made", (16, 16, 16), 4, 1)
    scale = Intensities(-1000, 1000)
    translator = Translator(translation, (scale, scale), (ResNetGenerator(3, 4, 1), ResNetGenerator(3, 4, 1)), "")
    image = MetaTensor(torch.rand(1, 20, 12, 16) * 100)
    image[0, 3] = float("nan")
    assert translator.translate(image, "CT").isnan().equal(image.isnan())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modalities": ("XX", "T1")}, "Modality 'XX' is not known"),
        ({"few": True}, "1 of 4 studies to learn from have CT; at least two are"),
        ({"modalities": ("CT", "PET")}, "0 of 6 studies to learn from have PET"),
        ({"modalities": ("FLAIR", "PET")}, "No study has FLAIR and lacks PET or has PET and lacks FLAIR"),
        ({"window": (16,)}, r"window is \[16\]; expected two or three numbers of 16 voxels at least"),
        ({"device": "cuda:9"}, "cuda:9 cannot be used here"),
        ({"make": ["T2"]}, "T2 is none of CT and T1"),
        ({"modalities": ("CT", "CT")}, "CT is given twice; name two kinds of scan"),
        ({"weights": "manifest.json"}, "cannot be read as a translator"),
        ({"protocol": "other"}, "prepared by made and other"),
    ],
    ids=str,
)
def test_what_cannot_be_translated_is_said(prepared, tmp_path, change, message):
    manifest = read_manifest(prepared)
    if change.get("few"):
        manifest = replace(manifest, training=manifest.training[2:])
    if "protocol" in change:
        (study,) = manifest.testing
        manifest = replace(manifest, testing=[replace(study, preparation=Preparation(change["protocol"], "CT"))])
    weights = prepared.parent / change["weights"] if "weights" in change else None
    modalities = change.get("modalities", ("CT", "T1"))
    with pytest.raises(PolyscanError, match=message):
        fill_missing(
            manifest,
            tmp_path / "out",
            modalities,
            make=change.get("make", ()),
            weights=weights,
            steps=2,
            device=change.get("device", "cpu"),
            **{**SMALL, "window": change.get("window", SMALL["window"])},
        )
    assert not (tmp_path / "out").exists()


def test_weights_for_other_scans_are_refused(prepared, tmp_path):
    translation = Translation(("T2", "CT"), "made", (16, 16), 4, 1)
    scale = Intensities(0, 1)
    generators = (ResNetGenerator(2, 4, 1), ResNetGenerator(2, 4, 1))
    Translator(translation, (scale, scale), generators, "").save(tmp_path / "translator.pt")
    with pytest.raises(PolyscanError, match="translates between CT and T2; asked for is CT and T1"):
        fill_missing(read_manifest(prepared), tmp_path / "out", ("CT", "T1"), weights=tmp_path / "translator.pt")
