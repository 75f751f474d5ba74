"""The commands, from an empty folder, as a new user runs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from polyscan.cli import COMMANDS, main
from polyscan.commands import status
from polyscan.study.manifest import read_manifest

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "brain_mri_tumour_segmentation"
MANIFEST = str(BUNDLE / "configs" / "metadata.json")
"""A file that is there."""


@pytest.mark.parametrize("command", [name.replace("_", "-") for name in COMMANDS])
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"Example:\n  polyscan {command} " in capsys.readouterr().out


@pytest.mark.parametrize("module", ["polyscan", "polyscan.cli"])
def test_a_module_is_the_command_too(module):
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("polyscan 0.")


def test_a_command_works_without_its_documentation(monkeypatch, capsys):
    """As python -OO leaves it out."""
    monkeypatch.setattr(status, "__doc__", None)
    with pytest.raises(SystemExit) as left:
        main(["status", "--help"])
    assert left.value.code == 0
    assert "The help is left out by python -OO" in capsys.readouterr().out


def test_help_tells_what_an_option_is_where_it_is_not_given():
    from polyscan.cli import parser

    (commands,) = (each.choices for each in parser()._actions if isinstance(each.choices, dict))
    given = [
        (command, option) for command, each in commands.items() for option in each._actions if option.dest != "help"
    ]
    silent = [
        (command, option.option_strings, option.default)
        for command, option in given
        if isinstance(option.default, (str, int, float))
        and not isinstance(option.default, bool)
        and f"{option.default:{'' if isinstance(option.default, str) else 'g'}}" not in option.help
    ]
    assert len(given) > 100
    assert silent == []


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        (["--help"], set()),
        (["status", "nowhere"], set()),
        (["infer", "b", "m.json", "-o", "r"], set()),
        (["train", "petct_staging", "m.json", "-o", "r"], set()),
        (["infer", "petct_staging", "m.json", "-o", "r", "--weights", "none.pt"], set()),
        (["scan", "cohort", "-o", "m.json"], {"numpy", "pydicom", "rich"}),
    ],
    ids=lambda given: " ".join(given[:2]) if isinstance(given, list) else "",
)
def test_quick_commands_import_nothing_heavy(command, needs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cohort").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.ones((8, 8, 8), np.int16), np.eye(4)), "cohort/sub-1_T1w.nii.gz")
    code = (  # what a person waits for before the first line appears
        "import sys, contextlib\nfrom polyscan.cli import main\n"
        f"with contextlib.suppress(SystemExit): main({command})\n"
        "heavy = {'torch', 'monai', 'numpy', 'itk', 'SimpleITK', 'pydicom', 'rich'} & set(sys.modules)\n"
        f"sys.exit(', '.join(heavy - {needs}) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert command[0] != "status" or "nowhere holds no batch" in done.stderr
    assert command[0] != "scan" or "1 studies in m.json" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scan", "nowhere", "-o", "m.json"], "nowhere is no folder"),
        (["scan", ".", "-o", "m.json"], "No images found"),
        (["prepare", "m.json", "-o", "p"], "m.json does not exist"),
        (["train", "petct_staging", "m.json", "-o", "r"], "m.json does not exist"),
        (["infer", "b", "m.json", "-o", "r"], "b is no bundle"),
        (["infer", "petct_staging", "m.json", "-o", "r", "--weights", "."], "are a folder; name the file in it"),
        (["infer", "petct_staging", MANIFEST, "-o", "r", "--set", "a"], "NAME=VALUE"),
        (["infer", "petct_staging", MANIFEST, "-o", "r", "--set", "a=[CT,PET]"], "in single quotes"),
        (["report", "."], "manifest.json does not exist"),
        (["phantom", "p", "--subjects", "0"], "1 to 999"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert words in said[-1]
    assert said[-1].startswith(f"polyscan {arguments[0]}: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["batch", "b", "f", "-o", "o", "--jobs", "0"], "--jobs: '0' is no whole number of 1 or more"),
        (["report", "f", "--jobs", "two"], "--jobs: 'two' is no whole number of 1 or more"),
        (["batch", "b", "f", "-o", "o", "--watch", "-1"], "--watch: '-1' is no number of 0 or more"),
        (["plan", "b", "m", "-o", "p", "--memory", "nan"], "--memory: 'nan' is no number of 0 or more"),
        (["translate", "m", "--between", "CT", "T1", "-o", "o", "--window", "8", "0"], "--window: '0' is no whole"),
    ],
)
def test_a_number_that_is_too_small_is_refused(arguments, words, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert words in capsys.readouterr().err


def test_what_a_command_does_not_take_is_refused_with_its_own_usage(capsys):
    with pytest.raises(SystemExit) as left:
        main(["calibrate", "b", "m", "-o", "x"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: polyscan calibrate ")
    assert said.endswith("polyscan calibrate: error: unrecognized arguments: -o x\n")


@pytest.mark.slow
def test_the_whole_way(tmp_path, monkeypatch, capsys):
    """Phantom, scan, prepare, train, infer, report; then a study by one contrast, and one that is spoiled."""
    monkeypatch.chdir(tmp_path)
    bundle = "brain_mri_tumour_segmentation"
    assert main(["phantom", "cohort", "--subjects", "4", "--seed", "9", "--modalities", "T1", "T1c"]) == 0
    (extra := Path("cohort/sub-005/anat")).mkdir(parents=True)
    shutil.copy("cohort/sub-001/anat/sub-001_T1w.nii.gz", extra / "sub-005_T1w.nii.gz")
    assert main(["scan", "cohort", "-o", "m.json"]) == 0
    Path("m.json").write_text(Path("m.json").read_text().replace('"T1": {', '"t1": {', 1))  # as somebody's own manifest
    (extra / "sub-005_T1w.nii.gz").write_bytes(b"spoiled")
    assert main(["prepare", "m.json", "-o", "prepared", "--protocol", "brain_mri", "--jobs", "1"]) == 3
    told = capsys.readouterr()
    assert "sub-005 failed: none of T1" in told.err
    assert "t1 of 1 studies is left out: the protocol brain_mri does not read it" in told.out
    few = ["--set", "max_epochs=1", "--set", "val_interval=1"]
    assert main(["train", bundle, "prepared/manifest.json", "-o", "run", *few]) == 0
    weights = ["--weights", "run/model.pt"]
    assert main(["infer", bundle, "prepared/manifest.json", "-o", "out", *weights, "--without", "T2", "T1"]) == 3
    (study,) = read_manifest("out/manifest.json").testing
    mask, reference = (
        nibabel.load(study.prediction.path),
        nibabel.load("cohort/sub-004/anat/sub-004_ce-gd_T1w.nii.gz"),
    )
    assert mask.shape == reference.shape
    np.testing.assert_allclose(mask.affine, reference.affine, atol=1e-4)
    assert main(["report", "out"]) == 0
    assert capsys.readouterr().out.strip().endswith("out/report.html")
    page = Path("out/report.html").read_text()
    assert "Treated as not acquired: T2, T1" in page
    assert "sub-005" in Path("out/report/studies.js").read_text()


@pytest.mark.parametrize(
    ("given", "path", "options"),
    [
        ("CrossAttention(query=0)", "polyscan.fusion.CrossAttention", {"query": 0}),
        (
            "polyscan.fusion.MaskedTransformer( depth=2, heads=null )",
            "polyscan.fusion.MaskedTransformer",
            {"depth": 2, "heads": None},
        ),
        (
            "SharedSpecific(auxiliary_weights={'shared': 0.5})",
            "polyscan.fusion.SharedSpecific",
            {"auxiliary_weights": {"shared": 0.5}},
        ),
    ],
)
def test_a_fusion_layer_takes_options(given, path, options):
    from polyscan.bundle.fusion_option import fusion_option

    assert fusion_option(given) == {"_target_": path, "_mode_": "callable", **options}


@pytest.mark.parametrize(
    ("given", "read"),
    [("true", True), ("False", False), ("None", None), ("['CT', 'PET']", ["CT", "PET"]), ("1_000.nii", "1_000.nii")],
)
def test_an_entry_is_set_as_json_or_python_writes_it(given, read):
    from polyscan.cli import parser
    from polyscan.commands.options import overrides

    options = parser().parse_args(["train", "b", "m.json", "-o", "o", "--set", f"a={given}"])
    assert overrides(options, "train") == {"a": read}


def test_a_fusion_layer_is_named_by_one_option(capsys):
    from polyscan.cli import parser
    from polyscan.commands.options import overrides

    options = parser().parse_args(["train", "b", "m.json", "-o", "o", "--fusion", "GatedSum", "--set", "max_epochs=5"])
    layer = {"_target_": "polyscan.fusion.GatedSum", "_mode_": "callable"}
    assert overrides(options, "train") == {"fusion": layer, "max_epochs": 5}
    for given, said in {
        "Gated": "There is no fusion layer 'Gated'; there are ",
        "table.FiLM": "--fusion table.FiLM was not found; name the folder of its module in PYTHONPATH",
        "polyscan.fusion.table.FiLM": "is no fusion layer: it must derive from polyscan.fusion.FusionLayer",
        "CrossAttention(querry=0)": "CrossAttention(querry=0): there is no option querry; it has heads, query, tokens",
        "DRIFA(true)": "the options cannot be read; write option=value",
        "CrossAttention(query=yes)": "the options cannot be read; write option=value",
        "CrossAttention(query=0": "--fusion CrossAttention(query=0 cannot be read",
    }.items():
        assert main(["infer", "petct_staging", MANIFEST, "-o", "o", "--fusion", given]) == 1
        assert said in capsys.readouterr().err
