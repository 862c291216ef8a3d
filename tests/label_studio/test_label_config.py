import pytest

from pt4al_backend.errors import LabelConfigUnsupported
from pt4al_backend.label_studio.label_config import ClassificationConfig, parse

IMAGE = '<Image name="image" value="$image"/>'
CHOICES = '<Choices name="label" toName="image"><Choice value="cat"/><Choice value="dog"/></Choices>'


def view(*parts: str) -> str:
    return f"<View>{''.join(parts)}</View>"


def test_one_choice_for_one_image() -> None:
    assert parse(view(IMAGE, CHOICES)) == ClassificationConfig("label", "image", "image", ("cat", "dog"))


def test_what_the_page_shows_around_it_does_not_matter() -> None:
    config = view(
        '<Header value="What is it?"/>',
        '<Image name="photo" value="$url of photo" zoom="true"/>',
        '<!-- <Choices name="old" toName="photo"/> -->',
        '<choices name="animal" toName="photo" choice="single-radio">',
        '<View><Choice value="größer"/><Choice value="a &amp; b"/></View></choices>',
        '<TextArea name="remark" toName="photo"/>',
    )
    assert parse(config) == ClassificationConfig("animal", "photo", "url of photo", ("gr\u00f6\u00dfer", "a & b"))


def test_an_alias_stands_for_the_value_as_in_annotations() -> None:
    choices = '<Choices name="c" toName="image"><Choice value="A cat" alias="cat"/><Choice value="dog"/></Choices>'
    assert parse(view(IMAGE, choices)).labels == ("cat", "dog")


def test_questions_about_regions_leave_the_question_about_the_image() -> None:
    per_region = '<Choices name="part" toName="image" perRegion="true"><Choice value="x"/></Choices>'
    assert parse(view(IMAGE, per_region, CHOICES)).from_name == "label"


@pytest.mark.parametrize(
    ("config", "says", "remedy"),
    [
        ("", "not XML", "Settings > Labeling Interface"),
        ("<View>", "not XML", "Settings > Labeling Interface"),
        ("<View></View>", "no image", '<Image name="image" value="$image"/>'),
        (view('<Text name="t" value="$text"/>', CHOICES), "it shows <Text>", "<Image"),
        (view(IMAGE, '<Image name="second" value="$other"/>', CHOICES), "'image', 'second'", "one <Image>"),
        (view('<Image value="$image"/>', CHOICES), "no name", "name="),
        (view('<Image name="image" valueList="$images"/>', CHOICES), "list of images", "valueList"),
        (view('<Image name="image" value="http://x/y.png"/>', CHOICES), "'http://x/y.png'", 'value="$image"'),
        (view('<Image name="image" value="$a.b"/>', CHOICES), "'$a.b'", 'value="$image"'),
        (view('<Image name="image" value="$a[0]"/>', CHOICES), "'$a[0]'", 'value="$image"'),
        (view('<Image name="image" value="$"/>', CHOICES), "'$'", 'value="$image"'),
        (view(IMAGE), "asks for no choice", "<Choices"),
        (view(IMAGE, CHOICES, CHOICES.replace("label", "mood")), "'label', 'mood'", "one <Choices>"),
        (view(IMAGE, CHOICES.replace("name=", 'choice="multiple" name=')), "several choices", 'choice="single"'),
        (view(IMAGE, CHOICES.replace('toName="image"', 'toName="text"')), "No <Choices> points to", 'toName="image"'),
        (view(IMAGE, CHOICES.replace('toName="image"', 'toName="image,text"')), "more than the image", 'toName="image"'),
        (view(IMAGE, CHOICES.replace('name="label"', "")), "has no name", "name="),
        (view(IMAGE, CHOICES.replace("name=", 'perRegion="true" name=')), "for each region", "perRegion"),
        (view(IMAGE, CHOICES.replace("name=", 'perItem="True" name=')), "for each region or item", "perItem"),
        (view(IMAGE, CHOICES.replace("name=", 'value="$options" name=')), "from the task's data", "<Choice"),
        (view(IMAGE, CHOICES.replace('<Choice value="dog"/>', "")), "offers 1 choices", "<Choice"),
        (view(IMAGE, CHOICES.replace("dog", "cat")), "'cat' more than once", "another"),
        (view(IMAGE, CHOICES.replace('value="dog"', "")), "has no value", "value="),
        (
            view(IMAGE, CHOICES.replace('<Choice value="cat"/>', '<Choice value="cat"><Choice value="lynx"/></Choice>')),
            "within",
            "one level",
        ),
        (view(IMAGE, '<BrushLabels name="b" toName="image"><Label value="x"/></BrushLabels>'), "<BrushLabels>", "To classify"),
        (view(IMAGE, '<PolygonLabels name="b" toName="image"/>'), "not supported by this version", "To classify"),
    ],
)
def test_what_cannot_be_learnt_is_refused_with_what_to_change(config: str, says: str, remedy: str) -> None:
    with pytest.raises(LabelConfigUnsupported) as caught:
        parse(config)
    assert says in caught.value.message
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE View [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE View [<!ENTITY file SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE View SYSTEM "http://127.0.0.1/evil.dtd">',
    ],
)
def test_documents_that_declare_entities_are_refused(declaration: str) -> None:
    with pytest.raises(LabelConfigUnsupported, match="document type"):
        parse(declaration + view(IMAGE, CHOICES))


def test_deep_nesting_is_read_or_refused_but_never_fatal() -> None:
    depth = 20_000
    assert parse("<View>" * depth + IMAGE + CHOICES + "</View>" * depth).labels == ("cat", "dog")
