"""What each operation does with a node: compute it, go backward through it."""
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from llmhard.engine.elementwise cimport (
    CUSTOM, DOT, GATHER, LEAF, MATVEC, POW, SELECT, SOFTMAX, SUM, VECMAT, VIEW, is_binary,
    is_linear, is_unary, run1, run1_backward, run2, run2_backward, value1, value2,
)
from llmhard.engine.kernels cimport (
    POSITIONS, add_scaled, dot, lanes, matvecs, matvecs_backward_inputs, matvecs_backward_matrix,
    run_sum, softmax, softmax_backward, vecmat, vecmat_backward,
)
from llmhard.engine.node cimport Node, locals_of, run_of, storage

from llmhard.engine.functions import SYMBOLS

NAMES = SYMBOLS | {
    LEAF: "", CUSTOM: "custom", SUM: "sum", DOT: "dot", MATVEC: "dot", VECMAT: "dot",
    SOFTMAX: "softmax", GATHER: "copy", SELECT: "[Index]",
}


cdef void forward_matvecs(Node **nodes, Py_ssize_t count, lanes *scratch) noexcept nogil:
    """Multiply one matrix with the vectors of `count` nodes."""
    cdef double *x[POSITIONS]
    cdef double *out[POSITIONS]
    cdef Node *m = nodes[0].inputs[0]
    cdef Py_ssize_t first = 0, n, t
    while first < count:
        n = count - first if count - first < POSITIONS else POSITIONS
        for t in range(n):
            x[t] = nodes[first + t].inputs[1].data
            out[t] = nodes[first + t].data
        matvecs(n, m.rows, m.cols, run_of(m).stride, out, m.data, x, scratch)
        first += n


cdef void forward(Node *node, lanes *scratch) noexcept nogil:
    """Compute node.data from the inputs; `scratch` has room for the columns of a MATVEC."""
    cdef Node *a = node.inputs[0]
    cdef Node *b = node.inputs[1] if node.n_inputs > 1 else NULL
    cdef int op = node.op
    cdef Py_ssize_t i, n
    cdef double *out = node.data
    if op == SELECT:
        node.data = a.data + run_of(node).offset
        if node.base.grad is not NULL:
            node.grad = node.base.grad + (node.data - node.base.data)
    elif is_binary(op):
        if node.rank == 0:
            out[0] = value2(op, a.data[0], b.data[0])
            find_local(node)
        else:
            run2(op, node.cols, out, a.data, a.rank, b.data, b.rank)
    elif is_unary(op):
        if node.rank == 0:
            out[0] = value1(op, a.data[0])
            find_local(node)
        else:
            run1(op, node.cols, out, a.data)
    elif op == SUM:
        out[0] = run_sum(a.cols, a.data)
    elif op == DOT:
        out[0] = dot(a.cols, a.data, b.data)
    elif op == MATVEC:
        forward_matvecs(&node, 1, scratch)
    elif op == VECMAT:
        vecmat(b.rows, b.cols, run_of(b).stride, out, a.data, b.data)
    elif op == SOFTMAX:
        softmax(node.cols, out, a.data)
    elif op == GATHER:
        for i in range(node.n_inputs):
            n = node.inputs[i].cols
            memcpy(out, node.inputs[i].data, n * sizeof(double))
            out += n


cdef void backward_matvecs(Node **nodes, Py_ssize_t count) noexcept nogil:
    """What the gradients of `count` products with one matrix mean for their vectors."""
    cdef double *g[POSITIONS]
    cdef double *gx[POSITIONS]
    cdef Node *m = nodes[0].inputs[0]
    cdef Py_ssize_t first = 0, n, t
    while first < count:
        n = count - first if count - first < POSITIONS else POSITIONS
        for t in range(n):
            g[t] = nodes[first + t].grad
            gx[t] = nodes[first + t].inputs[1].grad
        matvecs_backward_inputs(n, m.rows, m.cols, run_of(m).stride, g, m.data, gx)
        first += n


cdef void point(Node **nodes, Py_ssize_t count, double **pointers) noexcept nogil:
    """Put `count` gradients of products and then the `count` vectors into `pointers`."""
    cdef Py_ssize_t t
    for t in range(count):
        pointers[t] = nodes[t].grad
        pointers[count + t] = nodes[t].inputs[1].data


cdef void backward_matrix(Node **nodes, Py_ssize_t count, double **pointers) noexcept nogil:
    """What they mean for the matrix; `pointers` has room for two for each node."""
    cdef Node *m = nodes[0].inputs[0]
    point(nodes, count, pointers)
    run_of(m).used = True
    matvecs_backward_matrix(count, m.rows, m.cols, run_of(m).stride, pointers, m.grad,
                            pointers + count)


cdef void backward(Node *node) noexcept nogil:
    """Add to each input's grad what node.grad means for it: the chain rule. Not for MATVEC."""
    cdef Node *a = node.inputs[0]
    cdef Node *b = node.inputs[1] if node.n_inputs > 1 else NULL
    cdef int op = node.op
    cdef Py_ssize_t i, n
    cdef double *g = node.grad
    if op == SELECT:
        return
    elif is_single(node):
        if node.program is not NULL:    # whose replays do not update the local gradients
            find_local(node)
        for i in range(node.n_inputs):
            node.inputs[i].grad[0] += locals_of(node)[i] * g[0]
    elif is_binary(op):
        run2_backward(op, node.cols, g, a.data, a.rank, a.grad, b.data, b.rank,
                      NULL if op == POW and b.constant else b.grad)
    elif is_unary(op):
        run1_backward(op, node.cols, node.data, g, a.data, a.grad)
    elif op == SUM:
        for i in range(a.cols):
            a.grad[i] += g[0]
    elif op == DOT:
        add_scaled(a.cols, a.grad, g[0], b.data)
        add_scaled(a.cols, b.grad, g[0], a.data)
    elif op == VECMAT:
        vecmat_backward(b.rows, b.cols, run_of(b).stride, g, a.data, a.grad, b.data, b.grad)
    elif op == SOFTMAX:
        softmax_backward(node.cols, node.data, g, a.grad)
    elif op == GATHER:
        for i in range(node.n_inputs):
            n = node.inputs[i].cols
            add_scaled(n, node.inputs[i].grad, 1.0, g)
            g += n


cdef inline bint keeps_gradient(Node *node) noexcept nogil:
    """True if backward gives the recorded gradient whatever was assigned to the inputs since."""
    cdef int op = node.op
    return (is_single(node) and node.program is NULL or is_linear(op) or op == LEAF or op == VIEW
            or op == SELECT or op == CUSTOM or op == SUM or op == GATHER)


cdef inline bint is_stale(Node *node) noexcept nogil:
    """True if an input has been replayed since, or changed in a way that matters."""
    cdef Node *child
    cdef Node *owner
    cdef bint kept = keeps_gradient(node)
    cdef uint64_t since = computed(node)
    cdef int i
    for i in range(node.n_inputs):
        child = node.inputs[i]
        owner = storage(child)
        if (computed(child) > since or computed(owner) > since
                or not kept and owner.changed > since):
            return True
    return not kept and node.changed > since


cdef int check_unchanged(Node *node) except -1:
    if is_stale(node):
        raise RuntimeError(
            f"an input of the recorded operation '{NAMES[node.op]}' was changed after it was "
            f"recorded (by .data = ..., a training step or a replay), so its gradient would be "
            f"wrong: compute the result again, then call backward()")
    return 0
