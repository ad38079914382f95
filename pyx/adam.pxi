"""The optimizer's step, for all parameters; llmhard/adam.py keeps its state."""
from libc.stdint cimport uintptr_t

from kernels cimport LEAF, AdamStep, adam, adam_products


def adam_update(parameters, means, squares, *, double lr, double beta1, double beta2,
                double eps, int t, Tape tape=None):
    """One step of Adam on every parameter, a leaf, in place; then its gradient is zero.

    With g the gradient: m = beta1 m + (1 - beta1) g and v = beta2 v + (1 - beta2) g^2, then
    data -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps), as in Kingma and Ba,
    "Adam: A Method for Stochastic Optimization" (2015), algorithm 1.

    `means` and `squares` hold m and v: for each parameter a leaf of the same shape, zeros at
    first. `t` counts the steps from 1. With a `tape`, its backward() comes first, and the
    gradients of weight matrices go into Adam without passing through memory: the same bits,
    sooner. Raises, before anything is changed, ValueError if one of them is no leaf, the shapes
    or numbers differ or t is below 1, TypeError if one is no handle, and what backward() raises.
    """
    cdef Handle p, m, v
    cdef AdamStep step
    cdef Node *matrix
    cdef Py_ssize_t first, end
    cdef list triples = list(zip(parameters, means, squares, strict=True))
    cdef dict fused = {}
    if t < 1:
        raise ValueError(f"t counts the steps from 1; it is {t}")
    for triple in triples:
        for other in triple:
            if not isinstance(other, Handle):
                raise TypeError(f"a parameter is a Value, Vector or Matrix, "
                                f"not {type(other).__name__}")
        p, m, v = triple
        for other in triple:
            node = (<Handle>other).node
            if (node.op != LEAF or node.rows != p.node.rows or node.cols != p.node.cols
                    or node.rank != p.node.rank):
                raise ValueError("adam_update needs three leaves of the same shape")
        need_grad(p.node)
    step.rate, step.beta1, step.beta2 = lr / (1.0 - beta1 ** t), beta1, beta2
    step.eps, step.v_scale = eps, (1.0 - beta2 ** t) ** -0.5
    if tape is not None:
        tape.begin_backward()
        with nogil:
            tape.run_backward()
        first = 0
        while first < tape.n_products:
            end = tape.same_matrix(first)
            matrix = tape.products[first].inputs[0]
            if matrix.used or matrix.cols % 32:
                backward_matrix(tape.products + first, end - first, tape.pointers)
            else:
                fused[<uintptr_t>matrix] = first
            first = end
    for p, m, v in triples:
        found = fused.pop(<uintptr_t>p.node, None)
        if found is None:
            adam(size(p.node), p.node.data, p.node.grad, m.node.data, v.node.data, &step)
            p.node.used = False
        else:
            first = found
            end = tape.same_matrix(first)
            point(tape.products + first, end - first, tape.pointers)
            adam_products(end - first, p.node.rows, p.node.cols, tape.pointers,
                          tape.pointers + (end - first), p.node.data, m.node.data, v.node.data,
                          &step)
        p.changed()
        m.changed()
        v.changed()
    for found in fused.values():        # matrices that are not among the parameters
        first = found
        backward_matrix(tape.products + first, tape.same_matrix(first) - first, tape.pointers)
