"""Products of several vectors with the beginnings of one matrix: what attention consists of.

It is a module of its own, so that the products with weights, in batch.pyx, do not use up what the
compiler is willing to inline into one function.
"""
from libc.string cimport memcpy

from llmhard.engine.kernels cimport MANY, add_dots, add_to_rows, lanes, matvecs, sum_rows


cdef void forward_matvec(Sharers *some, lanes *scratch, double *results) noexcept nogil:
    """by_row[t] = matrix t times by_col[t]; `scratch` is as for matvecs, and `results` has room for
    one number for each vector and row of the largest matrix."""
    cdef Py_ssize_t t, rows = some.rows[some.count - 1]
    cdef double *all_rows[MANY]
    if some.count == 1:
        matvecs(1, rows, some.cols, some.stride, some.by_row, some.m, some.by_col, scratch)
        return
    for t in range(some.count):     # of all rows, the first ones are used
        all_rows[t] = results + t * rows
    matvecs(some.count, rows, some.cols, some.stride, all_rows, some.m, some.by_col, scratch)
    for t in range(some.count):
        memcpy(some.by_row[t], all_rows[t], some.rows[t] * sizeof(double))


cdef void backward_matvec(Sharers *some, bint rounding) noexcept nogil:
    """Go backward through by_row[t] = matrix t times by_col[t]; `rounding` is as in add_to_rows."""
    sum_rows(some.count, True, some.rows, some.cols, some.stride, some.by_row_grads, some.m,
             some.by_col_grads)
    add_to_rows(some.count, rounding, some.rows, some.cols, some.stride, some.gm,
                some.by_row_grads, some.by_col)


cdef void forward_vecmat(Sharers *some) noexcept nogil:
    """by_col[t] = by_row[t] times matrix t"""
    sum_rows(some.count, False, some.rows, some.cols, some.stride, some.by_row, some.m,
             some.by_col)


cdef void backward_vecmat(Sharers *some, bint rounding, lanes *scratch) noexcept nogil:
    add_dots(some.count, some.rows, some.cols, some.stride, some.by_row_grads, some.m,
             some.by_col_grads, scratch)
    add_to_rows(some.count, rounding, some.rows, some.cols, some.stride, some.gm, some.by_row,
                some.by_col_grads)
