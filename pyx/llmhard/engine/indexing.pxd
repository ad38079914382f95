"""Indexes, as the modules above see them."""
from llmhard.engine.node cimport Node


cdef class Index:
    cdef Py_ssize_t where       # the row or element that its views show; not yet checked


cdef Node *select(Node *of, Index index) except NULL
cdef Py_ssize_t offset_of(Index index, Node *of) except -1
cdef (Py_ssize_t, Py_ssize_t) span(slice index, Py_ssize_t length) except *
cdef Py_ssize_t position(object index, Py_ssize_t length, int rank) except -1
cdef object outside(Py_ssize_t i, Py_ssize_t length, int rank)
