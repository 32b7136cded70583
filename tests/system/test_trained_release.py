"""From a shop's files through training to an answer: the whole chain, with nothing faked."""

from __future__ import annotations

import signal
import urllib.request
from typing import Any

import numpy as np
import pytest

from evaluation.report.write import read_report

pytestmark = pytest.mark.slow


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_trained_release_answers_each_user_personally(shop: Any, serve: Any) -> None:
    """Users with a history get lists made for them: from the first rung, and different for different users."""
    served = serve().start()
    answers = [served.get(f"/v1/recommendations/home?user_id={user}")[1] for user in shop.users[:20]]
    assert {answer["meta"]["served_from"] for answer in answers} == {"personalised"}
    assert {answer["meta"]["release"] for answer in answers} == {shop.versions.second}
    assert not any(answer["meta"]["degraded"] or answer["warnings"] for answer in answers)
    assert len({tuple(ids(answer)) for answer in answers}) > 15
    anonymous = served.get("/v1/recommendations/home")[1]
    assert anonymous["meta"]["served_from"] == "trending"
    assert {len(ids(answer)) for answer in [*answers, anonymous]} == {12}


def test_vector_searches_are_counted_by_how_they_were_planned(shop: Any, serve: Any) -> None:
    """Each personal answer adds one search to the metric, under the path that its filter led to."""
    served = serve().start()

    def searches() -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("endcap_vector_searches_total{path="))

    before = searches()
    for user in shop.users[:3]:
        served.get(f"/v1/recommendations/home?user_id={user}")
    assert searches() - before == 3


def test_new_item_has_similar_ones_and_bought_together_are_true_complements(shop: Any, serve: Any, endcap: Any) -> None:
    """An item without an event still has similar items; baskets bring out the complements that made them."""
    endcap("release", "use", shop.versions.first)
    served = serve().start()
    seen = set(shop.made.events["item_id"].to_list())
    new = [item for item in shop.items(shop.versions.first) if item not in seen]
    category = dict(shop.made.items.select("item_id", "category").iter_rows())
    assert len(new) == 5
    same = []
    for item in new:
        similar = ids(served.get(f"/v1/items/{item}/similar")[1])
        assert len(similar) == 12
        same += [category[other].split(" > ")[0] == category[item].split(" > ")[0] for other in similar]
    assert np.mean(same) > 0.5  # of eight departments: chance is about an eighth
    truth = shop.made.truth
    order = np.argsort(-truth.complement_strength * truth.attraction[truth.complements[:, 0]])[:20]
    hits = 0
    for first, second in truth.complements[order]:
        found = ids(served.get(f"/v1/items/{truth.item_ids[first]}/bought-together")[1])
        hits += truth.item_ids[second] in found
    assert hits >= 14, f"{hits} of the 20 strongest true complements are found"


def test_release_carries_its_report_and_metrics(shop: Any) -> None:
    """The report's page opens, its JSON has verdict and NDCG, and the manifest records what the JSON says."""
    opened = shop.repository.open()
    report = read_report(opened.path / "report")
    assert "<html" in (opened.path / "report" / "index.html").read_text(encoding="utf-8")
    ours = next(system for system in report.systems if system.kind == "ours")
    assert report.verdict.status in ("better", "level", "worse")
    assert opened.manifest.metrics["verdict"] == report.verdict.status
    assert opened.manifest.metrics["ndcg@10"] == ours.metrics["ndcg@10"].value
    assert 0 < ours.metrics["ndcg@10"].value < 1
    assert sum(system.kind == "baseline" for system in report.systems) >= 5
    assert all(leak.passed for leak in report.leaks)


def test_up_serves_the_last_release_without_training(shop: Any, serve: Any) -> None:
    """A second ``endcap up`` runs no stage: it serves what is there."""
    served = serve("up").start()
    assert served.release() == shop.versions.second
    assert served.get(f"/v1/recommendations/home?user_id={shop.users[0]}")[1]["meta"]["served_from"] == "personalised"
    assert "✓" not in served.log.read_text()
    assert shop.repository.versions() == [shop.versions.first, shop.versions.second]
    assert served.stop() in (0, -signal.SIGTERM)
