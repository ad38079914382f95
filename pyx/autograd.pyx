"""The autograd engine: Value, Vector and Matrix, and the walk that differentiates them.

Every number of a computation is a *scalar* with `data` and `grad`. Scalars live in *nodes*: a
`Value` made by `a * b` is a node of one scalar, the result of `matrix @ vector` is a node whose
scalars are neighbours in memory, a *run*, so that one record and one loop serve them all. A node
knows its operation and its inputs; together the nodes are the computation graph.

`Value`, `Vector` and `Matrix` are handles: small Python objects that keep one node alive. Nodes
count their handles and the nodes that use them as inputs, and go when nobody is left. The graph
can have no cycle, since inputs are older than what is computed from them.
"""
cimport cython
from cpython.float cimport PyFloat_Check
from cpython.long cimport PyLong_Check
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.number cimport PyNumber_AsSsize_t
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.limits cimport INT_MAX
from libc.math cimport floor, isfinite, isinf
from libc.stdint cimport uint64_t, uintptr_t
from libc.string cimport memcpy, memset

from kernels cimport (
    ADD, CUSTOM, DIV, DOT, EXP, GATHER, LEAF, LOG, MATVEC, MUL, NEG, POSITIONS, POW, RELU, SELECT,
    SOFTMAX, SQRT, SUB, SUM, TANH, VECMAT, VIEW, AdamStep, adam, adam_products, add_scaled,
    denormals_are_zero, dot, lanes, local_1, local_a, local_b, matvecs, matvecs_backward_inputs,
    matvecs_backward_matrix, run1, run1_backward, run2, run2_backward, run_sum, set_mode, softmax,
    softmax_backward, value1, value2, vecmat, vecmat_backward,
)

from numbers import Real

NAMES = {
    LEAF: "", CUSTOM: "custom", ADD: "+", SUB: "-", MUL: "*", DIV: "/", POW: "**", NEG: "neg",
    EXP: "exp", LOG: "log", RELU: "relu", TANH: "tanh", SQRT: "sqrt", SUM: "sum", DOT: "dot",
    MATVEC: "dot", VECMAT: "dot", SOFTMAX: "softmax", GATHER: "copy",
}


class DomainError(ValueError, ArithmeticError):
    """A logarithm, root or power that is not a real number."""


# ================================================================ nodes

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
    double *a               # the inputs' data; their grads stand right behind
    double *b
    double own[2]           # data and grad
    double fixed[2]         # a plain number that is one of the inputs, kept at hand

cdef struct Program:
    Py_ssize_t refs
    uint64_t computed       # the value of `changes` when it was last run
    Step *steps

cdef enum:
    BY_NODE = -1

cdef class Handle
cdef class Index

cdef uint64_t changes = 0       # how often the data of any leaf was assigned to
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
    if of.rank == 2:
        node = view(of, 1, 1, of.cols, of.cols, of.data)
    else:
        node = view(of, 0, 1, 1, 1, of.data)
    if node.op != SELECT:
        node.op = SELECT
        link(node, of)
    node.index = <PyObject *>index
    Py_INCREF(index)
    follow_index(node)
    forward(node, NULL)
    return node


cdef int follow_index(Node *node) except -1:
    cdef Node *of = node.inputs[0]
    cdef Py_ssize_t where = (<Index>node.index).where
    cdef Py_ssize_t length = of.rows if of.rank == 2 else of.cols
    if where < 0 or where >= length:
        raise outside(where, length, of.rank)
    node.offset = where * (of.stride if of.rank == 2 else 1)
    return 0


cdef Node *constant(double data) except NULL:
    cdef Node *node = new_node(LEAF, 0, 1, 1, 0)
    node.constant = True
    node.data[0] = data
    return node


cdef void release_program(Program *program) noexcept:
    program.refs -= 1
    if program.refs == 0:
        PyMem_Free(program.steps)
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


# ================================================================ one operation

cdef inline bint is_single(Node *node) noexcept nogil:
    """One scalar computed from single scalars: it remembers its local gradients."""
    return node.rank == 0 and CUSTOM <= node.op <= SQRT


cdef inline uint64_t computed(Node *node) noexcept nogil:
    """When the data was last computed."""
    if node.program is not NULL and node.program.computed > node.computed:
        return node.program.computed
    return node.computed


cdef inline void find_local(Node *node) noexcept nogil:
    """The local gradients of a single Value, from the data of its inputs."""
    cdef double a = node.inputs[0].data[0]
    cdef double b
    if node.op <= POW:
        b = node.inputs[1].data[0]
        node.local[0] = local_a(node.op, a, b)
        node.local[1] = (0.0 if node.op == POW and node.inputs[1].constant
                         else local_b(node.op, a, b))
    else:
        node.local[0] = local_1(node.op, a, node.data[0])


cdef void forward_matvecs(Node **nodes, Py_ssize_t count, lanes *scratch) noexcept nogil:
    """Multiply one matrix with the vectors of `count` nodes."""
    cdef double *x[POSITIONS]
    cdef double *out[POSITIONS]
    cdef Node *m = nodes[0].inputs[0]
    cdef Py_ssize_t first = 0, n, t
    while first < count:
        n = count - first if count - first < POSITIONS else POSITIONS
        for t in range(n):
            x[t] = nodes[first + t].inputs[1].data
            out[t] = nodes[first + t].data
        matvecs(n, m.rows, m.cols, m.stride, out, m.data, x, scratch)
        first += n


cdef void forward(Node *node, lanes *scratch) noexcept nogil:
    """Compute node.data from the inputs; `scratch` has room for the columns of a MATVEC."""
    cdef Node *a = node.inputs[0]
    cdef Node *b = node.inputs[1] if node.n_inputs > 1 else NULL
    cdef int op = node.op
    cdef Py_ssize_t i, n
    cdef double *out = node.data
    node.computed = changes
    if op == SELECT:
        node.data = a.data + node.offset
        if node.base.grad is not NULL:
            node.grad = node.base.grad + (node.data - node.base.data)
    elif op <= CUSTOM:
        return
    elif op <= POW:
        if node.rank == 0:
            out[0] = value2(op, a.data[0], b.data[0])
            find_local(node)
        else:
            run2(op, node.cols, out, a.data, a.rank, b.data, b.rank)
    elif op <= SQRT:
        if node.rank == 0:
            out[0] = value1(op, a.data[0])
            find_local(node)
        else:
            run1(op, node.cols, out, a.data)
    elif op == SUM:
        out[0] = run_sum(a.cols, a.data)
    elif op == DOT:
        out[0] = dot(a.cols, a.data, b.data)
    elif op == MATVEC:
        forward_matvecs(&node, 1, scratch)
    elif op == VECMAT:
        vecmat(b.rows, b.cols, b.stride, out, a.data, b.data)
    elif op == SOFTMAX:
        softmax(node.cols, out, a.data)
    else:
        for i in range(node.n_inputs):
            n = node.inputs[i].cols
            memcpy(out, node.inputs[i].data, n * sizeof(double))
            out += n


cdef void backward_matvecs(Node **nodes, Py_ssize_t count) noexcept nogil:
    """What the gradients of `count` products with one matrix mean for their vectors."""
    cdef double *g[POSITIONS]
    cdef double *gx[POSITIONS]
    cdef Node *m = nodes[0].inputs[0]
    cdef Py_ssize_t first = 0, n, t
    while first < count:
        n = count - first if count - first < POSITIONS else POSITIONS
        for t in range(n):
            g[t] = nodes[first + t].grad
            gx[t] = nodes[first + t].inputs[1].grad
        matvecs_backward_inputs(n, m.rows, m.cols, m.stride, g, m.data, gx)
        first += n


cdef void point(Node **nodes, Py_ssize_t count, double **pointers) noexcept nogil:
    """Put `count` gradients of products and then the `count` vectors into `pointers`."""
    cdef Py_ssize_t t
    for t in range(count):
        pointers[t] = nodes[t].grad
        pointers[count + t] = nodes[t].inputs[1].data


cdef void backward_matrix(Node **nodes, Py_ssize_t count, double **pointers) noexcept nogil:
    """What they mean for the matrix; `pointers` has room for two for each node."""
    cdef Node *m = nodes[0].inputs[0]
    point(nodes, count, pointers)
    m.used = True
    matvecs_backward_matrix(count, m.rows, m.cols, m.stride, pointers, m.grad, pointers + count)


cdef void backward(Node *node) noexcept nogil:
    """Add to each input's grad what node.grad means for it: the chain rule. Not for MATVEC."""
    cdef Node *a = node.inputs[0]
    cdef Node *b = node.inputs[1] if node.n_inputs > 1 else NULL
    cdef int op = node.op
    cdef Py_ssize_t i, n
    cdef double *g = node.grad
    if op == SELECT:
        return
    elif is_single(node):
        if node.program is not NULL:    # whose replays do not update node.local
            find_local(node)
        for i in range(node.n_inputs):
            node.inputs[i].grad[0] += node.local[i] * g[0]
    elif op <= POW:
        run2_backward(op, node.cols, g, a.data, a.rank, a.grad, b.data, b.rank,
                      NULL if op == POW and b.constant else b.grad)
    elif op <= SQRT:
        run1_backward(op, node.cols, node.data, g, a.data, a.grad)
    elif op == SUM:
        for i in range(a.cols):
            a.grad[i] += g[0]
    elif op == DOT:
        add_scaled(a.cols, a.grad, g[0], b.data)
        add_scaled(a.cols, b.grad, g[0], a.data)
    elif op == VECMAT:
        vecmat_backward(b.rows, b.cols, b.stride, g, a.data, a.grad, b.data, b.grad)
    elif op == SOFTMAX:
        softmax_backward(node.cols, node.data, g, a.grad)
    else:
        for i in range(node.n_inputs):
            n = node.inputs[i].cols
            add_scaled(n, node.inputs[i].grad, 1.0, g)
            g += n


cdef inline bint keeps_gradient(Node *node) noexcept nogil:
    """True if backward gives the recorded gradient whatever was assigned to the inputs since."""
    return (is_single(node) and node.program is NULL or node.op <= SUB or node.op == NEG
            or node.op == SUM or node.op == GATHER)


cdef inline bint is_stale(Node *node) noexcept nogil:
    """True if an input has been replayed since, or changed in a way that matters."""
    cdef Node *child
    cdef Node *owner
    cdef bint kept = keeps_gradient(node)
    cdef uint64_t since = computed(node)
    cdef int i
    for i in range(node.n_inputs):
        child = node.inputs[i]
        owner = storage(child)
        if (computed(child) > since or computed(owner) > since
                or not kept and owner.changed > since):
            return True
    return not kept and node.changed > since


cdef int check_unchanged(Node *node) except -1:
    if is_stale(node):
        raise RuntimeError(
            f"an input of the recorded operation '{NAMES[node.op]}' was changed after it was "
            f"recorded (by .data = ..., a training step or a replay), so its gradient would be "
            f"wrong: compute the result again, then call backward()")
    return 0


cdef inline void backward2(int op, Step *step) noexcept nogil:
    cdef double a = step.a[0], b = step.b[0], g = step.own[1]
    step.a[1] += local_a(op, a, b) * g
    if op != POW or step.b is not step.fixed:
        step.b[1] += local_b(op, a, b) * g


cdef inline void backward1(int op, Step *step) noexcept nogil:
    step.a[1] += local_1(op, step.a[0], step.own[0]) * step.own[1]


# ================================================================ the tape

@cython.final
cdef class Index:
    """A whole number that may change between replays: `matrix[Index(3)]` is a row, `vector[...]`
    an element, and a Tape that is replayed after `index.value = 5` shows row 5 instead.

    Unlike an int it does not count from the end. Elsewhere it can be used like one.
    """
    cdef Py_ssize_t where

    def __init__(self, value):
        self.value = value

    @property
    def value(self):
        return self.where

    @value.setter
    def value(self, value):
        self.where = PyNumber_AsSsize_t(value, IndexError)

    def __index__(self):
        return self.where

    def __repr__(self):
        return f"Index({self.where})"


@cython.final
cdef class Tape:
    """All that a Value or Vector was computed from, ready to be computed again: forward() with
    what the leaves' `.data` and the Indexes hold by now, backward() for the gradients of that.

    A replay does what recording the same operations again would do, to the same bits, but without
    Python. Plain numbers in the formula stay as they were recorded, and so does whatever Python
    decided on the way (an `if` on some `.data`, the number of turns of a loop).

    >>> x = Value(2.0)
    >>> y = x * x
    >>> tape = Tape(y)
    >>> x.data = 5.0
    >>> tape.forward()
    >>> tape.backward()
    >>> y.data, x.grad
    (25.0, 10.0)

    Tape(root, after=tape) leaves out what is on the other Tape (or on the one that it comes after),
    taking those numbers as given; such a Tape has no backward().
    """
    cdef readonly Handle root
    cdef Tape after
    cdef Node **nodes           # the operations, inputs before what is computed from them
    cdef Node **products        # the matvecs with a leaf matrix, those of one matrix together
    cdef Node **leaves          # those that get a gradient in other ways than from a product
    cdef double **pointers      # for backward_matrix: two for each product
    cdef lanes *scratch         # for forward_matvecs
    cdef Node **selects         # those with an Index
    cdef Py_ssize_t count, room, n_products, n_leaves, n_selects, n_cols
    cdef bint has_custom        # an operation that only Python knows is on the tape
    cdef bint fresh             # forward() has set the inner grads to 0
    cdef Program *program       # NULL before the first forward()

    def __cinit__(self, Handle root not None, Tape after=None):
        if root.node.rank == 2:
            raise TypeError("a Tape leads to a Value or a Vector, not to a Matrix")
        self.root = root
        self.after = after
        self.collect(root.node)
        self.sort(root.node.depth)
        self.gather_products()
        self.gather_leaves()

    def __dealloc__(self):
        PyMem_Free(self.nodes)
        PyMem_Free(self.products)
        PyMem_Free(self.leaves)
        PyMem_Free(self.selects)
        PyMem_Free(self.pointers)
        PyMem_Free(self.scratch)
        if self.program is not NULL:
            release_program(self.program)

    def __len__(self):
        return self.count

    cdef int visit(self, Node *node) except -1:
        """Put an operation on the tape, unless it is there. Leaves and still views stay off."""
        cdef Node **grown
        if node.visit == visits:
            return 0
        node.visit = visits
        need_grad(node)
        if node.op == VIEW:
            self.visit(node.base)       # not itself a view
        elif node.op != LEAF:
            if self.count == self.room:
                grown = <Node **>PyMem_Realloc(self.nodes, (2 * self.room + 64) * sizeof(Node *))
                if grown is NULL:
                    raise MemoryError()
                self.nodes = grown
                self.room = 2 * self.room + 64
            self.nodes[self.count] = node
            self.count += 1
            self.has_custom |= node.op == CUSTOM
        return 0

    cdef int collect(self, Node *root) except -1:
        """Find everything that root depends on; the tape itself is the list of what to look at."""
        global visits
        cdef Py_ssize_t done = 0
        cdef Node *node
        cdef Tape earlier = self.after
        cdef Py_ssize_t j
        cdef int i
        visits += 1
        while earlier is not None:
            for j in range(earlier.count):
                earlier.nodes[j].visit = visits
            earlier = earlier.after
        self.visit(root)
        while done < self.count:
            node = self.nodes[done]
            for i in range(node.n_inputs):
                self.visit(node.inputs[i])
            done += 1
        return 0

    cdef int sort(self, Py_ssize_t deepest) except -1:
        """Order by depth; at one depth, the products with one matrix stand together, last."""
        global visits
        cdef Py_ssize_t i, k, first, last, place
        cdef Node *node
        cdef Node *m
        cdef Node **unsorted = self.nodes
        cdef Node **by_depth = <Node **>PyMem_Malloc((self.count + 1) * sizeof(Node *))
        cdef Py_ssize_t *ends = <Py_ssize_t *>PyMem_Calloc(deepest + 2, sizeof(Py_ssize_t))
        try:
            if by_depth is NULL or ends is NULL:
                raise MemoryError()
            for i in range(self.count):
                ends[unsorted[i].depth + 1] += 1
            for i in range(deepest + 1):
                ends[i + 1] += ends[i]
            for i in range(self.count):
                node = unsorted[i]
                by_depth[ends[node.depth]] = node
                ends[node.depth] += 1
            first = 0
            while first < self.count:
                last = first
                while last < self.count and by_depth[last].depth == by_depth[first].depth:
                    last += 1
                visits += 1
                place = first
                for i in range(first, last):
                    node = by_depth[i]
                    if node.op != MATVEC:
                        unsorted[place] = node
                        place += 1
                        continue
                    m = node.inputs[0]
                    if m.visit != visits:
                        m.visit, m.tally = visits, 0
                    m.tally += 1
                if place - first <= 32:
                    for i in range(first + 1, place):
                        node = unsorted[i]
                        k = i
                        while k > first and unsorted[k - 1].op > node.op:
                            unsorted[k] = unsorted[k - 1]
                            k -= 1
                        unsorted[k] = node
                for i in range(first, last):
                    node = by_depth[i]
                    if node.op != MATVEC:
                        continue
                    m = node.inputs[0]
                    if m.tally:
                        m.place = place
                        place += m.tally
                        m.tally = 0
                    unsorted[m.place] = node
                    m.place += 1
                first = last
        finally:
            PyMem_Free(by_depth)
            PyMem_Free(ends)
        return 0

    cdef int gather_products(self) except -1:
        """List the products with each leaf matrix: its gradient is added up once, at the end."""
        global visits
        cdef Py_ssize_t i, place = 0
        cdef Node *node
        cdef Node *m
        visits += 1
        for i in range(self.count):
            node = self.nodes[i]
            if node.op == MATVEC:
                m = node.inputs[0]
                self.n_products += 1
                self.n_cols = max(self.n_cols, m.cols)
                if m.visit != visits:
                    m.visit, m.tally = visits, 0
                m.tally += 1
        if self.n_products == 0:
            return 0
        self.scratch = <lanes *>PyMem_Malloc(self.n_cols * sizeof(lanes))
        self.products = <Node **>PyMem_Malloc(self.n_products * sizeof(Node *))
        self.pointers = <double **>PyMem_Malloc(2 * self.n_products * sizeof(double *))
        if self.scratch is NULL or self.products is NULL or self.pointers is NULL:
            raise MemoryError()
        for i in range(self.count):
            node = self.nodes[i]
            if node.op == MATVEC and node.inputs[0].op == LEAF:
                m = node.inputs[0]
                if m.tally:
                    m.place = place
                    place += m.tally
                    m.tally = 0
                self.products[m.place] = node
                m.place += 1
        self.n_products = place
        return 0

    cdef int gather_leaves(self) except -1:
        global visits
        cdef Node **grown
        cdef Node *node
        cdef Node *owner
        cdef Py_ssize_t i, room = 0
        cdef int j
        visits += 1
        for i in range(self.count):
            node = self.nodes[i]
            if node.index is not NULL:
                if self.n_selects % 64 == 0:
                    grown = <Node **>PyMem_Realloc(self.selects,
                                                   (self.n_selects + 64) * sizeof(Node *))
                    if grown is NULL:
                        raise MemoryError()
                    self.selects = grown
                self.selects[self.n_selects] = node
                self.n_selects += 1
            for j in range(node.n_inputs):
                owner = storage(node.inputs[j])
                if (owner.op != LEAF or owner.constant or owner.visit == visits
                        or node.op == MATVEC and node.inputs[0] == owner and j == 0):
                    continue
                owner.visit = visits
                if self.n_leaves == room:
                    room = 2 * room + 16
                    grown = <Node **>PyMem_Realloc(self.leaves, room * sizeof(Node *))
                    if grown is NULL:
                        raise MemoryError()
                    self.leaves = grown
                self.leaves[self.n_leaves] = owner
                self.n_leaves += 1
        return 0

    cdef inline Py_ssize_t batch(self, Py_ssize_t first) noexcept nogil:
        """Where the products with the matrix of nodes[first], at its depth, end."""
        cdef Node *node = self.nodes[first]
        cdef Py_ssize_t i = first + 1
        while (i < self.count and self.nodes[i].op == MATVEC
               and self.nodes[i].inputs[0] == node.inputs[0]
               and self.nodes[i].depth == node.depth):
            i += 1
        return i

    def forward(self):
        """Compute everything again, from the leaves and Indexes to the root.

        Raises, before anything is computed, IndexError if an Index points outside its run, and
        TypeError if there is a Value(data, children, local_grads), which only Python can compute.
        Numbers for which a function is undefined give inf or nan here (IEEE 754), no exception.
        """
        global changes
        cdef Py_ssize_t i
        if self.has_custom:
            raise TypeError("Value(data, children, local_grads) cannot be computed again by a Tape")
        for i in range(self.n_selects):
            follow_index(self.selects[i])
        if self.program is NULL:
            self.compile()
        changes += 1                # what is computed from these numbers elsewhere is stale now
        with nogil:
            self.run_forward()
        self.program.computed = changes
        self.fresh = True

    cdef int compile(self) except -1:
        """Move the single Values that depend on single Values only into a Program."""
        cdef Py_ssize_t i
        cdef Node *node
        cdef Step *step
        cdef bint shared = False
        cdef Program *program = <Program *>PyMem_Calloc(1, sizeof(Program))
        if program is NULL:
            raise MemoryError()
        program.refs = 1
        program.steps = <Step *>PyMem_Calloc(self.count + 1, sizeof(Step))
        if program.steps is NULL:
            PyMem_Free(program)
            raise MemoryError()
        self.program = program
        for i in range(self.count):
            shared |= self.nodes[i].program is not NULL     # by another Tape, which has moved it
        for i in range(self.count):
            node = self.nodes[i]
            node.has_grad = True
            step = &program.steps[i]
            step.op = BY_NODE
            if (is_single(node) and not shared and node.inputs[0].base is NULL
                    and (node.n_inputs == 1 or node.inputs[1].base is NULL)):
                step.op = node.op
                step.own[0], step.own[1] = node.data[0], node.grad[0]
                node.data, node.grad = &step.own[0], &step.own[1]
                node.program = program
                program.refs += 1
        for i in range(self.count):
            step = &program.steps[i]
            if step.op != BY_NODE:
                step.a = self.operand(step, self.nodes[i].inputs[0])
                step.b = self.operand(step, self.nodes[i].inputs[self.nodes[i].n_inputs - 1])
        return 0

    cdef double *operand(self, Step *step, Node *input) noexcept:
        if not input.constant:
            return input.data
        step.fixed[0] = input.data[0]
        return step.fixed

    cdef void run_forward(self) noexcept nogil:
        cdef Py_ssize_t end, i = 0, count = self.count
        cdef Node *node
        cdef Step *steps = self.program.steps
        cdef Step *step
        while i < count:
            step = &steps[i]
            step.own[1] = 0.0
            if step.op == ADD:
                step.own[0] = value2(ADD, step.a[0], step.b[0])
            elif step.op == SUB:
                step.own[0] = value2(SUB, step.a[0], step.b[0])
            elif step.op == MUL:
                step.own[0] = value2(MUL, step.a[0], step.b[0])
            elif step.op == DIV:
                step.own[0] = value2(DIV, step.a[0], step.b[0])
            elif step.op == POW:
                step.own[0] = value2(POW, step.a[0], step.b[0])
            elif step.op == NEG:
                step.own[0] = value1(NEG, step.a[0])
            elif step.op == EXP:
                step.own[0] = value1(EXP, step.a[0])
            elif step.op == LOG:
                step.own[0] = value1(LOG, step.a[0])
            elif step.op == RELU:
                step.own[0] = value1(RELU, step.a[0])
            elif step.op == TANH:
                step.own[0] = value1(TANH, step.a[0])
            elif step.op == SQRT:
                step.own[0] = value1(SQRT, step.a[0])
            else:
                node = self.nodes[i]
                if node.op == MATVEC:
                    end = self.batch(i)
                    forward_matvecs(self.nodes + i, end - i, self.scratch)
                    while i < end:
                        self.clear(self.nodes[i])
                        i += 1
                    continue
                forward(node, NULL)
                self.clear(node)
            i += 1

    cdef inline void clear(self, Node *node) noexcept nogil:
        node.computed = changes
        if node.base is NULL:
            memset(node.grad, 0, size(node) * sizeof(double))

    def backward(self):
        """Add the derivative of the root, a Value, with respect to each leaf to the leaf's grad.

        The grads of the scalars in between are those of this call alone. Raises RuntimeError if
        data was changed in place since it was computed, TypeError if the root is a Vector or
        the Tape comes after another.
        """
        self.begin_backward()
        with nogil:
            self.run_backward()
            self.run_products()

    cdef int begin_backward(self) except -1:
        cdef Py_ssize_t i
        cdef Node *node
        if self.root.node.rank != 0 or self.after is not None:
            raise TypeError("backward() starts from a single Value, and from a whole Tape")
        if self.program is NULL or self.program.computed != changes:
            self.check()
        if not self.fresh:
            for i in range(self.count):
                node = self.nodes[i]
                node.has_grad = True
                if node.base is NULL:
                    memset(node.grad, 0, size(node) * sizeof(double))
        self.fresh = False
        return 0

    cdef int check(self) except -1:
        cdef Py_ssize_t i
        for i in range(self.count):
            check_unchanged(self.nodes[i])
        return 0

    cdef void run_backward(self) noexcept nogil:
        """All gradients but what the products mean for their leaf matrices."""
        cdef Node *root = self.root.node
        cdef Node *node
        cdef Step *steps = NULL if self.program is NULL else self.program.steps
        cdef Step *step
        cdef unsigned int mode = denormals_are_zero()
        cdef Py_ssize_t first, i = self.count - 1
        for first in range(self.n_leaves):
            self.leaves[first].used = True
        root.grad[0] += 1.0
        storage(root).has_grad = True
        storage(root).used = True
        while i >= 0:
            if steps is not NULL and steps[i].op != BY_NODE:
                step = &steps[i]
                if step.op == ADD:
                    backward2(ADD, step)
                elif step.op == SUB:
                    backward2(SUB, step)
                elif step.op == MUL:
                    backward2(MUL, step)
                elif step.op == DIV:
                    backward2(DIV, step)
                elif step.op == POW:
                    backward2(POW, step)
                elif step.op == NEG:
                    backward1(NEG, step)
                elif step.op == EXP:
                    backward1(EXP, step)
                elif step.op == LOG:
                    backward1(LOG, step)
                elif step.op == RELU:
                    backward1(RELU, step)
                elif step.op == TANH:
                    backward1(TANH, step)
                else:
                    backward1(SQRT, step)
                i -= 1
                continue
            node = self.nodes[i]
            if node.op == MATVEC:
                first = i
                while (first > 0 and self.nodes[first - 1].op == MATVEC
                       and self.nodes[first - 1].inputs[0] == node.inputs[0]
                       and self.nodes[first - 1].depth == node.depth):
                    first -= 1
                backward_matvecs(self.nodes + first, i + 1 - first)
                if node.inputs[0].op != LEAF:
                    backward_matrix(self.nodes + first, i + 1 - first, self.pointers)
                i = first
            else:
                backward(node)
            i -= 1
        set_mode(mode)

    cdef inline Py_ssize_t same_matrix(self, Py_ssize_t first) noexcept nogil:
        """Where the products with the matrix of products[first] end."""
        cdef Py_ssize_t i = first + 1
        while (i < self.n_products
               and self.products[i].inputs[0] == self.products[first].inputs[0]):
            i += 1
        return i

    cdef void run_products(self) noexcept nogil:
        cdef Py_ssize_t end, first = 0
        while first < self.n_products:
            end = self.same_matrix(first)
            backward_matrix(self.products + first, end - first, self.pointers)
            first = end

    cdef int accumulate(self) except -1:
        """backward() for Value.backward(): what inner scalars' grads held already is kept, too."""
        cdef Py_ssize_t i, j, n
        cdef Node *node
        cdef list earlier = []
        cdef bytes kept
        self.check()
        # An inner scalar that has a gradient from before would pass it on a second time.
        for i in range(self.count):
            node = self.nodes[i]
            if node.base is not NULL:
                continue
            if node.has_grad:
                n = size(node) * sizeof(double)
                earlier.append((i, (<char *>node.grad)[:n]))
                memset(node.grad, 0, n)
            node.has_grad = True
        with nogil:
            self.run_backward()
            self.run_products()
        for i, kept in earlier:
            node = self.nodes[i]
            for j in range(size(node)):
                node.grad[j] += (<const double *><const char *>kept)[j]
        return 0


# ================================================================ handles

cdef int not_recording = 0      # how many `with no_grad()` blocks we are in
cdef Node *adopted = NULL       # the node for the handle that is being made


cdef class no_grad:
    """`with no_grad():` computes without recording, so that nothing is kept for backward().

    Results are leaves: they have data but neither children nor, later, a gradient to pass on.
    """

    def __enter__(self):
        global not_recording
        not_recording += 1
        return self

    def __exit__(self, *exception):
        global not_recording
        not_recording -= 1


cdef Node *finish(Node *node, lanes *scratch=NULL) noexcept:
    """Compute a node whose inputs are linked, and keep the links if operations are recorded."""
    cdef int i
    forward(node, scratch)
    if not_recording:
        for i in range(node.n_inputs):
            release(node.inputs[i])
        node.op, node.n_inputs, node.depth = LEAF, 0, 0
    return node


cdef lanes *columns = NULL      # room for the columns of a matrix, while the GIL is held
cdef Py_ssize_t n_columns = 0


cdef lanes *scratch_for(Py_ssize_t n) except NULL:
    global columns, n_columns
    cdef lanes *grown
    if n > n_columns:
        grown = <lanes *>PyMem_Realloc(columns, n * sizeof(lanes))
        if grown is NULL:
            raise MemoryError()
        columns, n_columns = grown, n
    return columns


cdef object handle(Node *node):
    global adopted
    adopted = node
    try:
        if node.rank == 0:
            return Value.__new__(Value)
        if node.rank == 1:
            return Vector.__new__(Vector)
        return Matrix.__new__(Matrix)
    except MemoryError:
        adopted = NULL
        discard(node)
        raise


cdef inline bint is_number(object x):
    return PyFloat_Check(x) or PyLong_Check(x) or isinstance(x, Real)


cdef double number(object x) except? -1.0:
    if not is_number(x):
        raise TypeError(f"data and gradients are numbers, not {type(x).__name__}: {x!r:.40}")
    return x


cdef Node *operand(object x) except? NULL:
    """The node of a Value or Vector, a new constant for a number, NULL for anything else."""
    cdef Node *node
    if isinstance(x, Handle):
        node = (<Handle>x).node
        return node if node.rank < 2 else NULL
    if is_number(x):
        return constant(x)
    return NULL


cdef object elementwise2(int op, object x, object y):
    """x op y for Values, Vectors and numbers, at least one of them a Value or Vector."""
    cdef Node *a = operand(x)
    cdef Node *b = operand(y)
    cdef Node *node
    if a is NULL or b is NULL:
        if a is not NULL:
            discard(a)
        if b is not NULL:
            discard(b)
        return NotImplemented
    try:
        if a.rank == 0 and b.rank == 0:
            check_domain2(op, a.data[0], b.data[0])
        elif a.rank and b.rank and a.cols != b.cols:
            raise ValueError(f"'{NAMES[op]}' needs two Vectors of the same length, "
                             f"not {a.cols} and {b.cols}")
        node = new_node(op, max(a.rank, b.rank), 1, max(a.cols, b.cols), 2)
    except BaseException:
        discard(a)
        discard(b)
        raise
    link(node, a)
    link(node, b)
    return handle(finish(node))


cdef object elementwise1(int op, Handle x):
    cdef Node *a = x.node
    cdef Node *node
    if a.rank == 2:
        raise TypeError(f"'{NAMES[op]}' is not defined for a Matrix; apply it to the rows, "
                        f"which are Vectors")
    if a.rank == 0:
        check_domain1(op, a.data[0])
    node = new_node(op, a.rank, 1, a.cols, 1)
    link(node, a)
    return handle(finish(node))


cdef int check_domain2(int op, double a, double b) except -1:
    """Single Values refuse what plain Python numbers refuse; runs give inf or nan (IEEE 754)."""
    if op == DIV and b == 0.0:
        raise ZeroDivisionError(f"division of {a} by zero")
    if op == POW:
        if a == 0.0 and b < 0.0 and isfinite(b):
            raise ZeroDivisionError(f"zero cannot be raised to the negative power {b}")
        if a < 0.0 and isfinite(a) and isfinite(b) and b != floor(b):
            raise DomainError(f"{a} ** {b} is not a real number")
        if isfinite(a) and isfinite(b) and isinf(value2(op, a, b)):
            raise OverflowError(f"{a} ** {b} is too large for a float")
    return 0


cdef int check_domain1(int op, double a) except -1:
    if op == LOG and a <= 0.0:
        raise DomainError(f"log({a}) is undefined: log needs a positive number")
    if op == SQRT and a < 0.0:
        raise DomainError(f"sqrt({a}) is not a real number")
    if op == EXP and isfinite(a) and isinf(value1(op, a)):
        raise OverflowError(f"exp({a}) is too large for a float")
    return 0


cdef class Handle:
    """What Value, Vector and Matrix share: a node kept alive, arithmetic, elementwise functions.

    `+ - * / **` work between Values, Vectors and plain numbers. Between a Vector and a Value or
    number, the single one is used for every element; two Vectors must have the same length.
    Two handles are equal when they stand for the same scalars, not when the numbers agree.
    """
    cdef Node *node
    cdef bint ready     # has the node that it will keep

    def __cinit__(self):
        global adopted
        self.ready = adopted is not NULL
        self.node = adopted if self.ready else new_node(LEAF, 0, 1, 1, 0)
        adopted = NULL
        self.node.refs += 1

    def __dealloc__(self):
        if self.node is not NULL:
            release(self.node)

    cdef int adopt(self, Node *node) except -1:
        """For __init__: a second one would pull the scalars from under those who use them."""
        if self.ready:
            discard(node)
            raise TypeError(f"this {type(self).__name__} has its scalars; make a new one instead")
        node.refs += 1
        release(self.node)
        self.node = node
        self.ready = True
        return 0

    cdef int changed(self) except -1:
        global changes
        changes += 1
        storage(self.node).changed = changes
        return 0

    def __eq__(self, other):
        cdef Node *mine = self.node
        cdef Node *theirs
        if not isinstance(other, Handle):
            return NotImplemented
        theirs = (<Handle>other).node
        if mine.op == SELECT or theirs.op == SELECT:    # what they show may change
            return mine is theirs
        return (mine.data is theirs.data and mine.rank == theirs.rank
                and mine.rows == theirs.rows and mine.cols == theirs.cols)

    def __hash__(self):
        return hash(<uintptr_t>self.node if self.node.op == SELECT else <uintptr_t>self.node.data)

    def __add__(self, other):
        return elementwise2(ADD, self, other)

    def __radd__(self, other):
        return elementwise2(ADD, other, self)

    def __sub__(self, other):
        return elementwise2(SUB, self, other)

    def __rsub__(self, other):
        return elementwise2(SUB, other, self)

    def __mul__(self, other):
        return elementwise2(MUL, self, other)

    def __rmul__(self, other):
        return elementwise2(MUL, other, self)

    def __truediv__(self, other):
        return elementwise2(DIV, self, other)

    def __rtruediv__(self, other):
        return elementwise2(DIV, other, self)

    def __pow__(self, other, modulo):
        if modulo is not None:
            return NotImplemented
        return elementwise2(POW, self, other)

    def __rpow__(self, other, modulo):
        if modulo is not None:
            return NotImplemented
        return elementwise2(POW, other, self)

    def __neg__(self):
        return elementwise1(NEG, self)

    def exp(self):
        """e to the power of each element; a single Value raises OverflowError above 709.78."""
        return elementwise1(EXP, self)

    def log(self):
        """The natural logarithm; a single Value raises DomainError unless positive."""
        return elementwise1(LOG, self)

    def relu(self):
        """max(0, x); the local gradient at 0 is 0."""
        return elementwise1(RELU, self)

    def tanh(self):
        """The hyperbolic tangent."""
        return elementwise1(TANH, self)

    def sqrt(self):
        """The square root; a single Value raises DomainError if negative."""
        return elementwise1(SQRT, self)


cdef class Value(Handle):
    """One number that remembers how it was computed.

    Value(data) makes a leaf. Arithmetic on Values records the operation, so that backward() can
    find the derivative of the result with respect to every number that it was computed from.

    Value(data, children, local_grads) records an operation of your own: its result, the Values
    it was computed from, and the derivative of the result with respect to each of them.

    >>> x = Value(3.0)
    >>> y = x * x + 1
    >>> y.backward()
    >>> y.data, x.grad
    (10.0, 6.0)
    """

    def __init__(self, data=0.0, children=(), local_grads=()):
        cdef double value = number(data)
        cdef Node *node
        cdef Py_ssize_t i
        children, local_grads = list(children), list(local_grads)
        if len(local_grads) != len(children):
            raise TypeError("Value(data, children, local_grads) needs one local gradient, "
                            "a number, for each child")
        if not children:
            self.adopt(new_node(LEAF, 0, 1, 1, 0))
            self.node.data[0] = value
            return
        for child in children:
            if not isinstance(child, Value):
                raise TypeError(f"children are Values, not {type(child).__name__}")
        gradients = [float(number(g)) for g in local_grads]
        node = new_node(CUSTOM, 0, 1, 1, len(children))
        node.data[0] = value
        for i in range(<Py_ssize_t>len(children)):
            link(node, (<Handle>children[i]).node)
            node.local[i] = gradients[i]
        self.adopt(finish(node))

    @property
    def data(self):
        """The number, a float. Assigning to it does not change what was computed from it."""
        return self.node.data[0]

    @data.setter
    def data(self, value):
        self.node.data[0] = number(value)
        self.changed()

    @property
    def grad(self):
        """d root / d self, summed over the backward() calls since it was last set; 0.0 at first."""
        if storage(self.node).grad is NULL:
            return 0.0
        need_grad(self.node)
        return self.node.grad[0]

    @grad.setter
    def grad(self, value):
        cdef double gradient = number(value)
        need_grad(self.node)
        self.node.grad[0] = gradient
        storage(self.node).has_grad = True
        storage(self.node).used = True

    def backward(self):
        """Add the derivative of this Value with respect to each scalar below it to its grad.

        Calling it again adds again, as in PyTorch; set the grads to 0 in between. Single Values
        use the local gradients as of their recording. Raises RuntimeError, before any grad is
        touched, if data that a run needs for its gradient was changed since.
        """
        cdef Tape tape = Tape(self)
        tape.accumulate()

    @property
    def op(self):
        """The name of the operation that made this scalar; '' for a leaf."""
        cdef Py_ssize_t index
        return NAMES[origin(self.node, &index).op]

    @property
    def children(self):
        """The Values that this one was computed from, a tuple."""
        return tuple([child for child, _ in inputs_of(self.node)])

    @property
    def local_grads(self):
        """The local gradients, d self / d child for each of `children`, a tuple of floats.

        Inside a run they are computed from the data when asked; raises RuntimeError if that was
        changed after the recording.
        """
        return tuple([local for _, local in inputs_of(self.node)])

    # The names that micrograd and microgpt use.

    @property
    def _op(self):
        return self.op

    @property
    def _prev(self):
        return set(self.children)

    @property
    def _children(self):
        return self.children

    @property
    def _local_grads(self):
        return self.local_grads

    def __repr__(self):
        return f"Value(data={self.data}, grad={self.grad})"


cdef class Vector(Handle):
    """A run of neighbouring scalars, each of them a Value: `vector[3]` is one.

    Vector([1.0, 2.0]) makes leaves; Vector([value, ...]) copies single Values into a run, and
    the gradient flows back to them. Operations on a Vector are recorded once for all of it.
    Where a plain number would raise (a logarithm of 0), elements become inf or nan instead.

    >>> v = Vector([1.0, 2.0, 3.0])
    >>> (v @ v).data, len(v), v[1:].data
    (14.0, 3, [2.0, 3.0])
    """

    def __init__(self, elements):
        cdef Node *node
        cdef Py_ssize_t i
        elements = list(elements)
        if not elements:
            raise ValueError("a Vector needs at least one element")
        if any([isinstance(x, Value) for x in elements]):
            self.adopt(gather([x if isinstance(x, Value) else Value(x) for x in elements], 1))
            return
        values = [float(number(x)) for x in elements]
        node = new_node(LEAF, 1, 1, len(values), 0)
        for i in range(<Py_ssize_t>len(values)):
            node.data[i] = values[i]
        self.adopt(node)

    @property
    def data(self):
        """The numbers, a new list of floats. Assign as many, in a sequence, to change them."""
        return [self.node.data[i] for i in range(self.node.cols)]

    @data.setter
    def data(self, values):
        assign(self.node.data, values, self.node.cols)
        self.changed()

    @property
    def grad(self):
        """The gradients, a new list of floats. Assign a sequence, or one number for all."""
        need_grad(self.node)
        return [self.node.grad[i] for i in range(self.node.cols)]

    @grad.setter
    def grad(self, values):
        need_grad(self.node)
        assign(self.node.grad, values, self.node.cols)
        storage(self.node).has_grad = True
        storage(self.node).used = True

    def __len__(self):
        return self.node.cols

    def __getitem__(self, index):
        """vector[i] is a Value, vector[i:j] a Vector; both show the same scalars, not copies."""
        cdef Node *node = self.node
        cdef Py_ssize_t start, stop
        if isinstance(index, slice):
            start, stop = span(index, node.cols)
            return handle(view(node, 1, 1, stop - start, stop - start, node.data + start))
        if isinstance(index, Index):
            return handle(select(node, index))
        start = position(index, node.cols, 1)
        return handle(view(node, 0, 1, 1, 1, node.data + start))

    def __iter__(self):
        return iter([self[i] for i in range(self.node.cols)])

    def __matmul__(self, other):
        """vector @ vector is the dot product, a Value; vector @ matrix adds up the matrix's rows,
        each times its element: a Vector of `matrix.shape[1]`."""
        cdef Node *a = self.node
        cdef Node *b
        cdef Node *node
        if isinstance(other, Vector):
            b = (<Handle>other).node
            if a.cols != b.cols:
                raise ValueError(f"a dot product needs two Vectors of the same length, "
                                 f"not {a.cols} and {b.cols}")
            node = new_node(DOT, 0, 1, 1, 2)
        elif isinstance(other, Matrix):
            b = (<Handle>other).node
            if a.cols != b.rows:
                raise ValueError(f"vector @ matrix needs one element for each row: "
                                 f"{a.cols} elements, {b.rows} rows")
            node = new_node(VECMAT, 1, 1, b.cols, 2)
        else:
            return NotImplemented
        link(node, a)
        link(node, b)
        return handle(finish(node))

    def sum(self):
        """The sum of the elements, a Value."""
        cdef Node *node = new_node(SUM, 0, 1, 1, 1)
        link(node, self.node)
        return handle(finish(node))

    def softmax(self):
        """exp(x_i) / sum_j exp(x_j), a Vector of the same length that sums to 1.

        Subtracts the largest element first: the quotient stays the same, and exp cannot overflow.
        """
        cdef Node *node = new_node(SOFTMAX, 1, 1, self.node.cols, 1)
        link(node, self.node)
        return handle(finish(node))

    def __repr__(self):
        return f"Vector({listing(self.data)}, length {len(self)})"


cdef class Matrix(Handle):
    """Rows of neighbouring scalars: `matrix[2]` is a Vector, `matrix[2][0]` a Value.

    Matrix([[1.0, 2.0], [3.0, 4.0]]) makes leaves; Matrix([vector, ...]) copies Vectors into rows,
    and the gradient flows back to them.

    >>> m = Matrix([[1.0, 2.0], [3.0, 4.0]])
    >>> (m @ Vector([1.0, 1.0])).data, m[:, 1:].data
    ([3.0, 7.0], [[2.0], [4.0]])
    """

    def __init__(self, rows):
        cdef Node *node
        cdef Py_ssize_t r, cols
        rows = list(rows)
        if not rows or isinstance(rows[0], Value) or is_number(rows[0]):
            raise ValueError("a Matrix needs at least one row, and each row is a sequence")
        rows = [row if isinstance(row, Vector) else list(row) for row in rows]
        if all([isinstance(row, Vector) for row in rows]):
            vectors = rows
        elif any([isinstance(row, Vector) or any([isinstance(x, Value) for x in row])
                  for row in rows]):
            vectors = [row if isinstance(row, Vector) else Vector(row) for row in rows]
        else:
            vectors = None
        lengths = [(<Handle>row).node.cols if isinstance(row, Vector) else len(row)
                   for row in rows]
        cols = lengths[0]
        for length in lengths:
            if length != cols or cols == 0:
                raise ValueError(f"the rows of a Matrix have one length, at least 1: "
                                 f"found {cols} and {length}")
        if vectors is not None:
            self.adopt(gather(vectors, 2))
            return
        node = new_node(LEAF, 2, len(rows), cols, 0)
        node.refs = 1
        try:
            for r in range(node.rows):
                assign(node.data + r * cols, rows[r], cols)
            self.adopt(node)
        finally:
            release(node)

    @staticmethod
    def frombytes(content, rows, cols):
        """A leaf Matrix of [rows, cols] from row-major float64 bytes (this machine's byte order).

        Raises ValueError if the length is not rows * cols * 8 or a size is below 1.
        """
        cdef const unsigned char[::1] buffer = content
        cdef Node *node
        if rows < 1 or cols < 1 or len(buffer) != rows * cols * 8:
            raise ValueError(f"[{rows}, {cols}] float64 numbers do not fit {len(buffer)} bytes")
        node = new_node(LEAF, 2, rows, cols, 0)
        memcpy(node.data, &buffer[0], len(buffer))
        return handle(node)

    def tobytes(self):
        """The data as row-major float64 bytes (this machine's byte order)."""
        cdef Node *node = self.node
        return b"".join([(<char *>(node.data + r * node.stride))[:node.cols * sizeof(double)]
                         for r in range(node.rows)])

    @property
    def shape(self):
        """(rows, columns)"""
        return self.node.rows, self.node.cols

    @property
    def data(self):
        """The numbers, a new list of lists of floats. Assign the same shape to change them."""
        return [row.data for row in self]

    @data.setter
    def data(self, rows):
        for row, values in zip(self, table(rows, self.node.rows, self.node.cols), strict=True):
            row.data = values

    @property
    def grad(self):
        """The gradients, a new list of lists of floats. Assign the same shape, or one number."""
        return [row.grad for row in self]

    @grad.setter
    def grad(self, rows):
        if is_number(rows):
            rows = [[rows] * self.node.cols] * self.node.rows
        for row, values in zip(self, table(rows, self.node.rows, self.node.cols), strict=True):
            row.grad = values

    def __len__(self):
        return self.node.rows

    def __getitem__(self, index):
        """matrix[i] is a row, a Vector; matrix[i:j] and matrix[i:j, k:l] are Matrices. All show
        the same scalars, not copies."""
        cdef Node *node = self.node
        cdef Py_ssize_t top, bottom, left = 0, right = node.cols
        if isinstance(index, tuple):
            if len(index) != 2 or not all([isinstance(part, slice) for part in index]):
                raise TypeError("a Matrix takes matrix[i], matrix[i:j] or matrix[i:j, k:l]; "
                                "for one scalar write matrix[i][j]")
            left, right = span(index[1], node.cols)
            index = index[0]
        if isinstance(index, slice):
            top, bottom = span(index, node.rows)
            return handle(view(node, 2, bottom - top, right - left, node.stride,
                               node.data + top * node.stride + left))
        if isinstance(index, Index):
            return handle(select(node, index))
        top = position(index, node.rows, 2)
        return handle(view(node, 1, 1, node.cols, node.cols, node.data + top * node.stride))

    def __iter__(self):
        return iter([self[i] for i in range(self.node.rows)])

    def __matmul__(self, other):
        """matrix @ vector: the dot product of each row with the vector, `matrix.shape[0]` long."""
        cdef Node *m = self.node
        cdef Node *x
        cdef Node *node
        if not isinstance(other, Vector):
            return NotImplemented
        x = (<Handle>other).node
        if m.cols != x.cols:
            raise ValueError(f"matrix @ vector needs one element for each column: "
                             f"{m.cols} columns, {x.cols} elements")
        node = new_node(MATVEC, 1, 1, m.rows, 2)
        link(node, m)
        link(node, x)
        return handle(finish(node, scratch_for(m.cols)))

    def __repr__(self):
        return f"Matrix({self.node.rows} rows of {self.node.cols})"


cdef Node *gather(list parts, int rank) except NULL:
    """One run of the scalars of Values and Vectors, in order; of rank 2 if each is a row."""
    cdef Py_ssize_t total = 0
    cdef Node *node
    for part in parts:
        total += (<Handle>part).node.cols
    if rank == 2:
        node = new_node(GATHER, 2, len(parts), total // len(parts), len(parts))
    else:
        node = new_node(GATHER, 1, 1, total, len(parts))
    for part in parts:
        link(node, (<Handle>part).node)
    return finish(node)


def concat(parts):
    """One Vector of the elements of all `parts` (Vectors or Values), one after another."""
    parts = list(parts)
    for part in parts:
        if not isinstance(part, (Value, Vector)):
            raise TypeError(f"concat joins Vectors and Values, not {type(part).__name__}")
    if not parts:
        raise ValueError("concat needs at least one Vector")
    return handle(gather(parts, 1))


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


# ================================================================ looking inside

cdef Node *origin(Node *node, Py_ssize_t *index) noexcept:
    """The node that computed a Value's scalar, and which of its scalars it is."""
    cdef Node *owner = storage(node)
    index[0] = node.data - owner.data
    return owner


cdef object scalar(Node *run, Py_ssize_t row, Py_ssize_t col):
    if run.rank == 0:
        return handle(run)
    return handle(view(run, 0, 1, 1, 1, run.data + row * run.stride + col))


cdef list inputs_of(Node *value):
    """The (child, local gradient) pairs of one scalar: of each operation, its scalar meaning."""
    cdef Py_ssize_t i, j = 0
    cdef Node *node = origin(value, &i)
    cdef Node *a = node.inputs[0] if node.n_inputs > 0 else NULL
    cdef Node *b = node.inputs[1] if node.n_inputs > 1 else NULL
    cdef int op = node.op
    cdef double x, y
    check_unchanged(node)
    if op == LEAF:
        return []
    if is_single(node):
        if node.program is not NULL:
            find_local(node)
        return [(handle(node.inputs[j]), node.local[j]) for j in range(node.n_inputs)]
    if op <= POW:
        x, y = a.data[i * a.rank], b.data[i * b.rank]
        return [(scalar(a, 0, i), local_a(op, x, y)),
                (scalar(b, 0, i), 0.0 if op == POW and b.constant else local_b(op, x, y))]
    if op <= SQRT:
        return [(scalar(a, 0, i), local_1(op, a.data[i], node.data[i]))]
    if op == SUM:
        return [(scalar(a, 0, j), 1.0) for j in range(a.cols)]
    if op == DOT:
        return ([(scalar(a, 0, j), b.data[j]) for j in range(a.cols)]
                + [(scalar(b, 0, j), a.data[j]) for j in range(a.cols)])
    if op == MATVEC:
        return ([(scalar(a, i, j), b.data[j]) for j in range(a.cols)]
                + [(scalar(b, 0, j), a.data[i * a.stride + j]) for j in range(a.cols)])
    if op == VECMAT:
        return ([(scalar(a, 0, j), b.data[j * b.stride + i]) for j in range(b.rows)]
                + [(scalar(b, j, i), a.data[j]) for j in range(b.rows)])
    if op == SOFTMAX:
        return [(scalar(a, 0, j), node.data[i] * ((i == j) - node.data[j]))
                for j in range(a.cols)]
    for j in range(node.n_inputs):
        if i < node.inputs[j].cols:
            break
        i -= node.inputs[j].cols
    return [(scalar(node.inputs[j], 0, i), 1.0)]


# ================================================================ small helpers

cdef int assign(double *to, object values, Py_ssize_t n) except -1:
    """Write n numbers, or one number n times; nothing if one of them is not a number."""
    cdef Py_ssize_t i
    cdef list numbers
    if is_number(values):
        numbers = [float(values)] * n
    else:
        numbers = [float(number(x)) for x in values]
    if len(numbers) != n:
        raise ValueError(f"{n} numbers are needed here, not {len(numbers)}")
    for i in range(n):
        to[i] = numbers[i]
    return 0


cdef list table(object rows, Py_ssize_t n_rows, Py_ssize_t n_cols):
    """Rows of numbers, checked as a whole before any of them is used."""
    checked = [[float(number(x)) for x in row] for row in rows]
    if len(checked) != n_rows or any([len(row) != n_cols for row in checked]):
        raise ValueError(f"{n_rows} rows of {n_cols} numbers are needed here")
    return checked


cdef (Py_ssize_t, Py_ssize_t) span(slice index, Py_ssize_t length) except *:
    start, stop, step = index.indices(length)
    if step != 1 or stop <= start:
        raise IndexError(f"a slice shows at least one neighbouring element: "
                         f"[{start}:{stop}:{step}] of {length} does not")
    return start, stop


cdef Py_ssize_t position(object index, Py_ssize_t length, int rank) except -1:
    cdef Py_ssize_t i = PyNumber_AsSsize_t(index, IndexError)
    if i < -length or i >= length:
        raise outside(i, length, rank)
    return i + length if i < 0 else i


cdef object outside(Py_ssize_t i, Py_ssize_t length, int rank):
    return IndexError(f"index {i} is outside a {'Matrix' if rank == 2 else 'Vector'} of "
                      f"{length}{' rows' if rank == 2 else ''}")


cdef str listing(list numbers):
    shown = ", ".join([f"{x:.6g}" for x in numbers[:6]])
    return f"[{shown}, ...]" if len(numbers) > 6 else f"[{shown}]"
