from pathlib import Path

import pytest
import yaml

from normsearch.config.yaml_file import DEEPEST, MOST, parse_yaml, read_yaml
from normsearch.errors import ConfigError
from normsearch.files import shipped


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("a: 1\nb: [-2.5, 1.0e-3, off, Yes, null, '', \"1\"]", {
            "a": 1, "b": [-2.5, 0.001, False, True, None, "", "1"]}),
        ("[0x10, 0b11, 1_000, +3, -0]", [16, 3, 1000, 3, 0]),
        ("[2020-13-45, 2020-01-01, 1:30, 1:30.5, 010, 007, 0o7, 08, <<, =]", [
            "2020-13-45", "2020-01-01", "1:30", "1:30.5", "010", "007", "0o7", "08", "<<", "="]),
        ("{1: a, off: b, ~: c, 1.5: d, 'x y': e}", {
            "1": "a", "off": "b", "~": "c", "1.5": "d", "x y": "e"}),
        ("a: |\n  one\n  two\nb: >\n  one\n  two\n", {"a": "one\ntwo\n", "b": "one two\n"}),
        ("- [1, [2, {a: [3]}]]\n-\n- {}\n- []", [[1, [2, {"a": [3]}]], None, {}, []]),
        ("\ufeffa: 1", {"a": 1}),
    ],
)  # fmt: skip
def test_values(text: str, value: object) -> None:
    assert parse_yaml(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: the key a is given twice"),
        ("x: {a: 1,\n 'a': 3}", "line 2: the key a is given twice"),
        ("a: &x 1\nb: *x", "line 1: there must be no & and no \\*, got x"),
        ("- 1\n- *x", "line 2: there must be no & and no \\*, got x"),
        ("a: !!timestamp x", "line 1: there must be no tag, got tag:yaml.org,2002:timestamp"),
        ('a: !!int ""', "line 1: there must be no tag"),
        ("a: !own {}", "line 1: there must be no tag, got !own"),
        ("a: ! b", "line 1: there must be no tag, got !"),
        ("\n{[a]: 1}", "line 2: a key must be a plain text"),
        ("? [a]\n: 1", "line 1: a key must be a plain text"),
        ("? {a: 1}\n: 1", "line 1: a key must be a plain text"),
        ("[" * 100 + "]" * 100, f"line 1: there must be at most {DEEPEST} levels"),
        ("[" * 100_000, "line 1(: there|, column 1001)"),
        ("a: .inf", "line 1: a number must be finite, got .inf"),
        ("a: [1, -.Inf]", "line 1: a number must be finite, got -.Inf"),
        ("a: .nan", "line 1: a number must be finite"),
        ("a: 1.0e+999", "line 1: a number must be finite, got 1.0e"),
        ("a: 9223372036854775808", "line 1: a whole number must fit into 64 bits"),
        ("a: " + "9" * 9999, "line 1: a whole number must fit into 64 bits, got 9999"),
        ("a\0b", "ontrol characters are not allowed|special characters"),
        ("a: \udcff", "surrogates not allowed"),
        ("a: [1", "line [12], column"),
        ("a: 1\n--- b", "line 2: there must be one document"),
        ("%YAML 3.0\n--- a", "line 1, column"),
    ],
    ids=range(24),
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as info:
        parse_yaml(text)
    assert "\n" not in str(info.value)
    assert len(str(info.value)) < 300


def test_half_of_a_pair_is_refused() -> None:
    with pytest.raises(ValueError, match=r"line 1|surrogate|utf"):
        parse_yaml('a: "\\ud800"')


def test_a_file_of_aliases_does_not_expand(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (tmp_path / "s.yaml").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=r"s\.yaml: must be valid YAML or JSON: line 1: "):
        read_yaml(tmp_path / "s.yaml")


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("a: " + "x" * MOST)
    with pytest.raises(ConfigError, match=r"s\.yaml: must have at most 1,048,576 bytes"):
        read_yaml(tmp_path / "s.yaml")


FILES = [
    *sorted(shipped("studies").rglob("*.yaml")),
    *sorted(shipped("search_spaces").glob("*.yaml")),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_ships_reads_as_with_the_library(path: Path) -> None:
    def texts(value: object) -> object:
        if isinstance(value, dict):
            return {str(key): texts(item) for key, item in value.items()}
        return [texts(item) for item in value] if isinstance(value, list) else value

    assert read_yaml(path) == texts(yaml.safe_load(path.read_text()))
