"""Students: sizes, heads, files, and predictions that do not depend on the batch."""

from __future__ import annotations

import json

import pytest

from ftx_edge.errors import FtxError, UsageError
from ftx_edge.students.config import ARCHITECTURES, StudentConfig

torch = pytest.importorskip("torch")

from ftx_edge.students import build_student, load_student, save_student  # noqa: E402
from ftx_edge.students.layers import WindowLinear, masked_max, masked_mean, windows  # noqa: E402
from ftx_edge.students.model import count_parameters  # noqa: E402
from ftx_edge.tokenization import train_tokenizer  # noqa: E402

LABELS, TAGS = ("a", "b", "c"), ("O", "B-x", "I-x")
TASKS = {"classification": (LABELS, ()), "tagging": ((), TAGS), "joint": (LABELS, TAGS)}


def small(architecture: str, task: str = "joint", **changes) -> StudentConfig:
    labels, tags = TASKS[task]
    sizes = {"embedding_size": 16, "layers": 2, "feed_forward": 24, "lstm_size": 8, "channels": 6}
    return StudentConfig(architecture, 50, labels, tags, max_length=24, **{**sizes, **changes})


def padded(rows: list[list[int]], width: int | None = None):
    """Input ids and mask of rows of different lengths."""
    width = width or max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


ROWS = [[2], [2, 7], [2, 9, 4, 30, 31], [2, *range(10, 28)], [2, 7, 7, 7, 12, 13, 3, 3, 3]]


@pytest.fixture(params=[(a, t) for a in ARCHITECTURES for t in TASKS], ids="-".join)
def student(request):
    """Every architecture with every task, sure enough of itself that differences show."""
    student = build_student(small(*request.param), seed=3).eval()
    with torch.no_grad():
        student.embedding.weight.mul_(10)
    return student


@torch.inference_mode()
def test_predictions_do_not_depend_on_the_batch(student):
    together = student(*padded(ROWS))
    for i, row in enumerate(ROWS):
        alone = student(*padded([row]))
        if together.logits is not None:
            torch.testing.assert_close(alone.logits[0], together.logits[i], atol=1e-5, rtol=1e-4)
        if together.tag_logits is not None:
            tags = together.tag_logits[i, : len(row)]
            torch.testing.assert_close(alone.tag_logits[0], tags, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_predictions_do_not_depend_on_what_stands_under_the_padding(student):
    ids, mask = padded(ROWS, width=24)
    one, two = student(ids, mask), student(torch.where(mask == 1, ids, 41), mask)
    if one.logits is not None:
        torch.testing.assert_close(one.logits, two.logits, atol=1e-5, rtol=1e-4)
    if one.tag_logits is not None:
        real = mask.bool()
        torch.testing.assert_close(one.tag_logits[real], two.tag_logits[real], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_each_task_has_its_heads(student):
    ids, mask = padded(ROWS)
    logits, tag_logits, word_logits, hints = student(ids, mask)
    assert word_logits is None
    assert hints is None
    assert (logits is None) == (student.task == "tagging")
    assert (tag_logits is None) == (student.task == "classification")
    assert logits is None or logits.shape == (5, 3)
    assert tag_logits is None or tag_logits.shape == (5, 19, 3)


def test_every_weight_takes_part(student):
    student.train()
    total = sum(out.square().sum() for out in student(*padded(ROWS)) if out is not None)
    total.backward()
    assert [name for name, p in student.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_tagger_may_say_where_words_begin(architecture):
    config = StudentConfig(architecture, 40, (), ("O", "B-x", "I-x"), word_starts=True, max_length=24)
    student = build_student(config)
    outputs = student(*padded(ROWS))
    assert outputs.word_logits.shape == (5, 19)
    outputs.word_logits.sum().backward()
    assert student.word_head.weight.grad is not None


def test_a_saved_student_gives_the_same_predictions(student, tmp_path):
    tokenizer = train_tokenizer(["a b c d"] * 3, lang="en", vocab_size=40, max_length=24)
    save_student(student, tokenizer, tmp_path / "student")
    loaded, loaded_tokenizer = load_student(tmp_path / "student")
    assert loaded.config == student.config
    assert loaded_tokenizer.to_str() == tokenizer.to_str()
    assert not loaded.training
    for one, two in zip(student(*padded(ROWS)), loaded(*padded(ROWS)), strict=True):
        assert (one is None and two is None) or torch.equal(one, two)
    names = sorted(p.name for p in (tmp_path / "student").iterdir())
    assert names == ["config.json", "model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_seed_gives_the_same_weights(architecture):
    torch.manual_seed(11)
    one = build_student(small(architecture), seed=1).state_dict()
    torch.rand(5)
    two, other = (build_student(small(architecture), seed=s).state_dict() for s in (1, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["embedding.weight"], other["embedding.weight"])


def test_building_a_student_draws_no_random_numbers_of_others():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_student(small("cnn"))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        (StudentConfig("transformer", labels=tuple("abc")), 5.2),
        (StudentConfig("bilstm", labels=tuple("abc")), 5.2),
        (StudentConfig("cnn", labels=tuple("abc"), channels=768), 5.0),
        (StudentConfig("cnn", labels=tuple("abc")), 3.3),
        (StudentConfig("static", labels=tuple("abc")), 2.6),
    ],
    ids=["transformer", "bilstm", "cnn of the paper", "cnn", "static"],
)
def test_the_sizes_are_the_papers(config, millions):
    assert count_parameters(build_student(config)) / 1e6 == pytest.approx(millions, abs=0.15)


def test_a_sentence_cnn_sees_word_order_and_a_static_student_does_not():
    straight, turned = padded([[2, 5, 6, 7]]), padded([[2, 7, 6, 5]])
    for architecture, sees in (("cnn", True), ("static", False), ("bilstm", True), ("transformer", True)):
        student = build_student(small(architecture, "classification")).eval()
        same = torch.allclose(student(*straight).logits, student(*turned).logits, atol=1e-6)
        assert same is not sees


def test_a_window_is_a_convolution():
    window = WindowLinear(4, 5, 3)
    convolution = torch.nn.Conv1d(4, 5, 3, padding=1)
    with torch.no_grad():
        convolution.weight.copy_(window.linear.weight.view(5, 3, 4).transpose(1, 2))
        convolution.bias.copy_(window.linear.bias)
    states = torch.randn(2, 7, 4)
    expected = convolution(states.transpose(1, 2)).transpose(1, 2)
    (seen,) = windows(torch.ones(2, 7, dtype=torch.bool), [(-1, 0, 1)])
    torch.testing.assert_close(window(states.reshape(-1, 4), seen).view(2, 7, 5), expected)


def test_windows_end_where_the_text_does():
    mask = torch.tensor([[True, True, True], [True, False, False]])
    seen, own = windows(mask, [(-2, 0, 1), (0,)])
    assert seen.tolist() == [[0, 1, 2], [0, 2, 3], [1, 3, 0], [0, 4, 0], [0, 0, 0], [4, 0, 0]]
    assert own.tolist() == [[1], [2], [3], [4], [0], [0]]


def test_pooling_leaves_padding_out():
    states = torch.tensor([[[1.0], [3.0], [99.0]], [[-5.0], [-99.0], [99.0]]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert masked_mean(states, mask).flatten().tolist() == [2.0, -5.0]
    assert masked_max(states, mask).flatten().tolist() == [3.0, -5.0]


def test_a_configuration_reads_back_and_refuses_what_it_does_not_know():
    config = small("cnn", kernels=(2, 3))
    assert StudentConfig.from_json(config.to_json()) == config
    for wrong, message in (
        ({"colour": "blue"}, "unknown field 'colour'"),
        ({"vocab_size": "many"}, "'vocab_size' must be int, not 'many'"),
        ({"kernels": [2, "3"]}, "'kernels' must be int, not '3'"),
    ):
        with pytest.raises(UsageError, match=message):
            StudentConfig.from_json(json.dumps({**json.loads(config.to_json()), **wrong}))
    with pytest.raises(UsageError, match="not the configuration"):
        StudentConfig.from_json("[]")


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"architecture": "gru"}, "unknown student 'gru'"), ({"heads": 3}, "no multiple of heads 3")],
)
def test_impossible_sizes_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        StudentConfig(**changes)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_student_with_a_missing_file_is_refused(tmp_path, name):
    tokenizer = train_tokenizer(["a b"] * 3, lang="en", vocab_size=40)
    save_student(build_student(small("static")), tokenizer, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FtxError, match=rf"is not a student: {name} is missing: copy the student again"):
        load_student(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_student_with_a_damaged_file_is_refused(tmp_path, name):
    tokenizer = train_tokenizer(["a b"] * 3, lang="en", vocab_size=40)
    save_student(build_student(small("static")), tokenizer, tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-50])
    with pytest.raises(FtxError, match=rf"{tmp_path / name} is damaged: .*: copy the student again"):
        load_student(tmp_path)


def test_weights_of_another_student_are_refused(tmp_path):
    tokenizer = train_tokenizer(["a b"] * 3, lang="en", vocab_size=40)
    save_student(build_student(small("static")), tokenizer, tmp_path)
    (tmp_path / "config.json").write_text(small("cnn").to_json())
    with pytest.raises(FtxError, match="its weights are not those of a student") as caught:
        load_student(tmp_path)
    assert caught.value.exit_code == 1


def test_a_configuration_that_this_version_does_not_know_is_an_error_of_its_file(tmp_path):
    (tmp_path / "config.json").write_text('{"architecture": "oak"}')
    with pytest.raises(FtxError, match=r"config\.json is damaged: unknown student 'oak'") as caught:
        load_student(tmp_path)
    assert caught.value.exit_code == 1
