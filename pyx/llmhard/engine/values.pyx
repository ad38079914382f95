"""Value, Vector and Matrix: the numbers that remember how they were computed.

Every number of a computation is a *scalar* with `data` and `grad`. Scalars live in *nodes*: a
`Value` made by `a * b` is a node of one scalar, the result of `matrix @ vector` is a node whose
scalars are neighbours in memory, a *run*, so that one record and one loop serve them all. A node
knows its operation and its inputs; together the nodes are the computation graph.

`Value`, `Vector` and `Matrix` are handles: small Python objects that keep one node alive. Nodes
count their handles and the nodes that use them as inputs, and are freed with the last of these. The
graph cannot have cycles, since inputs are older than what is computed from them.
"""
from cpython.float cimport PyFloat_Check
from cpython.long cimport PyLong_Check
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.number cimport PyNumber_AsSsize_t
from cpython.object cimport PyTypeObject, destructor
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_REFCNT, PyObject
from libc.limits cimport INT_MAX
from libc.string cimport memcpy

from llmhard.engine.elementwise cimport (
    CUSTOM, DOT, GATHER, LEAF, MATVEC, POW, SELECT, SOFTMAX, SUM, VECMAT, accepts1, accepts2,
    is_binary, is_unary, local_1, local_a, local_b,
)
from llmhard.engine.functions cimport Functions, check_domain1, check_domain2
from llmhard.engine.indexing cimport Index, position, select, span
from llmhard.engine.node cimport (
    CONSTANT, KEEPS, RECYCLES, Handle, Node, Run, base_of, cols_of, constant, data_of, discard,
    grad_of, inputs_of, keep, link, locals_of, need_grad, new_node, new_scalar, node_of,
    prefetch_to_write, refer, release, run_of, size, storage, view, wrote_grad,
)
from llmhard.engine.operation cimport (
    check_unchanged, find_local, follow, has_step, is_single, local_of, wrote_data,
)
from llmhard.engine.recording cimport finish, finish_single, scratch_for
from llmhard.engine.tape cimport Tape
from llmhard.engine.threads cimport GRAD, READ, WRITE, n_at_work, reach, wait_for_nodes, wait_once

import sys
from numbers import Real

from llmhard.engine.operation import NAMES


cdef extern from *:
    """
    typedef struct __pyx_obj_7llmhard_6engine_4node_Handle HandleStruct;

    /* Free an object as a class that its type inherits from does, without recursion where that
       would go deep; `whole` is the type's own way, which is then called again. */
    static void free_in_turn(PyObject *object, destructor inherited, destructor whole) {
        PyObject_GC_UnTrack(object);
        Py_TRASHCAN_BEGIN(object, whole)
        inherited(object);
        Py_TRASHCAN_END
    }
    """
    ctypedef struct HandleStruct:   # a Handle, also while it is freed
        Node *node
        PyObject *__weakref__
    void free_in_turn(PyObject *, destructor inherited, destructor whole) noexcept

cdef extern from "Python.h":
    PyObject *_PyObject_GC_New(PyTypeObject *)      # not tracked
    Handle PyObject_Init(PyObject *, PyTypeObject *)
    PyTypeObject *Py_TYPE(PyObject *)


# ================================================================ handles, made and freed
# Handles of intermediate results come and go by the thousand, like their nodes (new_scalar): Values
# that nobody could tell from new ones are kept when they are freed, and used again.

cdef enum:
    SPARE_VALUES = 1 << 14
cdef HandleStruct *spare_values = NULL      # the first; `node` is the next one
cdef int n_spare_values = 0
cdef list MODELS = []                       # a Value, a Vector and a Matrix without a node


cdef object handle(Node *node):
    """Return a new handle of the node: a Value, Vector or Matrix."""
    global spare_values, n_spare_values
    cdef HandleStruct *spare = spare_values
    cdef Handle made
    if node.rank or spare is NULL:
        made = new_handle(node)
    else:
        spare_values = <HandleStruct *>spare.node
        prefetch_to_write(spare_values)
        n_spare_values -= 1
        made = PyObject_Init(<PyObject *>spare, <PyTypeObject *>Value)
    made.node, node.handle = node, <PyObject *>made
    refer(node)
    return made


cdef Handle new_handle(Node *node):
    """Return what type.__new__ makes, but without visiting each class that the type extends."""
    cdef Handle model = MODELS[node.rank]
    cdef PyObject *made = _PyObject_GC_New(Py_TYPE(<PyObject *>model))
    if made is NULL:    # `try` would cost more than all the rest
        discard(node)
        raise MemoryError()
    memcpy(made + 1, <PyObject *>model + 1, sizeof(HandleStruct) - sizeof(PyObject))
    new = <Handle>made
    Py_DECREF(new)      # `new` counts one more
    return new


cdef void free_value(PyObject *value) noexcept:
    """Free a Value, or keep it for later if only its node distinguishes it from a new one."""
    global spare_values, n_spare_values
    cdef HandleStruct *handle = <HandleStruct *>value
    cdef Node *node = handle.node
    if (node is NULL or node.keeping or handle.__weakref__ is not NULL or not RECYCLES
            or n_spare_values == SPARE_VALUES or Py_TYPE(value) is not <PyTypeObject *>Value):
        free_in_turn(value, (<PyTypeObject *>Handle).tp_dealloc, free_value)
        return
    handle.node = <Node *>spare_values
    spare_values = handle
    n_spare_values += 1
    if node.handle is value:
        node.handle = NULL
    release(node)


cdef object shown(Node *node):
    """Return the handle of a single scalar that somebody looks at. From now on it lives as long as
    the node: whoever has seen it may know it by its id."""
    # 0 references: a handle that is being freed
    if node.handle is NULL or Py_REFCNT(<object>node.handle) == 0:
        made = handle(node)
    else:
        made = <object>node.handle
    keep(node)
    return made


cdef inline bint is_number(object x):
    return PyFloat_Check(x) or PyLong_Check(x) or isinstance(x, Real) or is_numpy_bool(x)


cdef bint is_numpy_bool(object x):
    """Return whether this is one of numpy's bools, which count as numbers like Python's own."""
    return isinstance(x, getattr(sys.modules.get("numpy"), "bool_", ()))


cdef double number(object x) except? -1.0:
    if not is_number(x):
        raise TypeError(f"data and gradients are numbers, not {type(x).__name__}: {x!r:.40}")
    return x


cdef Node *operand(object x) except? NULL:
    """Return the node of a Value or Vector, a new constant for a number, NULL for anything else."""
    cdef Node *node
    if type(x) is Value:        # the usual case needs no walk through the base classes
        return node_of(<Handle>x)
    if type(x) is float or type(x) is int:
        return constant(x)
    if isinstance(x, Handle):
        node = node_of(<Handle>x)
        return node if node.rank < 2 else NULL
    if is_number(x):
        return constant(x)
    return NULL


cdef object elementwise2(int op, object x, object y):
    """x op y for Values, Vectors and numbers, at least one of them a Value or Vector."""
    cdef Node *a = NULL
    cdef Node *b = NULL
    cdef Node *node = NULL
    try:
        a, b = operand(x), operand(y)
        if a is NULL or b is NULL:
            return NotImplemented
        if a.rank == 0 and b.rank == 0:
            node = single2(op, a, b)
            return handle(node)
        if a.rank and b.rank and cols_of(a) != cols_of(b):
            raise ValueError(f"'{NAMES[op]}' needs two Vectors of the same length, "
                             f"not {cols_of(a)} and {cols_of(b)}")
        node = new_node(op, max(a.rank, b.rank), 1, max(cols_of(a), cols_of(b)), 2)
    finally:
        if node is NULL:        # free the plain numbers
            discard(a)
            discard(b)
    link(node, a)
    link(node, b)
    return handle(finish(node))


cdef Node *single2(int op, Node *a, Node *b) except NULL:
    """a op b for single Values."""
    cdef Node *node
    cdef Node *both[2]
    cdef double data = 0.0
    cdef double local[2]
    if n_at_work:
        both[0], both[1] = a, b
        wait_for_nodes(both, 2, READ)
    if not accepts2(op, data_of(a)[0], data_of(b)[0], &data, local):
        check_domain2(op, data_of(a)[0], data_of(b)[0])
    node = new_scalar(op, 2)
    link(node, a)
    link(node, b)
    return finish_single(node, data, local)


cdef Node *single1(int op, Node *a) except NULL:
    cdef Node *node
    cdef double data = 0.0, local
    reach(a, READ)
    if not accepts1(op, data_of(a)[0], &data, &local):
        check_domain1(op, data_of(a)[0])
    node = new_scalar(op, 1)
    link(node, a)
    return finish_single(node, data, &local)


cdef object elementwise1(int op, Handle x):
    cdef Node *a = node_of(x)
    cdef Node *node
    if a.rank == 2:
        raise TypeError(f"'{NAMES[op]}' is not defined for a Matrix; apply it to the rows, "
                        f"which are Vectors")
    if a.rank == 0:
        return handle(single1(op, a))
    node = new_node(op, a.rank, 1, cols_of(a), 1)
    link(node, a)
    return handle(finish(node))


cdef class Arithmetic(Functions):
    """What Value, Vector and Matrix share: a node, arithmetic, elementwise functions.

    `+ - * / **` work between Values, Vectors and plain numbers. Between a Vector and a Value or
    number, the single one is used for every element; two Vectors must have the same length.
    """
    # A numpy scalar on the left leaves the operation to us; an array goes through its elements.
    __array_priority__ = -1.0

    cdef int adopt(self, Node *node) except -1:
        """Refuse a second __init__, which would pull the scalars from under their users."""
        if self.node is not NULL:
            discard(node)
            raise TypeError(f"this {type(self).__name__} has its scalars; make a new one instead")
        self.hold(node)
        if type(self) not in (Value, Vector, Matrix) or self.has_attributes():
            if node.rank == 0:
                keep(node)
        else:
            self.leave_gc()
        return 0

    def __reduce__(self):
        """Say how to copy and pickle a leaf, with its data, grad and attributes."""
        cdef Node *node = node_of(self)
        if node.op != LEAF or base_of(node) is not NULL or node.flags & CONSTANT:
            raise TypeError(no_copy(self, node))
        state = self.__dict__ if self.has_attributes() else None
        grad = self.grad if grad_of(node) is not NULL else None
        return restore, (type(self), self.data, grad), state

    def __setstate__(self, state):
        for name, value in state.items():
            setattr(self, name, value)

    cdef object apply1(self, int op):
        return elementwise1(op, self)

    cdef object apply2(self, int op, object x, object y):
        return elementwise2(op, x, y)


cdef class Value(Arithmetic):
    """One number that remembers how it was computed.

    Value(data) makes a leaf. Arithmetic on Values records the operation, so that backward() can
    find the derivative of the result with respect to every number that it was computed from.

    Value(data, children, local_grads) records an operation of your own: its result, the Values
    it was computed from, and the derivative of the result with respect to each of them.

    A Value takes attributes; `label` is "" at first. The same number is the same object: what
    `children`, `vector[i]` and iteration have once shown lives as long as what it was read from,
    and so does a Value with attributes or of a subclass. Any other result that nobody holds may
    come back as a new object, equal to the old one; a weak reference does not hold it. Attributes
    that lead to what was computed from a Value keep both in memory until they are deleted.

    >>> x = Value(3.0)
    >>> y = x * x + 1
    >>> y.backward()
    >>> y.data, x.grad
    (10.0, 6.0)
    """

    def __init__(self, data=0.0, children=(), local_grads=(), label="", *, _children=(), _op=""):
        cdef Node *node
        cdef double value = number(data)
        if isinstance(local_grads, str):        # as in micrograd: Value(data, children, "+")
            local_grads, _op = (), local_grads
        children, local_grads = list(_children or children), list(local_grads)
        if children and _op and not local_grads:
            raise TypeError(f"Value(data, children, {_op!r}) does not say how the gradient flows "
                            f"to the children: write Value(data, children, local_grads), with the "
                            f"derivative with respect to each of them")
        if children or local_grads:
            node = custom(value, children, local_grads)
        else:
            node = new_node(LEAF, 0, 1, 1, 0)
            data_of(node)[0] = value
        self.adopt(node)
        if label != "":
            self.label = label

    @property
    def data(self):
        """The number, a float. Assigning to it does not change what was computed from it."""
        cdef Node *node = node_of(self)
        reach(node, READ)
        return data_of(node)[0]

    @data.setter
    def data(self, value):
        cdef Node *node = node_of(self)
        if node.flags & CONSTANT:
            raise TypeError("this is a plain number in a formula; make it a Value to change it")
        cdef double data = number(value)
        reach(node, WRITE)
        data_of(node)[0] = data
        wrote_data(node)

    @property
    def grad(self):
        """d root / d self, summed over the backward() calls since it was last set; 0.0 at first."""
        cdef Node *node = node_of(self)
        if grad_of(storage(node)) is NULL:
            return 0.0
        reach(node, GRAD)
        need_grad(node)
        return grad_of(node)[0]

    @grad.setter
    def grad(self, value):
        cdef double gradient = number(value)
        cdef Node *node = node_of(self)
        reach(node, GRAD)
        need_grad(node)
        grad_of(node)[0] = gradient
        wrote_grad(node)

    def backward(self):
        """Add the derivative of this Value with respect to each scalar below it to its grad.

        Calling it again adds again, as in PyTorch; set the grads to 0 in between. Single Values
        use the local gradients of their recording. Raises RuntimeError, before any grad is touched,
        if data that a run needs for its gradient was changed since.
        """
        cdef Tape tape = Tape(self)
        tape.accumulate()

    @property
    def op(self):
        """The name of the operation that made this scalar; '' for a leaf."""
        cdef Py_ssize_t index
        return NAMES[origin(node_of(self), &index).op]

    @property
    def children(self):
        """The Values that this one was computed from, a tuple."""
        return tuple([child for child, _ in children_of(node_of(self))])

    @property
    def local_grads(self):
        """The local gradients, d self / d child for each of `children`, a tuple of floats.

        Inside a run they are computed from the data on demand; raises RuntimeError if that was
        changed after the recording.
        """
        return tuple([local for _, local in children_of(node_of(self))])

    def graph(self, names=None, **limits):
        """Return the graph of what this Value was computed from, as llmhard.graph draws it."""
        from llmhard.graphs import graph    # only here: graphs are rarely drawn
        return graph(self, names, **limits)

    def _repr_svg_(self):
        return self.graph()._repr_svg_()

    # The names that micrograd and microgpt use.

    label = ""

    @property
    def _backward(self):
        """A function that adds to each child's grad what this grad contributes to it."""
        return lambda: self.pass_on()

    @_backward.setter
    def _backward(self, _):
        raise AttributeError("backward() would not call it: Value(data, children, local_grads) "
                             "records an operation of your own, with its derivatives")

    cdef int pass_on(self) except -1:
        cdef Node *child
        cdef list inputs = children_of(node_of(self))
        cdef double gradient = self.grad
        cdef double local
        for value, _ in inputs:     # all that needs memory comes before the first grad changes
            need_grad(node_of(<Handle>value))
        for value, local in inputs:
            child = (<Handle>value).node
            reach(child, GRAD)
            grad_of(child)[0] += local * gradient
            wrote_grad(child)
        return 0

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


cdef Node *custom(double value, list children, list local_grads) except NULL:
    """Return a node for an operation that only the caller knows."""
    cdef Node *node
    cdef Py_ssize_t i
    if len(local_grads) != len(children):
        raise TypeError("Value(data, children, local_grads) needs one local gradient, "
                        "a number, for each child")
    for child in children:
        if not isinstance(child, Value):
            raise TypeError(f"children are Values, not {type(child).__name__}")
        node_of(<Handle>child)
    gradients = [float(number(g)) for g in local_grads]
    node = new_node(CUSTOM, 0, 1, 1, len(children))
    data_of(node)[0] = value
    for i in range(<Py_ssize_t>len(children)):
        link(node, node_of(<Handle>children[i]))
    for i in range(<Py_ssize_t>len(children)):
        locals_of(node)[i] = gradients[i]
    return finish(node)


cdef class Vector(Arithmetic):
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
            data_of(node)[i] = values[i]
        self.adopt(node)

    @property
    def data(self):
        """The numbers, a new list of floats. Assign as many, in a sequence, to change them."""
        cdef Node *node = node_of(self)
        reach(node, READ)
        return [data_of(node)[i] for i in range(cols_of(node))]

    @data.setter
    def data(self, values):
        assign_data(node_of(self), values)

    @property
    def grad(self):
        """The gradients, a new list of floats. Assign a sequence, or one number for all."""
        cdef Node *node = node_of(self)
        reach(node, GRAD)
        need_grad(node)
        return [grad_of(node)[i] for i in range(cols_of(node))]

    @grad.setter
    def grad(self, values):
        assign_grad(node_of(self), values)

    def __len__(self):
        return cols_of(node_of(self))

    def __getitem__(self, index):
        """vector[i] is a Value, vector[i:j] a Vector; both show the same scalars, not copies."""
        cdef Node *node = node_of(self)
        cdef Py_ssize_t start, stop
        reach(node, READ)
        if isinstance(index, slice):
            start, stop = span(index, cols_of(node))
            return handle(view(node, 1, 1, stop - start, stop - start, data_of(node) + start))
        if isinstance(index, Index):
            return handle(select(node, index))
        return element(node, data_of(node) + position(index, cols_of(node), 1))

    def __iter__(self):
        return iter([self[i] for i in range(cols_of(node_of(self)))])

    def __matmul__(self, other):
        """vector @ vector is the dot product, a Value; vector @ matrix adds up the matrix's rows,
        each times its element: a Vector of `matrix.shape[1]`."""
        cdef Node *a = node_of(self)
        cdef Node *b
        cdef Node *node
        if isinstance(other, Vector):
            b = node_of(<Handle>other)
            if cols_of(a) != cols_of(b):
                raise ValueError(f"a dot product needs two Vectors of the same length, "
                                 f"not {cols_of(a)} and {cols_of(b)}")
            node = new_node(DOT, 0, 1, 1, 2)
        elif isinstance(other, Matrix):
            b = node_of(<Handle>other)
            if cols_of(a) != run_of(b).rows:
                raise ValueError(f"vector @ matrix needs one element for each row: "
                                 f"{cols_of(a)} elements, {run_of(b).rows} rows")
            node = new_node(VECMAT, 1, 1, cols_of(b), 2)
        else:
            return NotImplemented
        link(node, a)
        link(node, b)
        return handle(finish(node))

    def sum(self):
        """Return the sum of the elements, a Value."""
        cdef Node *node = new_node(SUM, 0, 1, 1, 1)
        link(node, node_of(self))
        return handle(finish(node))

    def softmax(self):
        """exp(x_i) / sum_j exp(x_j), a Vector of the same length that sums to 1.

        Subtracts the largest element first: the quotient stays the same, and exp cannot overflow.
        """
        cdef Node *node = new_node(SOFTMAX, 1, 1, cols_of(node_of(self)), 1)
        link(node, node_of(self))
        return handle(finish(node))

    def __repr__(self):
        return f"Vector({listing(self.data)}, length {len(self)})"


cdef class Matrix(Arithmetic):
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
        lengths = [cols_of(node_of(<Handle>row)) if isinstance(row, Vector) else len(row)
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
            for r in range(run_of(node).rows):
                read_row(data_of(node) + r * cols, rows[r], cols)
            self.adopt(node)
        finally:
            release(node)

    @staticmethod
    def frombytes(content, rows, cols):
        """Return a leaf Matrix [rows, cols] of row-major float64 bytes, in this machine's order.

        Raises ValueError if the length is not rows * cols * 8 or a size is below 1.
        """
        cdef const unsigned char[::1] buffer = content
        cdef Py_ssize_t height = PyNumber_AsSsize_t(rows, ValueError)
        cdef Py_ssize_t width = PyNumber_AsSsize_t(cols, ValueError)
        cdef Py_ssize_t count = len(buffer) // sizeof(double)
        cdef Node *node
        # a quotient, since the product of two sizes may be too large for a C integer
        if (height < 1 or width < 1 or len(buffer) % sizeof(double) or count % width
                or count // width != height):
            raise ValueError(f"[{height}, {width}] float64 numbers do not fit "
                             f"{len(buffer)} bytes")
        node = new_node(LEAF, 2, height, width, 0)
        memcpy(data_of(node), &buffer[0], len(buffer))
        return handle(node)

    def tobytes(self):
        """Return the data as row-major float64 bytes (this machine's byte order)."""
        cdef Node *node = node_of(self)
        cdef Py_ssize_t stride = run_of(node).stride    # r * stride may be more than an int holds
        reach(node, READ)
        return b"".join([(<char *>(data_of(node) + r * stride))[:cols_of(node) * sizeof(double)]
                         for r in range(run_of(node).rows)])

    @property
    def shape(self):
        """(rows, columns)"""
        cdef Node *node = node_of(self)
        return run_of(node).rows, cols_of(node)

    @property
    def data(self):
        """The numbers, a new list of lists of floats. Assign the same shape to change them."""
        cdef Node *node = node_of(self)
        reach(node, READ)
        return rows_of(node, data_of(node))

    @data.setter
    def data(self, rows):
        assign_data(node_of(self), iter(rows))

    @property
    def grad(self):
        """The gradients, a new list of lists of floats. Assign the same shape, or one number."""
        cdef Node *node = node_of(self)
        reach(node, GRAD)
        need_grad(node)
        return rows_of(node, grad_of(node))

    @grad.setter
    def grad(self, rows):
        assign_grad(node_of(self), rows)

    def __len__(self):
        return run_of(node_of(self)).rows

    def __getitem__(self, index):
        """matrix[i] is a row, a Vector; matrix[i:j] and matrix[i:j, k:l] are Matrices. All show
        the same scalars, not copies."""
        cdef Node *node = node_of(self)
        cdef Py_ssize_t top, bottom, left = 0, right = cols_of(node)
        if isinstance(index, tuple):
            if len(index) != 2 or not all([isinstance(part, slice) for part in index]):
                raise TypeError("a Matrix takes matrix[i], matrix[i:j] or matrix[i:j, k:l]; "
                                "for one scalar write matrix[i][j]")
            left, right = span(index[1], cols_of(node))
            index = index[0]
        if isinstance(index, slice):
            top, bottom = span(index, run_of(node).rows)
            return handle(view(node, 2, bottom - top, right - left, run_of(node).stride,
                               data_of(node) + top * run_of(node).stride + left))
        if isinstance(index, Index):
            return handle(select(node, index))
        top = position(index, run_of(node).rows, 2)
        return handle(view(node, 1, 1, right, right, data_of(node) + top * run_of(node).stride))

    def __iter__(self):
        return iter([self[i] for i in range(run_of(node_of(self)).rows)])

    def __matmul__(self, other):
        """matrix @ vector: the dot product of each row with the vector, `matrix.shape[0]` long."""
        cdef Node *m = node_of(self)
        cdef Node *x
        cdef Node *node
        if not isinstance(other, Vector):
            return NotImplemented
        x = node_of(<Handle>other)
        if cols_of(m) != cols_of(x):
            raise ValueError(f"matrix @ vector needs one element for each column: "
                             f"{cols_of(m)} columns, {cols_of(x)} elements")
        node = new_node(MATVEC, 1, 1, run_of(m).rows, 2)
        link(node, m)
        link(node, x)
        return handle(finish(node, scratch_for(cols_of(m))))

    def __repr__(self):
        return f"Matrix({run_of(node_of(self)).rows} rows of {cols_of(node_of(self))})"


cdef Node *gather(list parts, int rank) except NULL:
    """Return one run of the scalars of Values and Vectors, in order; of rank 2 if each is a row."""
    cdef Py_ssize_t total = 0
    cdef Node *node
    for part in parts:
        total += cols_of(node_of(<Handle>part))
    if rank == 2:
        node = new_node(GATHER, 2, len(parts), total // len(parts), len(parts))
    else:
        node = new_node(GATHER, 1, 1, total, len(parts))
    for part in parts:
        link(node, node_of(<Handle>part))
    return finish(node)


def concat(parts):
    """Return one Vector of the elements of all `parts` (Vectors or Values), one after another."""
    parts = list(parts)
    for part in parts:
        if not isinstance(part, (Value, Vector)):
            raise TypeError(f"concat joins Vectors and Values, not {type(part).__name__}")
    if not parts:
        raise ValueError("concat needs at least one Vector")
    return handle(gather(parts, 1))


# ================================================================ looking inside

cdef Node *origin(Node *node, Py_ssize_t *index) noexcept:
    """Return the node that computed a Value's scalar, and which of its scalars it is."""
    cdef Node *owner = storage(node)
    index[0] = data_of(node) - data_of(owner)
    return owner


cdef object scalar(Node *node, Py_ssize_t row, Py_ssize_t col):
    """Return the Value of one scalar, the same one every time."""
    if node.rank == 0:
        return shown(node)
    return element(node, data_of(node) + row * run_of(node).stride + col)


cdef object element(Node *shows, double *data):
    """Return the Value of a scalar that a Vector or Matrix shows, the same one every time.

    A run keeps the Values of its scalars, so their views are not counted as references to it.
    """
    cdef Run *run = run_of(shows if shows.op == SELECT else storage(shows))
    cdef object place = data - run.data
    cdef Node *node
    if run.scalars is NULL:
        scalars = {}
        Py_INCREF(scalars)
        run.scalars = <PyObject *>scalars
    made = (<dict>run.scalars).get(place)
    if made is None:
        node = view(shows, 0, 1, 1, 1, data)
        made = handle(node)
        (<dict>run.scalars)[place] = made
        node.keeping |= KEEPS
        run.node.refs -= run.node.refs < INT_MAX
    elif shows.op == SELECT:        # it may have moved
        follow((<Handle>made).node)
    return made


cdef void reach_operation(Node *node) noexcept:
    """Wait until no other thread is using a node, whose local gradients are found again, or what
    it was computed from."""
    cdef bint waited = n_at_work > 0
    cdef int i
    while waited:
        waited = wait_once(node, GRAD)
        for i in range(node.n_inputs):
            waited |= wait_once(inputs_of(node)[i], READ)


cdef list children_of(Node *value):
    """Return the (child, local gradient) pairs of one scalar, as if it had been computed alone."""
    cdef Py_ssize_t i, j = 0
    cdef Node *node = origin(value, &i)
    cdef Node *a = inputs_of(node)[0] if node.n_inputs > 0 else NULL
    cdef Node *b = inputs_of(node)[1] if node.n_inputs > 1 else NULL
    cdef int op = node.op
    cdef double *weights
    cdef double x, y
    reach_operation(node)
    check_unchanged(&node, 1)
    if op == LEAF:
        return []
    if is_single(node):
        if has_step(node):
            find_local(node)
        return [(shown(inputs_of(node)[j]), local_of(node, j)) for j in range(node.n_inputs)]
    if is_binary(op):
        x, y = data_of(a)[i * a.rank], data_of(b)[i * b.rank]
        return [(scalar(a, 0, i), local_a(op, x, y)),
                (scalar(b, 0, i), 0.0 if op == POW and b.flags & CONSTANT else local_b(op, x, y))]
    if is_unary(op):
        return [(scalar(a, 0, i), local_1(op, data_of(a)[i], data_of(node)[i]))]
    if op == SUM:
        return [(scalar(a, 0, j), 1.0) for j in range(cols_of(a))]
    if op == DOT:
        return ([(scalar(a, 0, j), data_of(b)[j]) for j in range(cols_of(a))]
                + [(scalar(b, 0, j), data_of(a)[j]) for j in range(cols_of(a))])
    if op == MATVEC:
        weights = data_of(a) + i * run_of(a).stride
        return ([(scalar(a, i, j), data_of(b)[j]) for j in range(cols_of(a))]
                + [(scalar(b, 0, j), weights[j]) for j in range(cols_of(a))])
    if op == VECMAT:
        return ([(scalar(a, 0, j), data_of(b)[j * <Py_ssize_t>run_of(b).stride + i])
                 for j in range(run_of(b).rows)]
                + [(scalar(b, j, i), data_of(a)[j]) for j in range(run_of(b).rows)])
    if op == SOFTMAX:
        return [(scalar(a, 0, j), data_of(node)[i] * ((i == j) - data_of(node)[j]))
                for j in range(cols_of(a))]
    for j in range(node.n_inputs):
        if i < cols_of(inputs_of(node)[j]):
            break
        i -= cols_of(inputs_of(node)[j])
    return [(scalar(inputs_of(node)[j], 0, i), 1.0)]


# ================================================================ copies

def restore(kind, data, grad):
    """Make a leaf again, for copy and pickle; as usual, a subclass's __init__ is not called."""
    made = kind.__new__(kind)
    for base in (Value, Vector, Matrix):
        if issubclass(kind, base):
            base.__init__(made, data)
    if grad is not None:
        made.grad = grad
    return made


cdef str no_copy(object handle, Node *node):
    kind = f"a {type(handle).__name__}"
    if base_of(node) is not NULL:
        return (f"{kind} that shows scalars of a run is not copied: copy the whole Vector or "
                f"Matrix, or make a leaf of the numbers with {type(handle).__name__}(x.data)")
    return (f"{kind} that was computed is not copied, since it leads to all that it was computed "
            f"from: make a leaf of the numbers with {type(handle).__name__}(x.data), or copy the "
            f"leaves and compute again")


# ================================================================ small helpers

cdef int assign_data(Node *node, object values) except -1:
    cdef double *numbers = read(node, values)
    reach(node, WRITE)
    write(node, data_of(node), numbers)
    wrote_data(node)
    return 0


cdef int assign_grad(Node *node, object values) except -1:
    cdef double *numbers
    need_grad(node)
    numbers = read(node, values)
    reach(node, GRAD)
    write(node, grad_of(node), numbers)
    wrote_grad(node)
    return 0


cdef double *read(Node *node, object values) except NULL:
    """Return new memory with numbers of the node's shape, or one number for all its scalars.

    Whatever can fail fails here, before write() changes the first of the node's numbers.
    """
    cdef Py_ssize_t i
    cdef double one
    cdef double *numbers = <double *>PyMem_Malloc(size(node) * sizeof(double))
    if numbers is NULL:
        raise MemoryError()
    try:
        if is_number(values):
            one = values
            for i in range(size(node)):
                numbers[i] = one
        elif node.rank == 2:
            read_table(node, numbers, values)
        else:
            read_row(numbers, values, cols_of(node))
    except BaseException:
        PyMem_Free(numbers)
        raise
    return numbers


cdef int read_table(Node *node, double *to, object rows) except -1:
    cdef Py_ssize_t r = 0, n_wrong = 0
    for row in rows:
        if r == run_of(node).rows:
            n_wrong += 1
            break
        n_wrong += count_row(to + r * cols_of(node), row, cols_of(node)) != cols_of(node)
        r += 1
    if r != run_of(node).rows or n_wrong:
        raise ValueError(f"{run_of(node).rows} rows of {cols_of(node)} numbers are needed here")
    return 0


cdef int read_row(double *to, object values, Py_ssize_t n) except -1:
    cdef Py_ssize_t found = count_row(to, values, n)
    if found != n:
        raise ValueError(f"{n} numbers are needed here, not {'more' if found > n else found}")
    return 0


cdef Py_ssize_t count_row(double *to, object values, Py_ssize_t n) except -1:
    """Read the first n numbers; return how many there are, or n + 1 for more."""
    cdef Py_ssize_t i = 0
    for x in values:
        if i == n:
            return n + 1
        to[i] = number(x)
        i += 1
    return i


cdef void write(Node *node, double *to, double *numbers) noexcept:
    """Move numbers from read() to where the node's data or grad begins."""
    cdef Py_ssize_t r, stride = run_of(node).stride
    for r in range(run_of(node).rows):
        memcpy(to + r * stride, numbers + r * cols_of(node), cols_of(node) * sizeof(double))
    PyMem_Free(numbers)


cdef list rows_of(Node *node, double *numbers):
    """Return the numbers of a Matrix as lists, read without letting other threads in between."""
    cdef Py_ssize_t r, c, stride = run_of(node).stride
    return [[numbers[r * stride + c] for c in range(cols_of(node))]
            for r in range(run_of(node).rows)]


cdef str listing(list numbers):
    shown = ", ".join([f"{x:.6g}" for x in numbers[:6]])
    return f"[{shown}, ...]" if len(numbers) > 6 else f"[{shown}]"


MODELS += [Value.__new__(Value), Vector.__new__(Vector), Matrix.__new__(Matrix)]
# Vectors and Matrices are freed like every Handle; Cython's own way goes through each class.
(<PyTypeObject *>Value).tp_dealloc = free_value
for kind in (Vector, Matrix):
    (<PyTypeObject *>kind).tp_dealloc = (<PyTypeObject *>Handle).tp_dealloc
