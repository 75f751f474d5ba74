"""What an optimizer is to train, and how fast each of it."""

from __future__ import annotations

from typing import Any

from torch import nn

from polyscan.networks.pretrained_encoder import PretrainedStage


def parameter_groups(network: nn.Module, encoder_learning_rate: float) -> list[dict[str, Any]]:
    """The weights of a network that learn, those of a fine-tuned :class:`PretrainedEncoder` with a rate of their own.

    Args:
        network: the network.
        encoder_learning_rate: of theirs.

    Returns:
        Groups as ``torch.optim`` takes them: one whose rate is the optimizer's own ``lr``, and one with its own.
    """
    stages = [module for module in network.modules() if isinstance(module, PretrainedStage) and not module.frozen]
    tuned = {id(parameter) for stage in stages for parameter in stage.parameters()}
    learn = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in learn if id(p) not in tuned]},
        {"params": [p for p in learn if id(p) in tuned], "lr": encoder_learning_rate},
    ]
    return [group for group in groups if group["params"]]
