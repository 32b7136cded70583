"""Releases are changed under a running API: by the command line, under load, with damaged ones among them."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from foundation.releases import ReleaseRepository
from foundation.testing.served import wait_until
from foundation.testing.storms import storm_while
from foundation.testing.traffic import MIX, Traffic

pytestmark = pytest.mark.slow

MOVES = 20
CLIENTS = 6


def offer_damaged(repository: ReleaseRepository, source: str) -> str:
    """Point, past every check, to a copy of a release one byte of which is wrong."""
    version = f"damaged-{source}"
    folder = repository.root / version
    shutil.copytree(repository.root / source, folder)
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace(source, version))
    spoil(folder / "item_embeddings.npy")
    repository._flip(version, expect=None)
    return version


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-7] ^= 0xFF
    path.write_bytes(data)


def refusals(served: Any) -> float:
    text = served.get("/metrics")[1].decode()
    return sum(
        float(line.split()[-1]) for line in text.splitlines() if line.startswith("endcap_release_refused_total ")
    )


def test_command_line_changes_what_a_running_api_serves(shop: Any, serve: Any, endcap: Any) -> None:
    """``release use`` and ``rollback`` are noticed without a restart, and ``list`` marks what is served."""
    served = serve().start()
    first, second = shop.versions.first, shop.versions.second
    assert served.release() == second
    endcap("release", "use", first)
    served.wait_for_release(first)
    only_first = next(item for item in shop.items(first) if item not in shop.items(second))
    assert served.get(f"/v1/items/{only_first}")[0] == 200
    endcap("release", "rollback")
    served.wait_for_release(second)
    assert served.get(f"/v1/items/{only_first}")[0] == 404
    lines = endcap("release", "list", COLUMNS="200").stdout.splitlines()
    assert any("served" in line and second in line for line in lines)
    assert any("previous" in line and first in line for line in lines)


def test_damaged_release_is_refused_everywhere(shop: Any, serve: Any, endcap: Any) -> None:
    """The command line does not point to a damaged release; an API that is pointed to one goes on serving."""
    served = serve().start()
    first, second = shop.versions.first, shop.versions.second
    spoil(shop.repository.root / first / "items.parquet")
    refused = endcap("release", "use", first, status=1)
    assert "checksum" in refused.stderr
    assert len(refused.stderr.strip().split("error:")) == 2
    assert shop.repository.current() == second
    offer_damaged(shop.repository, second)
    wait_until("the damaged release is refused", lambda: refusals(served) == 1)
    assert served.release() == second
    assert served.get(f"/v1/recommendations/home?user_id={shop.users[0]}")[1]["meta"]["served_from"] == "personalised"
    endcap("release", "use", second)
    assert served.release() == second


def test_twenty_swaps_under_load_fail_no_request(shop: Any, serve: Any) -> None:
    """Through 20 swaps, a rollback and a damaged offer, every request is answered 200, by one release alone."""
    served = serve().start()
    first, second = shop.versions.first, shop.versions.second
    shops = shop.item_ids()
    common = [item for item in shops[first] if item in set(shops[second])]
    traffics = [Traffic(shop.users, common, seed, "storm") for seed in range(CLIENTS)]

    async def move() -> None:
        for number in range(MOVES):
            version = (first, second)[number % 2]
            await asyncio.to_thread(shop.repository.point_to, version)
            await asyncio.to_thread(served.wait_for_release, version)
        await asyncio.to_thread(shop.repository.rollback)
        await asyncio.to_thread(served.wait_for_release, first)
        await asyncio.to_thread(offer_damaged, shop.repository, first)
        await asyncio.to_thread(wait_until, "the damaged release is refused", lambda: refusals(served) == 1)

    storm = asyncio.run(storm_while(move, served.port, traffics, shops))
    assert storm.complaints == []
    assert set(storm.asked) == set(MIX)
    assert min(storm.releases[first], storm.releases[second]) > 50
    assert storm.served_from["personalised"] > sum(storm.served_from.values()) / 3
    assert served.release() == first
