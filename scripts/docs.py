#!/usr/bin/env python3
"""The book and its links.

docs.py check            every link of every document leads to an existing file and heading, and every page that other
                         files name exists
docs.py stage DIR        the book's source: docs/, with links to other files of the repository made absolute
docs.py built DIR        every link of the built book leads to an existing page and anchor
"""

import html.parser
import os
import re
import subprocess
import sys
import tomllib
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "docs"
REPOSITORY = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["repository"]
# Documents at the root of the repository that are also chapters of the book.
CHAPTERS = {
    "SECURITY.md": "explanation/threat-model.md",
    "ARCHITECTURE.md": "explanation/design.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(?<!\\)\]\(([^()\s]+(?:\([^()]*\)[^()\s]*)?)\)")
EXTERNAL = re.compile(r"[a-z]+:")
# A file or folder of the project in backticks: `tests/e2e/api/`, `totpd/src/http/v1/error.rs`.
PATH = re.compile(r"`((?:bench|config|docs|fuzz|pam_totp|scripts|tests|totp_core|totp_wire|totpd)/[\w./-]*)")


def project(*patterns):
    """The files that belong to the project."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )
    return [ROOT / name for name in listed.stdout.split("\n") if name and (ROOT / name).is_file()]


def prose(text):
    """The text without its code, which holds no links."""
    text = re.sub(r"^(```+|~~~+).*?^\1\s*$", lambda m: "\n" * m.group().count("\n"), text, flags=re.M | re.S)
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", lambda m: "\n" * m.group().count("\n"), text)


def anchors(path):
    """The anchors of a document: those of its headings, as GitHub and mdBook make them, and explicit ones."""
    text = path.read_text()
    found, seen = set(re.findall(r'<a name="([^"]+)"', text)), {}
    fenceless = re.sub(r"^(```+|~~~+).*?^\1\s*$", "", text, flags=re.M | re.S)
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", fenceless, flags=re.M):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(slug if count == 0 else f"{slug}-{count}")
    return found


def target(document, link):
    """The file that a link of a document leads to, and its anchor."""
    path, _, anchor = link.partition("#")
    path = urllib.parse.unquote(path)
    return (Path(os.path.normpath(document.parent / path)) if path else document), anchor


def check():
    """Broken links, and pages that the book lacks."""
    wrong = []
    for document in project("*.md"):
        name = document.relative_to(ROOT)
        for path in PATH.findall(document.read_text()):
            if not any((ROOT / folder / path).exists() for folder in ("", "totpd/src")):
                wrong.append(f"{name} names {path}, which is not there")
        for link in LINK.findall(prose(document.read_text())):
            if EXTERNAL.match(link):
                continue
            file, anchor = target(document, link)
            if not file.exists():
                wrong.append(f"{name} links to {link}, which is not there")
            elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                wrong.append(f"{name} links to {link}: there is no such heading")
    for file in project(":!*.md", ":!fuzz/corpus"):
        # A page that a comment, a unit or a message names. Binary files name none.
        for page in re.findall(r"\bdocs/[\w/-]+\.md\b", file.read_text(errors="ignore")):
            if not (ROOT / page).exists():
                wrong.append(f"{file.relative_to(ROOT)} names {page}, which is not there")
    listed = {target(BOOK / "SUMMARY.md", link)[0] for link in LINK.findall((BOOK / "SUMMARY.md").read_text())}
    for page in BOOK.rglob("*.md"):
        if page not in listed and page.name != "SUMMARY.md" and page.parent.name != "man":
            wrong.append(f"docs/SUMMARY.md lacks {page.relative_to(BOOK)}")
    return wrong


def chapter(page):
    """The place of a page of docs/ in the book. The README of a folder is its index."""
    page = page.relative_to(BOOK)
    return (page.with_name("index.md") if page.name == "README.md" else page).as_posix()


def staged(document, text, place):
    """The text of a document as a chapter at `place` of the book."""
    def rewritten(match):
        link = match.group(1)
        if EXTERNAL.match(link) or link.startswith("#"):
            return match.group()
        file, anchor = target(document, link)
        anchor = f"#{anchor}" if anchor else ""
        name = file.relative_to(ROOT).as_posix()
        if name in CHAPTERS:
            inside = CHAPTERS[name]
        elif file.is_file() and file.is_relative_to(BOOK) and file.parent.name != "man":
            inside = chapter(file)
        else:
            kind = "tree" if file.is_dir() else "blob"
            return f"]({REPOSITORY}/{kind}/main/{name}{anchor})"
        return f"]({os.path.relpath(inside, os.path.dirname(place) or '.')}{anchor})"

    # Fenced code stays as it is.
    parts = re.split(r"(^(?:```+|~~~+).*?^(?:```+|~~~+)\s*$)", text, flags=re.M | re.S)
    return "".join(part if i % 2 else LINK.sub(rewritten, part) for i, part in enumerate(parts))


def stage(directory):
    """Writes the book's source."""
    chapters = {page: chapter(page) for page in BOOK.rglob("*.md") if page.parent.name != "man"}
    chapters |= {ROOT / name: place for name, place in CHAPTERS.items()}
    for document, place in chapters.items():
        (directory / place).parent.mkdir(parents=True, exist_ok=True)
        (directory / place).write_text(staged(document, document.read_text(), place))
    for other in BOOK.rglob("*"):
        if other.is_file() and other.suffix != ".md":
            (directory / other.relative_to(BOOK)).parent.mkdir(parents=True, exist_ok=True)
            (directory / other.relative_to(BOOK)).write_bytes(other.read_bytes())


class Page(html.parser.HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
        self.links += [attributes[key] for key in ("href", "src") if attributes.get(key)]


def built(directory):
    """Broken links of the book."""
    pages = {path: Page(path) for path in directory.rglob("*.html")}
    wrong = []
    for path, page in pages.items():
        # 404.html is served at any address; the others belong to the theme.
        if path.name in ("404.html", "toc.html", "print.html"):
            continue
        for link in page.links:
            if EXTERNAL.match(link) or link.startswith("//"):
                continue
            file, anchor = target(path, link)
            if file.is_dir():
                file = file / "index.html"
            if not file.exists():
                wrong.append(f"{path.relative_to(directory)} links to {link}, which is not there")
            elif anchor and file in pages and urllib.parse.unquote(anchor) not in pages[file].anchors:
                wrong.append(f"{path.relative_to(directory)} links to {link}: there is no such anchor")
    return wrong


def main(arguments):
    """Runs what the command line says."""
    match arguments:
        case ["check"]:
            wrong = check()
        case ["stage", directory]:
            stage(Path(directory))
            wrong = []
        case ["built", directory]:
            wrong = built(Path(directory))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    for line in wrong:
        print(f"docs.py: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
