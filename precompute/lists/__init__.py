"""The public lists of a shop: trending, popular, similar and bought together."""

from __future__ import annotations

import numpy as np

from foundation.catalogue import Catalogue
from foundation.errors import InvalidInput
from foundation.events import Events
from foundation.public_lists import PublicLists
from foundation.types import Floats
from precompute.lists.bought_together import bought_together
from precompute.lists.popular import popular
from precompute.lists.settings import ListSettings
from precompute.lists.similar import similar
from precompute.lists.trending import trending

__all__ = ["ListSettings", "compute_lists"]


def compute_lists(
    catalogue: Catalogue, events: Events, item_embeddings: Floats | None, settings: ListSettings, now_ms: int
) -> PublicLists:
    """Every public list as of ``now_ms``; events at or after it are not looked at.

    What is sold out stays listed: the answer hides it at its last step, when stock is known. Equal
    events in any order give equal lists.

    Args:
        catalogue: N items.
        events: the log.
        item_embeddings: (N, D) content vectors for items with little history, or None.
        settings: lengths, windows and thresholds.
        now_ms: the cut.

    Raises:
        InvalidInput: embeddings of another number of items.
    """
    n = len(catalogue)
    if item_embeddings is not None and len(item_embeddings) != n:
        raise InvalidInput(f"{len(item_embeddings)} embeddings for {n} items; embed this catalogue again")
    past = _canonical(events.before(now_ms))
    return PublicLists(
        ranked=trending(catalogue, past, settings, now_ms) | popular(catalogue, past, settings, now_ms),
        similar=similar(past, n, item_embeddings, settings, now_ms),
        bought_together=bought_together(past, n, settings),
        generated_at=now_ms,
    )


def _canonical(events: Events) -> Events:
    """Events of one instant in one order: sums of floats must not depend on how the log was read."""
    return events.take(np.lexsort((events.region, events.session, events.type, events.item, events.user, events.time)))
