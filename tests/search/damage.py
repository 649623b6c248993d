"""Damage to the files of a run, as power losses, full disks and editors leave it."""

from __future__ import annotations

from random import Random

WORDS = (b"", b"{}", b"[]", b"null", b"5", b'"text"', b"\x00" * 30, b'{"op_code":99}', b"\xff\xfe")
VALUES = (b"null", b"-1", b"1e999", b'"x"', b"[]", b"{}", b"99999", b"true")


def mutated(content: bytes, random: Random) -> bytes:
    """Return `content` with one fault in it; half of them are of lines without a checksum."""
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    kind, at = random.randrange(9), random.randrange(len(lines))
    line = lines[at]
    if kind == 0:
        lines[at] = random.choice(WORDS) + b"\n"
    elif kind == 1:
        lines.insert(at, random.choice(WORDS) + b"\n")
    elif kind == 2:
        lines[at] = line[: random.randrange(len(line))] + b"\n"
    elif kind == 3:
        lines[at] = bytes(len(line))
    elif kind == 4:
        place = random.randrange(len(line))
        lines[at] = (
            line[:place] + bytes([line[place] ^ 1 << random.randrange(8)]) + line[place + 1 :]
        )
    elif kind == 5:
        return content[: random.randrange(len(content) + 1)]
    elif kind == 6:
        cut = random.randrange(len(content))
        return content[:cut] + bytes(len(content) - cut)
    elif kind == 7:
        lines[at] = unsealed(line)
        del lines[at : at + random.randrange(2)]
    else:
        lines[at] = _with_another_value(unsealed(line), random)
    return b"".join(lines)


def unsealed(line: bytes) -> bytes:
    """Return a line as older versions wrote it."""
    for name in (b',"trials":', b',"crc":'):
        if name in line:
            return line[: line.index(name)] + b"}\n"
    return line


def _with_another_value(line: bytes, random: Random) -> bytes:
    places = [place for place in range(len(line)) if line[place : place + 1] == b":"]
    if not places:
        return line
    start = random.choice(places) + 1
    ends = [end for end in (line.find(b",", start), line.find(b"}", start)) if end > 0]
    return line[:start] + random.choice(VALUES) + line[min(ends, default=len(line)) :]
