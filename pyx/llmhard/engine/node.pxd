"""Nodes, as the modules above see them: the struct, and what keeps and frees it."""
from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from llmhard.engine.elementwise cimport Step

# A record of the graph: a scalar; or a run, or a view of scalars, and then the beginning of a Run.
# The first 72 bytes have what computing needs of an input.
cdef struct Node:
    signed char op          # an Op: what computed the scalars; LEAF: nothing did
    signed char rank        # 0: a Value, 1: a Vector, 2: a Matrix
    unsigned char constant  # a plain number in a formula, such as the 2 in x ** 2: always a LEAF
    unsigned char has_grad  # a backward or an assignment has written to grad; else it is all zeros
    unsigned char keeps     # the handle, a Value, is to live as long as the node: it may be missed
    unsigned char owns      # ... and does: the node has a reference to it, not the other way round
    int n_inputs            # of inputs; 0 if op is LEAF or VIEW
    int rows, cols          # the scalars: rows * cols of them (a Value or Vector is one row)
    int depth               # more than that of every input, at least that of base; 0 for leaves
    Py_ssize_t refs         # its handle unless owned, views, nodes it is an input of; 0: free it
    double *data            # the first scalar: own, a block of memory, base's or program's
    double *grad            # as long as data; NULL until needed; of a freed node, the next to free
    Node **inputs           # input_pair, or if there are more than 2 a block, with local behind it
    double own[2]           # of a single scalar: data and grad, unless it has a base or program
    Node *input_pair[2]     # up to 2 inputs, which are older than this node: there is no cycle
    double local_pair[2]    # of a single scalar with up to 2 inputs: the local gradients
    Node *base              # a view's scalars belong to this node, no view; NULL: they are our own
    Program *program        # where a replayed Tape has put data and grad of a single scalar
    uint64_t changed        # clock.changes when data was last assigned to; 0 in a view
    uint64_t computed       # clock.changes when data was last computed, by program or not
    PyObject *handle        # the one Handle of this node, as long as there is one; NULL otherwise

# A Vector or Matrix, or a view of any rank: where its scalars are.
cdef struct Run:
    Node node               # first, so that the address of one is the address of the other
    int stride              # from one row to the next, in scalars; at least node.cols
    bint used               # of a leaf matrix: grad may hold something other than zeros
    void *data_block        # what to free: node.data begins at the next cache line; NULL in a view
    void *grad_block        # the same for node.grad
    Py_ssize_t offset       # of a SELECT: where in its input it begins, in scalars
    PyObject *index         # of a SELECT: the Index that says so, or NULL if it stays there
    PyObject *scalars       # the Values that were made of its scalars: a dict by place, or NULL

# A replayed Tape keeps its single Values together, in the order of computing. They stay there
# as long as the Tape or one of their nodes is left.
cdef struct Program:
    Py_ssize_t refs         # the Tape, and each node whose numbers are here
    uint64_t computed       # clock.changes when it was last run
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
cdef void keep(Node *node) noexcept
cdef void own(Node *node) noexcept
cdef int need_grad(Node *node) except -1
cdef void wrote_data(Node *node) noexcept
cdef void wrote_grad(Node *node) noexcept
cdef void set_used(Node *owner) noexcept nogil


cdef inline void link(Node *node, Node *input) noexcept:
    node.inputs[node.n_inputs] = input
    node.n_inputs += 1
    input.refs += 1
    if input.keeps:
        own(input)
    if node.depth <= input.depth:
        node.depth = input.depth + 1


cdef inline bint is_run(Node *node) noexcept nogil:
    """Whether the node is the beginning of a Run."""
    return node.rank > 0 or node.base is not NULL


cdef inline Run *run_of(Node *node) noexcept nogil:
    """The Run that begins with the node; ask is_run before."""
    return <Run *>node


cdef inline double *locals_of(Node *node) noexcept nogil:
    """The local gradients of a single scalar, one for each input, once all are linked."""
    if node.n_inputs <= 2:
        return node.local_pair
    return <double *>(node.inputs + node.n_inputs)


cdef inline Node *storage(Node *node) noexcept nogil:
    """The node whose memory holds the scalars: for a view another node."""
    return node if node.base is NULL else node.base


cdef inline Py_ssize_t size(Node *node) noexcept nogil:
    return <Py_ssize_t>node.rows * node.cols


cdef class Handle:
    cdef Node *node         # NULL until __init__, or who makes the handle, gives it one, for good
    cdef dict attributes    # NULL before the first: `cdef dict __dict__` would make one each time
    cdef object __weakref__

    cdef void hold(self, Node *node) noexcept
    cdef void leave_gc(self) noexcept
    cdef bint has_attributes(self) noexcept
    cdef int keep_attributes(self) except -1

cdef int refuse(Handle handle) except -1


cdef inline Node *node_of(Handle handle) except NULL:
    """The node of a handle, the same as long as the handle lives; raises if it has none yet."""
    if handle.node is NULL:
        refuse(handle)
    return handle.node
