"""Paths that a user gives: every one of them passes through `any_path`, or `local_path` where it must be local."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

from elegant_tf.errors import UserError
from elegant_tf.remote import absolute, as_path, is_remote, known_schemes, scheme_of

# gs://bucket/x, or host:/x; pathlib makes gs:/bucket/x of the first. One letter is a drive.
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# What TensorFlow takes for a pattern when it looks for objects, or for the files of a SavedModel, and what it cannot
# encode: bytes that are not UTF-8.
_NOT_LOADABLE = re.compile(r"[*?\[\\\udc80-\udcff]")


def any_path(path: str | os.PathLike[str], flag: str = "") -> str:
    """A path as the user means it, here or on an object store: `gs://bucket/x`.

    Local paths are those of `local_path`; `file:///x` is `/x`. Of others, slashes at the end are dropped.

    Args:
        path, flag: as in `local_path`.

    Raises:
        UserError: as `local_path` does; or nothing here can open paths of this scheme, which is named.
    """
    text = os.fspath(path)
    scheme = scheme_of(text)
    if scheme == "file" and not text[len("file://") :].startswith("/"):
        raise _refused(text, flag, "must be a path on this machine, as file:///PATH")
    if scheme == "file":
        return local_path(text[len("file://") :], flag)
    if not scheme:
        return local_path(path, flag)
    if scheme not in known_schemes():
        raise _refused(text, flag, _unknown(scheme))
    if _CONTROL.search(text) or _NOT_LOADABLE.search(text):
        raise _refused(
            ascii(text), flag, "must be a path without control characters, *, ?, [ and backslashes, in UTF-8"
        )
    bucket, *below = [part for part in text.partition("://")[2].split("/") if part] or [""]
    if not bucket or {".", ".."} & {bucket, *below}:
        raise _refused(text, flag, f"must be {scheme}://BUCKET/PATH, without . and ..")
    return f"{scheme}://{'/'.join([bucket, *below])}"


def local_path(path: str | os.PathLike[str], flag: str = "") -> str:
    """A path on this machine as the user means it.

    `~` and `~user` at its beginning become home directories, and slashes at its end are dropped. A path that does not
    exist becomes its other Unicode form, composed or decomposed, if that exists: the two look the same.

    Args:
        path: as given.
        flag: the flag that it was given to, without dashes, for the text of errors; empty: none.

    Raises:
        UserError: it is empty, holds control characters, is on another machine, or names a user who does not exist.
    """
    text = os.fspath(path)
    if not text.strip():
        raise _refused(text, flag, "must be a path; it is empty")
    if _CONTROL.search(text):
        raise _refused(ascii(text), flag, "must be a path without line breaks, null bytes and other control characters")
    if is_remote(text):
        where = f"on this machine, not on {scheme_of(text)}://"
        raise _refused(text, flag, f"must be a path {where}: mount the remote directory, or copy it here")
    if _REMOTE.match(text):
        raise _refused(text, flag, "must be a path on this machine: mount the remote directory, or copy it here")
    local = os.path.expanduser(text)
    if local.startswith("~"):
        user = text.partition("/")[0].removeprefix("~")
        raise _refused(text, flag, f"there is no user {user!r} here; for a file of this name, write ./{text}")
    return _existing_form(local.rstrip("/") or "/")


def find_beside(file: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """`file` as given if it exists, otherwise inside `folder` if it exists there."""
    given, inside = as_path(file), as_path(folder) / file
    if is_remote(given):
        return given
    return inside if not given.exists() and inside.exists() else given


def check_new_directory(path: str | os.PathLike[str], flag: str = "out") -> None:
    """Raises UserError unless nothing is at `path`, or an empty directory that is not the current one."""
    given = as_path(path)
    if not (is_remote(given) and given.exists()) and not os.path.lexists(path):
        return
    if not given.is_dir() or any(given.iterdir()):
        raise _refused(os.fspath(path), flag, "exists already: choose a new or an empty directory")
    if not is_remote(given) and os.path.samefile(path, os.curdir):
        # A finished directory takes the place of the empty one, which the user's shell would still be in.
        raise _refused(os.fspath(path), flag, "is the current directory: choose a new one inside it")


def check_loadable(path: str | os.PathLike[str], flag: str = "out") -> None:
    """Raises UserError if TensorFlow could not load a SavedModel from `path`."""
    found = _NOT_LOADABLE.findall(os.fspath(absolute(path)))
    if found:
        listed = " ".join(dict.fromkeys(one if one.isascii() else "bytes that are not UTF-8" for one in found))
        raise _refused(
            os.fspath(path), flag, f"TensorFlow loads no SavedModel from a path with {listed}; choose another directory"
        )


def _unknown(scheme: str) -> str:
    known = " or ".join(f"{one}://" for one in known_schemes())
    where = f"on this machine, {known}; nothing here opens {scheme}://"
    return f"must be a path {where}: mount the remote directory, or copy it here"


def _existing_form(path: str) -> str:
    if path.isascii():
        return path
    forms = (path, *(unicodedata.normalize(form, path) for form in ("NFC", "NFD")))
    return next((form for form in forms if os.path.lexists(form)), path)


def _refused(path: str, flag: str, reason: str) -> UserError:
    return UserError(f"--{flag}={path}: {reason}" if flag else f"{path or repr(path)}: {reason}")
