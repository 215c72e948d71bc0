from __future__ import annotations

import pytest

from elegant_tf.errors import UserError


def test_is_an_ordinary_value_error_whose_text_is_all_there_is():
    with pytest.raises(ValueError, match=r"^--width=0: must be 1 or more$"):
        raise UserError("--width=0: must be 1 or more")
