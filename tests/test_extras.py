"""The default install: what belongs to an extra is imported only where the extra is used."""

import subprocess
import sys

OF_EXTRAS = ("label_studio_ml", "rq", "flask", "redis", "psycopg", "pandas", "tabulate", "matplotlib", "s3fs", "gcsfs", "aiohttp")
MODULES = (
    "pt4al_backend.cli",
    "pt4al_backend.server.app",
    "pt4al_backend.engine.worker",
    "pt4al_backend.ops.doctor",
    "pt4al_backend.hosts.wsgi",
)


def test_commands_server_and_worker_need_no_extra() -> None:
    hide = f"import sys; sys.modules.update(dict.fromkeys({OF_EXTRAS!r}))"  # None: "not to be imported"
    code = f"{hide}; import {', '.join(MODULES)}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_tests_of_the_hosts_are_collected_without_label_studio_ml() -> None:
    """Also where importing it warns, as its 2.x does, and warnings are errors."""
    names = ("label_studio_ml", "flask", "rq", "redis")
    hide = f"import sys; sys.modules.update(dict.fromkeys({names!r}))"
    code = f"{hide}; import pytest; sys.exit(pytest.main(['-q', '--collect-only', '-p', 'no:cacheprovider', 'tests/hosts']))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
