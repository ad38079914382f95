"""What each operation does with a node, as the modules above see it."""
from libc.stdint cimport uint64_t

from llmhard.engine.elementwise cimport (
    BY_NODE, CUSTOM, DOT, POW, SOFTMAX, SUM, VECMAT, is_binary, is_exact, is_linear, is_unary,
    local_1, local_a, local_b, run1, run1_backward, run2, run2_backward, value1, value2,
)
from llmhard.engine.kernels cimport (
    add_scaled, dot, flush_tiny, lanes, run_sum, set_mode, softmax, softmax_backward, vecmat,
    vecmat_backward,
)
from llmhard.engine.node cimport (
    CONSTANT, MOVED, RUN, Node, data_of, grad_of, inputs_of, locals_of, run_of,
)

# What an operation has to know about its operands besides where they are.
cdef struct Shape:
    int rank, rank_a, rank_b    # of the result and the operands; 0: one number
    int n                       # how many scalars: of the result if it is a run, else of `a`
    int rows, stride            # of the matrix of a product

cdef void forward(Node *node, lanes *scratch) noexcept nogil
cdef void forward_matvecs(Node **nodes, Py_ssize_t count, lanes *scratch) noexcept nogil
cdef void backward(Node *node) noexcept nogil
cdef void backward_matvecs(Node **nodes, Py_ssize_t count) noexcept nogil
cdef void backward_matrix(Node **nodes, Py_ssize_t count, double **pointers) noexcept nogil
cdef int check_unchanged(Node **nodes, Py_ssize_t count) except -1
cdef void follow(Node *select) noexcept
cdef Shape shape_of(Node *node, Node *a, Node *b) noexcept nogil
cdef void wrote_data(Node *node) noexcept


cdef inline bint is_single(Node *node) noexcept nogil:
    """Return whether this is a scalar computed from scalars, which keeps its local gradients."""
    return node.rank == 0 and (node.op == CUSTOM or is_binary(node.op) or is_unary(node.op))


cdef inline bint has_step(Node *node) noexcept nogil:
    """Return whether this is a scalar that is replayed without its local gradients."""
    return node.flags & MOVED != 0 and node.home.moved.step.op != BY_NODE


cdef inline uint64_t computed(Node *node) noexcept nogil:
    """Return when the data was last computed or, for a plain scalar, assigned to after that."""
    if node.flags & RUN:
        return run_of(node).computed
    if node.flags & MOVED:
        return max(node.home.moved.program.computed, node.home.moved.step.computed)
    return node.changed


cdef inline void find_local(Node *node) noexcept nogil:
    """Compute the local gradients of a single Value from the data of its inputs."""
    cdef double a = data_of(inputs_of(node)[0])[0]
    cdef double b
    cdef unsigned int mode = 0
    if is_linear(node.op):
        return
    if not is_exact(node.op):
        mode = flush_tiny()
    if is_binary(node.op):
        b = data_of(inputs_of(node)[1])[0]
        locals_of(node)[0] = local_a(node.op, a, b)
        locals_of(node)[1] = (0.0 if node.op == POW and inputs_of(node)[1].flags & CONSTANT
                              else local_b(node.op, a, b))
    else:
        locals_of(node)[0] = local_1(node.op, a, data_of(node)[0])
    if not is_exact(node.op):
        set_mode(mode)


cdef inline double local_of(Node *node, int i) noexcept nogil:
    """Return the local gradient of a single Value with respect to its i-th input."""
    if not is_linear(node.op):
        return locals_of(node)[i]
    if is_unary(node.op):
        return local_1(node.op, 0.0, 0.0)
    return local_b(node.op, 0.0, 0.0) if i else local_a(node.op, 0.0, 0.0)


cdef inline void backward_single(Node *node) noexcept nogil:
    """Add to the grad of each input what a single Value's contributes to it: the chain rule."""
    cdef double g = grad_of(node)[0]
    cdef double *to
    cdef int i
    if is_linear(node.op):
        for i in range(node.n_inputs):
            to = grad_of(inputs_of(node)[i])
            to[0] += local_of(node, i) * g
        return
    if has_step(node):      # whose replays do not update the local gradients
        find_local(node)
    for i in range(node.n_inputs):
        to = grad_of(inputs_of(node)[i])    # first, so that the rest is one multiply-add, as in a
        to[0] += locals_of(node)[i] * g     # Step, if the processor has that: the same bits


cdef inline void compute(int op, Shape shape, double *out, double *a, double *b) noexcept nogil:
    """Compute an operation. Not for MATVEC, GATHER and what has no arithmetic of its own."""
    if is_binary(op):
        if shape.rank == 0:
            out[0] = value2(op, a[0], b[0])
        else:
            run2(op, shape.n, out, a, shape.rank_a, b, shape.rank_b)
    elif is_unary(op):
        if shape.rank == 0:
            out[0] = value1(op, a[0])
        else:
            run1(op, shape.n, out, a)
    elif op == SUM:
        out[0] = run_sum(shape.n, a)
    elif op == DOT:
        out[0] = dot(shape.n, a, b)
    elif op == VECMAT:
        vecmat(shape.rows, shape.n, shape.stride, out, a, b)
    elif op == SOFTMAX:
        softmax(shape.n, out, a)


cdef inline void send_back(int op, Shape shape, double *out, double *g, double *a, double *ga,
                           double *b, double *gb) noexcept nogil:
    """Add to `ga` and `gb` what `g`, the gradient of the result, contributes to them. With one
    operand, the second is not used; `gb` is NULL if that is a plain number."""
    cdef Py_ssize_t i
    if is_binary(op):
        if shape.rank == 0:
            ga[0] += local_a(op, a[0], b[0]) * g[0]
            if gb is not NULL:
                gb[0] += local_b(op, a[0], b[0]) * g[0]
        else:
            run2_backward(op, shape.n, g, a, shape.rank_a, ga, b, shape.rank_b, gb)
    elif is_unary(op):
        if shape.rank == 0:
            ga[0] += local_1(op, a[0], out[0]) * g[0]
        else:
            run1_backward(op, shape.n, out, g, a, ga)
    elif op == SUM:
        for i in range(shape.n):
            ga[i] += g[0]
    elif op == DOT:
        add_scaled(shape.n, ga, g[0], b)
        add_scaled(shape.n, gb, g[0], a)
    elif op == VECMAT:
        vecmat_backward(shape.rows, shape.n, shape.stride, g, a, ga, b, gb)
    elif op == SOFTMAX:
        softmax_backward(shape.n, out, g, ga)
