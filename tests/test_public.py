from __future__ import annotations

import commands
import pytest

import elegant_tf


def test_every_public_name_is_there():
    for name in elegant_tf.__all__:
        assert getattr(elegant_tf, name) is not None
        assert name in dir(elegant_tf)
    from elegant_tf.editor import Editor

    assert elegant_tf.Editor is Editor


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Editr'"):
        elegant_tf.Editr  # noqa: B018


@pytest.mark.parametrize(
    "code",
    [
        "import elegant_tf; elegant_tf.UserError; elegant_tf.preset('demo')",
        "from elegant_tf.cli.main import main; main(['faces', '--out', {out!r}, '--count', '1'])",
        "from elegant_tf.cli.main import main; assert main(['evaluate', '--run', {out!r}]) == 2",
    ],
)
def test_tensorflow_is_not_imported_without_need(code, tmp_path):
    code = code.format(out=str(tmp_path / "out")) + "; import sys; assert 'tensorflow' not in sys.modules"
    done = commands.run(["-c", code])
    assert done.returncode == 0, done.stderr
