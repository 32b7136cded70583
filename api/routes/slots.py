"""All the lists of a page in one call: one batch, one deadline, and no item in two slots."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

import msgspec

from api.http import Response, decode_json
from api.personal import NOT_ASKED, encode_personal, personal_response
from api.problems import problem
from api.release import LoadedRelease
from api.requests import Prepared, prepare_list
from api.services import Services
from api.surfaces import Surface, surface_of
from api.wire import ListOptions, ProblemError, SlotsBody
from foundation.errors import InvalidInput

EXAMPLE: dict[str, object] = {
    "user_id": "u-17",
    "slots": [
        {"id": "hero", "n": 3},
        {"id": "kitchen", "n": 6, "category": ["Home > Kitchen"], "max_price": 50},
        {"id": "goes-with", "surface": "cart", "item_id": ["sku-1", "sku-2"], "n": 4},
    ],
}
_encode = msgspec.json.Encoder().encode


def parse_slots(body: bytes, given: Collection[str]) -> SlotsBody:
    """A body with ``slots``, checked as far as it can be without a release.

    Args:
        body: the JSON text.
        given: the names of its members.

    Raises:
        InvalidInput: something does not fit; the pointer says where.
    """
    for name in ListOptions.__struct_fields__:
        if name in given:
            raise InvalidInput(f"beside slots, {name} has no list to act on; give it to each slot", f"/{name}")
    asked = decode_json(body, SlotsBody)
    seen: set[str] = set()
    for at, slot in enumerate(asked.slots):
        if slot.id in seen:
            raise InvalidInput(f"the slot id {slot.id!a} is given twice; call each slot differently", f"/slots/{at}/id")
        seen.add(slot.id)
    return asked


async def answer_slots(services: Services, surface: Surface, asked: SlotsBody) -> Response:
    """Answer every slot; ``surface`` is that of slots which name none.

    Raises:
        InvalidInput: see ``_check_size``.
        HttpProblem: see ``_prepare``.
    """
    started = time.perf_counter()
    _check_size(services, asked)
    with services.state.lease() as release:
        prepared = _prepare(services, release, surface, asked)
        if asked.validate_only:
            outcomes = [NOT_ASKED] * len(prepared)
        else:
            outcomes = await services.ladder.answer_all([one.job for one in prepared])
        parts = [
            # A ``SlotAnswer``: the answer that the slot would have by itself, behind its id.
            b'{"id":' + _encode(slot.id) + b"," + encode_personal(services, one, outcome, started)[1:]
            for slot, one, outcome in zip(asked.slots, prepared, outcomes, strict=True)
        ]
    return personal_response(b'{"slots":[' + b",".join(parts) + b"]}", outcomes, started)


def _check_size(services: Services, asked: SlotsBody) -> None:
    """Refuse what one page cannot show: all slots are answered in one turn, and others wait for it.

    Raises:
        InvalidInput: together the slots want too many items.
    """
    settings = services.settings
    wanted = sum(slot.n or settings.page_size for slot in asked.slots)
    if wanted > settings.slots_items:
        detail = f"the slots ask for {wanted} items together and may ask for {settings.slots_items}; ask for fewer"
        raise InvalidInput(f"{detail}, or in several calls", "/slots")


def _prepare(services: Services, release: LoadedRelease, surface: Surface, asked: SlotsBody) -> Sequence[Prepared]:
    """Every slot in rows.

    Raises:
        HttpProblem: 400, whose errors name what is wrong in each of the slots.
    """
    prepared: list[Prepared] = []
    errors: list[ProblemError] = []
    for at, slot in enumerate(asked.slots):
        try:
            place = surface if slot.surface is None else surface_of(slot.surface)
            prepared.append(prepare_list(services, release, place, asked, slot))
        except InvalidInput as error:
            errors.append(ProblemError(f"/slots/{at}{error.pointer}", error.detail))
    if errors:
        raise problem(400, errors[0].detail, errors=errors)
    return prepared
