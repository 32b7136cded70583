"""FastAPI by someone who measures: raw bytes in and out, no models on the hot path, uvloop and httptools.

``PEER_VARIANT=inline`` runs the forward pass on the event loop instead of a thread: cheaper for one
caller, worse for the tail of many.
"""

from __future__ import annotations

import faiss
import numpy as np
import orjson
import uvicorn
from common import PORT, VARIANT, Model, Shop, answer, decode
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

BINARY, JSON = "application/octet-stream", "application/json"
app = FastAPI()
model = Model()
shop = Shop()
faiss.omp_set_num_threads(1)
index = faiss.IndexFlatIP(64)
index.add(np.ascontiguousarray(shop.items[:, :64]))


def _tensor(body: bytes) -> bytes:
    return model(decode(body)).tobytes()


def _rank(body: bytes) -> bytes:
    asked = orjson.loads(body)
    item_ids = asked["item_ids"]
    return answer(item_ids, model(shop.features(asked["user_id"], item_ids)))


def _recommend(body: bytes) -> bytes:
    asked = orjson.loads(body)
    _, rows = index.search(shop.user(asked["user_id"])[None], asked["candidates"])
    found = [shop.item_ids[row] for row in rows[0]]
    return answer(found, model(shop.of_rows(asked["user_id"], rows[0])), asked["n"])


@app.post("/tensor")
async def tensor(request: Request) -> Response:
    """Score features."""
    body = await request.body()
    scores = _tensor(body) if VARIANT == "inline" else await run_in_threadpool(_tensor, body)
    return Response(scores, media_type=BINARY)


@app.post("/rank")
async def rank(request: Request) -> Response:
    """Put the caller's items in order."""
    body = await request.body()
    return Response(_rank(body) if VARIANT == "inline" else await run_in_threadpool(_rank, body), media_type=JSON)


@app.post("/recommend")
async def recommend(request: Request) -> Response:
    """The nearest items of the index, in the model's order."""
    body = await request.body()
    found = _recommend(body) if VARIANT == "inline" else await run_in_threadpool(_recommend, body)
    return Response(found, media_type=JSON)


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=PORT, loop="uvloop", http="httptools", log_level="warning", access_log=False
    )
