"""Keyed hashes of names that callers choose: SipHash-2-4 with 64 and 128 bits (little-endian hosts)."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.sequence cimport PySequence_Fast, PySequence_Fast_GET_SIZE, PySequence_Fast_ITEMS
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy


cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL


cdef inline const uint8_t *octets(object item, Py_ssize_t *size) except NULL:
    """The bytes of a bytes or str object, borrowed from it; CPython keeps the UTF-8 of a str with the str."""
    if PyBytes_CheckExact(item):
        size[0] = PyBytes_GET_SIZE(item)
        return <const uint8_t *>PyBytes_AS_STRING(item)
    if PyUnicode_CheckExact(item):
        return <const uint8_t *>PyUnicode_AsUTF8AndSize(item, size)
    raise TypeError(f"hashed items are bytes or str, not {type(item).__name__}")


@cython.final
cdef class SipHash:
    """SipHash-2-4 under one secret key.

    Source: Aumasson and Bernstein, https://www.aumasson.jp/siphash/siphash.pdf and its reference implementation.
    """

    def __cinit__(self, bytes key not None):
        """key: 16 bytes; raises ValueError for any other length."""
        if len(key) != 16:
            raise ValueError(f"a SipHash key has 16 bytes, not {len(key)}")
        memcpy(&self._key, PyBytes_AS_STRING(key), 16)

    def derive(self, context):
        """Return the hash for one context (a tenant and app), so that equal items of two contexts hash apart."""
        return SipHash(self.hash128(context))

    def hash64(self, item):
        """Return the 64-bit hash of bytes, or of the UTF-8 of a str."""
        cdef Py_ssize_t size
        cdef const uint8_t *data = octets(item, &size)
        return siphash64(&self._key, data, size)

    def hash128(self, item):
        """Return the 128-bit hash as 16 bytes, in the reference's byte order."""
        cdef Py_ssize_t size
        cdef const uint8_t *data = octets(item, &size)
        cdef Hash128 digest = siphash128(&self._key, data, size)
        return PyBytes_FromStringAndSize(<char *>&digest, 16)

    def hash64_many(self, items, uint64_t[::1] out not None):
        """Hash every item.

        items: n bytes or str. out: n × uint64.
        Raises ValueError if the lengths differ, TypeError for another kind of item.
        """
        cdef object held = PySequence_Fast(items, "items must be a sequence")
        cdef PyObject **item = PySequence_Fast_ITEMS(held)
        cdef Py_ssize_t i, size, n = PySequence_Fast_GET_SIZE(held)
        cdef const uint8_t *data
        if out.shape[0] != n:
            raise ValueError(f"out holds {out.shape[0]} hashes for {n} items")
        for i in range(n):
            data = octets(<object>item[i], &size)
            out[i] = siphash64(&self._key, data, size)

    def hash128_many(self, items, uint8_t[::1] out not None):
        """Hash every item.

        items: n bytes or str. out: n × 16 bytes.
        Raises ValueError if the lengths differ, TypeError for another kind of item.
        """
        cdef object held = PySequence_Fast(items, "items must be a sequence")
        cdef PyObject **item = PySequence_Fast_ITEMS(held)
        cdef Py_ssize_t i, size, n = PySequence_Fast_GET_SIZE(held)
        cdef const uint8_t *data
        cdef Hash128 digest
        if out.shape[0] != n * 16:
            raise ValueError(f"out holds {out.shape[0]} bytes for {n} hashes of 16")
        for i in range(n):
            data = octets(<object>item[i], &size)
            digest = siphash128(&self._key, data, size)
            memcpy(&out[i * 16], &digest, 16)
