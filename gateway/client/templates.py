"""The client's templates: published, listed, retired and previewed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from protos.walletpush.v1 import template_pb2 as pb
from protos.walletpush.v1.template_pb2_grpc import TemplateServiceStub

# (method, request) -> answer, with the client's key, deadline and retries.
Call = Callable[[Callable[..., Any], object], Awaitable[Any]]


class Templates:
    """`client.templates`; its methods raise the errors of `gateway.client.errors`."""

    def __init__(self, channel: grpc.aio.Channel, call: Call) -> None:
        self._stub = TemplateServiceStub(channel)  # type: ignore[no-untyped-call]
        self._call = call

    async def publish(self, template: pb.Template, *, validate_only: bool = False) -> pb.Template:
        """Check a template and make it current; return it as stored. Raises InvalidArgument with every fault."""
        request = pb.PublishTemplateRequest(template=template, validate_only=validate_only)
        answer: pb.PublishTemplateResponse = await self._call(self._stub.PublishTemplate, request)
        return answer.template

    async def get(self, app: str, template_id: str, version: int = 0) -> pb.Template:
        """Return a version, 0 for the current one. Raises NotFound."""
        request = pb.GetTemplateRequest(app=app, template_id=template_id, version=version)
        answer: pb.GetTemplateResponse = await self._call(self._stub.GetTemplate, request)
        return answer.template

    async def list(self, app: str) -> AsyncIterator[pb.Template]:
        """Give an app's templates by id, without bodies."""
        request = pb.ListTemplatesRequest(app=app)
        while True:
            answer: pb.ListTemplatesResponse = await self._call(self._stub.ListTemplates, request)
            for template in answer.templates:
                yield template
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    async def retire(self, app: str, template_id: str) -> None:
        """Take no more notifications for a template. Raises NotFound."""
        request = pb.RetireTemplateRequest(app=app, template_id=template_id)
        await self._call(self._stub.RetireTemplate, request)

    async def preview(self, request: pb.PreviewTemplateRequest) -> pb.PreviewTemplateResponse:
        """Render what a user would see, and what a person should know of it."""
        answer: pb.PreviewTemplateResponse = await self._call(self._stub.PreviewTemplate, request)
        return answer
