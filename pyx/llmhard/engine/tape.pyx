"""The tape: everything below a root, in an order of computing, to be run again and backward."""
cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport uint64_t
from libc.string cimport memset

from llmhard.engine.elementwise cimport (
    BY_NODE, CUSTOM, LEAF, MATVEC, POW, VIEW, Step, backward_step, forward_step,
)
from llmhard.engine.indexing cimport Index, offset_of
from llmhard.engine.kernels cimport flush_tiny, lanes, set_mode
from llmhard.engine.node cimport (
    Handle, Node, Program, clock, need_grad, release_program, size, storage,
)
from llmhard.engine.operation cimport (
    backward, backward_matrix, backward_matvecs, check_unchanged, forward, forward_matvecs,
    is_single,
)


cdef double *input_data(Node *input, double **plain) noexcept:
    """Where the data stands; a plain number is copied, to be near the others."""
    if not input.constant:
        return input.data
    plain[0][0] = input.data[0]
    plain[0] += 2
    return plain[0] - 2


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
        if node.visit == clock.visits:
            return 0
        node.visit = clock.visits
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
        cdef Py_ssize_t done = 0
        cdef Node *node
        cdef Tape earlier = self.after
        cdef Py_ssize_t j
        cdef int i
        clock.visits += 1
        while earlier is not None:
            for j in range(earlier.count):
                earlier.nodes[j].visit = clock.visits
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
                clock.visits += 1
                place = first
                for i in range(first, last):
                    node = by_depth[i]
                    if node.op != MATVEC:
                        unsorted[place] = node
                        place += 1
                        continue
                    m = node.inputs[0]
                    if m.visit != clock.visits:
                        m.visit, m.tally = clock.visits, 0
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
        cdef Py_ssize_t i, place = 0
        cdef Node *node
        cdef Node *m
        clock.visits += 1
        for i in range(self.count):
            node = self.nodes[i]
            if node.op == MATVEC:
                m = node.inputs[0]
                self.n_products += 1
                self.n_cols = max(self.n_cols, m.cols)
                if m.visit != clock.visits:
                    m.visit, m.tally = clock.visits, 0
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
        cdef Node **grown
        cdef Node *node
        cdef Node *owner
        cdef Py_ssize_t i, room = 0
        cdef int j
        clock.visits += 1
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
                if (owner.op != LEAF or owner.constant or owner.visit == clock.visits
                        or node.op == MATVEC and node.inputs[0] == owner and j == 0):
                    continue
                owner.visit = clock.visits
                if self.n_leaves == room:
                    room = 2 * room + 16
                    grown = <Node **>PyMem_Realloc(self.leaves, room * sizeof(Node *))
                    if grown is NULL:
                        raise MemoryError()
                    self.leaves = grown
                self.leaves[self.n_leaves] = owner
                self.n_leaves += 1
        return 0

    cdef Py_ssize_t batch(self, Py_ssize_t first) noexcept nogil:
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
        cdef Py_ssize_t i
        cdef uint64_t now
        cdef Node *node
        if self.has_custom:
            raise TypeError("Value(data, children, local_grads) cannot be computed again by a Tape")
        for i in range(self.n_selects):
            node = self.selects[i]
            offset_of(<Index>node.index, node.inputs[0])
        for i in range(self.n_selects):
            node = self.selects[i]
            node.offset = offset_of(<Index>node.index, node.inputs[0])
        if self.program is NULL:
            self.compile()
        clock.changes += 1          # what is computed from these numbers elsewhere is stale now
        now = clock.changes         # other threads go on counting
        with nogil:
            self.run_forward(now)
        self.program.computed = now
        self.zeroed = clock.grad_writes

    cdef int compile(self) except -1:
        """Move the single Values that depend on single Values only into a Program."""
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
        program.steps = <Step *>PyMem_Calloc(self.count + 1, sizeof(Step))
        program.plain = <double *>PyMem_Calloc(2 * self.count + 1, 2 * sizeof(double))
        if program.steps is NULL or program.plain is NULL:
            release_program(program)
            raise MemoryError()
        self.program = program
        for i in range(self.count):
            shared |= self.nodes[i].program is not NULL
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
        plain = program.plain
        for i in range(self.count):
            step = &program.steps[i]
            if step.op != BY_NODE:
                node = self.nodes[i]
                step.plain_exponent = node.op == POW and node.inputs[1].constant
                step.a = input_data(node.inputs[0], &plain)
                step.b = input_data(node.inputs[node.n_inputs - 1], &plain)
        return 0

    cdef void run_forward(self, uint64_t now) noexcept nogil:
        cdef Py_ssize_t end, i = 0, count = self.count
        cdef Node *node
        cdef Step *steps = self.program.steps
        cdef Step *step
        while i < count:
            step = &steps[i]
            step.own[1] = 0.0
            if step.op != BY_NODE:
                forward_step(step)
            else:
                node = self.nodes[i]
                if node.op == MATVEC:
                    end = self.batch(i)
                    forward_matvecs(self.nodes + i, end - i, self.scratch)
                    while i < end:
                        self.clear(self.nodes[i], now)
                        i += 1
                    continue
                forward(node, NULL)
                self.clear(node, now)
            i += 1

    cdef void clear(self, Node *node, uint64_t now) noexcept nogil:
        node.computed = now
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
        if self.program is NULL or self.program.computed != clock.changes:
            self.check()
        if self.program is NULL or self.zeroed != clock.grad_writes:
            for i in range(self.count):
                node = self.nodes[i]
                node.has_grad = True
                if node.base is NULL:
                    memset(node.grad, 0, size(node) * sizeof(double))
        clock.grad_writes += 1
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
        cdef Step *step = NULL
        cdef int op = BY_NODE
        cdef unsigned int mode = flush_tiny()
        cdef Py_ssize_t first, i = self.count - 1
        for first in range(self.n_leaves):
            self.leaves[first].used = True
        root.grad[0] += 1.0
        storage(root).has_grad = True
        storage(root).used = True
        while i >= 0:
            if steps is not NULL:
                step = &steps[i]
                op = step.op
            if op != BY_NODE:
                backward_step(step)
            else:
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

    cdef Py_ssize_t same_matrix(self, Py_ssize_t first) noexcept nogil:
        """Where the products with the matrix of products[first] end."""
        cdef Py_ssize_t i = first + 1
        while (i < self.n_products
               and self.products[i].inputs[0] == self.products[first].inputs[0]):
            i += 1
        return i

    cdef bint has_leaf_vector(self, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
        """Whether Adam might move a vector before the product's gradient has been taken."""
        cdef Py_ssize_t i
        for i in range(first, end):
            if storage(self.products[i].inputs[1]).op == LEAF:
                return True
        return False

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
        clock.grad_writes += 1
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
