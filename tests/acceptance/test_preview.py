"""The preview page of a whole gateway shows what was published through any worker."""

from __future__ import annotations

import urllib.parse
import urllib.request

from protos.walletpush.v1 import notification_pb2, preference_pb2, template_pb2, value_pb2
from protos.walletpush.v1.template_pb2_grpc import TemplateServiceStub
from tests.acceptance.gateway_process import Gateway

TIMEOUT_S = 20.0


def test_the_page_of_the_supervisor_shows_what_a_worker_published(gateway: Gateway) -> None:
    template = template_pb2.Template(
        app="wallet", template_id="preview.page", category="payment", default_locale="en",
        notification_class=notification_pb2.NOTIFICATION_CLASS_TRANSACTIONAL,
        variables=[template_pb2.Variable(name="amount", type=template_pb2.VARIABLE_TYPE_MONEY, sensitive=True,
                                         default_value=value_pb2.Value(money=value_pb2.Money(minor_units=4_217)))],
        bodies=[template_pb2.TemplateBody(channel=preference_pb2.CHANNEL_PUSH, locale="en", title="Paid {{ amount }}")],
    )  # fmt: skip
    with gateway.channel() as channel:
        stub = TemplateServiceStub(channel)  # type: ignore[no-untyped-call]
        stub.PublishTemplate(template_pb2.PublishTemplateRequest(template=template), timeout=TIMEOUT_S)
    asked = urllib.parse.urlencode({
        "lang": "en", "source": "stored", "app": "wallet", "template": "preview.page", "locale": "en",
        "currency": "USD",
    })  # fmt: skip
    with urllib.request.urlopen(f"http://{gateway.web}/preview?{asked}", timeout=TIMEOUT_S) as answer:
        page = answer.read().decode()
    assert page.count('<p class="title">Paid $42.17</p>') == 2
    assert page.count('<p class="title">Paid •••</p>') == 2
