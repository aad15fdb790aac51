"""Files are whole or not there; hashes tell them apart."""

from __future__ import annotations

import pytest

from ftx_edge.files import remove, sha256_of, sha256_of_text, write_atomically


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / "deep" / "file"
    with write_atomically(path) as aside:
        aside.write_text("one")
        assert not path.exists()
    with write_atomically(path) as aside:
        aside.write_text("two")
        assert path.read_text() == "one"
    assert path.read_text() == "two"
    assert names(path.parent) == ["file"]


def test_what_a_library_wrote_for_its_owner_alone_is_readable_as_the_umask_says(tmp_path):
    (tmp_path / "plain").touch()
    with write_atomically(tmp_path / "folder") as aside:
        aside.mkdir()
        (aside / "secret").touch(mode=0o600)
    modes = [path.stat().st_mode for path in (tmp_path / "folder" / "secret", tmp_path / "plain")]
    assert modes[0] == modes[1]


def test_a_folder_is_replaced_whole(tmp_path):
    path = tmp_path / "folder"
    for name in ("old", "new"):
        with write_atomically(path) as aside:
            aside.mkdir()
            (aside / name).write_text(name)
    assert names(path) == ["new"]
    assert names(tmp_path) == ["folder"]


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path):
    (tmp_path / "file").write_text("one")
    with pytest.raises(ZeroDivisionError), write_atomically(tmp_path / "file") as aside:  # noqa: PT012
        aside.write_text("half")
        raise ZeroDivisionError
    assert (tmp_path / "file").read_text() == "one"
    assert names(tmp_path) == ["file"]


def test_removing_a_link_to_a_folder_leaves_the_folder(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    remove(tmp_path / "link")
    remove(tmp_path / "never was")
    assert names(tmp_path) == ["there"]


def test_the_hash_of_a_folder_counts_names_and_contents(tmp_path):
    hashes = set()
    for name, content in (("a", "x"), ("b", "x"), ("a", "y")):
        folder = tmp_path / f"{name}{content}"
        folder.mkdir()
        (folder / name).write_text(content)
        hashes.add(sha256_of(folder))
    assert len(hashes) == 3
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "a").write_text("x")
    assert sha256_of(tmp_path / "copy") == sha256_of(tmp_path / "ax")


def test_the_hash_of_texts_counts_where_one_ends():
    assert sha256_of_text("ab", "c") != sha256_of_text("a", "bc") != sha256_of_text("abc")
    assert sha256_of_text("ab", "c") == sha256_of_text("ab", "c")
