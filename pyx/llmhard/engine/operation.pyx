"""What each operation does with a node: compute it and go backward through it."""
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from llmhard.engine.elementwise cimport (
    CUSTOM, DOT, GATHER, LEAF, MATVEC, POW, SELECT, SOFTMAX, SUM, VECMAT, VIEW, is_binary,
    is_linear, is_unary,
)
from llmhard.engine.kernels cimport (
    MANY, add_scaled, lanes, matvecs, matvecs_backward_inputs, matvecs_backward_matrix,
)
from llmhard.engine.node cimport (
    CONSTANT, LOST, MOVED, RUN, Node, Run, clock, cols_of, data_of, grad_of, inputs_of, run_of,
    storage,
)

from llmhard.engine.functions import SYMBOLS

NAMES = SYMBOLS | {
    LEAF: "", CUSTOM: "custom", SUM: "sum", DOT: "dot", MATVEC: "dot", VECMAT: "dot",
    SOFTMAX: "softmax", GATHER: "copy", SELECT: "[Index]",
}


cdef void forward_matvecs(Node **nodes, Py_ssize_t count, lanes *scratch) noexcept nogil:
    """Multiply one matrix with the vectors of `count` nodes."""
    cdef double *x[MANY]
    cdef double *out[MANY]
    cdef Run *m = run_of(inputs_of(nodes[0])[0])
    cdef Py_ssize_t first = 0, n, t
    while first < count:
        n = min(count - first, <Py_ssize_t>MANY)
        for t in range(n):
            x[t] = data_of(inputs_of(nodes[first + t])[1])
            out[t] = data_of(nodes[first + t])
        matvecs(n, m.rows, m.cols, m.stride, out, m.data, x, scratch)
        first += n


cdef void forward(Node *node, lanes *scratch) noexcept nogil:
    """Compute the data from the inputs; `scratch` is for a MATVEC: see matvecs."""
    cdef Node *a = inputs_of(node)[0]
    cdef Node *b = inputs_of(node)[1] if node.n_inputs > 1 else a
    cdef int op = node.op
    cdef Py_ssize_t i, n
    cdef double *out = data_of(node)
    if op == SELECT:
        move_select(run_of(node), data_of(a))
    elif op == MATVEC:
        forward_matvecs(&node, 1, scratch)
    elif op == GATHER:
        for i in range(node.n_inputs):
            n = cols_of(inputs_of(node)[i])
            memcpy(out, data_of(inputs_of(node)[i]), n * sizeof(double))
            out += n
    elif op != CUSTOM:
        compute(op, shape_of(node, a, b), out, data_of(a), data_of(b))
        if node.rank == 0 and (is_binary(op) or is_unary(op)):
            find_local(node)


cdef Shape shape_of(Node *node, Node *a, Node *b) noexcept nogil:
    """Return the shape of an operation with these operands; a single one is `b`, too."""
    cdef Shape shape
    shape.rank, shape.rank_a, shape.rank_b = node.rank, a.rank, b.rank
    shape.n = cols_of(node) if node.rank else cols_of(a)
    shape.rows, shape.stride = 1, 1
    if node.op == VECMAT or node.op == MATVEC:
        a = b if node.op == VECMAT else a
        shape.rows, shape.stride = run_of(a).rows, run_of(a).stride
        shape.n = cols_of(a)
    return shape


cdef inline void move_select(Run *view, double *data) noexcept nogil:
    """Make a view of what begins at `data` show what its Index names."""
    cdef Run *base = run_of(view.base)
    view.data = data + view.offset
    if base.grad is not NULL:
        view.grad = base.grad + (view.data - base.data)


cdef void backward_matvecs(Node **nodes, Py_ssize_t count) noexcept nogil:
    """Add what the gradients of `count` products with one matrix contribute to their vectors."""
    cdef double *g[MANY]
    cdef double *gx[MANY]
    cdef Run *m = run_of(inputs_of(nodes[0])[0])
    cdef Py_ssize_t first = 0, n, t
    while first < count:
        n = min(count - first, <Py_ssize_t>MANY)
        for t in range(n):
            g[t] = grad_of(nodes[first + t])
            gx[t] = grad_of(inputs_of(nodes[first + t])[1])
        matvecs_backward_inputs(n, m.rows, m.cols, m.stride, g, m.data, gx)
        first += n


cdef void backward_matrix(Node **nodes, Py_ssize_t count, double **pointers) noexcept nogil:
    """Add what they contribute to the matrix; `pointers` has room for two for each node."""
    cdef Run *m = run_of(inputs_of(nodes[0])[0])
    cdef Py_ssize_t t
    for t in range(count):
        pointers[t] = grad_of(nodes[t])
        pointers[count + t] = data_of(inputs_of(nodes[t])[1])
    m.used = True
    matvecs_backward_matrix(count, 0, m.rows, m.cols, m.stride, pointers, m.grad, pointers + count)


cdef void backward(Node *node) noexcept nogil:
    """Add to each input's grad what the node's contributes: the chain rule. Not for MATVEC."""
    cdef Node *a = inputs_of(node)[0]
    cdef Node *b = inputs_of(node)[1] if node.n_inputs > 1 else a
    cdef int op = node.op
    cdef Py_ssize_t i, n
    cdef double *g = grad_of(node)
    if op == SELECT:
        return
    elif is_single(node):
        backward_single(node)
    elif op == GATHER:
        for i in range(node.n_inputs):
            n = cols_of(inputs_of(node)[i])
            add_scaled(n, grad_of(inputs_of(node)[i]), 1.0, g)
            g += n
    else:
        send_back(op, shape_of(node, a, b), data_of(node), g, data_of(a), grad_of(a), data_of(b),
                  NULL if op == POW and b.flags & CONSTANT else grad_of(b))


cdef inline bint keeps_gradient(Node *node) noexcept nogil:
    """Return whether backward gives the recorded gradient whatever was assigned to the inputs."""
    cdef int op = node.op
    return (is_single(node) and not has_step(node) or is_linear(op) or op == LEAF
            or op == VIEW or op == SELECT or op == CUSTOM or op == SUM or op == GATHER)


cdef inline bint needs_result(int op) noexcept nogil:
    """Return whether the gradient also needs the result, so that assigning to it is wrong."""
    return is_unary(op) or op == SOFTMAX


cdef inline bint changed_since(Node *input, uint64_t then, bint only_computed) noexcept nogil:
    if input.flags & (RUN | MOVED) and computed(input) > then:
        return True
    return not only_computed and input.changed > then


cdef inline bint is_stale(Node *node) noexcept nogil:
    """Return whether an input was computed again since, or assigned to where that matters."""
    cdef Node *child
    cdef bint kept = keeps_gradient(node)
    cdef uint64_t since = computed(node)
    cdef int i
    if node.flags & LOST:
        return True
    if since >= (clock.replayed if kept else clock.changes):
        return False    # nothing that matters has changed since: the usual case
    if not kept and needs_result(node.op) and node.changed > since:
        return True
    for i in range(node.n_inputs):
        child = inputs_of(node)[i]
        if changed_since(child, since, kept) or changed_since(storage(child), since, kept):
            return True
    return False


cdef void follow(Node *select) noexcept:
    """Make a SELECT show what a replay of its input, on a Tape without it, has moved on to."""
    if not is_stale(select):
        return
    move_select(run_of(select), data_of(inputs_of(select)[0]))
    clock.changes += 1
    run_of(select).computed = clock.replayed = clock.changes


cdef void wrote_data(Node *node) noexcept:
    """Note that data was assigned to. A plain scalar thereby forgets when it was computed."""
    cdef Node *owner = storage(node)
    if not owner.flags & (RUN | MOVED) and is_stale(owner):
        owner.flags |= LOST
    clock.changes += 1
    owner.changed = clock.changes


cdef int check_unchanged(Node **nodes, Py_ssize_t count) except -1:
    """Raise RuntimeError unless all their gradients are still right."""
    cdef Py_ssize_t i
    for i in range(count):
        if is_stale(nodes[i]):
            raise RuntimeError(
                f"an input of the recorded operation '{NAMES[nodes[i].op]}' was changed after it "
                f"was recorded (by .data = ..., a training step or a replay), so its gradient "
                f"would be wrong: compute the result again, then call backward()")
    return 0
