"""Every scorer says what the plain torch network says, each within its own precision."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_state

from foundation.errors import ConfigError, ReleaseDamaged
from foundation.testing.worlds import NOW, tiny_world
from foundation.types import Floats
from ranking.features import feature_names
from ranking.item_table import ItemTable
from ranking.load import load_ranker
from ranking.model.export import export_ranker
from ranking.model.network import RankerConfig, RankingNetwork
from ranking.scorers.compiled import CompiledScorer
from ranking.scorers.registry import DEFAULT, SCORERS, open_scorer
from ranking.scorers.torch import TorchScorer

NAMES = feature_names(("only",))
TOLERANCE = {"compiled": 1e-5, "onnx": 1e-4, "torch": 1e-5, "cuda": 1e-4, "torch-bf16": 5e-2, "cuda-bf16": 5e-2}
TOLERANCE["onnx-int8"] = 1e-1


def network_of(features: int, hidden: tuple[int, ...] = (128, 64), seed: int = 1) -> RankingNetwork:
    """A network with random weights and a standardisation that is not the identity."""
    torch.manual_seed(seed)
    network = RankingNetwork(features, RankerConfig(hidden=hidden))
    network.standardise_by(torch.randn(200, features) * 3 + torch.arange(features))
    return network.eval()


def features_of(pairs: int, width: int, seed: int = 2) -> Floats:
    """Pairs around the network's means, some of them so far off that they are clipped."""
    drawn = np.random.default_rng(seed).standard_t(2, (pairs, width)) * 3 + np.arange(width)
    return drawn.astype(np.float32)


def in_numpy(network: RankingNetwork, features: Floats) -> Floats:
    """The twin of ``score_pairs``, in float64."""
    state = {name: value.numpy().astype(np.float64) for name, value in network.state_dict().items()}
    x = np.clip((features - state["mean"]) * state["scale"], -5, 5)
    hidden = x * (x @ state["cross.weight"].T + state["cross.bias"]) + x
    for name in sorted({n.rpartition(".")[0] for n in state if n.startswith("deep.")}, key=lambda n: int(n[5:])):
        hidden = hidden @ state[f"{name}.weight"].T + state[f"{name}.bias"]
        hidden = hidden / (1 + np.exp(-hidden))
    scores = np.concatenate([hidden, x], axis=1) @ state["out.weight"][0] + state["out.bias"]
    return np.asarray(scores, np.float32)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``ranker/`` folder of a release."""
    folder: Path = tmp_path_factory.mktemp("release") / "ranker"
    folder.mkdir()
    export_ranker(network_of(len(NAMES)), NAMES, ("only",), folder)
    world = tiny_world()
    ItemTable.of(world.catalogue, world.events, NOW).write(folder / "items.safetensors")
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning:onnxruntime")
@pytest.mark.parametrize("name", sorted(SCORERS))
def test_every_scorer_agrees_with_the_network(home: Path, name: str) -> None:
    """Scores within the precision of the numbers that it multiplies, for one pair, a few, and several blocks."""
    if name.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    scorer, network = open_scorer(home, name), network_of(len(NAMES))
    for pairs in (1, 5, 6, 97, 450):
        features = features_of(pairs, len(NAMES))
        with torch.no_grad():
            expected = network(torch.from_numpy(features)).numpy()
        found = scorer(features)
        assert found.shape == (pairs,)
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() < TOLERANCE[name]


@pytest.mark.parametrize("hidden", [(128, 64), (1,), (70,), (65, 3, 130)])
@pytest.mark.parametrize("width", [1, 64, 67])
def test_the_compiled_network_is_the_formula(tmp_path: Path, hidden: tuple[int, ...], width: int) -> None:
    """Layers of any number and size, padded or not, against float64 NumPy."""
    network = network_of(width, hidden)
    save_state(network.state_dict(), tmp_path / "ranker.safetensors")
    features = features_of(211, width)
    scores = CompiledScorer(tmp_path / "ranker.safetensors")(features)
    assert scores == pytest.approx(in_numpy(network, features), abs=2e-5)


def test_the_activation_holds_where_its_exponential_does_not(tmp_path: Path) -> None:
    """Inputs of +-10^4 to an activation give x and 0, not infinities."""
    network = network_of(3, (4,))
    with torch.no_grad():
        for parameter in network.deep.parameters():
            parameter.mul_(1e4)
    save_state(network.state_dict(), tmp_path / "ranker.safetensors")
    features = features_of(300, 3)
    scores = CompiledScorer(tmp_path / "ranker.safetensors")(features)
    with np.errstate(over="ignore"):
        expected = in_numpy(network, features)
    assert np.abs(expected).max() > 1e3
    assert scores == pytest.approx(expected, rel=1e-5, abs=1e-2)


def test_a_score_does_not_depend_on_the_batch(home: Path) -> None:
    """To the bit, wherever in a batch a pair stands: paging and replays need that."""
    scorer, features = open_scorer(home), features_of(230, len(NAMES))
    whole = scorer(features)
    for start, stop in ((0, 1), (3, 9), (95, 98), (100, 230)):
        assert np.array_equal(whole[start:stop], scorer(features[start:stop]))
    assert np.array_equal(whole, scorer(np.asfortranarray(features)))


def test_the_default_needs_neither_torch_nor_onnx_runtime(home: Path) -> None:
    """An API process that ranks has loaded neither: memory and start-up are the reason."""
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from ranking.load import load_ranker\nfrom foundation.testing.worlds import tiny_world\n"
        "load_ranker(Path(sys.argv[1]), tiny_world().catalogue)\n"
        "print(sorted({'torch', 'onnxruntime', 'onnx'} & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, home.parent], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_a_loaded_ranker_has_compiled_what_it_needs(home: Path) -> None:
    """``load_ranker`` runs a request of its own, so that the first shopper's does not wait."""
    from ranking import feature_kernel, ordering
    from ranking.scorers import dense_kernel

    load_ranker(home.parent, tiny_world().catalogue)
    kernels: tuple[Any, ...] = (
        feature_kernel.fill_features,
        feature_kernel.count_pairs,
        ordering.log_places,
        ordering.sort_candidates,
        dense_kernel.score_pairs,
    )
    assert [len(kernel.signatures) for kernel in kernels] == [1, 1, 1, 1, 1]


def test_an_unknown_scorer_is_an_error_that_lists_the_known(home: Path) -> None:
    """A typo in a setting names what there is."""
    with pytest.raises(ConfigError, match=r"'fast'; there are: compiled, .*cuda"):
        open_scorer(home, "fast")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_a_missing_device_is_an_error(home: Path) -> None:
    """Asking for a GPU where none is says so, and what to take instead."""
    with pytest.raises(ConfigError, match=f"choose the scorer '{DEFAULT}'"):
        open_scorer(home, "cuda")


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_another_network_is_refused(home: Path, tmp_path: Path, damage: str) -> None:
    """Weights of another shape are a damaged release for every scorer that reads them, not a wrong order."""
    state = dict(load_file(home / "ranker.safetensors"))
    if damage == "missing":
        del state["cross.weight"]
    else:
        state["deep.0.weight"] = state["deep.0.weight"][:, 1:].copy()
    save_file(state, tmp_path / "ranker.safetensors")
    for scorer in (CompiledScorer, TorchScorer):
        with pytest.raises(ReleaseDamaged, match="retrain"):
            scorer(tmp_path / "ranker.safetensors")


def test_the_exported_files_are_one_network(home: Path) -> None:
    """ONNX file, weights and description tell of the same features."""
    spec = msgspec.json.decode((home / "ranker.json").read_bytes())
    assert tuple(spec["features"]) == NAMES
    assert load_file(home / "ranker.safetensors")["mean"].shape == (len(NAMES),)
