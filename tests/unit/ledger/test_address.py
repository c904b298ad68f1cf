from __future__ import annotations

import pytest
from redis.connection import parse_url

from ledger.contracts.failures import LedgerUnavailableError
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.address import validated_url

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
        ("redis://10.0.0.7:port/0", "cannot be read"),
        ("redis://", "no host"),
        ("redis+sentinel://10.0.0.7/mymaster/0", "begin with redis://"),
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
