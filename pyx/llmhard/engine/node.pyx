"""Nodes: the memory behind every Value, Vector and Matrix, and how it is counted and freed."""
cimport cython
from cpython.dict cimport PyDict_Size
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject_GenericSetAttr, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_REFCNT, Py_XDECREF
from libc.limits cimport INT_MAX
from libc.stdint cimport uintptr_t
from libc.string cimport memset

from llmhard.engine.elementwise cimport LEAF, SELECT, VIEW, is_linear


cdef extern from *:
    """
    #define HandleStruct struct __pyx_obj_7llmhard_6engine_4node_Handle
    #define offset_of_attributes() ((Py_ssize_t)offsetof(HandleStruct, attributes))
    #define attributes_of(handle) (((HandleStruct *)(handle))->attributes)
    #define clear_attributes(handle) Py_CLEAR(attributes_of(handle))
    """
    Py_ssize_t offset_of_attributes()
    PyObject *attributes_of(Handle)
    void clear_attributes(Handle)

cdef extern from "Python.h":
    void PyType_Modified(type)
    Py_ssize_t PY_SSIZE_T_MAX
    object PyObject_GenericGetDict(object, void *)
    bint PyObject_GC_IsTracked(object)
    void PyObject_GC_Track(PyObject *)
    void PyObject_GC_UnTrack(PyObject *)

cdef Py_ssize_t MOST = (PY_SSIZE_T_MAX - CACHE_LINE) // sizeof(double)  # scalars in one node


cdef inline double *aligned(void *block) noexcept:
    """Return the first cache line in a block with CACHE_LINE bytes to spare; NULL stays NULL."""
    if block is NULL:
        return NULL
    return <double *>((<uintptr_t>block + CACHE_LINE - 1) & ~<uintptr_t>(CACHE_LINE - 1))


cdef Node *new_node(int op, int rank, Py_ssize_t rows, Py_ssize_t cols,
                    Py_ssize_t n_inputs) except NULL:
    """Return a node with room for its scalars (data not set) and inputs (not linked)."""
    cdef Node *node
    cdef Run *run
    if rank == 0:
        return allocated(op, 0, n_inputs)
    if rows > INT_MAX or cols > INT_MAX or rows > MOST // cols:
        raise MemoryError()
    node = allocated(op, rank, n_inputs)
    run = run_of(node)
    run.rows, run.cols, run.stride = rows, cols, cols
    if rows * cols == 1:
        run.data, run.grad = &node.home.own[0], &node.home.own[1]
    else:
        run.data_block = PyMem_Malloc(rows * cols * sizeof(double) + CACHE_LINE)
        run.data = aligned(run.data_block)
        if run.data is NULL:
            free_node(node)
            raise MemoryError()
    return node


cdef Node *allocated(int op, int rank, Py_ssize_t n_inputs, bint is_view=False) except NULL:
    """Return a node of zeros with room behind it for inputs, and for a scalar's local gradients."""
    cdef Node *node
    if n_inputs > INT_MAX:
        raise MemoryError()
    if rank == 0 and not is_view:
        return new_scalar(op, n_inputs)
    node = <Node *>PyMem_Malloc(sizeof(Run) + n_inputs * sizeof(Node *))
    if node is NULL:
        raise MemoryError()
    memset(node, 0, sizeof(Run))
    node.op, node.rank, node.flags = op, rank, RUN
    return node


cdef enum:
    SIZES = 3               # of a scalar with 0, 1 or 2 times ROOM behind the Node
    ROOM = sizeof(Node *) + sizeof(double)      # for one input and its local gradient
    MOST_SPARES = 1 << 16   # of each size

# Scalars come and go by the thousand, so those that are freed are kept for reuse. Python's
# allocator would give the memory of a graph back to the system, page by page, before the next one
# is recorded.
cdef struct Spares:
    Node *first             # its `handle` is the next one
    int count

cdef Spares spares[SIZES]


cdef inline Py_ssize_t room_behind(int op, Py_ssize_t n_inputs) noexcept:
    """Return how many times ROOM a scalar needs for its inputs and local gradients."""
    return (n_inputs + 1) // 2 if is_linear(op) else n_inputs


cdef Node *new_scalar(int op, Py_ssize_t n_inputs) except NULL:
    """Return a new scalar with room for inputs (not linked) and local gradients (not set)."""
    cdef Py_ssize_t room = room_behind(op, n_inputs)
    cdef Node *node
    if room < SIZES and spares[room].first is not NULL:
        node = spares[room].first
        spares[room].first = <Node *>node.handle
        prefetch_to_write(spares[room].first)
        spares[room].count -= 1
    else:
        node = <Node *>PyMem_Malloc(sizeof(Node) + room * ROOM)
        if node is NULL:
            raise MemoryError()
    memset(node, 0, sizeof(Node))
    node.op = op
    return node


cdef inline void free_scalar(Node *node) noexcept:
    # under no_grad its operation may have been forgotten; then it has more room than it needs
    cdef Py_ssize_t room = room_behind(node.op, node.n_inputs)
    if RECYCLES and room < SIZES and spares[room].count < MOST_SPARES:
        node.handle = <PyObject *>spares[room].first
        spares[room].first = node
        spares[room].count += 1
    else:
        PyMem_Free(node)


cdef Node *view(Node *of, int rank, Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t stride,
                double *data) except NULL:
    """Return a node that shows some of another's scalars: the same memory under another shape."""
    cdef Node *node = allocated(VIEW, rank, 1, True)
    cdef Run *run = run_of(node)
    run.rows, run.cols, run.stride, run.data = rows, cols, stride, data
    run.base = storage(of)
    refer(run.base)
    node.depth = of.depth
    if of.op == SELECT:
        node.op = SELECT
        run.computed = clock.changes
        run.offset = data - data_of(of)
        link(node, of)
    return node


cdef void release_program(Program *program) noexcept:
    program.refs -= 1
    if program.refs == 0:
        PyMem_Free(program.steps)
        PyMem_Free(program.plain)
        PyMem_Free(program)


cdef void free_node(Node *node) noexcept:
    if node.flags & MOVED:
        release_program(node.home.moved.program)
    if is_run(node):
        PyMem_Free(run_of(node).data_block)
        PyMem_Free(run_of(node).grad_block)
        Py_XDECREF(run_of(node).index)
        PyMem_Free(node)
    else:
        free_scalar(node)


cdef inline bint is_last(Node *node) noexcept:
    """Give up one reference; return whether it was the last, so that the node must be freed."""
    node.refs -= node.refs < INT_MAX
    if node.refs:
        return False
    if node.keeping & OWNS or is_run(node) and run_of(node).scalars is not NULL:
        give_back(node)
        return False
    return True


cdef void give_back(Node *node) noexcept:
    """Give up the Values that a node keeps, now that nobody else refers to the node.

    From now on they hold the node, as others do, until they go themselves, perhaps at once.
    """
    cdef PyObject *kept
    if node.keeping & OWNS:
        kept, node.keeping, node.refs = node.handle, node.keeping & ~OWNS, 1
    else:
        kept, run_of(node).scalars = run_of(node).scalars, NULL
        node.refs = PyDict_Size(<object>kept)
    Py_DECREF(<object>kept)     # which may free the node


cdef void keep(Node *node) noexcept:
    """Make the handle, a Value, live as long as the node."""
    node.keeping |= KEEPS
    if node.refs > 1:
        own(node)


cdef void own(Node *node) noexcept:
    """Reverse who holds whom, now that somebody else refers to the node, too."""
    # 0 references: a handle that is being freed
    if (not node.keeping & OWNS and node.handle is not NULL
            and Py_REFCNT(<object>node.handle) > 0):
        Py_INCREF(<object>node.handle)
        node.keeping |= OWNS
        node.refs -= node.refs < INT_MAX


cdef void release(Node *node) noexcept:
    """Give up one reference. Free what nobody refers to any more, using a list, not recursion."""
    cdef Node *dead = NULL
    cdef Node *child
    cdef int i
    if is_last(node):
        node.handle = NULL
        dead = node
    while dead is not NULL:
        node = dead
        dead = <Node *>node.handle
        for i in range(node.n_inputs + (base_of(node) is not NULL)):
            child = inputs_of(node)[i] if i < node.n_inputs else base_of(node)
            if is_last(child):
                child.handle = <PyObject *>dead
                dead = child
        free_node(node)


cdef void discard(Node *node) noexcept:
    """Free a node that was never given to anybody; leave others, and NULL, alone."""
    if node is not NULL and node.refs == 0:
        node.refs = 1
        release(node)


cdef int need_grad(Node *node) except -1:
    """Make grad_of(node) point at memory, zeros at first."""
    cdef Run *owner
    if not is_run(node):
        return 0
    owner = run_of(storage(node))
    if owner.grad is NULL:
        owner.grad_block = PyMem_Calloc(size(&owner.node) * sizeof(double) + CACHE_LINE, 1)
        owner.grad = aligned(owner.grad_block)
        if owner.grad is NULL:
            raise MemoryError()
    if run_of(node).grad is NULL:       # of a view; else a pass may be moving it
        run_of(node).grad = owner.grad + (run_of(node).data - owner.data)
    return 0


cdef void set_used(Node *owner) noexcept nogil:
    """Note that something was written to the grad of a node, not a view."""
    if owner.op != LEAF:    # no one asks a leaf, and a Tape at work may be reading its flags
        owner.flags |= HAS_GRAD
    if is_run(owner):
        run_of(owner).used = True


cdef void wrote_grad(Node *node) noexcept:
    clock.grad_writes += 1
    set_used(storage(node))


cdef int refuse(Handle handle) except -1:
    name = type(handle).__name__
    raise RuntimeError(f"this {name} has no scalars yet: call super().__init__(...) in "
                       f"{name}.__init__ before it is used")


@cython.trashcan(True)  # so that a chain of handles that nodes own is not freed by recursion
@cython.freelist(256)
@cython.no_gc_clear     # a cycle goes through the dict of attributes, which is cleared instead
cdef class Handle:
    """A Python object that keeps one node alive.

    Two handles are equal when they stand for the same scalars, not when the numbers agree.
    """
    cdef void hold(self, Node *node) noexcept:
        """Become the handle of a node that has none."""
        self.node = node
        node.handle = <PyObject *>self
        refer(node)

    cdef void leave_gc(self) noexcept:
        """Without attributes it is in no cycle, so the garbage collector need not look at it."""
        PyObject_GC_UnTrack(<PyObject *>self)

    def __dealloc__(self):
        cdef Node *node = self.node
        if node is NULL:
            return
        if node.handle is <PyObject *>self:
            node.handle = NULL
        release(node)

    def __cinit__(self):
        clear_attributes(self)      # Cython has put None there

    def __setattr__(self, name, value):
        PyObject_GenericSetAttr(self, name, value)
        if self.has_attributes():
            self.keep_attributes()

    @property
    def __dict__(self):
        attributes = PyObject_GenericGetDict(self, NULL)
        self.keep_attributes()
        return attributes

    cdef bint has_attributes(self) noexcept:
        return attributes_of(self) is not NULL

    cdef int keep_attributes(self) except -1:
        """Live as long as the node, and have the garbage collector look for cycles."""
        if not PyObject_GC_IsTracked(self):
            PyObject_GC_Track(<PyObject *>self)
        if self.node is not NULL and self.node.rank == 0:
            keep(self.node)
        return 0

    def __eq__(self, other):
        cdef Node *mine = node_of(self)
        cdef Node *theirs
        if not isinstance(other, Handle):
            return NotImplemented
        theirs = node_of(<Handle>other)
        if mine.op == SELECT or theirs.op == SELECT:    # what they show may change
            return mine is theirs
        return (storage(mine) is storage(theirs) and data_of(mine) is data_of(theirs)
                and mine.rank == theirs.rank and size(mine) == size(theirs)
                and cols_of(mine) == cols_of(theirs))

    def __hash__(self):
        # not the address of the data, since a Tape may move that
        cdef Node *node = node_of(self)
        cdef Node *owner = storage(node)
        if node.op == SELECT:
            return hash(<uintptr_t>node)
        return hash((<uintptr_t>owner, data_of(node) - data_of(owner)))


# Where PyObject_GenericSetAttr and its like look for the attributes of a Handle.
(<PyTypeObject *>Handle).tp_dictoffset = offset_of_attributes()
PyType_Modified(Handle)
