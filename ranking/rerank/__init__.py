"""Re-ranking: from ranked candidates to the places of a list."""

from ranking.rerank.batch import NO_EFFECT, Effect, ItemArrays, Repeat, RerankBatch, Reranked, seeds_of
from ranking.rerank.preview import Change, Preview, preview
from ranking.rerank.reranker import Reranker
from ranking.rerank.rulebook import Conflict, RuleBook, Ruling
from ranking.rerank.settings import RerankSettings

__all__ = [
    "NO_EFFECT",
    "Change",
    "Conflict",
    "Effect",
    "ItemArrays",
    "Preview",
    "Repeat",
    "RerankBatch",
    "RerankSettings",
    "Reranked",
    "Reranker",
    "RuleBook",
    "Ruling",
    "preview",
    "seeds_of",
]
