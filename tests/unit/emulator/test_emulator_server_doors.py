"""Who may come in, by the name that is called and the page that asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.emulator.server.arrivals import path_style
from mlops_sm.emulator.server.doors import is_local, is_loopback, stranger

PLACES = [
    "127.0.0.1",
    "127.8.9.10",
    "localhost",
    "LOCALHOST",
    "[::1]",
    "bucket.localhost",
    "s3.us-east-1.amazonaws.com",
]


@pytest.mark.parametrize("host", [*PLACES, *(f"{place}:5225" for place in PLACES), "host.docker.internal:5225"])
def test_names_of_this_machine(host: str) -> None:
    assert is_local(host)


STRANGERS = [
    *("example.com", "127.0.0.1.example.com", "localhost.evil", "notlocalhost", "evil-s3.amazonaws.com.example"),
    *("10.0.0.1", "[::2]", "127.0.0.1@example.com", "ec2-1-2-3-4.compute-1.amazonaws.com", "amazonaws.com", ""),
    # Browsers let pages call it, and it leads to this machine.
    "0.0.0.0",  # noqa: S104 - nothing is bound
]


@pytest.mark.parametrize("host", STRANGERS)
def test_names_of_anybody(host: str) -> None:
    assert not is_local(host)


@given(st.from_regex(r"[a-z0-9.\-]{1,30}\.(com|org|net|io|internal)", fullmatch=True))
def test_a_name_in_public_dns_is_never_this_machine(name: str) -> None:
    assert is_local(name) == (name.endswith(".amazonaws.com") and "s3" in name) or name == "host.docker.internal"


def test_a_server_that_others_may_call_goes_by_any_name_but_not_for_any_page() -> None:
    assert stranger({"host": "build.example.com:5225"}, exposed=True) is None
    same = {"host": "build.example.com:5225", "origin": "http://build.example.com:5225"}
    assert stranger(same, exposed=True) is None
    assert stranger({"host": "build.example.com", "origin": "https://evil.example.com"}, exposed=True) is not None
    assert stranger(same, exposed=False) is not None


def test_who_sends_no_host_is_no_browser() -> None:
    """HTTP/1.0; every browser sends one."""
    assert stranger({}, exposed=False) is None


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.1.1.1", False), ("x", False), ("", False)],
)
def test_addresses(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


@pytest.mark.parametrize(
    ("host", "path", "moved"),
    [
        ("b.s3.localhost:1", "/k?x=1", ("localhost:1", "/b/k?x=1")),
        ("b.localhost", "/k", ("localhost", "/b/k")),
        ("with.dots.127.0.0.1:1", "/", ("127.0.0.1:1", "/with.dots/")),
        ("b.s3.eu-west-1.amazonaws.com", "/k", ("s3.eu-west-1.amazonaws.com", "/b/k")),
        ("b.s3-accelerate.amazonaws.com", "/k", ("s3-accelerate.amazonaws.com", "/b/k")),
        ("127.0.0.1:1", "/b/k", ("127.0.0.1:1", "/b/k")),
        ("localhost:1", "/b/k", ("localhost:1", "/b/k")),
        ("[::1]:1", "/b/k", ("[::1]:1", "/b/k")),
        ("s3.localhost", "/b/k", ("s3.localhost", "/b/k")),
        ("s3.us-east-1.amazonaws.com", "/b/k", ("s3.us-east-1.amazonaws.com", "/b/k")),
        ("", "/b/k", ("", "/b/k")),
    ],
)
def test_a_bucket_moves_from_the_host_to_the_path(host: str, path: str, moved: tuple[str, str]) -> None:
    assert path_style(host, path) == moved


def test_an_origin_that_is_no_address_is_a_stranger_s() -> None:
    assert stranger({"host": "127.0.0.1", "origin": "http://["}, exposed=False) is not None
    assert stranger({"host": "build.example.com", "origin": "http://["}, exposed=True) is not None
