"""FastAPI + FAISS + torch as most people write it: pydantic lists in, one forward pass a request, lists out."""

from __future__ import annotations

import faiss
import numpy as np
import torch
import uvicorn
from common import FOLDER, PORT, Shop
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = torch.jit.load(str(FOLDER / "model.pt")).eval()  # type: ignore[no-untyped-call]
shop = Shop()
index = faiss.IndexFlatIP(64)
index.add(np.ascontiguousarray(shop.items[:, :64]))


class ScoreRequest(BaseModel):
    """Features of each candidate."""

    features: list[list[float]]


class ScoreResponse(BaseModel):
    """One score a candidate."""

    scores: list[float]


class RankRequest(BaseModel):
    """A user and the items to put in order."""

    user_id: str
    item_ids: list[str]


class RecommendRequest(BaseModel):
    """A user, how many candidates to rank and how many to answer."""

    user_id: str
    candidates: int
    n: int


class RankedItem(BaseModel):
    """One place of the list."""

    item_id: str
    score: float


class RankResponse(BaseModel):
    """The list, best first."""

    items: list[RankedItem]


@app.post("/tensor")
def tensor(request: ScoreRequest) -> ScoreResponse:
    """Score features."""
    with torch.no_grad():
        scores = model(torch.tensor(request.features))
    return ScoreResponse(scores=scores[:, 0].tolist())


def _ranked(user_id: str, item_ids: list[str]) -> list[RankedItem]:
    with torch.no_grad():
        scores = model(torch.from_numpy(shop.features(user_id, item_ids)))[:, 0].tolist()
    pairs = sorted(zip(item_ids, scores, strict=True), key=lambda pair: -pair[1])
    return [RankedItem(item_id=item_id, score=score) for item_id, score in pairs]


@app.post("/rank")
def rank(request: RankRequest) -> RankResponse:
    """Put the caller's items in order."""
    return RankResponse(items=_ranked(request.user_id, request.item_ids))


@app.post("/recommend")
def recommend(request: RecommendRequest) -> RankResponse:
    """The nearest items of the index, in the model's order."""
    _, rows = index.search(shop.user(request.user_id)[None], request.candidates)
    found = [shop.item_ids[row] for row in rows[0]]
    return RankResponse(items=_ranked(request.user_id, found)[: request.n])


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", access_log=False)
