"""From photos to aligned faces. MTCNN, if it is installed, also finds drawn faces, whose points are known."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import commands
import dirty
import disk
import numpy as np
import pytest

from elegant_tf.cli.main import main
from elegant_tf.data.align import Face, align_faces, align_photos, find_largest, make_detector
from elegant_tf.data.landmarks import POINTS
from elegant_tf.data.similarity import align, target_points
from elegant_tf.errors import UserError
from elegant_tf.images import read_image, write_image
from elegant_tf.runlock import WRITING, locked
from elegant_tf.synthetic import make_face

SIZE = 64


def party(places=((20, 30, 90), (150, 10, 140))) -> tuple[np.ndarray, list[np.ndarray]]:
    """An image with drawn faces at these x, y and of these sizes, and their points."""
    image, points = np.full((180, 320, 3), 90, np.uint8), []
    for number, (x, y, size) in enumerate(places):
        face = make_face(0, number)
        image[y : y + size, x : x + size] = face.draw(size)
        points.append(face.landmarks(size) + [x, y])
    return image, points


def knows(points, sizes=(90, 140)):
    """A detector that finds these faces, the largest first."""
    faces = [Face(part, size, size) for part, size in zip(points, sizes, strict=True)]
    return lambda image: sorted(faces, key=lambda face: -face.width)


def test_which_faces():
    image, points = party()
    detect = knows(points)
    for which, expected in (("largest", [1]), ("0", [1]), ("1", [0]), ("all", [1, 0])):
        found = align_faces(image, SIZE, detect, which)
        assert [np.array_equal(face.points, points[number]) for face, number in zip(found, expected, strict=True)]
        for face, number in zip(found, expected, strict=True):
            assert (face.image == align(image, points[number], SIZE)[0]).all()
    assert (find_largest(image, detect) == points[1]).all()
    with pytest.raises(UserError, match="--faces=2: 2 faces were found"):
        align_faces(image, SIZE, detect, "2")


def test_no_face():
    for which in ("largest", "all", "0"):
        with pytest.raises(UserError, match="no face was found in 320 x 180 pixels"):
            align_faces(party()[0], SIZE, lambda image: [], which)


def test_large_images_are_reduced_and_points_are_those_of_the_whole():
    sizes = []

    def detect(image):
        sizes.append(image.shape[:2])
        scale = image.shape[1] / 3000
        return [Face((target_points(1000) + 0.5) * scale - 0.5, 1000 * scale, 1000 * scale)]

    points = find_largest(np.zeros((2000, 3000, 3), np.uint8), detect)
    assert sizes == [(500, 750)]
    np.testing.assert_allclose(points, target_points(1000), atol=1e-6)


def test_faces_too_small_in_the_reduced_image_are_found_in_the_whole():
    points = target_points(100)
    found = find_largest(
        np.zeros((2000, 3000, 3), np.uint8), lambda image: [Face(points, 50, 50)] if image.shape[1] == 3000 else []
    )
    assert (found == points).all()


@pytest.fixture
def photos(tmp_path):
    image, points = party()
    paths = [tmp_path / "photos" / name for name in ("a b.png", "ç.png")]
    for path in paths:
        write_image(path, image)
    return paths, image, points


def test_files_and_their_index(photos, tmp_path):
    paths, image, points = photos
    entries = align_photos(paths, tmp_path / "out", SIZE, detect=knows(points))
    assert json.loads((tmp_path / "out" / "align.json").read_text()) == entries
    assert [(entry["file"], entry["photo"]) for entry in entries] == [
        ("a b.png", str(paths[0])),
        ("ç.png", str(paths[1])),
    ]
    face, similarity = align(image, points[1], SIZE)
    assert (read_image(tmp_path / "out" / "ç.png") == face).all()
    assert list(entries[0]["landmarks"]) == list(POINTS)
    matrix = np.array(entries[0]["matrix"])
    np.testing.assert_allclose(points[1] @ matrix[:, :2].T + matrix[:, 2], similarity.points(points[1]))


def test_one_call_at_a_time_writes_into_a_folder(photos, tmp_path):
    paths, _, points = photos
    with (
        locked(tmp_path / "out", WRITING),
        pytest.raises(UserError, match=f"process {os.getpid()} on .* has been w"),
    ):
        align_photos(paths, tmp_path / "out", SIZE, detect=knows(points))
    assert not (tmp_path / "out").exists()


def test_all_faces_get_numbers(photos, tmp_path):
    paths, _, points = photos
    entries = align_photos(paths[:1], tmp_path / "out", SIZE, "all", knows(points))
    assert [entry["file"] for entry in entries] == ["a b_0.png", "a b_1.png"]


def test_bad_photos_are_all_named_and_the_others_written(photos, tmp_path):
    paths, _, points = photos
    good, bad = dirty.write(tmp_path / "dirty")
    files = [tmp_path / "dirty" / name for name in (*bad, "wrong extension.jpg")]
    with pytest.raises(UserError) as error:
        align_photos([*files, *paths], tmp_path / "out", SIZE, detect=knows(points))
    assert f"{len(bad)} of {len(bad) + 3} photos were not aligned:" in str(error.value)
    for name in bad:
        assert str(tmp_path / "dirty" / name) in str(error.value)
    assert good
    entries = json.loads((tmp_path / "out" / "align.json").read_text())
    assert [entry["file"] for entry in entries] == ["wrong extension.png", "a b.png", "ç.png"]


def test_mistakes(photos, tmp_path):
    paths, _, points = photos
    detect = knows(points)
    for arguments, expected in (
        ((paths, tmp_path / "out", SIZE, "best"), "--faces=best"),
        ((paths, tmp_path / "out", 3, "largest"), "--image_size=3"),
        (([paths[0], tmp_path / "a b.jpg"], tmp_path / "out", SIZE, "largest"), "would both become a b.png"),
    ):
        with pytest.raises(UserError, match=expected):
            align_photos(*arguments, detect=detect)
    assert not (tmp_path / "out").exists()


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Stopping:
    """A detector that does something else at its n-th photo, and counts the photos that it sees."""

    def __init__(self, detect, at=0, stop=lambda: None):
        self.detect, self.at, self.stop, self.seen = detect, at, stop, 0

    def __call__(self, image):
        self.seen += 1
        if self.seen == self.at:
            self.stop()
        return self.detect(image)


def interrupt():
    raise KeyboardInterrupt


def test_an_interrupted_call_goes_on(photos, tmp_path, capsys):
    paths, _, points = photos
    align_photos(paths, tmp_path / "whole", SIZE, detect=knows(points))
    with pytest.raises(KeyboardInterrupt):
        align_photos(paths, tmp_path / "out", SIZE, detect=Stopping(knows(points), 2, interrupt))
    assert "interrupted. 1 of 2 photos are finished, and the same command goes on from there" in capsys.readouterr().err
    assert (tmp_path / "out" / "a b.png").is_file()
    detect = Stopping(knows(points))
    align_photos(paths, tmp_path / "out", SIZE, detect=detect)
    assert detect.seen == 1
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    again = align_photos(paths, tmp_path / "out", SIZE, detect=detect)
    assert (detect.seen, len(again)) == (1, 2)
    assert "2 of 2 photos are finished already" in capsys.readouterr().err
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


# Kills itself before the second photo is read, or after its row is written and before its face is.
KILLED = """
import os, sys
import numpy as np
from elegant_tf.data import align
points, size, when, out, *paths = eval(sys.argv[1]), *sys.argv[2:]
seen, write = [], align.write_image
def count(kind):
    seen.append(kind)
    if seen.count(when) == 2: os.kill(os.getpid(), 9)
align.write_image = lambda *options, **named: (count("written"), write(*options, **named))
def detect(image):
    count("found")
    return [align.Face(np.array(points), 140, 140)]
align.align_photos(paths, out, int(size), detect=detect)
"""


@pytest.mark.parametrize("when", ["found", "written"])
def test_a_killed_call_goes_on(photos, tmp_path, when):
    paths, _, points = photos
    align_photos(paths, tmp_path / "whole", SIZE, detect=knows(points))
    out = tmp_path / "out"
    done = commands.run(["-c", KILLED, repr(points[1].tolist()), str(SIZE), when, str(out), *map(str, paths)])
    assert done.returncode == -signal.SIGKILL, done.stderr
    with open(out / ".align.jsonl", "a") as journal:
        journal.write('{"photo": "cut')
    (out / f".{'0' * 32}.part").touch()
    detect = Stopping(knows(points))
    align_photos(paths, out, SIZE, detect=detect)
    assert detect.seen == 1
    assert tree(out) == tree(tmp_path / "whole")


def test_a_disk_that_fills_up_keeps_what_is_finished(photos, tmp_path):
    paths, _, points = photos
    align_photos(paths, tmp_path / "whole", SIZE, detect=knows(points))
    out = tmp_path / "out"
    said = "cannot be written: File too large. 1 of 2 photos are finished, and the same command goes on from there"
    with disk.filling() as fill, pytest.raises(UserError, match=said):
        align_photos(paths, out, SIZE, detect=Stopping(knows(points), 2, fill))
    assert sorted(tree(out)) == [".align.jsonl", "a b.png"]
    with disk.full(), pytest.raises(UserError, match=r"--out=.*out: cannot be written: File too large$"):
        align_photos(paths, out, SIZE, detect=pytest.fail)
    align_photos(paths, out, SIZE, detect=knows(points))
    assert tree(out) == tree(tmp_path / "whole")


def test_photos_that_failed_or_changed_are_looked_at_again(photos, tmp_path):
    paths, image, points = photos
    bad, out, detect = tmp_path / "photos" / "bad.png", tmp_path / "out", Stopping(knows(points))
    bad.write_bytes(b"")
    with pytest.raises(UserError, match="1 of 3 photos were not aligned"):
        align_photos([bad, *paths], out, SIZE, "all", detect)
    write_image(bad, image, overwrite=True)
    write_image(paths[0], image[::-1].copy(), overwrite=True)
    added = tmp_path / "photos" / "added.png"
    write_image(added, image)
    detect.seen = 0
    align_photos([bad, *paths, added], out, SIZE, "all", detect)
    assert detect.seen == 3
    align_photos([bad, *paths, added], tmp_path / "anew", SIZE, "all", detect)
    assert tree(out) == tree(tmp_path / "anew")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"size": 32}, "holds faces made with --image_size=64, not 32"),
        ({"which": "all"}, "holds faces made with --faces=largest, not all"),
        ({"photos": slice(1, 2)}, r"holds faces of 1 photos that --input lacks \(.*a b.png\)"),
    ],
)
def test_other_options_or_photos_are_refused(photos, tmp_path, options, expected):
    paths, _, points = photos
    out = tmp_path / "out"
    align_photos(paths, out, SIZE, detect=knows(points))
    before = tree(out)
    asked = {"size": SIZE, **options, "photos": paths[options.get("photos", slice(None))]}
    with pytest.raises(UserError, match=rf"--out={out}: {expected}"):
        align_photos(out=out, detect=pytest.fail, **asked)
    assert tree(out) == before


def test_files_of_others_stay(photos, tmp_path):
    """Also the faces of older versions, which kept no journal."""
    paths = photos[0]
    for name, expected in (("ç.png", r"ç.png: exists already"), ("align.json", "holds other aligned faces")):
        (tmp_path / name).write_text("precious")
        with pytest.raises(UserError, match=expected):
            align_photos(paths, tmp_path, SIZE, detect=pytest.fail)
        assert (tmp_path / name).read_text() == "precious"
        (tmp_path / name).unlink()
    assert not list(tmp_path.glob("*.*"))


@pytest.mark.parametrize(
    ("line", "expected"), [("cut {", "line 2: is not JSON"), ("[1]", "is damaged"), ('{"photo": 1}', "is damaged")]
)
def test_a_damaged_journal_is_named(photos, tmp_path, line, expected):
    journal = tmp_path / ".align.jsonl"
    journal.write_text(f'{{"version": 1, "image_size": 64, "faces": "largest"}}\n{line}\n{{}}\n')
    with pytest.raises(UserError, match=rf"\.align\.jsonl.* {expected}"):
        align_photos(photos[0], tmp_path, SIZE, detect=pytest.fail)


@pytest.fixture(scope="module")
def detect():
    pytest.importorskip("mtcnn")
    return make_detector()


def test_drawn_faces_are_found(detect):
    """Pupils are found within 5 px if they are 60 px apart; in photos, more exactly."""
    for number in range(4):
        face = make_face(0, number)
        points = find_largest(face.draw(256), detect)
        exact = face.landmarks(256)
        scale = 60 / np.hypot(*(exact[1] - exact[0]))
        assert np.hypot(*(points - exact)[:2].T).max() * scale < 5


def test_images_without_faces(detect):
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    for image in (np.zeros((200, 300, 3), np.uint8), noise, noise[:1, :1], noise[:, :3]):
        with pytest.raises(UserError, match="no face was found"):
            find_largest(image, detect)


def test_the_command(detect, tmp_path, capsys):
    write_image(tmp_path / "photos" / "one.png", make_face(0, 3).draw(200))
    words = ["align", "--input", str(tmp_path / "photos"), "--out", str(tmp_path / "out"), "--image_size", "128"]
    assert main(words) == 0
    assert "1 faces from 1 photos" in capsys.readouterr().out
    assert read_image(tmp_path / "out" / "one.png").shape == (128, 128, 3)
    write_image(tmp_path / "empty.png", np.zeros((100, 100, 3), np.uint8))
    assert main(["align", "--input", str(tmp_path / "empty.png"), "--out", str(tmp_path / "more")]) == 2
    assert "empty.png: no face was found" in capsys.readouterr().err


def test_without_mtcnn(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mtcnn", None)
    with pytest.raises(UserError, match=r"elegant-tf\[align\]"):
        make_detector()
