from normsearch.findings import Search, Trainings, arm


def test_an_arm_is_named_after_what_it_is() -> None:
    assert arm("SN", batch_size=2, learning_rate=0.1) == {
        "name": "SN, batch 2", "norm": "SN", "batch_size": 2, "learning_rate": 0.1
    }  # fmt: skip
    own = arm({"*": "BN"}, "mixture", schedule="constant")
    assert own == {"name": "mixture", "norm": {"*": "BN"}, "training": {"schedule": "constant"}}


def test_a_study_is_named_after_what_is_trained() -> None:
    parts = {"task": {"data": "phantom"}, "network": {"name": "unet2d"}}
    one = Trainings([arm("IN", "a")], range(5, 7), **parts)  # type: ignore[arg-type]
    same = Trainings([arm("IN", "a")], (5, 6), **parts)  # type: ignore[arg-type]
    other = Trainings([arm("IN", "a")], (5, 7), **parts)  # type: ignore[arg-type]
    assert one.study("x") == same.study("x")
    assert one.study("x")["name"] != other.study("x")["name"]
    assert one.study("x")["space"] == {"arms": [{"name": "a", "norm": "IN"}], "seeds": [5, 6]}


def test_factors_are_what_arms_differ_in() -> None:
    arms = [arm("IN", "a", batch_size=2, schedule="constant"), arm({"*": "BN"}, "mixture")]
    made = Trainings(arms, [5], {}, {}, folds=("1",))
    assert made.factors() == {
        "a": {"norm": "IN", "batch_size": 2, "schedule": "constant"}, "mixture": {"norm": "mixture"}
    }  # fmt: skip
    assert made.study("x")["space"]["folds"] == ["1"]


def test_a_search_is_a_study_of_its_space() -> None:
    made = Search({"norm": {"choices": ["IN"]}}, {"trials": 3}, {"data": "phantom"}, {})
    study = made.study("x")
    assert study["space"] == {"norm": {"choices": ["IN"]}}
    assert study["search"] == {"trials": 3}
