"""Imports point one way: applications -> rooms -> layers -> registry; and `import hub` stays light."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
LIGHT = {"registry", "cache"}
MAY_IMPORT = {  # room or file of `hub` -> the rooms or files of `hub` that it may import
    "registry": {"cache"},
    "cache": set(),
    "papers": LIGHT,
    "weights": LIGHT | {"checkpoint_files", "weight_shards"},
    "weight_shards": set(),
    "checkpoint_files": set(),
    "safe_files": LIGHT,
    "backbone": set(),
    "gallery": LIGHT | {"gallery_file"},
    "gallery_file": set(),
    "loading": LIGHT | {"backbone", "weights", "safe_files", "export"},
    "layers": LIGHT | {"layers"},
    "losses": LIGHT | {"losses"},
    "metrics": LIGHT | {"metrics", "layers"},
    "models": LIGHT | {"layers"},
    "training": LIGHT | {"layers", "losses"},
    "compression": LIGHT | {"layers", "losses"},
    "explain": LIGHT | {"explain", "layers"},
    "evaluation": LIGHT | {"evaluation", "layers", "losses"},
    "data": LIGHT | {"data", "export"},
    "export": LIGHT | {"export", "layers"},
    "serving": LIGHT | {"serving", "export"},
    "contract": LIGHT | {"loading", "export"},
    "__init__": {"backbone", "loading", "papers", "registry"},
}
BACKEND_FREE = {"layers", "losses", "metrics", "models"}
FILES = sorted((ROOT / "hub").rglob("*.py"))
APPLICATIONS = sorted((ROOT / "applications").rglob("*.py"))


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_hub_imports(path):
    room = path.relative_to(ROOT / "hub").with_suffix("").parts[0]
    for name in imported(path):
        top, _, rest = name.partition(".")
        assert top != "applications", f"{path} imports {name}"
        if top == "hub" and rest:
            allowed = MAY_IMPORT[room]
            # `from hub import registry` and `from hub.registry import register` alike; models never import models
            assert rest.split(".")[0] in allowed or not hasattr_module(rest), f"{path} imports {name}"
        if room in BACKEND_FREE:
            assert top not in ("tensorflow", "jax", "torch"), f"{path} imports {name}"


def hasattr_module(rest):
    """Whether `hub.<first part>` is a file or folder (else it is a name such as `hub.load`)."""
    first = rest.split(".")[0]
    return (ROOT / "hub" / first).is_dir() or (ROOT / "hub" / f"{first}.py").exists()


@pytest.mark.parametrize("path", APPLICATIONS, ids=lambda p: str(p.relative_to(ROOT)))
def test_one_application_never_imports_another(path):
    parts = path.relative_to(ROOT / "applications").parts
    own = parts[0] if len(parts) > 1 and parts[0] != "cli" else None
    apps = {p.parent.name for p in (ROOT / "applications").glob("*/config.py")}
    for name in imported(path):
        pieces = name.split(".")
        if pieces[0] == "applications" and len(pieces) > 1 and own:
            assert pieces[1] not in apps - {own}, f"{path} imports {name}"


def test_no_utils():
    assert not [p for p in FILES + APPLICATIONS if p.stem in ("utils", "helpers", "common", "misc")]


def test_import_hub_is_light():
    """`import hub; hub.list_models()` loads no heavy module, not even NumPy."""
    code = (
        "import sys, hub; hub.list_models(); hub.papers(); hub.search('residual'); hub.info('resnet18');"
        "heavy = {'numpy', 'keras', 'tensorflow', 'jax', 'torch', 'cv2', 'sklearn', 'scipy', 'PIL'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"
