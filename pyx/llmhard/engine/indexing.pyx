"""Which scalars an index names: numbers, slices, and an Index, whose views move with it."""
cimport cython
from cpython.number cimport PyNumber_AsSsize_t
from cpython.ref cimport Py_INCREF, PyObject

from llmhard.engine.elementwise cimport SELECT
from llmhard.engine.node cimport Node, clock, cols_of, data_of, link, run_of, view
from llmhard.engine.operation cimport forward


@cython.final
cdef class Index:
    """A whole number that may change between replays: `matrix[Index(3)]` is a row, `vector[...]`
    an element, and a Tape that is replayed after `index.value = 5` shows row 5 instead.

    Unlike an int, it does not count from the end. Otherwise it can be used like one.
    """
    def __cinit__(self, value):     # not __init__: an Index always has a number
        self.value = value

    @property
    def value(self):
        return self.where

    @value.setter
    def value(self, value):
        self.where = PyNumber_AsSsize_t(value, IndexError)

    def __index__(self):
        return self.where

    def __reduce__(self):
        return Index, (self.where,)

    def __repr__(self):
        return f"Index({self.where})"


cdef Node *select(Node *of, Index index) except NULL:
    """Return a view of the row of a Matrix, or element of a Vector, that an Index names. The view
    moves when the operations are replayed with another value of the Index."""
    cdef Node *node
    cdef Py_ssize_t offset = offset_of(index, of)
    if of.rank == 2:
        node = view(of, 1, 1, cols_of(of), cols_of(of), data_of(of))
    else:
        node = view(of, 0, 1, 1, 1, data_of(of))
    if node.op != SELECT:
        node.op = SELECT
        link(node, of)
    run_of(node).index = <PyObject *>index
    Py_INCREF(index)
    run_of(node).offset = offset
    run_of(node).computed = clock.changes
    forward(node, NULL)
    return node


cdef Py_ssize_t offset_of(Index index, Node *of) except -1:
    cdef Py_ssize_t length = run_of(of).rows if of.rank == 2 else cols_of(of)
    if index.where < 0 or index.where >= length:
        raise outside(index.where, length, of.rank)
    return index.where * (run_of(of).stride if of.rank == 2 else 1)


cdef (Py_ssize_t, Py_ssize_t) span(slice index, Py_ssize_t length) except *:
    start, stop, step = index.indices(length)
    if step != 1 or stop <= start:
        raise IndexError(f"a slice shows at least one neighbouring element: "
                         f"[{start}:{stop}:{step}] of {length} does not")
    return start, stop


cdef Py_ssize_t position(object index, Py_ssize_t length, int rank) except -1:
    cdef Py_ssize_t i = PyNumber_AsSsize_t(index, IndexError)
    if i < -length or i >= length:
        raise outside(i, length, rank)
    return i + length if i < 0 else i


cdef object outside(Py_ssize_t i, Py_ssize_t length, int rank):
    return IndexError(f"index {i} is outside a {'Matrix' if rank == 2 else 'Vector'} of "
                      f"{length}{' rows' if rank == 2 else ''}")
