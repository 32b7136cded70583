"""The limits on keys and names that every store keeps, so that a shop can change its store."""

from __future__ import annotations

from foundation.errors import InvalidInput

LONGEST_KEY = 400  # bytes of UTF-8
LONGEST_NAME = 200  # bytes of UTF-8, of a namespace or a generation


def encode_key(key: str) -> bytes | None:
    """A key as bytes; None for one that no store can hold, which is therefore absent."""
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return None
    return encoded if 0 < len(encoded) <= LONGEST_KEY else None


def check_key(key: str) -> bytes:
    """A key to be written, as bytes.

    Raises:
        InvalidInput: it is empty, too long or not Unicode text.
    """
    encoded = encode_key(key)
    if encoded is None:
        raise InvalidInput(f"{key[:40]!a} is no key; keys are 1 to {LONGEST_KEY} bytes of UTF-8", "key")
    return encoded


def check_name(name: str) -> bytes:
    """A namespace or generation as bytes.

    Raises:
        InvalidInput: it is empty, too long, or holds anything but printable ASCII without spaces.
    """
    if not (0 < len(name) <= LONGEST_NAME and name.isascii() and name.isprintable() and " " not in name):
        raise InvalidInput(f"{name[:40]!a} is no name; use 1 to {LONGEST_NAME} printable ASCII characters, no spaces")
    return name.encode()
