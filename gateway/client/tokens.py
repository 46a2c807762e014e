"""Device tokens by provider, in fewer words than the contract's."""

from __future__ import annotations

from protos.walletpush.v1 import notification_pb2 as pb


def apns_token(token: str, *, sandbox: bool = False) -> pb.DeviceToken:
    """Name an Apple device by its hexadecimal token."""
    environment = pb.ENVIRONMENT_SANDBOX if sandbox else pb.ENVIRONMENT_PRODUCTION
    return pb.DeviceToken(provider=pb.PROVIDER_APNS, token=token, environment=environment)


def fcm_token(token: str) -> pb.DeviceToken:
    """Name an Android or web device by its registration token."""
    return pb.DeviceToken(provider=pb.PROVIDER_FCM, token=token)
