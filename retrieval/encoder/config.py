"""Settings of the retrieval encoder."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.errors import ConfigError
from foundation.settings import setting

_AT_LEAST_ONE = (
    "dim",
    "history",
    "blocks",
    "title_tokens",
    "negatives",
    "horizon",
    "epochs",
    "warm_epochs",
    "threads",
)


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """How the two towers are shaped and trained.

    Raises:
        ConfigError: a value that no model can be built or trained with.
    """

    dim: int = setting(64, unit="", help="size of the common space; the index stores this many floats an item")
    history: int = setting(50, unit="events", help="newest events of a user that the model reads")
    blocks: int = setting(2, unit="", help="transformer blocks of the user tower")
    heads: int = setting(2, unit="", help="attention heads a block; must divide dim")
    dropout: float = setting(0.1, unit="share", help="dropout inside the user tower while training")
    id_dropout: float = setting(0.2, unit="share", help="item ids hidden a step, so that content learns to stand alone")
    title_buckets: int = setting(8192, unit="", help="hash buckets of title words")
    title_tokens: int = setting(12, unit="words", help="words of a title that are read; the rest is ignored")
    negatives: int = setting(768, unit="items", help="negatives drawn a step, shared by all its positions")
    proposal_power: float = setting(0.75, unit="", help="negatives are drawn in proportion to popularity to this power")
    horizon: int = setting(3, unit="events", help="a position learns one of the user's next so many events, at random")
    epochs: int = setting(3, unit="", help="passes over the events, at most")
    warm_epochs: int = setting(1, unit="", help="passes when training goes on from an earlier encoder, at most")
    batch_positions: int = setting(1024, unit="events", help="padded history entries a step")
    lr: float = setting(0.003, unit="", help="peak learning rate of AdamW; a tenth of it at the end")
    weight_decay: float = setting(0.01, unit="", help="decoupled weight decay of the matrices, not of the tables")
    validation_share: float = setting(0.05, unit="share", help="newest events held back for early stopping; 0: none")
    patience: int = setting(2, unit="epochs", help="epochs without a better validation recall before stopping")
    time_budget_s: float | None = setting(
        None, unit="s", help="stop after the epoch in which this has passed; None: no cap (and reproducible)"
    )
    seed: int = setting(0, unit="", help="seed of initial values, order, negatives and dropout")
    threads: int = setting(2, unit="threads", help="CPU threads while training; results are equal for equal threads")

    def __post_init__(self) -> None:
        if self.dim % self.heads:
            raise ConfigError(f"encoder: heads={self.heads} must divide dim={self.dim}")
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ConfigError(f"encoder: {name} must be at least 1, is {getattr(self, name)}")
        if self.title_buckets < 2:
            raise ConfigError(f"encoder: title_buckets must be at least 2, is {self.title_buckets}")
        if self.batch_positions <= self.history:
            raise ConfigError(f"encoder: batch_positions must exceed history={self.history}")
        for name in ("dropout", "id_dropout", "validation_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"encoder: {name} must be in [0, 1), is {getattr(self, name)}")
