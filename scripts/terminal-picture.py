#!/usr/bin/env python3
"""Types into terminals, and draws what they show: terminal-picture.py FOLDER [SCENE…]. Run by terminal-picture.sh."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from html import escape

import pyte

CELL, LINE = 9, 18
# The colours of a terminal by theme; of a light one that of One Light.
DARK = {
    "background": "#1c1f26", "default": "#d8dee9", "black": "#1c1f26", "red": "#e06c75", "green": "#98c379",
    "brown": "#e5c07b", "blue": "#61afef", "magenta": "#c678dd", "cyan": "#56b6c2", "white": "#ffffff",
}
LIGHT = {
    "background": "#fafafa", "default": "#383a42", "black": "#000000", "red": "#c91243", "green": "#3c7a26",
    "brown": "#8f5e00", "blue": "#2e5fd0", "magenta": "#a626a4", "cyan": "#0a6f95", "white": "#ffffff",
}


class Screen(pyte.Screen):
    """A screen that keeps what a program clears, as the terminal's memory for scrolling back does."""

    kept = ()

    def erase_in_display(self, how=0, *args, **kwargs):
        if how == 2:
            used = self.rows_shown()
            while used and not any(used[-1][x].data.strip() for x in range(self.columns)):
                used.pop()
            self.kept = [*self.kept, *[dict(row) for row in used]]
        super().erase_in_display(how, *args, **kwargs)

    def rows_shown(self):
        """The rows on the screen."""
        return [{x: self.buffer[y][x] for x in range(self.columns)} for y in range(self.lines)]


class Terminal:
    """A shell in a terminal that is only in memory."""

    def __init__(self, columns, rows):
        self.screen = Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        pid, self.descriptor = pty.fork()
        if pid == 0:
            os.environ |= {"TERM": "xterm-256color", "PS1": r"\[\e[1;32m\]\u@\h\[\e[0m\]:\[\e[1;34m\]\w\[\e[0m\]# ", "LC_ALL": "C.UTF-8",
                           "COLUMNS": str(columns), "LINES": str(rows)}
            os.chdir(os.environ["HOME"])
            os.execvp("bash", ["bash", "--norc", "--noprofile"])
        subprocess.run(["stty", "cols", str(columns), "rows", str(rows)], stdin=self.descriptor, check=True)

    def text(self):
        """What is on the screen."""
        return "\n".join(self.screen.display).rstrip()

    def wait(self, ending, before="", seconds=90):
        """Reads until the screen is another than before and ends so."""
        until = time.monotonic() + seconds
        while self.text() == before or not re.search(ending + r"\s*\Z", self.text()):
            if time.monotonic() > until:
                sys.exit(f"the terminal never showed {ending!r}:\n{self.text()}")
            if select.select([self.descriptor], [], [], 0.2)[0]:
                self.stream.feed(os.read(self.descriptor, 65536))

    def type(self, line, then):
        """Types a line, and waits for what comes."""
        before = self.text()
        os.write(self.descriptor, (line + "\n").encode())
        self.wait(then, before)


class Phone:
    """What the authenticator app shows; each code once."""

    def __init__(self, key):
        self.key, self.last = key, 0

    def code(self):
        """The code of this time step, or of the next one when this one was shown before."""
        while (step := int(time.time()) // 30) == self.last:
            time.sleep(0.5)
        self.last = step
        made = subprocess.run(["oathtool", "--totp", "-b", "-"], input=self.key, capture_output=True, text=True, check=True)
        return made.stdout.strip()


def scene(terminal):
    """What README shows: an enrollment, a login by ssh, a sudo in it, and what the administrator sees of it."""
    prompt, inside = r"root@server:~#", r"alice@server:~\$"
    terminal.wait(prompt)
    terminal.type("totpd enroll alice", r"First code.*:")
    key = re.search(r"Or type this key:  ([A-Z2-7 ]+)", terminal.text())
    phone = Phone(key.group(1).replace(" ", "").strip())
    terminal.type(phone.code(), prompt)
    terminal.type("ssh alice@server", r"Verification code:")
    terminal.type(phone.code(), inside)
    terminal.type("sudo id", r"password for alice:")
    terminal.type("correct horse", r"Verification code:")
    terminal.type(phone.code(), inside)
    terminal.type("exit", prompt)
    terminal.type("totpd history alice", prompt)


def screens(terminal, file, theme):
    """The screens of docs/explanation/screens.md, each as the user sees it at one moment."""
    prompt, inside = r"root@server:~#", r"alice@server:~\$"
    terminal.wait(prompt)
    terminal.type("totpd revoke alice -q; totpd enroll alice", r"First code.*:")
    screen_now(file % "enroll", terminal, theme, "totpd enroll: the QR code, the key and the question")
    phone = Phone(re.search(r"Or type this key:  ([A-Z2-7 ]+)", terminal.text()).group(1).replace(" ", "").strip())
    terminal.type(phone.code(), prompt)
    screen_now(file % "recovery-codes", terminal, theme, "the recovery codes, on a screen of their own")
    terminal.type("clear", prompt)
    terminal.type("ssh alice@server", r"Verification code:")
    code = phone.code()
    terminal.type(code, inside)
    terminal.type("sudo -k id", r"password for alice:")
    terminal.type("correct horse", r"Verification code:")
    terminal.type(code, r"password for alice:")
    terminal.type("correct horse", r"Not accepted[\s\S]*code:")
    screen_now(file % "second-prompt", terminal, theme, "sudo with the code of the login, and what its next question says")
    terminal.type(phone.code(), inside)
    terminal.type("exit", prompt)
    terminal.type("clear; totpd status alice; totpd list; totpd history alice", prompt)
    screen_now(file % "history", terminal, theme, "totpd status, list and history")


def first_login(terminal, file, theme):
    """A first login by ssh with a ticket: the screens of docs/explanation/screens.md."""
    prompt = r"root@server:~#"
    terminal.wait(prompt)
    terminal.type("totpd revoke bob -q; totpd enroll bob --ticket", prompt)
    ticket = re.search(r"    (\S{4}(?:-\S{4}){3})", terminal.text()).group(1)
    terminal.type("clear", prompt)
    terminal.type("ssh bob@server", r"Verification code:")
    terminal.type(ticket, r"First code.*:")
    screen_now(file % "first-login-key", terminal, theme, "a first login by ssh with a ticket: the key")
    phone = Phone(re.search(r"Or type this key:  ([A-Z2-7 ]+)", terminal.text()).group(1).replace(" ", "").strip())
    terminal.type(phone.code(), r"to finish:")
    screen_now(file % "first-login-codes", terminal, theme, "a first login by ssh with a ticket: the recovery codes")
    codes = re.findall(r"\b[0-9A-Z]{4}(?:-[0-9A-Z]{4}){3}\b", terminal.text())
    terminal.type(codes[0], r"bob@server:~\$")
    terminal.type("exit", prompt)


def rectangles(character):
    """The blocks of which a QR code is made, as parts of a cell; other characters are none."""
    return {"█": [(0, 1)], "▀": [(0, 0.5)], "▄": [(0.5, 0.5)]}.get(character, [])


def draw(rows, columns, theme, title):
    """Rows of a terminal as SVG. Blocks are drawn, so that a QR code has no gaps whatever the font is."""
    width, height = columns * CELL + 24, len(rows) * LINE + 56
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{theme["background"]}"/>',
        *(f'<circle cx="{20 + 20 * i}" cy="18" r="6" fill="{c}"/>' for i, c in enumerate(("#e06c75", "#e5c07b", "#98c379"))),
        '<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="15">',
    ]
    for y, row in enumerate(rows):
        top = 40 + y * LINE
        run, start = [], 0
        cells = [row[x] for x in range(columns)]
        for x, cell in enumerate([*cells, None]):
            style = None if cell is None else (cell.fg, cell.bg, cell.bold, cell.reverse)
            if run and (cell is None or style != run_style or bool(rectangles(cell.data)) != run_blocks):
                parts += drawn(run, run_style, start, top, theme)
                run = []
            if cell is not None:
                if not run:
                    start, run_style, run_blocks = x, style, bool(rectangles(cell.data))
                run.append(cell.data)
    return "\n".join([*parts, "</g>", "</svg>", ""])


def colour(name, theme):
    """A colour of the terminal."""
    return theme.get(name, f"#{name}" if re.fullmatch("[0-9a-f]{6}", name) else theme["default"])


def drawn(run, style, start, top, theme):
    """Cells of one style beside each other."""
    fg, bg, bold, reverse = style
    front = colour(fg, theme)
    back = theme["background"] if bg == "default" else colour(bg, theme)
    if reverse:
        front, back = back, front
    x, width = 12 + start * CELL, len(run) * CELL
    if back != theme["background"]:
        yield f'<rect x="{x}" y="{top}" width="{width}" height="{LINE}" fill="{back}" shape-rendering="crispEdges"/>'
    text = "".join(run)
    if rectangles(run[0]):
        path = "".join(
            f"M{x + i * CELL} {top + up * LINE:g}h{CELL}v{high * LINE:g}h-{CELL}z"
            for i, character in enumerate(text) for up, high in rectangles(character)
        )
        yield f'<path d="{path}" fill="{front}" shape-rendering="crispEdges"/>'
    elif text.strip():
        weight = ' font-weight="bold"' if bold else ""
        lead = len(text) - len(text.lstrip())
        text = text.strip()
        yield (f'<text x="{x + lead * CELL}" y="{top + 14}" fill="{front}"{weight} xml:space="preserve" '
               f'textLength="{len(text) * CELL}" lengthAdjust="spacingAndGlyphs">{escape(text)}</text>')


def picture(file, terminal, theme, title):
    """Draws a terminal without the last line, which is a prompt that waits."""
    screen = terminal.screen
    rows = screen.rows_shown()[:len(terminal.text().split("\n")) - 1]
    with open(file, "w", encoding="utf-8") as out:
        out.write(draw([*screen.kept, *rows], screen.columns, theme, title))


def screen_now(file, terminal, theme, title):
    """Draws the screen as it is at this moment, all of it."""
    screen = terminal.screen
    with open(file, "w", encoding="utf-8") as out:
        out.write(draw(screen.rows_shown(), screen.columns, theme, title))


def main(folder, *scenes):
    """Plays the scenes, or all of them, and draws them."""
    if not scenes or "readme" in scenes:
        terminal = Terminal(92, 90)
        scene(terminal)
        picture(f"{folder}/terminal.svg", terminal, DARK,
                "totpd enroll, a login by ssh and a sudo with codes, and the history")
        print(terminal.text())
    for play in (screens, first_login):
        if scenes and play.__name__ not in scenes:
            continue
        for columns, rows in ((80, 24), (120, 40)):
            for theme, name in ((DARK, "dark"), (LIGHT, "light")):
                play(Terminal(columns, rows), f"{folder}/%s-{columns}x{rows}-{name}.svg", theme)


if __name__ == "__main__":
    main(*sys.argv[1:])
