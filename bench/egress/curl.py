"""libcurl's multi interface through pycurl, driven by epoll as its manual advises for many transfers.

Source: https://curl.se/libcurl/c/libcurl-multi.html
"""

from __future__ import annotations

import select
import time
from io import BytesIO

import pycurl

from bench.egress.client_run import LIMIT_S, ClientRun, NotAnswered, Stopwatch
from bench.egress.job import Job
from bench.egress.request import PATH, Request, request

_WARM = 20
_EVENTS = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}


def curl(job: Job) -> ClientRun:
    """Push with `streams` easy handles that are used again and again, after a warm-up."""
    load = _CurlLoad(job)
    load.push(min(_WARM, job.streams))
    watch = Stopwatch()
    load.push(job.total)
    figures = watch.stop(job.total)
    load.close()
    return figures


class _CurlLoad:
    """Easy handles over one multi handle. libcurl opens a further connection when the streams of all are taken."""

    def __init__(self, job: Job) -> None:
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        self._multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, job.connections)
        self._multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, job.streams // job.connections)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._poll = select.epoll()
        self._watched: set[int] = set()
        self._due_s: float | None = None
        self._left = self._flying = 0
        shape = request()
        self._idle = [self._handle(job, shape) for _ in range(job.streams)]

    def push(self, total: int) -> None:
        """Send `total` requests and wait for all answers. Raises NotAnswered, TimeoutError."""
        self._left = total
        ends_s = time.monotonic() + LIMIT_S
        self._fill()
        while self._flying:
            for descriptor, events in self._poll.poll(self._wait_s(), 64):
                self._multi.socket_action(descriptor, _selected(events))
            if self._due_s is not None and time.monotonic() >= self._due_s:
                self._due_s = None
                self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            self._reap()
            self._fill()
            if time.monotonic() > ends_s:
                raise TimeoutError

    def close(self) -> None:
        """Close all handles."""
        for handle in self._idle:
            handle.close()
        self._multi.close()
        self._poll.close()

    def _handle(self, job: Job, shape: Request) -> pycurl.Curl:
        handle = pycurl.Curl()
        handle.setopt(pycurl.URL, f"https://localhost:{job.port}{PATH}")
        handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2_0)
        handle.setopt(pycurl.PIPEWAIT, 1)
        handle.setopt(pycurl.CAINFO, str(job.ca))
        handle.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in shape.headers()])
        handle.setopt(pycurl.POSTFIELDS, shape.body)
        handle.setopt(pycurl.WRITEDATA, BytesIO())
        return handle

    def _fill(self) -> None:
        while self._left and self._idle:
            self._multi.add_handle(self._idle.pop())
            self._left -= 1
            self._flying += 1

    def _reap(self) -> None:
        queued = 1
        while queued:
            queued, done, failed = self._multi.info_read()
            if failed:
                raise NotAnswered(failed[0][2])
            for handle in done:
                if handle.getinfo(pycurl.RESPONSE_CODE) != 200:
                    raise NotAnswered
                self._multi.remove_handle(handle)
            self._idle += done
            self._flying -= len(done)

    def _wait_s(self) -> float:
        return 1.0 if self._due_s is None else max(0.0, self._due_s - time.monotonic())

    def _on_timer(self, timeout_ms: int) -> None:
        self._due_s = None if timeout_ms < 0 else time.monotonic() + timeout_ms / 1_000

    def _on_socket(self, what: int, descriptor: int, multi: object, data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            self._watched.discard(descriptor)
            self._poll.unregister(descriptor)
        elif descriptor in self._watched:
            self._poll.modify(descriptor, _EVENTS[what])
        else:
            self._watched.add(descriptor)
            self._poll.register(descriptor, _EVENTS[what])


def _selected(events: int) -> int:
    readable = pycurl.CSELECT_IN if events & (select.EPOLLIN | select.EPOLLHUP) else 0
    writable = pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0
    return readable | writable | (pycurl.CSELECT_ERR if events & select.EPOLLERR else 0)
