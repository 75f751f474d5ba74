"""What the site takes from elsewhere than docs/: the README, the bundles' pages, docstrings, help, and what changed.

Pages link to each other by their places in the repository; here these become links of the site. What is not part of the
site, such as a folder of code, is named and not linked.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import posixpath
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from mkdocs.structure.files import File, Files

import polyscan

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)")
REFERENCE = {
    "polyscan": "The front door",
    "polyscan.fusion": "Fusion layers",
    "polyscan.fusion.table": "Fusion with a table",
    "polyscan.missing": "Missing modalities",
    "polyscan.translation": "Translation between scans",
    "polyscan.networks": "Networks",
    "polyscan.learning": "Losses and training",
    "polyscan.objectives": "Objectives without labels",
    "polyscan.ensemble": "Ensembles",
    "polyscan.inference": "Inference",
    "polyscan.attribution": "Attribution",
    "polyscan.baselines": "Simple models",
    "polyscan.registration": "Registration",
    "polyscan.transforms": "Transforms of bundles",
}
MERMAID = ROOT / ".venv" / "mermaid.min.js"


def places() -> dict[str, str]:
    """Path in the repository to path in the site, of every page and picture."""
    found = dict(OUTSIDE)
    for file in sorted((ROOT / "docs").rglob("*")):
        found[file.relative_to(ROOT).as_posix()] = file.relative_to(ROOT / "docs").as_posix()
    for file in sorted((ROOT / "bundles").glob("*/docs/*")):
        found[file.relative_to(ROOT).as_posix()] = f"bundles/{file.parts[-3]}/{file.name}"
    return found


def on_config(config: Any) -> Any:
    """Diagrams are drawn without a network where ``make docs`` could fetch mermaid."""
    if MERMAID.exists():
        config["extra_javascript"].append("javascripts/mermaid.min.js")
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add what lies outside of docs/, and the help of every command."""
    for source, place in places().items():
        if not source.startswith("docs/"):
            files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, "reference/cli.md", content=command_line()))
    for package, title in REFERENCE.items():
        files.append(File.generated(config, f"reference/{package}.md", content=reference(package, title)))
    if MERMAID.exists():
        files.append(File.generated(config, "javascripts/mermaid.min.js", abs_src_path=str(MERMAID)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links by places in the repository to links by places in the site."""
    known = places()
    here = page.file.src_uri
    source = next((origin for origin, place in known.items() if place == here), here)

    def site_link(match: re.Match[str]) -> str:
        picture, text, target, anchor = match.group(1), match.group(2), match.group(3), match.group(4) or ""
        if re.match(r"[a-z]+:", target):
            return match.group(0)
        place = known.get(posixpath.normpath(posixpath.join(posixpath.dirname(source), target)))
        if place is None or Path(place).suffix == "":
            return text
        return f"{picture}[{text}]({posixpath.relpath(place, posixpath.dirname(here) or '.')}{anchor})"

    return LINK.sub(site_link, markdown)


def command_line() -> str:
    """The page of the commands, as ``--help`` prints them."""
    from polyscan.cli import parser

    root = parser()
    lines = ["# Command line", "", "What `polyscan COMMAND --help` prints.", ""]
    (commands,) = (action for action in root._actions if isinstance(action, argparse._SubParsersAction))
    for name, command in commands.choices.items():
        command.formatter_class = lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=100)
        lines += [f"## polyscan {name}", "", "```text", command.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


def offered(module: ModuleType) -> list[Any]:
    """The names of a package's stub; where it has none, the public functions and classes of its files."""
    if hasattr(module, "__all__"):
        return [getattr(module, name) for name in module.__all__]
    files = [importlib.import_module(f"{module.__name__}.{f.name}") for f in pkgutil.iter_modules(module.__path__)]
    made_there = [
        (name, each) for file in files for name, each in vars(file).items() if inspect.getmodule(each) is file
    ]
    return [each for name, each in made_there if not name.startswith("_")]


def reference(package: str, title: str) -> str:
    """A page with everything that a package gives, each from its docstring."""
    module = importlib.import_module(package)
    doc = re.sub(r":(?:class|func|mod):`~?([^`]*)`", r"`\1`", (module.__doc__ or "").partition("\n\nExample:")[0])
    front = [] if package == "polyscan" else [getattr(polyscan, name) for name in polyscan.__all__]
    given = [each for each in offered(module) if each not in front]
    found = [f"::: {each.__module__}.{each.__qualname__}" for each in given if hasattr(each, "__qualname__")]
    return "\n\n".join([f"# {title}", f"`{package}`: {inspect.cleandoc(doc)}", *found, ""])
