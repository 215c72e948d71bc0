"""The documentation: what it names exists, its examples run, its commands are valid, its links resolve."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import commands
import keras
import pytest
import tiny

import elegant_tf
from elegant_tf.cli.main import MODULES, main, make_parser
from elegant_tf.images import write_image
from elegant_tf.synthetic import make_face
from elegant_tf.training.trainer import Trainer

PACKAGE = commands.ROOT / "elegant_tf"
TESTS = commands.ROOT / "tests"
PAGES = sorted([*commands.ROOT.glob("*.md"), *(commands.ROOT / "docs").rglob("*.md")])
NOTES = sorted((commands.ROOT / "experiments").glob("*.md"))

MOST_CHARACTERS, MOST_IN_TABLES = 120, 200

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(commands.ROOT)))
each_text = pytest.mark.parametrize("page", [*PAGES, *NOTES], ids=lambda page: str(page.relative_to(commands.ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def columns(page: Path, heading: str) -> list[str]:
    """The cells under a heading, in every table that has it."""
    cells, place = [], None
    for line in page.read_text("utf-8").splitlines():
        row = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not row:
            place = None
        elif place is None:
            place = row.index(heading) if heading in row else len(row)
        elif place < len(row) and not set(row[place]) <= set("-: "):
            cells.append(row[place])
    return cells


def definitions(body: list[ast.stmt], prefix: str = "") -> set[str]:
    """The names that statements define: functions, classes with their members, and variables."""
    names = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                names |= definitions(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {prefix + target.id for target in targets if isinstance(target, ast.Name)}
    return names


def lacking(cell: str) -> list[str]:
    """What a cell such as "`file.py`: `name`, `Class.name`; `other.py`: `name`" names and is not there."""
    wrong = []
    for part in cell.split(";"):
        match = re.fullmatch(r"\s*`([\w/]+\.py)`: (`[\w.]+`(?:, `[\w.]+`)*)\s*", part)
        if match is None:
            wrong.append(part)
            continue
        file = PACKAGE / match[1]
        there = definitions(ast.parse(file.read_text("utf-8")).body) if file.is_file() else set()
        wrong += [f"{match[1]}: {name}" for name in re.findall(r"`([\w.]+)`", match[2]) if name not in there]
    return wrong


def test_fidelity_names_what_exists():
    cells = columns(commands.ROOT / "docs/fidelity.md", "in")
    assert len(cells) > 30
    assert [wrong for cell in cells for wrong in lacking(cell)] == []


def test_fidelity_names_tests_that_exist():
    cells = columns(commands.ROOT / "docs/fidelity.md", "tested by")
    assert len(cells) > 20
    files = [file for cell in cells for file in cell.split(", ")]
    assert [file for file in files if not (TESTS / file.strip("`")).is_file()] == []


@pytest.mark.parametrize(
    "cell",
    ["`model/latent.py`: `swop`", "`model/latin.py`: `exchange`", "`model/elegant.py`: `Elegant.encod`", "exchange"],
)
def test_a_wrong_name_is_found(cell):
    assert lacking("`model/latent.py`: `exchange`, `spread`; `model/elegant.py`: `Elegant.encode`") == []
    assert lacking(cell)


def test_the_example_of_own_losses_and_optimizers_runs(quick_training, tmp_path, monkeypatch):
    trainers = []

    def watched(*arguments, **options):
        trainers.append(Trainer(*arguments, **options))
        return trainers[-1]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(elegant_tf, "Trainer", watched)
    monkeypatch.setattr(elegant_tf, "preset", lambda name, **flags: tiny.config(**{**flags, **tiny.FIELDS}))
    (example,) = blocks(commands.ROOT / "docs/training.md", "python")
    exec(compile(example, "docs/training.md", "exec"), {})
    rows = [json.loads(line) for line in Path("runs/mine/metrics.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == tiny.FIELDS["steps"]
    assert all(row["total_variation"] > 0 for row in rows)
    terms = {term.name: term.weight for term in trainers[0].learner.generator_terms}
    expected = sum(rows[0][name] * weight for name, weight in terms.items())
    assert rows[0]["generator"] == pytest.approx(expected, rel=1e-5)
    assert isinstance(trainers[0].learner.generator_step.optimizer, keras.optimizers.Lion)


@each_page
def test_python_examples_are_python(page):
    for example in blocks(page, "python"):
        compile(example, page.name, "exec")


# Commands of other programs, which are not parsed. Any other name is a slip.
OTHERS = {
    "base64",
    "bash",
    "curl",
    "docker",
    "exiftool",
    "git",
    "mkdocs",
    "mypy",
    "nox",
    "openssl",
    "pre-commit",
    "pytest",
    "python",
    "python3",
}
OTHERS |= {"ruff", "tensorboard", "tensorflow_model_server", "twine"}

# Runs a text as bash does, but for its commands. Their words are recorded instead, with a unit separator after each and
# a record separator after the last; in one write, because the commands of a pipe run at the same time.
RECORD = """
command_not_found_handle() { printf -v words '%s\\x1f' "$@"; printf '%s\\x1e' "$words" >> "$record"; }
.() { :; }
PATH=/none
"""

# Reads command lines of `train.py`, as JSON, one after another; a wrong one ends it.
READ_TRAINING = """
import json, sys
from elegant_tf.cli.train import config_from_flags, define_flags
for arguments in json.loads(sys.argv[1]):
    values = define_flags()
    assert len(values(["train.py", *arguments])) == 1
    config_from_flags(values)
"""

# What a text may write for a user's own value, in inline code and in blocks, and a value of this kind.
PLACEHOLDERS = {"COMMAND": "swap", "N": "1", "SECONDS": "1", "HOST:PORT": "localhost:8500"}


def command_lines(text: str, folder: Path) -> list[list[str]]:
    """The words of every command that bash would start for a text: variables are filled in, quotes are gone."""
    record = folder / "commands"
    record.touch()
    done = subprocess.run(
        ["/bin/bash", "-c", RECORD + text], env={"record": str(record)}, cwd=folder, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, ""), text
    lines = [line.split("\x1f")[:-1] for line in record.read_text("utf-8").split("\x1e")[:-1]]
    record.unlink()
    return [[PLACEHOLDERS.get(word, word) for word in words] for words in lines]


def inline_commands(page: Path) -> list[str]:
    """Commands in the running text: `elegant-tf …` and `python …`."""
    found = re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(page))
    return [text.replace("\n", " ") for text in found if re.match(r"(\w+=\S+ )*(elegant-tf|python|pip) ", text)]


def every_command(page: Path, folder: Path) -> list[list[str]]:
    """The command lines of a page: its blocks as one script, and those in its text."""
    texts = ["\n".join(blocks(page, "bash")), *inline_commands(page)]
    return [words for text in texts for words in command_lines(text, folder)]


def parse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the program's own parser read a command line."""
    program, *arguments = words
    if program == "pip":
        extras = re.findall(r"\.\[([\w,]+)\]", " ".join(arguments))
        assert {extra for text in extras for extra in text.split(",")} <= extras_of_the_package(), words
    elif program == "elegant-tf" and len(arguments) > 1:
        make_parser(arguments[:1]).parse_args(arguments)
    elif program == "elegant-tf":
        assert arguments[0] in MODULES, words
    elif program == "python" and len(arguments) == 1:
        assert (commands.ROOT / arguments[0]).is_file(), words
    elif program == "python" and arguments[0] != "-m":
        parse_script(arguments[0], arguments[1:], monkeypatch)
    else:
        assert program in OTHERS, f"{program}: not a program that the documentation may use"


def extras_of_the_package() -> set[str]:
    section = (commands.ROOT / "pyproject.toml").read_text("utf-8").partition("[project.optional-dependencies]")[2]
    return set(re.findall(r"^(\w+) = ", section.partition("\n[")[0], re.MULTILINE))


def parse_script(script: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a script until it has read its arguments."""
    parse_args = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser, given: list[str] | None = None) -> None:
        parse_args(parser, arguments if given is None else given)
        raise SystemExit(0)

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
        patch.setattr(sys, "argv", [script, *arguments])
        patch.syspath_prepend((commands.ROOT / script).parent)
        runpy.run_path(str(commands.ROOT / script), run_name="__main__")


def is_training(words: list[str]) -> bool:
    return words[:2] in (["elegant-tf", "train"], ["python", "train.py"])


def status(words: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """With what a program ends that reads its arguments: 0 or None if they are right."""
    try:
        return parse(words, monkeypatch)
    except SystemExit as end:
        return end.code


@each_page
def test_the_programs_read_every_command(page, tmp_path, monkeypatch, capsys):
    for words in every_command(page, tmp_path):
        assert is_training(words) or not status(words, monkeypatch), f"{words}: {capsys.readouterr().err}"


@pytest.mark.parametrize("text", ["elegant-tf swap --run x --inptu y", "elegant-tf faces --out x --count many"])
def test_a_wrong_option_is_found(text, tmp_path, monkeypatch):
    assert status(*command_lines(text, tmp_path), monkeypatch) == 2


@pytest.mark.parametrize("text", ["elegant-tf swop", "elegent-tf faces --out x", "pip install '.[al]'"])
def test_a_wrong_name_of_a_program_or_extra_is_found(text, tmp_path, monkeypatch):
    with pytest.raises(AssertionError):
        parse(*command_lines(text, tmp_path), monkeypatch)


def test_commands_are_read_as_bash_reads_them(tmp_path):
    text = (
        "A='x y' B=z\n. .venv/bin/activate && elegant-tf swap $A \\\n  \"$A\" $B | python x.py; D=1 pip install '.[a]'"
    )
    found = command_lines(text, tmp_path)
    assert sorted(found) == [
        ["elegant-tf", "swap", "x", "y", "x y", "z"],
        ["pip", "install", ".[a]"],
        ["python", "x.py"],
    ]


def test_training_reads_every_command(tmp_path):
    for page in PAGES:
        for name, lines in re.findall(r"^```\n# (\S+\.flags)\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S):
            (tmp_path / name).write_text(lines, "utf-8")
    found = [words[2:] for page in PAGES for words in every_command(page, tmp_path) if is_training(words)]
    found = [words if any("--run" in word for word in words) else [*words, "--run_dir=x"] for words in found]
    found = [words for words in found if "--help" not in words]
    assert len(found) > 5
    done = commands.run(["-c", READ_TRAINING, json.dumps(found)], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert commands.run(["-c", READ_TRAINING, json.dumps([["--run_dir=x", "--widht=3"]])]).returncode != 0


# What takes seconds is run; what takes longer has tests of its own.
RUN = {"README.md": ("faces", "swap", "linear", "matrix", "grid")}
RUN["docs/editing.md"] = (*RUN["README.md"], "pack")


@pytest.mark.parametrize("page", RUN)
def test_quick_commands_run(page, tmp_path, monkeypatch):
    found = [words[1:] for words in every_command(commands.ROOT / page, tmp_path) if words[0] == "elegant-tf"]
    quick = [words for words in found if words[0] in RUN[page] and "--out" in words]
    assert {words[0] for words in quick} == set(RUN[page])
    monkeypatch.chdir(tmp_path)
    shutil.copytree(PACKAGE / "shipped/faces", "runs/demo")
    write_image(Path("me.jpg"), make_face(0, 18).draw(256))
    if importlib.util.find_spec("mtcnn") is None:
        quick = [words for words in quick if "--align" not in words]
    for words in quick:
        assert main(words) == 0, words
        assert Path(words[words.index("--out") + 1]).exists(), words


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_text
def test_links_resolve(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if ":" in link:
            assert is_address(link), link
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link  # a folder is a page on GitHub, but not on the site
        assert not anchor or anchor in anchors(target), link


def is_address(link: str) -> bool:
    """Whether a link out of the project has the form of one; whether it leads anywhere is not tried."""
    parts = urlsplit(link)
    return parts.scheme == "https" and re.fullmatch(r"([\w-]+\.)+[a-z]{2,}", parts.netloc) is not None


@pytest.mark.parametrize("link", ["http://arxiv.org/abs/1", "https:arxiv.org", "https://arxiv/abs", "mailto:a@b.c"])
def test_a_wrong_address_is_found(link):
    assert is_address("https://arxiv.org/abs/1803.10562")
    assert not is_address(link)


def test_the_changelog_begins_with_this_version():
    text = (commands.ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)[:2] == ["Unreleased", elegant_tf.__version__]


@each_text
def test_lines_are_short(page):
    front_door = blocks(commands.ROOT / "README.md", "bash")[0].strip()  # one line, because .ci/run reads it
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        most = MOST_IN_TABLES if line.lstrip().startswith("|") else MOST_CHARACTERS
        assert len(line) <= most or line == front_door, f"line {number}"
