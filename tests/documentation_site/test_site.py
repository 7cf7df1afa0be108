"""The site has every page once, leads nowhere wrong, and can be read and searched by anybody."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import inklings
from tests.browser import DESK, PHONE, Opened, chromium, needs_chromium

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import build_site  # noqa: E402  # the scripts are no package: their folder has to be on the path

PROJECT = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
READ = ["docs/tutorial", "docs/reference/api", "docs/ledger", "docs/reference/how-long"]
"""Pages with code, signatures, wide tables and small ones."""
CONTRAST = """() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const part = (colour) => {  // a colour of any notation as red, green, blue and its share
    if (!known.has(colour)) {
      brush.clearRect(0, 0, 1, 1);
      brush.fillStyle = colour;
      brush.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data;
      known.set(colour, [r, g, b, a / 255]);
    }
    return known.get(colour);
  };
  const luminance = ([r, g, b]) => [r, g, b].map((each) => each / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const over = (top, below) => {
    const share = top[3];
    return [0, 1, 2].map((i) => top[i] * share + below[i] * (1 - share));
  };
  const ground = (node) => {
    if (!node) return [255, 255, 255];
    const colour = part(getComputedStyle(node).backgroundColor);
    return colour[3] === 1 ? colour : over(colour, ground(node.parentElement));
  };
  const opacity = (node) =>
    node ? Number(getComputedStyle(node).opacity) * opacity(node.parentElement) : 1;
  const faint = [];
  for (const node of document.querySelectorAll("article *, .md-nav--primary *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !node.checkVisibility() || node.closest("svg, .headerlink")) continue;
    if (!opacity(node)) continue;  // in a drawer that is closed
    const below = ground(node);
    const [red, green, blue, share] = part(getComputedStyle(node).color);
    const ink = over([red, green, blue, share * opacity(node)], below);
    const [a, b] = [luminance(ink), luminance(below)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)}: ${node.outerHTML.slice(0, 120)}`);
  }
  return faint;
}"""


def test_the_navigation_has_every_page_once() -> None:
    shown = build_site.pages_of(PROJECT["nav"])
    there = {str(path.relative_to(ROOT)) for path in build_site.sources()}
    assert sorted(shown) == sorted({*there, build_site.API})


def test_the_navigation_goes_from_the_first_look_to_contributing() -> None:
    assert [name for entry in PROJECT["nav"] for name in entry] == [
        "Inklings", "Tutorial", "How-to", "Reference", "Explanation", "Contributing",
    ]  # fmt: skip


def test_the_reference_has_every_public_name_once() -> None:
    named = [name for names in build_site.SECTIONS.values() for name in names.split()]
    assert sorted(named) == sorted(inklings.__all__)
    assert re.findall(r"^::: inklings\.(\w+)$", build_site.api_page(), re.MULTILINE) == named


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pages, as they are handed to zensical."""
    folder: Path = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_site, "PAGES", folder)
        build_site.gather()
    return folder


def test_every_link_of_the_gathered_pages_leads_to_a_page_or_a_file(gathered: Path) -> None:
    pages = list(gathered.rglob("*.md"))
    assert len(pages) > len(build_site.sources())
    wrong = [
        f"{page.relative_to(gathered)}: {target}"
        for page in pages
        if len(page.suffixes) == 1  # and not a page that shows code
        for target in build_site.links_of(page.read_text(encoding="utf-8"))
        if not (page.parent / target).is_file()
    ]
    assert not wrong


def test_code_and_settings_that_a_page_links_to_are_shown_whole(gathered: Path) -> None:
    shown = (gathered / "configs" / "shakespeare-gpt.toml.md").read_text(encoding="utf-8")
    assert (ROOT / "configs" / "shakespeare-gpt.toml").read_text(encoding="utf-8") in shown
    folder = gathered / "examples" / "architectures"
    for path in (ROOT / "examples" / "architectures").glob("*.py"):
        assert path.read_text(encoding="utf-8") in (folder / f"{path.name}.md").read_text("utf-8")
        assert f"[{path.name}]({path.name}.md)" in (folder / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def site() -> Path:
    """The site, built as `make site` builds it."""
    pytest.importorskip("zensical", reason="zensical is not installed; `make site` installs it")
    built = subprocess.run(
        [sys.executable, ROOT / "scripts" / "build_site.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return ROOT / "build" / "site"


@pytest.mark.slow
def test_no_page_asks_another_host_and_every_picture_is_told_in_words(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert {f"{name}.html" for name in READ} <= {str(page.relative_to(site)) for page in pages}
    for page in pages:
        if page == site / "docs" / "wavegpt" / "report.html":
            continue  # a report of a comparison, which has tests of its own
        text = page.read_text(encoding="utf-8")
        assert '<html lang="en"' in text
        assert not re.findall(r'<(?:script|link|img|iframe)[^>]* (?:src|href)="https?:', text), page
        assert not [tag for tag in re.findall(r"<img\b[^>]*>", text) if " alt=" not in tag]


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, 800, PHONE])
def test_text_stands_out_and_no_page_is_wider_than_the_window(
    site: Path, scheme: str, width: int
) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        for name in READ:
            page.goto((site / f"{name}.html").as_uri())
            page.wait_for_load_state("load")
            assert not page.evaluate(CONTRAST), name
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name


@pytest.mark.slow
@needs_chromium
def test_search_works_from_a_folder_by_the_keyboard_alone(site: Path) -> None:
    with chromium() as browser:
        opened = Opened(browser.new_page(viewport={"width": DESK, "height": 900}), "")
        page = opened.page
        page.goto((site / "docs" / "tutorial.html").as_uri())
        page.wait_for_load_state("load")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.matches('.md-skip')")
        page.keyboard.press("Control+k")
        field = page.get_by_role("combobox", name="Search")
        field.wait_for()
        page.keyboard.type("macro F1")
        found = page.get_by_role("option").filter(has_text="Glossary").first
        found.wait_for()
        page.keyboard.press("Enter")
        page.wait_for_url("**/glossary.html*")
        assert not [url for url in opened.asked if not url.startswith("file:")]
        assert not [line for line in opened.said if line.startswith("error")]


@pytest.mark.slow
@needs_chromium
def test_wide_tables_can_be_reached_by_the_keyboard(site: Path) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": PHONE, "height": 900})
        page.goto((site / "docs" / "ledger.html").as_uri())
        page.wait_for_load_state("load")
        wide = page.locator(".md-typeset__scrollwrap")
        assert wide.count() > 5
        assert wide.first.get_attribute("tabindex") == "0"
        assert wide.first.get_attribute("aria-label") == "Table"
