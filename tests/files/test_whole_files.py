"""A file is whole or absent, and errors name the file that was asked for."""

from pathlib import Path

import pytest

from normsearch.files.whole_files import write_bytes


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_bytes(tmp_path / "x.yaml", b"a")
    assert caught.value.filename == str(tmp_path / "x.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]
