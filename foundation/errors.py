"""The vocabulary of failures. Errors know nothing of transport and say the fix."""

from __future__ import annotations


class EndcapError(Exception):
    """Base of every error that Endcap raises on purpose; its text is fit to show a user."""


class InvalidInput(EndcapError):
    """Input breaks its contract. ``pointer`` is a JSON pointer (RFC 6901) or a column name."""

    def __init__(self, detail: str, pointer: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer


class ImportRefused(EndcapError):
    """Too many bad rows, or no usable data: nothing was changed."""


class ReleaseDamaged(EndcapError):
    """A release fails its checksums or its schema; the one before it stays."""


class ReleaseNotFound(EndcapError):
    """No release of that version, or none at all yet."""


class StoreUnavailable(EndcapError):
    """A store did not answer in time; callers drop a rung."""


class StreamUnavailable(EndcapError):
    """A stream could not make an event durable; the event is not acknowledged."""


class PublishConflict(EndcapError):
    """A pointer moved between plan and flip; plan again."""


class Overloaded(EndcapError):
    """A queue is full or a deadline cannot be met; callers drop a rung."""


class MissingExtra(EndcapError):
    """An optional library is not installed, or two that exclude each other are."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed; run: pip install 'endcap[{extra}]'")


class ConfigError(EndcapError):
    """A setting has a value that cannot be used."""
