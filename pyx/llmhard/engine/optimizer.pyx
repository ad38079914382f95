"""The optimizer's step, for all parameters, and the mean over steps; llmhard/adam.py and
llmhard/average.py keep their state."""
from llmhard.engine.elementwise cimport LEAF
from llmhard.engine.kernels cimport AdamStep, adam, adam_products
from llmhard.engine.node cimport Handle, Node, clock, need_grad, size, wrote_data
from llmhard.engine.operation cimport backward_matrix, point
from llmhard.engine.tape cimport Tape


def adam_update(parameters, means, squares, *, double lr, double beta1, double beta2,
                double eps, int t, double weight_decay=0.0, Tape tape=None):
    """One step of Adam on every parameter, a leaf, in place; then its gradient is zero.

    With g the gradient: m = beta1 m + (1 - beta1) g and v = beta2 v + (1 - beta2) g^2, then
    data -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps), as in Kingma and Ba,
    "Adam: A Method for Stochastic Optimization" (2015), algorithm 1. With a `weight_decay`, data
    loses lr weight_decay data in the same step, as in Loshchilov and Hutter, "Decoupled Weight
    Decay Regularization" (2019), algorithm 2.

    `means` and `squares` hold m and v: for each parameter a leaf of the same shape, zeros at
    first. `t` counts the steps from 1. With a `tape`, its backward() comes first, and the
    gradients of weight matrices go into Adam without passing through memory: the same bits,
    sooner. Raises, before anything is changed, ValueError if one of them is no leaf, the shapes
    or numbers differ or t is below 1, TypeError if one is no handle, and what backward() raises.
    """
    cdef Handle p, m, v
    cdef AdamStep step
    cdef Node *matrix
    cdef Py_ssize_t i, first, end
    cdef list ps = list(parameters), ms = list(means), vs = list(squares)
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
    if tape is not None:
        tape.begin_backward()
        with nogil:
            tape.run_backward()
    clock.visits += 1   # from here on the mark of a matrix whose products are still to be added up
    if tape is not None:
        first = 0
        while first < tape.n_products:
            end = tape.same_matrix(first)
            matrix = tape.products[first].inputs[0]
            if matrix.used or matrix.cols % 32 or tape.has_leaf_vector(first, end):
                backward_matrix(tape.products + first, end - first, tape.pointers)
            else:
                matrix.visit, matrix.place = clock.visits, first
            first = end
    for i in range(len(ps)):
        p, m, v = ps[i], ms[i], vs[i]
        if p.node.visit == clock.visits:
            p.node.visit = 0
            first = p.node.place
            end = tape.same_matrix(first)
            point(tape.products + first, end - first, tape.pointers)
            adam_products(end - first, p.node.rows, p.node.cols, tape.pointers,
                          tape.pointers + (end - first), p.node.data, m.node.data, v.node.data,
                          &step)
        else:
            adam(size(p.node), p.node.data, p.node.grad, m.node.data, v.node.data, &step)
            p.node.used = False
        wrote_data(p.node)
        wrote_data(m.node)
        wrote_data(v.node)
    first = 0
    while tape is not None and first < tape.n_products:
        end = tape.same_matrix(first)
        if tape.products[first].inputs[0].visit == clock.visits:    # it is not a parameter
            backward_matrix(tape.products + first, end - first, tape.pointers)
        first = end


def average_update(means, parameters, *, double share):
    """Move each mean towards its parameter, in place: mean += share (parameter - mean).

    With the shares 1, 1/2, 1/3, ... the means are those of all parameters so far. For each
    parameter, a leaf, `means` has a leaf of the same shape. Raises, before anything is changed,
    ValueError if one of them is no leaf or the shapes or numbers differ, TypeError if one is no
    handle.
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
    for i in range(len(ps)):
        mean, parameter = ms[i], ps[i]
        m, p = mean.node.data, parameter.node.data
        for j in range(size(mean.node)):
            m[j] += share * (p[j] - m[j])
        wrote_data(mean.node)


cdef int check_leaf(object handle, object like) except -1:
    """Refuse what is no leaf of the shape of `like`, a handle checked before or the same."""
    cdef Node *node
    cdef Node *other
    if not isinstance(handle, Handle):
        raise TypeError(f"a parameter is a Value, Vector or Matrix, not {type(handle).__name__}")
    node, other = (<Handle>handle).node, (<Handle>like).node
    if (node.op != LEAF or node.rows != other.rows or node.cols != other.cols
            or node.rank != other.rank):
        raise ValueError("a parameter and what is kept for it are leaves of the same shape")
    return 0
