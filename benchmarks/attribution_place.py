"""Whether maps of attribution lie where the answer comes from: on made studies whose place is known.

    python benchmarks/attribution_place.py [--seeds 2] [--extent 24] [--steps 250] [--studies 16] [--csv FILE]

Two modalities of smooth noise, each with a ball at a place of its own. That of A is bright or dark, which is the
class; that of B is bright or dark by a coin. A network fused at one place or another learns the class, or to segment
the ball of A when it is bright. Of studies that it has not seen and answers right:

- energy: the part of what is above 0 in the maps of both modalities that lies in the ball of A, widened by a voxel;
- pointing: how often the highest value of both maps lies there (the pointing game: Zhang et al., IJCV 126, 2018), of
  studies of each class;
- share of A: of the sum of absolute values;
- deletion, insertion: area under the probability of the class as voxels are taken away, or put in, highest first (RISE:
  Petsiuk et al., BMVC 2018); low deletion and high insertion are good. The last voxels are of any order: 20 steps;
- shuffled: rank correlation of the map with that of the network whose weights are all shuffled (Adebayo et al., NeurIPS
  2018), near 0 where the map depends on them; of one study a seed.

Beside the methods: a map that is a bump in the middle of both images, and one of noise. Each figure is the mean over
seeds, in brackets the lowest and the highest of them.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscan.attribution.by_place import find_method, share_of_modalities
from polyscan.attribution.curves import area_under_curve, deletion_curve, insertion_curve
from polyscan.attribution.randomisation import cascading_randomisation
from polyscan.attribution.target import Target
from polyscan.fusion import Concatenation, Mean
from polyscan.networks import FusionNet, MulticlassHead, SegmentationHead, UNetEncoder

MODALITIES = ["A", "B"]
COLUMNS = ("energy", "pointing, bright", "pointing, dark", "share of A", "deletion", "insertion", "shuffled")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def studies(count: int, extent: int, dims: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Images (study, 2, *spatial), classes (study,), and where the balls are, (study, 2, *spatial) bool."""
    size = [extent] * dims
    noise = torch.randn(count, 2, *size, generator=generator)
    smooth = functional.avg_pool3d if dims == 3 else functional.avg_pool2d
    noise = smooth(noise, 3, 1, 1)
    noise = noise / noise.std()
    centre = torch.randint(4, extent - 4, (count, 2, dims), generator=generator)
    grid = torch.stack(torch.meshgrid(*[torch.arange(extent)] * dims, indexing="ij"))
    away = (grid - centre.view(count, 2, dims, *[1] * dims)).square().sum(2)
    ball = away <= 3**2
    sign = torch.randint(0, 2, (count, 2), generator=generator)
    images = noise + 3 * ball * (2 * sign - 1).view(count, 2, *[1] * dims)
    return images.to(DEVICE), sign[:, 0].to(DEVICE), (away <= 4**2).to(DEVICE)


def trained(
    network: nn.Module,
    learn: Callable[[Tensor, Tensor, Tensor], Tensor],
    extent: int,
    dims: int,
    steps: int,
    generator: torch.Generator,
) -> nn.Module:
    """A network after some steps on new studies each."""
    network.to(DEVICE).train()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for _ in range(steps):
        loss = learn(*studies(16, extent, dims, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def measured(network: FusionNet, method: Callable[..., Tensor], cases: list[tuple], checked: int) -> dict[str, float]:
    """The columns of a method, means over studies (image, class, target, place, score)."""
    found: dict[str, list[float]] = {name: [] for name in COLUMNS}
    for number, (image, number_of_class, target, place, score) in enumerate(cases):
        maps = method(network, image, target)
        above = maps.clamp_min(0)
        found["energy"].append(float((above[:, 0] * place).sum() / above.sum().clamp_min(1e-12)))
        highest = int(maps.flatten().argmax())
        kind = "bright" if number_of_class else "dark"
        found[f"pointing, {kind}"].append(
            float(highest < place.numel() and bool(place.flatten()[highest % place.numel()]))
        )
        shares = share_of_modalities(maps[0])
        found["share of A"].append(0.0 if shares is None else float(shares[0]))
        with torch.no_grad():
            found["deletion"].append(area_under_curve(deletion_curve(score, image, maps)))
            found["insertion"].append(area_under_curve(insertion_curve(score, image, maps)))
        if number < checked:
            explain = partial(method, image=image, target=target)
            *_, (_, rho) = cascading_randomisation(network, explain, image)
            found["shuffled"].append(rho)
    return {name: sum(values) / len(values) if values else float("nan") for name, values in found.items()}


def middle(network: FusionNet, image: Tensor, target: Target) -> Tensor:
    """A bump in the middle of every modality."""
    axes = torch.meshgrid(*[torch.linspace(-1, 1, n, device=image.device) for n in image.shape[2:]], indexing="ij")
    return torch.exp(-sum(axis**2 for axis in axes) / 0.18).expand_as(image).contiguous()


def noise(network: FusionNet, image: Tensor, target: Target) -> Tensor:
    """A map of nothing."""
    return torch.rand(image.shape, generator=torch.Generator().manual_seed(0)).to(image.device)


def classifier(fuse_at, dims: int, norm: str) -> FusionNet:
    encoder = partial(UNetEncoder, channels=(6, 12, 24), norm=norm)
    head = partial(MulticlassHead, tasks={"ball": ["dark", "bright"]}, pool="maximum")
    fusion = Mean if fuse_at == "output" else Concatenation
    return FusionNet(MODALITIES, encoder, fuse_at, fusion, head, spatial_dims=dims)


def classes(fuse_at, dims: int, norm: str, options: argparse.Namespace, seed: int) -> Iterator[tuple[str, dict]]:
    """Rows of a network that learns the class."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = classifier(fuse_at, dims, norm)

    def learn(images: Tensor, labels: Tensor, _: Tensor) -> Tensor:
        return functional.cross_entropy(network(images), labels)

    trained(network, learn, options.extent, dims, options.steps, generator)
    images, labels, places = studies(4 * options.studies, options.extent, dims, generator)
    with torch.no_grad():
        right = network(images).argmax(1) == labels
    print(f"  {fuse_at} {dims}D {norm}, seed {seed}: {float(right.float().mean()):.3f} right", flush=True)
    cases = []
    for k in right.nonzero().flatten().tolist()[: options.studies]:
        label = int(labels[k])
        score = partial(lambda image, label: network(image).softmax(1)[:, label], label=label)
        cases.append((images[k : k + 1], label, Target(label), places[k, 0], score))
    names = ["occlusion", "integrated-gradients"] if fuse_at == "output" else list(METHODS)
    for name in names:
        yield name, measured(network, find_method(name), cases, options.shuffled)
    yield "middle", measured(network, middle, cases, 0)
    yield "noise", measured(network, noise, cases, 0)


def regions(dims: int, options: argparse.Namespace, seed: int) -> Iterator[tuple[str, dict]]:
    """Rows of a network that segments the ball of A where it is bright, fused at every level."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    encoder = partial(UNetEncoder, channels=(6, 12, 24))
    head = partial(SegmentationHead, regions=["ball"], width=(6, 12))
    network = FusionNet(MODALITIES, encoder, [0, 1, 2], Concatenation, head, spatial_dims=dims)

    def truth(labels: Tensor, places: Tensor) -> Tensor:
        return places[:, :1].float() * labels.view(-1, *[1] * (dims + 1))

    def learn(images: Tensor, labels: Tensor, places: Tensor) -> Tensor:
        logits, target = network(images), truth(labels, places)
        probability = logits.sigmoid()
        dice = 1 - (2 * (probability * target).sum() + 1) / (probability.sum() + target.sum() + 1)
        return dice + functional.binary_cross_entropy_with_logits(logits, target)

    trained(network, learn, options.extent, dims, options.steps, generator)
    images, labels, places = studies(4 * options.studies, options.extent, dims, generator)
    with torch.no_grad():
        found = network(images)[:, 0] > 0
        true = truth(labels, places)[:, 0] > 0
        dice = 2 * (found & true).flatten(1).sum(1) / (found.flatten(1).sum(1) + true.flatten(1).sum(1)).clamp_min(1)
    print(f"  segmentation {dims}D, seed {seed}: Dice {float(dice[labels == 1].mean()):.3f}", flush=True)
    cases = []
    for k in (dice > 0.7).nonzero().flatten().tolist()[: options.studies]:
        weights = found[k] / found[k].sum()
        score = partial(lambda image, w: (network(image)[:, 0].sigmoid() * w).flatten(1).sum(1), w=weights)
        cases.append((images[k : k + 1], 1, Target(0, weights), places[k, 0], score))
    for name in ("gradcam:0", "gradcam:1", "gradcam:2", "occlusion", "integrated-gradients"):
        yield name, measured(network, find_method(name), cases, options.shuffled)
    yield "middle", measured(network, middle, cases, 0)
    yield "noise", measured(network, noise, cases, 0)


METHODS = ("gradcam", "occlusion", "integrated-gradients")
NETWORKS: dict[str, Callable[[argparse.Namespace, int], Iterator[tuple[str, dict]]]] = {
    "class, 3D, fused at the input": partial(classes, "input", 3, "instance"),
    "class, 3D, fused at level 1": partial(classes, [1], 3, "instance"),
    "class, 3D, fused at level 2, instance norm": partial(classes, [2], 3, "instance"),
    "class, 3D, fused at level 2, batch norm": partial(classes, [2], 3, "batch"),
    "class, 3D, fused at the output": partial(classes, "output", 3, "instance"),
    "class, 2D, fused at level 2": partial(classes, [2], 2, "instance"),
    "region, 3D, fused at every level": partial(regions, 3),
}


def main() -> None:
    """Print the table and write it as CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--extent", type=int, default=24, help="voxels along each axis")
    parser.add_argument("--steps", type=int, default=250, help="of training, 16 studies each")
    parser.add_argument("--studies", type=int, default=16, help="that maps are made of")
    parser.add_argument(
        "--shuffled", type=int, default=1, help="studies of them that are explained with shuffled weights"
    )
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--only", help="networks whose names hold this")
    options = parser.parse_args()
    rows = []
    print(f"| network | method | {' | '.join(COLUMNS)} |\n|{'---|' * (2 + len(COLUMNS))}")
    for network, make in NETWORKS.items():
        if options.only and options.only not in network:
            continue
        start, by_method = time.perf_counter(), {}
        for seed in range(options.seeds):
            for method, values in make(options, seed=seed):
                by_method.setdefault(method, []).append(values)
                rows.append({"network": network, "method": method, "seed": seed, **values})
        for method, each in by_method.items():
            cells = []
            for column in COLUMNS:
                values = [one[column] for one in each]
                mean = sum(values) / len(values)
                cells.append("" if mean != mean else f"{mean:.2f} ({min(values):.2f} to {max(values):.2f})")
            print(f"| {network} | {method} | {' | '.join(cells)} |", flush=True)
        print(f"  {time.perf_counter() - start:.0f} s on {DEVICE}", flush=True)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["network", "method", "seed", *COLUMNS], lineterminator="\n")
            writer.writeheader()
            writer.writerows({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows)


if __name__ == "__main__":
    main()
