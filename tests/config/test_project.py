"""Settings: where they come from, how stored ones are read, and the message about those that are refused."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pt4al_backend.config import ProjectSettings, project_settings, server_settings
from pt4al_backend.errors import ConfigError


def test_extra_params_win_over_environment_and_environment_over_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PT4AL_ROUNDS", "7")
    monkeypatch.setenv("PT4AL_QUERY_SIZE", "50")
    found = project_settings({"query_size": 30})
    assert (found.rounds, found.query_size, found.control_share) == (7, 30, 0.1)


@pytest.mark.parametrize("given", [None, "", {}, "{}"])
def test_no_extra_params_are_the_defaults(given: object) -> None:
    assert project_settings(given) == ProjectSettings()  # type: ignore[arg-type]


def test_extra_params_may_be_json_text() -> None:
    assert project_settings('{"rounds": 4}').rounds == 4


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"querysize": 3}, ["'querysize'", "query_size"]),
        ({"_cli_parse_args": True}, ["'_cli_parse_args'", "rounds"]),
        ({"_env_file": "/etc/passwd"}, ["'_env_file'", "rounds"]),
        ({"_env_prefix": ""}, ["'_env_prefix'", "rounds"]),
        ({3: 4}, ["'3'", "rounds"]),
        ({"seed": 10**26}, ["'seed'", "9223372036854775807"]),
        ({"query_size": 10**20}, ["'query_size'", "1000000"]),
        ({"rounds": "many"}, ["'rounds'", "'many'", "integer"]),
        ({"rounds": 0}, ["'rounds'", "0", "greater than or equal to 1"]),
        ({"control_share": 2}, ["'control_share'", "2", "0.5"]),
        ({"first_query": "best"}, ["'first_query'", "'best'", "stratified", "hardest_batch"]),
        ({"first_query": "batch:0"}, ["'first_query'", "'batch:0'", "'batch:N'"]),
        ({"first_query": "batch:11"}, ["'first_query'", "'batch:11'", "'rounds' is 10"]),
        ({"sampler": "best"}, ["'sampler'", "'best'", "k_center"]),
        ({"batch_order": "any"}, ["'batch_order'", "'any'", "interleaved"]),
        ({"strategy": "magic"}, ["'strategy'", "'magic'", "pt4al", "random"]),
        ({"pretext": "magic"}, ["'pretext'", "'magic'", "rotation"]),
        ({"pretext_holdout": 0.5}, ["'pretext_holdout'", "0.5", "0.25"]),
        ({"encoder": "../vgg16"}, ["'encoder'", "'../vgg16'"]),
        ({"uncertain_share": 0}, ["'uncertain_share'", "0", "greater than 0"]),
        ({"query_size": float("nan")}, ["'query_size'", "nan"]),
        ("[1]", ["[1]", "object"]),
        ("{", ["JSON"]),
    ],
)
def test_refused_setting_names_key_value_and_what_is_allowed(given: object, named: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        project_settings(given)  # type: ignore[arg-type]
    for word in named:
        assert word in str(refused.value)
    assert refused.value.remedy or "there are" in refused.value.message


@pytest.mark.parametrize("given", [{"querysize": 3}, {"rounds": 0}, {"strategy": "magic"}])
def test_reader_says_where_a_refused_setting_is_changed(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as refused:
        project_settings(given)
    assert refused.value.remedy.startswith("Change it in Label Studio")
    with pytest.raises(ConfigError) as refused:
        project_settings(given, "Change it there.")
    assert refused.value.remedy == "Change it there."


def test_paper_preset_is_as_published_and_yields_to_what_is_given() -> None:
    """PT4AL, sections 4.3 and 5.1: ten rounds, the hardest batch first, top-1 posterior, 200 epochs in steps, from scratch."""
    published = project_settings({"preset": "paper"})
    assert (published.rounds, published.first_query, published.sampler) == (10, "hardest_batch", "least_confidence")
    assert (published.init, published.epochs, published.schedule, published.warm_start) == ("fresh", 200, "step", False)
    assert (published.control_share, published.reserve_size, published.pretext_holdout) == (0, 0, 0)
    assert (published.architecture, published.encoder) == ("deeplabv3", "resnet101")
    assert project_settings({"preset": "paper", "epochs": 3}).epochs == 3


def test_first_query_may_name_a_batch_that_exists() -> None:
    assert project_settings({"first_query": "batch:12", "rounds": 12}).first_query == "batch:12"


def test_paper_preset_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PT4AL_PRESET", "paper")
    assert project_settings().first_query == "hardest_batch"


def test_token_without_its_host_is_refused() -> None:
    with pytest.raises(ConfigError, match="LABEL_STUDIO_URL") as refused:
        server_settings(LABEL_STUDIO_API_KEY="a-secret-token")
    assert "a-secret-token" not in str(refused.value)


def test_basic_auth_needs_both_halves() -> None:
    with pytest.raises(ConfigError, match="BASIC_AUTH_PASS") as refused:
        server_settings(BASIC_AUTH_USER="user")
    assert "both" in str(refused.value)


@pytest.mark.parametrize(("user", "password"), [("user", "пароль"), ("us:er", "password")])
def test_credentials_that_label_studio_cannot_send_are_refused(user: str, password: str) -> None:
    with pytest.raises(ConfigError, match="Latin-1") as refused:
        server_settings(BASIC_AUTH_USER=user, BASIC_AUTH_PASS=password)
    assert password not in str(refused.value)


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://label-studio.example/")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "token-1")
    monkeypatch.setenv("BASIC_AUTH_USER", "user")
    monkeypatch.setenv("BASIC_AUTH_PASS", "password-1")
    monkeypatch.setenv("PT4AL_DATABASE_URL", "postgresql://user:password-2@host/db")
    settings = server_settings(data_dir=tmp_path)
    assert settings.label_studio_url == "http://label-studio.example"
    for secret in ("token-1", "password-1", "password-2"):
        assert secret not in repr(settings)


def test_refused_server_setting_is_named_as_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PT4AL_PORT", "http")
    with pytest.raises(ConfigError, match="'PT4AL_PORT': 'http' is not allowed"):
        server_settings()


def test_stored_settings_are_read_without_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PT4AL_EPOCHS", "7")
    stored = ProjectSettings(rounds=4).model_dump(mode="json")
    assert ProjectSettings.stored(stored) == ProjectSettings(rounds=4)
    del stored["epochs"]
    assert ProjectSettings.stored(stored).epochs is None


def test_stored_settings_that_are_gone_or_named_otherwise_now_are_tolerated() -> None:
    found = ProjectSettings.stored({"rounds": 4000, "gone": 1, "strategy": "a_rule_of_then", "encoder": "vgg16"})
    assert (found.rounds, found.strategy, found.encoder) == (4000, "a_rule_of_then", "vgg16")


@pytest.mark.parametrize("name", ["strategy", "pretext", "sampler", "batch_order", "first_query"])
def test_name_that_the_catalog_lacks_is_refused_by_the_settings_themselves(name: str) -> None:
    with pytest.raises(ValidationError, match="Input should be one of"):
        ProjectSettings(**{name: "magic"})


@pytest.mark.parametrize("value", ["batch:0", "batch:", "batch:07", "batch:-1", "batch:two", "batch", "top_k:2"])
def test_refused_first_query_names_the_words_that_are_allowed(value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        project_settings({"first_query": value})
    for word in ("'stratified'", "'hardest_batch'", "'top_k'", "'random'", "'batch:N'"):
        assert word in refused.value.message
    assert "[" not in refused.value.message


@pytest.mark.parametrize("variable", ["PT4AL_QUERY_SIZE", "pt4al_query_size"])
def test_bad_value_of_the_environment_is_refused_by_the_variable_as_it_is_spelt(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "abc")
    with pytest.raises(ConfigError, match=f"Setting '{variable}': 'abc' is not allowed"):
        project_settings({"rounds": 4})
    with pytest.raises(ConfigError, match="Setting 'rounds': 0 is not allowed"):
        project_settings({"rounds": 0, "query_size": 7})
