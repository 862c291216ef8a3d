"""The project's pages in Markdown: their headings, links, and the code that they show."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_ASSIGNMENT = re.compile(r"[A-Z_][A-Z0-9_]*=")


@dataclass(frozen=True)
class Page:
    """One page."""

    path: Path

    @property
    def name(self) -> str:
        """The path below the repository."""
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    def blocks(self, *languages: str) -> list[str]:
        """Fenced blocks of some languages, without their indentation."""
        found = _FENCE.findall(self.text)
        return [re.sub(f"^{indent}", "", body, flags=re.MULTILINE) for indent, language, body in found if language in languages]

    @property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _FENCE.sub("", self.text)

    def inline(self) -> list[str]:
        """What stands in backticks within the prose."""
        return [code.strip() for _, code in _INLINE.findall(self.prose)]

    def links(self) -> list[str]:
        return _LINK.findall(_INLINE.sub("", self.prose))

    def anchors(self) -> set[str]:
        """Names that links may have after #, as GitHub makes them of the headings."""
        found: set[str] = set()
        for heading in _HEADING.findall(self.prose):
            plain = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            names = (plain, *(f"{plain}-{n}" for n in range(1, 1000)))
            found.add(next(name for name in names if name not in found))
        return found

    def commands(self) -> Iterator[list[str]]:
        """Commands that the shell blocks show, as words: without comments, variables set before them, and what they pipe into."""
        for block in self.blocks("sh"):
            yield from commands_of(block)


def commands_of(script: str) -> Iterator[list[str]]:
    """The commands of a shell script, as lists of words."""
    bare = re.sub(r"(?:^|(?<=\s))#[^\n]*", "", script.replace("\\\n", " "))  # shlex would drop a comment's end of line too
    lexer = shlex.shlex(bare, posix=True, punctuation_chars="|;&<>\n")
    lexer.whitespace = " \t"
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, "\n"]:
        if set(word) <= set("|;&\n"):
            while words and _ASSIGNMENT.match(words[0]):
                words = words[1:]
            if words:
                yield words
            words = []
        else:
            words.append(word)


def pages() -> list[Page]:
    """Every page: those of docs/, and those beside the code."""
    paths = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "plugin").glob("*.md"), *(ROOT / "docker").glob("*.md")]
    return [Page(path) for path in sorted(paths)]
