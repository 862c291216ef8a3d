import base64
from collections.abc import Sequence

import pytest

from pt4al_backend.errors import ConfigError, ImageUnreadable
from pt4al_backend.images.references import References, Target

TASK = 7


def target(reference: object, url: str = "http://ls:8080", names: Sequence[str] = (), hosts: Sequence[str] = ()) -> Target:
    return References(url, names, hosts).first(reference, TASK)


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("/data/upload/3/ab-cat.png", "/data/upload/3/ab-cat.png"),
        ("  /data/upload/3/cat.png\n", "/data/upload/3/cat.png"),
        ("/data/local-files/?d=a%20b/c.png", "/data/local-files/?d=a%20b/c.png"),
        ("/data/upload/3/süß katze.png", "/data/upload/3/s%C3%BC%C3%9F%20katze.png"),
        ("http://LS:8080/data/upload/3/cat.png", "/data/upload/3/cat.png"),
        ("http://localhost:8080/data/local-files/?d=c.png", "/data/local-files/?d=c.png"),
        ("https://labels.example.com/tool/data/upload/3/cat.png", "/data/upload/3/cat.png"),
        ("/storage-data/uploaded/?filepath=upload/3/cat.png", "/storage-data/uploaded/?filepath=upload/3/cat.png"),
        ("/tasks/7/resolve/?fileuri=czM6", "/tasks/7/resolve/?fileuri=czM6"),
    ],
)
def test_label_studios_files_are_fetched_from_its_url_with_the_token(reference: str, path: str) -> None:
    found = target(reference, names=["http://localhost:8080", "https://labels.example.com/tool/", "", "nonsense"])
    assert (found.origin.host, found.origin.port, found.path) == ("ls", 8080, path)
    assert found.token


@pytest.mark.parametrize(
    "reference", ["/data/upload/x.png", "/tool/data/upload/x.png", "https://ls.example.com/tool/data/upload/x.png"]
)
def test_a_path_prefix_of_label_studio_is_kept(reference: str) -> None:
    found = target(reference, "https://ls.example.com/tool/")
    assert found.path == "/tool/data/upload/x.png"
    assert found.token


@pytest.mark.parametrize(
    "reference",
    [
        "/labelstudio/data/upload/3/x.png",
        "https://host.example.com/labelstudio/data/upload/3/x.png",
        "http://ls:8080/labelstudio/data/upload/3/x.png",
        "/data/upload/3/x.png",
    ],
)
def test_sub_path_that_people_see_is_left_out_at_the_internal_address(reference: str) -> None:
    found = target(reference, names=["https://host.example.com/labelstudio"])
    assert (found.origin.host, found.path, found.token) == ("ls", "/data/upload/3/x.png", True)


def test_redirect_below_the_sub_path_keeps_label_studios_rights() -> None:
    references = References("http://ls:8080", ["https://host.example.com/labelstudio"], [])
    first = references.first("/labelstudio/tasks/7/resolve/?fileuri=czM6", TASK)
    following = references.next(first, "/labelstudio/data/upload/3/x.png")
    assert (first.path, following.path, following.token) == ("/tasks/7/resolve/?fileuri=czM6", "/data/upload/3/x.png", True)


def test_only_files_leave_the_sub_path_out() -> None:
    assert target("/labelstudio/api/users", names=["https://host.example.com/labelstudio"]).path == "/labelstudio/api/users"
    assert not target("/labelstudio/data/../api/users", names=["https://host.example.com/labelstudio"]).token


def test_home_folder_below_a_sub_path_is_no_disk_path() -> None:
    assert target("/home/data/upload/3/x.png", names=["https://host.example.com/home"]).path == "/data/upload/3/x.png"


def test_name_of_a_local_file_is_its_path_whole_or_with_its_end() -> None:
    assert target("/data/local-files/?d=a%20b/c.png&sig=abc").name == "http://ls:8080/data/local-files/?d=a b/c.png"
    long = target(f"/data/local-files/?d={'folder/' * 100}cat-4711.png").name
    assert len(long) <= 210
    assert long.endswith("cat-4711.png")


@pytest.mark.parametrize("scheme", ["s3", "gs", "azure-blob"])
def test_cloud_uris_go_through_label_studios_presign_route(scheme: str) -> None:
    uri = f"{scheme}://bucket/süß/cat?.png"
    found = target(uri, "https://ls/tool")
    start = f"/tool/tasks/{TASK}/presign/?fileuri="
    assert found.path.startswith(start)
    assert base64.urlsafe_b64decode(found.path.removeprefix(start)).decode() == uri
    assert found.origin.host == "ls"
    assert found.token


@pytest.mark.parametrize(
    "reference",
    [
        "/api/users",
        "/data/../api/users",
        "/data/%2e%2e/api/users",
        "/data/..%2fapi/users",
        "/data/..\\api/users",
        "/tasks/7/annotations/",
        "/DATA/../data/x",
        "http://ls:8080/static/logo.png",
    ],
)
def test_the_token_goes_to_no_other_route(reference: str) -> None:
    found = target(reference)
    assert found.label_studio
    assert not found.token


@pytest.mark.parametrize(
    "reference",
    [
        "https://ls:8080/data/upload/x.png",
        "http://ls/data/upload/x.png",
        "http://ls:8080@images.example.com/data/upload/x.png",
        "http://ls.example.com:8080/data/upload/x.png",
        "http://images.example.com/http://ls:8080/data/upload/x.png",
    ],
)
def test_another_origin_is_not_label_studio(reference: str) -> None:
    found = target(reference)
    assert not found.label_studio
    assert not found.token
    assert not found.origin.private


def test_other_applications_beside_a_path_prefix_are_not_label_studio() -> None:
    found = target("https://ls.example.com/images/x.png", "https://ls.example.com/tool")
    assert not found.label_studio
    assert found.path == "/images/x.png"


@pytest.mark.parametrize("entry", ["minio", " MINIO ", "minio:9000"])
def test_named_image_hosts_may_be_private(entry: str) -> None:
    assert target("http://minio:9000/b/x.png?X-Amz-Signature=ab%2Fcd", hosts=[entry, ""]).origin.private
    assert not target("http://minio.evil.com:9000/x.png", hosts=[entry]).origin.private


def test_an_image_host_with_a_port_allows_that_port_alone() -> None:
    assert not target("http://minio:22/x.png", hosts=["minio:9000"]).origin.private


def test_a_presigned_query_is_sent_as_it_is() -> None:
    query = "X-Amz-Credential=AK%2F2024%2Fs3&X-Amz-Signature=0a1b&response-content-type=image%2Fpng"
    assert target(f"https://bucket.s3.amazonaws.com/a%20b.png?{query}").path == f"/a%20b.png?{query}"


def test_international_host_names_are_encoded() -> None:
    assert target("https://bücher.example/x.png").origin.authority == "xn--bcher-kva.example"


def test_ipv6_hosts_keep_their_brackets() -> None:
    assert target("http://[2001:db8::1]:81/x.png").origin.authority == "[2001:db8::1]:81"


@pytest.mark.parametrize(
    ("reference", "remedy"),
    [
        ("file:///etc/passwd", "Cloud Storage"),
        ("FILE:///etc/passwd", "Cloud Storage"),
        ("data:image/png;base64,aGVsbG8=", "Upload the image"),
        ("ftp://host/x.png", "http:// or https://"),
        ("javascript:alert(1)", "http:// or https://"),
        ("gopher://host/", "http:// or https://"),
        ("cat.png", "/data/upload"),
        ("data/upload/cat.png", "/data/upload"),
        ("//images.example.com/x.png", "https: or http:"),
        ("C:/images/x.png", "Local files in Settings > Cloud Storage"),
        ("d:\\images\\x.png", "Local files in Settings > Cloud Storage"),
        ("\\\\server\\share\\x.png", "Local files in Settings > Cloud Storage"),
        ("/root/images/x.png", "Local files in Settings > Cloud Storage"),
        ("/home/ada/x.png", "Local files in Settings > Cloud Storage"),
        ("~/x.png", "Local files in Settings > Cloud Storage"),
        ("", "/data/upload"),
        ("   ", "/data/upload"),
        (None, "/data/upload"),
        (["/data/upload/x.png"], "/data/upload"),
        ({"url": "x"}, "/data/upload"),
        (12, "/data/upload"),
    ],
)
def test_other_references_are_refused_with_a_remedy(reference: object, remedy: str) -> None:
    with pytest.raises(ImageUnreadable) as caught:
        target(reference)
    assert remedy in caught.value.remedy
    assert not caught.value.transient


def test_reference_without_a_scheme_is_named_as_it_was_written() -> None:
    with pytest.raises(ImageUnreadable, match=r"reference //images\.example\.com/x\.png lacks"):
        target("//user:secret@images.example.com/x.png")


@pytest.mark.parametrize(
    "reference", ["http://[::1/x.png", "http://host:99999/x.png", "http://host:x/", "http://", "http://a..b/x"]
)
def test_malformed_urls_are_refused(reference: str) -> None:
    with pytest.raises(ImageUnreadable, match="malformed"):
        target(reference)


@pytest.mark.parametrize("url", ["", "ls:8080", "localhost", "ftp://ls", "http://"])
def test_a_label_studio_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        References(url, [], [])
    assert "LABEL_STUDIO_URL" in caught.value.remedy


def test_names_for_messages_hold_no_secrets() -> None:
    found = target("https://user:hunter2@images.example.com:444/x.png?sig=abc#frag")
    assert found.name == "https://images.example.com:444/x.png"
    assert base64.b64decode(found.login.removeprefix("Basic ")) == b"user:hunter2"
    assert "hunter2" not in target("s3://key:hunter2@bucket/x.png").name
    with pytest.raises(ImageUnreadable) as caught:
        target("ftp://user:hunter2@host/x.png?sig=abc")
    assert "hunter2" not in str(caught.value)
    assert "abc" not in str(caught.value)


def test_redirects_keep_label_studios_rights_only_within_it() -> None:
    references = References("http://ls:8080", ["https://public.example.com"], [])
    first = references.first("/data/upload/x.png", TASK)
    assert references.next(first, "/data/upload/y.png").token
    assert references.next(first, "https://public.example.com/data/upload/y.png").origin.host == "ls"
    assert not references.next(first, "/user/login/").token
    outside = references.next(first, "https://bucket.example.com/y.png?sig=1")
    assert (outside.label_studio, outside.token, outside.origin.private) == (False, False, False)
    back = references.next(outside, "http://ls:8080/data/upload/y.png")
    assert (back.label_studio, back.token, back.origin.private) == (False, False, False)


def test_redirects_keep_a_login_only_at_its_origin() -> None:
    references = References("http://ls:8080", [], [])
    first = references.first("https://user:pass@images.example.com/a/x.png", TASK)
    same = references.next(first, "y.png")
    assert (same.path, same.login) == ("/a/y.png", first.login)
    assert references.next(first, "https://other.example.com/y.png").login == ""
    assert references.next(first, "http://images.example.com/y.png").login == ""


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://host/x", "http://[::1/x", "data:image/png;base64,aGk="])
def test_redirects_to_anything_else_are_refused(location: str) -> None:
    references = References("http://ls:8080", [], [])
    with pytest.raises(ImageUnreadable):
        references.next(references.first("https://images.example.com/x.png", TASK), location)
