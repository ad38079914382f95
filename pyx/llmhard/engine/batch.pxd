"""Batches, as the modules above see them."""
from libc.stdint cimport uint64_t

from llmhard.engine.kernels cimport AdamStep, lanes
from llmhard.engine.node cimport Node
from llmhard.engine.plan cimport Instruction, Plan
from llmhard.engine.products cimport Sharers
from llmhard.engine.threads cimport Pass


# One of the computations that run side by side.
cdef struct Row:
    double *arena           # data and grads of all that this row computes
    double **bases          # where the data of a Place is counted from
    Py_ssize_t *offsets     # of each Select, in scalars
    int root                # which root is computed
    double share            # the gradient with which backward() begins there

# A piece of the work, for whichever thread comes first: rows, or lines of a matrix.
cdef struct Piece:
    Py_ssize_t first, end
    Py_ssize_t group        # of lines of a matrix

# The products of all rows with one leaf matrix.
cdef struct Products:
    Py_ssize_t count
    double **grads          # of the results
    double **vectors
    double *means           # of Adam; NULL: add to the matrix's gradient instead
    double *squares


cdef class Batch(Pass):
    cdef Plan plan
    cdef Row *rows
    cdef Py_ssize_t n_rows      # in memory
    cdef Py_ssize_t n_used      # by the last forward()
    cdef object _crew           # an Executor, or None
    cdef int n_threads          # of the crew
    cdef int n_helpers          # how many of them there is enough work for
    cdef bint is_computed       # whether the last forward() finished
    cdef uint64_t computed      # clock.changes when it began
    cdef Piece *pieces
    cdef Py_ssize_t n_pieces
    cdef long n_present         # threads of the crew that are waiting for work or doing it
    cdef long left              # pieces that nobody has taken yet; none if below 1
    cdef long undone            # pieces that are not done
    cdef int phase              # what to do with a piece
    cdef lanes *scratch         # for each piece
    cdef Products *products     # for each group
    cdef double **pointers
    cdef AdamStep step
    cdef object trouble         # an exception to raise when all is done, or None

    cdef int need_rows(self, Py_ssize_t n) except -1
    cdef int new_row(self, Row *row) except -1
    cdef int set_row(self, Row *row, list values, double share) except -1
    cdef object result(self, Row *row)
    cdef int reach_also(self, list leaves) except -1
    cdef int check(self) except -1
    cdef int need_pieces(self, Py_ssize_t n) except -1
    cdef int share_rows(self) except -1
    cdef Py_ssize_t n_scalars(self, Row *row) noexcept nogil
    cdef Py_ssize_t n_scratch(self) noexcept nogil
    cdef void run(self, int phase) noexcept
    cdef int complain(self) except -1
    cdef void work(self) noexcept nogil
    cdef void do_piece(self, Piece *piece, lanes *scratch) noexcept nogil
    cdef void forward_rows(self, Row *rows, Py_ssize_t n, lanes *scratch) noexcept nogil
    cdef void forward_items(self, Instruction *instruction, Row *row) noexcept nogil
    cdef void run_products(self, Instruction *instruction, Row *rows, Py_ssize_t n, bint backward,
                           lanes *scratch) noexcept nogil
    cdef void forward_own(self, Instruction *instruction, Row *row, lanes *scratch) noexcept nogil
    cdef void find_sharers(self, Instruction *instruction, Py_ssize_t first, Py_ssize_t end,
                           Row *row, Sharers *some) noexcept nogil
    cdef void backward_rows(self, Row *rows, Py_ssize_t n, lanes *scratch) noexcept nogil
    cdef void backward_items(self, Instruction *instruction, Row *row) noexcept nogil
    cdef void backward_own(self, Instruction *instruction, Row *row, lanes *scratch) noexcept nogil
    cdef int begin_backward(self) except -1
    cdef void go_backward(self) noexcept
    cdef void add_shares(self) noexcept
    cdef int list_products(self) except -1
    cdef bint left_to_adam(self, Node *matrix, double *means, double *squares) noexcept
    cdef Py_ssize_t n_lines_pieces(self) noexcept
    cdef void share_lines(self) noexcept
    cdef void do_lines(self, Piece *piece) noexcept nogil
