"""Tables of a suite: figures that can be checked by hand, from records alone."""

from __future__ import annotations

from ftx_edge.benchmarks.suite_figures import Figures, current
from ftx_edge.benchmarks.suite_report import write_tables
from ftx_edge.benchmarks.suite_tables import (
    ablation_rows,
    drop_rows,
    main_rows,
    matrices,
    suite_markdown,
)
from ftx_edge.benchmarks.tables import ENVIRONMENT, FAILURE, Measurement, MeasurementStore


def _record(method, language, value, *, student=None, seed=0, precision="fp32", metric="accuracy", **more):
    known = {"source": "bert", "mplm": "e5", "seed": seed, "student": student, "precision": precision, **more}
    if method in ("source", "translate-test"):
        known |= {"mplm": None, "seed": None}
    return Measurement(method, metric, value, language, "classification", "again", **known)


RECORDS = [
    Measurement(
        ENVIRONMENT, ENVIRONMENT, 0.0, "", "", "ftx-edge benchmark accuracy x.toml", note="a machine"
    ),
    _record("source", "en", 0.8, n_test=10),
    _record("translate-test", "pt", 0.5),
    *(_record("naive", lang, 0.6, seed=s) for lang in ("pt", "de") for s in (0, 1)),
    _record("naive", "pt", 0.50, student="cnn"),
    _record("naive", "de", 0.56, student="cnn"),
    _record("naive", "pt", 0.50, student="cnn", precision="int8"),
    _record("naive", "de", 0.54, student="cnn", precision="int8"),
    _record("naive", "pt", 0.60, student="cnn", precision="int8", seed=1),
    _record("naive", "de", 0.60, student="cnn", precision="int8", seed=1),
    _record("balanced", "pt", 0.70, student="cnn", precision="int8"),
    _record("naive", "pt", 2e6, student="cnn", precision="int8", metric="size_bytes"),
    _record("naive", "de", 3e6, student="cnn", precision="int8", metric="size_bytes"),
]


def _line(rows, **wanted):
    return next(row for row in rows if all(row[k] == v for k, v in wanted.items()))


def test_the_main_table_has_means_ratio_and_differences():
    rows = main_rows(Figures.of(RECORDS, "accuracy"))
    student = _line(rows, method="naive", model="cnn", precision="int8")
    assert (student["pt"], student["de"]) == ("55.0", "57.0")
    assert student["mean"] == "56.0 ± 5.7"  # 52 and 60
    assert student["ratio"] == "0.700"  # 56 of 80
    assert student["- mPLM"] == "-4.0"
    assert student["- fp32"] == "-1.00"  # the seed that has both
    assert _line(rows, model="source")["en"] == "80.0"


def test_a_mean_over_languages_wants_all_of_them():
    rows = main_rows(Figures.of(RECORDS, "accuracy"))
    for row in (_line(rows, model="translate-test"), _line(rows, method="balanced")):
        assert row["pt"] is not None
        assert row["mean"] is row["ratio"] is None


def test_the_ablation_has_a_line_a_method_and_deviations_over_seeds():
    rows = ablation_rows(Figures.of(RECORDS, "accuracy"))
    assert rows[0] == {"method": "naive", "mPLM": "60.0 ± 0.0", "cnn": "56.0 ± 5.7", "cnn, ratio": "0.700"}
    assert [row["method"] for row in rows] == ["naive", "balanced"]


def test_the_drop_is_of_the_same_seed_and_language():
    naive = drop_rows(Figures.of(RECORDS, "accuracy"))[0]
    assert (naive["pt"], naive["de"]) == ("-5.0", "-3.0")
    assert naive["mean"].startswith("-4.0")


def test_a_matrix_wants_two_sources_and_two_students():
    assert not matrices(Figures.of(RECORDS, "accuracy"))
    more = [
        _record("naive", lang, 0.4, student=student, source=source, precision="int8")
        for lang in ("pt", "de")
        for student in ("cnn", "bilstm")
        for source in ("bert", "lstm")
    ]
    (rows,) = matrices(Figures.of(current([*RECORDS, *more]), "accuracy")).values()
    assert [(row["source"], row["bilstm"]) for row in rows] == [("bert", "40.0"), ("lstm", "40.0")]
    half = [record for record in more if (record.source, record.student) != ("lstm", "bilstm")]
    assert not matrices(Figures.of(current(half), "accuracy"))


def test_of_a_package_that_failed_the_old_figures_go_until_it_passes_again():
    failed = _record("naive", "pt", 1.0, student="cnn", precision="int8", metric=FAILURE, note="lost 3 %")
    after = current([*RECORDS, failed])
    assert _record("naive", "pt", 0.50, student="cnn", precision="int8") not in after
    assert _record("naive", "pt", 0.50, student="cnn") in after
    assert "lost 3 %" in suite_markdown([*RECORDS, failed], "x", {})
    passed = _record("naive", "pt", 0.51, student="cnn", precision="int8")
    assert "lost 3 %" not in suite_markdown([*RECORDS, failed, passed], "x", {})


def test_the_same_records_give_the_same_tables_and_pictures(tmp_path):
    more = [
        _record(
            "naive", lang, 0.4 + 0.1 * (student == "cnn"), student=student, source=source, precision="int8"
        )
        for lang in ("pt", "de")
        for student in ("cnn", "bilstm")
        for source in ("bert", "lstm")
    ]
    contents = []
    for name in ("one", "two"):
        store = MeasurementStore(tmp_path / name / "x.json")
        store.add([*RECORDS, *more])
        contents.append([path.read_bytes() for path in write_tables("x", store.path)])
    assert contents[0] == contents[1]
    text = contents[0][0].decode()
    assert text.startswith(
        "# x\n\nMade by `ftx-edge benchmark accuracy x.toml`.\n\nMeasured on: a machine.\n"
    )
    assert "](x-matrix-accuracy-e5-naive.png)" in text
    assert contents[0][1].startswith(b"\x89PNG")


def test_without_records_nothing_is_written(tmp_path):
    assert write_tables("x", tmp_path / "x.json") == ()
    assert not list(tmp_path.iterdir())
