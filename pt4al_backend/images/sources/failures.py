"""What a store's errors mean, in words of our own: the libraries' quote addresses, which may hold secrets."""

from collections.abc import Iterator
from dataclasses import dataclass

from pt4al_backend.errors import BucketUnavailable, ImageUnreadable

GO_ON = "Then run the same command again: it goes on where it was."
CREDENTIALS = {
    "s3": "Correct the credentials, which need s3:ListBucket and s3:GetObject: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (with "
    "AWS_SESSION_TOKEN if they are temporary), or AWS_PROFILE. For a public bucket: FSSPEC_S3_ANON=true.",
    "gs": "Correct the credentials, which need to list and read objects: GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth "
    "application-default login`. For a public bucket: FSSPEC_GS_TOKEN=anon.",
}
OF_LISTINGS = 'Let the server allow it, or set a header by FSSPEC_HTTP=\'{"client_kwargs": {"headers": {…}}}\'.'
ADDRESS = {
    "s3": "Check the network. If the store is not Amazon's, set AWS_ENDPOINT_URL to its address.",
    "gs": "Check the network.",
}
#: Names of errors of libraries that are not imported for their sake.
NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "RefreshError", "ProfileNotFound")


@dataclass(frozen=True)
class Failure:
    """What an error of a store says: whether it refused, whether it has no such thing, and its name of the reason."""

    denied: bool
    missing: bool
    code: str


def understood(error: BaseException) -> Failure:
    """What an error of fsspec's file systems means."""
    chain = list(_chain(error))
    codes = [code for each in chain if (code := _code(each))]
    code = codes[0] if codes else type(error).__name__
    named = any(type(each).__name__ in NO_CREDENTIALS for each in chain)
    denied = named or isinstance(error, PermissionError) or code in ("401", "403", "407")
    return Failure(denied, isinstance(error, FileNotFoundError) or code == "404", code)


def of_store(place: str, error: BaseException) -> BucketUnavailable:
    """That what lies at ``place``, a URL, cannot be listed."""
    protocol, _, rest = place.partition("://")
    failure = understood(error)
    if failure.code == "RequestTimeTooSkewed":
        remedy = f"Set this machine's clock, such as by NTP: requests are signed with the time. {GO_ON}"
        return BucketUnavailable(f"The store of {place} finds that this machine's clock is wrong ({failure.code}).", remedy)
    if failure.denied:
        remedy = f"{CREDENTIALS.get(protocol, OF_LISTINGS)} {GO_ON}"
        return BucketUnavailable(f"The store refuses access to {place} ({failure.code}).", remedy)
    if failure.missing and protocol in CREDENTIALS:
        remedy = f"Correct its name. {ADDRESS[protocol]}"
        return BucketUnavailable(f"There is no bucket {rest.partition('/')[0]!r} ({failure.code}).", remedy)
    if failure.missing:
        return BucketUnavailable(f"There is nothing at {place} ({failure.code}).", "Correct the address.")
    remedy = f"{ADDRESS.get(protocol, 'Check the network and the address.')} {GO_ON}"
    return BucketUnavailable(f"The store of {place} does not answer ({failure.code}).", remedy)


def of_image(error: BaseException) -> ImageUnreadable:
    """That one image cannot be read, whose name stands beside it."""
    failure = understood(error)
    if failure.missing:
        return ImageUnreadable(f"It was listed, but is not there any more ({failure.code}).")
    if failure.denied:
        return ImageUnreadable(f"Its store refuses to give it ({failure.code}).", transient=True)
    return ImageUnreadable(f"Its store failed to give it ({failure.code}).", transient=True)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _code(error: BaseException) -> str:
    """The code that a store answered with: botocore's, aiohttp's, gcsfs'."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    status = getattr(error, "status", None) or getattr(error, "code", None)
    return str(status) if isinstance(status, int) else ""
