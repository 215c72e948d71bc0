"""The package keeps to its layers: imports point down, low ones need no TensorFlow, modules have tests."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import commands
import pytest

PACKAGE = commands.ROOT / "elegant_tf"

# From the top; a module imports from its own floor's room and from the floors below.
FLOORS = [
    "__main__",
    "beam",
    "cli",
    "evaluation",
    "export",
    "photos",
    "serving",
    "editor",
    "training",
    "sources",
    "runs",
    "losses",
    "synthetic",
    "data",
    "model",
    "presets",
    "catalogue",
    "signing",
    "marks",
    "runlock",
    "checkpoint_files",
    "rundir",
    "config",
    "upgrade",
    "coefficients",
    "photo_files",
    "scoring",
    "images",
    "xmp",
    "files",
    "names",
    "paths",
    "remote",
    "bounds",
    "errors",
]

# Who may draw: a room, and those that may import it besides itself.
RESERVED = {"synthetic": {"sources", "evaluation", "cli"}, "evaluation": {"cli"}}

WITHOUT_TENSORFLOW = [
    "config",
    "presets",
    "runlock",
    "checkpoint_files",
    "rundir",
    "errors",
    "bounds",
    "paths",
    "files",
    "images",
    "marks",
    "photo_files",
    "signing",
    "xmp",
    "catalogue",
    "coefficients",
    "synthetic",
    "data.attributes",
    "evaluation.bootstrap",
    "evaluation.distances",
    "scoring",
    "export.litert",
]

# Modules whose tests are another's: name to test file and reason.
TESTED_ELSEWHERE = {
    "__main__": ("test_cli", "two lines around cli.main"),
    "names": ("test_attributes", "finding attributes by name"),
    "rundir": ("test_config", "configurations are written to and read from run directories"),
    "data.collection": ("test_sources", "what sources are made of"),
    "data.landmark_files": ("test_photo_list", "landmarks of photos to dress"),
    "data.preparation": ("test_prepare", "one of the images that it writes"),
    "data.sampler": ("test_pairs", "the pairs of a batch"),
    "data.shutdown": ("test_pairs", "processes that end while data are read"),
    "data.source": ("test_pairs", "the protocols that pairs are read from"),
    "training.build": ("test_update", "what it builds is updated"),
    "evaluation.classifier_training": ("test_classifier", "the classifier that it trains"),
    "evaluation.edits": ("test_metrics", "what is edited"),
    "evaluation.face_describer": ("test_identity", "one of the descriptions of people"),
    "scoring": ("test_scores", "the sums that scores consist of"),
    "export.litert": ("test_tflite", "reads and runs the files"),
    "export.written": ("test_tflite", "the files and SavedModels as editors"),
    "export.footprint": ("test_tflite", "the cost of the files"),
    "export.after_training": ("test_best", "exports what was kept"),
    "evaluation.paired": ("test_compare", "the differences that a comparison consists of"),
    "evaluation.shares": ("test_compare", "the numbers that differences are of"),
    "export.int8": ("test_tflite", "one kind of the files"),
    "evaluation.metrics.cost": ("test_tflite", "the cost of the files, in a report"),
    "evaluation.monitor": ("test_evaluate", "the curves that a report draws"),
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


def room(module: str) -> str:
    return module.split(".")[0]


def floor(module: str) -> int:
    return FLOORS.index(room(module))


def with_packages(module: str) -> set[str]:
    """A module and the packages around it, all of which an import runs."""
    parts = module.split(".")
    return {".".join(parts[:count]) for count in range(len(parts) + 1)}


def test_every_room_has_its_floor():
    assert {room(name) for name in MODULES if name} == set(FLOORS)


@pytest.mark.parametrize("module", [name for name in MODULES if name])
def test_imports_point_down(module):
    imported = {name for name in own(imports(MODULES[module])) if name}
    up = [name for name in imported if floor(name) < floor(module)]
    assert not up, f"{module} imports {up}, from a floor above its own"
    taken = [name for name in imported if room(module) not in RESERVED.get(room(name), {room(module)}) | {room(name)}]
    assert not taken, f"{module} imports {taken}, which only {RESERVED} may"


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
    lines = [f"import elegant_tf.{module}" for module in (*WITHOUT_TENSORFLOW, "cli.main")]
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
        # `synthetic.hair` is tested as test_hair or, with the other modules of its room, as test_synthetic.
        assert any((tests / f"test_{part}.py").is_file() for part in module.split(".")), module
