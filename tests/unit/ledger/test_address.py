from __future__ import annotations

import pytest
from redis.connection import parse_url

from ledger.contracts.failures import LedgerUnavailableError
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.address import validated_url
from ledger.server.topology.addresses import Node, read_address

PIECES = ("47", "Hidden", "h1dd")  # of the passwords below


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://:47#Hidden3@10.0.0.7:6379/0", "a `#`"),
        ("redis://:47/Hidden3@10.0.0.7:6379/0", "no host"),
        ("redis://:47?Hidden3@10.0.0.7:6379/0", "no host"),
        ("redis://shop:h1dd@en?Hidden=3@10.0.0.7/0", "unknown option"),
        ("redis://shop:h1dd:en/3@10.0.0.7/0", "cannot be read"),
        ("redis://:Hid den@10.0.0.7/0", "spaces"),
        ("redis://10.0.0.7/mydb", "number of a database"),
        ("redis://10.0.0.7:6379/0/1", "number of a database"),
        ("redis://10.0.0.7:0/0", "port 0"),
        ("redis://10.0.0.7:port/0", "a port is a number"),
        ("redis://", "no host"),
        ("http://10.0.0.7/0", "begin with redis://"),
        ("redis://10.0.0.7:6379,10.0.0.8:6379/0", "redis+sentinel://"),
        ("redis://:47Hidden@10.0.0.7:6379,10.0.0.8:6379/0", "several hosts"),
        ("sentinel://10.0.0.7:26379;sentinel://10.0.0.8:26379", "write redis+sentinel://"),
        ("redis-sentinel://10.0.0.7/mymaster/0", "write redis+sentinel://"),
        ("redis-cluster://10.0.0.7", "write redis+cluster://"),
        ("redis+sentinel://10.0.0.7,10.0.0.8", "name of the service is missing"),
        ("redis+sentinel://10.0.0.7/0", "name of the service is missing"),
        ("redis+sentinel://10.0.0.7/my master/0", "name of the service may have"),
        ("redis+sentinel://10.0.0.7/my@master/0", "name of the service may have"),
        ("redis+sentinel://10.0.0.7/mymaster/zero", "number of a database"),
        ("redis+sentinel://10.0.0.7/mymaster/0/1", "number of a database"),
        ("redis+sentinel:///mymaster/0", "host number 1 is empty"),
        ("redis+sentinel://10.0.0.7,,10.0.0.9/mymaster", "host number 2 is empty"),
        ("redis+sentinel://10.0.0.7,10.0.0.8:0/mymaster", "host number 2 is empty or has port 0"),
        ("redis+sentinel://10.0.0.7,10.0.0.8:99999/mymaster", "host number 2 is no host:port"),
        ("redis+sentinel://10.0.0.7:26379,10.0.0.7/mymaster", "host number 2 is there twice"),
        ("redis+sentinel://:47#Hidden@10.0.0.7/mymaster", "a `#`"),
        ("redis+sentinel://:47/Hidden@10.0.0.7/mymaster", "host number 1"),
        ("redis+sentinel://10.0.0.7/mymaster?sentinel_passwort=47Hidden", "sentinel_username, sentinel_password"),
        ("redis+sentinel://10.0.0.7/mymaster?sentinel_password=", "sentinel_password must have one value"),
        ("redis+sentinel://10.0.0.7/mymaster?sentinel_username=Hidden", "needs sentinel_password"),
        ("redis+sentinel://10.0.0.7/mymaster?sentinel_ssl=maybe", "sentinel_ssl must be yes or no"),
        ("redis+sentinel://10.0.0.7/mymaster?sentinel_ssl=yes", "write rediss+sentinel://"),
        ("redis+sentinel://10.0.0.7/mymaster?ssl_ca_certs=/etc/ssl/ca.pem", "write rediss+sentinel://"),
        ("redis+sentinel://10.0.0.7/mymaster/zero", "write redis+sentinel://"),
        ("redis+sentinel://10.0.0.7/mymaster?verbose=1", "known are sentinel_username"),
        ("redis+sentinel://a:47@10.0.0.7,a:47@10.0.0.8/mymaster", "before all hosts"),
        ("redis+sentinel://10.0.0.7,b c/mymaster", "host number 2 has a space"),
        ("redis+cluster://10.0.0.7:7000?verbose=1", "write redis+cluster://"),
        ("redis+sentinel://10.0.0.7/mymaster/1?db=2", "the same value twice"),
        ("redis+cluster://10.0.0.7:7000,10.0.0.8:7000/1", "no other database"),
        ("redis+cluster://10.0.0.7:7000?db=1", "no other database"),
        ("redis+cluster://10.0.0.7:7000/shop", "no other database"),
        ("unix://var/run/redis.sock", "three slashes"),
        ("unix:///run/redis.sock?db=five", "db must be a number"),
        ("redis://10.0.0.7/0?db=3", "the same value twice"),
        ("redis://:Hidden@10.0.0.7/0?password=47", "the same value twice"),
        ("redis://10.0.0.7/0?client_name=a&client_name=b", "the same value twice"),
        ("redis://10.0.0.7/0?client_name=", "no value"),
        ("redis://10.0.0.7/0?verbose", "must be options"),
        ("redis://10.0.0.7/0?decode_responses=true", "decode_responses: remove it"),
        ("redis://10.0.0.7/0?socket_timeout=0.1", "CORNERMAN_REPLY_TIMEOUT_SECONDS"),
        ("redis://10.0.0.7/0?ssl_ca_certs=/etc/ssl/ca.pem", "rediss://"),
        ("rediss://10.0.0.7/0?ssl_cert_reqs=CERT_SOMETIMES", "ssl_cert_reqs must be one of none"),
        ("rediss://10.0.0.7/0?ssl_ca_certs=/nonexistent/47.pem", "ssl_ca_certs names no file"),
        ("rediss+sentinel://10.0.0.7/m?ssl_keyfile=/nonexistent/47.pem", "ssl_keyfile names no file"),
        ("rediss+cluster://10.0.0.7?ssl_certfile=/nonexistent/47.pem", "ssl_certfile names no file"),
        ("rediss://10.0.0.7/0?ssl_min_version=new", "ssl_min_version"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_of_a_password_is_quoted(url: str, said: str) -> None:
    with pytest.raises(LedgerUnavailableError) as caught:
        Ledger.connect(LedgerSettings(redis_url=url))
    assert said in str(caught.value)
    assert not any(piece in str(caught.value) for piece in PIECES)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://10.0.0.7", {"host": "10.0.0.7"}),
        ("redis://10.0.0.7:6380/", {"host": "10.0.0.7", "port": 6380}),
        ("redis://shop:47%23Hid%2Fden@db.example:6379/2", {"username": "shop", "password": "47#Hid/den", "db": 2}),
        ("redis://:h1dd@en@[::1]:6379/0", {"password": "h1dd@en", "host": "::1"}),
        ("unix:///run/redis.sock?db=5&password=a%26b", {"path": "/run/redis.sock", "db": 5, "password": "a&b"}),
        ("rediss://h/0?ssl_cert_reqs=CERT_NONE", {"ssl_cert_reqs": "none"}),
        ("rediss://h/0?ssl_cert_reqs=required", {"ssl_cert_reqs": "required"}),
        ("rediss://h/0?ssl_ca_certs=/etc/ssl/c%20a.pem", {"ssl_ca_certs": "/etc/ssl/c a.pem"}),
    ],
)
def test_what_is_meant_is_what_redis_py_reads(url: str, expected: dict[str, object]) -> None:
    read = parse_url(validated_url(url))
    assert {name: read.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("url", "nodes", "service", "expected"),
    [
        (
            "redis+sentinel://shop:47%23Hid%2Fden@a:26380,b,[::1]:5/mymaster/3?client_name=x",
            ("a:26380", "b:26379", "[::1]:5"),
            "mymaster",
            {"username": "shop", "password": "47#Hid/den", "db": 3, "client_name": "x"},
        ),
        ("redis+sentinel://a/mymaster", ("a:26379",), "mymaster", {"db": None, "password": None}),
        ("redis+sentinel://a/my.master-1/", ("a:26379",), "my.master-1", {"db": None}),
        ("rediss+sentinel://a/m/0?ssl_cert_reqs=CERT_NONE", ("a:26379",), "m", {"ssl_cert_reqs": "none"}),
        ("redis+cluster://:h1dd@a:7000,b/", ("a:7000", "b:6379"), "", {"password": "h1dd"}),
        ("rediss+cluster://a:7000/0", ("a:7000",), "", {}),
    ],
)
def test_a_url_with_several_hosts_is_read(
    url: str, nodes: tuple[str, ...], service: str, expected: dict[str, object]
) -> None:
    read = read_address(url)
    assert (tuple(map(str, read.nodes)), read.service) == (nodes, service)
    options = parse_url(read.url)
    assert {name: options.get(name) for name in expected} == expected
    assert read.url.startswith("rediss://") == url.startswith("rediss")


def test_the_sentinels_have_credentials_of_their_own() -> None:
    read = read_address("rediss+sentinel://a/m?sentinel_username=u&sentinel_password=p%26w&sentinel_ssl=no&db=2")
    assert (read.sentinel_username, read.sentinel_password, read.sentinel_tls) == ("u", "p&w", False)
    assert read.url == "rediss://a:26379/?db=2"
    assert read.nodes == (Node("a", 26379),)
    assert read_address("rediss+sentinel://a/m").sentinel_tls
