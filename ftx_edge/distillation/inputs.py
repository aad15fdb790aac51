"""All that a recipe reads, read and checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ftx_edge.distillation.corpus import Corpus, read_corpus
from ftx_edge.distillation.ensemble import OneForEachHead
from ftx_edge.distillation.source_teachers import ask_recorded, one_for_each_head, open_each
from ftx_edge.distillation.student import mplm_tokenizer, student_config
from ftx_edge.errors import UsageError
from ftx_edge.files import sha256_of, sha256_of_text
from ftx_edge.mplm.model import load_config
from ftx_edge.recipe import Recipe
from ftx_edge.recipe_tables import TRIMMED
from ftx_edge.runs import OTHER_MPLM, RunLayout
from ftx_edge.tokenization import UNSPACED
from ftx_edge.trimming import scored_pieces

SOURCE_LANGUAGE = "en"


@dataclass(frozen=True)
class Inputs:
    """The source model and the corpora of a recipe.

    Args:
        teachers: the source model, by its heads.
        source: the English corpus.
        targets: the others, by language.
        fingerprints: hash of each input by its name in the record of a run.
    """

    teachers: OneForEachHead
    source: Corpus
    targets: dict[str, Corpus]
    fingerprints: dict[str, str]

    @property
    def tagging(self) -> bool:
        """Whether there is a tag head."""
        return self.teachers.tags != ()


def read_inputs(recipe: Recipe, *, device: str) -> Inputs:
    """Read the corpora, open the source model, look up the mPLM.

    Raises:
        UsageError: the recipe asks for what does not exist or does not fit together.
        DataError: a corpus or a recorded teacher cannot be used.
        FtxError: a model cannot be loaded.
    """
    recipe.check()
    classifiers, taggers = open_each(recipe, device=device)
    teachers = one_for_each_head(recipe, classifiers, taggers)

    def corpus(lang: str, path: str) -> Corpus:
        return read_corpus(
            path,
            lang=lang,
            held_out=recipe.data.held_out,
            seed=recipe.seed,
            words=teachers.tags != () or lang in UNSPACED,
            segmenter_name=recipe.data.segmenters.get(lang),
        )

    source = corpus(SOURCE_LANGUAGE, recipe.data.source)
    targets = {lang: corpus(lang, path) for lang, path in recipe.data.targets.items()}
    ask_recorded(classifiers, taggers, source)
    for lang in targets:
        student_config(recipe, lang=lang, vocab_size=1, labels=teachers.labels, tags=teachers.tags)
    load_config(recipe.mplm.name)
    if recipe.student.init in TRIMMED:
        scored_pieces(mplm_tokenizer(recipe.mplm).backend)
    fingerprints = {"source text": source.fingerprint, "teacher": teachers.fingerprint}
    fingerprints |= {f"{lang} text": target.fingerprint for lang, target in targets.items()}
    fingerprints |= {f"{OTHER_MPLM} {run}": _other_mplm(run) for run in recipe.ensemble.mplms}
    return Inputs(teachers, source, targets, fingerprints)


def _other_mplm(folder: str) -> str:
    """The fingerprint of the mPLM that step 1 left in another run."""
    layout = RunLayout(Path(folder))
    if layout.finished("mplm") is None:
        raise UsageError(f"ensemble.mplms: step 1 of {folder} is not done: distil it first")
    return sha256_of_text(*(sha256_of(layout.mplm / f"{part}.safetensors") for part in ("model", "heads")))
