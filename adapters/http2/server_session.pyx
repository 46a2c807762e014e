"""The server's half of one HTTP/2 connection, for provider simulators and benchmarks: obedient, or faulty on request."""

import cython
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from adapters.http2.blob cimport blob_append, blob_free
from adapters.http2.headers cimport MAX_FIELDS, HeaderBlock, point_field
from adapters.http2.nghttp2 cimport *
from adapters.http2.wire cimport pump

from adapters.http2.errors import SessionBroken

cdef enum:
    CONNECTION_WINDOW = 16 * 1024 * 1024
    MAX_EXTRA_FIELDS = 16

cdef bytes STATUS = b":status"
cdef tuple STATUSES = tuple(b"%d" % status for status in range(1000))


@cython.final
cdef class CannedAnswer:
    """An answer given without looking at the request: `head` must begin with `:status`."""

    def __cinit__(self, HeaderBlock head not None, bytes body=b""):
        if head.pseudo_count != 1 or head.pairs[0][0] != STATUS:
            raise ValueError("the head of a canned answer has :status and no other pseudo-header")
        self.head = head
        self.body = body


@cython.final
@cython.freelist(1024)
cdef class ServerRequest:
    """One request as a server sees it, to be answered at once or later; an answer to a stream that is gone is dropped."""

    def __dealloc__(self):
        blob_free(&self.fields)
        blob_free(&self.content)

    @property
    def owner(self):
        """Whatever the session was made for: the server's connection."""
        return self.session.owner

    @property
    def headers(self):
        """All fields but pseudo-headers, as pairs in the order received."""
        cdef uint32_t position = 0
        cdef uint16_t sizes[2]
        cdef list pairs = []
        while position < self.fields.size:
            memcpy(sizes, self.fields.data + position, 4)
            position += 4
            pairs.append((self.fields.data[position:position + sizes[0]],
                          self.fields.data[position + sizes[0]:position + sizes[0] + sizes[1]]))
            position += sizes[0] + sizes[1]
        return pairs

    @property
    def body(self):
        """The body, at most 65,536 bytes of it; `body_size` counts all."""
        return self.content.data[:self.content.size]

    def respond(self, int status, HeaderBlock head=None, bytes body=b"", tuple extra=()):
        """Queue the answer; it is written by the connection's next drain.

        `extra` is flat: name, value, name, value, at most 16 fields. Raises ValueError for an illegal field or status,
        or when the request was answered already.
        """
        cdef nghttp2_nv nva[MAX_FIELDS + MAX_EXTRA_FIELDS + 1]
        cdef nghttp2_data_provider provider
        if not 200 <= status < 1000:
            raise ValueError(f"{status} is not a final status")
        if self.answer is not None:
            raise ValueError("the request was answered already")
        if not self.live:
            return
        self.head, self.extra, self.answer = head, extra, body
        provider.read_callback = read_answer
        nghttp2_submit_response(self.session.raw, self.stream_id, nva, self.fill(nva, STATUSES[status]),
                                &provider if body else NULL)
        self.session.stir()

    def reset(self, uint32_t code):
        """Queue RST_STREAM with an HTTP/2 error code instead of an answer."""
        if self.live:
            nghttp2_submit_rst_stream(self.session.raw, NGHTTP2_FLAG_NONE, self.stream_id, code)
            self.session.stir()

    cdef int keep_field(self, const uint8_t *name, size_t name_size, const uint8_t *value, size_t value_size):
        cdef uint16_t sizes[2]
        if name[0] == c":":
            if name_size == 5 and name[1] == c"p":
                self.path = value[:value_size]
            elif name_size == 7 and name[1] == c"m":
                self.method = value[:value_size]
            return 0
        sizes[0], sizes[1] = name_size, value_size
        return (blob_append(&self.fields, sizes, 4) or blob_append(&self.fields, name, sizes[0])
                or blob_append(&self.fields, value, sizes[1]))

    cdef int fill(self, nghttp2_nv *nva, bytes status) except -1:
        cdef int count = 1, index
        cdef int size = <int> len(self.extra)
        if size % 2 or size > 2 * MAX_EXTRA_FIELDS:
            raise ValueError(f"extra has {size} items: name, value, ... of at most {MAX_EXTRA_FIELDS} fields")
        point_field(&nva[0], STATUS, status, 0)
        if self.head is not None:
            memcpy(nva + 1, self.head.fields, self.head.count * sizeof(nghttp2_nv))
            count += self.head.count
        for index in range(0, size, 2):
            point_field(&nva[count], self.extra[index], self.extra[index + 1], NGHTTP2_NV_FLAG_NO_INDEX)
            count += 1
        return count


@cython.final
cdef class ServerSession:
    """The state of one accepted connection.

    `max_streams` and `window_bytes` are announced in SETTINGS. With `canned` answers, given in turn, requests are
    answered in C and never handed out. `owner.wake()` is called when an answer is queued while `awake` is False; it
    must see to a drain, which makes `awake` False again.
    """

    def __cinit__(self, object owner=None, *, uint32_t max_streams=1000, uint32_t window_bytes=65535,
                  tuple canned=()):
        cdef CannedAnswer each
        self.owner = owner
        self.complete = []
        self.open = set()
        self.last_taken_id = 0x7FFFFFFF
        for each in canned:
            pass
        self.canned = canned
        self.raw = make_session(<void *> self)
        self.announce(max_streams, window_bytes)
        if window_bytes >= 65535:
            nghttp2_session_set_local_window_size(self.raw, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW)

    def __dealloc__(self):
        if self.raw != NULL:
            nghttp2_session_del(self.raw)
        blob_free(&self.out)

    @property
    def live(self):
        """Requests begun and not yet answered or reset (canned ones are not counted)."""
        return len(self.open)

    @property
    def last_stream_id(self):
        """The highest stream id that the client opened."""
        return nghttp2_session_get_last_proc_stream_id(self.raw)

    @property
    def over(self):
        """Whether neither side has anything more to say, so that the transport should be closed."""
        return not nghttp2_session_want_read(self.raw) and not nghttp2_session_want_write(self.raw)

    def announce(self, uint32_t max_streams, uint32_t window_bytes=65535):
        """Queue SETTINGS with these values."""
        cdef nghttp2_settings_entry settings[2]
        settings[0].settings_id = NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS
        settings[0].value = max_streams
        settings[1].settings_id = NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE
        settings[1].value = window_bytes
        nghttp2_submit_settings(self.raw, NGHTTP2_FLAG_NONE, settings, 2)

    def receive(self, const uint8_t[::1] data not None, Py_ssize_t size):
        """Take the first `size` bytes of `data` from the client; raise SessionBroken when the session cannot go on."""
        cdef ssize_t used
        if size > data.shape[0]:
            raise ValueError(f"{size} bytes of a buffer of {data.shape[0]}")
        if size <= 0:
            return
        self.bytes_in += size
        used = nghttp2_session_mem_recv(self.raw, &data[0], size)
        if used < 0:
            self.broken = <int> used
            raise SessionBroken(nghttp2_strerror(self.broken).decode(), self.broken)

    def drain(self):
        """Return the bytes to write now, possibly none; raise SessionBroken when the session cannot go on."""
        cdef bytes chunk
        if not self.broken:
            self.broken = pump(self.raw, &self.out)
        if self.broken:
            raise SessionBroken(nghttp2_strerror(self.broken).decode(), self.broken)
        chunk = self.out.data[:self.out.size]
        self.bytes_out += self.out.size
        self.out.size = 0
        self.awake = False
        return chunk

    def take_requests(self):
        """Return the requests that are complete since the last call."""
        cdef list complete = self.complete
        if complete:
            self.complete = []
        return complete

    def goaway(self, int32_t last_stream_id=-1, uint32_t code=0, bytes debug=b""):
        """Queue GOAWAY; without an id, everything received so far will still be answered."""
        if last_stream_id < 0:
            last_stream_id = nghttp2_session_get_last_proc_stream_id(self.raw)
        self.last_taken_id = min(self.last_taken_id, last_stream_id)
        nghttp2_submit_goaway(self.raw, NGHTTP2_FLAG_NONE, last_stream_id, code, debug, len(debug))

    def notice_shutdown(self):
        """Queue the graceful first phase: GOAWAY with 2^31-1 as last stream id."""
        nghttp2_submit_shutdown_notice(self.raw)

    def ping(self):
        """Queue a PING; `pings_answered` grows when it is acknowledged."""
        nghttp2_submit_ping(self.raw, NGHTTP2_FLAG_NONE, NULL)

    def lose(self):
        """Forget every open request, as after a lost connection: their answers are dropped from now on."""
        cdef ServerRequest request
        self.broken = self.broken or NGHTTP2_ERR_EOF
        for request in self.open:
            request.live = False
            nghttp2_session_set_stream_user_data(self.raw, request.stream_id, NULL)
        self.open.clear()

    def answer_open(self, int status):
        """Queue an answer without body to every open request, complete or not; return how many."""
        cdef ServerRequest request
        for request in self.open:
            request.respond(status)
        return len(self.open)

    cdef int stir(self) except -1:
        """Ask the owner for a drain, once for all that is queued until then."""
        if not self.awake:
            self.awake = True
            if self.owner is not None:
                self.owner.wake()
        return 0

    cdef void begin(self, int32_t stream_id):
        cdef ServerRequest request = ServerRequest.__new__(ServerRequest)
        request.session = self
        request.stream_id = stream_id
        request.live = True
        self.open.add(request)
        nghttp2_session_set_stream_user_data(self.raw, stream_id, <void *> request)

    cdef void take(self, ServerRequest request):
        # Begun before GOAWAY and complete only after it: the client was told that it will not be processed.
        if request.stream_id > self.last_taken_id:
            return
        request.complete = True
        self.received += 1
        self.complete.append(request)

    cdef int answer_canned(self, int32_t stream_id) noexcept:
        cdef CannedAnswer answer = <CannedAnswer> self.canned[self.next_canned]
        cdef nghttp2_data_provider provider
        self.next_canned = (self.next_canned + 1) % len(self.canned)
        self.received += 1
        provider.source.ptr = <void *> answer
        provider.read_callback = read_canned
        return nghttp2_submit_response(self.raw, stream_id, answer.head.fields, answer.head.count,
                                       &provider if answer.body else NULL)


cdef nghttp2_session *make_session(void *owner) except NULL:
    cdef nghttp2_session_callbacks *callbacks = NULL
    cdef nghttp2_option *option = NULL
    cdef nghttp2_session *session = NULL
    if nghttp2_session_callbacks_new(&callbacks) or nghttp2_option_new(&option):
        raise MemoryError
    nghttp2_option_set_no_closed_streams(option, 1)
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin)
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header)
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data)
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame)
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close)
    nghttp2_session_server_new2(&session, callbacks, owner, option)
    nghttp2_session_callbacks_del(callbacks)
    nghttp2_option_del(option)
    if session == NULL:
        raise MemoryError
    return session


cdef ssize_t read_answer(nghttp2_session *session, int32_t stream_id, uint8_t *buffer, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user_data) noexcept:
    cdef void *found = nghttp2_session_get_stream_user_data(session, stream_id)
    cdef ServerRequest request
    cdef size_t size
    if found == NULL:
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
    request = <ServerRequest> found
    size = len(request.answer) - request.answer_sent
    if size <= room:
        flags[0] |= NGHTTP2_DATA_FLAG_EOF
    size = min(size, room)
    memcpy(buffer, <const uint8_t *> request.answer + request.answer_sent, size)
    request.answer_sent += size
    return size


cdef ssize_t read_canned(nghttp2_session *session, int32_t stream_id, uint8_t *buffer, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user_data) noexcept:
    cdef bytes body = (<CannedAnswer> source.ptr).body
    cdef size_t size = len(body)
    # A canned body has no place to remember how far it got, so it must fit at once.
    if size > room:
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
    flags[0] |= NGHTTP2_DATA_FLAG_EOF
    memcpy(buffer, <const uint8_t *> body, size)
    return size


cdef int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) noexcept:
    cdef ServerSession server = <ServerSession> user_data
    if frame.headers.cat == NGHTTP2_HCAT_REQUEST and not server.canned:
        server.begin(frame.hd.stream_id)
    return 0


cdef int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                   const uint8_t *value, size_t value_size, uint8_t flags, void *user_data) noexcept:
    cdef void *found
    if (<ServerSession> user_data).canned:
        return 0
    found = nghttp2_session_get_stream_user_data(session, frame.hd.stream_id)
    if found != NULL and (<ServerRequest> found).keep_field(name, name_size, value, value_size):
        return NGHTTP2_ERR_CALLBACK_FAILURE
    return 0


cdef int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t size,
                 void *user_data) noexcept:
    cdef ServerRequest request
    cdef void *found = nghttp2_session_get_stream_user_data(session, stream_id)
    if found == NULL:
        return 0
    request = <ServerRequest> found
    request.body_size += size
    size = min(size, REQUEST_BODY_CAP - request.content.size)
    return NGHTTP2_ERR_CALLBACK_FAILURE if blob_append(&request.content, data, <uint32_t> size) else 0


cdef int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) noexcept:
    cdef ServerSession server = <ServerSession> user_data
    cdef void *found
    if frame.hd.type <= NGHTTP2_HEADERS and frame.hd.flags & NGHTTP2_FLAG_END_STREAM:
        if server.canned:
            return server.answer_canned(frame.hd.stream_id)
        found = nghttp2_session_get_stream_user_data(session, frame.hd.stream_id)
        if found != NULL:
            server.take(<ServerRequest> found)
    elif frame.hd.type == NGHTTP2_GOAWAY:
        server.goaway_received = True
    elif frame.hd.type == NGHTTP2_PING and frame.hd.flags & NGHTTP2_FLAG_ACK:
        server.pings_answered += 1
    return 0


cdef int on_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code, void *user_data) noexcept:
    cdef void *found = nghttp2_session_get_stream_user_data(session, stream_id)
    if found != NULL:
        (<ServerRequest> found).live = False
        (<ServerSession> user_data).open.discard(<ServerRequest> found)
    return 0
