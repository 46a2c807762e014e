"""The common notification, read from its canonical bytes in one pass; anything else is left to the general way.

Reading some 25 fields through protobuf's Python attributes took 13 us a notification, this takes about one. It never refuses:
what it does not take as it is, valid or not, it gives back, so that gateway.convert alone says what is wrong.
Source: https://protobuf.dev/programming-guides/encoding/
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8

from core.delivery cimport Notification
from gateway.wire_spans cimport (
    Span, is_apns_token, is_fcm_token, is_plain, is_reserved, is_safe_link, is_visible, take_span, take_varint,
)

from core.content.message import Content
from core.model import Environment, Provider, PushType, Target


cdef enum:
    VARINT = 0
    LENGTH = 2
    MAX_RECIPIENTS = 10_000
    MAX_DATA = 64
    ALERT = 1
    BACKGROUND = 2
    APNS = 1
    FCM = 2
    DEFAULT_TTL_MS = 86_400_000

cdef int64_t MAX_TTL_MS = 28 * 86_400_000
cdef object new_tuple = tuple.__new__
cdef tuple PROVIDERS = (None, Provider.APNS, Provider.FCM)
cdef tuple ENVIRONMENTS = (Environment.PRODUCTION, Environment.PRODUCTION, Environment.SANDBOX)
cdef object CONTENT = Content
cdef object TARGET = Target


cdef inline str text(Span span):
    return PyUnicode_DecodeUTF8(<const char *>span.at, span.size, NULL)


@cython.final
cdef class AppScope:
    """What a caller may use of one app; providers: bit n stands for Provider n."""

    def __init__(self, str name, bytes prefix, providers, uint32_t tag):
        self.name = name
        self.prefix = prefix
        self.tag = tag
        for provider in providers:
            self.providers |= <uint64_t>1 << <int>provider


@cython.final
cdef class QuickReader:
    """Reads for one scope; providers and app_tags: by app."""

    def __init__(self, str tenant not None, uint32_t tenant_tag, providers, app_tags):
        self._tenant = tenant
        self._tenant_tag = tenant_tag
        self._apps = {
            app.encode(): AppScope(app, f"{tenant}\0{app}\0".encode(), found, app_tags[app])
            for app, found in providers.items() if found
        }
        self._targets = []
        self._users = []

    def read(self, bytes body not None, int64_t now_unix_ms):
        """Return (Notification without an id, idempotency key with tenant and app before it), or None.

        body: as Notification.SerializeToString(deterministic=True) gives it.
        """
        cdef Message message
        cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(body)
        self._app = None
        self._targets.clear()
        self._users.clear()
        try:
            if not self._scan(at, at + PyBytes_GET_SIZE(body), &message):
                return None
            return self._build(&message, now_unix_ms)
        except UnicodeDecodeError:
            return None

    cdef object _build(self, Message *message, int64_t now_unix_ms):
        cdef AppScope app = self._app
        cdef object content = self._content(message.content)
        cdef int64_t expires_unix_ms
        cdef uint64_t push_type
        if content is None:
            return None
        expires_unix_ms = expiry(message.ttl, now_unix_ms)
        if expires_unix_ms == 0:
            return None
        shows = bool(content[0] or content[1]) or <int>content[5] >= 0
        if message.push_type == ALERT and not shows:
            return None
        push_type = ALERT if shows else BACKGROUND
        targets, users = tuple(self._targets), tuple(self._users)
        if len(targets) > 1:
            targets = tuple(dict.fromkeys(targets))
        notification = Notification(
            self._tenant, app.name, text(message.campaign), <uint8_t>(message.klass - 1), <uint8_t>push_type,
            message.collapse_key.at[:message.collapse_key.size], now_unix_ms, 0, expires_unix_ms,
            self._tenant_tag, app.tag, users, targets, content,
        )
        key = app.prefix + message.key.at[:message.key.size]
        return notification, key

    cdef bint _scan(self, const uint8_t *at, const uint8_t *end, Message *message) except -1:
        """Split the message into spans and check all but the content; False leaves it to the general way."""
        cdef Span nothing = Span(b"", 0)
        cdef Span span
        cdef uint64_t tag, number
        message[0] = Message(nothing, nothing, nothing, nothing, nothing, 0, 0, False)
        while at < end:
            if not take_varint(&at, end, &tag):
                return False
            if tag == (5 << 3 | VARINT) or tag == (12 << 3 | VARINT):
                if not take_varint(&at, end, &number):
                    return False
                if tag >> 3 == 5:
                    message.klass = number
                elif number == ALERT:
                    message.push_type = number
                else:
                    return False
            elif tag & 7 != LENGTH or not take_span(&at, end, &span) or not self._take(tag >> 3, span, message):
                return False
        return (
            self._app is not None and message.has_content and 1 <= message.klass <= 4
            and 1 <= len(self._targets) + len(self._users) <= MAX_RECIPIENTS
            and is_plain(message.key, 1, 128) and is_plain(message.campaign, 0, 64)
            and is_visible(message.collapse_key, 64, 0x20)
        )

    cdef bint _take(self, uint64_t field, Span span, Message *message) except -1:
        """Take one field that has a length; False leaves the message to the general way."""
        if field == 3 or field == 4:
            return self._add_recipient(field, span)
        if field == 1:
            message.key = span
        elif field == 2:
            self._app = self._apps.get(span.at[:span.size])
            return self._app is not None
        elif field == 6:
            message.content = span
            message.has_content = True
        elif field == 8:
            message.collapse_key = span
        elif field == 9:
            message.ttl = span
            # An empty one is a lifetime of nothing, not none.
            return span.size > 0
        elif field == 13:
            message.campaign = span
        else:
            return False
        return True

    cdef bint _add_recipient(self, uint64_t field, Span span) except -1:
        if len(self._targets) + len(self._users) >= MAX_RECIPIENTS:
            return False
        if field == 3:
            if is_plain(span, 1, 128):
                self._users.append(text(span))
                return True
            return False
        target = self._target(span, self._app.providers) if self._app is not None else None
        if target is None:
            return False
        self._targets.append(target)
        return True

    cdef object _target(self, Span device, uint64_t providers):
        cdef const uint8_t *at = device.at
        cdef const uint8_t *end = at + device.size
        cdef uint64_t tag, provider = 0, environment = 0
        cdef Span token = Span(b"", 0)
        while at < end:
            if not take_varint(&at, end, &tag):
                return None
            if tag == (1 << 3 | VARINT):
                if not take_varint(&at, end, &provider):
                    return None
            elif tag == (2 << 3 | LENGTH):
                if not take_span(&at, end, &token):
                    return None
            elif tag == (3 << 3 | VARINT):
                if not take_varint(&at, end, &environment):
                    return None
            else:
                return None
        if provider == APNS:
            if environment > 2 or not is_apns_token(token):
                return None
        elif provider != FCM or environment > 1 or not is_fcm_token(token):
            return None
        if not providers >> provider & 1:
            return None
        return new_tuple(TARGET, (PROVIDERS[provider], text(token), ENVIRONMENTS[environment], 0))

    cdef object _content(self, Span span):
        """Return the Content, or None; links to images and videos are the general way's."""
        cdef Span nothing = Span(b"", 0)
        cdef Words words = Words(nothing, nothing, nothing, nothing, nothing, -1)
        cdef dict data = {}
        if not self._split(span, &words, data):
            return None
        if not (
            is_plain(words.title, 0, 256) and is_plain(words.body, 0, 4000)
            and is_plain(words.sound, 0, 128) and is_plain(words.thread, 0, 64)
        ):
            return None
        if words.link.size and not is_safe_link(words.link):
            return None
        if not (words.title.size or words.body.size or data or words.badge >= 0):
            return None
        return new_tuple(CONTENT, (
            text(words.title), text(words.body), "", "", text(words.link), words.badge, text(words.sound),
            text(words.thread), data or None, "", None, None,
        ))

    cdef bint _split(self, Span span, Words *words, dict data) except -1:
        """Split the content into spans and fill its data; False leaves it to the general way."""
        cdef const uint8_t *at = span.at
        cdef const uint8_t *end = at + span.size
        cdef uint64_t tag, badge
        cdef Span entry
        cdef Py_ssize_t total = 0
        while at < end:
            if not take_varint(&at, end, &tag):
                return False
            if tag == (6 << 3 | VARINT):
                if not take_varint(&at, end, &badge) or badge > 99_999:
                    return False
                words.badge = <int>badge
                continue
            if tag & 7 != LENGTH or not take_span(&at, end, &entry):
                return False
            tag >>= 3
            if tag == 1:
                words.title = entry
            elif tag == 2:
                words.body = entry
            elif tag == 5:
                words.link = entry
            elif tag == 7:
                words.sound = entry
            elif tag == 8:
                words.thread = entry
            elif tag != 9 or not self._add_entry(entry, data, &total):
                return False
        return True

    cdef bint _add_entry(self, Span span, dict data, Py_ssize_t *total) except -1:
        """Add one entry of the data map; False leaves it to the general way."""
        cdef const uint8_t *at = span.at
        cdef const uint8_t *end = at + span.size
        cdef uint64_t tag
        cdef Span key = Span(b"", 0), value = Span(b"", 0)
        while at < end:
            if not take_varint(&at, end, &tag) or tag != (1 << 3 | LENGTH) and tag != (2 << 3 | LENGTH):
                return False
            if not take_span(&at, end, &key if tag >> 3 == 1 else &value):
                return False
        total[0] += key.size + value.size
        if not (is_plain(key, 1, 64) and is_plain(value, 0, 2048)) or is_reserved(key) or total[0] > 4000:
            return False
        data[text(key)] = text(value)
        return len(data) <= MAX_DATA


cdef int64_t expiry(Span ttl, int64_t now_unix_ms) noexcept:
    """Return when it expires; 0 for a ttl that is not for here."""
    cdef const uint8_t *at = ttl.at
    cdef const uint8_t *end = at + ttl.size
    cdef uint64_t tag, value
    cdef int64_t ttl_ms = 0
    if ttl.size == 0:
        return now_unix_ms + DEFAULT_TTL_MS
    while at < end:
        if not take_varint(&at, end, &tag) or not take_varint(&at, end, &value):
            return 0
        if tag == (1 << 3 | VARINT) and value <= 28 * 86_400:
            ttl_ms += <int64_t>value * 1000
        elif tag == (2 << 3 | VARINT) and value <= 999_999_999:
            ttl_ms += <int64_t>(value // 1_000_000)
        else:
            return 0
    return now_unix_ms + ttl_ms if 1000 <= ttl_ms <= MAX_TTL_MS else 0
