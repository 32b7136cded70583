"""The import: a shop's files in, a new version of the dataset out, or a reason and no change."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import msgspec
import polars as pl

from foundation.catalogue import Catalogue
from foundation.dataset import EVENTS, ITEMS, META, USERS, Dataset, DatasetMeta
from foundation.errors import ImportRefused
from foundation.types import Event
from precompute.importers.adapters import find_adapter
from precompute.importers.events import CheckedEvents, check_events, unknown_items, write_events
from precompute.importers.files import read_folder
from precompute.importers.items import CheckedItems, check_items
from precompute.importers.parts import Source
from precompute.importers.publish import building, publish
from precompute.importers.report import (
    REJECTS,
    REPORT,
    ImportReport,
    Reason,
    reasons_of,
    refuse_if_bad,
)
from precompute.importers.settings import ImportSettings
from precompute.importers.stream import stream_part

Progress: TypeAlias = Callable[[str, float], None]  # (what is done now, share of the import done)
DAY = 86_400_000  # ms


@dataclass(frozen=True, slots=True)
class Job:
    """What one run of the import was asked."""

    source: Path
    adapter: str | None
    settings: ImportSettings
    stream_events: Iterable[Event]
    stream_position: int
    tell: Progress
    now: int  # ms


def import_shop(
    source: Path,
    target: Path,
    *,
    adapter: str | None = None,
    settings: ImportSettings | None = None,
    stream_events: Iterable[Event] = (),
    stream_position: int = 0,
    progress: Progress | None = None,
    now: int | None = None,
) -> Dataset:
    """Import a shop into ``target``; what was there stays current until the very end.

    Args:
        source: A folder with ``items`` and ``events``, or with the files of a named dataset.
        target: Where imports are kept; ``current_dataset(target)`` finds the newest.
        adapter: A name of ``ADAPTERS``; None recognises the files.
        settings: How strict to be.
        stream_events: Events of the API's log, appended after the files; of equal ``event_id`` the first counts.
        stream_position: The position in that log up to which ``stream_events`` goes.
        progress: Told what is done and how far it is, 0 to 1; whatever it raises stops the import.
        now: The clock that "in the future" is measured by, ms; None for the system's.

    Returns:
        The dataset, loaded.

    Raises:
        ImportRefused: a file is missing or damaged, too many rows are bad, or none is good. Nothing was changed.
    """
    clock = time.time_ns() // 1_000_000 if now is None else now
    tell = progress or (lambda _stage, _share: None)
    job = Job(source, adapter, settings or ImportSettings(), stream_events, stream_position, tell, clock)
    with building(target) as space:
        scratch, folder = space / "scratch", space / "version"
        scratch.mkdir()
        folder.mkdir()
        try:
            fingerprint = _build(job, scratch, folder)
        except pl.exceptions.PolarsError as error:
            raise ImportRefused(f"{source} cannot be read: {str(error).splitlines()[0]}") from error
        tell("publishing", 0.95)
        stamp = datetime.fromtimestamp(clock / 1000, UTC).strftime("%Y%m%dT%H%M%S")
        version = f"{stamp}{clock % 1000:03d}Z-{fingerprint[:12]}"
        final = publish(folder, target, version, job.settings.keep_versions)
    tell("imported", 1.0)
    return Dataset.load(final)


def _build(job: Job, scratch: Path, folder: Path) -> str:
    """Write every file of a version into ``folder``; returns the fingerprint."""
    job.tell("opening files", 0.0)
    chosen = find_adapter(job.adapter, job.source)
    shop = chosen.read(job.source, scratch) if chosen else read_folder(job.source, scratch)
    limits, latest = job.settings, job.now + round(job.settings.max_future_days * DAY)
    job.tell("checking items", 0.1)
    items = check_items(shop.items, scratch, latest)
    reasons = reasons_of("items", items.rejects, limits.samples_per_reason)
    refuse_if_bad("items", items.counts, reasons, limits.max_reject_share)
    job.tell("checking events", 0.25)
    streamed = stream_part(job.stream_events, scratch)
    parts = [*shop.events, streamed] if streamed else shop.events
    create = limits.unknown_items == "create"
    events = check_events(parts, items.frame["item_id"], scratch, latest, create_items=create)
    rejects = events.rejects()
    reasons += reasons_of("events", rejects, limits.samples_per_reason)
    event_reasons = tuple(r for r in reasons if r.table == "events")
    refuse_if_bad("events", events.counts, event_reasons, limits.max_reject_share)
    pl.concat([items.rejects, rejects]).write_parquet(folder / REJECTS)
    job.tell("writing the dataset", 0.6)
    report = _report(job, shop, chosen.name if chosen else "", items, events, reasons)
    (folder / REPORT).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    return _write_dataset(job, shop, items, events, folder)


def _write_dataset(job: Job, shop: Source, items: CheckedItems, events: CheckedEvents, folder: Path) -> str:
    frame = items.frame
    if job.settings.unknown_items == "create":
        bare = unknown_items(events, frame["item_id"])
        frame = pl.concat([frame, pl.DataFrame({"item_id": bare})], how="diagonal")
    catalogue = Catalogue.of(frame)
    catalogue.write(folder / ITEMS)
    regions, n_users = write_events(events, catalogue.frame["item_id"], catalogue.frame["region"], folder)
    job.tell("taking fingerprints", 0.9)
    times = pl.scan_parquet(folder / EVENTS).select(pl.col("time").first().alias("a"), pl.col("time").last().alias("b"))
    first, last = times.collect(engine="streaming").row(0)
    meta = DatasetMeta(
        fingerprint=_fingerprint(folder),
        n_items=len(catalogue),
        n_users=n_users,
        n_events=events.counts.accepted,
        first_event=first,
        last_event=last,
        regions=regions,
        rejected=items.counts.rejected + events.counts.rejected,
        source=shop.text,
        stream_position=job.stream_position,
    )
    (folder / META).write_bytes(msgspec.json.format(msgspec.json.encode(meta), indent=2))
    return meta.fingerprint


def _report(
    job: Job, shop: Source, adapter: str, items: CheckedItems, events: CheckedEvents, reasons: tuple[Reason, ...]
) -> ImportReport:
    return ImportReport(
        source=shop.text,
        adapter=adapter,
        imported_at=job.now,
        items=items.counts,
        events=events.counts,
        reasons=reasons,
        notes=(*shop.notes, *items.notes, *events.notes),
    )


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in (ITEMS, USERS, EVENTS):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
