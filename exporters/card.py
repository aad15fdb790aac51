"""The model card: what the package is, where it came from, what was measured, what it cannot do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ftx_edge.runtime.manifest import FP32, INT8, Manifest

_PIPELINES = {
    "classification": "text-classification",
    "tagging": "token-classification",
    "joint": "text-classification",
}
_DOES = {
    "classification": "puts a text into one of {labels} classes",
    "tagging": "marks spans of {slots} kinds in a text",
    "joint": "puts a text into one of {labels} classes and marks spans of {slots} kinds in it, in one pass",
}

_MADE = {
    False: "It was distilled by FTX-Edge from an English model, over a multilingual language model, on "
    "unlabelled text: no labelled example in this language took part.",
    True: "It was trained by FTX-Edge on labelled text: its teacher, in what follows, is those labels.",
}
_LEARNED_FROM = {False: "English and the multilingual model", True: "labels"}


def model_card(manifest: Manifest, precisions: tuple[str, ...], parameters: int) -> str:
    """The README.md of a package, in Markdown; the same for the same manifest."""
    slots = sorted({tag[2:] for tag in manifest.tags if tag != "O"})
    supervised = bool(manifest.provenance.get("supervised"))
    does = _DOES[manifest.task].format(labels=len(manifest.labels), slots=len(slots))
    sections = [
        _front_matter(manifest),
        f"# {manifest.language}: {manifest.task}, {manifest.architecture}, {parameters / 1e6:.1f}M parameters"
        f"\n\nA small model that {does}. {_MADE[supervised]}",
        _usage(manifest, precisions),
        _names("Labels", manifest.labels) + _names("Span labels", slots),
        _measured(manifest.measured, supervised),
        _origin(manifest.provenance),
        _limits(manifest, precisions, supervised),
    ]
    return "\n\n".join(section.strip() for section in sections if section) + "\n"


def _front_matter(manifest: Manifest) -> str:
    return (
        f"---\nlanguage: {manifest.language}\nlibrary_name: ftx-edge\n"
        f"pipeline_tag: {_PIPELINES[manifest.task]}\n"
        "tags: [onnx, distillation, cross-lingual, on-device]\n---"
    )


def _usage(manifest: Manifest, precisions: tuple[str, ...]) -> str:
    kind = "TokenClassification" if manifest.task == "tagging" else "SequenceClassification"
    file = INT8 if "int8" in precisions else FP32
    note = (
        "\n\n`transformers` sees the sentence labels only; spans need `ftx-edge`."
        if manifest.task == "joint"
        else ""
    )
    needs = "numpy, onnxruntime and tokenizers"
    if manifest.segmenter:
        needs += f", and the word segmenter `{manifest.segmenter}`"
        note += f"\n\nOnly `ftx-edge` asks `{manifest.segmenter}` for the words that the model needs."
    return f"""## Use

With `ftx-edge` (needs {needs}; no torch), on this folder or its `.ftx` file:

```sh
ftx-edge predict FOLDER "..."
```

```python
import ftx_edge

package = ftx_edge.load("FOLDER")
package.predict("...")
```

With `transformers` and `optimum`:

```python
from optimum.onnxruntime import ORTModelFor{kind}
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = ORTModelFor{kind}.from_pretrained("FOLDER", subfolder="onnx", file_name="{file.split("/")[1]}")
```

`config.json` says `model_type: distilbert`. That is a name which those libraries know, so that they \
open the graph; the architecture is `{manifest.architecture}`.{note}"""


def _names(title: str, names: tuple[str, ...] | list[str]) -> str:
    if not names:
        return ""
    return f"## {title}\n\n" + ", ".join(f"`{name}`" for name in names) + "\n\n"


def _measured(measured: Mapping[str, Any], supervised: bool) -> str:
    rows = []
    for precision, figures in measured.get("export", {}).items():
        cells = [
            f"{figures[name]:.2%}" if name in figures else "-"
            for name in ("label_agreement", "tag_agreement", "span_f1")
        ]
        rows.append(f"| {precision} | {' | '.join(cells)} | {figures['texts']} |")
    table = "\n".join(
        [
            "## Measured at export",
            "",
            "The graph against the student that it was made from, on texts that were held out:",
            "",
            "| graph | same label | same tag | span F1 | texts |",
            "|---|---|---|---|---|",
            *rows,
        ]
    )
    student = measured.get("student")
    if student:
        table += (
            "\n\nThe student against its teacher, on the same texts:\n\n```json\n"
            + json.dumps(student, indent=2, ensure_ascii=False)
            + "\n```"
        )
    for precision, figures in measured.get("export", {}).items():
        if kept := figures.get("float32_products"):
            table += (
                f"\n\nThe {precision} graph leaves {len(kept)} of {figures['products']} products in float32, "
                f"the most sensitive: {', '.join(f'`{name}`' for name in kept)}."
            )
    if "temperature" in measured:
        table += (
            f"\n\nScores are calibrated (temperature {measured['temperature']:g}): a score says how likely "
            "the teacher gives the same label, not how likely that is right."
        )
    if abstention := measured.get("abstention"):
        table += (
            f"\n\nLabels with a score below {abstention['min_score']:g} are withheld: "
            f"{abstention['answered']:.1%} of these texts are answered"
        )
        if "agreement" in abstention:
            table += f", {abstention['agreement']:.1%} of them as the teacher does"
        table += "."
    table += "\n\n" if supervised else "\n\nThese are agreements, not accuracies: no label was read. "
    return (
        table
        + "`ftx-edge evaluate` measures accuracy on labelled text, `ftx-edge benchmark latency` speed on "
        "the machine at hand."
    )


def _origin(provenance: Mapping[str, Any]) -> str:
    if not provenance:
        return ""
    content = json.dumps(provenance, indent=2, ensure_ascii=False)
    return f"## Where it came from\n\nHashes are SHA-256.\n\n```json\n{content}\n```"


def _limits(manifest: Manifest, precisions: tuple[str, ...], supervised: bool) -> str:
    gives = "gives a label, often with a high score" if manifest.labels else "marks spans"
    lines = [
        f"It repeats the errors and biases of the {_LEARNED_FROM[supervised]} that it learned from.",
        f"It was made for `{manifest.language}` and for text like the text it learned from; of other "
        f"text it still {gives}.",
        "It has no class for texts that belong to none"
        + (
            "; `min_score` withholds labels below a score."
            if manifest.min_score is None
            else f"; labels with a score below {manifest.min_score:g} are withheld."
        )
        if manifest.labels
        else "Its scores are those of a network, not calibrated probabilities.",
        f"It reads the first {manifest.max_length} subwords of a text, the mark at its begin included; the "
        "rest is cut off.",
        "Its licence follows from those of the models and the text it was made from; none is stated here.",
    ]
    if "int8" in precisions:
        lines.append(
            "The int8 graph chooses the scale of its activations a run: answers of texts in one batch may "
            "differ a little from those of each text alone. `ftx-edge` runs each alone."
        )
    return "## What it cannot do\n\n" + "\n".join(f"- {line}" for line in lines)
