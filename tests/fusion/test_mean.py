from __future__ import annotations

import torch

from polyscan.fusion import Mean


def test_mean_of_what_is_there():
    features = torch.tensor([[[1.0], [3.0], [100.0]], [[5.0], [7.0], [9.0]]])
    available = torch.tensor([[True, True, False], [True, True, True]])
    torch.testing.assert_close(Mean(3, 1)(features, available), torch.tensor([[2.0], [7.0]]))
