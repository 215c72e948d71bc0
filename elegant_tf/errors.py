"""The error that a user's mistake becomes."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user can put right; its text names the flag or file, what was received and the cure.

    The commands print the text alone and exit with status 2; in Python it is an ordinary `ValueError`.
    """


USER_ERROR_STATUS = 2
"""Exit status of a command that a UserError ends."""
