"""Sets one of our pages as PDF: ``python -m pt4al_backend.server.pdf_writer LANGUAGES`` reads HTML, and writes one sheet.

A process of its own, which ends when it takes too long or too much memory: what it sets may be hostile, and the libraries are
none of Python's. It needs the extra ``pdf``.
"""

import re
import resource
import sys
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

from pt4al_backend.server.pdf_export import MISSING

STATIC = Path(__file__).parent / "static"
#: How far a page is made smaller until it fits on one sheet.
SCALES = (1.0, 1.15, 1.3, 1.5, 1.75, 2.0)
MOST_MEMORY = 2**30  # bytes of addresses; a report takes a fifth of that
#: Of a sheet of A4, in mm.
WIDTH, HEIGHT, MARGIN = 210, 297, 15

#: As in static/format.js, which does in a browser what `localise` does here.
NUMBER = re.compile(r"(?<![\w.,:-])(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+)(?![\w:-]|,\d|\.\d)", re.ASCII)

try:
    from babel import Locale, UnknownLocaleError
    from babel.dates import format_date, format_time
    from babel.numbers import parse_pattern
    from weasyprint import CSS, HTML
    from weasyprint.urls import URLFetcher, URLFetcherResponse
except (ImportError, OSError) as error:
    print(error, file=sys.stderr)  # noqa: T201 - for the log of who started this
    sys.exit(MISSING)


class OwnStyles(URLFetcher):  # type: ignore[misc]
    """Gives the style sheets of our pages, and nothing else: no other address is opened, and no other file."""

    def fetch(self, url: str, headers: object = None) -> URLFetcherResponse:  # noqa: ARG002 - as the library calls it
        """One style sheet.

        Raises:
            ValueError: the address is of something else.
        """
        sheets = {f"/static/{path.name}": path for path in STATIC.glob("*.css")}
        path = sheets.get(urlsplit(url).path)
        if path is None:
            raise ValueError("Only style sheets of the pages are loaded.")
        return URLFetcherResponse(url, path.read_bytes(), {"Content-Type": "text/css"})


def locale_of(languages: str) -> Locale:
    """The first language of an ``Accept-Language`` that is known; English if none is."""
    for each in languages.split(","):
        try:
            return Locale.parse(each.split(";")[0].strip(), sep="-")
        except (UnknownLocaleError, ValueError, TypeError):
            continue
    return Locale("en")


def localise(root: Element, locale: Locale) -> None:
    """Rewrites times, and the numbers in elements marked ``data-numbers`` that have a separator; not in code."""
    for time in root.iter("time"):
        time.text = _moment(datetime.fromisoformat(time.attrib["datetime"]).astimezone(UTC), locale)
    for marked in root.iter():
        if marked.get("data-numbers") is not None:
            _rewrite(marked, locale)


def _rewrite(element: Element, locale: Locale) -> None:
    if element.tag in ("time", "code"):
        return
    element.text = NUMBER.sub(lambda found: _number(found[0], locale), element.text or "")
    for child in element:
        _rewrite(child, locale)
        child.tail = NUMBER.sub(lambda found: _number(found[0], locale), child.tail or "")


def _number(text: str, locale: Locale) -> str:
    """A number as the server writes it, 1,234.5, by the customs of a language."""
    digits = len(text.partition(".")[2])
    pattern = parse_pattern(locale.decimal_formats[None].pattern)
    pattern.frac_prec = (digits, digits)
    return str(pattern.apply(Decimal(text.replace(",", "")), locale))


def _moment(at: datetime, locale: Locale) -> str:
    """A time by the minute. Where the reader's clock stands is not known here."""
    day, minute = format_date(at, "medium", locale), format_time(at, "short", locale=locale)
    return f"{locale.datetime_formats['medium'].replace('{1}', day).replace('{0}', minute)} UTC"


def pdf_of(page: str, languages: str) -> bytes:
    """The page on one sheet of A4, as small as it has to be for that."""
    html = HTML(string=page, base_url="http://pages.invalid/", url_fetcher=OwnStyles())
    localise(html.etree_element, locale_of(languages))
    for scale in SCALES:
        sheet = f"@page {{ size: {scale * WIDTH}mm {scale * HEIGHT}mm !important; margin: {scale * MARGIN}mm !important }}"
        document = html.render(stylesheets=[CSS(string=sheet)], pdf_variant="pdf/ua-1")
        if len(document.pages) == 1:
            break
    return bytes(document.copy(document.pages[:1]).write_pdf(zoom=1 / scale, pdf_variant="pdf/ua-1"))


def main() -> None:
    """Reads a page from standard input, and writes its PDF to standard output."""
    with suppress(ValueError):  # a lower limit is set already, or the system has none
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    sys.stdout.buffer.write(pdf_of(sys.stdin.buffer.read().decode(), sys.argv[1]))


if __name__ == "__main__":
    main()
