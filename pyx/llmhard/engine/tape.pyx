"""The tape: everything below a root, in an order of computing, to be run again and in reverse."""
cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from llmhard.engine.elementwise cimport (
    BY_NODE, CUSTOM, LEAF, MATVEC, POW, SELECT, Step, backward_step, forward_step,
)
from llmhard.engine.indexing cimport Index, offset_of
from llmhard.engine.kernels cimport flush_tiny, lanes, set_mode
from llmhard.engine.node cimport (
    CONSTANT, HAS_GRAD, LOST, MOVED, RUN, Handle, Moved, Node, Program, base_of, clock,
    cols_of, data_of, grad_of, inputs_of, is_run, node_of, release_program, run_of, set_used, size,
    storage,
)
from llmhard.engine.operation cimport (
    backward, backward_matrix, backward_matvecs, backward_single, check_unchanged, forward,
    forward_matvecs, is_single,
)
from llmhard.engine.traversal cimport (
    Marks, NodeList, Seen, append, collect, group, is_first, sort,
)


cdef void *allocated(size_t n_bytes) except NULL:
    cdef void *block = PyMem_Malloc(n_bytes)
    if block is NULL:
        raise MemoryError()
    return block


cdef double *input_data(Node *input, double **plain) noexcept:
    """Return where the data is; a plain number is copied, to be near the others."""
    if not input.flags & CONSTANT:
        return data_of(input)
    plain[0][0] = data_of(input)[0]
    plain[0] += 2
    return plain[0] - 2


cdef void add_grads(Earlier *earlier) noexcept:
    cdef Py_ssize_t i, j
    cdef double *grads = earlier.grads
    for i in range(earlier.nodes.count):
        for j in range(size(earlier.nodes.items[i])):
            grad_of(earlier.nodes.items[i])[j] += grads[j]
        grads += size(earlier.nodes.items[i])


@cython.final
@cython.no_gc_clear     # a cycle goes through attributes, too, and they are cleared
@cython.trashcan(True)  # so that a chain of Tapes, each after another, is not freed by recursion
cdef class Tape:
    """All that a Value or Vector was computed from, ready to be computed again: forward() with
    what the leaves' `.data` and the Indexes hold now, backward() for the gradients of that.

    A replay does what recording the same operations again would do, to the same bits, but without
    Python. Plain numbers in the formula stay as they were recorded, and so does whatever Python
    decided on the way (an `if` on some `.data`, the number of iterations of a loop).

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

    forward() and backward() let other threads run. Called while the same Tape is at work in
    another thread, they raise RuntimeError and change nothing; give each thread a Tape of its own.
    Tapes may share leaves and even results: other threads wait until a Tape is done before they
    read or write what it computes or adds to. Two forward() calls that share leaves run side by
    side, two backward() calls that do run one after the other.
    """
    def __cinit__(self, Handle root not None, Tape after=None):
        if node_of(root).rank == 2:
            raise TypeError("a Tape leads to a Value or a Vector, not to a Matrix")
        self.root = root
        self.after = after
        self.find_operations()
        if self.touched.runs:
            self.find_products()
            self.find_matrices()

    def __dealloc__(self):
        PyMem_Free(self.nodes.items)
        PyMem_Free(self.touched.slots)
        PyMem_Free(self.products.items)
        PyMem_Free(self.matrices.items)
        PyMem_Free(self.selects.items)
        PyMem_Free(self.pointers)
        PyMem_Free(self.scratch)
        if self.program is not NULL:
            release_program(self.program)

    def __len__(self):
        return self.nodes.count

    def __reduce__(self):
        raise TypeError("a Tape is not copied: copy the leaves, compute again, and make a new one")

    cdef int find_operations(self) except -1:
        """Put everything that root depends on onto the tape, except what is on earlier tapes."""
        cdef Tape earlier = self.after
        cdef Py_ssize_t i
        while earlier is not None:
            for i in range(earlier.nodes.count):
                is_first(&self.touched, earlier.nodes.items[i])
            earlier = earlier.after
        collect(&self.nodes, &self.touched, self.root.node)
        sort(&self.nodes)
        return 0

    cdef int find_products(self) except -1:
        """List the products with each leaf matrix: its gradient is added up once, at the end."""
        cdef Marks marks = Marks(NULL, 0, 0)
        cdef NodeList found = NodeList(NULL, 0, 0)
        cdef Py_ssize_t i, widest = 0, n_products = 0
        cdef Node *node
        try:
            for i in range(self.nodes.count):
                node = self.nodes.items[i]
                if node.op == MATVEC:
                    n_products += 1
                    widest = max(widest, cols_of(inputs_of(node)[0]))
                    if inputs_of(node)[0].op == LEAF:
                        append(&found, node)
            if n_products:
                self.scratch = <lanes *>allocated(2 * widest * sizeof(lanes))
                self.pointers = <double **>allocated(2 * n_products * sizeof(double *))
            if found.count:
                self.products.items = <Node **>allocated(found.count * sizeof(Node *))
                self.products.count = group(&marks, found.items, found.count, self.products.items)
        finally:
            PyMem_Free(marks.slots)
            PyMem_Free(found.items)
        return 0

    cdef int find_matrices(self) except -1:
        """List the leaf matrices that not only products use, and the nodes with an Index."""
        cdef Seen seen = Seen(NULL, 0, 0, NULL, False)
        cdef Py_ssize_t i
        cdef Node *node
        try:
            for i in range(self.nodes.count):
                node = self.nodes.items[i]
                if node.op == SELECT and run_of(node).index is not NULL:
                    append(&self.selects, node)
                self.find_matrices_of(&seen, node)
        finally:
            PyMem_Free(seen.slots)
        return 0

    cdef int find_matrices_of(self, Seen *seen, Node *node) except -1:
        cdef Node *owner
        cdef int i
        for i in range(1 if node.op == MATVEC else 0, node.n_inputs):
            owner = storage(inputs_of(node)[i])
            if owner.rank == 2 and owner.op == LEAF and is_first(seen, owner):
                append(&self.matrices, owner)
        return 0

    cdef Py_ssize_t batch(self, Py_ssize_t first) noexcept nogil:
        """Return where the products with the matrix of nodes[first], at its depth, end."""
        cdef Node *node = self.nodes.items[first]
        cdef Py_ssize_t i = first + 1
        while (i < self.nodes.count and self.nodes.items[i].op == MATVEC
               and inputs_of(self.nodes.items[i])[0] == inputs_of(node)[0]
               and self.nodes.items[i].depth == node.depth):
            i += 1
        return i

    def forward(self):
        """Compute everything again, from the leaves and Indexes to the root.

        Raises, before anything is computed, IndexError if an Index points outside its run, and
        TypeError if there is a Value(data, children, local_grads), which only Python can compute.
        Numbers for which a function is undefined give inf or nan here (IEEE 754), no exception.
        """
        cdef Py_ssize_t i
        cdef uint64_t now
        cdef Node *node
        if self.program is NULL:
            self.check_computable()
        self.wait_for_others(False)
        for i in range(self.selects.count):
            node = self.selects.items[i]
            offset_of(<Index>run_of(node).index, inputs_of(node)[0])
        for i in range(self.selects.count):
            node = self.selects.items[i]
            run_of(node).offset = offset_of(<Index>run_of(node).index, inputs_of(node)[0])
        if self.program is NULL:
            self.compile()
        self.begin(False)
        clock.changes += 1          # what was computed from these numbers elsewhere is now stale
        now = clock.replayed = clock.changes    # other threads go on counting
        with nogil:
            self.run_forward(now)
        self.end()
        self.program.computed = now
        self.zeroed = clock.grad_writes

    cdef int check_computable(self) except -1:
        cdef Py_ssize_t i
        for i in range(self.nodes.count):
            if self.nodes.items[i].op == CUSTOM:
                raise TypeError("Value(data, children, local_grads) cannot be computed again by "
                                "a Tape")
        return 0

    cdef int compile(self) except -1:
        """Make a Program: room for all single Values, steps for operations on these only."""
        cdef Py_ssize_t i
        cdef Node *node
        cdef Step *step
        # Nodes on another Tape may be moved by it: what they are used for then reads them by node.
        cdef bint shared = self.after is not None
        cdef double *plain
        cdef Program *program = <Program *>PyMem_Calloc(1, sizeof(Program))
        if program is NULL:
            raise MemoryError()
        program.refs = 1
        program.steps = <Step *>PyMem_Calloc(self.nodes.count + 1, sizeof(Step))
        program.plain = <double *>PyMem_Calloc(2 * self.nodes.count + 1, 2 * sizeof(double))
        if program.steps is NULL or program.plain is NULL:
            release_program(program)
            raise MemoryError()
        self.program = program
        for i in range(self.nodes.count):
            shared |= self.nodes.items[i].flags & MOVED != 0
        for i in range(self.nodes.count):
            node = self.nodes.items[i]
            node.flags |= HAS_GRAD
            step = &program.steps[i]
            step.op = BY_NODE
            if (is_single(node) and not shared and not is_run(inputs_of(node)[0])
                    and not is_run(inputs_of(node)[node.n_inputs - 1])):
                step.op = node.op
            if not node.flags & (RUN | MOVED):
                step.own[0], step.own[1] = data_of(node)[0], grad_of(node)[0]
                node.flags = node.flags & ~LOST | MOVED
                node.home.moved = Moved(step, program)
                program.refs += 1
        plain = program.plain
        for i in range(self.nodes.count):
            step = &program.steps[i]
            if step.op != BY_NODE:
                node = self.nodes.items[i]
                step.plain_exponent = (node.op == POW
                                       and inputs_of(node)[1].flags & CONSTANT != 0)
                step.a = input_data(inputs_of(node)[0], &plain)
                step.b = input_data(inputs_of(node)[node.n_inputs - 1], &plain)
        return 0

    cdef void run_forward(self, uint64_t now) noexcept nogil:
        cdef Py_ssize_t end, i = 0, count = self.nodes.count
        cdef Node *node
        cdef Step *steps = self.program.steps
        cdef Step *step
        while i < count:
            step = &steps[i]
            step.own[1] = 0.0
            if step.op != BY_NODE:
                forward_step(step)
            else:
                node = self.nodes.items[i]
                if node.op == MATVEC:
                    end = self.batch(i)
                    forward_matvecs(self.nodes.items + i, end - i, self.scratch)
                    while i < end:
                        self.clear(self.nodes.items[i], now)
                        i += 1
                    continue
                forward(node, NULL)
                self.clear(node, now)
            i += 1

    cdef void clear(self, Node *node, uint64_t now) noexcept nogil:
        if is_run(node):
            run_of(node).computed = now
        else:
            node.home.moved.step.computed = now
        if base_of(node) is NULL:
            memset(grad_of(node), 0, size(node) * sizeof(double))

    def backward(self):
        """Add the derivative of the root, a Value, with respect to each leaf to the leaf's grad.

        The grads of the scalars in between are those of this call alone. Raises RuntimeError if
        data was changed in place since it was computed, TypeError if the root is a Vector or
        the Tape comes after another.
        """
        self.check_root()
        self.differentiate(False, False)

    cdef int backward_in_one_piece(self) except -1:
        """Go backward for adam_update, which has also waited for what it changes, and keeps the
        GIL."""
        self.check_root()
        self.differentiate(False, True)
        return 0

    cdef int accumulate(self) except -1:
        """Go backward for Value.backward(), keeping what inner scalars' grads held already, too."""
        self.differentiate(True, False)
        return 0

    cdef int check_root(self) except -1:
        if self.root.node.rank != 0 or self.after is not None:
            raise TypeError("backward() starts from a single Value, and from a whole Tape")
        return 0

    cdef int differentiate(self, bint keep, bint one_piece) except -1:
        """Go backward once. With `keep`, inner scalars' grads are added to, not replaced."""
        cdef Earlier earlier = Earlier(NodeList(NULL, 0, 0), NULL)
        if not one_piece:
            self.wait_for_others(True)
        self.check()
        try:
            if keep:
                self.find_inner_grads(&earlier)
            self.begin(True)
            if keep or self.program is NULL or self.zeroed != clock.grad_writes:
                self.clear_inner_grads()
            clock.grad_writes += 1
            if one_piece:   # other threads wait for the GIL
                self.run_backward()
            else:
                with nogil:
                    self.run_backward()
            self.end()
            add_grads(&earlier)
        finally:
            PyMem_Free(earlier.nodes.items)
            PyMem_Free(earlier.grads)
        return 0

    cdef int check(self) except -1:
        if self.program is not NULL and self.program.computed == clock.changes:
            return 0
        check_unchanged(self.nodes.items, self.nodes.count)
        return 0

    cdef int find_inner_grads(self, Earlier *earlier) except -1:
        """Note the gradients that inner scalars have."""
        cdef Py_ssize_t i, count = 0
        cdef Node *node
        cdef double *grads
        for i in range(self.nodes.count):
            node = self.nodes.items[i]
            if node.flags & HAS_GRAD and base_of(node) is NULL:
                append(&earlier.nodes, node)
                count += size(node)
        if count:
            grads = earlier.grads = <double *>allocated(count * sizeof(double))
            for i in range(earlier.nodes.count):
                node = earlier.nodes.items[i]
                memcpy(grads, grad_of(node), size(node) * sizeof(double))
                grads += size(node)
        return 0

    cdef void clear_inner_grads(self) noexcept:
        """Set the grads of inner scalars to zero, or they would be passed on a second time."""
        cdef Py_ssize_t i
        cdef Node *node
        for i in range(self.nodes.count):
            node = self.nodes.items[i]
            if node.flags & HAS_GRAD and base_of(node) is NULL:
                memset(grad_of(node), 0, size(node) * sizeof(double))
            node.flags |= HAS_GRAD

    cdef void run_backward(self) noexcept nogil:
        cdef Node *root = self.root.node
        cdef Node *node
        cdef Step *steps = NULL if self.program is NULL else self.program.steps
        cdef Step *step = NULL
        cdef int op = BY_NODE
        cdef unsigned int mode = flush_tiny()
        cdef Py_ssize_t first, i = self.nodes.count - 1
        for first in range(self.matrices.count):
            run_of(self.matrices.items[first]).used = True
        grad_of(root)[0] += 1.0
        set_used(storage(root))
        while i >= 0:
            if steps is not NULL:
                step = &steps[i]
                op = step.op
            if op != BY_NODE:
                backward_step(step)
            else:
                node = self.nodes.items[i]
                if node.op == MATVEC:
                    first = i
                    while (first > 0 and self.nodes.items[first - 1].op == MATVEC
                           and inputs_of(self.nodes.items[first - 1])[0] == inputs_of(node)[0]
                           and self.nodes.items[first - 1].depth == node.depth):
                        first -= 1
                    backward_matvecs(self.nodes.items + first, i + 1 - first)
                    if inputs_of(node)[0].op != LEAF:
                        backward_matrix(self.nodes.items + first, i + 1 - first, self.pointers)
                    i = first
                elif is_single(node):
                    backward_single(node)
                else:
                    backward(node)
            i -= 1
        set_mode(mode)
        self.run_products()

    cdef void run_products(self) noexcept nogil:
        """Add up the gradients of the leaf matrices in products."""
        cdef Node **products = self.products.items
        cdef Py_ssize_t first = 0, end
        while first < self.products.count:
            end = first + 1
            while (end < self.products.count
                   and inputs_of(products[end])[0] is inputs_of(products[first])[0]):
                end += 1
            backward_matrix(products + first, end - first, self.pointers)
            first = end
