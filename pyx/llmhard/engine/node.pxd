"""Nodes, as the modules above see them: the struct, and what keeps and frees it."""
from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from llmhard.engine.elementwise cimport Step

cdef struct Node:
    # What computing needs, in one cache line.
    signed char op
    signed char rank        # 0: a Value, 1: a Vector, 2: a Matrix
    unsigned char constant  # a plain number in a formula, such as the 2 in x ** 2
    unsigned char has_grad  # a backward or an assignment has written to grad
    unsigned char used      # a leaf's grad may hold something other than zeros
    int n_inputs
    int rows, cols          # the scalars: rows * cols of them (a Vector is one row)
    int stride              # from one row to the next, in scalars
    Py_ssize_t refs         # handles, views, and nodes that have this one as an input
    double *data
    double *grad            # NULL until needed
    Node **inputs
    Node *input_pair[2]     # where inputs, local, data and grad point if there are few
    double own[2]
    double local_pair[2]
    double *local           # of a single Value: the local gradient towards each input
    Node *base              # a view's scalars belong to this node; NULL: they are our own
    Py_ssize_t offset       # of a SELECT: where in its input it begins
    PyObject *index         # of a SELECT: the Index that says so, or NULL if it stays there
    uint64_t changed        # the value of `clock.changes` when data was last assigned to
    uint64_t computed       # the value of `clock.changes` when data was last computed
    int depth               # more than that of every input; 0 for leaves
    void *data_block        # what to free: data and grad begin at the next cache line
    void *grad_block
    Program *program        # where data and grad of a single Value on a replayed Tape live
    Node *next              # the list of nodes about to be freed

# A replayed Tape keeps its single Values together, in the order of computing. They stay there
# as long as the Tape or one of their nodes is left.
cdef struct Program:
    Py_ssize_t refs         # the Tape, and each node whose numbers are here
    uint64_t computed       # the value of `clock.changes` when it was last run
    Step *steps             # one for each operation on the Tape
    double *plain           # the plain numbers among the inputs, each with room for a grad

cdef enum:
    CACHE_LINE = 64             # bytes; also the widest vector register

# What has happened, in numbers that only grow: a larger one is later.
cdef struct Clock:
    uint64_t changes        # how often the data of any leaf was assigned to
    uint64_t grad_writes    # how often anything but a Tape's forward() wrote to grads

cdef Clock clock

cdef Node *new_node(int op, int rank, Py_ssize_t rows, Py_ssize_t cols,
                    Py_ssize_t n_inputs) except NULL
cdef Node *view(Node *of, int rank, Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t stride,
                double *data) except NULL
cdef Node *constant(double data) except NULL
cdef void release(Node *node) noexcept
cdef void release_program(Program *program) noexcept
cdef void discard(Node *node) noexcept
cdef int need_grad(Node *node) except -1
cdef void wrote_data(Node *node) noexcept
cdef void wrote_grad(Node *node) noexcept


cdef inline void link(Node *node, Node *input) noexcept:
    node.inputs[node.n_inputs] = input
    node.n_inputs += 1
    input.refs += 1
    if node.depth <= input.depth:
        node.depth = input.depth + 1


cdef inline Node *storage(Node *node) noexcept nogil:
    """The node whose memory holds the scalars: for a view another node."""
    return node if node.base is NULL else node.base


cdef inline Py_ssize_t size(Node *node) noexcept nogil:
    return <Py_ssize_t>node.rows * node.cols


cdef class Handle:
    cdef Node *node         # NULL until __init__, or who makes the handle, gives it one, for good

cdef int refuse(Handle handle) except -1


cdef inline Node *node_of(Handle handle) except NULL:
    """The node of a handle, the same as long as the handle lives; raises if it has none yet."""
    if handle.node is NULL:
        refuse(handle)
    return handle.node
