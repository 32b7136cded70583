"""Two releases of two small shops, trained through the command line as a shop's own would be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl
import pytest

from foundation.atomic import locked
from foundation.releases import ReleaseRepository
from foundation.testing.served import ServedApi
from precompute.sample_shop import SampleShop, SampleShopConfig, make_shop, write_shop

# One pass of everything: what is tested is that the parts fit, not how good the models are.
TINY = {
    "ENDCAP_ENCODER_EPOCHS": "1",
    "ENDCAP_ENCODER_WARM_EPOCHS": "1",
    "ENDCAP_ENCODER_BLOCKS": "1",
    "ENDCAP_ENCODER_THREADS": "1",
    "ENDCAP_RANKER_EPOCHS": "2",
    "ENDCAP_LABELS_MAX_QUERIES": "400",
    "OMP_NUM_THREADS": "1",
}
# Deadlines are for the ladder's own tests: a loaded machine must not turn these lists into lower rungs.
PATIENT = {"API_DEADLINE_MS": 30_000, "API_STORE_DEADLINE_MS": 30_000, "API_POLL_S": 0.05}
CONFIG = SampleShopConfig(n_items=500, n_users=1_200, days=40, n_brands=30)
ENDCAP = Path(sys.executable).with_name("endcap")
Endcap = Callable[..., subprocess.CompletedProcess[str]]


class Versions(msgspec.Struct, frozen=True):
    """The two releases, in the order in which they were made; the second is served."""

    first: str
    second: str


@dataclass(frozen=True)
class Shop:
    """A home folder of one's own, its two releases, and what they were made of."""

    home: Path
    files: Path  # the first shop's items and events
    other_files: Path  # the second's: other items, in another order
    versions: Versions
    made: SampleShop
    repository: ReleaseRepository

    def items(self, version: str) -> list[str]:
        """The item ids of a release, in row order."""
        path = self.repository.root / version / "items.parquet"
        return pl.read_parquet(path, columns=["item_id"])["item_id"].to_list()

    def item_ids(self) -> dict[str, list[str]]:
        """Those of both releases."""
        return {version: self.items(version) for version in (self.versions.first, self.versions.second)}

    @property
    def users(self) -> list[str]:
        """Every tenth user with events."""
        return self.made.events["user_id"].unique(maintain_order=True).to_list()[::10]


def run_endcap(home: Path, *arguments: str, status: int = 0, **settings: str) -> subprocess.CompletedProcess[str]:
    """The command over a home folder; it must end with ``status``."""
    environ = {**os.environ, **TINY, "ENDCAP_HOME_PATH": str(home), **settings}
    done = subprocess.run([ENDCAP, *arguments], env=environ, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == status, f"endcap {' '.join(arguments)}: {done.stdout}\n{done.stderr}"
    return done


def other_shop(shop: SampleShop) -> SampleShop:
    """A tenth of the items is gone, a tenth has other ids, and the rest stands in other rows."""
    row = pl.col("item_id").str.slice(1).cast(pl.Int32)
    renamed = pl.when(row % 10 == 4).then("q" + pl.col("item_id").str.slice(1)).otherwise("item_id").alias("item_id")
    items = shop.items.filter(row % 10 != 3).with_columns(renamed).reverse()
    return SampleShop(items, shop.events.filter(row % 10 != 3).with_columns(renamed), shop.truth)


@pytest.fixture(scope="session")
def made_shop() -> SampleShop:
    """The first shop and its truth; every hundredth item arrived so late that nothing happened to it yet."""
    made = make_shop(CONFIG)
    new = pl.col("item_id").str.slice(1).cast(pl.Int32) % 100 == 7
    return SampleShop(made.items, made.events.filter(~new), made.truth)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, made_shop: SampleShop) -> Path:
    """A folder with both shops' files, and a home with both releases; made once, also for parallel workers."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    shared.mkdir(exist_ok=True)
    with locked(shared / ".lock"):
        if not (shared / "versions.json").exists():
            _train_both(shared, made_shop)
    return shared


def _train_both(folder: Path, shop: SampleShop) -> None:
    home, versions = folder / "home", []
    for name, made in (("first", shop), ("second", other_shop(shop))):
        write_shop(made, folder / name)
        run_endcap(home, "import", str(folder / name))
        run_endcap(home, "train", "--force")
        versions.append(ReleaseRepository(home / "releases").current())
    (folder / "versions.json").write_bytes(msgspec.json.encode(Versions(*versions)))


@pytest.fixture
def shop(trained: Path, made_shop: SampleShop, tmp_path: Path) -> Shop:
    """A copy that a test may spoil."""
    home = tmp_path / "home"
    shutil.copytree(trained / "home", home)
    versions = msgspec.json.decode((trained / "versions.json").read_bytes(), type=Versions)
    return Shop(home, trained / "first", trained / "second", versions, made_shop, ReleaseRepository(home / "releases"))


@pytest.fixture
def endcap(shop: Shop) -> Endcap:
    """Runs ``endcap`` over the test's home."""
    return lambda *arguments, **more: run_endcap(shop.home, *arguments, **more)


@pytest.fixture
def serve(shop: Shop, tmp_path: Path) -> Iterator[Callable[..., ServedApi]]:
    """Makes servers of the test's home (not started), by an ``endcap`` command if one is given, and ends them."""
    made: list[ServedApi] = []

    def make(*arguments: str, **settings: object) -> ServedApi:
        log = tmp_path / f"api-{len(made)}.log"
        command = [str(ENDCAP), *arguments] if arguments else None
        made.append(ServedApi(shop.home, log, {**PATIENT, **settings}, command))
        return made[-1]

    yield make
    for server in made:
        server.__exit__(None, None, None)
