"""The package as a whole: what importing costs, which part may know which, and what is shipped."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import cloome_sk

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cloome_sk"
HEAVY = {"torch", "skorch", "sklearn", "rdkit", "pandas", "numpy", "scipy", "matplotlib", "pyarrow"}
OPTIONAL = {"pyarrow", "matplotlib", "pycytominer", "copairs", "imagecodecs", "zarr"}
OPTIONAL |= {"huggingface_hub"}

# The floors of the house, from the ground up. A room may import from itself and from lower floors.
FLOORS = (
    {"_tables", "_nearest", "_device", "_refit", "_measures"},
    {"objectives", "networks", "imaging", "molecules", "metrics"},
    {
        *("training", "preprocessing", "datasets", "checkpoints"),
        *("_pairs", "_library_spaces"),
    },
    {"encoders", "_identity", "_class_labels", "_library_picks"},
    {"_start", "_samples", "_warm_start", "storage"},
    {"_parameters"},
    {"_validation", "_plan", "_inputs", "_stored", "_features_identity", "_features_sites"},
    {"_trained_embedder"},
    {"_features_network", "_fit", "_embeds"},
    {"embedder", "features", "_embedding", "_hits", "model_selection"},
    {"confidence", "_library_compounds"},
    {"_library_phenotypes", "_library_selection"},
    {"retriever", "zero_shot", "baselines", "library"},
    {"evaluation", "report"},
    {"demo"},
)
# What a room must not know at all, not even inside a function.
FORBIDDEN = {
    "networks": {"pandas", "sklearn", "rdkit"},
    "objectives": {"pandas", "sklearn", "rdkit"},
    "imaging": {"torch", "skorch"},
    "molecules": {"torch", "skorch"},
}
# Modules with one public class, which the reference lists under `cloome_sk` itself, and programs.
LISTED_WITH_THE_PACKAGE = {
    *("cloome_sk.embedder", "cloome_sk.retriever", "cloome_sk.zero_shot", "cloome_sk.library"),
    *("cloome_sk.demo",),
}


def module_names() -> list[str]:
    found = pkgutil.walk_packages([str(PACKAGE)], prefix="cloome_sk.")
    return ["cloome_sk", *sorted(module.name for module in found)]


@cache
def public_names() -> dict[str, list[str]]:
    """What the package and its rooms declare public: module -> the names in its ``__all__``."""
    found = {}
    for name in module_names():
        if name.count(".") > 1 or "._" in name:
            continue
        path = ROOT.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                found[name] = ast.literal_eval(node.value)
    return found


def python(code: str, *arguments: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def imports() -> dict[str, list[tuple[int, str]]]:
    """For each source file, the modules it imports anywhere in it, with their lines."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        package = [*path.relative_to(ROOT).parent.parts]
        lines = []
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                lines += [(node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                module = ".".join([*base, node.module] if node.module else base)
                # `from cloome_sk import encoders` names a room only after the import
                deeper = module == "cloome_sk"
                lines += [
                    (node.lineno, f"{module}.{alias.name}" if deeper else module)
                    for alias in node.names
                ]
        found[name] = lines
    return found


def room_of(file_name: str) -> str:
    return Path(file_name).parts[1].removesuffix(".py")


def floor_of(room: str) -> int:
    for height, rooms in enumerate(FLOORS):
        if room in rooms:
            return height
    pytest.fail(f"cloome_sk/{room} stands on no floor yet: name its floor in FLOORS")


def home_of(module: str) -> str:
    """Where a public name that is imported from the package itself is defined."""
    thing = getattr(cloome_sk, module.removeprefix("cloome_sk."), None)
    return thing.__module__ if inspect.isclass(thing) or inspect.isfunction(thing) else module


def project_file() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def tracked_text_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so there is no list of tracked files")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in files if path.is_file() and b"\0" not in path.read_bytes()]


# ---------------------------------------------------------------------------------------- importing


def test_importing_the_package_imports_nothing_heavy():
    code = "import cloome_sk, sys, json; print(json.dumps(sorted(sys.modules)))"
    loaded = {name.partition(".")[0] for name in json.loads(python(code))}
    assert "cloome_sk" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    ("room", "strangers"),
    [(room, names) for room, names in FORBIDDEN.items() if f"cloome_sk.{room}" in module_names()],
)
def test_a_room_does_not_load_what_it_must_not_know(room, strangers):
    code = "import sys, json, importlib; importlib.import_module(sys.argv[1]); "
    code += "print(json.dumps(sorted(sys.modules)))"
    loaded = {name.partition(".")[0] for name in json.loads(python(code, f"cloome_sk.{room}"))}
    assert not loaded & strangers


def test_every_module_imports_first_and_without_the_optional_packages():
    code = """
import importlib, sys, traceback
for name in sys.argv[1].split(","):
    sys.modules[name] = None          # importing it raises ImportError
failed = []
known = set()
for name in sys.argv[2:]:
    # Importing a module imports its room first, and what that brings in is imported by then: each
    # of these would be imported in the same order.
    if name in known:
        continue
    for loaded in [module for module in sys.modules if module.partition(".")[0] == "cloome_sk"]:
        del sys.modules[loaded]       # so that each module is the first of the package
    try:
        room = importlib.import_module(name.rpartition(".")[0] or name).__name__
        known |= {module for module in sys.modules if module.startswith(room + ".")
                  and "." not in module.removeprefix(room + ".")}
        importlib.import_module(name)
    except Exception:
        failed.append(name)
        traceback.print_exc()
sys.exit(bool(failed))
"""
    names = module_names()
    assert len(names) > 1
    python(code, ",".join(sorted(OPTIONAL)), *names)


def documented(docstring: str) -> set[str]:
    """Names that a numpydoc docstring lists, one line each, as in ``radius, n_bits : int``."""
    lines = re.findall(r"^(\*{0,2}\w+(?:, *\*{0,2}\w+)*)(?: *:.*)?$", docstring, flags=re.M)
    return {name.strip(" *") for line in lines for name in line.split(",")}


def own_methods(thing: object) -> dict[str, object]:
    """A class's public methods, without those it inherits."""
    methods = vars(thing) if inspect.isclass(thing) else {}
    return {
        f".{name}": method
        for name, method in methods.items()
        if inspect.isfunction(method) and not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("module", "name"),
    [(module, name) for module, names in public_names().items() for name in names],
)
def test_a_public_name_exists_and_documents_every_parameter(module, name):
    room = importlib.import_module(module)
    assert name in dir(room)
    thing = getattr(room, name)
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return
    for method, function in {"": thing, **own_methods(thing)}.items():
        text = inspect.getdoc(function)
        assert text, f"{module}.{name}{method} has no docstring"
        if inspect.isclass(function) and issubclass(function, Exception):
            continue  # takes a message
        in_one_line = set(re.findall(r"\w+", text)) if "\n" not in text and method else set()
        missing = set(inspect.signature(function).parameters) - {"self"}
        missing -= documented(text) | in_one_line
        if inspect.isclass(function):  # a subclass says what it adds
            for base in function.__mro__[1:-1]:
                missing -= documented(inspect.getdoc(base) or "")
        assert not missing, f"{module}.{name}{method} does not document {sorted(missing)}"


# ------------------------------------------------------------------------------------------ floors


def test_imports_point_only_downward():
    wrong = []
    for file, lines in imports().items():
        room = room_of(file)
        if room == "__init__":  # the front door names the estimators, and imports them on first use
            continue
        for line, module in lines:
            parts = home_of(module).split(".")
            if parts[0] != "cloome_sk" or len(parts) == 1 or parts[1] in {room, "__version__"}:
                continue
            if floor_of(parts[1]) >= floor_of(room):
                wrong.append(f"{file}:{line} imports {module}, which is not on a lower floor")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("room", "strangers"), sorted(FORBIDDEN.items()))
def test_a_room_never_imports_what_it_must_not_know(room, strangers):
    wrong = [
        f"{file}:{line} imports {module}"
        for file, lines in imports().items()
        for line, module in lines
        if room_of(file) == room and module.partition(".")[0] in strangers
    ]
    assert not wrong, "\n".join(wrong)


def test_the_packages_imported_are_the_packages_declared():
    # the distributions whose import name differs
    names = {"scikit-learn": "sklearn", "pillow": "PIL"}
    # scikit-learn cannot be installed without SciPy, nor skorch without tqdm
    brought_along = {"scipy", "tqdm"}
    core = {re.match(r"[\w.-]+", line)[0] for line in project_file()["project"]["dependencies"]}
    declared = {names.get(name, name) for name in core}
    used = {module.partition(".")[0] for lines in imports().values() for _, module in lines}
    used -= set(sys.stdlib_module_names) | {"cloome_sk"}
    assert used - brought_along - OPTIONAL <= declared
    assert declared == {
        *("PIL", "joblib", "numpy", "pandas", "rdkit", "sklearn", "skorch", "tifffile", "torch"),
        "safetensors",
    }


# ------------------------------------------------------------------------------- what is shipped


def test_one_version_everywhere():
    version = cloome_sk.__version__
    project = project_file()
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "cloome_sk.__version__"}
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, flags=re.M)[1] == version
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## \[(\d[^]]*)\]", changelog, flags=re.M)[0]
    assert newest == version


def test_type_information_is_shipped():
    assert (PACKAGE / "py.typed").is_file()


def test_the_reference_page_lists_every_public_module():
    page = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
    listed = set(re.findall(r"^ +(cloome_sk[\w.]*)$", page, flags=re.M))
    assert listed == set(public_names()) - LISTED_WITH_THE_PACKAGE


def test_no_file_depends_on_one_machine():
    # Whoever clones the project has neither the hosts nor the folders of the machine it was
    # written on.
    patterns = {
        "a package registry": r"\b(?:[\w-]+\.)?(?:pypi|pythonhosted|anaconda|artifactory|nexus)"
        r"\.(?:org|com|io|net)\b",
        "a setting of a package registry": r"(?:extra-index-url|trusted-host|find-links)",
        "a folder of one machine": r"(?<![\w./~$}])/(?:home|root|mnt|opt|srv|work)/\w",
        "a private address": r"\b(?:10|192\.168)(?:\.\d{1,3}){2,3}\b",
    }
    this = Path(__file__).resolve()
    wrong = [
        f"{path.relative_to(ROOT)}:{number} names {what}: {line.strip()[:80]}"
        for path in tracked_text_files()
        if path.resolve() != this
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1)
        for what, pattern in patterns.items()
        if re.search(pattern, line)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_data_files_in_the_repository():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so there is no list of tracked files")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    large = [str(path) for path in files if path.is_file() and path.stat().st_size > 1_000_000]
    tables = [str(path) for path in files if path.suffix in {".parquet", ".h5", ".npz"}]
    assert not large
    assert not tables
