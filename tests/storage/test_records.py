from pathlib import Path

import numpy as np
import pandas as pd

from normsearch.storage.run_folder import read_case_table

NAMES = ["NA", "null", "None", "nan", "N/A", "", "007", "1e3"]


def test_cases_keep_their_names_and_empty_scores_stay_missing(tmp_path: Path) -> None:
    scores = [0.5, np.nan, 0.25, 1.0, 0.0, np.nan, 0.125, 0.75]
    written = pd.DataFrame({"case": NAMES, "evaluation": 9, "score": scores, "tp_1": range(8)})
    written.to_csv(tmp_path / "cases.csv", index=False)
    table = read_case_table(tmp_path / "cases.csv")
    assert list(table["case"]) == NAMES
    np.testing.assert_array_equal(table["score"], scores)
    assert table["tp_1"].dtype == np.int64


def test_scores_that_python_writes_as_nan(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("case,evaluation,score\nNA,1,nan\nb,1,0.5\n")
    np.testing.assert_array_equal(read_case_table(tmp_path / "cases.csv")["score"], [np.nan, 0.5])
