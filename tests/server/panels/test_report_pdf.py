"""The report as PDF: the same page, on one sheet, without anything from elsewhere."""

import re
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import util
from pathlib import Path

import httpx
import pytest

from pt4al_backend.config import ServerSettings
from pt4al_backend.errors import NotNow, PT4ALError
from pt4al_backend.server import pdf_export
from pt4al_backend.server.pdf_export import pdf_of
from pt4al_backend.state.schema import AnswerKind
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer
from tests.support.estimated import fill_estimated, head
from tests.support.filled import PROJECT
from tests.support.judged import fill_judged
from tests.support.web_client import Client

PAGE, ADDRESS = f"/projects/{PROJECT}/report", f"/api/projects/{PROJECT}/take-away/report.pdf"
GERMAN, NO_LANGUAGE = "de-DE,de;q=0.9,en;q=0.8", "xx, *;q=0.1,, ../de"
SHEET = pytest.approx((595.3, 841.9), abs=1)  # A4 in points
NAMES = (
    "<script>alert(1)</script>",
    "<img src=file:///etc/hostname>",
    "\u202eevil",
    "\u65e5\u672c\u8a9e",
    "m" * 3_000,
    "{{ 7 * 7 }}",
)


@pytest.fixture(scope="module", autouse=True)
def _pango() -> None:
    """Skips where what sets PDF is missing, Python's or the system's; the tests of that are below."""
    try:
        pdf_of(b"<p>one", "en")
    except NotNow as error:
        pytest.skip(str(error))


class Sheet:
    """A PDF, read by another library than wrote it."""

    def __init__(self, content: bytes) -> None:
        pdfium = pytest.importorskip("pypdfium2")
        with closing(pdfium.PdfDocument(content)) as document:
            self.pages = len(document)
            self.size = document[0].get_size()
            self.title = document.get_metadata_dict()["Title"]
            self.text = document[0].get_textpage().get_text_range().replace("\r\n", "\n")

    @property
    def words(self) -> Counter[str]:
        """Its words, however the lines are broken."""
        return Counter(self.text.replace("\u2022", "").split())


def sheet(client: Client, **options: object) -> Sheet:
    answer = client.get(ADDRESS, **options)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="project-{PROJECT}-report.pdf"'
    return Sheet(answer.content)


def words_of(page: httpx.Response) -> Counter[str]:
    """The words of the report on a page, but for the time at which it was made."""
    (article,) = re.findall(r"<article.*?</article>", page.text, re.DOTALL)
    return Counter(re.sub(r"<time.*?</time>|<[^>]*>", " ", article, flags=re.DOTALL).replace("&#39;", "'").split())


def test_sheet_says_what_the_page_says(client: Client, store: Store, settings: ServerSettings) -> None:
    fill_estimated(store, settings, head())
    found = sheet(client)
    assert (found.pages, found.size, found.title) == (1, SHEET, "Report on Arrows \u00b7 PT4AL")
    wanted = words_of(client.page(PAGE))
    assert wanted["80.0"] == 2
    assert wanted - found.words == Counter()
    more = found.words - wanted
    assert set(more) <= set(re.findall(r"\S+", "Nov Dec Jan, AM PM UTC")) | {
        each for each in more if re.search(r"\d|UTC|,$", each)
    }


def test_numbers_and_times_follow_the_language_that_is_asked_for(client: Client, store: Store, settings: ServerSettings) -> None:
    fill_judged(store, settings)
    store.set_tasks(PROJECT, {"id": [119, 120], "problem": ["1,234.5 is no number of ours", "damaged"]})
    english, german = (sheet(client, headers={"Accept-Language": each}).text for each in (NO_LANGUAGE, GERMAN))
    assert "62.7\N{NO-BREAK SPACE}% to 90.5" in english
    assert "62,7\N{NO-BREAK SPACE}% to 90,5" in german
    assert re.search(r"\b\d{2}\.\d{2}\.\d{4}, \d{2}:\d{2} UTC", german)
    assert not re.search(r"\d\.\d\N{NO-BREAK SPACE}%", german)
    assert "1,234.5 is no number of ours" in german


def test_hostile_names_stay_text_and_however_many_classes_and_rounds_make_one_sheet(
    client: Client, store: Store, settings: ServerSettings
) -> None:
    escaped = [name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for name in NAMES]
    choices = "".join(f'<Choice value="{name}"/>' for name in [*escaped, *(f"class {number}" for number in range(10_000))])
    config = f'<View><Image name="image" value="$image"/><Choices name="c" toName="image">{choices}</Choices></View>'
    labels = [*NAMES, *(f"class {number}" for number in range(40))]
    fill_judged(
        store, settings, config=config, answers=lambda task: StoredAnswer(AnswerKind.LABEL, labels[(task - 1) % len(labels)])
    )
    store.change(PROJECT, title="<b>" + "W" * 400)
    store.set_tasks(PROJECT, {"id": [118, 119, 120], "problem": [NAMES[0], NAMES[1], "w" * 2_000]})
    found = sheet(client)
    assert (found.pages, found.size) == (1, SHEET)
    for words in ("<b>WW", NAMES[0], NAMES[1], NAMES[5], "Intervals are of 95"):
        assert words in found.text
    assert found.words["class"] == 20 - len(NAMES)


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    asked: list[str] = []

    class Listening(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    secret = tmp_path / "secret.css"
    secret.write_text("p::after { content: 'a secret' }")
    with HTTPServer(("127.0.0.1", 0), Listening) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        elsewhere = f"http://127.0.0.1:{server.server_port}"
        page = f"""<title>t</title><base href="{elsewhere}/"><link rel=stylesheet href="{secret.as_uri()}">
        <link rel=stylesheet href="{elsewhere}/a.css"><link rel=stylesheet href="b.css">
        <link rel=attachment href="{secret.as_uri()}">
        <style>@import "{elsewhere}/c.css"; @font-face {{ font-family: f; src: url({elsewhere}/d.woff) }}
        p {{ font-family: f; background: url({elsewhere}/e.png) }}</style>
        <img src="{elsewhere}/f.png"><img src="{secret.as_uri()}"><object data="{elsewhere}/g.svg"></object>
        <svg><image href="{elsewhere}/h.png"/><use href="{elsewhere}/i.svg#x"/></svg><p>The page"""
        content = pdf_of(page.encode(), "en")
        server.shutdown()
        thread.join()
    assert asked == []
    assert "The page" in Sheet(content).text
    assert "secret" not in Sheet(content).text
    assert b"EmbeddedFile" not in content


def test_what_is_missing_is_named_and_the_page_stands(
    client: Client, store: Store, settings: ServerSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill_judged(store, settings)
    without_pango = tmp_path / "weasyprint"
    without_pango.mkdir()
    (without_pango / "__init__.py").write_text("raise OSError(\"cannot load library 'libpango-1.0-0'\")")
    with monkeypatch.context() as changed:
        changed.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")
        answer = client.get(ADDRESS)
        assert (answer.status_code, answer.json()["remedy"].split()[:3]) == (409, ["apt-get", "install", "libpango-1.0-0"])
        assert "apt-get install libpango-1.0-0" in client.page(ADDRESS).text
    monkeypatch.setattr(pdf_export, "find_spec", lambda name: None if name == "weasyprint" else util.find_spec(name))
    answer = client.get(ADDRESS)
    assert (answer.status_code, answer.json()["remedy"]) == (409, "pip install 'pt4al-backend[pdf]'")
    assert client.page(PAGE).status_code == 200


def test_setting_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_export, "MOST_SECONDS", 0.05)
    with pytest.raises(PT4ALError, match="took too long"):
        pdf_of(b"<p>one", "en")


def test_setting_that_takes_too_much_memory_is_ended() -> None:
    program = "from pt4al_backend.server import pdf_writer; pdf_writer.MOST_MEMORY = 1; pdf_writer.main()"
    page = b"<p>" + b"one " * 1_000_000
    ended = subprocess.run([sys.executable, "-c", program, "en"], input=page, capture_output=True, check=False)
    assert b"MemoryError" in ended.stderr


def test_only_a_few_wait_for_their_report_since_each_holds_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def slow(*_: object) -> bytes:
        assert released.wait(60)
        return b"%PDF"

    monkeypatch.setattr(pdf_export, "_set", slow)
    with ThreadPoolExecutor(pdf_export.MOST_AT_ONCE + 1) as threads:
        asked = [threads.submit(pdf_of, b"<p>one", "en") for _ in range(pdf_export.MOST_AT_ONCE + 1)]
        try:
            refused = next(as_completed(asked, timeout=60))
            assert isinstance(refused.exception(), NotNow)
        finally:
            released.set()
    assert [each.result() for each in asked if each is not refused] == [b"%PDF"] * pdf_export.MOST_AT_ONCE
    assert pdf_of(b"<p>one", "en") == b"%PDF"


def test_report_of_an_unknown_project_is_none(client: Client) -> None:
    assert client.get("/api/projects/99/take-away/report.pdf").status_code == 404
