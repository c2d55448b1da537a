#!/usr/bin/env python3
"""No two files import each other, directly or by way of others, and no folder imports one above it.

Reads the `use` lines and the `crate::…` paths of each crate; unit tests are left out, and a re-export is no import.
cargo-modules' `--acyclic` is no help here: it stops at a type and its own method.
"""
import pathlib
import re
import sys

CRATES = {"totp_core": "totp_core/src", "totp_wire": "totp_wire/src", "pam_totp": "pam_totp/src", "totpd": "totpd/src"}
# Of the daemon, from the top down. A module imports those of its own line and of the lines below.
LAYERS = """
lib main
cli
doctor
daemon
breakglass http varlink
state
authority
engine
backup import init last_run logging pam_config
store
sockets user_directory
witness
config
audit seal
fair_queue folder key permission qr units user_locks
local_time
clock exact_sleep file_identity hardening os_random sync
""".split("\n")[1:-1]
LEVEL = {name: level for level, line in enumerate(LAYERS) for name in line.split()}


def leaves(tree, before=()):
    """The paths of a `use`, one by one."""
    tree = tree.strip()
    group = re.match(r"^((?:\w+::)*)\{(.*)\}$", tree, re.S)
    if not group:
        path = tuple(re.sub(r"\s+as\s+\w+$", "", tree).split("::"))
        yield before + (path[:-1] if path[-1] == "self" and before else path)
        return
    depth, part = 0, ""
    for char in group[2] + ",":
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            if part.strip():
                yield from leaves(part, before + tuple(p for p in group[1].split("::") if p))
            part = ""
        else:
            part += char


class Crate:
    def __init__(self, name, root):
        self.files, self.exports, self.texts = {}, {}, {}
        for path in sorted(pathlib.Path(root).rglob("*.rs")):
            parts = path.relative_to(root).with_suffix("").parts
            module = (name,) + tuple(p for p in parts if p not in ("mod", "lib"))
            if "tests" in module or module[-1].endswith("_tests"):
                continue
            text = re.split(r"#\[cfg\(test\)\]\nmod \w+ \{", path.read_text())[0]
            self.files[module], self.texts[module] = path, re.sub(r"^\s*//.*$", "", text, flags=re.M)
        for module, text in self.texts.items():
            for public, tree in re.findall(r"^\s*(pub(?:\([^)]*\))? )?use ([^;]+);", text, re.M):
                for leaf in leaves(tree):
                    if public and (full := self.absolute(leaf, module)):
                        self.exports[(*module, leaf[-1])] = full

    def absolute(self, path, module):
        """The path from the crate's root, or None where it leads out of the crate."""
        if path[0] == "crate":
            return (module[0], *path[1:])
        if path[0] in ("super", "self"):
            while path and path[0] in ("super", "self"):
                module, path = (module[:-1] if path[0] == "super" else module), path[1:]
            return (*module, *path)
        return (*module, *path) if (*module, path[0]) in self.files else None

    def file_of(self, path):
        """The module whose file defines what the path names."""
        for _ in range(8):
            for end in range(len(path), 0, -1):
                if path[:end] in self.exports and path[:end] != self.exports[path[:end]]:
                    path = self.exports[path[:end]] + path[end:]
                    break
            else:
                break
        while path and path not in self.files:
            path = path[:-1]
        return path

    def imports(self, module):
        text, found = self.texts[module], set()
        for public, tree in re.findall(r"^\s*(pub(?:\([^)]*\))? )?use ([^;]+);", text, re.M):
            if not public:
                found |= {full for leaf in leaves(tree) if (full := self.absolute(leaf, module))}
        body = re.sub(r"^\s*(?:pub(?:\([^)]*\))? )?use [^;]+;", "", text, flags=re.M)
        for path in re.findall(r"(?<![\w:])(?:crate|super)(?:::\w+)+", body):
            found.add(self.absolute(tuple(path.split("::")), module))
        return {self.file_of(path) for path in found if path} - {module, ()}


def circle(graph):
    """The first circle found, as a list of modules, or None."""
    done, way = set(), []

    def visit(module):
        if module in way:
            return [*way[way.index(module):], module]
        if module in done:
            return None
        way.append(module)
        for other in sorted(graph.get(module, ())):
            if found := visit(other):
                return found
        way.pop()
        done.add(module)
        return None

    return next((found for module in sorted(graph) if (found := visit(module))), None)


def main():
    sys.setrecursionlimit(10_000)
    faults = []
    for name, root in CRATES.items():
        crate = Crate(name, root)
        graph = {module: crate.imports(module) for module in crate.files}
        while found := circle(graph):
            faults.append("a circle: " + " → ".join("::".join(module[1:]) or "lib" for module in found))
            graph[found[-2]].discard(found[-1])
        if name != "totpd":
            continue
        for module, others in sorted(graph.items()):
            for other in sorted(others):
                above, below = (LEVEL.get(m[1] if len(m) > 1 else "lib", -1) for m in (module, other))
                if above == -1:
                    faults.append(f"{'::'.join(module)} has no line in LAYERS of scripts/check-layout.py")
                elif below < above:
                    faults.append(f"an import that runs up: {'::'.join(module[1:])} → {'::'.join(other[1:]) or 'lib'}")
    for fault in dict.fromkeys(faults):
        print("check-layout:", fault, file=sys.stderr)
    sys.exit(bool(faults))


main()
