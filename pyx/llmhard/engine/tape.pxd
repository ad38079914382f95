"""The tape, as the modules above see it."""
from libc.stdint cimport uint64_t

from llmhard.engine.kernels cimport lanes
from llmhard.engine.node cimport Handle, Node, Program


cdef class Tape:
    cdef readonly Handle root
    cdef Tape after
    cdef Node **nodes           # the operations, inputs before what is computed from them
    cdef Node **products        # the matvecs with a leaf matrix, those of one matrix together
    cdef Node **leaves          # those that get a gradient in other ways than from a product
    cdef double **pointers      # for backward_matrix: two for each product
    cdef lanes *scratch         # for forward_matvecs
    cdef Node **selects         # those with an Index
    cdef Py_ssize_t count, room, n_products, n_leaves, n_selects, n_cols
    cdef bint has_custom        # an operation that only Python knows is on the tape
    cdef uint64_t zeroed        # the value of `grad_writes` when forward() set inner grads to 0
    cdef Program *program       # NULL before the first forward()

    cdef int visit(self, Node *node) except -1
    cdef int collect(self, Node *root) except -1
    cdef int sort(self, Py_ssize_t deepest) except -1
    cdef int gather_products(self) except -1
    cdef int gather_leaves(self) except -1
    cdef Py_ssize_t batch(self, Py_ssize_t first) noexcept nogil
    cdef int compile(self) except -1
    cdef void run_forward(self, uint64_t now) noexcept nogil
    cdef void clear(self, Node *node, uint64_t now) noexcept nogil
    cdef int begin_backward(self) except -1
    cdef int check(self) except -1
    cdef void run_backward(self) noexcept nogil
    cdef Py_ssize_t same_matrix(self, Py_ssize_t first) noexcept nogil
    cdef bint has_leaf_vector(self, Py_ssize_t first, Py_ssize_t end) noexcept nogil
    cdef void run_products(self) noexcept nogil
    cdef int accumulate(self) except -1
