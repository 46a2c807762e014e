"""The client's half of one HTTP/2 connection: bytes in, bytes out, exchanges completed; no sockets and no clock."""

import cython
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcmp, memcpy

from adapters.http2.blob cimport blob_append, blob_free
from adapters.http2.exchange cimport ANSWERED, NOT_SENT, TIMED_OUT, UNKNOWN, Exchange
from adapters.http2.nghttp2 cimport *
from adapters.http2.request_writer cimport RequestWriter, is_request, stream_of

from adapters.http2.errors import SessionBroken

cdef enum:
    CONNECTION_WINDOW = 16 * 1024 * 1024
    LAST_STREAM_ID = 0x7FFFFFFF


@cython.final
cdef class ClientSession:
    """The state of one connection and the owner of its live exchanges: each submitted one ends exactly once.

    `wanted` names the answer fields to keep, the rest are dropped. `max_streams` caps what the server allows. `cautious`
    keeps to one stream until a first 2xx answer, as APNs asks of connections with token authentication.

    libnghttp2 is given ":method" alone of a request; RequestWriter puts the fields into the frame that it makes of that.
    """

    def __cinit__(self, tuple wanted=(), *, object owner=None, int max_streams=4096, bint cautious=False,
                  int32_t first_stream_id=1):
        cdef Py_ssize_t index
        cdef bytes name
        if len(wanted) > MAX_WANTED:
            raise ValueError(f"{len(wanted)} fields wanted, at most {MAX_WANTED} are kept")
        self.owner = owner
        self.wanted = wanted
        for index, name in enumerate(wanted):
            self.wanted_names[index] = name
            self.wanted_sizes[index] = len(name)
        self.finished = []
        self.writer = RequestWriter()
        self.limit = max_streams
        self.cautious = cautious
        self.goaway_debug = b""
        self.raw = make_session(<void *> self)
        if first_stream_id != 1 and nghttp2_session_set_next_stream_id(self.raw, first_stream_id):
            raise ValueError(f"{first_stream_id} is not a client's stream id")
        greet(self.raw)

    def __dealloc__(self):
        cdef void *each = self.first
        cdef void *following
        if self.raw != NULL:
            nghttp2_session_del(self.raw)
        while each != NULL:
            following = (<Exchange> each).next
            Py_DECREF(<Exchange> each)
            each = following
        blob_free(&self.out)

    @property
    def capacity(self):
        """Streams that may be opened now; 0 before the server's first SETTINGS, after GOAWAY, at the end of the ids."""
        return self.free_streams()

    @property
    def max_streams(self):
        """What the server allows, capped by our own limit."""
        return min(nghttp2_session_get_remote_settings(self.raw, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS),
                   <uint32_t> self.limit)

    @property
    def ids_left(self):
        """Streams that can still be opened before the ids of this connection are used up."""
        return (<int64_t> LAST_STREAM_ID - <int64_t> nghttp2_session_get_next_stream_id(self.raw)) // 2 + 1

    @property
    def over(self):
        """Whether neither side has anything more to say, so that the transport should be closed."""
        return not nghttp2_session_want_read(self.raw) and not nghttp2_session_want_write(self.raw)

    def submit(self, list exchanges not None, int64_t now_ns, Py_ssize_t start=0, Py_ssize_t stop=-1):
        """Open a stream for as many of `exchanges[start:stop]` as there is room for, in order; return how many.

        Raises ValueError when the first of them is in flight already; a later one just ends the batch before it.
        """
        cdef Py_ssize_t taken = 0
        cdef Py_ssize_t count = (len(exchanges) if stop < 0 else min(stop, len(exchanges))) - start
        cdef Py_ssize_t room = min(count, self.free_streams())
        cdef Exchange exchange
        while taken < room and not self.broken:
            exchange = exchanges[start + taken]
            if exchange.live or exchange.head is None:
                if taken == 0:
                    raise ValueError("the exchange is in flight already, or empty")
                break
            taken += self.open(exchange, now_ns)
        return taken

    def receive(self, const uint8_t[::1] data not None, Py_ssize_t size):
        """Take the first `size` bytes of `data` from the server; raise SessionBroken when the session cannot go on."""
        cdef ssize_t used
        if size > data.shape[0]:
            raise ValueError(f"{size} bytes of a buffer of {data.shape[0]}")
        if size <= 0:
            return
        self.bytes_in += size
        used = nghttp2_session_mem_recv(self.raw, &data[0], size)
        self.recent_id = 0
        if used < 0:
            self.broken = <int> used
            raise SessionBroken(nghttp2_strerror(self.broken).decode(), self.broken)

    def drain(self):
        """Return the bytes to write now, possibly none; raise SessionBroken when the session cannot go on."""
        cdef bytes chunk
        if not self.broken:
            self.broken = self.pump()
        if self.broken:
            raise SessionBroken(nghttp2_strerror(self.broken).decode(), self.broken)
        chunk = self.out.data[:self.out.size]
        self.bytes_out += self.out.size
        self.out.size = 0
        return chunk

    def take_finished(self):
        """Return the exchanges that ended since the last call, in the order in which they ended."""
        cdef list finished = self.finished
        if finished:
            self.finished = []
        return finished

    def expire(self, int64_t before_ns):
        """Reset and end as TIMED_OUT what was submitted at `before_ns` or earlier; return how many."""
        cdef int count = 0
        cdef Exchange exchange
        while self.first != NULL and (<Exchange> self.first).submitted_ns <= before_ns:
            exchange = <Exchange> self.first
            self.abandon(exchange, TIMED_OUT)
            count += 1
        return count

    def lose(self):
        """End everything live, as after a lost connection: what the server cannot have had whole as NOT_SENT."""
        cdef Exchange exchange
        self.broken = self.broken or NGHTTP2_ERR_EOF
        while self.first != NULL:
            exchange = <Exchange> self.first
            nghttp2_session_set_stream_user_data(self.raw, exchange.stream_id, NULL)
            self.finish(exchange, verdict(exchange, NGHTTP2_INTERNAL_ERROR))
        # Nothing opens any more, and the owner has us: without the cycle both go when they are let go of.
        self.owner = None

    def ping(self):
        """Queue a PING; `pings_answered` grows when it is acknowledged."""
        nghttp2_submit_ping(self.raw, NGHTTP2_FLAG_NONE, NULL)

    def goaway(self):
        """Queue GOAWAY without error: the server opens no stream at a client, so this is a farewell only."""
        nghttp2_submit_goaway(self.raw, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0)

    cdef int free_streams(self) noexcept:
        cdef int64_t allowed = nghttp2_session_get_remote_settings(self.raw, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
        cdef int64_t ids = (<int64_t> LAST_STREAM_ID - <int64_t> nghttp2_session_get_next_stream_id(self.raw)) // 2 + 1
        if not self.settings_received or self.goaway_received or self.broken:
            return 0
        allowed = min(allowed, 1 if self.cautious else self.limit)
        return <int> max(0, min(allowed - self.live, ids))

    cdef int open(self, Exchange exchange, int64_t now_ns) noexcept:
        """Open a stream; return 1, or 0 with `broken` set and the exchange untouched."""
        cdef nghttp2_data_provider provider
        cdef int32_t stream_id
        cdef bint bare = len(exchange.payload) == 0
        provider.read_callback = read_payload
        stream_id = nghttp2_submit_request(
            self.raw, NULL, &exchange.head.method, 1, NULL if bare else &provider, <void *> exchange)
        if stream_id < 0:
            self.broken = stream_id
            return 0
        exchange.clear_answer()
        exchange.connection = self.owner
        exchange.wanted = self.wanted
        exchange.submitted_ns = now_ns
        exchange.stream_id = stream_id
        exchange.sent = bare
        self.unsent += not bare
        self.link(exchange)
        # At once, before anybody else can touch the exchange.
        self.broken = self.pump()
        return 1

    cdef int pump(self) noexcept:
        """Serialise everything that may be sent now behind `out`, requests with their own fields; return 0 or an error."""
        cdef const uint8_t *frame = NULL
        cdef ssize_t size = nghttp2_session_mem_send(self.raw, &frame)
        cdef int failed
        while size > 0:
            if is_request(frame, size):
                failed = self.write_request(frame, size)
            else:
                failed = blob_append(&self.out, frame, <uint32_t> size)
            if failed:
                return NGHTTP2_ERR_NOMEM if failed < 0 else NGHTTP2_ERR_INTERNAL
            size = nghttp2_session_mem_send(self.raw, &frame)
        return <int> size

    cdef int write_request(self, const uint8_t *frame, ssize_t size) noexcept:
        cdef void *found = nghttp2_session_get_stream_user_data(self.raw, stream_of(frame))
        cdef uint32_t table_bytes
        if found == NULL:
            # It was given up before it was sent: an empty request, which the peer refuses, and its reset follow.
            return blob_append(&self.out, frame, <uint32_t> size)
        table_bytes = nghttp2_session_get_remote_settings(self.raw, NGHTTP2_SETTINGS_HEADER_TABLE_SIZE)
        return self.writer.write(&self.out, frame, size, <Exchange> found, table_bytes)

    cdef void link(self, Exchange exchange) noexcept:
        Py_INCREF(exchange)
        exchange.live = True
        exchange.previous = self.last
        exchange.next = NULL
        if self.last == NULL:
            self.first = <void *> exchange
        else:
            (<Exchange> self.last).next = <void *> exchange
        self.last = <void *> exchange
        self.live += 1

    cdef void unlink(self, Exchange exchange) noexcept:
        if exchange.previous == NULL:
            self.first = exchange.next
        else:
            (<Exchange> exchange.previous).next = exchange.next
        if exchange.next == NULL:
            self.last = exchange.previous
        else:
            (<Exchange> exchange.next).previous = exchange.previous
        exchange.previous = exchange.next = NULL
        exchange.live = False
        self.live -= 1
        Py_DECREF(exchange)

    cdef void finish(self, Exchange exchange, int ending):
        exchange.ending = ending
        self.unsent -= not exchange.sent
        self.recent_id = 0
        self.finished.append(exchange)
        self.unlink(exchange)
        if self.cautious and ending == ANSWERED and exchange.status < 300:
            self.cautious = False

    cdef void abandon(self, Exchange exchange, int ending):
        nghttp2_session_set_stream_user_data(self.raw, exchange.stream_id, NULL)
        nghttp2_submit_rst_stream(self.raw, NGHTTP2_FLAG_NONE, exchange.stream_id, NGHTTP2_CANCEL)
        exchange.error_code = NGHTTP2_CANCEL
        self.finish(exchange, ending)

    cdef void *find(self, int32_t stream_id) noexcept:
        """Return the live exchange of a stream or NULL; the last one is remembered, fields come in a row."""
        if stream_id != self.recent_id:
            self.recent = nghttp2_session_get_stream_user_data(self.raw, stream_id)
            self.recent_id = stream_id
        return self.recent

    cdef int take_field(self, int32_t stream_id, const uint8_t *name, size_t name_size,
                        const uint8_t *value, size_t value_size) noexcept:
        cdef void *found = self.find(stream_id)
        cdef int index
        if found == NULL:
            return 0
        if name[0] == c":":
            return take_status(<Exchange> found, name, name_size, value, value_size)
        for index in range(<int> len(self.wanted)):
            if self.wanted_sizes[index] == name_size and memcmp(self.wanted_names[index], name, name_size) == 0:
                return (<Exchange> found).keep_field(index, value, value_size)
        return 0

    cdef void take_goaway(self, const nghttp2_frame *frame):
        self.goaway_received = True
        self.goaway_last_id = frame.goaway.last_stream_id
        self.goaway_code = frame.goaway.error_code
        if frame.goaway.opaque_data_len:
            self.goaway_debug = frame.goaway.opaque_data[:min(<Py_ssize_t> frame.goaway.opaque_data_len, 1024)]


cdef nghttp2_session *make_session(void *owner) except NULL:
    cdef nghttp2_session_callbacks *callbacks = NULL
    cdef nghttp2_option *option = NULL
    cdef nghttp2_session *session = NULL
    if nghttp2_session_callbacks_new(&callbacks) or nghttp2_option_new(&option):
        raise MemoryError
    nghttp2_option_set_no_closed_streams(option, 1)
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header)
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data)
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame)
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close)
    nghttp2_session_client_new2(&session, callbacks, owner, option)
    nghttp2_session_callbacks_del(callbacks)
    nghttp2_option_del(option)
    if session == NULL:
        raise MemoryError
    return session


cdef void greet(nghttp2_session *session) noexcept:
    cdef nghttp2_settings_entry settings[1]
    settings[0].settings_id = NGHTTP2_SETTINGS_ENABLE_PUSH
    settings[0].value = 0
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 1)
    nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW)


cdef int verdict(Exchange exchange, uint32_t error_code) noexcept:
    """Conclude what became of a request whose stream is gone."""
    exchange.error_code = error_code
    if exchange.status:
        exchange.truncated |= error_code != NGHTTP2_NO_ERROR
        return ANSWERED
    if error_code == NGHTTP2_REFUSED_STREAM or not exchange.sent:
        return NOT_SENT
    return UNKNOWN


cdef int take_status(Exchange exchange, const uint8_t *name, size_t name_size,
                     const uint8_t *value, size_t value_size) noexcept:
    cdef int status
    if name_size == 7 and value_size == 3 and memcmp(name, b":status", 7) == 0:
        status = (value[0] - 48) * 100 + (value[1] - 48) * 10 + (value[2] - 48)
        # 1xx is a preliminary word, the answer's own block follows.
        exchange.status = status if status >= 200 else 0
    return 0


cdef ssize_t read_payload(nghttp2_session *session, int32_t stream_id, uint8_t *buffer, size_t room,
                          uint32_t *flags, nghttp2_data_source *source, void *user_data) noexcept:
    cdef void *found = nghttp2_session_get_stream_user_data(session, stream_id)
    cdef Exchange exchange
    cdef size_t size
    if found == NULL:
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
    exchange = <Exchange> found
    size = len(exchange.payload) - exchange.payload_sent
    if size <= room:
        flags[0] |= NGHTTP2_DATA_FLAG_EOF
        exchange.sent = True
        (<ClientSession> user_data).unsent -= 1
    size = min(size, room)
    memcpy(buffer, <const uint8_t *> exchange.payload + exchange.payload_sent, size)
    exchange.payload_sent += size
    return size


cdef int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                   const uint8_t *value, size_t value_size, uint8_t flags, void *user_data) noexcept:
    cdef int failed = (<ClientSession> user_data).take_field(frame.hd.stream_id, name, name_size, value, value_size)
    return NGHTTP2_ERR_CALLBACK_FAILURE if failed else 0


cdef int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t size,
                 void *user_data) noexcept:
    cdef void *found = (<ClientSession> user_data).find(stream_id)
    if found != NULL and (<Exchange> found).keep_content(data, size):
        return NGHTTP2_ERR_CALLBACK_FAILURE
    return 0


cdef int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data) noexcept:
    cdef ClientSession client = <ClientSession> user_data
    if frame.hd.type == NGHTTP2_SETTINGS and not frame.hd.flags & NGHTTP2_FLAG_ACK:
        client.settings_received = True
    elif frame.hd.type == NGHTTP2_GOAWAY:
        client.take_goaway(frame)
    elif frame.hd.type == NGHTTP2_PING and frame.hd.flags & NGHTTP2_FLAG_ACK:
        client.pings_answered += 1
    elif client.unsent and frame.hd.flags & NGHTTP2_FLAG_END_STREAM and frame.hd.type <= NGHTTP2_HEADERS:
        stop_sending(client, frame.hd.stream_id)
    return 0


cdef void stop_sending(ClientSession client, int32_t stream_id) noexcept:
    """Give up the rest of a request that is answered already, or its stream would stay half open for ever."""
    cdef void *found = client.find(stream_id)
    if found != NULL and not (<Exchange> found).sent:
        nghttp2_submit_rst_stream(client.raw, NGHTTP2_FLAG_NONE, stream_id, NGHTTP2_NO_ERROR)


cdef int on_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code, void *user_data) noexcept:
    cdef void *found = nghttp2_session_get_stream_user_data(session, stream_id)
    cdef Exchange exchange
    if found != NULL:
        exchange = <Exchange> found
        (<ClientSession> user_data).finish(exchange, verdict(exchange, error_code))
    return 0
