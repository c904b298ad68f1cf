"""Signatures of webhooks, against the public test vectors of Standard Webhooks and its library."""

from __future__ import annotations

import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from gateway.webhooks.signature import signed_headers
from ledger.webhooks.webhook_store import new_secret

MESSAGE, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'
PLAIN = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize("secret", [PLAIN, f"whsec_{PLAIN}"])
def test_the_public_vector(secret: str) -> None:
    headers = signed_headers([secret], MESSAGE, 1_614_265_330, BODY)
    assert headers == {
        "webhook-id": MESSAGE,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_the_library_verifies_each_secret_and_no_other() -> None:
    current, previous, other = new_secret(), new_secret(), new_secret()
    headers = signed_headers([current, previous], MESSAGE, int(time.time()), BODY)
    for secret in (current, previous):
        assert Webhook(secret).verify(BODY, headers) == {"test": 2432232314}
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(current).verify(BODY + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(current).verify(BODY, headers | {"webhook-id": "msg_other"})
