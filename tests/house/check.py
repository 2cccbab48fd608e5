#!/usr/bin/env python3
"""Checks the rules for layers and libraries, that no file of code is empty, the format of the code, the documentation's
links, and that there is one version.

    http/api -> http/codec -> actors -> persistence -> actors/ledger -> actors/base
    http/api -> http/server -> actors/base
    persistence/migration -> persistence/sqlite, persistence/postgres -> persistence

Each library belongs to one layer: CAF to actors, SQL to persistence, cpp-httplib to the file of http/server that
compresses, RapidJSON to http/codec. tools may include everything, tests their subjects.
"""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Each layer, and the layers below it that it may see. Of two that contain a file the longer name counts.
LAYERS = {
    "actors/base": set(),
    "actors/ledger": {"actors/base"},
    "persistence": {"actors/base", "actors/ledger"},
    "persistence/sqlite": {"actors/base", "actors/ledger", "persistence"},
    "persistence/postgres": {"actors/base", "actors/ledger", "persistence"},
    "persistence/migration": {"actors/base", "actors/ledger", "persistence", "persistence/sqlite",
                              "persistence/postgres"},
    "actors": {"actors/base", "actors/ledger", "persistence"},
    "http/server": {"actors/base"},
    "http/codec": {"actors/base", "actors/ledger", "actors"},
    "http/api": {"actors/base", "actors/ledger", "persistence", "actors", "http/server", "http/codec"},
}
LAYERS["tools"] = set(LAYERS)
TOP_LEVEL = ("actors/", "persistence/", "http/", "tools/")
# A library's headers, and the files that may include them.
LIBRARIES = {
    r"caf/": r"actors/(?!ledger/|base/).*|tools/.*",
    r"rapidjson/": r"http/codec/.*|tools/creditsctl/json\.hpp",
    r"httplib\.h": r"http/server/compression\.cpp|tools/creditsctl/client\.cpp",
    r"(SQLiteCpp/|sqlite3|xxhash|libpq)": r"persistence/.*",
    r"openssl/": r"persistence/.*|http/api/access\.cpp|http/server/(connection|etag|tls)\.[ch]pp",
    r"prometheus/": r"http/api/metrics\.cpp",
    r"(CLI|spdlog)/": r"tools/.*",
    r"systemd/": r"tools/creditsd/.*",
    r"curl/": r"tools/creditsload/driver\.cpp",
}
# The rules are pure: the standard library alone, and no clock.
FORBIDDEN_IN_RULES = re.compile(r"system_clock|steady_clock|std::time\b|<thread>|<mutex>|<fstream>")
SQL = re.compile(r'"[^"]*\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|PRAGMA)\b')
INCLUDE = re.compile(r'^\s*#include\s+[<"]([^>"]+)[>"]', re.MULTILINE)
CLANG_FORMAT_VERSION = 14  # Debian 12's; another one breaks other lines


def sources():
    listed = subprocess.run(["git", "ls-files", "*.cpp", "*.hpp", "*.cpp.in", "*.hpp.in"], cwd=ROOT,
                            capture_output=True, text=True)
    if listed.returncode == 0:
        return listed.stdout.split()
    return [str(path.relative_to(ROOT)) for layer in LAYERS for path in ROOT.glob(layer + "/**/*.?pp")]


def layer_of(path):
    return max((layer for layer in LAYERS if path.startswith(layer + "/")), key=len, default=None)


def faults_of(path, text):
    """What `text`, as the content of the file `path`, does against the rules."""
    if not text.strip():
        yield f"{path}: the file is empty"
    layer = layer_of(path)
    if layer is None:
        if path.startswith(TOP_LEVEL):
            yield f"{path}: the folder is no layer"
        return
    for included in INCLUDE.findall(text):
        target = layer_of(included)
        if target and target != layer and target not in LAYERS[layer]:
            yield f"{path}: {layer} must not see {included}"
        for headers, allowed in LIBRARIES.items():
            if re.match(headers, included) and not re.fullmatch(allowed, path):
                yield f"{path}: {included} belongs elsewhere"
    if layer == "actors/ledger" and (found := FORBIDDEN_IN_RULES.search(text)):
        yield f"{path}: the rules are pure, {found.group()} is not"
    if not layer.startswith("persistence") and (found := SQL.search(text)):
        yield f"{path}: SQL belongs to persistence: {found.group()}"


def check_the_check():
    """Checks that each rule finds its fault."""
    bad = [
        ("actors/ledger/x.hpp", '#include "persistence/store.hpp"'),
        ("actors/base/x.hpp", '#include "actors/ledger/row.hpp"'),
        ("persistence/x.cpp", '#include "actors/router.hpp"'),
        ("persistence/x.cpp", '#include "persistence/sqlite/journal.hpp"'),
        ("persistence/sqlite/x.cpp", '#include "persistence/postgres/store.hpp"'),
        ("actors/x.cpp", '#include "http/api/api.hpp"'),
        ("http/server/x.cpp", '#include "actors/operation.hpp"'),
        ("http/codec/x.cpp", '#include "http/api/api.hpp"'),
        ("http/api/x.cpp", '#include "tools/version.hpp"'),
        ("http/x.cpp", "int x;"),
        ("actors/x.cpp", "#include <rapidjson/document.h>"),
        ("http/server/server.cpp", "#include <httplib.h>"),
        ("http/api/api.cpp", "#include <caf/all.hpp>"),
        ("http/api/api.cpp", "#include <rapidjson/writer.h>"),
        ("actors/system.cpp", "#include <SQLiteCpp/SQLiteCpp.h>"),
        ("actors/ledger/x.cpp", "#include <caf/all.hpp>"),
        ("actors/ledger/x.cpp", "std::chrono::system_clock::now()"),
        ("http/api/api.cpp", 'const char* q = "SELECT 1"'),
        ("http/api/api.cpp", "#include <spdlog/spdlog.h>"),
        ("http/api/api.cpp", "\n"),
    ]
    for path, text in bad:
        if not list(faults_of(path, text)):
            yield f"tests/house/check.py would let this pass in {path}: {text}"
    if len(list(broken_links_of("tests/README.md", "[a](../README.md) [b](#c) [d](gone.md#e)"))) != 1:
        yield "tests/house/check.py does not tell broken links from others"


def format_faults(paths):
    binary = shutil.which(f"clang-format-{CLANG_FORMAT_VERSION}") or shutil.which("clang-format")
    version = binary and subprocess.run([binary, "--version"], capture_output=True, text=True).stdout
    if not version or f"version {CLANG_FORMAT_VERSION}." not in version:
        print(f"format not checked: there is no clang-format {CLANG_FORMAT_VERSION}")
        return
    code = [path for path in paths if path.endswith((".cpp", ".hpp"))]
    checked = subprocess.run([binary, "--dry-run", "-Werror", *code], cwd=ROOT, capture_output=True,
                             text=True)
    if checked.returncode != 0:
        yield checked.stderr


LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)[^)]*\)")


def broken_links_of(page, text):
    for target in LINK.findall(text):
        if not (ROOT / page).parent.joinpath(target).exists():
            yield f"{page}: there is no {target}"


def link_faults():
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True)
    for page in listed.stdout.split():
        yield from broken_links_of(page, (ROOT / page).read_text(encoding="utf-8"))


def version_faults():
    """CMakeLists.txt sets the version; npm wants it in a file of its own, and readers in the list of changes."""
    version = re.search(r"project\(\w+ VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
    for path, text in (("tools/client-node/package.json", f'"version": "{version}"'), ("CHANGELOG.md", f"## {version}")):
        if text not in (ROOT / path).read_text(encoding="utf-8"):
            yield f"{path}: it has not {text}, the version of CMakeLists.txt"


def main():
    paths = sources()
    faults = [*check_the_check(),
              *(fault for path in paths
                for fault in faults_of(path, (ROOT / path).read_text(encoding="utf-8"))),
              *format_faults(paths), *link_faults(), *version_faults()]
    print("\n".join(faults) or f"{len(paths)} files are in order")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
