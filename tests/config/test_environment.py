"""Misspelt variables of the environment are named; what is right, empty or Label Studio's own is not."""

import pytest

from pt4al_backend.config import project_settings, server_settings
from pt4al_backend.config.environment import known_variables, misspelt
from pt4al_backend.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PT4AL_QUERRY_SIZE", "PT4AL_QUERY_SIZE"),
        ("PT4AL_POLL_SECOND", "PT4AL_POLL_SECONDS"),
        ("pt4al_pool_seconds", "PT4AL_POLL_SECONDS"),
        ("PT4AL_DATABASE", "PT4AL_DATABASE_URL"),
        ("PT4AL_BASIC_AUTH_USER", "BASIC_AUTH_USER"),
        ("PT4AL_LABEL_STUDIO_URL", "LABEL_STUDIO_URL"),
        ("BASIC_AUTH_PASSWORD", "BASIC_AUTH_PASS"),
        ("BASIC_AUTH_USERNAME", "BASIC_AUTH_USER"),
        ("LABEL_STUDIO_APIKEY", "LABEL_STUDIO_API_KEY"),
    ],
)
def test_misspelt_variable_is_named_with_the_nearest_right_one(name: str, meant: str) -> None:
    (sentence,) = misspelt({name: "1"})
    assert sentence.startswith(f"{name} is no setting")
    assert f"{meant}?" in sentence


@pytest.mark.parametrize("name", ["PT4AL_XYZZY_9", "PT4AL_FOO", "PT4AL_LOGLEVEL", "PT4AL_DEBUG", "BASIC_AUTH_REALM"])
def test_variable_that_resembles_no_setting_is_named_alone(name: str) -> None:
    (sentence,) = misspelt({name: "1"})
    assert name in sentence
    assert "Did you mean" not in sentence
    assert "docs/settings.md" in sentence


def test_right_empty_and_foreign_variables_are_not_named() -> None:
    right = dict.fromkeys(known_variables(), "1") | {"pt4al_query_size": "1"}
    foreign = {"LABEL_STUDIO_HOST": "x", "LABEL_STUDIO_USERNAME": "x", "LABEL_STUDIO_PORT": "x", "PATH": "x", "PT4ALL": "x"}
    assert misspelt({**right, **foreign, "PT4AL_QUERRY_SIZE": ""}) == []


def test_number_and_length_of_the_warnings_are_limited() -> None:
    sentences = misspelt({f"PT4AL_{'X' * 100_000}{number}": "1" for number in range(1000)})
    assert len(sentences) < 50
    assert max(map(len, sentences)) < 300


def test_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in known_variables():
        monkeypatch.setenv(name, "")
    assert project_settings() == project_settings({})
    settings = server_settings()
    assert (settings.port, settings.label_studio_url, settings.redis_url) == (9090, "", "")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"runner": "slurm"}, "PT4AL_RUNNER"),
        ({"runner": "ray", "launcher": "srun"}, "PT4AL_LAUNCHER goes with PT4AL_RUNNER=local"),
        ({"runner": "ray", "ray_address": "ray://head:10001"}, "HOST:6379"),
        ({"artefacts_url": "bucket/prefix"}, "s3://bucket/prefix"),
        ({"artefacts_url": "s3://"}, "s3://bucket/prefix"),
    ],
)
def test_place_of_jobs_and_artefacts_that_cannot_work_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        server_settings(**given)
