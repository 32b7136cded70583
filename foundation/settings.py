"""Settings: frozen dataclasses beside the component they configure, read once by the programs.

A value comes from, last wins: the default in code, ``endcap.toml`` (a table a group), a variable
``ENDCAP_<GROUP>_<FIELD>``. The source of each value is kept, so that ``endcap config`` can say it.
What is set and would be ignored is an error: a misspelt name must not look like a setting without effect.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec

from foundation.errors import ConfigError

T = TypeVar("T")
CONFIG_FILE: Final = "endcap.toml"
CONFIG_VARIABLE: Final = "ENDCAP_CONFIG"
PREFIX: Final = "ENDCAP_"

# Each program reads some of these, and must know the others' names to tell them from a slip of the pen.
GROUPS: Final = frozenset(
    (
        "api", "channels", "edge", "edge_lists", "edge_reader", "encoder", "headers", "home", "import", "labels",
        "lists", "ranker", "rerank", "retrieval", "sample_shop", "user_lists", "windows",
    )
)  # fmt: skip
_ALIKE: Final = 0.81  # of difflib: one slip in a word of four letters, and not yet port for import
_ALL: Final = "endcap config lists every setting"
_NO_SETTINGS: Final = frozenset((CONFIG_VARIABLE, "ENDCAP_WORKER"))  # the latter is between the API and its workers
# Kubernetes gives every container such variables for a service that is called endcap or endcap-something.
_SERVICE_LINK: Final = re.compile(r"ENDCAP_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")


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


def config_file(environ: Mapping[str, str]) -> Path:
    """The file that ``ENDCAP_CONFIG`` names, which must be there; else ``endcap.toml``, which need not.

    Raises:
        ConfigError: the named file is missing.
    """
    named = environ.get(CONFIG_VARIABLE)
    if named and not Path(named).exists():
        raise ConfigError(f"{CONFIG_VARIABLE} names {named}, which does not exist; correct the path or unset it")
    return Path(named or CONFIG_FILE)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a configuration file; {} if there is none.

    Raises:
        ConfigError: the file cannot be read, is not valid TOML, or has a table that is no group of settings.
    """
    if not path.exists():
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: {error}") from error
    for name, table in tables.items():
        if name not in GROUPS:
            raise ConfigError(f"{path}: there is no table [{name}]; {_advice(name, GROUPS, '[{}]')}")
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {name} is a table; write [{name}] on a line of its own, its settings below")
    return tables


class SettingsReader:
    """One configuration file and one environment, read group by group; ``told`` keeps every value's source."""

    def __init__(self, environ: Mapping[str, str], path: Path | None = None) -> None:
        """Read ``path``, or the file that ``config_file`` finds; a missing ``path`` is no error.

        Raises:
            ConfigError: see ``config_file`` and ``read_toml``; or a variable ``ENDCAP_*`` belongs to no group.
        """
        self._environ = environ
        path = path or config_file(environ)
        self._name = str(path)
        self._file = read_toml(path)
        self._variables = _variables_by_group(environ)
        self.told: list[Resolved] = []

    def group(self, name: str, cls: type[T]) -> T:
        """The values of one group.

        Raises:
            ConfigError: see ``resolve``; or a variable names no setting of the group.
            ValueError: the group is not in ``GROUPS``, so that other programs would refuse its variables.
        """
        if name not in GROUPS:
            raise ValueError(f"add {name!r} to foundation.settings.GROUPS")
        built, lines = resolve(name, cls, self._file, self._environ, self._name)
        known = [f"{PREFIX}{name}_{line.name}".upper() for line in lines]
        for variable in self._variables.get(name, ()):
            if variable not in known:
                raise ConfigError(f"{variable} is no setting; {_advice(variable, known)}")
        self.told += lines
        return built


def _variables_by_group(environ: Mapping[str, str]) -> dict[str, list[str]]:
    """The variables ``ENDCAP_*`` by the group that they set; of ``edge`` and ``edge_lists`` the longer name counts.

    Raises:
        ConfigError: a variable belongs to no group.
    """
    found: dict[str, list[str]] = {}
    heads = {f"{PREFIX}{group}_".upper(): group for group in sorted(GROUPS, key=len, reverse=True)}
    for name in sorted(environ):
        linked = _SERVICE_LINK.fullmatch(name) or (name.endswith("_PORT") and "://" in environ[name])
        if not name.startswith(PREFIX) or name in _NO_SETTINGS or linked:
            continue
        group = next((group for head, group in heads.items() if name.startswith(head)), None)
        if group is None:
            raise ConfigError(f"{name} is no setting and has no effect; {_group_advice(name, list(heads))}")
        found.setdefault(group, []).append(name)
    return found


def _group_advice(name: str, heads: list[str]) -> str:
    """The beginning that was probably meant, else the form of a variable and all groups."""
    rest = len(PREFIX)

    def likeness(head: str) -> float:
        return difflib.SequenceMatcher(None, name[rest : len(head)], head[rest:]).ratio() if name[len(head) :] else 0.0

    best = max(heads, key=likeness)
    if likeness(best) >= _ALIKE:
        return f"did you mean {best}…? {_ALL}"
    groups = ", ".join(sorted(head[rest:-1] for head in heads))
    return f"write ENDCAP_<GROUP>_<NAME>, as in ENDCAP_API_PORT; groups are {groups}. {_ALL}"


def _advice(name: str, known: Iterable[str], shown: str = "{}") -> str:
    """What was probably meant, else all that there is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, 1, _ALIKE)
    told = f"did you mean {shown.format(near[0])}?" if near else f"there are: {', '.join(map(shown.format, names))}."
    return f"{told} {_ALL}"


def setting_lines(told: Iterable[Resolved]) -> str:
    """Settings for people and for grep: ``group.name = value  # unit, source: help``, a line each, nothing cut."""
    return "".join(
        f"{line.group}.{line.name} = {_shown(line.value)}  # {f'{line.unit}, ' if line.unit else ''}{line.source}: "
        f"{line.help}\n"
        for line in told
    )


def _shown(value: object) -> str:
    """A value as a configuration file would have it; ``none`` where nothing is set."""
    return "none" if value is None else msgspec.json.encode(value).decode()


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
        raise ConfigError(f"{file_name}: [{group}] has no setting {unknown[0]!r}; {_advice(unknown[0], declared)}")
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
