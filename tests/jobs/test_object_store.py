"""An object store by its URL: what it is called where people read it, and one that cannot be used."""

import re

import pytest

from pt4al_backend.errors import ConfigError, StoreAway
from pt4al_backend.jobs.object_store import ObjectStore, shown


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("fpt://models", r"nothing is known of fpt://.*file:///"),
        (
            "ftp://127.0.0.1:9/models",
            r"ftp://127\.0\.0\.1:9/models cannot be used now: Connection refused.*answers",
        ),
    ],
)
def test_store_of_a_protocol_that_is_unknown_or_does_not_answer_says_what_to_do(url: str, found: str) -> None:
    with pytest.raises((ConfigError, StoreAway)) as refused:
        ObjectStore(url).probe()
    assert re.search(found, f"{refused.value.message} {refused.value.remedy}")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://key:secret@bucket/prefix?token=secret", "s3://bucket/prefix"),
        ("simplecache::ftp://user:secret@host/models", "simplecache::ftp://host/models"),
        ("ftp://user:sec/ret@host/models", "ftp://host/models"),
        ("ftp://user:[secret@host/models", "ftp://host/models"),
    ],
)
def test_place_of_a_store_is_shown_without_its_secrets(url: str, place: str) -> None:
    assert ObjectStore(url).place == shown(url) == place
