from pathlib import Path

import pytest

from normsearch.data.tables import WORDS, columns, read_table
from normsearch.errors import DataError

WANTED = ("id", "subject", "fold")


def read(path: Path, raw: str | bytes) -> list[dict[str, str]]:
    path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    return read_table(path, WANTED).rows


@pytest.mark.parametrize(
    "raw",
    [
        "id,subject,fold\na,s,1\nb,t,2\n",
        "ID , Subject,FOLD\n a , s,1\nb,t , 2",
        "id;subject;fold\na;s;1\nb;t;2\n",
        "id\tsubject\tfold\na\ts\t1\nb\tt\t2\n",
        "sep=;\nid;subject;fold\na;s;1\n\nb;t;2\n",
        "id,subject,fold,,\r\na,s,1,,\r\nb,t,2,,\r\n,,,,\r\n",
        '"id","subject","fold"\n"a","s","1"\n"b","t","2"\n',
        "id,subject,fold\na,s,1\nb,t,2\n".encode("utf-8-sig"),
    ],
)
def test_one_table_in_many_forms(raw: str | bytes, tmp_path: Path) -> None:
    assert read(tmp_path / "t.csv", raw) == [
        {"id": "a", "subject": "s", "fold": "1"},
        {"id": "b", "subject": "t", "fold": "2"},
    ]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("", "must be a table with a header, got an empty file"),
        (
            "id,fold\na,1\nb\nc,1,2\n",
            r"the 2 cells of the header, .*got another .* line 3 \(1\), 4",
        ),
        ("id,fold\n\na,1,x\n", r"in line 3 \(3\)"),
        ('id,fold\na,"1\n', "each quote closed, got 'unexpected end of data' in line 2"),
        ("id,age,age\na,1,2\n", "every column must have a unique name, got id, age, age"),
        ("id,fold,Folds\na,1,2\n", "one column must give the fold, got 'fold' and 'Folds'"),
        ("id,subject,patient\na,1,2\n", "one column must give the subject, got 'subject' and 'p"),
        ("id,flod\na,1\n", "must not look like 'fold' .*, got 'flod'; rename it. Did you mean 'f"),
        ("id,fold\na,1\n".encode("utf-16"), "must be in UTF-8, got UTF-16 or no text; save it as"),
        ("id,fold\na,1\n".encode("utf-16-le"), "must be in UTF-8, got UTF-16"),
        ("id,fold\nM\xfcller,1\n".encode("latin-1"), "must be in UTF-8, got another .* at byte 9"),
    ],
)
def test_tables_that_are_refused(raw: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"t\.csv: .*{message}"):
        read(tmp_path / "t.csv", raw)


def test_columns_of_other_things_are_no_misspellings() -> None:
    names = ["id", "image", "label", "age", "sex", "patient_age", "site", "scanner", "slices"]
    assert columns(Path("t"), names, WORDS) == {"id": "id", "image": "image", "label": "label"}


@pytest.mark.parametrize("name", ["image2", "Image_2", "img 1", "mask_2", "label01"])
def test_a_second_image_or_mask_is_not_passed_over(name: str) -> None:
    with pytest.raises(DataError, match=rf"one column must give the (image|label), got '{name}'"):
        columns(Path("t"), ["image", "label", name], WORDS)


@pytest.mark.parametrize(
    "name", ["subj", "patientid_hash", "hospital_patient", "pateint", "SubjectKey2", "old mrn"]
)
def test_what_speaks_of_a_patient_is_not_passed_over(name: str) -> None:
    with pytest.raises(DataError, match=rf"must not look like '\w+' and be another, got '{name}'"):
        columns(Path("t"), ["image", "label", name], WORDS)


def test_case_is_the_id_or_beside_one_the_subject() -> None:
    assert columns(Path("t"), ["Case", "fold"], WANTED) == {"Case": "id", "fold": "fold"}
    assert columns(Path("t"), ["case", "id"], WANTED) == {"case": "subject", "id": "id"}


def test_unused_columns_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,age,fold\na,40,1\n")
    assert read_table(tmp_path / "t.csv", WANTED).unused == ("age",)
