"""A notification under way, and one delivery of it to one device."""

cimport cython


@cython.final
@cython.no_gc
cdef class Notification:
    """One accepted notification.

    id: 16 bytes. collapse_id: what the providers get to replace an earlier copy on the screen, at most 64 bytes,
    the caller's when collapse_given, else made from the id. content is dropped once every provider's payload is rendered.
    open_deliveries counts what is not final yet; outcome_bits has bit DeliveryState set for each final state seen.
    """

    def __init__(
        self, bytes id not None, str tenant not None, str app not None, str campaign not None,
        uint8_t klass, uint8_t push_type, bint collapse_given, bytes collapse_id not None,
        int64_t accepted_unix_ms, int64_t send_at_unix_ms, int64_t expires_unix_ms,
        int64_t segment, uint32_t index, uint32_t tenant_tag, uint32_t app_tag,
        tuple user_ids not None, tuple targets not None, object content,
    ):
        self.id = id
        self.tenant = tenant
        self.app = app
        self.campaign = campaign
        self.klass = klass
        self.push_type = push_type
        self.collapse_given = collapse_given
        self.collapse_id = collapse_id
        self.accepted_unix_ms = accepted_unix_ms
        self.send_at_unix_ms = send_at_unix_ms
        self.expires_unix_ms = expires_unix_ms
        self.segment = segment
        self.index = index
        self.tenant_tag = tenant_tag
        self.app_tag = app_tag
        self.user_ids = user_ids
        self.targets = targets
        self.content = content


@cython.final
@cython.no_gc
cdef class Delivery:
    """One notification to one device, with the payload its provider gets.

    envelope is the adapter's own (headers shared by all deliveries of the notification). device_key is the token's
    keyed hash. provider_message_id and exchange are the adapter's to set.
    """

    def __init__(
        self, Notification notification not None, str token not None, bytes payload not None, object envelope,
        uint64_t device_key, int64_t registered_unix_ms, uint8_t provider, uint16_t route,
    ):
        self.notification = notification
        self.token = token
        self.payload = payload
        self.envelope = envelope
        self.device_key = device_key
        self.registered_unix_ms = registered_unix_ms
        self.provider = provider
        self.route = route
