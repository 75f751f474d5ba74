"""Write docs/fusion: a page for each layer and one that places all of them.

    python docs/fusion/make.py

Formula, source and arguments come from a layer's docstring, its flow and its use from layers.yaml, its cost from
cost.md, what ``benchmarks/fusion_layers.py`` printed.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path

import yaml

from polyscan import fusion
from polyscan.fusion import table

HERE = Path(__file__).parent
FAMILIES = {
    "simple": "Simple",
    "attention": "Attention",
    "DRIFA": "DRIFA",
    "DRIFA's peers": "In the style of the networks that DRIFA-Net is compared with",
    "missing modalities": "Made for missing modalities",
    "temporal": "Over time",
    "statistical": "Statistical",
    "output": "Of outputs",
    "table": "With a table: clinical variables, genomics, text",
}
ATTENTION = {"attention", "DRIFA", "DRIFA's peers"}  # families, and further layers
ATTENTION |= {"RegionAware", "MaskedTransformer", "TemporalAttention", "TableAttention"}
CLAIMS = ("Equal to the published code", "The paper's equations", "In the style of", "It follows no single paper")
"""With one of these begins what a page says of how near a layer is to its source."""
KINDS = {"features": "features", "logits": "logits", "times": "time points"}
PLACES = ("input", "single level", "hierarchical", "output")
INDEX = """# Every way to fuse

Li et al. (A review of deep learning-based information fusion techniques for multimodal medical image classification,
arXiv 2404.15022) sort fusion into input, intermediate (single-level, hierarchical, attention-based) and output fusion.
In polyscan the first question, *where*, is `fuse_at` of `polyscan.networks.FusionNet`; the second, *how*, is a layer:

| where | `fuse_at` | what stands before the fusion |
|---|---|---|
| input fusion | `"input"` | one linear map of each scan |
| single-level fusion | `[3]` | an encoder for each scan, down to that level; one for all below it |
| hierarchical fusion | `[0, 1, 2, 3]` | an encoder for each scan; a decoder reads what was fused at every level |
| output fusion | `"output"` | a whole network for each scan |

Every layer has one signature, `layer(modalities, channels, spatial_dims)(features, available)`, and keeps one promise:
what stands in an absent modality's place, NaN and infinity included, changes neither output nor gradient. A layer of
features can stand at each place, a rule of outputs only behind the heads, a layer of time points only in `TemporalNet`;
anything else is refused with a sentence. A dot says where a layer was meant to stand. There are {features} layers of
features, {logits} rules of outputs, {times} layers over time and {tables} for tables: `layers("features")`, `"logits"`
and `"time points"` of `polyscan.fusion` list their classes, `polyscan.fusion.table.layers()` those for tables.

**Which to take.** Begin with `Concatenation` (nothing is missing) or `AttentionWeighted` (something is), hierarchical
for segmentation, at the deepest level for a class, with modality dropout in training
(`polyscan.transforms.RandModalityDropoutd`). Change one thing at a time, and believe a difference only over several
seeds and folds.

What each costs: [cost.md](cost.md). Eight of them on one task: [accuracy.md](accuracy.md).
"""


def places(name: str, family: str) -> list[bool]:
    """Where a layer was meant to stand."""
    if family == "output":
        return [False, False, False, True]
    if family in ("table", "statistical") or name in ("TransformerBottleneck", "MaskedTransformer", "MutualAttention"):
        return [False, True, False, False]
    fine = name in ("Concatenation", "Mean", "Maximum", "Moments", "AttentionWeighted", "TemporalConcatenation")
    return [fine, True, True, fine and not name.startswith("Temporal")]


def page(layer: type, entry: dict[str, str], cost: dict[str, str]) -> str:
    """The page of a layer."""
    name = layer.__name__
    text = inspect.getdoc(layer) or ""
    text = re.sub(r":(?:class|mod|func):`[~!]?([^`]*)`", r"`\1`", text).replace("``", "`")
    formula, _, rest = text.partition("\n")
    body, _, arguments = rest.strip().partition("Args:\n")
    arguments, _, _ = arguments.partition("\nExample:")
    lines = [f"# {name}", "", "```mermaid", "flowchart LR"]
    lines += [f"    {line}" for line in entry["flow"].strip().splitlines()]
    lines += ["```", "", "```", formula, "```", "", body.strip(), ""]
    if options := re.findall(
        r"^(?!modalities|channels)(\w+): ((?:.|\n(?= ))*)", textwrap.dedent(arguments), re.MULTILINE
    ):
        lines += ["Options:", "", *(f"- `{name}`: {' '.join(said.split())}" for name, said in options), ""]
    lines += [textwrap.fill("**When.** " + entry["when"].strip(), 120), ""]
    lines += [textwrap.fill("**How near its source.** " + entry["near"].strip(), 120), ""]
    if name in cost:
        lines += ["**Cost**, concatenation being 1 ([all](cost.md)):", "", cost["layer"], cost["---"], cost[name], ""]
    lines += [f"`{layer.__module__}.{name}` · [all layers](README.md)", ""]
    return "\n".join(lines)


def index(entries: dict[str, dict[str, str]], layers: dict[str, type]) -> str:
    """The page that places all layers."""
    counts = {word: len(fusion.layers(kind)) for word, kind in KINDS.items()}
    lines = [INDEX.format(**counts, tables=len(table.layers()))]
    for family, title in FAMILIES.items():
        lines += [f"## {title}", "", f"| layer | | {' | '.join(PLACES)} | attention |", "|---|---|" + "---|" * 5]
        for name, entry in entries.items():
            if entry["family"] == family:
                formula = (inspect.getdoc(layers[name]) or "").partition("\n")[0].replace("|", "\\|")
                dots = ["•" if there else "" for there in places(name, family)]
                dots.append("•" if family in ATTENTION or name in ATTENTION else "")
                lines.append(f"| [{name}]({name}.md) | `{formula}` | {' | '.join(dots)} |")
        lines.append("")
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Every page by the name of its file."""
    entries = yaml.safe_load((HERE / "layers.yaml").read_text())
    layers = {layer.__name__: layer for layer in [*fusion.layers(), *table.layers()]}
    if missing := layers.keys() ^ entries.keys():
        raise SystemExit(f"layers.yaml and the package differ in {', '.join(sorted(missing))}.")
    if vague := [name for name, entry in entries.items() if not entry["near"].startswith(CLAIMS)]:
        raise SystemExit(f"near of {', '.join(vague)} in layers.yaml begins with none of: {'; '.join(CLAIMS)}.")
    rows = [line for line in (HERE / "cost.md").read_text().splitlines() if line.startswith("|")]
    cost = {row.split("|")[1].strip(): row for row in rows}
    found = {f"{name}.md": page(layers[name], entry, cost) for name, entry in entries.items()}
    return {"README.md": index(entries, layers), **found}


if __name__ == "__main__":
    for file, text in pages().items():
        (HERE / file).write_text(text)
