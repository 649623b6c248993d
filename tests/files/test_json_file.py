import json
import math
from pathlib import Path

import pytest

from normsearch.errors import ConfigError, DataError
from normsearch.files import json_file
from normsearch.files.json_file import parse_json, read_json, read_object


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "must be valid JSON, got 'Expecting value: line 1 column 1"),
        (b"{", "must be valid JSON"),
        ('{"a": 1}'.encode("utf-16"), "must be in UTF-8, got UTF-16"),
        (b'{"a": "\xe9"}', r"must be in UTF-8, got another encoding at byte 7 \(line 1\)"),
        (b'{"a":\n"' + b" " * 200 + b'\0"}', "must be text, got a NUL in line 2"),
        (b'{"labels": {"a": 1, "b": 2, "a": 2}}', "the key 'a' twice in one object"),
        (b"[" * 100_000, "more than 40 levels of nesting"),
        (b"[" * 500 + b"]" * 500, "more than 40 levels of nesting"),
        (b'[{"a":' * 21 + b"1" + b"}]" * 21, "more than 40 levels of nesting"),
        (b"[NaN]", "NaN, which is no finite number"),
        (b"[-Infinity]", "-Infinity, which is no finite number"),
        (b"[1e999]", "1e999, which is no finite number"),
        (b"9" * 5000, "99999, which does not fit into 64 bits"),
        (b"-9223372036854775809", "which does not fit into 64 bits"),
        (b'["\\ud800"]', "surrogates not allowed"),
    ],
    ids=range(15),
)
def test_json_that_is_refused(raw: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes(raw)
    with pytest.raises(DataError, match=rf"t\.json: .*{message}") as info:
        read_json(tmp_path / "t.json", DataError)
    assert "\n" not in str(info.value)


def test_json_is_read(tmp_path: Path) -> None:
    value = {"é": [1, -2.5, None, True, "\U0001f600", {"a": {}}], "b": -(2**63)}
    (tmp_path / "t.json").write_bytes(json.dumps(value).encode("utf-8-sig"))
    assert read_json(tmp_path / "t.json") == value
    assert math.isnan(parse_json("[NaN]", finite=False)[0])


def test_the_top_is_an_object(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("5")
    with pytest.raises(ConfigError, match=r"t\.json: must be a mapping of keys, got int"):
        read_object(tmp_path / "t.json")


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_file, "MOST", 9)
    (tmp_path / "t.json").write_text("123456789")
    assert read_json(tmp_path / "t.json") == 123456789
    (tmp_path / "t.json").write_text("1234567890")
    with pytest.raises(ConfigError, match=r"t\.json: must have at most 9 bytes"):
        read_json(tmp_path / "t.json")


@pytest.mark.parametrize("name", ["nosuch.json", "a\0b", "x" * 300, "."])
def test_what_is_no_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must be an existing file|must be a readable file"):
        read_json(tmp_path / name)
