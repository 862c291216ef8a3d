"""Sets of classes as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pt4al_backend.label_sets import from_text, to_text

names = st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1), max_size=6, unique=True)


@given(names, st.data())
def test_names_of_any_characters_survive_in_the_configs_order(classes: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(classes)) if classes else st.just([]))
    text = to_text(chosen, classes)
    assert from_text(text) == tuple(name for name in classes if name in chosen)
    assert text == to_text(chosen[::-1], classes)


def test_no_class_is_a_label_as_well() -> None:
    assert to_text([], ["cat", "dog"]) == "[]"
    assert from_text("[]") == ()


@pytest.mark.parametrize("text", ["", "cat", '"cat"', "{}", "[1]", '[["cat"]]', "null"])
def test_other_texts_are_no_sets(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_text(text)
