"""The modules that a stage imports: as Python itself imports them, and what a change of any of them moves."""

import ast
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from promptdistill import code, graph

PACKAGE = code.PACKAGE


def modules_below(folder):
    """Names of all modules of a package's folder."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def kinds_below(kind):
    own = [kind] if "code" in vars(kind) else []
    return own + [found for child in kind.__subclasses__() for found in kinds_below(child)]


METHODS = [m for m in modules_below(PACKAGE) if m.startswith("methods.") and m != "methods.base"]
PROTOCOLS = [m for m in modules_below(PACKAGE) if m.startswith("protocols.") and m != "protocols.base"]
STAGES = {kind.__name__: kind.code for kind in kinds_below(graph.Artifact)} | {
    "miniature": ("miniature.datasets",),
    "coop": ("training.stages", "methods.coop", "protocols.few_shot"),
    "promptkd": ("training.stages", "methods.promptkd", "protocols.base_to_novel"),
    "tested": ("evaluation.predict", "methods.fdbpl", "protocols.transfer"),
}

# Run by a Python of its own: imports modules, and writes which module imports which names from where.
RECORDER = """
import builtins, importlib, importlib.util, json, sys
found, usual = [], builtins.__import__
def recording(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "")
    if importer.startswith("promptdistill"):
        source = importlib.util.resolve_name("." * level + name, globals["__package__"])
        if source.split(".")[0] == "promptdistill":
            found.append([importer, source, list(fromlist or ())])
    return usual(name, globals, locals, fromlist, level)
builtins.__import__ = recording
for module in sys.argv[1:]:
    importlib.import_module("promptdistill." + module)
loaded = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "promptdistill"}
taken = {(importer, name) for importer, _, names in found for name in names}
def defines(module, key, value):
    constant = not callable(value) and not isinstance(value, type(sys)) and not key.startswith("__")
    theirs = (module, key) in taken
    return not theirs and (constant or getattr(value, "__module__", None) == module)
own = {
    name: [key for key, value in vars(module).items() if defines(name, key, value)]
    for name, module in loaded.items()
}
print(json.dumps({"imports": found, "packages": [n for n, m in loaded.items() if hasattr(m, "__path__")],
                  "own": own}))
"""


@pytest.fixture(scope="module")
def really():
    """What Python does when the modules of all stages are imported."""
    roots = {module for modules in STAGES.values() for module in modules} | {*METHODS, *PROTOCOLS}
    command = [sys.executable, "-c", RECORDER, *sorted(roots)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def really_used(really, modules):
    """The modules that define what these import, step by step."""
    used, waiting = set(), [f"promptdistill.{module}" for module in modules]

    def home(source, name):
        if source not in really["packages"]:
            return source
        for importer, origin, names in really["imports"]:
            if importer == source and name in names and origin != source:
                return home(origin, name)
        inner = f"{source}.{name}"
        return inner if inner in really["own"] else source

    while waiting:
        module = waiting.pop()
        if module in used:
            continue
        used.add(module)
        for importer, source, names in really["imports"]:
            if importer == module:
                waiting += [home(source, name) for name in names]
        parts = module.split(".")
        packages = [".".join(parts[:end]) for end in range(1, len(parts))]
        waiting += [package for package in packages if really["own"][package]]
    return {module.removeprefix("promptdistill").removeprefix(".") for module in used}


@pytest.mark.parametrize("stage", STAGES)
def test_everything_that_python_imports_is_found(really, stage):
    """All of it, and no more, but for what is imported within functions, and packages that only act."""
    modules = [module for module in STAGES[stage] if not module.startswith("cli.")]
    closure, used = code.closure(*modules), really_used(really, modules)
    assert used <= closure
    late = {one for module in closure for one in imported_within_functions(module)}
    packages = {name.removeprefix("promptdistill.") for name in really["packages"]}
    assert closure - used <= code.closure(*late) | packages


def imported_within_functions(module):
    tree = ast.parse(code._file(module).read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = [one for function in functions for node in ast.walk(function) for one in code._imported_by(node)]
    return {code._imported(module, one) for one in inside} - {None}


@pytest.mark.parametrize("module", METHODS + PROTOCOLS)
def test_methods_and_protocols(really, module):
    closure = code.closure(module)
    assert really_used(really, [module]) <= closure
    assert not closure & set(METHODS + PROTOCOLS) - really_used(really, [module])


def test_computing_stages_know_nothing_of_the_workflow():
    """What says which files there are, or shows them, changes no result."""
    for stage in ("Lookup", "StudentFeatures", "coop", "tested", "Draw"):
        closure = code.closure(*STAGES[stage])
        # Of a command the text alone counts.
        assert {module for module in closure if module.startswith("cli.")} <= set(STAGES[stage])
        top = {module.split(".")[0] for module in closure}
        assert not top & {"experiment", "graph", "planning", "report", "tracking", "tracing"}
    assert "training" not in {
        m.split(".")[0] for m in code.closure("features.lookup_build", "features.lookup")
    }


@pytest.fixture
def forget():
    """Call it when files have changed."""

    def clear():
        for cached in (code.closure, code.fingerprint, code._read, code._find):
            cached.cache_clear()

    yield clear
    clear()


@pytest.fixture
def copied(tmp_path, monkeypatch, forget):
    """A copy of the package, whose code is read; unchanged text is parsed once."""
    copy = tmp_path / "promptdistill"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    monkeypatch.setattr(code, "PACKAGE", copy)
    monkeypatch.setattr(code, "_parse", cache(code._parse))
    forget()
    return copy


def fingerprints():
    return {stage: code.fingerprint(*modules) for stage, modules in STAGES.items()}


def changed_function(text):
    """The text of a module, in which the first function does one thing more, or there is one more value."""
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    if functions:
        functions[0].body.insert(0, ast.Expr(ast.Call(ast.Name("print"), [], [])))
    else:
        tree.body.append(ast.parse("ANOTHER = 1").body[0])
    return ast.unparse(ast.fix_missing_locations(tree))


def test_a_change_moves_what_imports_it_and_nothing_else(copied, forget):
    before, closures = fingerprints(), {stage: code.closure(*own) for stage, own in STAGES.items()}
    for module in modules_below(copied):
        if not code._read(module).does_something:
            continue  # a package that takes names over: it is not code
        path = code._file(module)
        text = path.read_text()
        path.write_text(changed_function(text))
        forget()
        after = fingerprints()
        moved = {stage for stage in STAGES if after[stage] != before[stage]}
        assert moved == {stage for stage in STAGES if module in closures[stage]}, module
        path.write_text(text)
    forget()
    assert fingerprints() == before


def test_comments_docstrings_and_layout_change_nothing(copied, forget):
    """`ast.unparse` drops comments and blank lines, and sets lines and quotes as it likes."""
    before = fingerprints()
    for module in modules_below(copied):
        path = code._file(module)
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
                node.body[0].value.value = "Something else."
        path.write_text("# A comment.\n\n" + ast.unparse(tree) + "\n\n\n")
    forget()
    assert fingerprints() == before


def test_templates_belong_to_the_modules_beside_them(copied, forget):
    before = fingerprints()
    template = next((copied / "report").glob("*.j2"))
    template.write_text(template.read_text() + "more")
    (copied / "report" / ".hidden").write_text("an editor's")
    forget()
    moved = {stage for stage, value in fingerprints().items() if value != before[stage]}
    assert moved == {
        stage for stage, own in STAGES.items() if any(m.startswith("report") for m in code.closure(*own))
    }


@pytest.fixture
def package(tmp_path, monkeypatch, forget):
    """Makes a package of files and their text, and reads it."""

    def make(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            for folder in path.parents[: len(Path(name).parts)]:
                (folder / "__init__.py").touch()
        monkeypatch.setattr(code, "PACKAGE", tmp_path)
        forget()
        return tmp_path

    return make


FILES = dict.fromkeys(["a", "b", "sub/one", "sub/two", "sub/deep/three"], "x = y = 1")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from . import three", {"sub.deep.three"}),
        ("from .three import x", {"sub.deep.three"}),
        ("from ..one import x", {"sub.one"}),
        ("from ... import a, b", {"a", "b"}),
        ("from ...sub import two as a", {"sub.two"}),
        ("import promptdistill.sub.one as x, os", {"sub.one"}),
        ("from promptdistill.a import x", {"a"}),
        ("import torch\nfrom pathlib import Path", set()),
        ("def f():\n    if f:\n        from ...a import x", {"a"}),
        ("try:\n    from ...a import x\nexcept ImportError:\n    from ...b import x", {"a", "b"}),
        ("from ..one import *", {"sub.one"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ...a import x", set()),
        ("import typing\nif typing.TYPE_CHECKING:\n    import x\nelse:\n    from ...a import x", {"a"}),
        ("from typing import TYPE_CHECKING\nif not TYPE_CHECKING:\n    from ...a import x", {"a"}),
    ],
)
def test_forms_of_import(package, text, found):
    package(FILES | {"sub/deep/start": text})
    assert code.closure("sub.deep.start") - {"sub.deep.start"} == found


@pytest.mark.parametrize(
    ("init", "name", "found"),
    [
        ("'Doc.'\nfrom .one import x\n__all__ = ['x']", "x", {"sub", "sub.one"}),
        ("'Doc.'\nfrom .one import x\nfrom .two import y", "two", {"sub.two"}),
        ("from . import one, two", "one", {"sub.one"}),
        ("from ..a import x", "x", {"sub", "a"}),
        ("from .deep import x", "x", {"sub", "sub.deep", "sub.deep.three"}),
        ("from .one import x\nfrom .two import y\ndef z(): pass", "z", {"sub", "sub.one", "sub.two"}),
        ("from .one import *\nfrom .two import y", "z", {"sub", "sub.one", "sub.two"}),
        ("from .one import x\nfrom .two import y", "*", {"sub", "sub.one", "sub.two"}),
        ("import os\nos.environ['X'] = ''\nfrom .one import x", "two", {"sub", "sub.one", "sub.two"}),
    ],
)
def test_a_name_leads_to_the_module_that_defines_it(package, init, name, found):
    """A package counts as a whole where it has code of its own, or names of its modules are taken from it."""
    deep = "from .three import x"
    package(FILES | {"sub/__init__": init, "sub/deep/__init__": deep, "start": f"from .sub import {name}"})
    assert code.closure("start") - {"start"} == found


def test_circles_end(package):
    package({"a": "from . import b", "b": "from .a import x"})
    assert code.closure("a") == code.closure("b") == {"a", "b"}


def test_a_moved_name_and_an_unknown_module_are_noticed(package):
    files = FILES | {"a": "from .sub import x", "sub/one": "x = 2"}
    package(files | {"sub/__init__": "from .one import x"})
    before = code.fingerprint("a")
    package(files | {"sub/__init__": "from .two import x"})
    assert code.fingerprint("a") != before
    with pytest.raises(AssertionError, match=r"there is no module promptdistill\.c"):
        code.closure("a", "c")


def test_no_stage_is_imported_to_be_read():
    script = (
        "import sys; from promptdistill import code; code.fingerprint('training.stages', 'report.render');"
        "assert not {'torch', 'pandas', 'promptdistill.training'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
