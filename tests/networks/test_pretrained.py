"""Weights that someone trained before: the layouts of files that people have, and how much of an encoder learns."""

from __future__ import annotations

import copy
import json
from functools import partial

import pytest
import torch
from monai.networks.nets import SwinUNETR, ViT, resnet10, resnet18, resnet50
from monai.networks.nets.segresnet_ds import SegResEncoder as MonaiSegResEncoder
from torch import nn

from polyscan.errors import PolyscanError
from polyscan.fusion import Concatenation
from polyscan.learning import parameter_groups
from polyscan.networks import (
    ClassificationHead,
    EfficientNetEncoder,
    FusionNet,
    PretrainedEncoder,
    ResNetEncoder,
    SegResEncoder,
    SwinEncoder,
    UNetEncoder,
    ViTEncoder,
)
from polyscan.networks.pretrained_encoder import LowRank


def test_resnet_is_monais():
    torch.manual_seed(0)
    theirs = resnet10(spatial_dims=2, n_input_channels=1, conv1_t_stride=2, feed_forward=False, bias_downsample=False)
    ours = ResNetEncoder(1, 2, depth=10)
    ours.stages.load_state_dict(dict(zip(ours.stages.state_dict(), theirs.state_dict().values(), strict=True)))
    x = torch.randn(1, 1, 32, 32)
    torch.testing.assert_close(ours.eval()(x)[-1].mean((2, 3)), theirs.eval()(x))


@pytest.mark.parametrize(("make", "depth", "shortcut"), [(resnet18, 18, "A"), (resnet50, 50, "B")])
def test_weights_of_medicalnet(make, depth, shortcut, tmp_path):
    """In 3D, with ``module.`` before every name; its ResNet-18 has shortcuts without weights."""
    small = {"widen_factor": 0.125}
    theirs = make(n_input_channels=1, shortcut_type=shortcut, bias_downsample=False, feed_forward=False, **small).eval()
    stored = {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}
    assert ("module.layer2.0.downsample.0.weight" in stored) == (shortcut == "B")
    torch.save({"state_dict": stored}, tmp_path / "weights.pth")
    ours = ResNetEncoder(1, 3, depth=depth, stem_stride=1, weights=tmp_path / "weights.pth", **small).eval()
    x = torch.randn(1, 1, 16, 16, 16)
    torch.testing.assert_close(ours(x)[-1].mean((2, 3, 4)), theirs(x))


def test_shortcuts_without_weights_pass_gradients_and_can_be_scripted():
    ours = ResNetEncoder(1, 3, depth=18, widen_factor=0.125).eval()
    x = torch.randn(1, 1, 16, 16, 16, requires_grad=True)
    blocks = [block for level in ours.stages[2:] for block in level]
    for block in blocks:
        nn.init.zeros_(block.bn2.weight)  # the shortcut alone
    torch.jit.script(ours)(x)[-1].sum().backward()
    assert x.grad.abs().sum() > 0


def test_weights_for_several_channels(tmp_path):
    """A first convolution of colours is summed; a head more is no matter."""
    theirs = resnet10(spatial_dims=2, n_input_channels=3, conv1_t_stride=2, bias_downsample=False, num_classes=7).eval()
    torch.save({"state_dict": theirs.state_dict(), "epoch": 3}, tmp_path / "weights.pth")
    ours = ResNetEncoder(1, 2, depth=10, weights=tmp_path / "weights.pth").eval()
    grey = torch.randn(1, 1, 32, 32)
    x = theirs.conv1(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(ours(grey)[0], theirs.act(theirs.bn1(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ssl", [False, True])
def test_weights_of_swin_unetr(ssl, tmp_path):
    """Of a whole one, and of the encoder pretrained by self-supervision, whose names are others."""
    whole = SwinUNETR(in_channels=1, out_channels=2, feature_size=12, spatial_dims=3).eval()
    stored = whole.state_dict()
    if ssl:
        own = whole.swinViT.state_dict()
        stored = {"state_dict": {f"module.{k.replace('.linear', '.fc')}": v for k, v in own.items()}, "epoch": 9}
        assert "module.layers1.0.blocks.0.mlp.fc1.weight" in stored["state_dict"]
    torch.save(stored, tmp_path / "swin.pt")
    ours = SwinEncoder(1, feature_size=12, weights=tmp_path / "swin.pt").eval()
    x = torch.randn(1, 1, 32, 32, 32)
    for mine, level in zip(ours(x), whole.swinViT(x, normalize=False), strict=True):
        torch.testing.assert_close(mine, level)


@pytest.mark.parametrize("prefix", ["", "encoder."])
def test_weights_of_ct_fm(prefix, tmp_path):
    """Of the encoder alone and of the whole SegResNet, as safetensors."""
    theirs = MonaiSegResEncoder(init_filters=4, blocks_down=(1, 2, 2, 4, 4)).eval()
    stored = {f"{prefix}{name}": tensor for name, tensor in theirs.state_dict().items()}
    save_safetensors(stored, tmp_path / "model.safetensors")
    same = {"init_filters": 4, "blocks_down": (1, 2, 2, 4, 4), "norm": "batch"}
    ours = SegResEncoder(1, **same, weights=tmp_path / "model.safetensors").eval()
    x = torch.randn(1, 1, 16, 16, 16)
    for mine, level in zip(ours(x), theirs(x), strict=True):
        torch.testing.assert_close(mine, level)


def save_safetensors(tensors, path):
    """Little-endian length of the header, the header, the values."""
    names = {torch.float32: "F32", torch.int64: "I64"}
    header, values = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in tensors.items():
        own = tensor.numpy().tobytes()
        at = [len(values), len(values) + len(own)]
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": at}
        values += own
    told = json.dumps(header).encode()
    path.write_bytes(len(told).to_bytes(8, "little") + told + values)


def test_weights_of_bm_mae(tmp_path):
    """Each modality has an embedding of patches; blocks and norm are those of all."""
    size = {"img_size": (32, 32, 32), "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}
    theirs = ViT(1, patch_size=16, num_layers=4, qkv_bias=True, pos_embed_type="sincos", **size).eval()
    stored = {k: v for k, v in theirs.state_dict().items() if not k.startswith("patch_embedding")}
    embedding = theirs.patch_embedding.state_dict()
    stored |= {f"tokenizers.t1ce.patch_embedding.{k}": v for k, v in embedding.items()}
    stored |= {f"tokenizers.t1.patch_embedding.{k}": v + 1 for k, v in embedding.items()}
    stored |= {"cls_token": torch.zeros(1, 1, 24), "decoder.mask_token": torch.zeros(1, 1, 24)}
    torch.save(stored, tmp_path / "bmmae.pth")
    same = {"qkv_bias": True, "pos_embed_type": "sincos", "layers": (2, 2), **size}
    ours = ViTEncoder(1, **same, weights=tmp_path / "bmmae.pth", tokenizer="t1ce").eval()
    x = torch.randn(1, 1, 32, 32, 32)
    torch.testing.assert_close(ours(x)[-1].flatten(2).transpose(1, 2), theirs(x)[0])
    with pytest.raises(PolyscanError, match="found no such entry"):
        ViTEncoder(1, **same, weights=tmp_path / "bmmae.pth")


def test_weights_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(resnet10(spatial_dims=2, n_input_channels=1).state_dict(), path)
    with pytest.raises(PolyscanError, match=r"have another shape; conv1.weight should have \[64, 1, 7, 7, 7\]"):
        ResNetEncoder(1, 3, depth=10, weights=path)
    with pytest.raises(PolyscanError, match="are missing"):
        ResNetEncoder(1, 2, depth=18, weights=path)
    path.write_bytes(b"not weights")
    with pytest.raises(PolyscanError, match="cannot be read as weights"):
        ResNetEncoder(1, 2, depth=10, weights=path)


def network(tmp_path, training, **options):
    """A network with pretrained encoders, and the weights of the file."""
    theirs = resnet10(n_input_channels=1, spatial_dims=2, widen_factor=0.125, bias_downsample=False)
    torch.save(theirs.state_dict(), tmp_path / "weights.pt")
    encoder = partial(
        PretrainedEncoder,
        encoder=partial(ResNetEncoder, depth=10, widen_factor=0.125),
        weights=tmp_path / "weights.pt",
        training=training,
        **options,
    )
    net = FusionNet(["T1", "T2"], encoder, [2], Concatenation, ClassificationHead, spatial_dims=2)
    return net, list(theirs.state_dict().values())[:-2]  # without the head


def train(net):
    """A few steps; returns the names of the weights and buffers that changed."""
    first = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    optimizer = torch.optim.SGD(parameter_groups(net.train(), 0.01), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.randn(4, 2, 32, 32)).square().sum().backward()
        optimizer.step()
    return {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, first[name])}


def test_a_frozen_encoder_keeps_weights_and_statistics(tmp_path):
    net, stored = network(tmp_path, "frozen")
    changed = train(net)
    assert changed
    assert not any(".stage." in name for name in changed)
    assert any("fusions" in name for name in changed)
    own = [t for part in (".encoders.1.", ".joint_stages.") for name, t in net.state_dict().items() if part in name]
    for mine, theirs in zip(own, stored, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_a_fine_tuned_encoder_has_a_learning_rate_of_its_own(tmp_path):
    net, _ = network(tmp_path, "full")
    groups = torch.optim.SGD(parameter_groups(net, 0.01), lr=0.1).param_groups
    assert [group["lr"] for group in groups] == [0.1, 0.01]
    tuned = {id(p) for p in groups[1]["params"]}
    assert {name for name, p in net.named_parameters() if id(p) in tuned} == {
        name for name, _ in net.named_parameters() if ".encoders." in name or ".joint_stages." in name
    }
    changed = train(net)
    assert {"body.encoders.0.stages.0.stage.0.weight", "body.encoders.0.stages.0.stage.1.running_mean"} <= changed
    plain = FusionNet(["T1", "T2"], UNetEncoder, [3], Concatenation, ClassificationHead)
    assert [group["lr"] for group in torch.optim.SGD(parameter_groups(plain, 0.01), lr=0.1).param_groups] == [0.1]


def test_low_rank_layers_learn_beside_a_frozen_encoder(tmp_path):
    net, _ = network(tmp_path, "low-rank", rank=2)
    image = torch.randn(2, 2, 32, 32)
    frozen, _ = network(tmp_path, "frozen")
    same = {name.replace(".layer.", "."): tensor for name, tensor in net.state_dict().items()}
    frozen.load_state_dict({name: same[name] for name in frozen.state_dict()})
    torch.testing.assert_close(net.eval()(image), frozen.eval()(image))
    changed = train(net)
    assert {name for name in changed if ".stage." in name} == {
        name for name in net.state_dict() if ".up." in name or ".down." in name
    }


@pytest.mark.parametrize(
    ("layer", "image"),
    [
        (nn.Linear(5, 7), torch.randn(3, 5)),
        (nn.Conv3d(4, 6, 3, stride=2, padding=1, dilation=2), torch.randn(2, 4, 9, 8, 7)),
        (nn.Conv2d(4, 6, (3, 1), padding="same", bias=False), torch.randn(2, 4, 9, 8)),
    ],
)
def test_a_low_rank_layer_is_the_layer_with_the_product_added_to_its_weights(layer, image):
    torch.manual_seed(0)
    adapted = LowRank(layer, 3)
    torch.testing.assert_close(adapted(image), layer(image), rtol=0, atol=0)
    nn.init.normal_(adapted.up.weight)
    product = torch.einsum("or,ri...->oi...", adapted.up.weight.flatten(1), adapted.down.weight)
    merged = copy.deepcopy(layer)
    merged.weight.data += product
    torch.testing.assert_close(adapted(image), merged(image), rtol=1e-4, atol=1e-5)


def test_grouped_convolutions_stay_as_they_are():
    adapted = PretrainedEncoder(1, 2, encoder=EfficientNetEncoder, training="low-rank", rank=1)
    grouped = [m for m in adapted.modules() if getattr(m, "groups", 1) > 1]
    adaptors = [m.layer for m in adapted.modules() if isinstance(m, LowRank)]
    assert grouped
    assert not set(map(id, grouped)) & set(map(id, adaptors))
    assert adapted(torch.randn(1, 1, 32, 32))[-1].isfinite().all()


def test_what_is_no_way_of_training_is_refused():
    with pytest.raises(ValueError, match="expected full, frozen or low-rank"):
        PretrainedEncoder(1, encoder=ResNetEncoder, training="half")
