"""Batches: the same computation for many rows at once, on several cores."""
cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.number cimport PyNumber_AsSsize_t
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from llmhard.engine.elementwise cimport GATHER, MATVEC, VECMAT
from llmhard.engine.indexing cimport Index, outside
from llmhard.engine.kernels cimport (
    LANES, MANY, AdamStep, adam_products, add_scaled, flush_tiny, lanes, matvecs,
    matvecs_backward_inputs, matvecs_backward_matrix, set_mode,
)
from llmhard.engine.node cimport (
    Handle, Node, clock, data_of, grad_of, node_of, run_of, set_used,
)
from llmhard.engine.operation cimport Shape, compute, send_back
from llmhard.engine.plan cimport (
    ARENA, CONSTANTS, LEAVES, Group, Instruction, Item, Place, Plan, Select, Share, leaf_of,
)
from llmhard.engine.products cimport (
    Sharers, backward_matvec, backward_vecmat, forward_matvec, forward_vecmat,
)
from llmhard.engine.threads cimport Pass
from llmhard.engine.traversal cimport Seen, is_first

cdef extern from *:
    """
    #include <time.h>
    static inline uint64_t nanoseconds(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * 1000000000ull + now.tv_nsec;
    }
    #define take_one(left) __atomic_fetch_sub(left, 1, __ATOMIC_ACQ_REL)
    #define give_one(left) __atomic_fetch_add(left, 1, __ATOMIC_ACQ_REL)
    #define offer(left, n) __atomic_store_n(left, n, __ATOMIC_RELEASE)
    #define still(undone) __atomic_load_n(undone, __ATOMIC_ACQUIRE)
    """
    uint64_t nanoseconds() noexcept nogil
    long take_one(long *left) noexcept nogil
    long give_one(long *left) noexcept nogil
    void offer(long *left, long n) noexcept nogil
    long still(long *undone) noexcept nogil

cdef extern from "sched.h":
    int sched_yield() noexcept nogil

cdef enum:
    FORWARD, BACKWARD, MATRICES     # phases

cdef enum:
    CACHE = 1 << 17                 # scalars in the rows that go through the plan together
    LINES = 64                      # of a matrix in a piece
    PATIENCE = 2000000              # nanoseconds
    # Less work than this is not worth sharing:
    FEW_SCALARS = 1 << 16           # computed by the rows
    FEW_PRODUCTS = 1 << 20          # of two scalars, for the gradients of matrices


cdef inline double *data_at(Row *row, const Place *place) noexcept nogil:
    return row.bases[place.base] + place.data + row.offsets[place.select]


cdef inline double *grad_at(Row *row, const Place *place) noexcept nogil:
    return row.arena + place.grad + row.offsets[place.grad_select]


cdef inline double *gradient_of_b(Instruction *instruction, const Item *item,
                                  Row *row) noexcept nogil:
    return NULL if instruction.plain else grad_at(row, &item.b)


cdef inline Shape united_shape(Instruction *instruction, const Item *first,
                               Row *row) noexcept nogil:
    """Return the shape of all the items together."""
    cdef Shape shape = first.shape
    shape.rank, shape.n = 1, instruction.sizes[row.root]
    shape.rank_a, shape.rank_b = first.a.base != CONSTANTS, first.b.base != CONSTANTS
    return shape


cdef inline void multiply(Py_ssize_t count, Shape *shape, double **results, double *m,
                          double **vectors, bint backward, lanes *scratch) noexcept nogil:
    """results = m vectors; backward, both are gradients: vectors += m^T results"""
    if backward:
        matvecs_backward_inputs(count, shape.rows, shape.n, shape.stride, results, m, vectors)
    else:
        matvecs(count, shape.rows, shape.n, shape.stride, results, m, vectors, scratch)


cdef void free_row(Row *row) noexcept:
    PyMem_Free(row.arena)
    PyMem_Free(row.bases)
    PyMem_Free(row.offsets)


cdef int refuse_twice(list indexes) except -1:
    cdef dict places = {}
    cdef Py_ssize_t i, first
    for i in range(len(indexes)):
        first = places.setdefault(id(indexes[i]), i)
        if first != i:
            raise ValueError(f"indexes {first} and {i} of the Batch are the same Index: give each "
                             f"number of a row an Index of its own")
    return 0


@cython.final
cdef class Batch(Pass):
    """The same computation for many rows of whole numbers at once: what a Tape would compute for
    each row once its numbers are in the Indexes, to the same bits.

    `roots` are Values, or None: roots[i] depends only on the first i + 1 of `indexes`, and is what
    is computed for a row of i + 1 numbers. So the recording of a long sentence serves all shorter
    ones. The Values themselves do not change, only the leaves' gradients.

    >>> table, index = Vector([1.0, 4.0, 9.0]), Index(0)
    >>> batch = Batch([index], [table[index] * 10.0])
    >>> batch.forward([[2], [0], [1]])
    [90.0, 10.0, 40.0]
    >>> batch.backward()
    >>> table.grad
    [10.0, 10.0, 10.0]

    With a `crew`, a concurrent.futures.Executor, up to `crew.size` of its threads and the calling
    one share the work; the results are the same bits.

    Raises ValueError if there are more roots than Indexes, if an Index is there twice, or if a root
    depends on another Index; TypeError if there is a Value(data, children, local_grads), which only
    Python can compute.
    """
    def __cinit__(self, indexes, roots):
        cdef list all_indexes = list(indexes), all_roots = list(roots)
        for index in all_indexes:
            if not isinstance(index, Index):
                raise TypeError(f"an index of a Batch is an Index, not {type(index).__name__}")
        if len(all_roots) > len(all_indexes):
            raise ValueError(f"a Batch of {len(all_indexes)} indexes has at most as many roots, "
                             f"not {len(all_roots)}")
        refuse_twice(all_indexes)
        for root in all_roots:
            if root is not None and not (isinstance(root, Handle)
                                         and node_of(<Handle>root).rank == 0):
                raise TypeError(f"a root is a Value or None, not {type(root).__name__}")
        self.plan = Plan(all_indexes, all_roots)
        self.touched, self.plan.touched = self.plan.touched, Seen(NULL, 0, 0, NULL, False)
        self.products = <Products *>PyMem_Calloc(self.plan.n_groups + 1, sizeof(Products))
        if self.products is NULL:
            raise MemoryError()

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.n_rows):
            free_row(&self.rows[i])
        PyMem_Free(self.touched.slots)
        PyMem_Free(self.rows)
        PyMem_Free(self.pieces)
        PyMem_Free(self.scratch)
        PyMem_Free(self.products)
        PyMem_Free(self.pointers)

    @property
    def crew(self):
        return self._crew

    @crew.setter
    def crew(self, crew):
        cdef int size = 0 if crew is None else crew.size
        self._crew, self.n_threads = crew, max(size, 0)

    def __reduce__(self):
        raise TypeError("a Batch is not copied: make another of the same roots")

    # ------------------------------------------------------------ rows

    cdef int need_rows(self, Py_ssize_t n) except -1:
        cdef Row *rows
        if n > self.n_rows:
            rows = <Row *>PyMem_Realloc(self.rows, n * sizeof(Row))
            if rows is NULL:
                raise MemoryError()
            self.rows = rows
            while self.n_rows < n:
                self.new_row(&self.rows[self.n_rows])
                self.n_rows += 1
        return 0

    cdef int new_row(self, Row *row) except -1:
        cdef Plan plan = self.plan
        cdef Py_ssize_t i
        row.arena = <double *>PyMem_Calloc(plan.n_arena, sizeof(double))
        row.bases = <double **>PyMem_Malloc((LEAVES + plan.leaves.count) * sizeof(double *))
        row.offsets = <Py_ssize_t *>PyMem_Calloc(plan.n_selects, sizeof(Py_ssize_t))
        if row.arena is NULL or row.bases is NULL or row.offsets is NULL:
            free_row(row)
            raise MemoryError()
        row.bases[<int>ARENA], row.bases[<int>CONSTANTS] = row.arena, plan.constants
        for i in range(plan.leaves.count):
            row.bases[LEAVES + i] = data_of(plan.leaves.items[i])
        return 0

    cdef int set_row(self, Row *row, list values, double share) except -1:
        cdef Plan plan = self.plan
        cdef Select *select
        cdef Py_ssize_t i, value
        if not 0 < len(values) <= plan.n_roots or plan.roots[len(values) - 1].base < 0:
            raise ValueError(f"there is no root for a row of {len(values)} numbers")
        row.root, row.share = len(values) - 1, share
        for i in range(1, plan.n_selects):
            select = &plan.selects[i]
            if select.need <= row.root:
                value = values[select.index]
                if not 0 <= value < select.limit:
                    raise outside(value, select.limit, select.rank)
                row.offsets[i] = value * select.unit + row.offsets[select.inside]
        return 0

    def forward(self, rows, shares=None):
        """Compute the root of each row and return their data.

        backward() multiplies the gradients of each row by its share of `shares`, 1 if not given.
        Raises, before anything is computed, ValueError if there is no root for a row of that
        length, IndexError if a number points outside its run.
        """
        cdef list all_rows = [[PyNumber_AsSsize_t(number, IndexError) for number in row]
                              for row in rows]
        cdef list all_shares = [1.0] * len(all_rows) if shares is None else [
            <double>share for share in shares]
        cdef list results = [0.0] * len(all_rows)
        cdef Py_ssize_t i
        if len(all_shares) != len(all_rows):
            raise ValueError(f"{len(all_rows)} rows need as many shares, not {len(all_shares)}")
        self.wait_for_others(False)     # from here on the only Python code called is the crew's
        self.is_computed = False
        self.need_rows(len(all_rows))
        for i in range(len(all_rows)):
            self.set_row(&self.rows[i], all_rows[i], all_shares[i])
        self.n_used = len(all_rows)
        self.share_rows()
        self.begin(False)
        self.computed = clock.changes
        self.run(FORWARD)
        self.end()
        self.is_computed = True
        self.complain()
        for i in range(len(all_rows)):
            results[i] = self.result(&self.rows[i])
        return results

    cdef object result(self, Row *row):
        return data_at(row, &self.plan.roots[row.root])[0]

    def backward(self):
        """Add to each leaf's grad what the rows' roots, each times its share, contribute to it.

        Raises RuntimeError if there was no forward() or it failed, or a leaf was changed since.
        """
        self.wait_for_others(True)
        self.check()
        self.begin_backward()
        self.go_backward()
        self.complain()

    cdef int reach_also(self, list leaves) except -1:
        """Keep other threads away from these leaves, too, while the Batch is at work: Adam moves
        them, whether the Batch depends on them or not."""
        for leaf in leaves:
            is_first(&self.touched, (<Handle>leaf).node)
        return 0

    cdef int check(self) except -1:
        cdef Py_ssize_t i
        if not self.is_computed:
            raise RuntimeError("nothing has been computed, or the last forward() failed: call "
                               "forward(rows), then backward()")
        for i in range(self.plan.leaves.count):
            if self.plan.leaves.items[i].changed > self.computed:
                raise RuntimeError("a leaf was changed since forward() (by .data = ... or a "
                                   "training step), so its gradient would be wrong: call forward() "
                                   "again, then backward()")
        return 0

    # ------------------------------------------------------------ sharing the work

    cdef int need_pieces(self, Py_ssize_t n) except -1:
        cdef Piece *pieces = <Piece *>PyMem_Realloc(self.pieces, n * sizeof(Piece))
        if pieces is NULL:
            raise MemoryError()
        self.pieces = pieces
        return 0

    cdef int share_rows(self) except -1:
        """Divide the rows into pieces small enough for their numbers to stay in the cache."""
        cdef Py_ssize_t i, n_scalars = 0, n_in_piece = 0
        cdef Py_ssize_t most
        cdef lanes *scratch
        for i in range(self.n_used):
            n_scalars += self.n_scalars(&self.rows[i])
        self.n_helpers = min(self.n_threads, self.n_used) if n_scalars > FEW_SCALARS else 0
        most = max(1, self.n_used // (2 * self.n_helpers)) if self.n_helpers else self.n_used
        n_scalars = 0
        self.need_pieces(self.n_used + 1)
        self.n_pieces = 0
        for i in range(self.n_used):
            if n_in_piece == 0 or n_in_piece == most or n_scalars > CACHE:
                self.pieces[self.n_pieces] = Piece(i, i, 0)
                self.n_pieces += 1
                n_in_piece = n_scalars = 0
            self.pieces[self.n_pieces - 1].end = i + 1
            n_in_piece += 1
            n_scalars += self.n_scalars(&self.rows[i])
        scratch = <lanes *>PyMem_Realloc(self.scratch, self.n_pieces * self.n_scratch()
                                         * sizeof(lanes) + 1)
        if scratch is NULL:
            raise MemoryError()
        self.scratch = scratch
        return 0

    cdef Py_ssize_t n_scalars(self, Row *row) noexcept nogil:
        """Return about how many scalars and gradients the row computes."""
        return self.plan.n_arena * (row.root + 1) // self.plan.n_roots

    cdef Py_ssize_t n_scratch(self) noexcept nogil:
        """Return how many lanes a piece needs for transposed vectors, and for results before they
        are copied to where they belong."""
        return 2 * self.plan.widest + MANY // LANES * self.plan.tallest

    cdef void run(self, int phase) noexcept:
        """Have all threads take pieces until all are done. An error of the crew, or Ctrl-C, can
        wait: complain() raises it when nothing is left half done."""
        cdef Py_ssize_t _
        self.phase, self.undone = phase, self.n_pieces
        offer(&self.left, self.n_pieces)
        try:
            for _ in range(still(&self.n_present), min(self.n_helpers, self.n_pieces - 1)):
                self._crew.submit(self.help)
        except BaseException as trouble:
            self.trouble = trouble
        with nogil:
            self.work()
            while still(&self.undone) > 0:
                sched_yield()

    cdef int complain(self) except -1:
        trouble, self.trouble = self.trouble, None
        if trouble is not None:
            raise trouble
        return 0

    def help(self):
        """Work as a thread of the crew until there has been nothing to do for a while: waking a
        thread takes a long time."""
        cdef uint64_t since
        with nogil:
            give_one(&self.n_present)
            since = nanoseconds()
            while nanoseconds() - since < PATIENCE:
                if still(&self.left) > 0:
                    self.work()
                    since = nanoseconds()
                sched_yield()
            take_one(&self.n_present)

    cdef void work(self) noexcept nogil:
        cdef long number = take_one(&self.left)
        while number > 0:
            self.do_piece(&self.pieces[number - 1], self.scratch + (number - 1) * self.n_scratch())
            take_one(&self.undone)
            number = take_one(&self.left)

    cdef void do_piece(self, Piece *piece, lanes *scratch) noexcept nogil:
        cdef unsigned int mode
        if self.phase == FORWARD:
            self.forward_rows(self.rows + piece.first, piece.end - piece.first, scratch)
        elif self.phase == BACKWARD:
            mode = flush_tiny()
            self.backward_rows(self.rows + piece.first, piece.end - piece.first, scratch)
            set_mode(mode)
        else:
            self.do_lines(piece)

    # ------------------------------------------------------------ forward

    cdef void forward_rows(self, Row *rows, Py_ssize_t n, lanes *scratch) noexcept nogil:
        cdef Instruction *instruction
        cdef Py_ssize_t i, k
        for i in range(self.plan.n_instructions):
            instruction = &self.plan.instructions[i]
            if instruction.group >= 0:
                self.run_products(instruction, rows, n, False, scratch)
            elif instruction.op == MATVEC or instruction.op == VECMAT:
                for k in range(n):
                    self.forward_own(instruction, &rows[k], scratch)
            else:
                for k in range(n):
                    self.forward_items(instruction, &rows[k])

    cdef void forward_items(self, Instruction *instruction, Row *row) noexcept nogil:
        cdef Item *item = self.plan.items + instruction.first
        cdef int op = instruction.op
        cdef Py_ssize_t _
        if instruction.united:
            compute(op, united_shape(instruction, item, row), data_at(row, &item.out),
                    data_at(row, &item.a), data_at(row, &item.b))
            return
        for _ in range(instruction.counts[row.root]):
            if op == GATHER:
                memcpy(data_at(row, &item.out), data_at(row, &item.a),
                       item.shape.n * sizeof(double))
            else:
                compute(op, item.shape, data_at(row, &item.out), data_at(row, &item.a),
                        data_at(row, &item.b))
            item += 1

    cdef void run_products(self, Instruction *instruction, Row *rows, Py_ssize_t n, bint backward,
                           lanes *scratch) noexcept nogil:
        """Multiply one leaf matrix with vectors of all rows, or add what the gradients of the
        results contribute to the vectors'."""
        cdef double *results[MANY]
        cdef double *vectors[MANY]
        cdef Item *first = self.plan.items + instruction.first
        cdef double *m = data_at(rows, &first.a)
        cdef Py_ssize_t i, k, t = 0
        for k in range(n):
            for i in range(instruction.counts[rows[k].root]):
                if backward:
                    results[t] = grad_at(&rows[k], &first[i].out)
                    vectors[t] = grad_at(&rows[k], &first[i].b)
                else:
                    results[t] = data_at(&rows[k], &first[i].out)
                    vectors[t] = data_at(&rows[k], &first[i].b)
                t += 1
                if t == MANY:
                    multiply(t, &first.shape, results, m, vectors, backward, scratch)
                    t = 0
        if t:
            multiply(t, &first.shape, results, m, vectors, backward, scratch)

    cdef void forward_own(self, Instruction *instruction, Row *row, lanes *scratch) noexcept nogil:
        """Compute products with matrices that the row has computed."""
        cdef Sharers some
        cdef Py_ssize_t first = 0, count = instruction.counts[row.root]
        while first < count:
            self.find_sharers(instruction, first, count, row, &some)
            if instruction.op == VECMAT:
                forward_vecmat(&some)
            else:
                forward_matvec(&some, scratch, <double *>(scratch + 2 * self.plan.widest))
            first += some.count

    cdef void find_sharers(self, Instruction *instruction, Py_ssize_t first, Py_ssize_t end,
                           Row *row, Sharers *some) noexcept nogil:
        """Compute the products from `first` to before `end`: only one if they share no matrix."""
        cdef Item *item = self.plan.items + instruction.first + first
        cdef Place *matrix = &item.b if instruction.op == VECMAT else &item.a
        cdef Place *by_row
        cdef Place *by_col
        cdef Py_ssize_t t
        some.count = min(end - first, <Py_ssize_t>MANY) if instruction.shared else 1
        some.cols, some.stride = item.shape.n, item.shape.stride
        some.m, some.gm = data_at(row, matrix), grad_at(row, matrix)
        for t in range(some.count):
            by_row, by_col = &item.out, &item.b
            if instruction.op == VECMAT:
                by_row, by_col = &item.a, &item.out
            some.rows[t] = item.shape.rows
            some.by_row[t], some.by_row_grads[t] = data_at(row, by_row), grad_at(row, by_row)
            some.by_col[t], some.by_col_grads[t] = data_at(row, by_col), grad_at(row, by_col)
            item += 1

    # ------------------------------------------------------------ backward

    cdef void backward_rows(self, Row *rows, Py_ssize_t n, lanes *scratch) noexcept nogil:
        """Compute all gradients except those of leaves, which are shared with other rows."""
        cdef Instruction *instruction
        cdef Py_ssize_t i, k
        for k in range(n):
            for i in range(self.plan.n_spans):
                memset(rows[k].arena + self.plan.spans[i].first, 0,
                       self.plan.spans[i].lengths[rows[k].root] * sizeof(double))
            grad_at(&rows[k], &self.plan.roots[rows[k].root])[0] += rows[k].share
        for i in range(self.plan.n_instructions - 1, -1, -1):
            instruction = &self.plan.instructions[i]
            if instruction.group >= 0:
                self.run_products(instruction, rows, n, True, NULL)
            elif instruction.op == MATVEC or instruction.op == VECMAT:
                for k in range(n):
                    self.backward_own(instruction, &rows[k], scratch)
            else:
                for k in range(n):
                    self.backward_items(instruction, &rows[k])

    cdef void backward_items(self, Instruction *instruction, Row *row) noexcept nogil:
        cdef Item *first = self.plan.items + instruction.first
        cdef Item *item
        cdef double *g
        cdef int op = instruction.op
        cdef Py_ssize_t i
        if instruction.united:
            send_back(op, united_shape(instruction, first, row), data_at(row, &first.out),
                      grad_at(row, &first.out), data_at(row, &first.a), grad_at(row, &first.a),
                      data_at(row, &first.b), gradient_of_b(instruction, first, row))
            return
        for i in range(instruction.counts[row.root] - 1, -1, -1):
            item = first + i
            g = grad_at(row, &item.out)
            if op == GATHER:
                add_scaled(item.shape.n, grad_at(row, &item.a), 1.0, g)
            else:
                send_back(op, item.shape, data_at(row, &item.out), g, data_at(row, &item.a),
                          grad_at(row, &item.a), data_at(row, &item.b),
                          gradient_of_b(instruction, item, row))

    cdef void backward_own(self, Instruction *instruction, Row *row, lanes *scratch) noexcept nogil:
        cdef Sharers some
        cdef Py_ssize_t end = instruction.counts[row.root]
        while end > 0:
            self.find_sharers(instruction, (end - 1) // MANY * MANY if instruction.shared
                              else end - 1, end, row, &some)
            # of a joined matrix the products are rounded: to the bits of a Tape, where it is a
            # copy, whose gradient is added to those of the runs
            if instruction.op == VECMAT:
                backward_vecmat(&some, instruction.joined, scratch)
            else:
                backward_matvec(&some, instruction.joined)
            end -= some.count

    # ------------------------------------------------------------ the leaves' gradients

    cdef int begin_backward(self) except -1:
        """Allocate all the memory that is needed, so that nothing can go wrong halfway."""
        self.share_rows()
        self.need_pieces(max(self.n_used + 1, self.n_lines_pieces()))
        self.list_products()
        self.begin(True)
        return 0

    cdef void go_backward(self) noexcept:
        clock.grad_writes += 1
        self.run(BACKWARD)
        self.add_shares()
        self.share_lines()
        self.run(MATRICES)
        self.end()

    cdef void add_shares(self) noexcept:
        """Add what rows kept to themselves, in the order of going backward through one row after
        another, whichever thread did which row."""
        cdef Plan plan = self.plan
        cdef Share *share
        cdef Row *row
        cdef Node *leaf
        cdef Py_ssize_t i, k, r
        cdef double *g
        for k in range(self.n_used):
            row = &self.rows[k]
            for i in range(plan.n_shares - 1, -1, -1):
                share = &plan.shares[i]
                if share.need > row.root:
                    continue
                leaf = leaf_of(plan, share.place.base)
                set_used(leaf)
                g = grad_of(leaf) + share.place.data + row.offsets[share.place.select]
                for r in range(share.rows):
                    add_scaled(share.cols, g + r * share.stride, 1.0,
                               row.arena + share.place.grad + r * share.stride)

    cdef int list_products(self) except -1:
        """List the products with each leaf matrix, the last row first, since they are processed
        from the end. The vectors are there already, the gradients will be."""
        cdef Plan plan = self.plan
        cdef Instruction *instruction
        cdef Item *item
        cdef Products *products
        cdef Py_ssize_t i, j, k, total = 0
        cdef double **pointers
        for i in range(plan.n_groups):
            self.products[i] = Products(0, NULL, NULL, NULL, NULL)
        for i in range(plan.n_instructions):
            instruction = &plan.instructions[i]
            if instruction.group >= 0:
                for k in range(self.n_used):
                    self.products[instruction.group].count += (
                        instruction.counts[self.rows[k].root])
        for i in range(plan.n_groups):
            total += 2 * self.products[i].count
        pointers = <double **>PyMem_Realloc(self.pointers, (total + 1) * sizeof(double *))
        if pointers is NULL:
            raise MemoryError()
        self.pointers = pointers
        for i in range(plan.n_groups):
            products = &self.products[i]
            products.grads, products.vectors = pointers, pointers + products.count
            pointers += 2 * products.count
            products.count = 0
        for k in range(self.n_used - 1, -1, -1):
            for i in range(plan.n_instructions):
                instruction = &plan.instructions[i]
                if instruction.group < 0:
                    continue
                products = &self.products[instruction.group]
                item = self.plan.items + instruction.first
                for j in range(instruction.counts[self.rows[k].root]):
                    products.grads[products.count] = grad_at(&self.rows[k], &item[j].out)
                    products.vectors[products.count] = data_at(&self.rows[k], &item[j].b)
                    products.count += 1
        return 0

    cdef bint left_to_adam(self, Node *matrix, double *means, double *squares) noexcept:
        """Return whether go_backward() takes a step of Adam with this matrix's gradient instead of
        adding to it, as it may, once, if nothing else adds to it."""
        cdef Py_ssize_t i
        cdef Group *group
        for i in range(self.plan.n_groups):
            group = &self.plan.groups[i]
            if (leaf_of(self.plan, group.base) is matrix and group.stays_out
                    and not run_of(matrix).used and self.products[i].count
                    and self.products[i].means is NULL):
                self.products[i].means, self.products[i].squares = means, squares
                return True
        return False

    cdef Py_ssize_t n_lines_pieces(self) noexcept:
        cdef Py_ssize_t i, n = 0
        for i in range(self.plan.n_groups):
            n += self.plan.groups[i].rows // LINES + 1
        return n

    cdef void share_lines(self) noexcept:
        """Divide the leaf matrices of products into pieces of some lines each."""
        cdef Py_ssize_t i, first, rows, n_products = 0
        self.n_pieces = 0
        for i in range(self.plan.n_groups):
            first, rows = 0, self.plan.groups[i].rows
            n_products += self.products[i].count * rows * self.plan.groups[i].cols
            while first < rows:
                self.pieces[self.n_pieces] = Piece(first, min(first + LINES, rows), i)
                self.n_pieces += 1
                first += LINES
        self.n_helpers = self.n_threads if n_products > FEW_PRODUCTS else 0

    cdef void do_lines(self, Piece *piece) noexcept nogil:
        cdef Group *group = &self.plan.groups[piece.group]
        cdef Products *products = &self.products[piece.group]
        cdef Node *matrix = leaf_of(self.plan, group.base)
        cdef AdamStep step = self.step      # a copy, so that no number written can be one of these
        if products.count == 0:
            return
        if products.means is NULL:
            run_of(matrix).used = True
            matvecs_backward_matrix(products.count, piece.first, piece.end, group.cols,
                                    run_of(matrix).stride, products.grads, grad_of(matrix),
                                    products.vectors)
        else:
            adam_products(products.count, piece.first, piece.end, group.cols, products.grads,
                          products.vectors, data_of(matrix), products.means, products.squares,
                          &step)
