"""What is kept of the weights that a pretrained encoder was given. No torch is needed."""

from pydantic import BaseModel, ConfigDict


class EncoderWeights(BaseModel):
    """The weights of a pretrained encoder, as manifests have them; an entry is empty where an earlier version wrote none.

    Attributes:
        encoder: its name in timm.
        source: where they came from, for people.
        file: name of their file.
        sha256: of their file.
        licence: as timm states it.
        features: that the encoder gives of an image.
    """

    model_config = ConfigDict(frozen=True)

    encoder: str = ""
    source: str = ""
    file: str = ""
    sha256: str = ""
    licence: str = ""
    features: int = 0
