"""The page of an experiment: a Python file, read, hashed, and checked."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from normsearch.errors import ConfigError, did_you_mean
from normsearch.files import open_regular, shipped
from normsearch.findings.marks import Finding, needs
from normsearch.findings.user_code import call

SCALES = ("toy", "small", "paper")
_KEY = re.compile("[A-Za-z][A-Za-z0-9]{0,15}")
_ORDER = "SIGPZBNT"  # first letters of findings, one a source


@dataclass(frozen=True)
class Page:
    """An experiment as its file says it.

    Attributes:
        name: the file's name without its suffix.
        path: the file.
        sha256: of the file's bytes: the registration.
        source: the publication.
        notes: what differs from it, and designs that were abandoned, with the reason.
        parts: name -> the function that says what is trained or measured, in the file's order.
        findings: key -> the published statement.
        replaces: key -> name of the earlier page whose design of that finding this page's replaces
            (the file's ``REPLACES``). The earlier file stays as it was registered.
    """

    name: str
    path: Path
    sha256: str
    source: str
    notes: str
    parts: Mapping[str, Callable[..., Any]]
    findings: Mapping[str, Finding]
    replaces: Mapping[str, str] = field(default_factory=dict)

    def needed(self, key: str) -> list[str]:
        """Return the parts that a finding looks at, and those these need, in order."""
        wanted = set(self.findings[key].parts)
        for name in reversed(list(self.parts)):
            if name in wanted:
                wanted |= set(needs(self.parts[name]))
        return [name for name in self.parts if name in wanted]


@cache
def read_page(path: Path) -> Page:
    """Return the experiment of a Python file. The file's code is run.

    Raises:
        ConfigError: no such file, it cannot be imported, it has no finding, or a finding or part
            names a part that does not come before it.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "there is none"
        raise ConfigError(f"{path}: must be a Python file with a finding, and {what}.")
    spec = importlib.util.spec_from_file_location(f"normsearch_page_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: must be a Python file (.py).")
    module = importlib.util.module_from_spec(spec)
    call(path, "the page", spec.loader.exec_module, module)
    members = list(vars(module).values())
    parts = {m.part: m for m in members if callable(m) and hasattr(m, "part")}
    found = {m.finding.key: m.finding for m in members if callable(m) and hasattr(m, "finding")}
    source, notes = (str(getattr(module, name, "")) for name in ("SOURCE", "NOTES"))
    with open_regular(path) as file:
        sha256 = hashlib.sha256(file.read()).hexdigest()
    replaces = dict(getattr(module, "REPLACES", {}))
    page = Page(path.stem, path, sha256, source, notes, parts, found, replaces)
    _check(page)
    return page


def _check(page: Page) -> None:
    if not page.findings:
        raise ConfigError(
            f"{page.path}: must have a function marked @finding(...), and has none; "
            "docs/findings.md shows one."
        )
    known: list[str] = []
    for name, function in page.parts.items():
        _check_names(page, f"part {name}", needs(function), known)
        known.append(name)
    for key, finding in page.findings.items():
        if not _KEY.fullmatch(key):
            raise ConfigError(
                f"{page.path}: finding {key!r}: its key must be a letter and up to 15 letters or "
                "digits, such as X1."
            )
        _check_names(page, f"finding {key}", finding.parts, known)


def _check_names(page: Page, place: str, names: tuple[str, ...], known: list[str]) -> None:
    for name in names:
        if name not in known:
            told = ", ".join(known) or "none"
            raise ConfigError(
                f"{page.path}: {place}: parameters must be parts that come before it ({told}), "
                f"got {name!r}.{did_you_mean(name, known)}"
            )


def shipped_pages() -> list[Page]:
    """Return the registered experiments."""
    return [read_page(path) for path in sorted((shipped("studies") / "findings").glob("*.py"))]


def all_findings() -> dict[str, tuple[Page, Finding]]:
    """Return every registered finding with its page, by source, then by number.

    Raises:
        ConfigError: two pages have a finding, and neither says that it replaces the other's.
    """
    pages = shipped_pages()
    replaced = {(name, key) for page in pages for key, name in page.replaces.items()}
    found: dict[str, tuple[Page, Finding]] = {}
    for page in pages:
        for key, one in page.findings.items():
            if (page.name, key) in replaced:
                continue
            if key in found:
                raise ConfigError(
                    f"{page.path}: finding {key}: its key must be new, and {found[key][0].name} "
                    f"has it; give it another, or say REPLACES = {{{key!r}: "
                    f"{found[key][0].name!r}}}."
                )
            found[key] = (page, one)
    return dict(sorted(found.items(), key=lambda item: _place(item[0])))


def registrations() -> set[tuple[str, str]]:
    """Return key and SHA-256 of every registration of a finding, replaced ones included."""
    return {(key, page.sha256) for page in shipped_pages() for key in page.findings}


def find_page(name: str) -> tuple[Page, list[str]]:
    """Return a page and the findings that `name` asks for: a finding's key, or a Python file.

    Raises:
        ConfigError: there is no such finding or file.
    """
    if name.endswith(".py"):
        page = read_page(Path(name))
        registered = {key: other.path.resolve() for key, (other, _) in all_findings().items()}
        here = page.path.resolve()
        if here in registered.values():  # one of ours: what a later page replaces is not its own
            return page, [key for key in page.findings if registered[key] == here]
        for key in page.findings:
            if key in registered:
                raise ConfigError(
                    f"{page.path}: finding {key}: its key must be new, and {registered[key].name} "
                    "of normsearch has it; give yours another."
                )
        return page, list(page.findings)
    known = {key.lower(): (page, [key]) for key, (page, _) in all_findings().items()}
    if name.lower() not in known:
        every = list(all_findings())
        raise ConfigError(
            f"finding: must be one of {', '.join(every)}, or a Python file, got {name!r}."
            + did_you_mean(name.upper(), every)
        )
    return known[name.lower()]


def check_scale(scale: str) -> None:
    """Raise ConfigError unless `scale` is one of `SCALES`."""
    if scale not in SCALES:
        raise ConfigError(
            f"--scale: must be one of {', '.join(SCALES)}, got {scale!r}."
            + did_you_mean(scale, SCALES)
        )


def _place(key: str) -> tuple[int, str, int, str]:
    letter = key[:1].upper()
    digits = "".join(char for char in key[1:] if char.isdigit())
    return (_ORDER + letter).index(letter), letter, int(digits or 0), key
