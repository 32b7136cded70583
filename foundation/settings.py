"""Settings: frozen dataclasses beside the component they configure, read once by the programs.

A value comes from, last wins: the default in code, ``endcap.toml`` (a table a group), a variable
``ENDCAP_<GROUP>_<FIELD>``. The source of each value is kept, so that ``endcap config`` can say it.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from foundation.errors import ConfigError

T = TypeVar("T")
CONFIG_FILE = "endcap.toml"


def setting(default: T, *, unit: str, help: str) -> T:
    """A field of a settings group: its default, its unit ('' for none) and what it does."""
    field: T = dataclasses.field(default=default, metadata={"unit": unit, "help": help})
    return field


@dataclass(frozen=True, slots=True)
class Resolved:
    """One setting as it stands: where it came from goes with it."""

    group: str
    name: str
    value: object
    unit: str
    help: str
    source: str  # default | <file> | <variable>


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a configuration file; {} if there is none.

    Raises:
        ConfigError: the file is not valid TOML.
    """
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


class SettingsReader:
    """One configuration file and one environment, read group by group; ``told`` keeps every value's source."""

    def __init__(self, environ: Mapping[str, str], path: Path | None = None) -> None:
        """Read ``path``, or the file that ``ENDCAP_CONFIG`` names, or ``endcap.toml``; none there is no error.

        Raises:
            ConfigError: see ``read_toml``.
        """
        self._environ = environ
        self._name = str(path or environ.get("ENDCAP_CONFIG", CONFIG_FILE))
        self._file = read_toml(Path(self._name))
        self.told: list[Resolved] = []

    def group(self, name: str, cls: type[T]) -> T:
        """The values of one group.

        Raises:
            ConfigError: see ``resolve``.
        """
        built, lines = resolve(name, cls, self._file, self._environ, self._name)
        self.told += lines
        return built


def resolve(
    group: str, cls: type[T], file: Mapping[str, Any], environ: Mapping[str, str], file_name: str
) -> tuple[T, list[Resolved]]:
    """Build one settings group and say where each value came from.

    Raises:
        ConfigError: an unknown key, or a value that does not fit its type; the text names both.
    """
    table = dict(file.get(group, {}))
    if dataclasses.is_dataclass(cls) is False:
        raise TypeError(f"{cls!r} is not a dataclass")
    declared = {f.name: f for f in dataclasses.fields(cast("Any", cls))}
    if unknown := sorted(set(table) - set(declared)):
        raise ConfigError(f"{file_name}: [{group}] has no setting {unknown[0]!r}; it has: {', '.join(declared)}")
    values: dict[str, Any] = {}
    told: list[Resolved] = []
    hints = msgspec.inspect.type_info(cls)
    types = {f.name: f for f in getattr(hints, "fields", ())}
    for name, declaration in declared.items():
        variable = f"ENDCAP_{group}_{name}".upper()
        source = "default"
        if name in table:
            values[name], source = table[name], file_name
        if variable in environ:
            values[name], source = _parse(environ[variable], types[name]), variable
        told.append(
            Resolved(
                group, name, None, declaration.metadata.get("unit", ""), declaration.metadata.get("help", ""), source
            )
        )
    try:
        built = msgspec.convert(values, cls, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"[{group}] {error}; given: {values}") from error
    return built, [dataclasses.replace(r, value=getattr(built, r.name)) for r in told]


def _parse(text: str, info: Any) -> Any:
    """A variable's text: JSON for lists and maps, else as it stands (numbers are converted later)."""
    if isinstance(info.type, (msgspec.inspect.ListType, msgspec.inspect.DictType, msgspec.inspect.VarTupleType)):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return [part.strip() for part in text.split(",") if part.strip()]
    return text
