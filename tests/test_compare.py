"""Two models on the same edits: what is compared, how sure it is, and when the new one is beyond its limits."""

from __future__ import annotations

import functools
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import tiny

from elegant_tf.errors import UserError
from elegant_tf.evaluation import compare as module
from elegant_tf.evaluation import shares
from elegant_tf.evaluation.compare import LIMITS, Limit, compare
from elegant_tf.evaluation.counterfactuals import draw_counterfactuals
from elegant_tf.evaluation.edits import edit_all
from elegant_tf.evaluation.metrics.scores import mean_score, scorecard
from elegant_tf.evaluation.paired import difference
from elegant_tf.evaluation.shares import Shares, people_in
from elegant_tf.scoring import Sums, mean_over_kinds
from elegant_tf.synthetic import write_celeba

NAN = float("nan")


def random_shares(random, count):
    whole = random.uniform(1, 3, count)
    return Shares(random.normal(0.5, 0.2, count) * whole, whole)


def test_a_mean_weighs_pixels_within_a_kind_and_kinds_alike():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (3, 12, 4, 4, 3)).astype(np.uint8)
    kind = np.repeat([0, 2, 7], [6, 4, 2])
    sums = Sums.of(*images)
    realised, _ = mean_over_kinds(sums, kind)
    once = np.ones(12, int)
    assert Shares(sums.wanted - sums.missing, sums.wanted).mean(kind, once) == pytest.approx(realised)
    assert Shares.of(np.arange(12)).mean(kind, once) == pytest.approx((2.5 + 7.5 + 10.5) / 3)
    assert Shares.of(np.arange(12)).mean(kind, np.eye(12, dtype=int)[4]) == 4.0
    assert np.isnan(Shares(np.zeros(12), np.zeros(12)).mean(kind, once))


def test_the_interval_is_of_the_difference_and_not_of_the_models():
    random = np.random.default_rng(0)
    old, kind, person = random_shares(random, 200), np.zeros(200, int), np.arange(200)
    new = Shares(old.part + 0.1 * old.whole, old.whole)
    found = difference(old, new, kind, person)
    assert found.change == pytest.approx(0.1)
    assert found.interval == pytest.approx((0.1, 0.1))
    other = difference(old, random_shares(random, 200), kind, person)
    assert 0.02 < other.interval[1] - other.interval[0] < 0.2
    assert other.interval[0] < other.change < other.interval[1]


def test_edits_of_one_person_are_drawn_together():
    random = np.random.default_rng(1)
    old, new, kind = random_shares(random, 40), random_shares(random, 40), np.arange(40) % 2

    def four_times(shares):
        return Shares(np.tile(shares.part, 4), np.tile(shares.whole, 4))

    alone = difference(old, new, kind, np.arange(40))
    together = difference(four_times(old), four_times(new), np.tile(kind, 4), np.tile(np.arange(40), 4))
    apart = difference(four_times(old), four_times(new), np.tile(kind, 4), np.arange(160))
    assert together.interval == pytest.approx(alone.interval)
    assert apart.interval[1] - apart.interval[0] < 0.7 * (alone.interval[1] - alone.interval[0])
    assert np.isnan(difference(old, new, kind, np.full(40, 3)).interval).all()


def test_people_are_told_by_their_images():
    images = np.arange(3, dtype=np.uint8)[[0, 1, 0, 2, 1]].reshape(5, 1, 1, 1)
    assert people_in(images).tolist() == [0, 1, 0, 2, 1]


@pytest.mark.parametrize(
    ("limit", "within", "beyond"),
    [
        (Limit(-0.02, "fall"), [-0.02, 0.0, 5.0], [-0.021, NAN]),
        (Limit(0.05, "fall"), [0.05], [0.0]),
        (Limit(0.5, "rise"), [0.5, -3.0], [0.6, NAN]),
        (Limit(1.0, "move"), [1.0, -1.0], [1.1, -1.1, NAN]),
    ],
)
def test_limits(limit, within, beyond):
    assert all(map(limit.allows, within))
    assert not any(map(limit.allows, beyond))


class Blend:
    """A model that moves images by a share towards their exemplars, and those of some attributes not at all."""

    def __init__(self, share, path, idle=(), attributes=tiny.ATTRIBUTES, **options):
        self.share, self.path, self.idle, self.attributes = share, path, idle, attributes
        self.config = tiny.config(attributes=attributes, **options)
        self.image_size, self.step, self.metadata = self.config.model.image_size, 4, {"model_sha256": "0" * 64}

    def edit(self, images, exemplars, coefficients):
        moves = [name not in self.idle for name in self.attributes]
        share = self.share * (coefficients[:, 0] * moves).sum(axis=1)[:, None, None, None]
        return np.rint((1 - share) * images + share * exemplars[:, 0]).astype(np.uint8)


@pytest.fixture
def blends(tmp_path, monkeypatch):
    """Compares models of the fields given for each."""
    monkeypatch.setattr(module, "RECONSTRUCTED", 9)
    monkeypatch.setattr(shares, "confidence_interval", functools.partial(shares.confidence_interval, draws=50))
    models = {}
    monkeypatch.setattr(module, "open_model", lambda path: models[path])

    def compared(old, new, **options):
        for name, fields in (("old", old), ("new", new)):
            (tmp_path / name).touch()
            models[str(tmp_path / name)] = Blend(path=tmp_path / name, **fields)
        return compare(tmp_path / "old", tmp_path / "new", **{"count": 3, **options})

    return compared


def test_the_same_edits_go_through_both_and_the_means_are_those_of_an_evaluation(tiny_run, tiny_editor, tiny_export):
    found = compare(tiny_run, tiny_export, count=2)
    assert (found.count, found.people) == (18, 18)
    edits = draw_counterfactuals(0, ("Eyeglasses", "Bangs", "Smiling"), 32, 2)
    mean = mean_score(scorecard(edits, edit_all(tiny_editor, edits)))
    for name in ("realised", "leak", "psnr", "ssim"):
        assert found.means[name].old == pytest.approx(getattr(mean, name), rel=1e-5)
        assert abs(found.means[name].change) < 0.02
    assert found.old.model_sha256 == found.new.model_sha256
    assert found.old.step == found.new.step == 4
    assert [(kind.attribute, kind.direction, kind.count) for kind in found.kinds] == [
        (name, direction, 2) for name in edits.attributes for direction in ("add", "remove", "restyle")
    ]
    assert not found.beyond
    assert str(found).endswith("within the limits")


def test_a_change_beyond_a_limit_is_named(blends):
    found = blends({"share": 0.1}, {"share": 0.3})
    realised, leak = found.means["realised"], found.means["leak"]
    assert leak.new == pytest.approx(3 * leak.old, rel=0.1)
    assert leak.interval[0] < leak.change < leak.interval[1]
    assert found.means["reconstruction_psnr"].new == 100.0
    named = {text.split()[0]: text for text in found.beyond}
    assert set(named) == {"realised", "leak"}
    sentence = named["leak"]
    assert sentence.startswith(f"leak changed by {leak.change:+.2f}, from {leak.old:.2f} to {leak.new:.2f}, 95 % ")
    assert sentence.endswith("; the limit is ≤ 0.5 (--leak)")
    assert f"beyond the limits: {sentence}" in str(found)
    limits = {"leak": leak.change + 0.01, "realised": realised.change - 0.01}
    assert not blends({"share": 0.1}, {"share": 0.3}, limits=limits).beyond


def test_strict_limits_hold_for_the_whole_interval(blends):
    models = {"share": 0.1}, {"share": 0.3}
    leak = blends(*models).means["leak"]
    limits = {"leak": (leak.change + leak.interval[1]) / 2, "realised": -100.0, "reconstruction_psnr": 0.0}
    assert not blends(*models, limits=limits).beyond
    (sentence,) = blends(*models, limits=limits, strict=True).beyond
    assert sentence.startswith("leak ")
    assert sentence.endswith("for the whole interval (--strict) (--leak)")


def test_attributes_that_one_model_lacks(blends):
    old = {"share": 0.2, "attributes": ("Bangs", "Smiling", "Eyeglasses"), "idle": ("Bangs",)}
    new = {"share": 0.2, "attributes": ("Eyeglasses", "Mustache", "Smiling"), "idle": ("Mustache",)}
    found = blends(old, new)
    assert {kind.attribute for kind in found.kinds} == {"Eyeglasses", "Smiling"}
    assert all(difference.change == 0 for difference in found.means.values())
    assert found.beyond == ["the new model lacks Bangs, which the old one knows (--attributes names those that matter)"]
    assert "not compared, since only the old model knows them: Bangs" in found.notes
    assert "not compared, since only the new model knows them: Mustache" in found.notes
    assert "in the order Eyeglasses, Mustache, Smiling" in found.notes[-1]
    found = blends(old, new, attributes=["Smiling"])
    assert {kind.attribute for kind in found.kinds} == {"Smiling"}
    assert not found.beyond
    with pytest.raises(UserError, match="--attributes: unknown attribute 'Bangs'"):
        blends(old, new, attributes=["Bangs"])
    with pytest.raises(UserError, match="--old edits Eyeglasses, Smiling, and --new Bangs: no attribute"):
        blends({"share": 0.1}, {"share": 0.1, "attributes": ("Bangs",)})


def test_each_model_edits_images_of_its_own_size(blends):
    found = blends({"share": 0.2}, {"share": 0.2, "image_size": 64})
    assert (found.old.image_size, found.new.image_size) == (32, 64)
    assert found.means["leak"].change == pytest.approx(0, abs=0.02 * found.means["leak"].old)
    assert found.means["realised"].change == pytest.approx(0, abs=0.01)
    assert found.notes == ["each model edits images of its own size; measured at the smaller one"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "data"
    write_celeba(folder, count=120, image_size=32, seed=6, counterfactuals=0)
    shutil.rmtree(folder / "counterfactuals")
    return {"data": "celeba", "data_dir": str(folder)}


def test_without_targets_it_counts_how_far_images_move(blends, photos):
    found = blends({"share": 0.2, **photos}, {"share": 0.0, **photos})
    assert list(found.means) == ["moved", "reconstruction_psnr"]
    assert found.people < found.count
    (sentence,) = found.beyond
    assert sentence.startswith("moved changed by -")
    assert not blends({"share": 0.2, **photos}, {"share": 0.0, **photos}, limits={"moved": 50.0}).beyond
    with pytest.raises(UserError, match=r"--leak=0\.1: the data has no counterfactual targets; limit moved, recon"):
        blends({"share": 0.2, **photos}, {"share": 0.2, **photos}, limits={"leak": 0.1})
    with pytest.raises(UserError, match="--moved=2: the data has counterfactual targets; limit realised, leak, recon"):
        blends({"share": 0.2}, {"share": 0.2}, limits={"moved": 2.0})


def test_models_of_different_data_need_to_be_told_what_to_compare_on(blends, photos):
    models = {"share": 0.2}, {"share": 0.2, **photos}
    with pytest.raises(UserError, match=r"--old was trained on faces, and --new on celeba .*: name the data"):
        blends(*models)
    assert blends(*models, data="faces").evaluated_on == "faces"
    assert blends(*models, **photos).evaluated_on == photos["data_dir"]


def test_data_that_moved_are_asked_for(blends, photos):
    gone = {**photos, "data_dir": "gone"}
    with pytest.raises(UserError, match=r"gone: .*To compare on other data, or if they have moved, give --data"):
        blends({"share": 0.2, **gone}, {"share": 0.2, **gone})


def test_one_model_is_not_compared_with_itself(tiny_run):
    with pytest.raises(UserError, match=f"both are {tiny_run}; name two versions, as in DIR/VERSION"):
        compare(tiny_run, f"{tiny_run}/../{tiny_run.name}")
    with pytest.raises(UserError, match=r"--new=nowhere: .*nowhere"):
        compare(tiny_run, "nowhere")


def test_as_json_and_markdown(blends):
    found = blends({"share": 0.1}, {"share": 0.3}, count=1)
    values = json.loads(json.dumps(found.as_json(), allow_nan=False))
    leak = values["means"]["leak"]
    assert leak["change"] == pytest.approx(leak["new"] - leak["old"])
    assert len(leak["interval"]) == 2
    assert values["kinds"][0]["differences"]["leak"]["interval"] is None  # of one person
    assert values["limits"] == {name: LIMITS[name].change for name in ("realised", "leak")}
    assert values["beyond"] == list(found.beyond)
    assert values["new"]["step"] == 4
    lines = found.as_markdown().splitlines()
    assert lines[0] == "# Comparison of two models"
    assert sum(line.startswith("| leak |") for line in lines) == 1
    assert SimpleNamespace(**values).people == 6
