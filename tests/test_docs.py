"""The documentation: what it names exists, its examples run, its commands are valid, its links resolve."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import commands
import keras
import pytest
import tiny

import elegant_tf
from elegant_tf.cli.main import main
from elegant_tf.config import Config
from elegant_tf.training.trainer import Trainer

PACKAGE = commands.ROOT / "elegant_tf"
TESTS = commands.ROOT / "tests"
PAGES = sorted([*commands.ROOT.glob("*.md"), *(commands.ROOT / "docs").glob("*.md")])
NOTES = sorted((commands.ROOT / "experiments").glob("*.md"))

MOST_CHARACTERS, MOST_IN_TABLES = 120, 200
TRAIN_FLAGS = {"run_dir", "run", "preset", "dry_run", "help", "flagfile", *Config().flags()}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
each_text = pytest.mark.parametrize("page", [*PAGES, *NOTES], ids=lambda page: page.name)


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


def test_the_example_of_own_losses_and_optimizers_runs(tmp_path, monkeypatch):
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


def used(page: Path) -> dict[str, set[str]]:
    """The options of every command of the package in blocks of shell commands, by the command."""
    found = {}
    for line in "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|[|;]", line):
            match = re.search(r"(?:python (\w+)\.py|elegant-tf (?:serve-client )?([\w-]+))(.*)", part)
            if match and match[1] in (None, "train", "export_savedmodel"):
                name = match[2] or {"train": "train", "export_savedmodel": "export"}[match[1]]
                found.setdefault(name, set()).update(re.findall(r"\s--(\w+)", match[3]))
    return found


def known(command: str, capsys: pytest.CaptureFixture) -> set[str]:
    """The options of a command, by its help."""
    if command == "train":
        return TRAIN_FLAGS
    path = ["serve-client", command] if command in ("edit", "metadata") else [command]
    with pytest.raises(SystemExit, match="0"):
        main([*path, "--help"])
    return set(re.findall(r"--(\w+)", capsys.readouterr().out.partition("\noptions:")[2].partition("\nexample")[0]))


@each_page
def test_commands_have_the_options_that_are_shown(page, capsys):
    for command, options in used(page).items():
        options = {option.removeprefix("no") if command == "train" else option for option in options}
        assert options <= known(command, capsys), command


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_text
def test_links_resolve(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each_text
def test_lines_are_short(page):
    front_door = blocks(commands.ROOT / "README.md", "bash")[0].strip()  # one line, because .ci/run reads it
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        most = MOST_IN_TABLES if line.lstrip().startswith("|") else MOST_CHARACTERS
        assert len(line) <= most or line == front_door, f"line {number}"
