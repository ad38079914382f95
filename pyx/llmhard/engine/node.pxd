"""Nodes, as the modules above see them: the struct, and what keeps and frees it."""
from cpython.mem cimport PyMem_Malloc
from cpython.ref cimport PyObject
from libc.limits cimport INT_MAX
from libc.stdint cimport uint64_t
from libc.string cimport memset

from llmhard.engine.elementwise cimport LEAF, Step, is_linear

# Where the numbers of a scalar are stored.
cdef struct Moved:
    Step *step              # in step.own
    Program *program        # which has the step

cdef union Home:
    double own[2]           # data and grad
    Moved moved             # with MOVED: where they are

# A record of the graph. With RUN it is the beginning of a Run, else it is a scalar: MOVED if it was
# computed again, else plain. Behind the struct, Node or Run, come the inputs, and, for a scalar,
# its local gradients, one for each input, unless the operation is linear, so that they are fixed.
cdef struct Node:
    signed char op          # an Op: what computed the scalars; LEAF: nothing did
    signed char rank        # 0: a Value, 1: a Vector, 2: a Matrix
    unsigned char flags     # a set of Flags: a Tape at work reads and writes it without the GIL
    unsigned char keeping   # a set of Keeping: with the GIL, also while a Tape is at work
    int n_inputs            # of inputs, which are older: there is no cycle; 0 of a LEAF or VIEW
    int depth               # more than that of every input, at least that of base; 0 for leaves
    int refs                # its handle unless owned, views, nodes it is an input of; 0: free it
    uint64_t changed        # clock.changes when data was last assigned to, or if plain, recorded
    PyObject *handle        # the one Handle of this node, or NULL; if freed, the next to free
    Home home               # of a scalar; also of a run of one scalar

cdef enum Flag:
    RUN = 1                 # the node is the beginning of a Run
    CONSTANT = 2            # a plain number in a formula, such as the 2 in x ** 2: always a LEAF
    MOVED = 4               # a Tape that computes the scalar has put data and grad into its Program
    HAS_GRAD = 8            # of an operation: grad was written to; else it is all zeros
    LOST = 16               # of a plain scalar: assigned to when its gradient was wrong already

cdef enum Keeping:
    KEEPS = 1               # the handle, a Value, must live as long as the node: it may be missed
    OWNS = 2                # ... and does: the node has a reference to it, not the other way round

# A Vector or Matrix, or a view of any rank: where its scalars are.
cdef struct Run:
    Node node               # first, so that the address of one is the address of the other
    double *data            # the first scalar: in data_block, home or base
    double *grad            # as long as data; NULL until needed
    Node *base              # a view's scalars belong to this node, no view; NULL: they are our own
    int rows, cols          # the scalars: rows * cols of them (a Value or Vector is one row)
    uint64_t computed       # clock.changes when data was last computed, or moved; 0 of leaves
    int stride              # from one row to the next, in scalars; at least cols
    bint used               # of a leaf matrix: grad may hold something other than zeros
    void *data_block        # what to free: data begins at its next cache line; NULL in a view
    void *grad_block        # the same for grad
    Py_ssize_t offset       # of a SELECT: where in its input it begins, in scalars
    PyObject *index         # of a SELECT: the Index that says so, or NULL if it never moves
    PyObject *scalars       # the Values made for its scalars: a dict by place, or NULL

# A replayed Tape keeps its single Values together, in the order of computing. They stay there
# as long as the Tape or one of their nodes is left.
cdef struct Program:
    Py_ssize_t refs         # the Tape, and each node whose numbers are here
    uint64_t computed       # clock.changes when its steps, all but BY_NODE, were last run
    Step *steps             # one for each operation on the Tape
    double *plain           # the plain numbers among the inputs, each with room for a grad

cdef enum:
    CACHE_LINE = 64             # bytes; also the widest vector register

cdef extern from *:
    """
    #define prefetch_to_write(address) __builtin_prefetch(address, 1)
    #if defined(__SANITIZE_ADDRESS__)
    #define RECYCLES 0
    #else
    #define RECYCLES 1
    #endif
    """
    void prefetch_to_write(const void *address) noexcept nogil
    bint RECYCLES               # false where AddressSanitizer should see what was freed

# What has happened, in numbers that only grow: a larger number is later.
cdef struct Clock:
    uint64_t changes        # how often data was assigned to, or a Tape ran forward
    uint64_t replayed       # `changes` when data was last computed again, or moved
    uint64_t grad_writes    # how often anything but a Tape's forward() wrote to grads

cdef Clock clock

cdef Node *new_node(int op, int rank, Py_ssize_t rows, Py_ssize_t cols,
                    Py_ssize_t n_inputs) except NULL
cdef Node *view(Node *of, int rank, Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t stride,
                double *data) except NULL
cdef Node *new_scalar(int op, Py_ssize_t n_inputs) except NULL
cdef void release(Node *node) noexcept
cdef void release_program(Program *program) noexcept
cdef void discard(Node *node) noexcept
cdef void keep(Node *node) noexcept
cdef void own(Node *node) noexcept
cdef int need_grad(Node *node) except -1
cdef void wrote_grad(Node *node) noexcept
cdef void set_used(Node *owner) noexcept nogil


cdef inline bint is_run(Node *node) noexcept nogil:
    """Return whether the node begins a Run."""
    return node.flags & RUN != 0


cdef inline Run *run_of(Node *node) noexcept nogil:
    """Return the Run that begins with the node; ask is_run first."""
    return <Run *>node


cdef inline double *data_of(Node *node) noexcept nogil:
    """Return where the first scalar's data is."""
    if node.flags & RUN:
        return run_of(node).data
    if node.flags & MOVED:
        return node.home.moved.step.own
    return node.home.own


cdef inline double *grad_of(Node *node) noexcept nogil:
    """Return where the first scalar's gradient is; NULL in a run that has needed none."""
    return run_of(node).grad if node.flags & RUN else data_of(node) + 1


cdef inline Node **inputs_of(Node *node) noexcept nogil:
    return <Node **>(run_of(node) + 1 if node.flags & RUN else node + 1)


cdef inline double *locals_of(Node *node) noexcept nogil:
    """Return the local gradients of a scalar, one per input, if the operation is not linear."""
    return <double *>(inputs_of(node) + node.n_inputs)


cdef inline Node *base_of(Node *node) noexcept nogil:
    """Return the node whose scalars a view shows; NULL if they are its own."""
    return run_of(node).base if node.flags & RUN else NULL


cdef inline Node *storage(Node *node) noexcept nogil:
    """Return the node whose memory holds the scalars: for a view, another node."""
    cdef Node *base = base_of(node)
    return node if base is NULL else base


cdef inline int cols_of(Node *node) noexcept nogil:
    return run_of(node).cols if node.flags & RUN else 1


cdef inline Py_ssize_t size(Node *node) noexcept nogil:
    return <Py_ssize_t>run_of(node).rows * run_of(node).cols if node.flags & RUN else 1


cdef inline void refer(Node *node) noexcept nogil:
    """Count one more reference. A node with INT_MAX of them is never freed."""
    node.refs += node.refs < INT_MAX


cdef inline Node *constant(double data) except NULL:
    """Return a node for a plain number in a formula."""
    cdef Node *node = new_scalar(LEAF, 0)
    node.flags |= CONSTANT
    node.home.own[0] = data
    return node


cdef inline void link(Node *node, Node *input) noexcept:
    inputs_of(node)[node.n_inputs] = input
    node.n_inputs += 1
    refer(input)
    if input.keeping & KEEPS:
        own(input)
    if node.depth <= input.depth:
        node.depth = input.depth + 1


cdef class Handle:
    cdef Node *node         # NULL until __init__, or whoever makes the handle, sets it for good
    cdef dict attributes    # NULL before the first: `cdef dict __dict__` would make one each time
    cdef object __weakref__

    cdef void hold(self, Node *node) noexcept
    cdef void leave_gc(self) noexcept
    cdef bint has_attributes(self) noexcept
    cdef int keep_attributes(self) except -1

cdef int refuse(Handle handle) except -1


cdef inline Node *node_of(Handle handle) except NULL:
    """Return the node of a handle, the same for all its life; raise if it has none yet."""
    if handle.node is NULL:
        refuse(handle)
    return handle.node
