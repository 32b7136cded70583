"""Documents hold together: links resolve, paths exist, decisions are indexed, nobody's machine shows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# What a reader elsewhere cannot have: folders of one machine, private addresses, another shop's registry.
HOUSE = {
    "a folder of one machine": r"(?<![\w.])/(?:work|tmp|home|root|Users|mnt|opt|srv)/",
    "a folder beside the repository": r"\.\./shared\b",
    "an address of a private network": r"\b(?:10\.\d+|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d+\.\d+\b",
    "a port of a throwaway server": r"localhost:(?!8000\b)\d+",
    "an index of packages": r"--(?:extra-)?index-url|\b(?:artifactory|nexus|registry)\.[\w-]+\.\w+",
    "a secret": r"(?i)\b(?:api[_-]?key|token|password)\s*[=:]\s*['\"]?\w{8,}",
}


def anchors_of(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub and most renderers make them."""
    titles = HEADING.findall(FENCE.sub("", text))
    kept = (re.sub(r"[^\w\- ]", "", title.lower().replace("`", "")) for title in titles)
    return {title.strip().replace(" ", "-") for title in kept}


def broken_links(name: str, text: str, documents: dict[str, str], root: Path) -> list[str]:
    """Links of one document that lead nowhere in the repository; web addresses are not followed."""
    broken = []
    for target in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (root / name).parent.joinpath(path).resolve() if path else (root / name)
        if not found.exists():
            broken.append(target)
        elif anchor:
            other = documents.get(found.relative_to(root).as_posix(), "")
            broken += [target] if anchor not in anchors_of(other) else []
    return broken


def test_links_between_documents_resolve(documents: dict[str, str], root: Path) -> None:
    """Every relative link names a file that exists and a heading in it."""
    broken = {name: broken_links(name, text, documents, root) for name, text in documents.items()}
    assert not {name: found for name, found in broken.items() if found}


def test_a_broken_link_would_be_found(documents: dict[str, str], root: Path) -> None:
    """The check itself: a missing file and a missing heading are both told, a good link is not."""
    text = "[a](docs/none.md) [b](docs/limits.md#no-such-heading) [c](docs/limits.md#size) [d](https://example.org)"
    assert broken_links("README.md", text, documents, root) == ["docs/none.md", "docs/limits.md#no-such-heading"]


def test_every_document_can_be_reached_from_the_readme(documents: dict[str, str], root: Path) -> None:
    """Whoever starts at the README finds all of it."""
    seen, queue = {"README.md"}, ["README.md"]
    while queue:
        name = queue.pop()
        for target in LINK.findall(documents[name]):
            path = target.partition("#")[0]
            if path.endswith(".md") and ":" not in target:
                other = (root / name).parent.joinpath(path).resolve().relative_to(root).as_posix()
                if other not in seen:
                    seen.add(other)
                    queue.append(other)
    assert seen == set(documents)


def test_paths_of_code_exist(documents: dict[str, str], root: Path) -> None:
    """A path in backticks that begins with a room leads to something in the repository."""
    rooms = "foundation|retrieval|ranking|precompute|edge|evaluation|api|tests|benchmarks|docs|dags|deploy"
    missing = {
        (name, path)
        for name, text in documents.items()
        for path in re.findall(rf"`((?:{rooms})/[\w./-]*)`", text)
        if not (root / path).exists()
    }
    assert not missing


def test_layout_table_names_every_room_and_where_to_start(documents: dict[str, str], root: Path) -> None:
    """Each import package has a line in the layout table, and each line names folders and files that exist."""
    table = documents["docs/architecture.md"].partition("## The rooms")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| (`[^|]+) \| [^|]+ \|([^|]*)\|$", table, re.MULTILINE)
    rooms = [re.findall(r"`([\w/]+)/`", folders) for folders, _ in lines]
    for folders, (_, starts) in zip(rooms, lines, strict=True):
        assert folders
        assert all((root / folder).is_dir() for folder in folders), folders
        for start in re.findall(r"`([\w.]+)`", starts):
            assert any((root / folder / start).is_file() for folder in folders), (folders, start)
    packages = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(packages["packages"]) <= {folder for folders in rooms for folder in folders}


def test_decisions_are_numbered_indexed_and_say_what_they_cost(documents: dict[str, str]) -> None:
    """ADRs count up without a gap, each in the index, each with its negative consequences named."""
    decisions = sorted(name for name in documents if re.fullmatch(r"docs/adr/\d{4}-[\w-]+\.md", name))
    assert [int(Path(name).name[:4]) for name in decisions] == list(range(1, len(decisions) + 1))
    for name in decisions:
        text = documents[name]
        title = text.splitlines()[0].removeprefix("# ")
        assert title.startswith(Path(name).name[:4])
        assert f"[{title}]({Path(name).name})" in documents["docs/adr/README.md"]
        assert HEADING.findall(text)[1:] == ["Context", "Decision", "Consequences"]
        assert "**Against it:**" in text


def test_changelog_is_in_its_form(documents: dict[str, str], root: Path) -> None:
    """The version of the package has a section, and something is always open for what comes next."""
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    headings = HEADING.findall(documents["CHANGELOG.md"])
    assert headings[:2] == ["Changelog", "[Unreleased]"]
    assert any(heading.startswith(version) for heading in headings)


@pytest.mark.parametrize("what", HOUSE)
def test_nothing_of_one_workplace_shows(what: str, documents: dict[str, str]) -> None:
    """No document names what only one machine has."""
    shown = {(name, found) for name, text in documents.items() for found in re.findall(HOUSE[what], text)}
    assert not shown


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a folder of one machine", "see /work/main/var"),
        ("a folder beside the repository", "from ../shared/data"),
        ("an address of a private network", "http://192.168.1.7"),
        ("a port of a throwaway server", "curl localhost:8123/healthz"),
        ("an index of packages", "pip install --index-url http://x"),
        ("a secret", "api_key = 'abcdefgh1234'"),
    ],
)
def test_each_house_name_would_be_found(what: str, text: str) -> None:
    """The deny-list itself: every pattern finds an example of what it forbids."""
    assert re.search(HOUSE[what], text)
