"""The package keeps to its layers: imports point down, low ones need no TensorFlow, modules have tests."""

from __future__ import annotations

import ast
import graphlib
import itertools
from pathlib import Path

import commands
import pytest

PACKAGE = commands.ROOT / "elegant_tf"

# From the top; a module imports from its own layer and from those below.
LAYERS = [
    [
        "__main__",
        "cli",
        "cli_data",
        "cli_data_options",
        "cli_evaluation",
        "cli_evaluation_options",
        "cli_options",
        "cli_serving",
        "launch",
    ],
    ["training", "evaluation", "editor", "export", "serving"],
    ["model", "data", "weights"],
    ["networks", "losses"],
    ["layers", "latent", "images", "normalizing", "patches"],
    ["config", "errors", "files"],
]

WITHOUT_TENSORFLOW = [
    "config",
    "errors",
    "images",
    "data.faces",
    "data.attributes",
    "evaluation.bootstrap",
    "evaluation.distances",
]

# Modules whose tests are another's: name to test file and reason.
TESTED_ELSEWHERE = {
    "__main__": ("test_cli", "two lines around cli.main"),
    "cli_serving": ("test_serving", "the command is tried against a server as the client is"),
    "cli_options": ("test_cli", "options are tested by giving them to the command"),
    "cli_data_options": ("test_cli_data", "options are tested by giving them to the command"),
    "cli_evaluation_options": ("test_cli_evaluation", "options are tested by giving them to the command"),
    "data.collection": ("test_sources", "what sources are made of"),
    "data.gate": ("test_pairs", "processes that end while data are read"),
    "data.preparation": ("test_prepare", "one of the pictures that it writes"),
    "data.sampler": ("test_pairs", "the pairs of a batch"),
    "evaluation.combinations": ("test_measurements", "one of the things measured"),
    "evaluation.edits": ("test_measurements", "what is tried"),
    "evaluation.interpolation": ("test_measurements", "one of the things measured"),
    "evaluation.lineups": ("test_measurements", "one of the things measured"),
    "evaluation.monitor": ("test_report", "the curves that a report draws"),
    "evaluation.page": ("test_report", "the report as HTML"),
    "evaluation.reconstruction": ("test_measurements", "one of the things measured"),
    "evaluation.tables": ("test_report", "the tables of a report"),
    "evaluation.sheet": ("test_report", "the picture that a report draws"),
    "evaluation.triples": ("test_scorecard", "the triples that the scorecard scores"),
}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path, inside_functions: bool = True) -> set[str]:
    """Full names of the modules that a file imports."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = ast.walk(tree) if inside_functions else iter(tree.body)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            found |= {_module_of(node.module, alias.name) for alias in node.names}
    return found


def _module_of(module: str, name: str) -> str:
    inner = f"{module}.{name}".removeprefix("elegant_tf").removeprefix(".")
    return f"elegant_tf.{inner}" if module.startswith("elegant_tf") and inner in MODULES else module


def own(names: set[str]) -> set[str]:
    """The package's own modules among full names, without the package's name."""
    return {name.removeprefix("elegant_tf").removeprefix(".") for name in names if name.split(".")[0] == "elegant_tf"}


def layer(module: str) -> int:
    return next(index for index, names in enumerate(LAYERS) if module.split(".")[0] in names)


def with_packages(module: str) -> set[str]:
    """A module and the packages around it, all of which an import runs."""
    parts = module.split(".")
    return {".".join(parts[:count]) for count in range(len(parts) + 1)}


def test_every_module_has_its_layer():
    missing = [name for name in MODULES if name and name.split(".")[0] not in itertools.chain(*LAYERS)]
    assert not missing


@pytest.mark.parametrize("module", [name for name in MODULES if name])
def test_imports_point_down(module):
    up = [name for name in own(imports(MODULES[module])) if name and layer(name) < layer(module)]
    assert not up, f"{module} imports {up}, from a layer above its own"


def test_no_imports_in_circles():
    graph = {name: own(imports(path, inside_functions=False)) - {name} for name, path in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", WITHOUT_TENSORFLOW)
def test_low_modules_reach_no_tensorflow(module):
    members = {name for name in MODULES if name == module or name.startswith(module + ".")}
    assert members
    seen, waiting = set(), set().union(*map(with_packages, members))
    while waiting:
        name = waiting.pop()
        seen.add(name)
        names = imports(MODULES[name], inside_functions=name in members)
        heavy = {one for one in names if one.split(".")[0] in ("tensorflow", "keras", "tensorboard")}
        assert not heavy, f"{name}, which {module} needs, imports {heavy}"
        waiting |= set().union(*map(with_packages, own(names))) - seen


def test_importing_the_package_loads_no_tensorflow():
    lines = [f"import elegant_tf.{module}" for module in (*WITHOUT_TENSORFLOW, "launch")]
    program = "; ".join(["import sys", "import elegant_tf", *lines, "print('tensorflow' in sys.modules)"])
    done = commands.run(["-c", program])
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


@pytest.mark.parametrize("module", [name for name in MODULES if not MODULES[name].name.startswith("__init__")])
def test_every_module_has_tests(module):
    tests = Path(__file__).parent
    if module in TESTED_ELSEWHERE:
        file, reason = TESTED_ELSEWHERE[module]
        assert reason
        assert (tests / f"{file}.py").is_file()
    else:
        # `data.faces.hair` is tested as test_hair or, with the package's other modules, as test_faces.
        assert any((tests / f"test_{part}.py").is_file() for part in module.split(".")), module
