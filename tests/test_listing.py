"""The image files of a folder, as systems, archives and people leave them."""

from __future__ import annotations

import os
import unicodedata

import pytest
from PIL import Image

from elegant_tf.data import listing
from elegant_tf.data.listing import find_images, list_files, match_names, printable
from elegant_tf.errors import UserError

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "été/café.png") for form in ("NFC", "NFD"))
LATIN = os.fsdecode("café.png".encode("latin-1"))


def put(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path, "PNG")


def test_hidden_folders_and_files_are_passed_over(tmp_path):
    put(tmp_path, "a.png", "deep/er/b.JPG", ".ipynb_checkpoints/a-checkpoint.png", "@eaDir/a.png", "__MACOSX/._a.png")
    put(tmp_path, "._a.png", ".c.png", "deep/.thumbnails/b.png")
    assert list_files(tmp_path).images == {"a.png", "deep/er/b.JPG"}
    assert list_files(tmp_path, below=False).images == {"a.png"}


def test_links_to_folders_are_followed_and_end(tmp_path):
    root = tmp_path / "root"
    put(root, "own/a.png")
    put(tmp_path / "elsewhere", "b.png")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "own" / "again").symlink_to(root)
    (root / "up").symlink_to(tmp_path)
    (root / "itself").symlink_to(root / "itself")
    (root / "alias").symlink_to(root / "own")
    found = list_files(root)
    assert found.images == {"own/a.png", "linked/b.png"}
    assert find_images(found, ["alias/a.png", "./linked//b.png"]).images == ("own/a.png", "linked/b.png")
    assert find_images(found, [str(root / "own" / "a.png"), "linked/b.png"]).unlabelled == ()


@pytest.mark.parametrize(
    ("wanted", "present"),
    [
        (COMPOSED, DECOMPOSED),
        (DECOMPOSED, COMPOSED),
        ("café.png", LATIN),
        ("0.jpg", "0.png"),
        ("0", "0.png"),
        ("0.jpg", "0.JPG"),
        ("A.PNG", "a.png"),
        (COMPOSED.replace("png", "jpeg"), DECOMPOSED.replace("png", "webp")),
    ],
)
def test_a_file_is_found_where_it_is_certain(tmp_path, wanted, present):
    put(tmp_path, present, "other.png")
    found = find_images(list_files(tmp_path), [wanted, "other.png"])
    assert found == ((present, "other.png"), (), (), (), "")


def test_an_uncertain_file_is_missing_and_the_choice_is_named(tmp_path):
    put(tmp_path, "0.png", "0.webp")
    found = find_images(list_files(tmp_path), ["0.jpg"])
    assert (found.images, found.missing, found.unlabelled) == (("",), ("0.jpg",), ("0.png", "0.webp"))
    assert found.hint == "0.jpg could be 0.png or 0.webp"
    put(tmp_path, "1.png")
    assert find_images(list_files(tmp_path), ["1.jpg", "1.webp"]).missing == ("1.jpg", "1.webp")


def test_equal_names_come_first():
    both = {COMPOSED: COMPOSED, DECOMPOSED: DECOMPOSED}
    assert match_names([COMPOSED, DECOMPOSED], [DECOMPOSED, COMPOSED]) == both
    assert match_names(["a.v1", "a.png"], ["a.v2", "a.png"]) == {"a.png": "a.png"}


def test_files_of_other_kinds_are_named_and_the_content_counts(tmp_path):
    put(tmp_path, "a.png", "b.jfif", "c.jpe", "d.data")
    (tmp_path / "e.heic").write_bytes(b"\0\0\0\x18ftypheic")
    found = find_images(list_files(tmp_path), ["a.png", "b.jfif", "c.jpe", "d.data", "e.jpg"])
    assert found.images == ("a.png", "b.jfif", "c.jpe", "d.data", "")
    assert (found.missing, found.unreadable, found.unlabelled) == ((), ("e.heic",), ())


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    """Root may read every folder, so the system's answer is imitated."""
    put(tmp_path, "a.png", "closed/b.png")
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).rstrip("/").endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(listing.os, "scandir", refuse)
    with pytest.raises(UserError, match=r"closed: cannot be read: Permission denied"):
        list_files(tmp_path)


def test_images_that_cannot_be_opened_are_named(tmp_path, monkeypatch):
    put(tmp_path, "a.png", "b.png", "c.png")
    monkeypatch.setattr(listing.os, "access", lambda path, _: not str(path).endswith(("a.png", "b.png")))
    with pytest.raises(UserError, match=r"a.png: cannot be read: Permission denied; so are other images"):
        find_images(list_files(tmp_path), ["a.png", "b.png", "c.png"])


def test_names_are_printable():
    assert printable(LATIN) == "caf\\xe9.png"
    assert printable(COMPOSED) == COMPOSED
