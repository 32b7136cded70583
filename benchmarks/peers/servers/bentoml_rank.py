"""BentoML, ids: its typed JSON API, one forward pass a request."""

from __future__ import annotations

from typing import Any

import bentoml
from common import Model, Shop, ordered


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Rank:
    """A user and item ids to the ordered list."""

    def __init__(self) -> None:
        self.model = Model()
        self.shop = Shop()

    @bentoml.api
    def rank(self, user_id: str, item_ids: list[str]) -> dict[str, Any]:
        """Gather, forward, sort."""
        return {"items": ordered(item_ids, self.model(self.shop.features(user_id, item_ids)))}
