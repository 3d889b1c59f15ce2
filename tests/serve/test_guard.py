"""Who comes in: Host, token, origin; and what every answer says."""

from collections.abc import Callable

import pytest
from explored import Place, Site

from alexnet.serve.guard import Access


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8012", True),
        ("localhost:8012", True),
        ("LocalHost:8012", True),
        ("[::1]:8012", True),
        ("127.0.0.1", True),
        ("localhost:9000", True),  # ssh -L 9000:127.0.0.1:8012
        ("[::1]", True),
        ("evil.example:8012", False),
        ("localhost.evil.example:8012", False),
        ("192.168.0.7:8012", False),
        ("", False),
        ("127.0.0.1:8012x", False),
        ("127.0.0.1:99999999999999999999", False),
        ("localhost:80@evil.example", False),
        ("127.0.0.1/evil.example", False),
        ("[::1", False),
    ],
)
def test_on_this_machine_alone_only_its_own_names_are_known(host: str, known: bool) -> None:
    assert Access("127.0.0.1", 8012).knows(host) == known


def test_open_to_others_addresses_are_known_and_foreign_names_are_not() -> None:
    access = Access.at("0.0.0.0", 8012)
    assert len(access.token) >= 20
    assert access.token != Access.at("0.0.0.0", 8012).token
    assert access.knows("192.168.0.7:8012")
    assert not access.knows("evil.example:8012")
    assert access.address.endswith(f"/{access.token}/")
    assert Access.at("127.0.0.1", 8012).token == ""


def test_a_proxy_is_known_by_the_name_that_was_allowed_and_then_there_is_a_token() -> None:
    access = Access.at("127.0.0.1", 8012, ["Nets.Example"])
    assert len(access.token) >= 20
    for host, known in (("nets.example", True), ("nets.example:443", True), ("localhost:1", True), ("10.0.0.1", False)):
        assert access.knows(host) == known
    ours = ("https://nets.example", "http://nets.example:8080", "https://localhost:9000")
    assert [access.is_ours(origin, "localhost:9000") for origin in ours] == [True] * 3
    foreign = (
        "https://evil.example",
        "null",
        "https://localhost:9001",
        "https://nets.example.evil",
        "file://localhost:9000",
    )
    assert [access.is_ours(origin, "localhost:9000") for origin in foreign] == [False] * 5


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_page_at_a_forwarded_port_may_send_pictures(site: Site, scheme: str, picture: bytes) -> None:
    headers = {"Host": "localhost:9000", "Origin": f"{scheme}://localhost:9000", "Sec-Fetch-Site": "same-origin"}
    assert site.ask("POST", "/api/pictures", picture, headers)[0] == 200
    assert site.ask("POST", "/api/pictures", picture, headers | {"Origin": "http://localhost:3000"})[0] == 403


def test_a_foreign_host_is_refused(site: Site) -> None:
    status, _, body = site.ask("GET", "/api/run", headers={"Host": f"evil.example:{site.access.port}"})
    assert status == 421
    assert b"not known by that name" in body
    assert b"--allowed-hosts" in body


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_requests_of_other_pages_are_refused(site: Site, headers: dict[str, str], picture: bytes) -> None:
    for method, path, body in (("GET", "/api/run", None), ("POST", "/api/pictures", picture)):
        status, answered, _ = site.ask(method, path, body, headers)
        assert status == 403
        assert not [name for name in answered if name.lower().startswith("access-control")]


def test_a_link_from_elsewhere_may_lead_here(site: Site) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert site.ask("GET", "/", headers=headers)[0] == 200
    assert site.ask("POST", "/api/pictures", b"", headers)[0] == 403
    framed = headers | {"Sec-Fetch-Dest": "iframe"}
    assert site.ask("GET", "/", headers=framed)[0] == 403


@pytest.mark.parametrize("path", ["/", "/api/run", "/api/nothing", "/page/style.css"])
def test_every_answer_carries_the_policy(site: Site, path: str) -> None:
    _, headers, _ = site.ask("GET", path)
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers


def test_with_a_token_every_address_begins_with_it(place: Place, serve: Callable[..., Site]) -> None:
    site = serve(place, token="a-token-of-22-letters")
    for path in (
        "/",
        "/api/run",
        "/wrong/api/run",
        "/a-token-of-22-letter/api/run",
        "/api/run?token=a-token-of-22-letters",
    ):
        status, _, body = site.ask("GET", path)
        assert status == 403, path
        assert b"token" in body
        assert b"a-token-of-22-letters" not in body
    status, _, body = site.ask("GET", "/a-token-of-22-letters/")
    assert status == 200
    assert b'<base href="/a-token-of-22-letters/">' in body
    assert site.ask("GET", "/a-token-of-22-letters/api/run")[0] == 200
    assert site.ask("GET", "/a-token-of-22-letters/layer/conv1/unit/2")[0] == 200
