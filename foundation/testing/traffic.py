"""What shoppers' browsers and a shop's server ask of the API, drawn from a shop's own users and items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foundation.testing.http_client import encode_request

# Shares of page views in a web shop: most pages show lists for the visitor, some are the same for all.
MIX = {
    "home": 0.34,
    "product": 0.20,
    "cart": 0.06,
    "similar": 0.10,
    "bought_together": 0.05,
    "trending": 0.07,
    "popular": 0.04,
    "items": 0.03,
    "item": 0.02,
    "rank": 0.03,
    "events": 0.06,
}
_BURST = 3  # events of one call
_RANKED = 40  # items of a category page that a shop lets us put in order
_EXPONENT = 0.8  # popularity by rank, as a shop's page views have it (Zipf)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, ready to be sent."""

    route: str  # a name of MIX
    request: bytes


class Traffic:
    """Requests without end; equal arguments give equal requests."""

    def __init__(self, user_ids: Sequence[str], item_ids: Sequence[str], seed: int, name: str = "t") -> None:
        """Prepare.

        Args:
            user_ids: any user is as likely as another.
            item_ids: the first are asked for most.
            seed: of every draw.
            name: event ids begin with it, so that two drivers do not send each other's duplicates.
        """
        self._users = user_ids
        self._items = item_ids
        self._rng = np.random.default_rng(seed)
        self._name = f"{name}{seed}"
        self._sent = 0
        weight = np.arange(1, len(item_ids) + 1, dtype=np.float64) ** -_EXPONENT
        self._cumulative = np.cumsum(weight / weight.sum())

    def mixed(self, count: int) -> list[Ask]:
        """Requests in the proportions of ``MIX``."""
        names = list(MIX)
        drawn = self._rng.choice(len(names), count, p=np.array(list(MIX.values())))
        return [self.one(names[number]) for number in drawn]

    def one(self, route: str) -> Ask:
        """A request of one route.

        Raises:
            KeyError: the route is not in ``MIX``.
        """
        makers = {
            "home": lambda: encode_request("GET", f"/v1/recommendations/home?user_id={self._user()}"),
            "product": lambda: encode_request(
                "GET", f"/v1/recommendations/product?user_id={self._user()}&item_id={self._item()}"
            ),
            "cart": lambda: encode_request(
                "GET", f"/v1/recommendations/cart?user_id={self._user()}&item_id={self._item()}&item_id={self._item()}"
            ),
            "similar": lambda: encode_request("GET", f"/v1/items/{self._item()}/similar"),
            "bought_together": lambda: encode_request("GET", f"/v1/items/{self._item()}/bought-together"),
            "trending": lambda: encode_request("GET", "/v1/trending"),
            "popular": lambda: encode_request("GET", "/v1/popular?n=24"),
            "items": lambda: encode_request("GET", "/v1/items?n=24"),
            "item": lambda: encode_request("GET", f"/v1/items/{self._item()}"),
            "rank": lambda: encode_request("POST", "/v1/rank", self._ranking()),
            "events": lambda: encode_request("POST", "/v1/events", {"events": self._events()}),
        }
        return Ask(route, makers[route]())

    def _user(self) -> str:
        return self._users[int(self._rng.integers(len(self._users)))]

    def _item(self) -> str:
        place = int(np.searchsorted(self._cumulative, self._rng.random()))
        return self._items[min(place, len(self._items) - 1)]

    def _ranking(self) -> dict[str, object]:
        return {"user_id": self._user(), "item_ids": list({self._item() for _ in range(_RANKED)})}

    def _events(self) -> list[dict[str, object]]:
        user = self._user()
        self._sent += 1
        return [
            {
                "event_id": f"{self._name}-{self._sent}-{number}",
                "user_id": user,
                "item_id": self._item(),
                "event_type": "view",
            }
            for number in range(_BURST)
        ]
