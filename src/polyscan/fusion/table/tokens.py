"""Variables of a table as tokens; what was not recorded is NaN and becomes an absent token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class TableTokens(nn.Module):
    """Numeric: token_j = x_j w_j + b_j. Categorical: token_j = E_j[x_j] + b_j.

    Feature tokenizer (Gorishniy et al., Revisiting deep learning models for tabular data, NeurIPS 2021).

    Args:
        numeric: number of numeric variables; give them standardised.
        categories: how many values each categorical variable can take.
        width: numbers of a token.
    """

    def __init__(self, numeric: int, categories: Sequence[int] = (), width: int = 32) -> None:
        super().__init__()
        if numeric + len(categories) < 1:
            raise ValueError("a table needs one variable at least; found no numeric and no categorical one.")
        self.numeric = numeric
        self.categories = tuple(categories)  # TorchScript cannot tell what an empty list holds
        self.width = width
        self.variables = numeric + len(self.categories)
        bound = width**-0.5
        self.weight = nn.Parameter(torch.empty(numeric, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(self.variables, width).uniform_(-bound, bound))
        self.values = nn.Parameter(torch.empty(sum(self.categories), width).uniform_(-bound, bound))

    def forward(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """Turn rows of a table into tokens.

        Args:
            table: (batch, variable), the numeric ones first; categorical values are 0, 1, 2 ...; NaN is not recorded.

        Returns:
            (batch, variable, width) tokens, zero where not recorded, and (batch, variable) bool, True where recorded.

        Raises:
            ValueError: the number of variables, or a category, is not one that the module was made for.
        """
        if table.dim() != 2 or table.shape[1] != self.variables:
            raise ValueError(f"table has shape {list(table.shape)}; expected (batch, {self.variables} variables).")
        recorded = torch.isfinite(table)
        known = table.masked_fill(~recorded, 0.0).to(self.weight.dtype)
        tokens = [known[:, : self.numeric].unsqueeze(2) * self.weight]
        start = 0
        for j, count in enumerate(self.categories):
            value = known[:, self.numeric + j].round().long()
            unknown = (value < 0) | (value >= count)
            if not torch.compiler.is_compiling() and bool(unknown.any()):
                raise ValueError(f"categorical variable {j} has a value outside 0 to {count - 1}.")
            tokens.append(self.values[start + value].unsqueeze(1))
            start += count
        return (torch.cat(tokens, dim=1) + self.bias).masked_fill(~recorded.unsqueeze(2), 0.0), recorded


class VectorToken(nn.Module):
    """An embedding that the user has already, such as a text encoder's: one token, by a linear map of the whole.

    Args:
        size: numbers of the embedding.
        width: numbers of a token.
    """

    def __init__(self, size: int, width: int = 32) -> None:
        super().__init__()
        self.variables = 1
        self.width = width
        self.project = nn.Linear(size, width)

    def forward(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Turn (batch, size) into a token (batch, 1, width) and (batch, 1) bool; a vector with NaN is absent."""
        recorded = torch.isfinite(vector).all(1, keepdim=True)
        token = self.project(vector.masked_fill(~recorded, 0.0))
        return token.masked_fill(~recorded, 0.0).unsqueeze(1), recorded
