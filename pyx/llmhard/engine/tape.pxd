"""The tape, as the modules above see it."""
from libc.stdint cimport uint64_t

from llmhard.engine.kernels cimport lanes
from llmhard.engine.node cimport Handle, Node, Program
from llmhard.engine.threads cimport Pass
from llmhard.engine.traversal cimport NodeList, Seen


# What inner scalars' gradients were before a backward pass that adds to them.
cdef struct Earlier:
    NodeList nodes          # those that had a gradient
    double *grads           # as many for each node as it has scalars


cdef class Tape(Pass):
    cdef readonly Handle root   # keeps all nodes on the tape alive
    cdef Tape after             # what is on it, or on those it comes after, is left out here
    cdef NodeList products      # the matvecs with a leaf matrix, those of one matrix together
    cdef NodeList matrices      # leaf matrices that get a gradient not only from products
    cdef NodeList selects       # the nodes with an Index
    cdef double **pointers      # for backward_matrix: two for each matvec on the tape
    cdef lanes *scratch         # for forward_matvecs, with the widest matrix
    cdef uint64_t zeroed        # clock.grad_writes when forward() set inner grads to 0
    cdef Program *program       # NULL before the first forward()

    cdef int find_operations(self) except -1
    cdef int find_products(self) except -1
    cdef int find_matrices(self) except -1
    cdef int find_matrices_of(self, Seen *seen, Node *node) except -1
    cdef Py_ssize_t batch(self, Py_ssize_t first) noexcept nogil
    cdef int check_computable(self) except -1
    cdef int compile(self) except -1
    cdef void run_forward(self, uint64_t now) noexcept nogil
    cdef void clear(self, Node *node, uint64_t now) noexcept nogil
    cdef int backward_in_one_piece(self) except -1
    cdef int accumulate(self) except -1
    cdef int check_root(self) except -1
    cdef int differentiate(self, bint keep, bint one_piece) except -1
    cdef int check(self) except -1
    cdef void clear_inner_grads(self) noexcept
    cdef int find_inner_grads(self, Earlier *earlier) except -1
    cdef void run_backward(self) noexcept nogil
    cdef void run_products(self) noexcept nogil
