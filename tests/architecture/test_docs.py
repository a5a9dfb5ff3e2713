"""The documentation: generated pages are up to date, links and anchors exist, and the navigation has every page."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import gather, reference

ROOT = Path(__file__).parents[2]

PAGES = [
    *gather.pages(),
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *ROOT.glob("benchmarks/*.md"),
    ROOT / "config" / "jwt" / "README.md",
    ROOT / "tests" / "contract" / "README.md",
]

TEXTS = [page for page in PAGES if page.suffix == ".md"]

CODE = [
    path
    for pattern in ("*.py", "*.md", "bin/*", "deploy/*", ".ci/*", "*/**/*.py", "*/**/*.md")
    for path in ROOT.glob(pattern)
    if path.is_file()
    and not path.relative_to(ROOT).as_posix().startswith((".venv", ".site-pages", ".pytest_cache", "site/", "var/"))
]

SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text())


def entries(nav: Any) -> list[str]:
    """Return the pages of the site's navigation in order."""
    if isinstance(nav, str):
        return [nav]
    return [page for entry in (nav.values() if isinstance(nav, dict) else nav) for page in entries(entry)]


def test_configuration_page_says_what_the_settings_say() -> None:
    assert reference.PAGE.read_text() == reference.page(reference.EXAMPLE.read_text()), "run: .venv/bin/python -m docs.reference"


@pytest.mark.parametrize(
    ("said", "instead"), [("seconds: leeway for exp", "minutes: leeway for exp"), ("# JWT_CLOCK_SKEW=0", "# nothing")]
)
def test_example_that_says_something_else_makes_no_page(said: str, instead: str) -> None:
    example = reference.EXAMPLE.read_text()
    assert said in example
    with pytest.raises(reference.Untrue, match="JWT_CLOCK_SKEW"):
        reference.page(example.replace(said, instead))


def prose_of(page: Path) -> str:
    """Return a page without its fenced blocks, in which `#` is a comment."""
    return re.sub(r"^(`{3,}).*?^\1$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors_of(page: Path) -> list[str]:
    """Return the anchors of a page: its headings as GitHub and MkDocs spell them, and its explicit anchors."""
    prose = prose_of(page)
    headings = re.findall(r"^#{1,6} (.+)$", prose, re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return [*slugs, *re.findall(r'<a id="([^"]+)">', prose)]


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_of_the_repository(page: Path) -> None:
    gather.page_of(page)


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_anchors_of_their_page(page: Path) -> None:
    links = re.findall(r"\]\(([^():\s]*)#([^()\s]+)\)", prose_of(page))
    targets = [((page.parent / target).resolve() if target else page, anchor) for target, anchor in links]
    assert [(target.name, anchor) for target, anchor in targets if anchor not in anchors_of(target)] == []


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_link_texts_are_titles_and_no_file_names(page: Path) -> None:
    assert re.findall(r"\[[^]]*\.md\]\(", prose_of(page)) == []


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_anchors_of_a_page_are_unique(page: Path) -> None:
    anchors = anchors_of(page)
    # The changelog repeats headings for each release, and the results for each part.
    assert page.name in {"CHANGELOG.md", "results.md"} or len(set(anchors)) == len(anchors)


def test_anchors_that_the_code_cites_exist() -> None:
    cited = {(path, *found) for path in CODE for found in re.findall(r"\b(docs/[a-z0-9/.-]+\.md)#([a-z0-9-]+)", path.read_text())}
    assert len(cited) >= 5
    assert [(str(path), page, anchor) for path, page, anchor in cited if anchor not in anchors_of(ROOT / page)] == []


def test_recordings_name_differences_that_are_listed() -> None:
    lines = [line for file in ROOT.glob("tests/contract/transcripts/*.jsonl") for line in file.read_text().splitlines()]
    named = {case["deviation"].partition(":")[0] for case in map(json.loads, lines) if case.get("deviation")}
    assert len(named) >= 15
    assert named - set(anchors_of(ROOT / "docs" / "compatibility.md")) == set()


def test_every_page_is_in_the_navigation_and_nothing_else_is() -> None:
    placed = {gather.place_of(page) for page in gather.pages() if page.suffix == ".md"}
    elsewhere = {"CHANGELOG.md", "benchmarks/README.md", "benchmarks/results.md"}
    assert sorted(entries(SITE["nav"])) == sorted(placed | elsewhere)


def test_settings_of_the_site_fit_what_is_gathered() -> None:
    assert ROOT / SITE["docs_dir"] == gather.PAGES
    assert SITE["theme"]["font"] is False
    assert {ROOT / "docs" / name for name in SITE["extra_css"]} <= set(gather.pages())


# --- Gathering


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository: a page, a text file and a picture outside docs/."""
    monkeypatch.setattr(gather, "ROOT", tmp_path)
    monkeypatch.setattr(gather, "DOCS", tmp_path / "docs")
    for folder in ("docs/adr", "deploy", "charts"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "README.md").write_text("# First\n")
    (tmp_path / "charts" / "README.md").write_text("![a](one.svg) and [back](../docs/adr/1.md)\n")
    (tmp_path / "charts" / "one.svg").write_text("<svg/>")
    (tmp_path / "deploy" / ".example").write_text("A=1")
    (tmp_path / "docs" / "adr" / "1.md").write_text(
        "[charts](../../charts/README.md#a), [home](../../README.md), [x](https://x.example/)\n"
    )
    return tmp_path


def test_what_pages_link_to_comes_along_and_links_fit(repository: Path, tmp_path: Path) -> None:
    (repository / "docs" / "a.md").write_text(
        '[e](../deploy/.example)\n\n```sh\necho "[not](a-link.md)"\n```\n\n[adr](adr/1.md)\n'
    )
    gather.gather(tmp_path / "out", gather.pages())
    made = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_text()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert set(made) == {"a.md", "adr/1.md", "charts/README.md", "charts/one.svg", "deploy/example.md"}
    assert made["a.md"] == '[e](deploy/example.md)\n\n```sh\necho "[not](a-link.md)"\n```\n\n[adr](adr/1.md)\n'
    assert made["adr/1.md"] == "[charts](../charts/README.md#a), [home](../index.md), [x](https://x.example/)\n"
    assert made["charts/README.md"] == "![a](one.svg) and [back](../adr/1.md)\n"
    assert "# deploy/.example\n\n`````text\nA=1\n" in made["deploy/example.md"]


@pytest.mark.parametrize("target", ["nothing.md", "../deploy", "../../beyond.md"])
def test_link_to_what_is_no_file_of_the_repository_is_refused(repository: Path, target: str) -> None:
    (repository.parent / "beyond.md").write_text("")
    page = repository / "docs" / "a.md"
    page.write_text(f"[a]({target})\n")
    with pytest.raises(gather.BrokenLink, match=r"docs/a\.md links to"):
        gather.page_of(page)


def test_examples_of_one_step_become_tabs(repository: Path) -> None:
    page = repository / "docs" / "a.md"
    page.write_text("One:\n\n```sh\na\n\nb\n```\n\n```js\nc\n```\n\n```text\nd\n```\n\nTwo:\n\n```sh\ne\n```\n")
    assert gather.page_of(page)[0] == (
        'One:\n\n=== "curl"\n\n    ```sh\n    a\n\n    b\n    ```\n\n=== "JavaScript"\n\n    ```js\n    c\n    ```\n\n'
        "```text\nd\n```\n\nTwo:\n\n```sh\ne\n```\n"
    )
