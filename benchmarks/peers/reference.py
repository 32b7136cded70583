"""The task that every server gets: one network, one shop, the requests and their right answers."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Floats = NDArray[np.float32]

WIDTHS = (160, 256, 128, 64, 1)
USER_WIDTH = 64  # of the 160 features of a pair, these are the user's; the others are the item's
SEED = 0
TOLERANCE = 1e-4  # scores are about 0.1; JSON peers send them as text, others sum in another order


def network() -> nn.Sequential:
    """MLP 160-256-128-64-1 with ReLU, fp32, the default initialisation under seed 0."""
    torch.manual_seed(SEED)
    layers: list[nn.Module] = []
    for wide, narrow in itertools.pairwise(WIDTHS):
        layers += [nn.Linear(wide, narrow), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).eval()


@dataclass(frozen=True)
class Shop:
    """Ids of a shop and, as stand-ins for features, random tables of its size."""

    user_ids: list[str]
    item_ids: list[str]
    users: Floats  # (U, 64)
    items: Floats  # (N, 96)

    @classmethod
    def of(cls, user_ids: list[str], item_ids: list[str]) -> Shop:
        """Tables for these ids; the same ids get the same tables."""
        rng = np.random.default_rng(SEED)
        users = rng.standard_normal((len(user_ids), USER_WIDTH), np.float32)
        items = rng.standard_normal((len(item_ids), WIDTHS[0] - USER_WIDTH), np.float32)
        return cls(user_ids, item_ids, users, items)

    @classmethod
    def made_up(cls, n_users: int, n_items: int) -> Shop:
        """A shop of plain numbers."""
        return cls.of([f"u{n}" for n in range(n_users)], [f"i{n}" for n in range(n_items)])


@dataclass(frozen=True)
class RankAsk:
    """A user and distinct items to put in order."""

    user_id: str
    item_ids: list[str]
    scores: Floats  # (P,) the reference's, in the order of item_ids


class Task:
    """Requests with their right answers; equal arguments give equal requests."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self._network = network()

    def scores(self, features: Floats) -> Floats:
        """(P, 160) to (P,)."""
        with torch.inference_mode():
            found: Floats = self._network(torch.from_numpy(features)).numpy()[:, 0]
        return found

    def tensors(self, size: int, count: int) -> list[tuple[Floats, Floats]]:
        """``count`` requests of ``size`` candidates: (size, 160) features and (size,) scores."""
        rng = np.random.default_rng((SEED, size))
        asked = [rng.standard_normal((size, WIDTHS[0]), np.float32) for _ in range(count)]
        return [(features, self.scores(features)) for features in asked]

    def ranks(self, size: int, count: int) -> list[RankAsk]:
        """``count`` requests of ``size`` items.

        Raises:
            ValueError: the shop has fewer items.
        """
        shop = self.shop
        if size > len(shop.item_ids):
            raise ValueError(f"the shop has {len(shop.item_ids)} items, {size} are to be ranked; use a larger shop")
        rng = np.random.default_rng((SEED, size, 1))
        asks = []
        for _ in range(count):
            user = int(rng.integers(len(shop.user_ids)))
            rows = rng.permutation(len(shop.item_ids))[:size]
            own = np.broadcast_to(shop.users[user], (size, USER_WIDTH))
            scores = self.scores(np.concatenate([own, shop.items[rows]], axis=1))
            asks.append(RankAsk(shop.user_ids[user], [shop.item_ids[row] for row in rows], scores))
        return asks

    def write(self, folder: Path) -> None:
        """Write what servers read: ``model.pt`` (TorchScript), ``model.onnx``, ``shop.npz``."""
        example = torch.zeros(3, WIDTHS[0])
        with warnings.catch_warnings():
            # Both are deprecated upstream; both are what these servers' own guides load.
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.save(torch.jit.trace(self._network, example), str(folder / "model.pt"))  # type: ignore[no-untyped-call]
            torch.onnx.export(
                self._network,
                (example,),
                folder / "model.onnx",
                input_names=["features"],
                output_names=["scores"],
                dynamic_axes={"features": {0: "pairs"}, "scores": {0: "pairs"}},
                opset_version=18,
                dynamo=False,
            )
        shop = self.shop
        np.savez(
            folder / "shop.npz",
            users=shop.users,
            items=shop.items,
            user_ids=np.array(shop.user_ids),
            item_ids=np.array(shop.item_ids),
        )
