"""``package:``: an exported package teaches."""

from __future__ import annotations

import numpy as np
import pytest

from ftx_edge.errors import FtxError, UsageError
from ftx_edge.teachers import open_teacher

TEXTS = ["acenda a luz da cozinha", "toca música"]


def test_a_package_gives_its_own_probabilities(tiny_package):
    from ftx_edge.runtime import load

    teacher = open_teacher(f"package:{tiny_package}")
    assert teacher.labels == ("light_on", "light_off", "play_music")
    np.testing.assert_allclose(teacher.ask(TEXTS).labels, load(tiny_package).predict_proba(TEXTS), atol=1e-6)


def test_a_package_with_tags_cuts_words_by_itself(tiny_joint_package):
    teacher = open_teacher(f"package:{tiny_joint_package}", tagging=True)
    assert (teacher.labels, teacher.ask(TEXTS, [[], []]).labels) == ((), None)
    found = teacher.ask(TEXTS, [[], []]).tags
    offsets, probs = found.of_text(0)
    tags = [teacher.tags[i] for i in probs.argmax(1)]
    words = {TEXTS[0][a:b]: tag for (a, b), tag in zip(offsets, tags, strict=True) if b > a}
    assert words == {"acenda": "O", "a": "O", "luz": "O", "da": "O", "cozinha": "B-room"}


def test_a_classifier_is_no_tagger(tiny_package):
    with pytest.raises(UsageError, match="has no tags"):
        open_teacher(f"package:{tiny_package}", tagging=True)


def test_what_is_no_package_is_refused(tmp_path):
    with pytest.raises(FtxError, match=str(tmp_path)):
        open_teacher(f"package:{tmp_path}")
