"""What msgspec says of a document that does not fit, as our error with a JSON pointer (RFC 6901)."""

from __future__ import annotations

import re

import msgspec

from foundation.errors import InvalidInput

# The last one counts, and only what can be a path: the text before may quote a caller's field names.
_AT = re.compile(r"^(.*?)(?: - at `(?:key` in `)?\$((?:\.[\w-]+|\[\d+\]|\[\.\.\.\])*)`)?$", re.DOTALL)
_NAMED = re.compile(r"(?:unknown|required) field `(.*)`")


def invalid_input(error: msgspec.ValidationError) -> InvalidInput:
    """The path ``$.rules[3].id`` becomes ``/rules/3/id``; a value of a map is pointed at as the map."""
    text, path = _AT.match(str(error)).groups()  # type: ignore[union-attr]  # it matches any text
    known, _, _ = (path or "").partition("[...]")  # msgspec does not tell the key that it found it under
    pointer = re.sub(r"\[(\d+)\]", r"/\1", known.replace(".", "/"))
    if named := _NAMED.search(text):
        pointer += "/" + named[1].replace("~", "~0").replace("/", "~1")
    return InvalidInput(text, pointer)
