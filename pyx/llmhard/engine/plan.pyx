"""Plans: a graph as a list of instructions and places, to be run for many rows of a Batch at once.

A Plan holds no nodes except the leaves. Like goes with like: an operation at one depth, over all
positions of a sentence, is one instruction. Runs that are joined into a larger one are next to each
other in the arena, so that nothing is copied.
"""
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Realloc
from libc.limits cimport INT_MAX
from libc.stdint cimport uint64_t
from libc.stdlib cimport qsort
from libc.string cimport memcpy, memset

from llmhard.engine.elementwise cimport (
    CUSTOM, GATHER, LEAF, MATVEC, SELECT, VECMAT, VIEW, is_binary, is_unary,
)
from llmhard.engine.node cimport (
    CONSTANT, Handle, Node, Run, base_of, cols_of, data_of, inputs_of, is_run, need_grad, node_of,
    refer, release, run_of, size, storage,
)
from llmhard.engine.operation cimport Shape, shape_of
from llmhard.engine.traversal cimport Marks, NodeList, Seen, append, collect, is_first, mark

# Where a node is, while the plan is being made.
cdef struct Spot:
    Node *node
    int need                # of an operation: the first root that depends on it
    int last                # and the last
    bint has_gap            # some root between these does not depend on it
    bint placed             # the place of the data is known and, for an operation, that of the grad
    int share               # for what is in a leaf: its gradients are Share number share - 1
    bint joined             # a GATHER whose inputs are next to each other: there is nothing to do
    Place place

# Gradients that start from zero.
cdef struct Zeros:
    Py_ssize_t first, end
    int need                # the first root that needs them

# Where a matrix is.
cdef struct Extent:
    Py_ssize_t first, end
    Py_ssize_t cols, stride

# The order of the items, a Tape's: what is compared, most important first; then the kind.
cdef struct Key:
    int depth
    int op                  # products last
    Py_ssize_t matrix       # of products: which one
    int number              # the place in the list of spots
    int kind                # what else must agree in one instruction: ranks, plain numbers
    int last
    bint apart              # an instruction of its own
    Py_ssize_t instruction


cdef void *grown(void *items, Py_ssize_t count, size_t n_bytes) except NULL:
    """Make room for one more item: the memory doubles whenever the count is a power of two."""
    if count & (count - 1) == 0:
        items = PyMem_Realloc(items, (2 * count if count else 1) * n_bytes)
        if items is NULL:
            raise MemoryError()
    memset(<char *>items + count * n_bytes, 0, n_bytes)
    return items


cdef inline void add_members(Py_ssize_t n_words, uint64_t *these, uint64_t *those) noexcept:
    """Add the members of one set of bits to another."""
    cdef Py_ssize_t i
    for i in range(n_words):
        these[i] |= those[i]


cdef int compare(const void *one, const void *other) noexcept nogil:
    cdef const Key *a = <const Key *>one
    cdef const Key *b = <const Key *>other
    if a.depth != b.depth:
        return -1 if a.depth < b.depth else 1
    if a.op != b.op:
        return -1 if a.op < b.op else 1
    if a.matrix != b.matrix:
        return -1 if a.matrix < b.matrix else 1
    return -1 if a.number < b.number else 1


cdef int longer_first(const void *one, const void *other) noexcept nogil:
    cdef Node *a = (<Node **>one)[0]
    cdef Node *b = (<Node **>other)[0]
    return b.n_inputs - a.n_inputs


cdef int by_place(const void *one, const void *other) noexcept nogil:
    return -1 if (<const Zeros *>one).first < (<const Zeros *>other).first else 1


cdef int by_beginning(const void *one, const void *other) noexcept nogil:
    cdef const Extent *a = <const Extent *>one
    cdef const Extent *b = <const Extent *>other
    if a.first != b.first:
        return -1 if a.first < b.first else 1
    return 0 if a.end == b.end else 1 if a.end < b.end else -1      # the largest first


cdef bint are_apart(Extent *matrices, Py_ssize_t count) noexcept:
    """Return whether matrices that begin at different places have no number in common."""
    cdef Extent *a
    cdef Extent *b
    cdef Py_ssize_t i, j, column
    for i in range(1, count):
        a = &matrices[i]
        if a.first == a[-1].first:
            if a.stride != a[-1].stride or a.cols != a[-1].cols:
                return False
            continue
        for j in range(i):
            b = &matrices[j]
            if b.end > a.first:     # in the same rows, so they must be in different columns
                column = (a.first - b.first) % b.stride
                if a.stride != b.stride or column < b.cols or column + a.cols > a.stride:
                    return False
    return True


cdef inline int width(Item *item) noexcept:
    """Return how many scalars an elementwise operation computes."""
    return item.shape.n if item.shape.rank else 1


cdef inline bint is_beside(Place *first, Place *place, Py_ssize_t offset) noexcept:
    return (first.base == ARENA and place.base == ARENA and first.select == place.select == 0
            and place.data == first.data + offset and place.grad == first.grad + offset)


cdef inline bint is_same_number(Place *first, Place *place) noexcept:
    return first.base == CONSTANTS and place.base == CONSTANTS and first.data == place.data


cdef bint is_united(Instruction *instruction, Item *items) noexcept:
    """Return whether each operand of all the items is side by side, or is one plain number. Two
    operands that overlap must be the same, or gradients would not be added up in a Tape's order."""
    cdef Py_ssize_t i, offset = 0
    cdef bint a_beside = True, b_beside = True, a_same = True, b_same = True
    cdef Item *item
    if not (is_binary(instruction.op) or is_unary(instruction.op)):
        return False
    for i in range(instruction.count):
        item = &items[i]
        if not is_beside(&items.out, &item.out, offset):
            return False
        a_beside &= item.shape.rank_a == item.shape.rank and is_beside(&items.a, &item.a, offset)
        b_beside &= item.shape.rank_b == item.shape.rank and is_beside(&items.b, &item.b, offset)
        a_same &= item.shape.rank_a == 0 and is_same_number(&items.a, &item.a)
        b_same &= item.shape.rank_b == 0 and is_same_number(&items.b, &item.b)
        offset += width(item)
    if a_beside and b_beside:
        return (items.a.data == items.b.data or items.a.data + offset <= items.b.data
                or items.b.data + offset <= items.a.data)
    return a_beside and b_same or a_same and b_beside


cdef bint goes_on(int op, Item *item) noexcept:
    """Return whether the matrix of a product is the previous product's, possibly with more rows."""
    cdef Place *matrix = &item.b if op == VECMAT else &item.a
    cdef Place *before = &item[-1].b if op == VECMAT else &item[-1].a
    return (matrix.base == before.base and matrix.data == before.data
            and matrix.grad == before.grad and matrix.select == before.select
            and matrix.grad_select == before.grad_select
            and item.shape.n == item[-1].shape.n and item.shape.stride == item[-1].shape.stride
            and item.shape.rows >= item[-1].shape.rows)


cdef class Plan:
    def __cinit__(self, list indexes, list roots):
        self.indexes = indexes
        Draft(self).make(roots)

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.leaves.count):
            release(self.leaves.items[i])
        PyMem_Free(self.leaves.items)
        PyMem_Free(self.touched.slots)
        PyMem_Free(self.items)
        PyMem_Free(self.instructions)
        PyMem_Free(self.selects)
        PyMem_Free(self.shares)
        PyMem_Free(self.spans)
        PyMem_Free(self.groups)
        PyMem_Free(self.counts)
        PyMem_Free(self.sizes)
        PyMem_Free(self.lengths)
        PyMem_Free(self.roots)
        PyMem_Free(self.constants)


cdef class Draft:
    """A Plan in the making, with what is needed only for that."""
    cdef Plan plan
    cdef Marks marks            # of each node that has a spot: `place` is its number
    cdef Spot *spots            # the operations first, in the order in which they were found
    cdef Py_ssize_t n_spots
    cdef NodeList nodes         # the operations
    cdef uint64_t *dependents   # of each operation: `n_words` with a bit for each root
    cdef Py_ssize_t n_words
    cdef Key *order             # those to be computed, in the order of computing
    cdef Py_ssize_t n_order
    cdef Py_ssize_t n_data      # scalars in the arena so far
    cdef Zeros *zeros
    cdef Py_ssize_t n_zeros
    cdef dict constants         # their places, by their bits
    cdef bint apart             # products of vectors with matrices may be done in any order
    cdef int need               # of the operation that is written
    cdef int unread             # where to put gradients that nobody reads; 0: no place yet

    def __cinit__(self, Plan plan):
        self.plan = plan
        self.constants = {}

    def __dealloc__(self):
        PyMem_Free(self.marks.slots)
        PyMem_Free(self.spots)
        PyMem_Free(self.nodes.items)
        PyMem_Free(self.dependents)
        PyMem_Free(self.order)
        PyMem_Free(self.zeros)

    cdef int make(self, list roots) except -1:
        cdef Plan plan = self.plan
        cdef Py_ssize_t i
        plan.n_roots = len(roots)
        plan.roots = <Place *>PyMem_Calloc(plan.n_roots + 1, sizeof(Place))
        plan.n_selects = 1
        plan.selects = <Select *>PyMem_Calloc(1, sizeof(Select))
        if plan.roots is NULL or plan.selects is NULL:
            raise MemoryError()
        self.find(roots)
        self.find_dependents(roots)
        self.join_runs()
        self.lay_out()
        self.sort()
        self.write_items()
        for i in range(plan.n_roots):
            plan.roots[i].base = -1
            if roots[i] is not None:
                self.need = i
                plan.roots[i] = self.operand((<Handle>roots[i]).node)
        self.count()
        self.unite()
        self.find_shared()
        self.write_spans()
        self.find_what_stays_out()
        return 0

    # ------------------------------------------------------------ what there is

    cdef int find(self, list roots) except -1:
        """List the operations, inputs first, and note the first root that depends on each one."""
        cdef Seen seen = Seen(NULL, 0, 0, NULL, False)
        cdef Py_ssize_t i, j
        seen.without_grads = True
        try:
            for i in range(len(roots)):
                if roots[i] is None:
                    continue
                collect(&self.nodes, &seen, node_of(<Handle?>roots[i]))
                for j in range(self.n_spots, self.nodes.count):
                    if self.nodes.items[j].op == CUSTOM:
                        raise TypeError("Value(data, children, local_grads) cannot be computed "
                                        "again")
                    self.new_spot(self.nodes.items[j]).need = i
        finally:
            PyMem_Free(seen.slots)
        return 0

    cdef int find_dependents(self, list roots) except -1:
        """Note which roots depend on each operation: those that depend on what uses it."""
        cdef Py_ssize_t i, j
        cdef uint64_t *of
        self.n_words = (len(roots) + 63) // 64
        self.dependents = <uint64_t *>PyMem_Calloc(self.nodes.count * self.n_words + 1,
                                                   sizeof(uint64_t))
        if self.dependents is NULL:
            raise MemoryError()
        for i in range(len(roots)):
            if roots[i] is not None:
                of = self.dependents_of((<Handle>roots[i]).node)
                if of is not NULL:
                    of[i >> 6] |= <uint64_t>1 << (i & 63)
        for i in range(self.nodes.count - 1, -1, -1):
            for j in range(self.nodes.items[i].n_inputs):
                of = self.dependents_of(inputs_of(self.nodes.items[i])[j])
                if of is not NULL:
                    add_members(self.n_words, of, self.dependents + i * self.n_words)
            self.note_last(i)
        return 0

    cdef uint64_t *dependents_of(self, Node *node) except? NULL:
        """Return the dependents of the operation that computed a node; NULL for a leaf."""
        if node.op == VIEW:
            node = base_of(node)
        return NULL if node.op == LEAF else (
            self.dependents + mark(&self.marks, node).place * self.n_words)

    cdef bint depends(self, Py_ssize_t root, Py_ssize_t number) noexcept:
        """Return whether the root depends on this operation."""
        return self.dependents[number * self.n_words + (root >> 6)] >> (root & 63) & 1

    cdef void note_last(self, Py_ssize_t number) noexcept:
        cdef Spot *spot = &self.spots[number]
        cdef int root
        for root in range(spot.need, self.plan.n_roots):
            if self.depends(root, number):
                spot.has_gap |= root > spot.last + 1 and root > spot.need
                spot.last = root

    cdef Spot *new_spot(self, Node *node) except NULL:
        """Return a spot for a node that has none; good until the next new one."""
        cdef Spot *spot
        self.spots = <Spot *>grown(self.spots, self.n_spots, sizeof(Spot))
        spot = &self.spots[self.n_spots]
        spot.node = node
        mark(&self.marks, node).place = self.n_spots
        self.n_spots += 1
        return spot

    cdef Spot *spot_of(self, Node *node) except NULL:
        cdef Spot *spot = NULL
        cdef Py_ssize_t place = mark(&self.marks, node).place
        if place < self.n_spots:
            spot = &self.spots[place]
        return spot if spot is not NULL and spot.node is node else self.new_spot(node)

    # ------------------------------------------------------------ where it is

    cdef int take(self, Py_ssize_t n) except -1:
        """Reserve the next n scalars of the arena. A long run begins at a cache line."""
        cdef Py_ssize_t first = self.n_data
        if n % 8 == 0 or n > 64:
            first = (first + 7) & ~7
        if first + n > INT_MAX // 2:
            raise MemoryError()
        self.n_data = first + n
        return first

    cdef int join_runs(self) except -1:
        """Place runs that are joined into others next to each other, the longest first: the keys up
        to each position are the beginning of those up to the last one."""
        cdef NodeList gathers = NodeList(NULL, 0, 0)
        cdef Py_ssize_t i
        try:
            for i in range(self.nodes.count):
                if self.nodes.items[i].op == GATHER:
                    append(&gathers, self.nodes.items[i])
            if gathers.count:
                qsort(gathers.items, gathers.count, sizeof(Node *), longer_first)
            for i in range(gathers.count):
                if not self.spot_of(gathers.items[i]).placed:
                    self.join_run(gathers.items[i])
        finally:
            PyMem_Free(gathers.items)
        return 0

    cdef int join_run(self, Node *gather) except -1:
        cdef Spot *spot
        cdef Py_ssize_t i, n_placed = 0
        cdef Node *input
        cdef bint joined = True
        cdef int first = 0, end = 0
        for i in range(gather.n_inputs):
            input = inputs_of(gather)[i]
            if not is_run(input) or base_of(input) is not NULL or input.op == LEAF:
                return 0
            spot = self.spot_of(input)
            if spot.placed:
                joined = joined and n_placed == i and (i == 0 or spot.place.data == end)
                first = first if n_placed else spot.place.data
                end = spot.place.data + size(input)
                n_placed += 1
        if n_placed == 0 and self.are_different(gather):
            first = end = self.take(size(gather))
            for i in range(gather.n_inputs):
                spot = self.spot_of(inputs_of(gather)[i])
                self.place(spot, end)
                end += size(spot.node)
        elif not joined or n_placed < gather.n_inputs:
            return 0
        spot = self.spot_of(gather)
        spot.joined = True
        self.place(spot, first)
        return 0

    cdef bint are_different(self, Node *gather) except -1:
        """Return whether no input is there twice or is a GATHER, with its inputs elsewhere."""
        cdef Seen seen = Seen(NULL, 0, 0, NULL, False)
        cdef Py_ssize_t i
        cdef bint different = True
        try:
            for i in range(gather.n_inputs):
                different = (different and inputs_of(gather)[i].op != GATHER
                             and is_first(&seen, inputs_of(gather)[i]))
        finally:
            PyMem_Free(seen.slots)
        return different

    cdef void place(self, Spot *spot, int first) noexcept:
        spot.place.data, spot.placed = first, True

    cdef int lay_out(self) except -1:
        """Place what is left, with the results of one instruction side by side; then the gradients,
        in the same order as the data."""
        cdef Py_ssize_t i
        cdef Node *node
        cdef Key *order = <Key *>PyMem_Calloc(self.nodes.count + 1, sizeof(Key))
        if order is NULL:
            raise MemoryError()
        try:
            for i in range(self.nodes.count):
                order[i] = self.rough_key(i)
            qsort(order, self.nodes.count, sizeof(Key), compare)
            for i in range(self.nodes.count):
                node = self.nodes.items[order[i].number]
                if base_of(node) is NULL and not self.spots[order[i].number].placed:
                    self.place(&self.spots[order[i].number], self.take(size(node)))
        finally:
            PyMem_Free(order)
        self.n_data = (self.n_data + 7) & ~7
        for i in range(self.nodes.count):
            node = self.nodes.items[i]
            if base_of(node) is NULL:
                self.spots[i].place.grad = self.spots[i].place.data + self.n_data
                if not self.spots[i].joined:
                    self.clear(self.spots[i].place.grad, size(node), self.spots[i].need)
        self.plan.n_arena = 2 * self.n_data
        return 0

    cdef int clear(self, Py_ssize_t first, Py_ssize_t length, int need) except -1:
        """Note that these gradients start from zero."""
        self.zeros = <Zeros *>grown(self.zeros, self.n_zeros, sizeof(Zeros))
        self.zeros[self.n_zeros] = Zeros(first, first + length, need)
        self.n_zeros += 1
        return 0

    cdef Place where(self, Node *node) except *:
        """Return where a node's data is and, if it is computed, its grad."""
        cdef Spot *spot = self.spot_of(node)
        cdef Place place = spot.place
        cdef Node *of = node
        cdef Py_ssize_t offset = 0
        if spot.placed:
            return place
        if node.op == LEAF:
            place = self.in_leaf(node)
        elif node.op == SELECT and run_of(node).index is not NULL:
            place = self.where(inputs_of(node)[0])
            place.select = place.grad_select = self.select(node, place.select)
        else:
            if node.op == SELECT:
                while of.op == SELECT and run_of(of).index is NULL:     # views of views
                    offset += run_of(of).offset
                    of = inputs_of(of)[0]
                place = self.where(of)
            else:
                place = self.where(base_of(node))
                offset = run_of(node).data - data_of(base_of(node))
            if place.data + offset > INT_MAX // 2:
                raise MemoryError()
            place.data += offset
            place.grad += offset
        spot = self.spot_of(node)       # looked up again: there may be new spots since
        spot.place, spot.placed = place, True
        return place

    cdef Place in_leaf(self, Node *node) except *:
        cdef Place place = Place(CONSTANTS, 0, 0, 0, 0)
        cdef Plan plan = self.plan
        cdef uint64_t bits
        if node.flags & CONSTANT:
            memcpy(&bits, data_of(node), sizeof(double))
            if bits not in self.constants:
                place.data = len(self.constants)
                plan.constants = <double *>grown(plan.constants, place.data, sizeof(double))
                plan.constants[place.data] = data_of(node)[0]
                self.constants[bits] = place.data
            place.data = self.constants[bits]
        else:
            need_grad(node)
            append(&plan.leaves, node)
            refer(node)
            is_first(&plan.touched, node)
            place.base = LEAVES + plan.leaves.count - 1
        return place

    cdef int select(self, Node *node, int inside) except -1:
        """Return the number of a new Select."""
        cdef Plan plan = self.plan
        cdef Node *of = inputs_of(node)[0]
        cdef Select made
        cdef Py_ssize_t i
        made.rank, made.inside, made.need = of.rank, inside, self.spot_of(node).need
        made.limit = run_of(of).rows if of.rank == 2 else cols_of(of)
        made.unit = run_of(of).stride if of.rank == 2 else 1
        made.index = -1
        for i in range(len(plan.indexes)):
            if <void *>plan.indexes[i] is <void *>run_of(node).index:
                made.index = i
                break
        if made.index < 0 or made.index > made.need:
            raise ValueError(f"root {made.need} depends on an Index that is not among the first "
                             f"{made.need + 1}")
        plan.selects = <Select *>grown(plan.selects, plan.n_selects, sizeof(Select))
        plan.selects[plan.n_selects] = made
        plan.n_selects += 1
        return plan.n_selects - 1

    cdef Place operand(self, Node *node) except *:
        """Return where an operand's data and grad are. One in a leaf gets a place for its grad."""
        cdef Place place = self.where(node)
        cdef Spot *spot = self.spot_of(node)
        cdef Share *share
        if place.base == CONSTANTS:
            if not self.unread:
                self.unread = self.more_grads(1)
            place.grad = self.unread
        elif place.base != ARENA:
            if not spot.share:
                self.new_share(node, spot)
            share = &self.plan.shares[spot.share - 1]
            share.need = min(share.need, self.need)
            return share.place
        return place

    cdef int more_grads(self, Py_ssize_t n) except -1:
        """Reserve n scalars behind the gradients."""
        cdef Py_ssize_t first = (self.plan.n_arena + 7) & ~7
        if first + n > INT_MAX:
            raise MemoryError()
        self.plan.n_arena = first + n
        return first

    cdef int new_share(self, Node *node, Spot *spot) except -1:
        cdef Plan plan = self.plan
        cdef Share made
        made.rows = run_of(node).rows if is_run(node) else 1
        made.cols = cols_of(node)
        made.stride = run_of(node).stride if is_run(node) else 1
        made.need, made.place = self.need, spot.place
        made.place.grad = self.more_grads((made.rows - 1) * made.stride + made.cols)
        made.place.grad_select = 0
        plan.shares = <Share *>grown(plan.shares, plan.n_shares, sizeof(Share))
        plan.shares[plan.n_shares] = made
        plan.n_shares += 1
        spot.share = plan.n_shares
        return 0

    cdef int write_spans(self) except -1:
        """List what starts from zero; neighbours that the same root or a later one needs share a
        span, of which each root clears the beginning."""
        cdef Plan plan = self.plan
        cdef Share *share
        cdef Zeros *zeros
        cdef Py_ssize_t i, at = -1
        cdef int root
        for i in range(plan.n_shares):
            share = &plan.shares[i]
            self.clear(share.place.grad, (share.rows - 1) * share.stride + share.cols, share.need)
        if self.n_zeros:
            qsort(self.zeros, self.n_zeros, sizeof(Zeros), by_place)
        for i in range(self.n_zeros):
            plan.n_spans += self.begins_span(i)
        plan.spans = <Span *>PyMem_Calloc(plan.n_spans + 1, sizeof(Span))
        plan.lengths = <int *>PyMem_Calloc(plan.n_spans * plan.n_roots + 1, sizeof(int))
        if plan.spans is NULL or plan.lengths is NULL:
            raise MemoryError()
        for i in range(self.n_zeros):
            zeros = &self.zeros[i]
            if self.begins_span(i):
                at += 1
                plan.spans[at] = Span(zeros.first, plan.lengths + at * plan.n_roots)
            plan.spans[at].lengths[zeros.need] = zeros.end - plan.spans[at].first
        for at in range(plan.n_spans):
            for root in range(1, plan.n_roots):
                if plan.spans[at].lengths[root] == 0:
                    plan.spans[at].lengths[root] = plan.spans[at].lengths[root - 1]
        return 0

    cdef bint begins_span(self, Py_ssize_t i) noexcept:
        cdef Zeros *zeros = &self.zeros[i]
        return i == 0 or zeros.need < zeros[-1].need or zeros.first >= zeros[-1].end + 8

    # ------------------------------------------------------------ what is done

    cdef int sort(self) except -1:
        """Order what is to be computed by depth, then with similar operations together."""
        cdef Py_ssize_t i
        self.order = <Key *>PyMem_Calloc(self.nodes.count + 1, sizeof(Key))
        if self.order is NULL:
            raise MemoryError()
        self.find_apart()
        for i in range(self.nodes.count):
            if self.nodes.items[i].op != SELECT and not self.spots[i].joined:
                self.order[self.n_order] = self.key(i)
                self.n_order += 1
        qsort(self.order, self.n_order, sizeof(Key), compare)
        return 0

    cdef int find_apart(self) except -1:
        """Note whether the VECMATs at one depth can be done in any order: no vector is in two of
        them, and matrices that begin at different places have no number in common. Then those that
        begin at the same place can be together."""
        cdef Seen vectors = Seen(NULL, 0, 0, NULL, False)
        cdef Extent *matrices = NULL
        cdef Py_ssize_t i, count = 0
        cdef Node *node
        self.apart = True
        try:
            for i in range(self.nodes.count):
                node = self.nodes.items[i]
                if node.op == VECMAT:
                    self.apart = self.apart and is_first(&vectors, storage(inputs_of(node)[0]))
                    matrices = <Extent *>grown(matrices, count, sizeof(Extent))
                    matrices[count] = self.extent(inputs_of(node)[1])
                    count += 1
            if count:
                qsort(matrices, count, sizeof(Extent), by_beginning)
            self.apart = self.apart and are_apart(matrices, count)
        finally:
            PyMem_Free(vectors.slots)
            PyMem_Free(matrices)
        return 0

    cdef Extent extent(self, Node *matrix) except *:
        cdef Run *run = run_of(matrix)
        cdef Extent of
        of.first, of.stride, of.cols = self.matrix_key(matrix), run.stride, run.cols
        of.end = of.first + (run.rows - 1) * run.stride + run.cols
        return of

    cdef Key rough_key(self, Py_ssize_t number) except *:
        """Return the key before anything is placed: what one operation computes at one depth."""
        cdef Node *node = self.nodes.items[number]
        cdef Key key
        memset(&key, 0, sizeof(key))
        key.depth, key.op, key.number = node.depth, node.op, number
        if node.op == MATVEC:
            self.spot_of(storage(inputs_of(node)[0]))
            key.matrix = mark(&self.marks, storage(inputs_of(node)[0])).place
        return key

    cdef Key key(self, Py_ssize_t number) except *:
        cdef Spot spot = self.spots[number]
        cdef Node *node = spot.node
        cdef Node *a = inputs_of(node)[0]
        cdef Node *b = inputs_of(node)[node.n_inputs - 1]
        cdef Key key
        key.depth, key.op, key.matrix = node.depth, node.op, 0
        key.number, key.last, key.apart, key.instruction = number, spot.last, spot.has_gap, -1
        key.kind = (node.rank * 32 + a.rank * 8 + b.rank * 2 + (b.flags & CONSTANT != 0))
        if node.op == VECMAT:
            key.kind += 128 * self.is_joined(b)
            if self.apart:
                key.matrix = self.matrix_key(b)
        if node.op == MATVEC:
            key.op, key.kind = INT_MAX, 2 * self.is_joined(a) + (a.op == LEAF)
            key.matrix = self.matrix_key(a)
        return key

    cdef Py_ssize_t matrix_key(self, Node *matrix) except -1:
        cdef Place place = self.where(matrix)
        return place.base * (<Py_ssize_t>INT_MAX + 1) + place.data

    cdef bint is_joined(self, Node *matrix) except -1:
        return self.spot_of(storage(matrix)).joined

    cdef int write_items(self) except -1:
        cdef Key *key
        cdef Key *before
        cdef Py_ssize_t i
        for i in range(self.n_order):
            key, before = &self.order[i], &self.order[max(i - 1, 0)]
            if (i == 0 or key.depth != before.depth or key.op != before.op
                    or key.kind != before.kind or key.matrix != before.matrix
                    or key.last != before.last or key.apart or before.apart):
                self.new_instruction(key)
            key.instruction = self.plan.n_instructions - 1
            self.need = self.spots[key.number].need
            self.write_item(self.spots[key.number].node)
        return 0

    cdef int new_instruction(self, Key *key) except -1:
        cdef Plan plan = self.plan
        cdef Node *node = self.spots[key.number].node
        cdef Instruction made
        memset(&made, 0, sizeof(made))
        made.op, made.group, made.first = node.op, -1, plan.n_items
        made.plain = is_binary(node.op) and inputs_of(node)[1].flags & CONSTANT != 0
        made.joined = ((node.op == MATVEC or node.op == VECMAT)
                       and self.is_joined(inputs_of(node)[node.op == VECMAT]))
        if node.op == MATVEC and inputs_of(node)[0].op == LEAF:
            made.group = self.group(inputs_of(node)[0])
        plan.instructions = <Instruction *>grown(plan.instructions, plan.n_instructions,
                                                 sizeof(Instruction))
        plan.instructions[plan.n_instructions] = made
        plan.n_instructions += 1
        return 0

    cdef int group(self, Node *matrix) except -1:
        """Return the number of the group of products with a leaf matrix."""
        cdef Plan plan = self.plan
        cdef int base = self.where(matrix).base
        cdef Py_ssize_t i
        for i in range(plan.n_groups):
            if plan.groups[i].base == base:
                return i
        plan.groups = <Group *>grown(plan.groups, plan.n_groups, sizeof(Group))
        plan.groups[plan.n_groups] = Group(base, run_of(matrix).rows, run_of(matrix).cols, True)
        plan.n_groups += 1
        return plan.n_groups - 1

    cdef int write_item(self, Node *node) except -1:
        cdef Plan plan = self.plan
        cdef Instruction *instruction = &plan.instructions[plan.n_instructions - 1]
        cdef Node *a = inputs_of(node)[0]
        cdef Node *b = inputs_of(node)[1] if node.n_inputs > 1 else a
        cdef Item item
        cdef int i
        item.out = self.where(node)
        if node.op == GATHER:       # an item for each input
            for i in range(node.n_inputs):
                a = inputs_of(node)[i]
                item.a = item.b = self.operand(a)
                item.shape = Shape(1, 1, 1, size(a), 1, 1)
                self.add_item(item)
                item.out.data += size(a)
                item.out.grad += size(a)
            return 0
        item.a = self.operand(a) if instruction.group < 0 else self.where(a)
        item.b = self.operand(b) if b is not a else item.a
        item.shape = shape_of(node, a, b)
        if node.op == MATVEC or node.op == VECMAT:
            plan.widest = max(plan.widest, item.shape.n)
            if instruction.group < 0:
                plan.tallest = max(plan.tallest, item.shape.rows)
        return self.add_item(item)

    cdef int add_item(self, Item item) except -1:
        cdef Plan plan = self.plan
        plan.items = <Item *>grown(plan.items, plan.n_items, sizeof(Item))
        plan.items[plan.n_items] = item
        plan.n_items += 1
        plan.instructions[plan.n_instructions - 1].count += 1
        return 0

    cdef int count(self) except -1:
        """Note for each instruction and root how many items the root depends on."""
        cdef Plan plan = self.plan
        cdef Key *key
        cdef Node *node
        cdef Py_ssize_t i, root
        plan.counts = <int *>PyMem_Calloc(plan.n_instructions * plan.n_roots + 1, sizeof(int))
        if plan.counts is NULL:
            raise MemoryError()
        for i in range(plan.n_instructions):
            plan.instructions[i].counts = plan.counts + i * plan.n_roots
        for i in range(self.n_order):
            key = &self.order[i]
            node = self.spots[key.number].node
            for root in range(self.spots[key.number].need, key.last + 1):
                if self.depends(root, key.number):
                    plan.instructions[key.instruction].counts[root] += (
                        node.n_inputs if node.op == GATHER else 1)
        return 0

    cdef int unite(self) except -1:
        """Find the instructions whose items together make one operation."""
        cdef Plan plan = self.plan
        cdef Instruction *instruction
        cdef Item *items
        cdef Item *last
        cdef Py_ssize_t i, root
        plan.sizes = <int *>PyMem_Calloc(plan.n_instructions * plan.n_roots + 1, sizeof(int))
        if plan.sizes is NULL:
            raise MemoryError()
        for i in range(plan.n_instructions):
            instruction = &plan.instructions[i]
            instruction.sizes = plan.sizes + i * plan.n_roots
            items = plan.items + instruction.first
            instruction.united = instruction.count > 1 and is_united(instruction, items)
            for root in range(plan.n_roots if instruction.united else 0):
                if instruction.counts[root]:
                    last = &items[instruction.counts[root] - 1]
                    instruction.sizes[root] = last.out.data + width(last) - items.out.data
        return 0

    cdef void find_shared(self) noexcept:
        cdef Instruction *instruction
        cdef Py_ssize_t i, k
        for i in range(self.plan.n_instructions):
            instruction = &self.plan.instructions[i]
            instruction.shared = instruction.op == MATVEC or instruction.op == VECMAT
            for k in range(1, instruction.count):
                instruction.shared = instruction.shared and goes_on(
                    instruction.op, &self.plan.items[instruction.first + k])

    cdef int find_what_stays_out(self) except -1:
        """Find the matrices whose gradient comes only from products, and only with vectors that no
        step of Adam moves before it is taken."""
        cdef Plan plan = self.plan
        cdef Group *group
        cdef Instruction *instruction
        cdef Py_ssize_t i, j
        for i in range(plan.n_groups):
            group = &plan.groups[i]
            group.stays_out = group.cols % 8 == 0
            for j in range(plan.n_shares):
                group.stays_out &= plan.shares[j].place.base != group.base
        for i in range(plan.n_instructions):
            instruction = &plan.instructions[i]
            if instruction.group >= 0:
                for j in range(instruction.first, instruction.first + instruction.count):
                    if plan.items[j].b.base != ARENA:
                        plan.groups[instruction.group].stays_out = False
        return 0
