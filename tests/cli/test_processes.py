"""The processes' commands."""

from typing import Any

import pytest

from tests.support.stub_server import stub_server


def test_port_in_use_is_one_line_that_says_what_to_change(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with stub_server(lambda request: pytest.fail("no request is expected")) as (url, _):
        monkeypatch.setenv("PT4AL_PORT", url.rpartition(":")[2])
        result = run("web")
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert "PT4AL_PORT" in result.stderr
