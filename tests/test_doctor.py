"""The doctor's findings: each problem of images and labels on its own."""

from __future__ import annotations

import json

import dirty
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from elegant_tf.cli.main import main
from elegant_tf.config import DataConfig
from elegant_tf.data.celeba_layout import open_celeba
from elegant_tf.data.doctor import examine, with_pipeline_speed, with_refusal
from elegant_tf.data.pairs import BadImages, pair_dataset
from elegant_tf.data.sampler import PairSampler
from elegant_tf.data.table_folder import open_table_folder
from elegant_tf.errors import UserError
from elegant_tf.sources import open_collection, open_source
from elegant_tf.synthetic import write_celeba

COUNT = 24


@pytest.fixture
def folder(tmp_path):
    """24 different images and two uncorrelated attributes, in a folder with a table."""
    root = tmp_path / "pets, mine"
    root.mkdir()
    random = np.random.default_rng(0)
    for number in range(COUNT):
        Image.fromarray(random.integers(0, 256, (48, 40, 3), np.uint8)).save(root / f"{number}.png")
    write_table(root)
    return root


def write_table(root, files=None, labels=None):
    files = [f"{number}.png" for number in range(COUNT)] if files is None else files
    labels = [(number % 2, number // 2 % 2) for number in range(len(files))] if labels is None else labels
    rows = [f'"{file}",{first},{second}' for file, (first, second) in zip(files, labels, strict=True)]
    (root / "labels.csv").write_text("\n".join(["file,Collar,Tongue", *rows]) + "\n", "utf-8")


def look(root, **options):
    return examine(open_table_folder(root), image_size=32, batch_size=8, **options)


def kinds(diagnosis):
    return {finding.kind for finding in diagnosis.findings}


def test_a_healthy_folder(folder):
    diagnosis = look(folder)
    assert diagnosis.healthy
    assert not diagnosis.findings
    assert diagnosis.sizes == {"40x48": COUNT}
    assert diagnosis.attributes == {"Collar": 12, "Tongue": 12}
    assert diagnosis.speed["disk, megabytes"] > 0
    assert "nothing is wrong" in str(diagnosis)


def test_every_unreadable_image_is_named(tmp_path):
    root = tmp_path / "dirty"
    good, bad = dirty.write(root)
    write_table(root, [*good, *bad])
    diagnosis = look(root)
    texts = [finding.text for finding in diagnosis.findings if finding.kind == "unreadable"]
    assert not diagnosis.healthy
    assert f"{len(bad)} images cannot be read" in texts
    assert "too many bad images" in next(finding.text for finding in diagnosis.findings if finding.kind == "training")
    for name in bad:
        assert sum(f"/{name}:" in text for text in texts) == 1, name
    assert not any(f"/{name}:" in text for text in texts for name in good)


def test_the_same_image_twice(folder):
    (folder / "7.png").write_bytes((folder / "3.png").read_bytes())  # both 1, 1
    diagnosis = look(folder)
    assert diagnosis.healthy
    assert [finding.text for finding in diagnosis.findings] == ["the same image: 3.png = 7.png"]


def test_the_same_pixels_in_another_format_with_different_labels(folder):
    with Image.open(folder / "3.png") as image:
        image.save(folder / "4.png", "BMP")
    diagnosis = look(folder)
    assert not diagnosis.healthy
    assert [finding.text for finding in diagnosis.findings] == ["the same image with different labels: 3.png = 4.png"]


def test_labels_without_images_and_images_without_labels(folder):
    (folder / "5.png").rename(folder / "new.png")
    diagnosis = look(folder)
    assert not diagnosis.healthy
    assert kinds(diagnosis) == {"missing", "unlabelled"}
    assert "5.png" in str(diagnosis)
    assert "new.png" in str(diagnosis)
    assert diagnosis.looked_at == COUNT - 1


def test_black_and_small_images(folder):
    for number in range(3):
        image = np.full((40, 20, 3), number + 200, np.uint8)
        image[:20] = 0
        Image.fromarray(image).save(folder / f"{number}.png")
    diagnosis = look(folder)
    assert not diagnosis.healthy  # 3 of 24 are black
    assert kinds(diagnosis) == {"black", "small"}


def test_few_examples_and_correlated_attributes(folder):
    write_table(folder, labels=[(int(number < 4), int(number < 5)) for number in range(COUNT)])
    diagnosis = look(folder)
    assert diagnosis.healthy
    assert kinds(diagnosis) == {"few", "correlation"}
    assert "4 images with Collar" in str(diagnosis)
    # All with a collar have their tongue out; of those without a collar, one in 20 has.
    text = "Collar and Tongue are correlated (+0.87): editing Collar will change Tongue, "
    text += "in which its pairs differ by +0.95; with --match_attributes=all +0.00"
    assert text in str(diagnosis)
    assert diagnosis.correlation[0][1] == pytest.approx(76 / 7600**0.5)  # (24 * 4 - 4 * 5) / sqrt(4 * 20 * 5 * 19)


def test_a_chosen_attribute_that_nobody_has(folder):
    write_table(folder, labels=[(0, number % 2) for number in range(COUNT)])
    assert not look(folder, attributes=["Collar"]).healthy
    assert look(folder, attributes=["Tongue"]).healthy
    with pytest.raises(UserError, match="Colar"):
        look(folder, attributes=["Colar"])


def test_landmarks_of_another_variant(tmp_path):
    out = tmp_path / "celeba"
    write_celeba(out, 20, 64, 0, counterfactuals=0)
    collection = open_celeba(out)
    assert "landmarks" not in kinds(examine(collection, image_size=32))
    path = out / "list_landmarks_align_celeba.txt"
    count, names, *rows = path.read_text().splitlines()
    file, *numbers = rows[3].split()
    rows[3] = " ".join([file, *(str(int(number) + 300) for number in numbers)])
    path.write_text("\n".join([count, names, *rows]) + "\n")
    diagnosis = examine(open_celeba(out), image_size=32)
    assert not diagnosis.healthy
    assert "landmarks of 1 images lie outside them (000004.jpg)" in str(diagnosis)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda points: points[:, [1, 0, 2, 4, 3]], "have left and right exchanged"),
        (lambda points: points / 64, "are divided by the size"),
        (lambda points: points[..., ::-1], "have x and y exchanged"),
    ],
)
def test_landmarks_in_another_convention(tmp_path, change, expected):
    write_celeba(tmp_path / "celeba", 10, 64, 0, counterfactuals=0)
    collection = open_celeba(tmp_path / "celeba")
    object.__setattr__(collection, "landmarks", change(collection.landmarks))
    diagnosis = examine(collection, image_size=32)
    assert not diagnosis.healthy
    assert expected in str(diagnosis)


def test_odd_landmarks_of_one_image_and_landmarks_that_cannot_be_read(tmp_path):
    write_celeba(tmp_path / "celeba", 10, 64, 0, counterfactuals=0)
    collection = open_celeba(tmp_path / "celeba")
    collection.landmarks[3] = collection.landmarks[3, [1, 0, 2, 4, 3]]
    collection.landmarks[5] = np.nan
    text = str(examine(collection, image_size=32))
    assert "1 images have odd landmarks (000004.jpg): " in text
    assert "1 images have no landmarks (000006.jpg)" in text
    path = tmp_path / "celeba" / "list_landmarks_align_celeba.txt"
    path.write_text(path.read_text().replace("nose_x", "chin_x"))
    diagnosis = examine(open_celeba(tmp_path / "celeba"), image_size=32)
    assert diagnosis.healthy
    assert "no landmarks: " in str(diagnosis)


def test_a_jpeg_without_its_end_is_mentioned(folder):
    with Image.open(folder / "3.png") as image:
        image.save(folder / "3.png", "JPEG")
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:-2])
    diagnosis = look(folder)
    assert diagnosis.healthy
    assert kinds(diagnosis) == {"cut"}


def test_images_under_other_names_and_columns_of_typing_errors_are_mentioned(folder):
    write_table(folder, [f"{number}.jpg" for number in range(COUNT)])
    path = folder / "labels.csv"
    path.write_text(path.read_text().replace('3.jpg",1', '3.jpg",l', 1))
    diagnosis = look(folder)
    assert diagnosis.healthy
    assert f"{COUNT} images have other names" in str(diagnosis)
    assert "line 5: Collar is 'l'" in str(diagnosis)
    assert kinds(look(folder, attributes=["Tongue"])) == {"renamed"}


def test_images_of_a_kind_that_is_not_read(folder):
    (folder / "5.png").rename(folder / "5.heic")
    (folder / "5.heic").write_bytes(b"\0\0\0\x18ftypheic")
    diagnosis = look(folder)
    assert kinds(diagnosis) == {"unreadable"}
    assert "are there, but in a format that is not read (5.heic)" in str(diagnosis)
    assert not diagnosis.healthy


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Six different images."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(random.integers(50, 256, (32, 32, 3), np.uint8)).save(root / f"{number}.png")
    return root


NAMES = [f"{number}.png" for number in range(6)]
DIALECTS = st.sampled_from([("0", "1"), ("-1", "1"), ("0.0", "1.0"), ("no", "YES"), ("0", "2"), ("", "1")])
SPLITS = st.sampled_from([("train", "train"), ("test", "train"), ("0", "val"), ("exam", "train")])
HEADERS = ("file,Hat,Cap,Split", "FILE,Hat,Cap,other", "image,Hat,,Partition", "file,Hat,Hat,split")
bits = st.lists(st.booleans(), min_size=6, max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    columns=st.tuples(bits, bits, bits),
    kinds=st.tuples(DIALECTS, DIALECTS, SPLITS),
    header=st.sampled_from(HEADERS),
    files=st.sampled_from([NAMES, NAMES, [name[0] for name in NAMES], [*NAMES[:5], "6.png"], [*NAMES[:5], "4.png"]]),
    bad=st.sampled_from([(), (), (1,), (0, 3)]),
)
def test_it_agrees_with_training(images, columns, kinds, header, files, bad):
    """About tables of any content: healthy if and only if training finds pairs of readable images."""
    words = [[kind[bit] for bit in column] for kind, column in zip(kinds, columns, strict=True)]
    table = "\n".join([header, *map(",".join, zip(files, *words, strict=True))])
    (images / "labels.csv").write_text(table + "\n")
    for number in range(6):
        path, aside = images / f"{number}.png", images / f"{number}.aside"
        if number in bad and not aside.exists():
            path.rename(aside)
            path.write_text("no image")
        elif number not in bad and aside.exists():
            aside.replace(path)
    assert _is_healthy(images) == _trains(images)


def _is_healthy(root):
    try:
        return examine(open_collection("folder", root), ["Hat"], image_size=32, batch_size=2).healthy
    except UserError:
        return False


def _trains(root):
    """Draws pairs, and loads every image of the pools as training does."""
    try:
        source = open_source(DataConfig(kind="folder", data_dir=str(root)), ["Hat"], 32)
        sampler = PairSampler(source.labels, 2, "mixed", seed=0)
        bad_images = BadImages(len(source.labels))
        batches = iter(pair_dataset(source, sampler, bad_images=bad_images, parallel=1))
        for _ in range(2 * len(source.labels)):
            next(batches)
    except (UserError, tf.errors.OpError):
        return False
    return True


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (
            "file,Collar,split\n" + "".join(f"{n}.png,{n % 2},test\n" for n in range(COUNT)),
            "no image in the train split",
        ),
        ("file,Collar\n" + "".join(f"{n}.png,1\n" for n in range(COUNT)), "no image without Collar among 24"),
    ],
)
def test_what_training_says(folder, capsys, labels, expected):
    (folder / "labels.csv").write_text(labels)
    words = ["doctor", "--data", "folder", "--data_dir", str(folder), "--image_size", "32", "--batch_size", "8"]
    assert main([*words, "--attributes", "Collar"]) == 1
    out = capsys.readouterr().out
    assert out.count(expected) == 1
    assert "nothing is wrong" not in out
    with pytest.raises(UserError) as error:
        open_source(DataConfig(kind="folder", data_dir=str(folder)), ["Collar"], 32)
    assert f"error: {error.value}" in out


def test_a_refusal_is_added_once(folder):
    refused = with_refusal(look(folder), "no")
    assert not refused.healthy
    assert with_refusal(refused, "not again") == refused


def test_reading_some_only(folder):
    assert look(folder, most=5).looked_at == 5
    assert look(folder, most=1000).looked_at == COUNT


def test_a_pipeline_too_slow(folder):
    diagnosis = look(folder)
    assert with_pipeline_speed(diagnosis, 100.0, 50.0).healthy
    slow = with_pipeline_speed(diagnosis, 100.0, 200.0)
    assert not slow.healthy
    assert slow.speed["pipeline, images"] == 100.0


def test_command(folder, tmp_path, capsys):
    heat_map = tmp_path / "heat.png"
    words = ["doctor", "--data", "folder", "--data_dir", str(folder), "--image_size", "32", "--batch_size", "8"]
    assert main([*words, "--json", "--heat_map", str(heat_map)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["healthy"] is True
    assert printed["speed"]["pipeline, images"] > 0
    with Image.open(heat_map) as image:
        assert image.format == "PNG"
    (folder / "3.png").write_text("<html>")
    (folder / "4.png").write_text("<html>")
    assert main(words) == 1
    assert "error: too many bad images" in capsys.readouterr().out
    assert main([*words, "--needed", "1e9"]) == 1
    assert main([*words, "--batch_size", "0"]) == 2
    assert "--batch_size=0" in capsys.readouterr().err
