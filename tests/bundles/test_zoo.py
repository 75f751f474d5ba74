"""What the Model Zoo's own checks and its reviewers ask of a bundle beyond what MONAI's commands verify."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from packaging.version import Version

CHAPTERS = (
    "Model Overview",
    "Data",
    "Preprocessing",
    "Performance",
    "Commands",
    "Limitations",
    "References",
)
PINNED = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}


def test_files_are_those_that_the_zoo_expects(bundle):
    for name in ("LICENSE", "models/model.pt", "docs/README.md", "docs/data_license.txt"):
        assert (bundle / name).is_file(), name
    configs = {path.name for path in (bundle / "configs").iterdir()}
    wanted = {"metadata", "train", "inference", "evaluate", "multi_gpu_train"}
    assert configs == {f"{name}.json" for name in wanted} | {"logging.conf"}
    for path in bundle.rglob("*"):
        assert path.stat().st_size <= 25 * 2**20, f"{path} belongs into large_files.yml"
        if path.suffix in (".json", ".md", ".txt", ".conf"):
            assert not re.search(r"/home/|/Users/|/root/|/work/|C:\\\\", path.read_text()), f"{path} names a place"


def test_versions_can_be_installed_and_are_told_in_the_changelog(bundle):
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert list(metadata["changelog"])[-1] == metadata["version"]
    for key, package in PINNED.items():
        assert Version(metadata[key]) <= Version(version(package)), package
    for package, needed in metadata["required_packages_version"].items():
        assert Version(needed) <= Version(version(package)), package


def test_ids_are_those_that_tools_look_for(bundle):
    train, inference = (json.loads((bundle / "configs" / f"{n}.json").read_text()) for n in ("train", "inference"))
    assert train["bundle_root"] == inference["bundle_root"] == "."
    for name in ("preprocessing", "postprocessing", "dataset", "handlers", "inferer", "key_metric"):
        assert name in train["train"], name
        assert name in train["validate"], name
    for name in ("device", "network_def", "inferer", "preprocessing", "postprocessing", "dataset", "evaluator", "run"):
        assert name in inference, name
    targets = re.findall(r'"_target_": "([^"]+)"', json.dumps([train, inference]))
    assert all("." in target for target in targets), "full dotted paths only"
    assert not [target for target in set(targets) if is_module(target)], "taken as modules from Python 3.12 on"
    assert all(isinstance(handler, dict) for handler in train["train"]["handlers"])


def is_module(path: str) -> bool:
    try:
        return find_spec(path) is not None
    except ModuleNotFoundError:  # what it lies in is no package
        return False


def test_the_page_says_what_reviewers_ask(bundle):
    page = (bundle / "docs" / "README.md").read_text()
    chapters = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert [c for c in chapters if c in CHAPTERS] == list(CHAPTERS)
    assert "not for clinical use" in page
    assert re.search(r"!\[.+\]\(.+\.png\)", page), "a picture"
    for picture in re.findall(r"!\[.+?\]\((.+?\.png)\)", page):
        assert (bundle / "docs" / picture).is_file(), picture
        assert "/" not in picture, "a bundle is whole by itself"
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert "not for clinical use" in metadata["intended_use"]
    assert Path(bundle / "docs" / "data_license.txt").read_text().startswith("The weights in models/model.pt")
