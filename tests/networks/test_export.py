"""What a network must still answer the same after: export, compilation, and saving memory."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from polyscan import fusion
from polyscan.fusion import AttentionWeighted, Concatenation, MaskedTransformer
from polyscan.fusion.table import DAFT, TableTokens
from polyscan.fusion.temporal import TemporalAttention
from polyscan.networks import (
    ClassificationHead,
    DRIFANet,
    FusionNet,
    MultiScaleNet,
    PackedScales,
    SegmentationHead,
    TableNet,
    TemporalNet,
    UNetEncoder,
)

NAN = float("nan")


def make(fuse_at, layer=AttentionWeighted, *, classify=False, **options):
    torch.manual_seed(0)
    norm = {"norm": ("group", {"num_groups": 2})}
    head = ClassificationHead if classify else partial(SegmentationHead, width=(4,), out_channels=4, **norm)
    return FusionNet(["T1", "PET"], partial(UNetEncoder, channels=(4, 8), **norm), fuse_at, layer, head, **options)


def image_of(size=8, batch=1):
    image = torch.randn(batch, 2, size, size, size)
    image[0, 1] = NAN
    return image


@pytest.mark.parametrize("fuse_at", ["input", [0, 1], "output"], ids=str)
def test_onnx_answers_the_same_with_a_modality_absent(fuse_at, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    net, path = make(fuse_at).eval(), tmp_path / "net.onnx"
    torch.onnx.export(net, (torch.randn(1, 2, 8, 8, 8),), path, dynamo=True, optimize=False, verbose=False)
    session = runtime.InferenceSession(path)
    for image in (image_of(), torch.randn(1, 2, 8, 8, 8)):
        np.testing.assert_allclose(asked(session, image), net(image).detach().numpy(), atol=1e-4)


def asked(session, *inputs):
    """What an ONNX session answers to tensors."""
    names = [each.name for each in session.get_inputs()]
    (answer,) = session.run(None, dict(zip(names, (each.numpy() for each in inputs), strict=True)))
    return answer


@pytest.mark.parametrize("layer", fusion.layers(), ids=lambda layer: layer.__name__)
def test_every_layer_exports(layer):
    """As a graph that torch.export, ONNX and compilers share."""
    torch.manual_seed(0)
    net, features = layer(3, 4).eval(), torch.randn(2, 3, 4, 5, 6, 5)
    available = torch.tensor([[True, False, True], [True, True, True]])
    program = torch.export.export(net, (features, torch.ones(2, 3, dtype=torch.bool)))
    torch.testing.assert_close(program.module()(features, available), net(features, available))


def others():
    """The networks beside FusionNet, each with its inputs."""
    encoder, vector = partial(UNetEncoder, channels=(4, 8)), partial(make, [1], classify=True)
    days, drifa = torch.tensor([[3.0, 40.0]]), {"in_channels": 1, "spatial_dims": 3, "widths": (4,)}
    return {
        "MultiScaleNet": (
            MultiScaleNet({"CT": 0, "PET": 1}, encoder, AttentionWeighted, ClassificationHead),
            ([torch.randn(1, 1, 8, 8, 8), torch.full((1, 1, 4, 4, 4), NAN)],),
        ),
        "TableNet": (TableNet(vector(), TableTokens(1, [3]), DAFT), (image_of(), torch.tensor([[NAN, 2.0]]))),
        "TableNet of numbers": (TableNet(vector(), TableTokens(2), DAFT), (image_of(), torch.tensor([[NAN, 2.0]]))),
        "PackedScales": (
            PackedScales(MultiScaleNet({"T1": 0, "PET": 1}, encoder, AttentionWeighted, ClassificationHead)),
            (image_of(),),
        ),
        "TemporalNet": (TemporalNet(vector(), TemporalAttention), (image_of().repeat(1, 2, 1, 1, 1), days)),
        "DRIFANet": (DRIFANet(["A", "B"], {"t": 3}, **drifa), (image_of(16),)),
    }


@pytest.mark.parametrize("name", list(others()))
def test_other_networks_export_and_run_in_half_precision(name, tmp_path):
    torch.manual_seed(0)
    net, inputs = others()[name]
    answer = net.eval()(*inputs)
    program = torch.export.export(net, inputs)
    torch.testing.assert_close(program.module()(*inputs), answer)
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    torch.onnx.export(program, (), tmp_path / "net.onnx", dynamo=True, optimize=False, verbose=False)
    flat = [each for given in inputs for each in (given if isinstance(given, list) else [given])]
    told = asked(runtime.InferenceSession(tmp_path / "net.onnx"), *flat)
    np.testing.assert_allclose(told, answer.detach().numpy(), atol=1e-4)
    torch.testing.assert_close(torch.jit.script(net)(*inputs), answer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(net(*inputs).float(), answer, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("layer", [AttentionWeighted, Concatenation, MaskedTransformer])
def test_compiled_answers_the_same(layer):
    net = make([1], layer).eval()
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    for image in (image_of(), torch.randn(1, 2, 8, 8, 8)):
        torch.testing.assert_close(compiled(image), net(image))


@pytest.mark.parametrize("shared", [False, True])
def test_checkpoints_give_the_same_gradients_from_less_memory(shared):
    gradients, kept = [], []
    for checkpoint in (False, True):
        net = make([0, 1], shared=shared, checkpoint=checkpoint).train()
        image, held = image_of(16), []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, held=held: held.append(t.numel()) or t, lambda t: t):
            loss = net(torch.nan_to_num(image)).square().mean()
        kept.append(sum(held))
        loss.backward()
        gradients.append([p.grad for p in net.parameters()])
    torch.testing.assert_close(gradients[0], gradients[1])
    assert kept[1] < 0.7 * kept[0]


def test_a_shared_encoder_is_one_encoder_in_one_call():
    net, own = make([0, 1], shared=True).eval(), make([0, 1]).eval()
    assert sum(p.numel() for p in net.parameters()) < sum(p.numel() for p in own.parameters())
    calls = []
    net.body.encoders.encoder.register_forward_hook(lambda *_: calls.append(1))
    image = image_of(batch=2)
    out = net(image)
    assert len(calls) == 1
    for encoder in own.body.encoders:
        encoder.load_state_dict(net.body.encoders.encoder.state_dict())
    own.body.fusions.load_state_dict(net.body.fusions.state_dict())
    own.body.head.load_state_dict(net.body.head.state_dict())
    torch.testing.assert_close(out, own(image), rtol=1e-4, atol=1e-5)
    assert make("output", shared=True, classify=True)(image).shape == (2, 2)
