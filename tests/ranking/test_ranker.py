"""The ranking model: it learns what can be learned, and its exported twin says the same."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from foundation.catalogue import Catalogue
from foundation.errors import ReleaseDamaged
from foundation.testing.worlds import NOW, tiny_world
from foundation.types import NO_ROW, Candidates, QueryBatch
from ranking.examples import Examples, LabelledBatch, collect_examples
from ranking.features import feature_names
from ranking.item_table import ItemTable
from ranking.load import load_ranker
from ranking.model.export import export_ranker
from ranking.model.network import RankerConfig, RankingNetwork
from ranking.ranker import FeatureRanker, order_by
from ranking.train import listwise_loss, ndcg_at_10, train_ranker

SCORES = ("only",)


def examples(groups: int = 200, slots: int = 12, seed: int = 3) -> Examples:
    """Of each query the candidate with the largest product of features 0 and 1 is the relevant one."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(groups, slots, 5)).astype(np.float32)
    mask = np.ones((groups, slots), np.bool_)
    mask[: groups // 2, -3:] = False
    signal = np.where(mask, features[..., 0] * features[..., 1], -np.inf)
    gains = np.zeros((groups, slots), np.float32)
    gains[np.arange(groups), signal.argmax(axis=1)] = 1.0
    return Examples(features, gains, mask)


def test_it_learns_a_product_of_features() -> None:
    """An interaction that no linear model ranks by is learned, and shown on held-out queries."""
    trained = train_ranker(examples(600), RankerConfig(epochs=25, dropout=0.0))
    assert trained.validation_ndcg > 0.8


def test_training_is_reproducible() -> None:
    """The same examples and seed give the same parameters, to the bit."""
    first, second = (train_ranker(examples(80), RankerConfig(epochs=2)).network.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_padding_takes_no_part_in_the_loss() -> None:
    """Whatever stands in padded places, the loss is the same."""
    gains, mask = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[True, True, False]])
    low, high = (listwise_loss(torch.tensor([[0.3, -0.2, pad]]), gains, mask) for pad in (-9.0, 9.0))
    assert low.item() == pytest.approx(high.item(), abs=1e-6)
    assert low.item() == pytest.approx(np.log(1 + np.exp(-0.5)), abs=1e-6)


def test_ndcg_by_hand() -> None:
    """Two relevant at ranks 1 and 3: (1 + 1/2) / (1 + 1/log2 3)."""
    scores = np.array([[0.9, 0.5, 0.4, 0.1]], np.float32)
    relevant = np.array([[True, False, True, False]])
    assert ndcg_at_10(scores, relevant)[0] == pytest.approx(1.5 / (1 + 1 / np.log2(3)), abs=1e-6)


def release(folder: Path) -> tuple[Catalogue, ItemTable, RankingNetwork]:
    world = tiny_world()
    names = feature_names(SCORES)
    torch.manual_seed(1)
    network = RankingNetwork(len(names), RankerConfig())
    network.standardise_by(torch.randn(50, len(names)) * 2 + 1)
    network.eval()
    (folder / "ranker").mkdir()
    export_ranker(network, names, SCORES, folder / "ranker")
    table = ItemTable.of(world.catalogue, world.events, NOW)
    table.write(folder / "ranker" / "items.safetensors")
    return world.catalogue, table, network


def queries(size: int) -> QueryBatch:
    rng = np.random.default_rng(5)
    return QueryBatch(
        rng.integers(-1, 9, (size, 6)).astype(np.int32),
        rng.integers(0, 3, (size, 6)).astype(np.int8),
        np.sort(rng.integers(NOW - 10**9, NOW, (size, 6))),
        np.full(size, NOW, np.int64),
        np.full(size, NO_ROW, np.int32),
        np.zeros(size, np.int32),
    )


def proposals(size: int, names: tuple[str, ...] = SCORES) -> Candidates:
    rng = np.random.default_rng(6)
    rows = np.stack([rng.permutation(9)[:7] for _ in range(size)]).astype(np.int32)
    rows[0, 4:] = NO_ROW
    scores = rng.random((size, 7, len(names))).astype(np.float32)
    return Candidates(rows, np.ones_like(rows), scores, names, rows.copy())


def test_the_exported_ranker_orders_as_the_network_does(tmp_path: Path) -> None:
    """ONNX Runtime and torch give the same scores (1e-4) and the same order."""
    catalogue, table, network = release(tmp_path)
    served = load_ranker(tmp_path, catalogue)

    def by_torch(features: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            scores: np.ndarray = network(torch.from_numpy(features)).numpy()
            return scores

    plain = FeatureRanker(table, by_torch, SCORES)
    for size in (1, 2, 9):
        ours, theirs = served(queries(size), proposals(size)), plain(queries(size), proposals(size))
        assert ours.rows.tolist() == theirs.rows.tolist()
        assert np.allclose(ours.scores[ours.rows >= 0], theirs.scores[theirs.rows >= 0], atol=1e-4)


def test_order_puts_padding_last_and_breaks_ties_by_row() -> None:
    """Scores descend, equal scores go by row, padding is NO_ROW with -inf at the end."""
    rows = np.array([[7, 2, NO_ROW, 5]], np.int32)
    candidates = Candidates(rows, np.array([[1, 2, 0, 4]], np.int32), np.zeros((1, 4, 1), np.float32), SCORES, rows)
    ranked = order_by(np.array([[0.5, 0.5, -np.inf, 0.9]], np.float32), candidates)
    assert ranked.rows.tolist() == [[5, 2, 7, NO_ROW]]
    assert ranked.channels.tolist() == [[4, 2, 1, 0]]
    assert ranked.scores[0, -1] == -np.inf


def test_other_channel_scores_are_refused(tmp_path: Path) -> None:
    """A ranker never silently scores columns that mean something else."""
    catalogue, _, _ = release(tmp_path)
    with pytest.raises(ValueError, match="trained on scores"):
        load_ranker(tmp_path, catalogue)(queries(2), proposals(2, ("other",)))


def test_a_ranker_of_other_features_is_refused(tmp_path: Path) -> None:
    """A release made by a version with other features does not load."""
    catalogue, _, _ = release(tmp_path)
    path = tmp_path / "ranker" / "ranker.json"
    spec = msgspec.json.decode(path.read_bytes())
    spec["features"] = spec["features"][1:]
    path.write_bytes(msgspec.json.encode(spec))
    with pytest.raises(ReleaseDamaged, match="features"):
        load_ranker(tmp_path, catalogue)


def test_a_ranker_of_another_catalogue_is_refused(tmp_path: Path) -> None:
    """Item rows mean something only inside one release."""
    catalogue, _, _ = release(tmp_path)
    with pytest.raises(ReleaseDamaged, match="items"):
        load_ranker(tmp_path, Catalogue.of(catalogue.frame.head(5)))


def test_examples_keep_every_relevant_candidate_and_drop_hopeless_queries() -> None:
    """Positives go first into the slots; a query whose items retrieval missed teaches nothing."""
    world = tiny_world()
    table = ItemTable.of(world.catalogue, world.events, NOW)
    batch, offered = queries(3), proposals(3)
    relevant = [(1, int(offered.rows[1, 6])), (1, int(offered.rows[1, 5])), (2, int(offered.rows[2, 0]))]
    labelled = LabelledBatch(
        batch,
        np.array([q for q, _ in relevant]),
        np.array([i for _, i in relevant], np.int64),
        np.array([1.0, 2.0, 3.0], np.float32),
    )
    kept = collect_examples([labelled], lambda _: offered, table, slots=3, seed=0)
    assert len(kept) == 2
    assert sorted(kept.gains[0].tolist()) == [0.0, 1.0, 2.0]
    assert sorted(kept.gains[1].tolist()) == [0.0, 0.0, 3.0]
    assert kept.mask.all()


def test_no_relevant_candidate_at_all_is_an_error() -> None:
    """Training on nothing says so instead of writing a ranker of noise."""
    world = tiny_world()
    table = ItemTable.of(world.catalogue, world.events, NOW)
    nothing = LabelledBatch(queries(2), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    with pytest.raises(ValueError, match="nothing relevant"):
        collect_examples([nothing], lambda _: proposals(2), table, slots=3, seed=0)
