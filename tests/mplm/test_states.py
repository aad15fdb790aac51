import numpy as np
import pytest
import torch

from ftx_edge.mplm import states
from ftx_edge.mplm.model import MultilingualModel, load_encoder, load_tokenizer
from ftx_edge.mplm.states import MeanStates

pytestmark = pytest.mark.train

TEXTS = ("turn on the light", "play", "turn on the light", "acenda a luz da cozinha agora por favor")


@pytest.fixture
def mean_states(tiny_world, tmp_path):
    def opened(*, changed=False, prefix="", folder=tmp_path, **options) -> MeanStates:
        model = MultilingualModel(load_encoder(str(tiny_world.mplm)), labels=(), tags=())
        if changed:
            with torch.no_grad():
                next(model.encoder.parameters()).add_(0.01)
        tokenizer = load_tokenizer(str(tiny_world.mplm), prefix=prefix)
        return MeanStates(model, tokenizer, device=torch.device("cpu"), folder=folder, **options)

    return opened


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """How many texts went through an encoder, call by call."""
    counts = []
    original = states.states_of

    def counting(model, encoded, **options):
        counts.append(len(encoded))
        return original(model, encoded, **options)

    monkeypatch.setattr(states, "states_of", counting)
    return counts


def test_no_text_goes_through_the_same_encoder_twice(mean_states, computed):
    first = mean_states().of(TEXTS[:2])
    again = mean_states().of(TEXTS)
    assert computed == [2, 1]
    np.testing.assert_array_equal(again[:3], first[[0, 1, 0]])
    np.testing.assert_allclose(again, mean_states(folder=None).of(TEXTS), atol=1e-5)


@pytest.mark.parametrize("change", [{"changed": True}, {"prefix": "query: "}, {"precision": "bf16"}], ids=str)
def test_states_of_another_encoder_are_others(mean_states, computed, change):
    mean_states().of(TEXTS[:2])
    mean_states(**change).of(TEXTS[:2])
    assert computed == [2, 2]


def test_texts_shown_as_words_are_not_kept(mean_states, computed):
    words = [((0, 4), (5, 7)), ((0, 4),)]
    for _ in range(2):
        mean_states().of(TEXTS[:2], words)
    assert computed == [2, 2]


def test_no_text_has_no_states(mean_states):
    assert mean_states().of(()).shape == (0, 32)
