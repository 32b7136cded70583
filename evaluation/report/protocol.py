"""How the numbers came about, in words: a metric without its definition cannot be compared."""

from __future__ import annotations

from datetime import UTC, datetime

from evaluation.intervals import Bootstrap
from evaluation.report.model import Fact
from evaluation.truth import Truth

_SEEN = {
    "keep": "Items that the shopper had touched before stay in, as wanted items and in lists: buying again counts.",
    "exclude": "Items that the shopper had touched before the cut are left out, of what is wanted and of all lists.",
}


def moment(ms: int) -> str:
    """Milliseconds since the epoch as ISO 8601, UTC, to the second."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def protocol(truth: Truth, bootstrap: Bootstrap) -> tuple[Fact, ...]:
    """The rules of this evaluation, and every metric's formula."""
    counts = truth.counts
    told = {
        "Split": f"One moment for the whole shop, {moment(truth.cut)}. Systems learned from what was before it and "
        "are judged by what came after it.",
        "Users": f"{counts.users:,} shoppers did something in the test window; {counts.new_users:,} of them had no "
        "event before it. The headline is over those with history, the new ones have rows of their own.",
        "Wanted items": "The distinct items of a shopper's weighted events in the test window, however often.",
        "Seen items": _SEEN[truth.seen],
        "New items": f"{counts.new_items:,} of {counts.items:,} wanted items had no event before the cut. They count "
        "as wanted, though no system that learns from events alone can find them.",
        "Catalogue": f"Every list is chosen from all {truth.n_items:,} items. Nothing is sampled.",
        "Ties": "Equal scores are ordered by catalogue row. An empty place in a list counts as a miss.",
        "Recall@K": "Wanted items among the first K, divided by the number of wanted items.",
        "NDCG@K": "Each wanted item at rank r (from 1) gives 1 / log2(r + 1); the sum over the first K is divided by "
        "that of a perfect list, whose first min(K, wanted) places are all wanted.",
        "MRR@K": "1 / rank of the first wanted item among the first K, otherwise 0.",
        "Hit rate@K": "The share of shoppers with at least one wanted item among the first K.",
        "MAP@K": "The precision at each wanted item's rank, summed over the first K, divided by min(K, wanted).",
        "Coverage@K, Gini@K": "The share of the catalogue in at least one list; the inequality of how often items are "
        "shown (0 equal, 1 one item takes all).",
        "Novelty@K, popularity rank@K": "Mean surprise −log2 p(item) in bits; mean popularity rank as a share of the "
        "catalogue (0 is the best-seller).",
        "Diversity@K": "The share of pairs in a list whose deepest categories differ.",
        "Intervals": f"{bootstrap.confidence:.0%} percentile bootstrap over users, {bootstrap.resamples:,} resamples, "
        f"seed {bootstrap.seed}. Differences are paired by user.",
        "Verdict": "The best baseline is the one with the highest mean on the test itself, which favours it. Ours is "
        "called better only where the whole interval of the difference lies above 0.",
        "Tuning": "Each baseline's configuration was chosen on a validation window before the test window; every "
        "configuration tried is listed.",
    }
    return tuple(Fact(name, value) for name, value in told.items())
