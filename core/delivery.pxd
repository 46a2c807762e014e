"""Layout of the objects that live while a notification is under way."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef class Notification:
    cdef readonly bytes id
    cdef readonly str tenant
    cdef readonly str app
    cdef readonly str campaign
    cdef readonly uint8_t klass
    cdef readonly uint8_t push_type
    cdef readonly bint collapse_given
    cdef bytes _collapse_id
    cdef readonly int64_t accepted_unix_ms
    cdef readonly int64_t accepted_ns
    cdef readonly int64_t send_at_unix_ms
    cdef readonly int64_t expires_unix_ms
    cdef readonly int64_t segment
    cdef readonly uint32_t index
    cdef readonly uint32_t tenant_tag
    cdef readonly uint32_t app_tag
    cdef readonly tuple user_ids
    cdef readonly tuple targets
    cdef public object content
    cdef public object purpose
    cdef public int open_deliveries
    cdef public int in_flight
    cdef public bint recovered
    cdef public uint8_t outcome_bits
    cdef public bint cancelled


cdef class Flow:
    cdef readonly uint64_t key
    cdef uint64_t buckets[4]
    cdef uint16_t rules[4]
    cdef readonly bint limited


cdef class Delivery:
    cdef readonly Notification notification
    cdef readonly Flow flow
    cdef readonly str token
    cdef readonly bytes payload
    cdef readonly object envelope
    cdef readonly uint64_t device_key
    cdef readonly int64_t registered_unix_ms
    cdef readonly uint8_t provider
    cdef readonly uint16_t route
    cdef public uint16_t attempts
    cdef public bint possibly_delivered
    cdef public uint32_t slot
    cdef public int64_t queued_ns
    cdef public int64_t submitted_ns
    cdef public bint queued
    cdef public object provider_message_id
    cdef public object exchange
    cdef public object tally
