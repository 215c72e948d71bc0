from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import os
import re
import shlex
import sys
from pathlib import Path

import commands
import numpy as np
import pytest
from image_files import assert_close, decoded, encoded, faces_of_several_sizes
from PIL import Image

import elegant_tf
from elegant_tf.beam.__main__ import main, make_parser
from elegant_tf.errors import UserError
from elegant_tf.images import decode_image, write_image
from elegant_tf.marks import Receipt, read_mark, receipt_of, xmp_packet

FACES = faces_of_several_sizes()
NAMES = ["Eyeglasses", "Smiling"]  # of those of tiny_run
HAS_BEAM = importlib.util.find_spec("apache_beam") is not None
needs_beam = pytest.mark.skipif(not HAS_BEAM, reason="needs apache-beam: pip install 'elegant-tf[beam]'")

if HAS_BEAM:
    import apache_beam as beam
    from apache_beam.io.filesystem import BeamIOError, FileMetadata
    from apache_beam.io.localfilesystem import LocalFileSystem
    from apache_beam.metrics import MetricsFilter
    from apache_beam.options.pipeline_options import PipelineOptions

    from elegant_tf.beam import EditImages, files
    from elegant_tf.beam.model import EditHandler, Edits, Export, Ready, find_version
    from elegant_tf.serving.endpoint import Unavailable

    class Shelf(LocalFileSystem):
        """A file system of its own, `shelf://FOLDER/…`, in the folder `root`. Like Hadoop, it replaces no file."""

        root = ""

        @classmethod
        def scheme(cls):
            return "shelf"

        def join(self, basepath, *paths):
            return "/".join([basepath.rstrip("/"), *paths])

        def split(self, path):
            head, _, tail = path.rpartition("/")
            return head, tail

        def _inside(self, path):
            return os.path.join(self.root, path.removeprefix("shelf://"))

        def _path_open(self, path, *arguments, **options):
            return super()._path_open(self._inside(path), *arguments, **options)

        def _list(self, folder):
            for file in super()._list(self._inside(folder)):
                file.path = file.path.replace(self.root + "/", "shelf://", 1)
                yield file

        def exists(self, path):
            return super().exists(self._inside(path))

        def size(self, path):
            return super().size(self._inside(path))

        def metadata(self, path):
            return FileMetadata(path, self.size(path))

        def mkdirs(self, path):
            super().mkdirs(self._inside(path))

        def rename(self, sources, targets):
            if any(map(self.exists, targets)):
                raise BeamIOError("exists", {target: OSError() for target in targets})
            super().rename(list(map(self._inside, sources)), list(map(self._inside, targets)))

        def delete(self, paths):
            for path in paths:
                os.remove(self._inside(path))


def marked(face):
    """A PNG file that says already that it was edited."""
    file = io.BytesIO()
    packet = xmp_packet(Receipt("a" * 64, 1, (), ("Bangs",), (1.0,)))
    Image.fromarray(face).save(file, "JPEG", xmp=packet)
    return file.getvalue()


def turned(face):
    """A JPEG file that its EXIF block turns upright."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(face))).save(file, "JPEG", exif=exif, quality=95)
    return file.getvalue()


GOOD = {
    "a.png": encoded(FACES[0]),
    "b.jpg": encoded(FACES[1], "JPEG"),
    "c.webp": encoded(FACES[2], "WEBP"),
    "deep/a.png": encoded(FACES[3]),
    "deep/er/d.JPEG": turned(FACES[3]),
    "marked.jpg": marked(FACES[1]),
    "old.gif": encoded(FACES[1], "GIF"),
    "bare": encoded(FACES[2], "TIFF"),
    "grey.png": encoded(FACES[0][..., 0]),
}
HUGE = Image.new("1", (8192, 4097))
BAD = {
    "empty.jpg": (b"", r"is empty \(0 bytes\)"),
    "text.png": (b"not an image", "is not an image in a known format"),
    "cut.png": (GOOD["deep/a.png"][:2000], "is damaged, truncated"),
    "cut.jpg": (GOOD["b.jpg"][: len(GOOD["b.jpg"]) * 2 // 3], "is truncated: it lacks"),
    "deep/icon.ico": (encoded(FACES[0], "ICO"), "is not an image in a known format"),
    "huge.png": (encoded(np.asarray(HUGE)), r"has 8192 x 4097 pixels; more than 33554432 are refused"),
    "bits.tif": (encoded(np.zeros((8, 8), np.float32), "TIFF"), "has 32-bit pixels of unknown range"),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of good and bad files."""
    folder = tmp_path_factory.mktemp("photos")
    for name, data in [*GOOD.items(), *((name, data) for name, (data, _) in BAD.items())]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def loaded(signatures, monkeypatch):
    """The exported model, loaded already: loading takes longer than most tests."""
    monkeypatch.setattr(Export, "_load", lambda self: signatures)


@pytest.fixture(scope="module")
def exemplar(tmp_path_factory):
    path = tmp_path_factory.mktemp("exemplar") / "e.png"
    write_image(path, FACES[1])
    return path


def run(images, transform, **options):
    """The two outputs as lists, and the counters."""
    options = PipelineOptions(flags=[], direct_num_workers=1, **options)
    pipeline = beam.Pipeline("DirectRunner", options=options)
    taken = {"edited": [], "dead_letters": []}
    out = pipeline | beam.Create(images) | transform
    for name, letters in out.items():
        _ = letters | f"Take {name}" >> beam.io.WriteToText(f"{transform._out}.{name}", num_shards=1)
    result = pipeline.run()
    result.wait_until_finish()
    for name in taken:
        (file,) = Path(transform._out).parent.glob(f"*.{name}-*")
        taken[name] = sorted(map(eval, file.read_text("utf-8").splitlines()))
        file.unlink()
    counters = result.metrics().query(MetricsFilter().with_namespace("elegant_tf"))["counters"]
    return taken["edited"], taken["dead_letters"], {one.key.metric.name: one.result for one in counters}


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def alone(signatures, data, exemplars, names=NAMES, strength=1.0):
    """What the exported model makes of one image: pixels."""
    import tensorflow as tf

    known = ["Eyeglasses", "Bangs", "Smiling"]
    weights = np.zeros((1, 3), np.float32)
    weights[0, [known.index(name) for name in names]] = strength
    image = tf.constant([encoded(decode_image(data, "image"))])
    found = signatures["serving_default"](image=image, exemplar=tf.constant([exemplars]), weights=tf.constant(weights))
    return decoded(found["edited_bytes"].numpy()[0])


@needs_beam
def test_edits_all_that_can_be_edited(loaded, photos, exemplar, tiny_export, signatures, tmp_path):
    given = [str(photos / name) for name in (*GOOD, *BAD)] + [str(photos / "missing.png"), str(photos / "deep")]
    outs = [tmp_path / "first", tmp_path / "second"]
    for out, batch_size in zip(outs, (4, 3), strict=True):
        transform = EditImages(
            str(tiny_export.parent), exemplar, NAMES, str(out), root=str(photos), batch_size=batch_size
        )
        edited, dead, counters = run(given, transform)
    written = {name: name if Path(name).suffix not in ("", ".gif") else f"{name}.png" for name in GOOD}
    assert edited == sorted((str(photos / name), str(outs[1] / target)) for name, target in written.items())
    reasons = {
        **{name: reason for name, (_, reason) in BAD.items()},
        "missing.png": "cannot be read: No such file",
        "deep": "is not a regular file",
    }
    assert {name for name, _ in dead} == {str(photos / name) for name in reasons}
    for name, reason in dead:
        assert re.match(reasons[str(Path(name).relative_to(photos))], reason), (name, reason)
    assert len(edited) + len(dead) == len(given)
    assert (counters["edited"], counters["dead_letters"]) == (len(edited), len(dead))
    assert counters["num_inferences"] == len(edited)
    lines = (outs[0] / "dead_letters.jsonl").read_text("utf-8").splitlines()
    assert sorted((one["name"], one["reason"]) for one in map(json.loads, lines)) == dead
    for name, target in written.items():
        made = (outs[0] / target).read_bytes()
        assert Image.open(io.BytesIO(made)).format == {".jpg": "JPEG", ".JPEG": "JPEG", ".webp": "WEBP"}.get(
            Path(target).suffix, "PNG"
        )
        if target.endswith(".png"):
            expected = alone(signatures, GOOD[name], exemplar.read_bytes())
            np.testing.assert_array_equal(decoded(made), expected, err_msg=name)
    first, second = map(contents, outs)
    first.pop("dead_letters.jsonl"), second.pop("dead_letters.jsonl")
    assert first == second  # and nothing else is there
    assert set(first) == set(written.values())


@needs_beam
def test_marks_say_how(loaded, exemplar, tiny_export, tmp_path):
    transform = EditImages(
        str(tiny_export), exemplar.read_bytes(), NAMES, str(tmp_path / "out"), strength=[1, 0.5], root=""
    )
    run([("x/marked.jpg", GOOD["marked.jpg"]), ("a.png", GOOD["a.png"])], transform)
    metadata = Export(str(tiny_export)).metadata
    receipt = receipt_of(metadata["model_sha256"], 4, [exemplar], NAMES, [1, 0.5])
    assert read_mark(tmp_path / "out/a.png").receipts == (receipt,)
    earlier, last = read_mark(tmp_path / "out/x/marked.jpg").receipts
    assert (earlier.model, last) == ("a" * 64, receipt)
    transform = EditImages(str(tiny_export), exemplar, NAMES, str(tmp_path / "plain"), mark=False)
    run([("a.png", GOOD["a.png"])], transform)
    assert read_mark(tmp_path / "plain/a.png") is None


@needs_beam
def test_exemplars_of_a_catalogue_and_of_files(loaded, tiny_editor, tiny_export, exemplar, tmp_path):
    catalogue = tiny_editor.make_catalogue(FACES[2:], ["a", "b"])
    transform = EditImages(str(tiny_export), [catalogue["a"], exemplar], NAMES, str(tmp_path / "out"), batch_size=1)
    run([("a.png", GOOD["a.png"])], transform)
    expected = tiny_editor.swap(FACES[0], [FACES[2], FACES[1]], NAMES)
    assert_close(decoded((tmp_path / "out/a.png").read_bytes()), expected)
    one = catalogue["a"]
    for changed in ({"model": "0" * 64}, {"code": one.code[:1]}):
        with pytest.raises(UserError, match="exemplar 'a' is the code of another model or image size"):
            EditImages(str(tiny_export), dataclasses.replace(one, **changed), NAMES, "out")


@needs_beam
@pytest.mark.parametrize(
    ("root", "written"),
    [
        (None, {"d.png"}),
        ("p", {"a/c.png", "b/c.png", "d.png"}),
        ("", {"p/a/c.png", "p/b/c.png", "p/d.png", "q/d.png"}),
    ],
)
def test_two_images_of_one_name(loaded, tiny_export, exemplar, tmp_path, root, written):
    data = GOOD["a.png"]
    given = [(name, data) for name in ("p/a/c.png", "p/b/c.png", "p/d.png", "q/d.png", "p/../x.png", "p/")]
    given[3] = ("q/d.png", GOOD["grey.png"])
    given = [*given, given[2]] if root else given
    transform = EditImages(str(tiny_export), exemplar, NAMES, str(tmp_path / "out"), root=root)
    edited, dead, _ = run([one for one in given if root is not None or one[0] != "q/d.png"], transform)
    assert {str(Path(path).relative_to(tmp_path / "out")) for _, path in edited} - {"x.png"} == written
    reasons = dict(dead)
    assert "has no file name" in reasons["p/"]
    if root is None:
        assert reasons["p/a/c.png"].startswith("several images would be written to c.png (p/a/c.png, p/b/c.png)")
    else:
        assert "must not contain .." in reasons["p/../x.png"]
    if root == "p":
        assert "is not in the folder p" in reasons["q/d.png"]
        assert reasons["p/d.png"] == "was given several times; it is edited once"


@needs_beam
def test_an_image_is_never_replaced_by_its_own_edit(loaded, tiny_export, exemplar, tmp_path):
    (tmp_path / "a.png").write_bytes(GOOD["a.png"])
    transform = EditImages(str(tiny_export), exemplar, NAMES, str(tmp_path))
    edited, ((_, reason),), _ = run([str(tmp_path / "a.png")], transform)
    assert not edited
    assert reason.startswith("its edited file would replace it")
    assert (tmp_path / "a.png").read_bytes() == GOOD["a.png"]


@needs_beam
def test_a_long_image_is_not_padded(loaded, tiny_export, exemplar, tmp_path, monkeypatch):
    transform = EditImages(str(tiny_export), exemplar, NAMES, str(tmp_path / "out"))
    monkeypatch.setattr(transform._check, "_squares", dataclasses.replace(transform._check._squares, resize="pad"))
    long = encoded(np.zeros((1, 12000), np.uint8))
    edited, ((_, reason),), _ = run([("long.png", long), ("good.png", GOOD["deep/a.png"])], transform)
    assert len(edited) == 1
    assert reason.startswith("has 12000 x 1 pixels; more than 33554432, or a side of 11585, are refused")


@needs_beam
def test_one_image_fails_for_itself_alone(tiny_export, exemplar):
    handler = EditHandler(str(tiny_export), [exemplar.read_bytes()], NAMES, [1.0], batch_size=8)
    model = handler.load_model()
    right = model._client._transport.squares.encoded(FACES[0])
    batch = [Ready(str(index), str(index), data, b"") for index, data in enumerate([right, b"spoilt", right])]
    first, second, third = handler.run_inference(batch, model)
    assert (first.edited, third.edited) == tuple(model([right, right]))
    assert second.edited == b""
    assert re.match("the model does not take it: .*image: is not a JPEG, PNG", second.reason)

    class Short(Edits):
        def __init__(self):
            self.counts = []

        def __call__(self, images):
            self.counts.append(len(images))
            if len(images) > 1 or images == [b"never"]:
                raise Unavailable("out of memory")
            return [b"edited"]

    short = Short()
    assert [answer.edited for answer in handler.run_inference(batch, short)] == [b"edited"] * 3
    assert short.counts == [3, 1, 1, 1]
    with pytest.raises(Unavailable):  # which the runner tries again
        handler.run_inference([dataclasses.replace(batch[0], data=b"never")], short)


@needs_beam
def test_another_file_system(tiny_export, exemplar, photos, signatures, tmp_path, monkeypatch):
    monkeypatch.setattr(Shelf, "root", str(tmp_path / "shelf"))
    (tmp_path / "shelf").mkdir()
    for name, source in {"models/1": tiny_export, "models/10": tiny_export, "photos": photos / "deep"}.items():
        files_of = contents(Path(source))
        for inside, data in files_of.items():
            place = tmp_path / "shelf" / name / inside
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    assert find_version("shelf://models") == "shelf://models/10"
    arguments = ["--input", "shelf://photos/**", "--exemplar", str(exemplar), "--attributes", "Smiling"]
    arguments += ["--export", "shelf://models", "--out", "shelf://out"]
    assert main(arguments) == 0
    found = contents(tmp_path / "shelf/out")
    assert set(found) == {"a.png", "er/d.JPEG", "dead_letters.jsonl"}
    assert [json.loads(line)["name"] for line in found["dead_letters.jsonl"].splitlines()] == [
        "shelf://photos/icon.ico"
    ]
    monkeypatch.setattr(Export, "_load", lambda self: signatures)
    assert main(arguments) == 0  # replaces what is there
    assert contents(tmp_path / "shelf/out") == found
    with pytest.raises(UserError, match=r"--out=nowhere://x: Apache Beam cannot open it; .*apache-beam\[gcp\]"):
        EditImages(str(tiny_export), exemplar, NAMES, "nowhere://x")


@needs_beam
def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    files.write_bytes(str(tmp_path / "new/deep/a.png"), b"1")
    files.write_bytes(str(tmp_path / "new/deep/a.png"), b"2")
    assert (tmp_path / "new/deep/a.png").read_bytes() == b"2"
    (tmp_path / "folder/b.png").mkdir(parents=True)
    with pytest.raises(BeamIOError):
        files.write_bytes(str(tmp_path / "folder/b.png"), b"3")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["b.png"]
    (tmp_path / "large").write_bytes(bytes(20))
    with pytest.raises(UserError, match="is larger than 0 MiB"):
        files.read_bytes(str(tmp_path / "large"), at_most=10)


@needs_beam
@pytest.mark.parametrize(
    ("patterns", "folder"),
    [
        (["photos/*.jpg"], "photos"),
        (["/a/b/**", "/a/b/c/d.png"], "/a/b"),
        (["gs://x/y/*", "gs://x/z/*"], "gs://x"),
        (["*.jpg"], ""),
        (["a/b*/c.png"], "a"),
        (["/*.jpg", "/x/y.jpg"], ""),
    ],
)
def test_the_folder_that_patterns_share(patterns, folder):
    assert files.fixed_folder(patterns) == folder


def line(tiny_export, **changed):
    options = {"input": "*.png", "exemplar": "a.png", "attributes": "Smiling", "export": str(tiny_export), "out": "out"}
    options |= changed
    return [word for name, value in options.items() for word in (f"--{name}", *shlex.split(value))]


MISTAKES = {
    "no files": ({"input": "nothing/*.png"}, "--input=nothing/*.png: no such files"),
    "a folder": ({"input": "folder"}, "--input=folder: is a folder; expected images, as in 'folder/*'"),
    "exemplar": ({"exemplar": "none.png"}, "none.png: cannot be read: No such file or directory"),
    "bad exemplar": ({"exemplar": "x.txt"}, "x.txt: is not an image in a known format"),
    "attribute": ({"attributes": "Smilling"}, "did you mean Smiling?"),
    "exemplars": ({"exemplar": "a.png a.png"}, "2 exemplars for 1 attributes"),
    "export": ({"export": "folder"}, "--export=folder: holds no SavedModel"),
    "other model": ({"export": "other"}, "`elegant-tf export` did not write it"),
    "old export": ({"export": "old"}, "an older version wrote it, without 'export' in its metadata"),
    "out": ({"out": "x.txt/out"}, "cannot be written"),
    "misspelt": ({"strenght": "0.5"}, "--strenght: no such option: did you mean --strength?"),
    "misspelt option of Beam": ({"direct_num_worker": "2"}, "did you mean --direct_num_workers?"),
    "stray": ({"runner": "DirectRunner stray"}, "stray: is neither an option nor the value of one"),
    "catalogue": ({"exemplar": "styles.npz:c"}, "styles.npz: has no exemplar 'c'"),
    "batch size": ({"batch_size": "0"}, "--batch_size=0"),
    "runner": ({"runner": "NoRunner"}, "Apache Beam refuses its options: Unexpected pipeline runner: NoRunner"),
    "seed": ({"seed": "1"}, "is the seed of --random"),
}


@pytest.fixture
def place(tmp_path, tiny_export, tiny_editor, monkeypatch):
    """A working folder with what the mistakes name."""
    monkeypatch.chdir(tmp_path)
    write_image("a.png", FACES[0])
    Path("folder").mkdir()
    Path("x.txt").write_text("x")
    tiny_editor.make_catalogue(FACES[2:], ["a", "b"]).write("styles.npz")
    metadata = json.loads((tiny_export / "assets/metadata.json").read_text())
    for name, without in {"other": metadata, "old": {"export"}}.items():
        Path(name, "assets").mkdir(parents=True)
        Path(name, "saved_model.pb").touch()
        kept = {key: value for key, value in metadata.items() if key not in without}
        Path(name, "assets/metadata.json").write_text(json.dumps(kept) if name == "old" else "[]")
    return tmp_path


@needs_beam
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake, place, tiny_export, capsys):
    changed, text = MISTAKES[mistake]
    status = main(line(tiny_export, **changed))
    printed = capsys.readouterr().err
    assert status == 2
    assert printed.startswith("error: ")
    assert text in printed
    assert not Path("out").exists()


@needs_beam
def test_the_command_edits(loaded, place, tiny_export, capsys):
    Path("bad.png").touch()
    Path(os.fsdecode(b"b\x80.png")).touch()
    arguments = line(tiny_export, exemplar="styles.npz:b", input="a.png 'b*.png'", strength="0.5")
    assert main([*arguments, "--direct_num_workers=1"]) == 0
    assert capsys.readouterr().out == "out: 1 edited, 2 dead letters\n"
    written = contents(Path("out"))
    assert set(written) == {"a.png", "dead_letters.jsonl"}
    assert {"name": "./b\\udc80.png", "reason": "its name is not UTF-8: rename it"} in map(
        json.loads, written["dead_letters.jsonl"].splitlines()
    )
    assert read_mark("out/a.png").receipts[0].strength == (0.5,)


@needs_beam
@pytest.mark.slow
def test_several_processes(loaded, photos, exemplar, tiny_export, tmp_path, capsys):
    for index in range(12):
        write_image(tmp_path / f"more/{index}.png", np.roll(FACES[index % 4], index, axis=1))
    arguments = ["--input", f"{photos}/**", f"{tmp_path}/more/*.png", "--exemplar", str(exemplar), "--root", "/"]
    arguments += ["--attributes", "Eyeglasses,Smiling", "--export", str(tiny_export), "--runner=FnApiRunner"]
    several = ["--direct_num_workers=2", "--direct_running_mode=multi_processing", "--out", str(tmp_path / "several")]
    done = commands.run(["-m", "elegant_tf.beam", *arguments, *several])
    assert done.returncode == 0, done.stderr
    assert main([*arguments, "--batch_size=5", "--out", str(tmp_path / "one")]) == 0
    found = {}
    for out, printed in {"several": done.stdout, "one": capsys.readouterr().out}.items():
        assert printed == f"{tmp_path / out}: {len(GOOD) + 12} edited, {len(BAD)} dead letters\n"
        found[out] = contents(tmp_path / out)
        letters = map(json.loads, found[out].pop("dead_letters.jsonl").splitlines())
        assert sorted(one["name"] for one in letters) == sorted(str(photos / name) for name in BAD)
    assert len(found["several"]) == len(GOOD) + 12
    assert found["several"] == found["one"]


def test_without_apache_beam_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match=r"pip install 'elegant-tf\[beam\]'"):
        _ = elegant_tf.beam.EditImages
    arguments = ["--input=x", "--exemplar=x", "--attributes=x", "--export=x", "--out=x"]
    assert main(arguments) == 2
    assert "pip install 'elegant-tf[beam]'" in capsys.readouterr().err


def test_the_package_does_not_load_apache_beam():
    program = "import sys, elegant_tf.beam.__main__, elegant_tf.cli.main; print('apache_beam' in sys.modules)"
    done = commands.run(["-c", program])
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_the_documentation_shows_right_options():
    text = (commands.ROOT / "docs/beam.md").read_text("utf-8").replace("\\\n", " ")
    lines = re.findall(r"^python -m elegant_tf\.beam (.*)$", text, re.MULTILINE)
    assert len(lines) > 2
    for one in lines:
        make_parser().parse_known_args(shlex.split(one))
