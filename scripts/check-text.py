#!/usr/bin/env python3
"""Checks the text of the project: the length of comments and lines, one sentence a line, hard words, spelling.

check-text.py [FILE…]    checks these files, or every file of the project; then typos (typos.toml) looks for spelling mistakes
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMENT_COLUMNS = 100
MARKDOWN_COLUMNS = 120

# Words that are hard for readers who are not native speakers, and what to write instead.
WORDS = {
    r"whoever|whomever": "a client that, a user who, anyone who",
    r"anew": "again",
    r"thereof": "of it",
    r"(?-i:(?<!there )is none)": "is not one",
    r"just so": "leave it out",
    r"mend(?:s|ed|ing)?": "fix",
    r"s?he|his|her|hers|him|himself|herself": "they, their, them",
}
STUMBLES = re.compile(r"(?<![A-Za-z])(?:" + "|".join(f"({words})" for words in WORDS) + r")(?![A-Za-z])", re.I)
# Where such a word is right: the file, the word, and why. Keep it short.
EXCEPTIONS = {
    ("scripts/check-text.py", None): "the list itself",
    ("tests/e2e/api/values.rs", "his"): "a comment in a mail address, from RFC 5322",
}
# Files that others wrote, or that hold data.
NOT_OURS = re.compile(r"^(fuzz/corpus/|LICENSE|docs/images/|.*\.lock$|.*package-lock\.json$|target/)")

RUST = re.compile(
    r"""(?P<comment>//[^\n]*)|(?P<block>/\*.*?\*/)"""
    r"""|b?c?r(?P<hashes>\#*)".*?"(?P=hashes)|[bc]?"(?:\\.|[^"\\])*"|b?'(?:\\(?:x..|u\{[^}]*\}|.)|[^'\\\n])'|\w+""",
    re.S,
)
# The end of a sentence inside a line: a stop, closing marks, a space, and what a sentence begins with.
STOP = re.compile(r"""[.!?](?:["')\]*_`]|\]\([^()\s]*\))*(?=\s)""")
ABBREVIATION = re.compile(r"""(?:^|[\s(*"])(?:e\.g|i\.e|etc|vs|cf|Nr|No|Sec|approx|resp)\.$""")
BEGINS = re.compile(r"""\s+[*_"'(\[]*(?:[A-Z0-9`<]|\[|(?:totpd|sudo|sshd|ssh|root|cron|pam_\w+)\b)""")


def comments(source):
    """The line comments of a Rust file, each with its offset; not those inside strings."""
    return [(m.start("comment"), m["comment"]) for m in RUST.finditer(source) if m["comment"]]


def check_rust(source):
    """Comments that are too long."""
    for offset, comment in comments(source):
        start = source.rfind("\n", 0, offset) + 1
        if re.match(r"//[/!] \|", comment):
            continue  # a row of a table cannot be broken
        if offset - start + len(comment) > COMMENT_COLUMNS:
            yield source.count("\n", 0, offset) + 1, f"a comment of more than {COMMENT_COLUMNS} columns"


def masked(text):
    """The text with the letters of code and addresses replaced, so that stops in them do not count."""
    text = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", lambda m: "`" + "x" * (len(m.group()) - 2) + "`", text)
    return re.sub(r"(?<=\]\()[^()\s]+|https?://[^\s)>]+", lambda m: "x" * len(m.group()), text)


def sentence_ends(text):
    """Where a sentence ends before the end of the text."""
    plain = masked(text)
    for stop in STOP.finditer(plain):
        before = plain[: stop.start() + 1]
        if not ABBREVIATION.search(before) and BEGINS.match(plain, stop.end()) and not re.fullmatch(r"\s*\d+\.", before):
            yield stop.end()


def prose_lines(text):
    """The lines of a document that are prose, with their numbers: no code, table, heading, front matter or HTML."""
    fence, lines = None, text.split("\n")
    front = lines[0] == "---"
    for number, line in enumerate(lines, 1):
        if front:
            front = number == 1 or line != "---"
            continue
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark:
            fence = None if fence and mark[1].startswith(fence) else fence or mark[1]
        elif not fence and not re.match(r"\s*(?:\||#{1,6} |<|\[[^\]]+\]: )", line):
            yield number, line


def check_markdown(text):
    """Lines that are too long or hold more than one sentence."""
    for number, line in prose_lines(text):
        content = re.sub(r"^\s*(?:[-*+]|\d+\.|>|:)?\s+", "", line)
        # A line that cannot be broken: a link or a piece of code alone.
        if len(line) > MARKDOWN_COLUMNS and " " in re.sub(r"\[[^\]]*\]\([^)]*\)|`[^`]+`", "x", content):
            yield number, f"more than {MARKDOWN_COLUMNS} columns"
        if any(True for _ in sentence_ends(content)):
            yield number, "more than one sentence on a line"


def check_words(name, text):
    """Words that are hard to read."""
    for match in STUMBLES.finditer(text):
        if (name, None) in EXCEPTIONS or (name, match.group().lower()) in EXCEPTIONS:
            continue
        better = list(WORDS.values())[match.lastindex - 1]
        yield text.count("\n", 0, match.start()) + 1, f"“{match.group()}”: {better}"


def project():
    """The names of the project's files."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\n")
    return [name for name in listed if name and (ROOT / name).is_file()]


def main(arguments):
    """Checks the files, then their spelling."""
    wrong = 0
    for name in arguments or project():
        if NOT_OURS.match(name):
            continue
        try:
            text = (ROOT / name).read_text()
        except UnicodeDecodeError:
            continue
        found = list(check_words(name, text))
        found += check_rust(text) if name.endswith(".rs") else ()
        found += check_markdown(text) if name.endswith(".md") else ()
        for number, what in sorted(found):
            print(f"{name}:{number}: {what}", file=sys.stderr)
        wrong += len(found)
    typos = ROOT / ".venv/bin/typos" if (ROOT / ".venv/bin/typos").exists() else shutil.which("typos")
    if not typos:
        print("check-text: typos is not installed. Run: scripts/bootstrap.sh test", file=sys.stderr)
        return 2
    spelled = subprocess.run([typos, "--format", "brief", *arguments], cwd=ROOT, check=False).returncode
    if not wrong and not spelled:
        print("text: plain")
    return 1 if wrong or spelled else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
