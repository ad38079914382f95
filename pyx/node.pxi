"""Nodes: the memory behind every Value, Vector and Matrix, and how it is counted and freed."""
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.limits cimport INT_MAX
from libc.stdint cimport uint64_t, uintptr_t

from kernels cimport LEAF, SELECT, VIEW

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
    int refs                # handles, views, and nodes that have this one as an input
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
    uint64_t changed        # the value of `changes` when data was last assigned to
    uint64_t computed       # the value of `changes` when data was last computed
    uint64_t visit          # the last traversal that came here
    int depth               # more than that of every input; 0 for leaves
    int tally, place        # of a matrix: for putting together the operations that use it
    void *data_block        # what to free: data and grad begin at the next cache line
    void *grad_block
    Program *program        # where data and grad of a single Value on a replayed Tape live
    Node *next              # the list of nodes about to be freed

# A replayed Tape keeps its single Values together, in the order of computing. They stay there
# as long as the Tape or one of their nodes is left.
cdef struct Step:
    int op                  # BY_NODE: what it is stands in the node, not here
    bint plain_exponent     # which gets no gradient
    double *a               # the inputs' data; their grads stand right behind
    double *b
    double own[2]           # data and grad

cdef struct Program:
    Py_ssize_t refs
    uint64_t computed       # the value of `changes` when it was last run
    Step *steps
    double *plain           # the plain numbers among the inputs, each with room for a grad

cdef enum:
    BY_NODE = -1

cdef class Handle
cdef class Index

cdef uint64_t changes = 0       # how often the data of any leaf was assigned to
cdef uint64_t grad_writes = 0   # how often anything but a Tape's forward() wrote to grads
cdef uint64_t visits = 0        # how many traversals there have been

cdef enum:
    CACHE_LINE = 64             # bytes; also the widest vector register


cdef inline double *aligned(void *block) noexcept:
    """The first cache line inside a block with CACHE_LINE bytes to spare; NULL stays NULL."""
    if block is NULL:
        return NULL
    return <double *>((<uintptr_t>block + CACHE_LINE - 1) & ~<uintptr_t>(CACHE_LINE - 1))


cdef Node *new_node(int op, int rank, Py_ssize_t rows, Py_ssize_t cols,
                    Py_ssize_t n_inputs) except NULL:
    """A node with room for its scalars (data not set) and inputs (not linked)."""
    cdef Node *node
    if rows > INT_MAX or cols > INT_MAX or n_inputs > INT_MAX:
        raise MemoryError()
    node = <Node *>PyMem_Calloc(1, sizeof(Node))
    if node is NULL:
        raise MemoryError()
    node.op, node.rank, node.rows, node.cols, node.stride = op, rank, rows, cols, cols
    node.inputs, node.local = node.input_pair, node.local_pair
    if rows * cols == 1:
        node.data, node.grad = &node.own[0], &node.own[1]
    else:
        node.data_block = PyMem_Malloc(rows * cols * sizeof(double) + CACHE_LINE)
        node.data = aligned(node.data_block)
    if n_inputs > 2:
        node.inputs = <Node **>PyMem_Malloc(n_inputs * sizeof(Node *))
        node.local = <double *>PyMem_Malloc(n_inputs * sizeof(double))
    if node.data is NULL or node.inputs is NULL or node.local is NULL:
        free_node(node)
        raise MemoryError()
    return node


cdef Node *view(Node *of, int rank, Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t stride,
                double *data) except NULL:
    """A node that shows some of another's scalars: the same memory under another shape."""
    cdef Node *node = new_node(VIEW, rank, 1, 1, 0)     # 1, 1: no memory of its own
    node.rows, node.cols, node.stride, node.data, node.grad = rows, cols, stride, data, NULL
    node.base = storage(of)
    node.base.refs += 1
    node.depth = of.depth
    if of.op == SELECT:
        node.op = SELECT
        node.offset = data - of.data
        link(node, of)
    return node


cdef Node *select(Node *of, Index index) except NULL:
    """A view of the row of a Matrix, or element of a Vector, that an Index names. It moves when
    the operations are replayed with another value of the Index."""
    cdef Node *node
    cdef Py_ssize_t offset = offset_of(index, of)
    if of.rank == 2:
        node = view(of, 1, 1, of.cols, of.cols, of.data)
    else:
        node = view(of, 0, 1, 1, 1, of.data)
    if node.op != SELECT:
        node.op = SELECT
        link(node, of)
    node.index = <PyObject *>index
    Py_INCREF(index)
    node.offset = offset
    node.computed = changes
    forward(node, NULL)
    return node


cdef Py_ssize_t offset_of(Index index, Node *of) except -1:
    cdef Py_ssize_t length = of.rows if of.rank == 2 else of.cols
    if index.where < 0 or index.where >= length:
        raise outside(index.where, length, of.rank)
    return index.where * (of.stride if of.rank == 2 else 1)


cdef Node *constant(double data) except NULL:
    cdef Node *node = new_node(LEAF, 0, 1, 1, 0)
    node.constant = True
    node.data[0] = data
    return node


cdef void release_program(Program *program) noexcept:
    program.refs -= 1
    if program.refs == 0:
        PyMem_Free(program.steps)
        PyMem_Free(program.plain)
        PyMem_Free(program)


cdef void free_node(Node *node) noexcept:
    if node.program is not NULL:
        release_program(node.program)
    PyMem_Free(node.data_block)
    PyMem_Free(node.grad_block)
    if node.inputs is not node.input_pair:
        PyMem_Free(node.inputs)
        PyMem_Free(node.local)
    if node.index is not NULL:
        Py_DECREF(<object>node.index)
    PyMem_Free(node)


cdef void release(Node *node) noexcept:
    """Give up one reference. Frees what nobody refers to any more: by a list, not by recursion."""
    cdef Node *dead = NULL
    cdef Node *child
    cdef int i
    node.refs -= 1
    if node.refs == 0:
        dead = node
    while dead is not NULL:
        node = dead
        dead = node.next
        for i in range(node.n_inputs + (node.base is not NULL)):
            child = node.inputs[i] if i < node.n_inputs else node.base
            child.refs -= 1
            if child.refs == 0:
                child.next = dead
                dead = child
        free_node(node)


cdef void discard(Node *node) noexcept:
    """Free a node that was never given to anybody; others are left alone."""
    if node.refs == 0:
        node.refs = 1
        release(node)


cdef inline void link(Node *node, Node *input) noexcept:
    node.inputs[node.n_inputs] = input
    node.n_inputs += 1
    input.refs += 1
    if node.depth <= input.depth:
        node.depth = input.depth + 1


cdef inline Node *storage(Node *node) noexcept nogil:
    return node if node.base is NULL else node.base


cdef inline Py_ssize_t size(Node *node) noexcept nogil:
    return <Py_ssize_t>node.rows * node.cols


cdef int need_grad(Node *node) except -1:
    """Make node.grad point at memory, zeros at first."""
    cdef Node *owner = storage(node)
    if owner.grad is NULL:
        owner.grad_block = PyMem_Calloc(size(owner) * sizeof(double) + CACHE_LINE, 1)
        owner.grad = aligned(owner.grad_block)
        if owner.grad is NULL:
            raise MemoryError()
    if node is not owner:
        node.grad = owner.grad + (node.data - owner.data)
    return 0


cdef void wrote_grad(Node *node) noexcept:
    global grad_writes
    grad_writes += 1
    storage(node).has_grad = True
    storage(node).used = True
