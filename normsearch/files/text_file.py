"""Reads text files in UTF-8, up to a size limit."""

from __future__ import annotations

from pathlib import Path

from normsearch.errors import ConfigError, NormsearchError, one_line
from normsearch.files import open_regular


def read_text(path: Path, most: int, fault: type[NormsearchError] = ConfigError) -> str:
    """Return a file's text without a byte order mark.

    Args:
        path: the file.
        most: the largest size, in bytes.
        fault: the type of the errors.

    Raises:
        NormsearchError: of the type `fault`, if the file does not exist, cannot be read, is larger,
            or is not in UTF-8.
    """
    try:
        with open_regular(path) as file:
            raw = file.read(most + 1)
    except FileNotFoundError:
        raise fault(f"{path}: must be an existing file, and there is none.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise fault(
            f"{path}: must be a readable file, got '{one_line(error)}'; check its permissions."
        ) from error
    if len(raw) > most:
        raise fault(f"{path}: must have at most {most:,} bytes, and has more; check the path.")
    return _decoded(path, raw, fault)


def _decoded(path: Path, raw: bytes, fault: type[NormsearchError]) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw[:100]:
        raise fault(
            f"{path}: must be in UTF-8, got UTF-16 or no text; save it as UTF-8 (in Excel as "
            "'CSV UTF-8')."
        )
    if b"\0" in raw:
        line = _line(raw, raw.index(b"\0"))
        raise fault(f"{path}: must be text, got a NUL in line {line}; write the file again.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise fault(
            f"{path}: must be in UTF-8, got another encoding at byte {error.start} (line "
            f"{_line(raw, error.start)}); save it as UTF-8 (in Excel as 'CSV UTF-8')."
        ) from error


def _line(raw: bytes, place: int) -> int:
    return raw[:place].count(b"\n") + 1
