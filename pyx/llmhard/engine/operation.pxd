"""What each operation does with a node, as the modules above see it."""
from libc.stdint cimport uint64_t

from llmhard.engine.elementwise cimport (
    CUSTOM, POW, is_binary, is_unary, local_1, local_a, local_b,
)
from llmhard.engine.kernels cimport flush_tiny, lanes, set_mode
from llmhard.engine.node cimport Node

cdef void forward(Node *node, lanes *scratch) noexcept nogil
cdef void forward_matvecs(Node **nodes, Py_ssize_t count, lanes *scratch) noexcept nogil
cdef void backward(Node *node) noexcept nogil
cdef void backward_matvecs(Node **nodes, Py_ssize_t count) noexcept nogil
cdef void backward_matrix(Node **nodes, Py_ssize_t count, double **pointers) noexcept nogil
cdef void point(Node **nodes, Py_ssize_t count, double **pointers) noexcept nogil
cdef int check_unchanged(Node *node) except -1


cdef inline bint is_single(Node *node) noexcept nogil:
    """One scalar computed from single scalars: it remembers its local gradients."""
    return node.rank == 0 and (node.op == CUSTOM or is_binary(node.op) or is_unary(node.op))


cdef inline uint64_t computed(Node *node) noexcept nogil:
    """When the data was last computed."""
    if node.program is not NULL and node.program.computed > node.computed:
        return node.program.computed
    return node.computed


cdef inline void find_local(Node *node) noexcept nogil:
    """The local gradients of a single Value, from the data of its inputs."""
    cdef double a = node.inputs[0].data[0]
    cdef double b
    cdef unsigned int mode = flush_tiny()
    if is_binary(node.op):
        b = node.inputs[1].data[0]
        node.local_pair[0] = local_a(node.op, a, b)
        node.local_pair[1] = (0.0 if node.op == POW and node.inputs[1].constant
                              else local_b(node.op, a, b))
    else:
        node.local_pair[0] = local_1(node.op, a, node.data[0])
    set_mode(mode)
