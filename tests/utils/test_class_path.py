from collections.abc import Iterator
from pathlib import Path

import pytest

from lit_textclf.utils.class_path import instantiate, load_class, load_named, split_spec
from lit_textclf.utils.messages import UserError

MODULE = """
class Loss:
    def __init__(self, gamma=2.0, labels=0):
        if gamma < 0:
            raise ValueError("gamma is negative\\nreally")
        self.gamma, self.labels = gamma, labels

def function(logits, targets):
    return logits

VALUE = 3
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "my_losses.py").write_text(MODULE)
    (folder / "needs_more.py").write_text("import no_such_package_anywhere\n")
    (folder / "old.py").write_text("from json import no_such_function\n")
    monkeypatch.syspath_prepend(str(folder))
    return "my_losses"


def test_a_dotted_name_and_a_mapping_name_the_same(package: str) -> None:
    loss = load_class("my_losses.Loss", "model.loss")
    assert load_class({"class_path": "my_losses.Loss", "init_args": {"gamma": 1}}, "model.loss") is loss
    assert load_class("my_losses.function", "model.loss")(5, None) == 5
    assert load_class("torch.nn.functional.cross_entropy", "model.loss").__name__ == "cross_entropy"


def test_arguments_of_the_user_and_ours_are_passed(package: str) -> None:
    made = instantiate({"class_path": "my_losses.Loss", "init_args": {"gamma": 1.5}}, "model.loss", labels=3)
    assert (made.gamma, made.labels) == (1.5, 3)
    assert instantiate("my_losses.Loss", "model.loss").gamma == 2.0
    assert instantiate({"class_path": "my_losses.Loss", "init_args": None}, "model.loss").gamma == 2.0


def test_splitting_imports_nothing() -> None:
    assert split_spec({"class_path": "no_such.Thing", "init_args": {"a": 1}}, "x") == ("no_such.Thing", {"a": 1})


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("Loss", "must be a dotted name"),
        ("my_losses.Lo ss", "must be a dotted name"),
        ("no_such_package_at_all.Loss", "no module 'no_such_package_at_all'; install it, or add its folder"),
        ("json.no_such_part.Loss", "no module 'json.no_such_part'"),
        ("my_losses.Los", "my_losses has no 'Los'; did you mean 'Loss'?"),
        ("my_losses.VALUE", "must be a class or function, not int"),
        ("needs_more.Loss", "importing needs_more failed: No module named 'no_such_package_anywhere'"),
        ("old.Loss", "importing old failed: cannot import name 'no_such_function'"),
        ({"init_args": {}}, "class_path is missing"),
        ({"class_path": "my_losses.Loss", "args": {}}, "unknown key 'args'"),
        ({"class_path": "my_losses.Loss", "init_args": [1]}, "init_args must map argument names to values"),
        ({"class_path": "my_losses.Loss", "init_args": {"gama": 1}}, "unexpected keyword argument 'gama'; change"),
        ({"class_path": "my_losses.Loss", "init_args": {"gamma": -1}}, "ValueError: gamma is negative; change"),
        ({"class_path": "my_losses.Loss", "init_args": {"labels": 1}}, "'labels' is set by lit_textclf"),
        ("my_losses.function", "missing a required argument: 'logits'"),
    ],
)
def test_each_mistake_is_one_line_that_names_the_option(package: str, spec: object, expected: str) -> None:
    with pytest.raises(UserError) as raised:
        instantiate(spec, "model.loss", **({} if spec == "my_losses.function" else {"labels": 2}))  # type: ignore[arg-type]
    message = str(raised.value)
    assert message.startswith("model.loss")
    assert expected in message
    assert "\n" not in message


def test_an_unknown_name_lists_the_table() -> None:
    """Each class of the table is named, and so is the base of the user's own."""
    table = {"csv": dict, "glue": dict, "jsonl": dict}
    assert load_named("csv", table, dict, "--format") is dict
    for known, listed in (table, "csv, glue or jsonl"), ({"csv": dict}, "csv"):
        with pytest.raises(UserError) as raised:
            load_named("tsv", known, dict, "--format")
        assert f"use {listed}, or the dotted path of your own dict" in str(raised.value)
