"""Items as records and back to a catalogue: how changes meet the columns of a release."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import polars as pl

from foundation.catalogue import SCHEMA, Catalogue
from foundation.catalogue_changes import ChangeKind, FieldValue, Net
from foundation.errors import InvalidInput
from foundation.types import NO_ROW

Record = Mapping[str, FieldValue]  # an item's fields by name, ``item_id`` among them; absent ones may be missing


def records(catalogue: Catalogue, rows: Sequence[int]) -> list[dict[str, FieldValue]]:
    """The items at ``rows``; what is absent is left out."""
    taken = catalogue.frame[list(rows)].to_dicts() if len(rows) else []
    return [{name: value for name, value in record.items() if not _absent(name, value)} for record in taken]


def normal(record: Record, like: Catalogue) -> dict[str, FieldValue]:
    """The record that ``records`` would give of it in a catalogue with the columns of ``like``."""
    schema = like.frame.schema
    fitted = {name: _fitted(value, schema.get(name, pl.String())) for name, value in record.items()}
    return {name: value for name, value in fitted.items() if not _absent(name, value)}


def catalogue_of(items: Sequence[Record], like: Catalogue) -> Catalogue:
    """A catalogue of records, whose attributes have the types that they have in ``like``.

    A value that does not fit its column's type is absent; attributes that ``like`` has not are text.
    """
    types = {**SCHEMA, **{name: dtype for name, dtype in like.frame.schema.items() if name not in SCHEMA}}
    unknown = dict.fromkeys(name for item in items for name in item if name not in types)
    types |= dict.fromkeys(unknown, pl.String())
    columns = {
        name: pl.Series(name, [_fitted(item.get(name), dtype) for item in items], dtype, strict=False)
        for name, dtype in types.items()
    }
    return Catalogue.of(pl.DataFrame(columns), like.regions)


def check_fits(fields: Record, like: Catalogue) -> None:
    """Whether attributes have values that the columns of ``like`` can hold.

    Raises:
        InvalidInput: one has not; the text names the column's type.
    """
    for name, value in fields.items():
        dtype = like.frame.schema.get(name)
        if dtype is None or value is None:
            continue
        if pl.Series([_fitted(value, dtype)], dtype=dtype, strict=False)[0] is None:
            raise InvalidInput(f"{name} is {dtype} in this catalogue; {value!r} does not fit", f"/{name}")


def compacted(base: Catalogue, changes: Mapping[str, Net]) -> Catalogue:
    """The catalogue of the next release: ``base`` with all that ``changes`` come to.

    Rows keep their order and new items follow in the order of ``changes``. A withdrawn item stays, as one that
    is not available, because its events still teach.
    """
    rows = {item_id: base.row_of.get(item_id, NO_ROW) for item_id in changes}
    known = [item_id for item_id, row in rows.items() if row != NO_ROW]
    old = dict(zip(known, records(base, [rows[item_id] for item_id in known]), strict=True))
    changed = [after(old[item_id], changes[item_id]) for item_id in known]
    new = [
        after({"item_id": item_id}, changes[item_id])
        for item_id, row in rows.items()
        if row == NO_ROW and changes[item_id].kind is ChangeKind.PUT
    ]
    if not changed and not new:
        return base
    overlay = catalogue_of([*changed, *new], base).frame
    place = [*(rows[item_id] for item_id in known), *range(len(base), len(base) + len(new))]
    overlay = overlay.with_columns(pl.Series("endcap.row", place, pl.UInt32))
    kept = base.frame.with_row_index("endcap.row").join(overlay.select("endcap.row"), on="endcap.row", how="anti")
    frame = pl.concat([kept, overlay], how="diagonal").sort("endcap.row").drop("endcap.row")
    return Catalogue.of(frame, base.regions)


def after(record: Record, net: Net) -> dict[str, FieldValue]:
    """An item's record once a run of changes is done with it."""
    if net.kind is ChangeKind.WITHDRAW:
        return {**record, "available": False}
    kept = {"item_id": record["item_id"]} if net.kind is ChangeKind.PUT else record
    return {name: value for name, value in {**kept, **net.fields}.items() if value is not None}


def _absent(name: str, value: FieldValue) -> bool:
    """Whether a value stands for none: the defaults that ``Catalogue.of`` gives."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return name in SCHEMA and ((value == "" and name != "item_id") or (name == "created_at" and value == 0))


def _fitted(value: FieldValue, dtype: pl.DataType) -> FieldValue:
    """``value`` as a column of that type holds it; None where it cannot."""
    if value is None:
        return None
    if dtype == pl.Boolean:
        return value if isinstance(value, bool) else None
    if dtype.is_numeric():
        if isinstance(value, (bool, str)):
            return None
        return float(value) if dtype.is_float() else int(value) if value == int(value) else None
    if dtype == pl.String:
        return str(value).lower() if isinstance(value, bool) else str(value)
    return None
