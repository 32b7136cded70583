"""The two towers as torch modules; both end on the unit sphere, where their inner product is the score.

Shapes: B users, L history entries, S = L + 1 positions (a start token first), D dim, H heads, N items.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that every reader of torch code knows

from foundation.types import EventType
from retrieval.encoder.config import EncoderConfig
from retrieval.encoder.features import GAP_BUCKETS, PRICE_FEATURES, ItemVocabulary

_FIRST_SCALE = 20.0  # 1 / temperature at the start of training
_NORM_EPS = 1e-6
_MAX_SCALE = 60.0  # above it a few confident pairs take the whole gradient


class RootMeanSquareNorm(nn.RMSNorm):
    """RMSNorm, spelt out while it is traced: the ONNX exporter has no operator for it."""

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) to (…, D)."""
        if not torch.onnx.is_in_onnx_export():
            return super().forward(x)
        mean_square = x.square().mean(dim=-1, keepdim=True)
        return x * torch.rsqrt(mean_square + _NORM_EPS) * self.weight


class GatedUnit(nn.Module):
    """SwiGLU feed-forward layer (Shazeer, arXiv 2002.05202), D → hidden → D."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.widen = nn.Linear(dim, 2 * hidden, bias=False)
        self.narrow = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) to (…, D)."""
        gate, value = self.widen(x).chunk(2, dim=-1)
        out: Tensor = self.narrow(F.silu(gate) * value)
        return out


class ItemTower(nn.Module):
    """An item's id and content to one unit vector. Code 0 reads a row of zeros in every table."""

    def __init__(self, config: EncoderConfig, vocabulary: ItemVocabulary) -> None:
        super().__init__()
        dim = config.dim
        self.id_dropout = config.id_dropout
        self.id = nn.Embedding(len(vocabulary.item_ids) + 1, dim, padding_idx=0)
        self.category = nn.Embedding(len(vocabulary.categories) + 1, dim, padding_idx=0)
        self.brand = nn.Embedding(len(vocabulary.brands) + 1, dim, padding_idx=0)
        self.word = nn.Embedding(vocabulary.title_buckets, dim, padding_idx=0)
        self.price = nn.Linear(PRICE_FEATURES, dim)
        self.norm = RootMeanSquareNorm(dim, eps=_NORM_EPS)
        self.mix = GatedUnit(dim, dim)
        for table in (self.id, self.category, self.brand, self.word):
            nn.init.normal_(table.weight, std=1 / math.sqrt(dim))
            with torch.no_grad():
                table.weight[0] = 0

    def forward(self, ids: Tensor, categories: Tensor, brand: Tensor, price: Tensor, title: Tensor) -> Tensor:
        """(N,), (N, LEVELS), (N,), (N, 3), (N, T) to unit rows (N, D)."""
        if self.training and self.id_dropout > 0:
            ids = ids * (torch.rand(ids.shape) >= self.id_dropout)
        words = (title > 0).sum(dim=1, keepdim=True).clamp(min=1)  # (N, 1)
        x = self.id(ids) + self.category(categories).sum(dim=1) + self.brand(brand)
        x = x + self.price(price) + self.word(title).sum(dim=1) / words.sqrt()  # (N, D)
        x = x + self.mix(self.norm(x))
        return F.normalize(x, dim=-1, eps=1e-6)


class Block(nn.Module):
    """Causal pre-norm transformer block with gated residuals, as in LiGR (arXiv 2502.03417)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        dim = config.dim
        self.heads = config.heads
        self.norm_attention = RootMeanSquareNorm(dim, eps=_NORM_EPS)
        self.norm_feed = RootMeanSquareNorm(dim, eps=_NORM_EPS)
        self.query = nn.Linear(dim, dim, bias=False)
        self.key_value = nn.Linear(dim, 2 * dim, bias=False)
        self.project = nn.Linear(dim, dim, bias=False)
        self.gate_attention = nn.Linear(dim, dim)
        self.gate_feed = nn.Linear(dim, dim)
        self.feed = GatedUnit(dim, dim)
        self.distance = nn.Embedding(config.history + 2, config.heads)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.zeros_(self.distance.weight)

    def forward(self, x: Tensor, distance: Tensor, allowed: Tensor) -> Tensor:
        """Positions to positions of the same shape.

        Args:
            x: (B, S, D) positions.
            distance: (Q, S) how far a key lies behind each of the last Q positions.
            allowed: (B, 1, Q, S) True where a position may look.

        Returns:
            (B, Q, D): only the last Q positions are computed.
        """
        queries = distance.shape[0]
        kept = x[:, x.shape[1] - queries :]
        x_norm = self.norm_attention(x)
        q = self._split(self.query(x_norm[:, x.shape[1] - queries :]))  # (B, H, Q, D/H)
        k, v = (self._split(part) for part in self.key_value(x_norm).chunk(2, dim=-1))  # (B, H, S, D/H)
        logits = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])  # (B, H, Q, S)
        logits = logits + self.distance(distance).permute(2, 0, 1)
        mixed = logits.masked_fill(~allowed, -1e9).softmax(dim=-1) @ v  # (B, H, Q, D/H)
        mixed = self.project(mixed.transpose(1, 2).flatten(2))  # (B, Q, D)
        kept = kept + self.dropout(mixed) * torch.sigmoid(self.gate_attention(kept))
        fed = self.feed(self.norm_feed(kept))
        out: Tensor = kept + self.dropout(fed) * torch.sigmoid(self.gate_feed(kept))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)


class UserTower(nn.Module):
    """A history of item vectors to one unit vector a position.

    Order enters as an attention bias by distance, never as an absolute position: what a position
    says is then the same wherever a window is cut, and the same in training as in serving.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        dim = config.dim
        self.history = config.history
        self.start = nn.Parameter(torch.randn(dim) / math.sqrt(dim))
        self.input = nn.Linear(dim, dim)
        self.event_type = nn.Embedding(len(EventType), dim)
        self.gap = nn.Embedding(GAP_BUCKETS, dim)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm = RootMeanSquareNorm(dim, eps=_NORM_EPS)
        self.output = nn.Linear(dim, dim)
        for table in (self.event_type, self.gap):
            nn.init.normal_(table.weight, std=1 / math.sqrt(dim))

    def forward(self, items: Tensor, known: Tensor, types: Tensor, gaps: Tensor) -> Tensor:
        """(B, L, D), (B, L), (B, L), (B, L) to the last position's unit vectors (B, D)."""
        return self.encode(items, known, types, gaps, last=True)[:, -1]

    def encode(self, items: Tensor, known: Tensor, types: Tensor, gaps: Tensor, *, last: bool = False) -> Tensor:
        """What each position expects next, (B, S, D); with ``last`` only the last position, (B, 1, D).

        Position 0 is the start token: what is expected of a user of whom nothing is known.
        """
        x = self.input(items * math.sqrt(items.shape[-1])) + self.event_type(types) + self.gap(gaps)  # (B, L, D)
        # Padding reads as the start token too: the last column of a user without a past is padding.
        x = torch.where(known[..., None], x, self.start)
        x = torch.cat((self.start.expand(x.shape[0], 1, -1), x), dim=1)  # (B, S, D)
        x = self.dropout(x)
        distance, allowed = self._sight(known)
        for block in self.blocks[:-1]:
            x = block(x, distance, allowed)
        if last:
            distance, allowed = distance[-1:], allowed[:, :, -1:]
        x = self.blocks[-1](x, distance, allowed)
        return F.normalize(self.output(self.norm(x)), dim=-1, eps=1e-6)

    def _sight(self, known: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (S, S), the start token always in the last bucket, and what may be seen (B, 1, S, S)."""
        seen = torch.cat((known.new_ones((known.shape[0], 1)), known), dim=1)  # (B, S)
        at = torch.arange(seen.shape[1])
        behind = at[:, None] - at[None, :]  # (S, S)
        distance = torch.where(at[None, :] == 0, self.history + 1, behind.clamp(0, self.history))
        return distance, (behind >= 0) & seen[:, None, None, :]


class Towers(nn.Module):
    """Both towers and the learnt temperature: what one training run optimises."""

    def __init__(self, config: EncoderConfig, vocabulary: ItemVocabulary) -> None:
        super().__init__()
        self.item = ItemTower(config, vocabulary)
        self.user = UserTower(config)
        self.log_scale = nn.Parameter(torch.tensor(math.log(_FIRST_SCALE)))

    def scale(self) -> Tensor:
        """1 / temperature, capped."""
        return self.log_scale.exp().clamp(max=_MAX_SCALE)
