"""What a network takes for there is what the study has, however large the image is beside the window."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import list_data_collate
from monai.data.utils import dense_patch_slices
from monai.inferers.utils import _get_scan_interval
from monai.utils import set_determinism
from prepared import kind_of, known_tasks, read_config, save_picture, save_table, small_window, write

from polyscan.errors import PolyscanError
from polyscan.study import Study
from polyscan.transforms import block_overlap

MORE = [(-5, 0, 0), (-7, -11, -3), (7, -3, 0), (-26, -26, -26)]
"""What an image has more voxels than the window, along each axis."""


@pytest.fixture(params=["training", "validation", "inference"])
def ask(request, bundle, tmp_path):
    """Prepares an item as the bundle does and gives it, through its inferer, to its network; returns what that met."""
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / f"{'inference' if request.param == 'inference' else 'train'}.json"))
    parser.update(small_window(bundle, 32))
    parser["output_dir"] = str(tmp_path)
    parser["device"] = torch.device("cpu")
    within = {"training": "train#", "validation": "validate#", "inference": ""}[request.param]
    transform = parser.get_parsed_content(f"{within}preprocessing")
    inferer = parser.get_parsed_content(f"{within}inferer")
    network = parser.get_parsed_content("network_def").eval()

    def asked(item):
        set_determinism(seed=0)
        image = list_data_collate([transform(item)])["image"]
        set_determinism(seed=None)
        met = []

        def meet(window):
            met.append(window.as_tensor() if hasattr(window, "as_tensor") else window)
            return (window[:, :1], {}) if request.param == "training" else window[:, :1]  # with the losses of a step

        inferer(image, meet)
        return torch.cat(met), network

    asked.drops = request.param == "training"
    return asked


def study(config, folder, size, there):
    """An item with noise of a size in voxels of the bundle for each modality that is there, and a label."""
    item = {"study": "s", "image": {}, "clinical": {}, "days": [0, 70], "label": {}}
    item["label"].update(known_tasks(config, 0))
    generator = torch.Generator().manual_seed(1)
    for name in there:
        if name == "clinical":
            item["clinical"] = {"age": 40}
            continue
        if "tables" in config:
            item["image"][name] = save_table(folder, config, Study("s"), name, generator)
            continue
        if not config["spacing"]:
            item["image"][name] = save_picture(folder, config, Study("s"), name, generator)
            continue
        factor = 2 ** config.get("enters", {}).get(name, 0)
        values = torch.randn(1, *(-(-n // factor) for n in size), generator=generator)
        item["image"][name] = write(folder / f"{name}.nii.gz", config, values, factor)
    if "regions" in config:
        finest = min(there, key=lambda name: config.get("enters", {}).get(name, 0))
        factor = 2 ** config.get("enters", {}).get(finest, 0)
        mask = torch.ones(1, *(-(-n // factor) for n in size), dtype=torch.uint8)
        item["label"] = write(folder / "label.nii.gz", config, mask, factor)
    return item


def test_availability_is_the_studys_own(bundle, ask, tmp_path):
    """A window's margin is absent; filled with zeros, it would make every modality there."""
    config = {**read_config(bundle, "inference"), **small_window(bundle, 32)}
    modalities = config["modalities"]
    for more, there in product(MORE, ([modalities[0]], [modalities[-1]], modalities)):
        size = [n + m for n, m in zip(config.get("roi_size", []), more, strict=False)]
        windows, network = ask(study(config, tmp_path, size, there))
        with torch.no_grad():
            _, available = network.encode(windows)
        own = torch.tensor([name in there for name in modalities]).expand_as(available)
        if ask.drops:  # modality dropout may take away, never add
            assert not (available & ~own).any(), (more, there)
        else:
            assert torch.equal(available, own), (more, there)


def test_what_is_turned_into_the_window_is_absent(bundle):
    """A turn brings what was never measured into the window: the picture's last voxels are not drawn out there."""
    config = read_config(bundle, "train")
    if kind_of(bundle) != "classification" or not config["spacing"]:
        pytest.skip("this bundle turns nothing")
    transforms = ConfigParser(config).get_parsed_content("train#random_transforms", instantiate=True)
    turn = [made for made in transforms if type(made).__name__ in ("BorderPadd", "RandAffined", "CenterSpatialCropd")]
    image = torch.ones(2, *config["roi_size"])
    image[1] = torch.nan
    seen = []
    for seed in range(10):
        data = {"image": image}
        for step in turn:
            if hasattr(step, "set_random_state"):
                step.set_random_state(seed)
            data = step(data)
        assert data["image"].shape == image.shape
        assert data["image"][1].isnan().all()
        seen.append(float(data["image"][0].isfinite().float().mean()))
    assert 0.5 < min(seen) < 0.95
    assert max(seen) == 1  # not turned: every voxel is as it was


def test_packed_windows_begin_with_whole_blocks():
    """MONAI's own arithmetic, for every size of window and overlap."""
    for roi, overlap, level in product((16, 24, 40, 96), np.linspace(0, 0.95, 20), (1, 2, 3)):
        block = 2**level
        found = block_overlap([roi], float(overlap), {"CT": 0, "PET": level})
        for image in range(roi + block, 3 * roi, block):
            (step,) = _get_scan_interval([image], [roi], 1, found)
            assert abs(step - roi * (1 - overlap)) < block + 1
            assert all(window[0].start % block == 0 for window in dense_patch_slices([image], [roi], [step]))
    with pytest.raises(PolyscanError, match="expected multiples of 4"):
        block_overlap([40, 42, 40], 0.5, {"CT": 0, "PET": 2})
