"""The optimizer's step, for all parameters, and the mean over steps; llmhard/adam.py and
llmhard/average.py keep their state. Adam's arithmetic on the numbers is in kernels.pxd."""
from llmhard.engine.batch cimport Batch
from llmhard.engine.elementwise cimport LEAF
from llmhard.engine.kernels cimport AdamStep, adam
from llmhard.engine.node cimport (
    CONSTANT, Handle, Node, cols_of, data_of, grad_of, is_run, need_grad, node_of, run_of, size,
)
from llmhard.engine.operation cimport wrote_data
from llmhard.engine.tape cimport Tape
from llmhard.engine.threads cimport GRAD, READ, WRITE, Access, Pass, n_at_work, wait_once


def adam_update(parameters, means, squares, *, double lr, double beta1, double beta2,
                double eps, int t, double weight_decay=0.0, Pass tape=None):
    """Take one step of Adam with every parameter, a leaf, in place, and set its gradient to zero.

    With g the gradient: m = beta1 m + (1 - beta1) g and v = beta2 v + (1 - beta2) g^2, then
    data -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps), as in Kingma and Ba,
    "Adam: A Method for Stochastic Optimization" (2015), algorithm 1. With a `weight_decay`, data
    loses lr weight_decay data in the same step, as in Loshchilov and Hutter, "Decoupled Weight
    Decay Regularization" (2019), algorithm 2.

    `means` and `squares` hold m and v: for each parameter a leaf of the same shape, zeros at
    first. A v below 1e-200 counts as that much, so a gradient of 0 moves nothing even if eps is 0;
    a gradient above 1e154, whose square is infinite, makes data nan. `t` counts the steps from 1.
    With a `tape`, a Tape or a Batch, its backward() comes first, and other threads see both or
    neither. From a Batch, the gradients of weight matrices go into Adam without passing through
    memory: the same bits, but faster.

    Raises, before anything is changed, ValueError if one of them is not a leaf, if the shapes or
    numbers differ, or if t is below 1; TypeError if one is not a handle or is a plain number in a
    formula; and what backward() raises.
    """
    cdef AdamStep step
    cdef Batch batch = tape if isinstance(tape, Batch) else None
    cdef Py_ssize_t i
    cdef list ps = list(parameters), ms = list(means), vs = list(squares)
    cdef list moved = [False] * len(ps)
    if t < 1:
        raise ValueError(f"t counts the steps from 1; it is {t}")
    if len(ps) != len(ms) or len(ps) != len(vs):
        raise ValueError("adam_update needs one m and one v for each parameter")
    for i in range(len(ps)):
        check_leaf(ps[i], ps[i])
        check_leaf(ms[i], ps[i])
        check_leaf(vs[i], ps[i])
        need_grad((<Handle>ps[i]).node)
    step.rate, step.beta1, step.beta2 = lr / (1.0 - beta1 ** t), beta1, beta2
    step.eps, step.v_scale = eps, (1.0 - beta2 ** t) ** -0.5
    step.keep = 1.0 - lr * weight_decay
    if batch is not None:
        batch.reach_also(ps)
        batch.reach_also(ms)
        batch.reach_also(vs)
    wait_for_all(tape, [(ps, WRITE), (ps, GRAD), (ms, WRITE), (vs, WRITE)])
    if batch is not None:
        batch.check()
        move_by_products(ps, ms, vs, &step, batch, moved)
    elif tape is not None:
        (<Tape?>tape).backward_in_one_piece()
    for i in range(len(ps)):
        if not moved[i]:
            move(ps[i], ms[i], vs[i], &step)
    if batch is not None:
        batch.complain()


cdef int move_by_products(list ps, list ms, list vs, AdamStep *step, Batch batch,
                          list moved) except -1:
    """Go backward; note in `moved` which parameters a step was taken with on the way."""
    cdef Py_ssize_t i
    batch.begin_backward()
    batch.step, batch.moves = step[0], True
    for i in range(len(ps)):
        moved[i] = batch.left_to_adam((<Handle>ps[i]).node, data_of((<Handle>ms[i]).node),
                                      data_of((<Handle>vs[i]).node))
    batch.go_backward()
    batch.moves = False
    for i in range(len(ps)):
        if moved[i]:
            wrote_all(ps[i], ms[i], vs[i])
    return 0


cdef void move(Handle p, Handle m, Handle v, AdamStep *step) noexcept:
    """Take one step of Adam with one parameter."""
    cdef AdamStep own = step[0]     # a copy, so that no number written can be one of these
    adam(size(p.node), data_of(p.node), grad_of(p.node), data_of(m.node), data_of(v.node), &own)
    if is_run(p.node):
        run_of(p.node).used = False
    wrote_all(p, m, v)


cdef void wrote_all(Handle p, Handle m, Handle v) noexcept:
    wrote_data(p.node)
    wrote_data(m.node)
    wrote_data(v.node)


def average_update(means, parameters, *, double share):
    """Move each mean towards its parameter, in place: mean += share (parameter - mean).

    With the shares 1, 1/2, 1/3, ... the means are those of all parameters so far. For each
    parameter, a leaf, `means` has a leaf of the same shape. Raises, before anything is changed,
    ValueError if one of them is not a leaf or if the shapes or numbers differ, TypeError if one is
    not a handle or is a plain number in a formula.
    """
    cdef Handle mean, parameter
    cdef list ms = list(means), ps = list(parameters)
    cdef double *m
    cdef double *p
    cdef Py_ssize_t i, j
    if len(ms) != len(ps):
        raise ValueError("average_update needs one mean for each parameter")
    for i in range(len(ps)):
        check_leaf(ps[i], ps[i])
        check_leaf(ms[i], ps[i])
    wait_for_all(None, [(ms, WRITE), (ps, READ)])
    for i in range(len(ps)):
        mean, parameter = ms[i], ps[i]
        m, p = data_of(mean.node), data_of(parameter.node)
        for j in range(size(mean.node)):
            m[j] += share * (p[j] - m[j])
        wrote_data(mean.node)


cdef int wait_for_all(Pass tape, list accesses) except -1:
    """Wait until no other thread is using any of the (leaves, access), or is in the tape's way."""
    cdef bint waited = n_at_work > 0
    while waited:
        if tape is not None:
            tape.wait_for_others(True)
        waited = False
        for leaves, what in accesses:
            for leaf in leaves:
                waited |= wait_once((<Handle>leaf).node, <Access><int>what)
    return 0


cdef int check_leaf(object handle, object like) except -1:
    """Refuse what is not a leaf of the shape of `like`, a handle checked before or the same."""
    cdef Node *node
    cdef Node *other
    if not isinstance(handle, Handle):
        raise TypeError(f"a parameter is a Value, Vector or Matrix, not {type(handle).__name__}")
    node, other = node_of(<Handle>handle), node_of(<Handle>like)
    if (node.op != LEAF or node.rank != other.rank or size(node) != size(other)
            or cols_of(node) != cols_of(other)):
        raise ValueError("a parameter and what is kept for it are leaves of the same shape")
    if node.flags & CONSTANT:
        raise TypeError("this is a plain number in a formula; make it a Value to change it")
    return 0
