"""Products of several vectors with the beginnings of one matrix, as the modules above see them."""
from llmhard.engine.kernels cimport MANY, lanes


# Products whose matrices begin at the same place, such as the keys or values up to each position:
# the last one, the largest, has the rows of all.
cdef struct Sharers:
    Py_ssize_t count, cols, stride
    Py_ssize_t rows[MANY]   # of each matrix; never fewer than in the one before
    double *m
    double *gm
    double *by_row[MANY]    # the operand or result with a number for each row
    double *by_row_grads[MANY]
    double *by_col[MANY]    # the one with a number for each column
    double *by_col_grads[MANY]


cdef void forward_matvec(Sharers *some, lanes *scratch, double *results) noexcept nogil
cdef void backward_matvec(Sharers *some, bint rounding) noexcept nogil
cdef void forward_vecmat(Sharers *some) noexcept nogil
cdef void backward_vecmat(Sharers *some, bint rounding, lanes *scratch) noexcept nogil
