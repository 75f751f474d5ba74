"""The methods text says what was run, and nothing else."""

from __future__ import annotations

import hashlib
import inspect
import re
from dataclasses import replace
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from polyscan import fusion, missing, objectives
from polyscan.attribution.by_place import METHODS
from polyscan.bundle.missing_option import missing_option
from polyscan.bundle.model_record import model_record
from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.files.atomic import write_json
from polyscan.files.owned import MARKER
from polyscan.files.resources import resource_folder
from polyscan.fusion import table
from polyscan.methods import methods_text
from polyscan.methods.network import classes
from polyscan.methods.references import Reference, cited_by, references
from polyscan.study import (
    AttributionRecord,
    Grid,
    ModelRecord,
    PredictionRecord,
    Preparation,
    RegionScore,
    RegistrationRecord,
    Scan,
    Study,
    TaskPrediction,
)
from polyscan.study.manifest import Failure, Manifest, write_manifest

WEIGHTS = b"weights"
MEASURES = {"overlap": 0.9, "distinctiveness": 0.08}
REGISTERED = {"name": "register", "engine": "torch", "trusted": True, "measures": MEASURES, "package": "polyscan 9.9"}
MODEL = ModelRecord(
    "sarcoma",
    bundle_version="1.0",
    network="FusionNet",
    parts=["UNetEncoder", "SegmentationHead"],
    fusion="AttentionWeighted",
    fuse_at="0, 1, 2",
    modalities=["CT", "T1"],
    weights=[hashlib.sha256(WEIGHTS).hexdigest()],
    versions={"monai": "1.6.1"},
)


def study(folder: Path, name: str, t1_steps: list[dict], model: ModelRecord | None = MODEL, **prediction) -> Study:
    """A prepared and answered study of CT and T1."""
    scans = {}
    for scan, steps in {
        "CT": [{"name": "read", "unit": "HU"}, {"name": "mask", "method": "body"}],
        "T1": [{"name": "read", "unit": "arbitrary"}, *t1_steps],
    }.items():
        sidecar = folder / f"{name}_{scan}.json"
        write_json(sidecar, {"Steps": steps})
        scans[scan] = Scan(str(folder / f"{name}_{scan}.nii.gz"), sidecar=str(sidecar))
    affine = [[2.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 5.0, 0], [0, 0, 0, 1.0]]
    found = Study(name, scans=scans)
    found.preparation = Preparation("default", "CT", grids={"CT": Grid([4, 4, 4], affine)})
    found.preparation.registrations = {"T1": RegistrationRecord(True, "fits")}
    found.prediction = PredictionRecord(str(folder / "a_pred.nii.gz"), ["CT", "T1"], model=model, **prediction)
    return found


def infer_folder(folder: Path, *studies: Study, **manifest) -> Path:
    write_json(folder / MARKER, {"command": "infer", "holds": []})
    write_manifest(folder / "manifest.json", Manifest(testing=list(studies), **manifest))
    return folder


def test_it_says_what_was_run_with_versions_hashes_and_references(tmp_path):
    z = {"name": "z-score", "robust": False}
    scores = {"tumour": RegionScore(0.8, 1.0, 1.0)}
    text = methods_text([infer_folder(tmp_path, study(tmp_path, "1", [REGISTERED, z], scores=scores))])
    for words in (
        "1 study of 1 patient was prepared by the polyscan protocol default.",
        "CT in 1 (2 x 2 x 5 mm)",
        "Values were read in HU (CT) and arbitrary units (T1).",
        "1 scan (T1) was registered rigidly to the reference (CT) by the engine torch",
        "overlap 0.9 and distinctiveness 0.08",
        "Of 1 registration, 1 could be trusted",
        "The body was found in the reference (CT) above -500 HU.",
        "T1 got mean 0 and standard deviation 1",
        "the bundle sarcoma (version 1.0), FusionNet with UNetEncoder",
        "fuses CT and T1 at levels of the encoder (0, 1, 2) by AttentionWeighted",
        hashlib.sha256(WEIGHTS).hexdigest(),
        "Dice coefficient",
        "polyscan 9.9 and monai 1.6.1",
    ):
        assert words in text, words
    for author in ("Bahdanau", "Mattes", "Skerl", "Falk", "Ronneberger", "Cardoso", "Dice"):
        assert re.search(rf"^\d+\. {author}", text, re.M), author
        assert f"author = {{{author}, " in text


@pytest.mark.parametrize(
    ("t1_steps", "model", "prediction", "manifest", "said"),
    [
        ([{"name": "z-score", "robust": True}], {}, {}, {}, "median 0 and median absolute deviation 1"),
        ([{"name": "z-score", "robust": False}], {}, {}, {}, "mean 0 and standard deviation 1"),
        ([{"name": "bias field", "method": "N4"}], {}, {}, {}, "Tustison"),
        ([{"name": "histogram standard"}], {}, {}, {}, "Nyul"),
        ([{"name": "whiten"}], {}, {}, {}, "T1 were whitened together"),
        ([{"name": "mask", "method": "given"}], {}, {}, {}, "A mask of the brain was given with each study."),
        ([{"name": "mask", "method": "body"}], {}, {}, {}, "(T1) by Otsu's threshold"),
        ([{"name": "mask", "method": "hd-bet"}], {}, {}, {}, "Isensee"),
        ([{"name": "mask", "method": "synthstrip"}], {}, {}, {}, "Hoopes"),
        ([{"name": "resample", "interpolation": "untouched"}], {}, {}, {}, "stayed as acquired"),
        (
            [{"name": "resample", "interpolation": "none: moved"}],
            {},
            {},
            {},
            "1 scan (T1) kept the grid of acquisition",
        ),
        ([{"name": "resample", "interpolation": "cubic B-spline"}], {}, {}, {}, "Unser"),
        ([{"name": "register", "result": "not registered: on one grid"}], {}, {}, {}, "not registered: on one grid"),
        ([REGISTERED], {}, {}, {}, "Nocedal"),
        ([REGISTERED | {"engine": "elastix"}], {}, {}, {}, "Klein"),
        ([{"name": "denoise", "sigma": 2}], {}, {}, {}, "the step denoise (sigma 2)"),
        ([], {"fusion": "SelfAttention"}, {}, {}, "Attention is all you need"),
        ([], {"fuse_at": "output"}, {}, {}, "at the output"),
        ([], {"calibrated": True}, {}, {}, "temperature scaling"),
        ([], {"calibrated": True, "calibration_method": "vector"}, {}, {}, "calibrated by vector scaling"),
        ([], {"calibrated": True, "calibration_method": "isotonic"}, {}, {}, "Zadrozny"),
        ([], {"mirrored": 2}, {}, {}, "mirror images along 2 axes"),
        ([], {"weights": ["a", "b"]}, {}, {}, "Lakshminarayanan"),
        ([], {"spacing": [3.0, 3.0, 3.0]}, {}, {}, "Images came to 3 x 3 x 3 mm"),
        ([], {"roi_size": [64, 64, 32]}, {}, {}, "It reads on 64 x 64 x 32 voxels"),
        ([], {"roi_size": [64, 64, 32], "inferer": "WindowInferer"}, {}, {}, "in windows of 64 x 64 x 32 voxels"),
        (
            [],
            {},
            {"answers": {"grade": TaskPrediction("4", truth="4")}},
            {},
            "true answer was known of grade in 1 study",
        ),
        ([], {}, {"answers": {"grade": TaskPrediction("4", contributions={"CT": 0.1})}}, {}, "Shapley"),
        ([], {}, {"answers": {"grade": TaskPrediction("4", prediction_set=["4"])}}, {}, "Sadinle"),
        ([], {}, {"answers": {"grade": TaskPrediction("4", epistemic=0.1)}}, {}, "Gal"),
        (
            [],
            {},
            {"answers": {"grade": TaskPrediction("4", interactions={"CT, T1": 0.1})}},
            {},
            "interactions of pairs",
        ),
        (
            [],
            {},
            {"answers": {"grade": TaskPrediction("4", contributions={f"T1@{k}": 0.1 for k in range(1, 12)})}},
            {},
            "Castro",
        ),
        ([], {}, {"answers": {"grade": TaskPrediction("4", conflict=0.1)}}, {}, "what each says alone"),
        (
            [],
            {},
            {"answers": {"stage": TaskPrediction("I", measures={"metabolic_tumour_volume_ml": 3.0})}},
            {},
            "Lesions were measured by volume, spread and uptake",
        ),
        ([], {}, {"scores": {"tumour": RegionScore(0.8, 1.0, 1.0, 3.0, 0.9)}}, {}, "Nikolov"),
        ([], {}, {"scores": {"tumour": RegionScore(None, 0.0, 0.0)}}, {}, "region does not exist were counted apart"),
        ([], {}, {"typicality": {"CT": 0.5}}, {}, "Lee K"),
        ([], {}, {"typicality": {"CT": 0.01}, "ignored": ["CT"]}, {}, "were not read, in 1 study"),
        ([], {}, {"attributions": [AttributionRecord("gradcam:1", "tumour")]}, {}, "Selvaraju"),
        ([], {}, {"attributions": [AttributionRecord("occlusion", "tumour")]}, {}, "Zeiler"),
        ([], {}, {}, {"absent": ["T1"]}, "T1 was treated as not acquired"),
        ([], {}, {}, {"failed": [Failure("2", "no scan")]}, "1 study had no answer."),
    ],
)
def test_a_change_of_the_run_changes_the_text(tmp_path, t1_steps, model, prediction, manifest, said):
    """What is said of one run is not said of another."""
    plain = methods_text([infer_folder(tmp_path / "plain", study(tmp_path / "plain", "1", []))])
    run = study(tmp_path, "1", t1_steps, replace(MODEL, **model), **prediction)
    text = methods_text([infer_folder(tmp_path, run, **manifest)])
    assert said in text
    assert said not in plain


@pytest.mark.parametrize(
    ("name", "layer", "fusion"),
    [
        ("treatment_response_classification", "TemporalDifference", "AttentionWeighted"),
        ("glioma_grading_classification", "DAFT", "Concatenation"),
    ],
)
def test_layers_over_time_and_of_tables_are_recorded_with_a_network(name, layer, fusion):
    bundle = resource_folder("bundles") / name
    config = ConfigParser()
    config.read_config(bundle / "configs" / "inference.json")
    found = model_record(bundle, config, [bundle / "models" / "model.pt"], [{}], {})
    assert layer in found.parts
    assert layer in classes()
    assert fusion not in found.parts
    assert found.fusion == fusion


def test_a_network_that_no_record_names_is_not_passed_over(tmp_path):
    run = study(tmp_path, "1", [], model=None)
    text = methods_text([infer_folder(tmp_path, run)])
    assert "1 study was read by a network that no record names" in text


def test_every_paper_that_a_layer_or_a_network_names_is_known():
    named = [*fusion.layers(), *table.layers(), *missing.strategies(), *objectives.objectives()]
    named += [*METHODS.values(), *classes().values()]
    checked = 0
    for thing in named:
        doc = " ".join((inspect.getdoc(thing) or "").partition("Args:")[0].split())
        known = {each.author[0].rpartition(" ")[0].split()[-1] for each in cited_by(thing)}
        for surname in re.findall(r"([A-Z][\w-]+) (?:et al\.|and [A-Z][\w-]+)[ ,(]+(?:[^.;]*?)\b(?:19|20)\d\d\b", doc):
            assert surname in known, (thing.__name__, surname)
            checked += 1
    assert checked > 40


def test_references_are_whole_and_each_is_cited_by_something():
    for each in references():
        assert each.text.endswith(f"{each.year}.")
        assert each.bibtex.startswith("@")
        assert each.bibtex.count("{") == each.bibtex.count("}")
    source = Path(fusion.__file__).parents[1]
    everything = " ".join(" ".join(file.read_text().split()) for file in source.rglob("*.py"))
    assert [each.key for each in references() if not each.of and each.place_in(everything) < 0] == []


def test_a_citation_is_told_by_surname_and_the_next_year():
    paper = Reference("a", ("Hu J",), "T", 2018, journal="J")
    assert paper.place_in("as Hu et al., CVPR 2018") >= 0
    assert paper.place_in("Hu et al., CVPR 2017; Lee, 2018") < 0
    assert paper.place_in("Huang et al., CVPR 2018") < 0


def run_folder(folder: Path, weights: bytes = WEIGHTS, **changes) -> Path:
    config = {
        "optimizer": {"_target_": "torch.optim.AdamW"},
        "learning_rate": 0.004,
        "batch_size": 4,
        "max_epochs": 30,
        "seed": 0,
        "ema_decay": 0.99,
        "loss": {"_target_": "polyscan.learning.RegionLoss"},
        "train": {"random_transforms": [{"_target_": "monai.transforms.RandAffined"}]},
    }
    studies = {"trained_on": 30, "watched": 4}
    record = {"data": {"studies": 40, "fingerprint": "abc"}, "studies": studies, "versions": {"torch": "2.13.0"}}
    write_json(folder / "config.json", config | changes)
    write_json(folder / "run.json", record)
    (folder / "training.csv").write_text("epoch,loss/supervised,loss/fusion.kl,val_dice\n1,1,1,\n2,1,1,0.5\n")
    (folder / "model.pt").write_bytes(weights)
    write_json(folder / MARKER, {"command": "train", "holds": []})
    return folder


def test_a_training_is_told_by_its_folder(tmp_path):
    answered = infer_folder(tmp_path / "out", study(tmp_path / "out", "1", []))
    text = methods_text([answered, run_folder(tmp_path / "run", clip_gradients=12)])
    for words in (
        "trained on 30 and watched on 4 of a manifest of 40 studies (fingerprint abc)",
        "AdamW",
        "Loshchilov",
        "norm of 12",
        "Pascanu",
        "Polyak",
        "beside it kl of the fusion layer",
        "RandAffined",
        "2 of at most 30 epochs",
        "best val_dice",
        "torch 2.13.0",
    ):
        assert words in text, words
    assert "Pascanu" not in methods_text([run_folder(tmp_path / "other")])
    asked = {"objectives": [{"_target_": "polyscan.objectives.Contrastive"}], "unlabelled": True}
    text = methods_text([run_folder(tmp_path / "objective", **asked)])
    assert "beside it kl of the fusion layer. Beside it stood Contrastive" in text
    assert "Radford" in text
    assert "studies without a label were trained by too" in text
    with pytest.raises(PolyscanError, match="did not train the weights that answered"):
        methods_text([answered, run_folder(tmp_path / "wrong", b"other")])


@pytest.mark.parametrize(
    ("strategy", "terms", "words"),
    [
        ("ModalityDropout(prob=0.4)", "", ["left out with a probability of 0.4 [", "ModDrop"]),
        ("ModalityDropout(prob=[0.1, 0.5])", "", ["left out with probabilities of 0.1 and 0.5 ["]),
        ("ModalityDropout", "", ["left out as often as the training studies lack them ["]),
        ("ModalityDropout(rise=0.5)", "", ["rising from 0 over 50% of the epochs [", "Curriculum learning"]),
        ("Distillation", "loss/distillation.full,loss/deep.1,", ["taught what it answered", "knowledge in a neural"]),
    ],
)
def test_a_strategy_against_missing_modalities_is_told(strategy, terms, words, tmp_path):
    dropout = {"_target_": "polyscan.transforms.RandModalityDropoutd"}
    changes = missing_option(strategy, "glioma_grading_classification", {"train": {"random_transforms": [dropout]}})
    changes["train"]["network"] = changes.pop("train#network", {"_target_": "polyscan.learning.WithAuxiliaryLosses"})
    run = run_folder(tmp_path / "run", deep_supervision=1, **changes)
    columns = f"epoch,loss/supervised,{terms}loss/fusion.kl,val_dice"
    (run / "training.csv").write_text(f"{columns}\n{','.join('1' * len(columns.split(',')))}\n")
    text = methods_text([run])
    for each in (*words, "beside it kl of the fusion layer", "1 coarser level of the decoder"):
        assert each in text, each


def test_a_comparison_is_told_by_its_folder(tmp_path):
    strategies = {"gated": {"fusion": "GatedSum", "fuse_at": [1], "missing": "MeanImputation"}, "not run": {}}
    protocol = {
        "sha256": "12ab",
        "cohort": {"task": "diagnosis", "subjects": 100},
        "strategies": strategies,
        "folds": 5,
    }
    protocol |= {"seeds": 2, "parameters": 5000, "epochs": 40, "batch_size": 64, "learning_rate": 0.01}
    write_json(tmp_path / "protocol.json", protocol | {"weight_decay": 0.01, "level": 0.05})
    (tmp_path / "compare.csv").write_text("strategy,auroc\ngated,0.8\nconcatenation,0.7\nlogistic regression,0.7\n")
    (tmp_path / "information.csv").write_text("modality,alone\nCT,0.3\n")
    write_json(tmp_path / MARKER, {"command": "compare", "holds": []})
    text = methods_text([tmp_path])
    for words in ("12ab", "gated (GatedSum", "Arevalo", "Pedregosa", "5 folds", "2 seeds", "Nadeau", "Holm", "Corani"):
        assert words in text, words
    for words in ("its entropy less the log loss", "Barber", "Williams"):
        assert words in text, words
    assert "not run" not in text
    (tmp_path / "information.csv").write_text("")  # of one modality, which shares nothing
    assert "Williams" not in methods_text([tmp_path])


def test_on_the_command_line(tmp_path, capsys):
    folder = infer_folder(tmp_path / "out", study(tmp_path / "out", "1", []))
    assert main(["methods", str(folder), "-o", str(tmp_path / "methods.md")]) == 0
    written = (tmp_path / "methods.md").read_text()
    assert written == methods_text([folder])
    assert main(["methods", str(folder), "-o", str(tmp_path / "methods.md")]) == 0  # its own file is replaced
    capsys.readouterr()
    assert main(["methods", str(folder)]) == 0
    assert capsys.readouterr().out == written
    assert main(["methods", str(tmp_path)]) == 1
    assert "is no folder that polyscan prepare" in capsys.readouterr().err
    assert main(["methods", str(folder), str(folder)]) == 1
