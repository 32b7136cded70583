"""The report: what it says, that it says it safely, and that it can be read back."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest

from evaluation.beyond_accuracy import CatalogueFacts
from evaluation.intervals import Difference, Estimate
from evaluation.leaks import LeakCheck
from evaluation.report import Parts, Report, assemble, draw_examples, manifest, read_report, write_report
from evaluation.report.losses import losses
from evaluation.report.markdown import to_markdown
from evaluation.report.model import Timing
from evaluation.report.tables import best_systems, interval, number
from evaluation.results import Kind, SystemResult, evaluate
from evaluation.segments import SegmentRow, segment_rows
from evaluation.stages import channel_recall, ranking_on_candidates
from evaluation.truth import Truth, TruthCounts
from evaluation.tune import Trial
from foundation.errors import InvalidInput
from foundation.events import Histories

HOSTILE = "<script>alert('x')</script> & $\\frac{$ | *b* [a](javascript:x) \""
USERS, ITEMS, DEPTHS = 40, 9, (1, 5, 10)
FACTS = CatalogueFacts(
    np.arange(ITEMS), np.zeros(ITEMS, np.int32), np.zeros(ITEMS, np.int64), (HOSTILE, "", *"cdefghi")
)


@pytest.fixture(scope="module")
def truth() -> Truth:
    """40 users; user u wants item u % 9."""
    return Truth(
        users=np.arange(USERS, dtype=np.int32),
        indptr=np.arange(USERS + 1, dtype=np.int64),
        items=(np.arange(USERS) % ITEMS).astype(np.int32),
        returning=np.ones(USERS, np.bool_),
        history=np.arange(USERS, dtype=np.int64),
        n_items=ITEMS,
        cut=1_772_409_600_000,
        seen="keep",
        counts=TruthCounts(44, 42, 2, 3, 9, 1, 4, 5, 0),
    )


def lists(misses: int) -> np.ndarray:
    """(40, 10): each user's item first, except for the first ``misses`` users, who get it last."""
    best = (np.arange(USERS)[:, None] + np.arange(ITEMS)) % ITEMS
    best[:misses] = best[:misses, ::-1]
    return np.concatenate((best, np.full((USERS, 1), -1)), axis=1).astype(np.int32)


def system(name: str, kind: Kind, misses: int, truth: Truth) -> SystemResult:
    return evaluate(name, kind, lists(misses), truth, FACTS, depths=DEPTHS)


@pytest.fixture(scope="module")
def report(truth: Truth) -> Report:
    """A golden small report in which every text that can come from a shop is hostile."""
    ours, other = lists(4), lists(20)
    histories = Histories(
        np.arange(USERS + 1, dtype=np.int64),
        np.zeros(USERS, np.int32),
        np.zeros(USERS, np.int8),
        np.zeros(USERS, np.int64),
    )
    return assemble(
        shop=HOSTILE,
        generated_at="2026-11-22T18:00:00Z",
        results=[
            system("popularity", "baseline", 39, truth),
            system("Endcap", "ours", 4, truth),
            system(HOSTILE, "baseline", 20, truth),
            system("retrieval only", "stage", 30, truth),
        ],
        truth=truth,
        parts=Parts(
            channels=channel_recall(ours, np.ones_like(ours), truth),
            ranking=ranking_on_candidates({"by retrieval": other, "by ranker": ours}, truth),
            segments=segment_rows({"Endcap": ours, HOSTILE: other}, truth, FACTS),
            examples=draw_examples({"Endcap": ours, HOSTILE: other}, truth, histories, FACTS.titles),
            leaks=[LeakCheck(HOSTILE, True, "fine")],
            trials=[Trial("EASE", HOSTILE, "ndcg@10", 0.1, 2.0, True)],
            limits=[HOSTILE],
            manifest=manifest(
                data_fingerprint="ab" * 32,
                cuts={"test": truth.cut},
                seeds={"bootstrap": 2026},
                command=HOSTILE,
                code_version="1234abc",
                packages=("numpy", "no-such-package"),
            ),
            timings=[Timing(HOSTILE, 1.5)],
        ),
    )


class Page(HTMLParser):
    """Counts tags, and checks that every element that needs one has its end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.bare_headers = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: D102
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.bare_headers += tag == "th" and "scope" not in dict(attrs)


@pytest.fixture(scope="module")
def html(report: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report") / "new" / "folder"
    write_report(report, folder)
    return (folder / "index.html").read_text(encoding="utf-8")


def test_the_verdict_names_the_best_baseline_and_the_gap(report: Report) -> None:
    """36 of 40 against 20 of 40 in first place: better, and said in hits before it is said in NDCG."""
    assert report.verdict.status == "better"
    assert report.verdict.baseline == HOSTILE
    assert report.verdict.sentence.startswith("Endcap beats the best simpler method, <script>")
    assert "100.0% of 40 returning shoppers, the first 10 recommendations" in report.verdict.detail
    assert [s.name for s in report.systems] == ["Endcap", HOSTILE, "retrieval only", "popularity"]
    assert [c.other for c in report.comparisons] == [HOSTILE, "retrieval only", "popularity"]


@pytest.mark.parametrize(("misses", "status"), [(20, "level"), (35, "worse")])
def test_the_verdict_admits_what_is_not_a_win(truth: Truth, misses: int, status: str) -> None:
    """The same lists are level, fewer hits are worse; the sentence says so."""
    results = [system("Endcap", "ours", misses, truth), system("EASE", "baseline", 20, truth)]
    got = assemble(shop="toys", generated_at="", results=results, truth=truth).verdict
    assert got.status == status
    assert "beats" not in got.sentence


def test_a_report_needs_one_system_of_ours_and_a_baseline(truth: Truth) -> None:
    """There is no verdict without both sides."""
    ours, other = system("a", "ours", 1, truth), system("b", "baseline", 2, truth)
    for results in ([ours], [other], [ours, ours, other]):
        with pytest.raises(InvalidInput):
            assemble(shop="toys", generated_at="", results=results, truth=truth)


def test_json_reads_back_equal_and_keeps_its_schema(report: Report, tmp_path: Path) -> None:
    """What programs read: the same report, and these keys."""
    write_report(report, tmp_path)
    assert read_report(tmp_path) == report
    raw = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert set(raw) == {
        "schema_version", "shop", "generated_at", "metric", "ours", "users", "verdict", "systems", "comparisons",
        "channels", "ranking", "segments", "examples", "counts", "leaks", "protocol", "trials", "limits", "manifest",
        "timings",
    }  # fmt: skip
    assert set(raw["systems"][0]["metrics"]["ndcg@10"]) == {"value", "low", "high"}
    assert raw["schema_version"] == 1


def test_equal_reports_give_equal_bytes(report: Report, html: str, tmp_path: Path) -> None:
    """No date, no random id: a second rendering is the first."""
    write_report(report, tmp_path)
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == html
    assert "dc:date" not in html


def test_reading_what_is_no_report_says_what_is_wrong(report: Report, tmp_path: Path) -> None:
    """Missing, damaged and of a newer schema are told apart."""
    with pytest.raises(InvalidInput, match=r"holds no report\.json"):
        read_report(tmp_path)
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(InvalidInput, match="is no evaluation report"):
        read_report(tmp_path)
    newer = msgspec.structs.replace(report, schema_version=99)
    (tmp_path / "report.json").write_bytes(msgspec.json.encode(newer))
    with pytest.raises(InvalidInput, match="schema 99"):
        read_report(tmp_path)


def test_the_page_runs_and_fetches_nothing(html: str) -> None:
    """Hostile names, titles, commands and limits are text; nothing points outside the page."""
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "a", "object"} & set(page.tags)
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert") >= 8
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    urls = {value for name, value in page.attributes if name in {"src", "href", "xlink:href"}}
    assert all(value is not None and value.startswith("#") for value in urls)
    assert not re.search(r"@import|url\((?!#)", html)


def test_the_page_is_accessible(html: str) -> None:
    """Every header cell has a scope, each chart a title that tells its numbers, ids are unique."""
    page = Page(html)
    assert page.bare_headers == 0
    assert page.tags.count("svg") == 2
    assert len(set(page.ids)) == len(page.ids) > 0
    assert re.search(r"<title>NDCG@10 by system, with interval: Endcap 0\.9\d+;", html)
    assert 'lang="en"' in html
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_charts_take_their_colours_from_the_page(html: str) -> None:
    """No placeholder colour is left, and ours is drawn apart from the others."""
    charts = "".join(re.findall(r"<svg .*?</svg>", html, re.DOTALL))
    assert "#01010" not in charts
    assert {"var(--ours)", "var(--base)", "var(--stage)", "var(--ink)"} <= set(re.findall(r"var\(--\w+\)", charts))


def test_the_page_holds_every_part(html: str) -> None:
    """First screen, stages, segments, examples, checks, protocol, trials, manifest, timings."""
    for part in (
        "Stage by stage", "For whom", "What shoppers would have seen", "Limits", "Can it be believed?",
        "How it was measured", "Every configuration that was tried (1)", "To repeat it", "What it took", "1234abc",
        "2026-03-02T00:00:00Z",
    ):  # fmt: skip
        assert part in html, part


def test_a_report_of_the_least_parts_renders(truth: Truth, tmp_path: Path) -> None:
    """Whatever a run did not make is left out, and the absence of leak checks is said."""
    results = [system("Endcap", "ours", 4, truth), system("EASE", "baseline", 20, truth)]
    write_report(assemble(shop="toys", generated_at="", results=results, truth=truth), tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "none was made" in page
    assert "Stage by stage" not in page


def test_markdown_tables_survive_hostile_text(report: Report) -> None:
    """Each line of a table has as many cells as its head, and markup is only text."""
    text = to_markdown(report)
    assert "<script" not in text
    assert "\\[a\\](javascript:x)" in text
    width = 0
    for line in text.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line))
        assert cells == width or not (cells and width), line
        width = cells
    assert "| Endcap | ours | 0.9" in text


def test_examples_are_drawn_by_seed_and_mark_hits(truth: Truth) -> None:
    """Only shoppers with enough history; an untitled item shows its row; a hit is what was wanted."""
    histories = Histories(
        indptr=np.concatenate(([0], np.cumsum(np.where(np.arange(USERS) == 37, 2, 0)))).astype(np.int64),
        item=np.array([4, 1], np.int32),
        type=np.zeros(2, np.int8),
        time=np.arange(2, dtype=np.int64),
    )
    (example,) = draw_examples(
        {"ours": lists(0)[37:38]}, truth.where(truth.users == 37), histories, FACTS.titles, places=3, least_history=30
    )
    assert example.heading == "Shopper 1: 37 events before, 1 wanted"
    assert example.history == ("item 1", "e")  # newest first
    assert example.wanted == ("item 1",)
    assert [(i.title, i.hit) for i in example.lists["ours"]] == [("item 1", True), ("c", False), ("d", False)]
    assert draw_examples({"ours": lists(0)}, truth, histories, FACTS.titles, least_history=99) == ()
    with pytest.raises(InvalidInput, match="one line is needed"):
        draw_examples({"ours": lists(0)[1:]}, truth, histories, FACTS.titles)
    many = [draw_examples({"ours": lists(0)}, truth, histories, FACTS.titles, seed=s) for s in (1, 1, 2)]
    assert many[0] == many[1] != many[2]


def test_manifest_leaves_out_what_is_not_installed(report: Report) -> None:
    """Versions are those of this environment."""
    facts = {fact.name: fact.value for fact in report.manifest}
    assert facts["numpy"] == np.__version__
    assert "no-such-package" not in facts
    assert facts["test cut"] == "2026-03-02T00:00:00Z (1772409600000 ms)"
    assert facts["command"] == HOSTILE


def test_the_best_of_a_column_is_as_shown_and_gini_is_better_small(report: Report) -> None:
    """Equal as written is equally best."""
    assert best_systems(report, "ndcg@10") == {"Endcap"}
    assert best_systems(report, "hit_rate@10") == {s.name for s in report.systems}
    smallest = min(report.systems, key=lambda s: s.catalogue["gini@1"])
    assert smallest.name in best_systems(report, "gini@1")


def test_a_column_is_written_alike() -> None:
    """Shares have four decimals at any size, bits and places two; a difference keeps its sign; nothing is a dash."""
    assert (number(0.12345), number(-3.0), number(1234.5)) == ("0.1235", "-3.0000", "1234.5000")
    assert [number(value, "novelty@10") for value in (9.966, 10.034)] == ["9.97", "10.03"]
    assert number(1234.5, "popularity_rank@5") == "1,234.50"
    assert number(None) == "–"
    assert interval(Difference(0.01, -0.002, 0.03, 0.1)) == "-0.0020 to +0.0300"
    assert interval(Estimate(10.1, 9.5, 10.6), "novelty@10") == "9.50 to 10.60"


def segment(group: str, name: str, ours: float, other: float) -> SegmentRow:
    """A segment in which Endcap and EASE have these values."""
    values = {"Endcap": Estimate(ours, ours, ours), "EASE": Estimate(other, other, other)}
    return SegmentRow(group, name, 7, "recall@20", values)


def judged(truth: Truth, segments: list[SegmentRow], ours: float = 0.4, other: float = 0.3) -> Report:
    """Endcap, with 4 misses, against EASE, with 20, and these segments and shares of the catalogue."""
    results = [
        replace(system("Endcap", "ours", 4, truth), catalogue={"coverage@10": ours}),
        replace(system("EASE", "baseline", 20, truth), catalogue={"coverage@10": other}),
    ]
    return assemble(shop="toys", generated_at="", results=results, truth=truth, parts=Parts(segments=segments))


def test_the_report_says_where_it_loses(truth: Truth, tmp_path: Path) -> None:
    """A win on the whole names the segments and the coverage that the baseline wins, and only those."""
    users, items = "users by history", "items by popularity"
    segments = [
        segment(users, "new: no event", 0.1, 0.2),
        segment(users, "5–19 events", 0.5, 0.2),
        segment(items, "head", 0.9, 0.1),
        segment(items, "mid", 0.30001, 0.30003),  # written alike
        segment(items, "tail", 0.25, 0.26),
    ]
    got = judged(truth, segments, 0.303, 0.4136)
    assert got.verdict.status == "better"
    assert losses(got) == (
        "It does worse than EASE on: shoppers with no event (Recall@20 0.1000 against 0.2000); "
        "tail items (Recall@20 0.2500 against 0.2600); "
        "coverage (its lists show 30.3% of the catalogue, against 41.4%). Each of these gaps by itself may be chance."
    )
    write_report(got, tmp_path)
    for name in ("index.html", "report.md"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert losses(got) in text
        assert text.index("beats the best") < text.index("It does worse than EASE on") < text.index("All systems")


def test_no_loss_is_said_too(truth: Truth) -> None:
    """Where the baseline is nowhere ahead the sentence says so, and claims no segments that were not looked at."""
    won = [segment("items by popularity", "tail", 0.3, 0.2), segment("items by popularity", "new", 0.0, 0.0)]
    assert losses(judged(truth, won)) == "EASE is not ahead of it in any segment or in coverage."
    assert losses(judged(truth, [])) == "EASE is not ahead of it in coverage."


def test_the_row_of_new_items_explains_its_zero(truth: Truth, tmp_path: Path) -> None:
    """Beside the numbers, and only there, the page says why new items are not found."""
    rows = [segment("items by popularity", name, 0.0, 0.0) for name in ("tail", "new")]
    write_report(judged(truth, rows), tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count("near 0 for every system by construction") == 1
    assert page.index(">new <") < page.index("by construction")
    assert "near 0 for every system by construction" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_the_merged_row_claims_nothing_of_its_own(html: str) -> None:
    """Nothing is found by the union alone, so the cell is a dash."""
    row = re.search(r"<tr class=\"ours\"><th scope=\"row\">merged.*?</tr>", html)
    assert row is not None
    assert row[0].endswith('<td class="n">–</td></tr>')


def test_what_is_wide_scrolls_by_keyboard_and_says_so(html: str) -> None:
    """Every table and chart is in a box that scrolls, takes the focus, and on a narrow screen has a hint."""
    assert html.count('scroll" tabindex="0"') == html.count("<table") + html.count("<figure")
    assert 'content: "Scroll sideways' in html
