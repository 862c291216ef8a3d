"""The tree of errors."""

import ast
from pathlib import Path

import pt4al_backend
from pt4al_backend import errors


def test_docstring_names_every_error_of_the_package() -> None:
    bases: dict[str, set[str]] = {}
    for path in Path(pt4al_backend.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                bases.setdefault(node.name, set()).update(base.id for base in node.bases if isinstance(base, ast.Name))
    ours = {"PT4ALError"}
    while more := {name for name, above in bases.items() if above & ours} - ours:
        ours |= more
    assert {"NotFound", "BodyTooLong"} < ours
    assert errors.__doc__ is not None
    assert not {name for name in ours if f" {name} " not in errors.__doc__ and f" {name}\n" not in errors.__doc__}
