"""The arithmetic of every operation, on raw memory, without the GIL.

An elementwise operation is defined once, as a function of plain numbers: its value and its local
gradients. Single Values call these functions directly; runs call them in a loop. A header (.pxd),
so that the C compiler sees the definitions and can turn the loops into vector instructions.
"""
from libc.math cimport INFINITY, exp, log, pow, sqrt, tanh


cdef enum Op:
    LEAF, VIEW, SELECT, CUSTOM,                     # no arithmetic of their own
    ADD, SUB, MUL, DIV, POW,                        # elementwise, two operands
    NEG, EXP, LOG, RELU, TANH, SQRT,                # elementwise, one operand
    SUM, DOT, MATVEC, VECMAT, SOFTMAX, GATHER       # on whole runs


cdef extern from *:
    """
    /* Results below 2.3e-308, denormal numbers, take the processor about a hundred times as long
       as others. For local gradients and gradients they become zero: in the calling thread, until
       the old mode is set again. */
    #if defined(__SSE2__)
    #include <xmmintrin.h>
    static inline unsigned int flush_tiny(void) {
        unsigned int mode = _mm_getcsr();
        _mm_setcsr(mode | _MM_FLUSH_ZERO_ON);
        return mode;
    }
    static inline void set_mode(unsigned int mode) { _mm_setcsr(mode); }
    #else
    static inline unsigned int flush_tiny(void) { return 0; }
    static inline void set_mode(unsigned int mode) { (void)mode; }
    #endif
    """
    unsigned int flush_tiny() noexcept nogil
    void set_mode(unsigned int mode) noexcept nogil


# ---------------------------------------------------------------- elementwise: the definitions

cdef inline double value2(int op, double a, double b) noexcept nogil:
    if op == ADD:
        return a + b
    if op == SUB:
        return a - b
    if op == MUL:
        return a * b
    if op == DIV:
        return a / b
    return pow(a, b)


cdef inline double local_a(int op, double a, double b) noexcept nogil:
    """d value2 / d a"""
    if op == ADD or op == SUB:
        return 1.0
    if op == MUL:
        return b
    if op == DIV:
        return 1.0 / b
    # d(a**0)/da is 0 everywhere; b * a**(b - 1) would be 0 * inf at a = 0
    return 0.0 if b == 0.0 else b * pow(a, b - 1.0)


cdef inline double local_b(int op, double a, double b) noexcept nogil:
    """d value2 / d b"""
    if op == ADD:
        return 1.0
    if op == SUB:
        return -1.0
    if op == MUL:
        return a
    if op == DIV:
        return -a / (b * b)
    # 0**b is constant for b > 0; log(0) would turn that into 0 * -inf
    return 0.0 if a == 0.0 and b >= 0.0 else pow(a, b) * log(a)


cdef inline double value1(int op, double a) noexcept nogil:
    if op == NEG:
        return -a
    if op == EXP:
        return exp(a)
    if op == LOG:
        return log(a)
    if op == RELU:
        # written so that NaN passes through instead of becoming 0
        return 0.0 if a < 0.0 else a
    if op == TANH:
        return tanh(a)
    return sqrt(a)


cdef inline double local_1(int op, double a, double out) noexcept nogil:
    """d value1 / d a, given out = value1(a)"""
    if op == NEG:
        return -1.0
    if op == EXP:
        return out
    if op == LOG:
        return 1.0 / a
    if op == RELU:
        return 1.0 if a > 0.0 else 0.0
    if op == TANH:
        return 1.0 - out * out
    return 0.5 / out


# ---------------------------------------------------------------- elementwise: over runs
# A step of 0 repeats one number for the whole run. `op` and the steps are constants at every
# call below, so that each call becomes its own loop without tests inside.

cdef inline void loop2(int op, Py_ssize_t n, double *out, const double *a, Py_ssize_t step_a,
                       const double *b, Py_ssize_t step_b) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = value2(op, a[i * step_a], b[i * step_b])


cdef inline void steps2(int op, Py_ssize_t n, double *out, const double *a, Py_ssize_t step_a,
                        const double *b, Py_ssize_t step_b) noexcept nogil:
    if step_a and step_b:
        loop2(op, n, out, a, 1, b, 1)
    elif step_a:
        loop2(op, n, out, a, 1, b, 0)
    else:
        loop2(op, n, out, a, 0, b, 1)


cdef inline void run2(int op, Py_ssize_t n, double *out, const double *a, Py_ssize_t step_a,
                      const double *b, Py_ssize_t step_b) noexcept nogil:
    if op == ADD:
        steps2(ADD, n, out, a, step_a, b, step_b)
    elif op == SUB:
        steps2(SUB, n, out, a, step_a, b, step_b)
    elif op == MUL:
        steps2(MUL, n, out, a, step_a, b, step_b)
    elif op == DIV:
        steps2(DIV, n, out, a, step_a, b, step_b)
    else:
        steps2(POW, n, out, a, step_a, b, step_b)


cdef inline void back_loop2(int op, Py_ssize_t n, const double *g,
                            const double *a, Py_ssize_t step_a, double *ga,
                            const double *b, Py_ssize_t step_b, double *gb) noexcept nogil:
    cdef Py_ssize_t i
    cdef double total = 0.0
    if step_a:
        for i in range(n):
            ga[i] += g[i] * local_a(op, a[i], b[i * step_b])
    else:
        for i in range(n):
            total += g[i] * local_a(op, a[0], b[i * step_b])
        ga[0] += total
    if gb is NULL:              # a plain exponent
        return
    total = 0.0
    if step_b:
        for i in range(n):
            gb[i] += g[i] * local_b(op, a[i * step_a], b[i])
    else:
        for i in range(n):
            total += g[i] * local_b(op, a[i * step_a], b[0])
        gb[0] += total


cdef inline void back_steps2(int op, Py_ssize_t n, const double *g,
                             const double *a, Py_ssize_t step_a, double *ga,
                             const double *b, Py_ssize_t step_b, double *gb) noexcept nogil:
    if step_a and step_b:
        back_loop2(op, n, g, a, 1, ga, b, 1, gb)
    elif step_a:
        back_loop2(op, n, g, a, 1, ga, b, 0, gb)
    else:
        back_loop2(op, n, g, a, 0, ga, b, 1, gb)


cdef inline void run2_backward(int op, Py_ssize_t n, const double *g,
                               const double *a, Py_ssize_t step_a, double *ga,
                               const double *b, Py_ssize_t step_b, double *gb) noexcept nogil:
    if op == ADD:
        back_steps2(ADD, n, g, a, step_a, ga, b, step_b, gb)
    elif op == SUB:
        back_steps2(SUB, n, g, a, step_a, ga, b, step_b, gb)
    elif op == MUL:
        back_steps2(MUL, n, g, a, step_a, ga, b, step_b, gb)
    elif op == DIV:
        back_steps2(DIV, n, g, a, step_a, ga, b, step_b, gb)
    else:
        back_steps2(POW, n, g, a, step_a, ga, b, step_b, gb)


cdef inline void loop1(int op, Py_ssize_t n, double *out, const double *a) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = value1(op, a[i])


cdef inline void run1(int op, Py_ssize_t n, double *out, const double *a) noexcept nogil:
    if op == NEG:
        loop1(NEG, n, out, a)
    elif op == EXP:
        loop1(EXP, n, out, a)
    elif op == LOG:
        loop1(LOG, n, out, a)
    elif op == RELU:
        loop1(RELU, n, out, a)
    elif op == TANH:
        loop1(TANH, n, out, a)
    else:
        loop1(SQRT, n, out, a)


cdef inline void back_loop1(int op, Py_ssize_t n, const double *out, const double *g,
                            const double *a, double *ga) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        ga[i] += g[i] * local_1(op, a[i], out[i])


cdef inline void run1_backward(int op, Py_ssize_t n, const double *out, const double *g,
                               const double *a, double *ga) noexcept nogil:
    if op == NEG:
        back_loop1(NEG, n, out, g, a, ga)
    elif op == EXP:
        back_loop1(EXP, n, out, g, a, ga)
    elif op == LOG:
        back_loop1(LOG, n, out, g, a, ga)
    elif op == RELU:
        back_loop1(RELU, n, out, g, a, ga)
    elif op == TANH:
        back_loop1(TANH, n, out, g, a, ga)
    else:
        back_loop1(SQRT, n, out, g, a, ga)


# ---------------------------------------------------------------- sums and products of runs
# A sum is rounded differently in every order of adding. The order here is fixed by the source,
# whatever the compiler and however many positions a call computes at once, so that a step gives
# the same bits recorded or replayed.

cdef extern from *:
    """
    /* Eight neighbouring numbers, in one register or in as many as the processor needs. */
    typedef double lanes __attribute__((vector_size(64), aligned(8), __may_alias__));
    typedef long long lane_bits __attribute__((vector_size(64), aligned(8), __may_alias__));
    """
    ctypedef double lanes           # + - * / work on each of the eight
    ctypedef long long lane_bits    # the same 64 bytes as whole numbers


cdef inline double across(const lanes *eight) noexcept nogil:
    cdef const double *a = <const double *>eight
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))


cdef inline double run_sum(Py_ssize_t n, const double *a) noexcept nogil:
    cdef Py_ssize_t i = 8
    cdef double total = 0.0
    cdef lanes sums
    if n < 8:
        i = 0
    else:
        sums = (<const lanes *>a)[0]
        while i + 8 <= n:
            sums += (<const lanes *>(a + i))[0]
            i += 8
        total = across(&sums)
    while i < n:
        total += a[i]
        i += 1
    return total


cdef inline double dot(Py_ssize_t n, const double *a, const double *b) noexcept nogil:
    cdef Py_ssize_t i = 8
    cdef double total = 0.0
    cdef lanes sums
    if n < 8:
        i = 0
    else:
        sums = (<const lanes *>a)[0] * (<const lanes *>b)[0]
        while i + 8 <= n:
            sums += (<const lanes *>(a + i))[0] * (<const lanes *>(b + i))[0]
            i += 8
        total = across(&sums)
    while i < n:
        total += a[i] * b[i]
        i += 1
    return total


cdef inline void add_scaled(Py_ssize_t n, double *out, double scale,
                            const double *a) noexcept nogil:
    """out += scale * a"""
    cdef Py_ssize_t i
    for i in range(n):
        out[i] += scale * a[i]


# ---------------------------------------------------------------- matrix times vectors
# A matrix has `rows` rows of `cols` neighbouring numbers; row r begins at m + r * stride. It is
# multiplied with up to POSITIONS vectors at once (in training, one for each position of the
# sentence), so that each of its numbers is fetched once for all of them.

cdef enum:
    POSITIONS = 8


cdef inline void matvecs(Py_ssize_t count, Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t stride,
                         double **out, const double *m, double **x, lanes *xt) noexcept nogil:
    """out[t] = m x[t] for t < count; `xt` has room for `cols` lanes.

    Each lane of xt[c] belongs to one position, and eight rows are in flight at once.
    """
    cdef double *packed = <double *>xt
    cdef lanes tile[8]
    cdef lanes v, a0, a1, a2, a3, a4, a5, a6, a7
    cdef const double *w = m
    cdef Py_ssize_t r = 0, c, t, k
    for c in range(cols):
        for t in range(POSITIONS):
            packed[POSITIONS * c + t] = x[t][c] if t < count else 0.0
    while r + 8 <= rows:
        v = xt[0]
        a0 = w[0] * v
        a1 = w[stride] * v
        a2 = w[2 * stride] * v
        a3 = w[3 * stride] * v
        a4 = w[4 * stride] * v
        a5 = w[5 * stride] * v
        a6 = w[6 * stride] * v
        a7 = w[7 * stride] * v
        for c in range(1, cols):
            v = xt[c]
            a0 += w[c] * v
            a1 += w[c + stride] * v
            a2 += w[c + 2 * stride] * v
            a3 += w[c + 3 * stride] * v
            a4 += w[c + 4 * stride] * v
            a5 += w[c + 5 * stride] * v
            a6 += w[c + 6 * stride] * v
            a7 += w[c + 7 * stride] * v
        tile[0], tile[1], tile[2], tile[3] = a0, a1, a2, a3
        tile[4], tile[5], tile[6], tile[7] = a4, a5, a6, a7
        for t in range(count):
            for k in range(8):
                out[t][r + k] = (<double *>tile)[POSITIONS * k + t]
        r += 8
        w += 8 * stride
    while r < rows:
        a0 = w[0] * xt[0]
        for c in range(1, cols):
            a0 += w[c] * xt[c]
        tile[0] = a0
        for t in range(count):
            out[t][r] = (<double *>tile)[t]
        r += 1
        w += stride


cdef inline void inputs_block(Py_ssize_t count, Py_ssize_t width, Py_ssize_t rows,
                              Py_ssize_t stride, double **g, const double *m, double **gx,
                              Py_ssize_t c) noexcept nogil:
    """`width` lanes of columns of matvecs_backward_inputs, the sums in registers."""
    cdef lanes sums[POSITIONS][2]
    cdef const lanes *w = <const lanes *>(m + c)
    cdef Py_ssize_t r, t, j
    for t in range(count):
        for j in range(width):
            sums[t][j] = g[t][0] * w[j]
    for r in range(1, rows):
        w = <const lanes *>(m + r * stride + c)
        for t in range(count):
            for j in range(width):
                sums[t][j] += g[t][r] * w[j]
    for t in range(count):
        for j in range(width):
            (<lanes *>(gx[t] + c))[j] += sums[t][j]


cdef inline void inputs_blocks(Py_ssize_t count, Py_ssize_t width, Py_ssize_t rows,
                               Py_ssize_t stride, double **g, const double *m, double **gx,
                               Py_ssize_t c) noexcept nogil:
    # constants at the call: only then can the compiler give each sum a register
    if count == 1:
        inputs_block(1, width, rows, stride, g, m, gx, c)
    elif count == 2:
        inputs_block(2, width, rows, stride, g, m, gx, c)
    elif count == 3:
        inputs_block(3, width, rows, stride, g, m, gx, c)
    elif count == 4:
        inputs_block(4, width, rows, stride, g, m, gx, c)
    elif count == 5:
        inputs_block(5, width, rows, stride, g, m, gx, c)
    elif count == 6:
        inputs_block(6, width, rows, stride, g, m, gx, c)
    elif count == 7:
        inputs_block(7, width, rows, stride, g, m, gx, c)
    else:
        inputs_block(8, width, rows, stride, g, m, gx, c)


cdef inline void matvecs_backward_inputs(Py_ssize_t count, Py_ssize_t rows, Py_ssize_t cols,
                                         Py_ssize_t stride, double **g, const double *m,
                                         double **gx) noexcept nogil:
    """gx[t] += m^T g[t]"""
    cdef Py_ssize_t c = 0, t, r
    cdef double total
    while c + 16 <= cols:
        inputs_blocks(count, 2, rows, stride, g, m, gx, c)
        c += 16
    if c + 8 <= cols:
        inputs_blocks(count, 1, rows, stride, g, m, gx, c)
        c += 8
    while c < cols:
        for t in range(count):
            total = g[t][0] * m[c]
            for r in range(1, rows):
                total += g[t][r] * m[r * stride + c]
            gx[t][c] += total
        c += 1


cdef inline void matrix_block(Py_ssize_t count, Py_ssize_t height, Py_ssize_t stride, double **g,
                              double *gm, double **x, Py_ssize_t r, Py_ssize_t c) noexcept nogil:
    """`height` rows and 32 columns of matvecs_backward_matrix, the sums in registers."""
    cdef lanes sums[4][4]
    cdef const lanes *v
    cdef Py_ssize_t t, i, j
    for i in range(height):
        for j in range(4):
            sums[i][j] = (<lanes *>(gm + (r + i) * stride + c))[j]
    for t in range(count - 1, -1, -1):
        v = <const lanes *>(x[t] + c)
        for i in range(height):
            for j in range(4):
                sums[i][j] += g[t][r + i] * v[j]
    for i in range(height):
        for j in range(4):
            (<lanes *>(gm + (r + i) * stride + c))[j] = sums[i][j]


cdef inline void matvecs_backward_matrix(Py_ssize_t count, Py_ssize_t rows, Py_ssize_t cols,
                                         Py_ssize_t stride, double **g, double *gm,
                                         double **x) noexcept nogil:
    """gm += sum over t of g[t] x[t]^T, the last t first: in the order of going backward."""
    cdef Py_ssize_t c = 0, r, t
    while c + 32 <= cols:
        r = 0
        while r + 4 <= rows:
            matrix_block(count, 4, stride, g, gm, x, r, c)
            r += 4
        while r < rows:
            matrix_block(count, 1, stride, g, gm, x, r, c)
            r += 1
        c += 32
    if c < cols:
        for r in range(rows):
            for t in range(count - 1, -1, -1):
                add_scaled(cols - c, gm + r * stride + c, g[t][r], x[t] + c)


cdef inline void vecmat(Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t stride, double *out,
                        const double *w, const double *m) noexcept nogil:
    cdef Py_ssize_t r, c
    for c in range(cols):
        out[c] = w[0] * m[c]
    for r in range(1, rows):
        add_scaled(cols, out, w[r], m + r * stride)


cdef inline void vecmat_backward(Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t stride,
                                 const double *g, const double *w, double *gw,
                                 const double *m, double *gm) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(rows):
        gw[r] += dot(cols, g, m + r * stride)
        add_scaled(cols, gm + r * stride, w[r], g)


# ---------------------------------------------------------------- softmax

cdef inline lanes exp_lanes(lanes x) noexcept nogil:
    """e**x for -708 <= x <= 0, to about 1e-16 relative.

    x = k ln 2 + r with k whole and |r| <= ln(2) / 2; then e**x = 2**k e**r, with e**r by its
    Taylor series and 2**k put into the exponent bits. ln 2 is in two parts so that k ln 2 is
    exact (Cody and Waite, "Software Manual for the Elementary Functions", 1980).
    """
    cdef double to_whole = 6755399441055744.0   # 1.5 * 2**52: adding it rounds to a whole number
    cdef lanes shifted = x * 1.4426950408889634 + to_whole
    cdef lanes k = shifted - to_whole
    cdef lanes r = x - k * 6.93147180369123816490e-01 - k * 1.90821492927058770002e-10
    cdef lanes p = r * (1.0 / 6227020800.0) + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r * r + r + 1.0
    return <lanes>(<lane_bits>p + (<lane_bits>shifted << 52))


cdef inline lanes larger(lanes a, lanes b) noexcept nogil:
    cdef lane_bits a_wins = <lane_bits>(a > b)      # all bits of the lane, or none
    return <lanes>(<lane_bits>a & a_wins | <lane_bits>b & ~a_wins)


cdef inline double run_max(Py_ssize_t n, const double *a, double sign) noexcept nogil:
    """The largest of sign * a[i]; anything if there is a NaN."""
    cdef Py_ssize_t i = 8, j
    cdef double best = sign * a[0]
    cdef lanes bests
    if n < 8:
        i = 1
    else:
        bests = sign * (<const lanes *>a)[0]
        while i + 8 <= n:
            bests = larger(sign * (<const lanes *>(a + i))[0], bests)
            i += 8
        for j in range(8):
            best = max(best, (<double *>&bests)[j])
    while i < n:
        best = max(best, sign * a[i])
        i += 1
    return best


cdef inline void softmax(Py_ssize_t n, double *out, const double *a) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef double largest = run_max(n, a, 1.0)
    cdef double smallest = -run_max(n, a, -1.0)
    cdef double scale
    # exp_lanes covers neither e**x that underflows nor NaN (whose sum is NaN, too)
    if largest - smallest < 708.0 and run_sum(n, a) < INFINITY:
        while i + 8 <= n:
            (<lanes *>(out + i))[0] = exp_lanes((<const lanes *>(a + i))[0] - largest)
            i += 8
    while i < n:
        out[i] = exp(a[i] - largest)
        i += 1
    scale = 1.0 / run_sum(n, out)
    for i in range(n):
        out[i] *= scale


cdef inline void softmax_backward(Py_ssize_t n, const double *out, const double *g,
                                  double *ga) noexcept nogil:
    cdef Py_ssize_t i
    cdef double mean = dot(n, out, g)
    for i in range(n):
        ga[i] += out[i] * (g[i] - mean)


# ---------------------------------------------------------------- Adam

cdef inline lanes root_lanes(lanes v) noexcept nogil:
    """sqrt(v) for 0 <= v < 1e300, to about 1e-16 relative, 1e-100 absolute.

    The processor's unit for roots and divisions is slow, and Adam needs it for the division. So
    the root comes from multiplications: Newton's method for 1 / sqrt(v), begun with a guess that
    halves the exponent in the bits (Lomont, "Fast Inverse Square Root", 2003).
    """
    cdef long long half_the_exponent = 0x5FE6EB50C7B537A9
    cdef lanes a = v + 1e-200       # no denormal number on the way; far below the square of eps
    cdef lanes half = 0.5 * a
    cdef lanes y = <lanes>(half_the_exponent - (<lane_bits>a >> 1))
    cdef lanes root
    y = y * (1.5 - half * y * y)
    y = y * (1.5 - half * y * y)
    y = y * (1.5 - half * y * y)
    root = a * y
    return root + 0.5 * y * (a - root * root)


# The numbers of one step. The bias corrections are in rate = lr / (1 - beta1**t) and in
# v_scale = 1 / sqrt(1 - beta2**t).
cdef struct AdamStep:
    double rate, beta1, beta2, eps, v_scale


cdef inline void adam_lanes(double *p, lanes gradient, double *m, double *v,
                            const AdamStep *step) noexcept nogil:
    cdef lanes mean = step.beta1 * (<lanes *>m)[0] + (1.0 - step.beta1) * gradient
    cdef lanes square = (step.beta2 * (<lanes *>v)[0]
                         + (1.0 - step.beta2) * gradient * gradient)
    (<lanes *>m)[0] = mean
    (<lanes *>v)[0] = square
    (<lanes *>p)[0] -= step.rate * mean / (root_lanes(square) * step.v_scale + step.eps)


cdef inline void adam(Py_ssize_t n, double *p, double *g, double *m, double *v,
                      const AdamStep *step) noexcept nogil:
    """Update p, m and v by the gradient g, and set g to zero as it is in the cache now."""
    cdef Py_ssize_t i = 0
    cdef lanes gradient
    cdef double mean, square
    while i + 8 <= n:
        gradient = (<lanes *>(g + i))[0]
        adam_lanes(p + i, gradient, m + i, v + i, step)
        (<lane_bits *>(g + i))[0] ^= (<lane_bits *>(g + i))[0]     # zero, also after NaN
        i += 8
    while i < n:
        mean = step.beta1 * m[i] + (1.0 - step.beta1) * g[i]
        square = step.beta2 * v[i] + (1.0 - step.beta2) * g[i] * g[i]
        m[i] = mean
        v[i] = square
        p[i] -= step.rate * mean / (sqrt(square) * step.v_scale + step.eps)
        g[i] = 0.0
        i += 1


cdef inline void adam_block(Py_ssize_t count, Py_ssize_t height, Py_ssize_t cols, double **g,
                            double **x, Py_ssize_t r, Py_ssize_t c, double *p, double *m,
                            double *v, const AdamStep *step) noexcept nogil:
    """matrix_block, begun at zero, with the sums going into Adam instead of to memory."""
    cdef lanes sums[4][4]
    cdef const lanes *row
    cdef Py_ssize_t t, i, j, at
    row = <const lanes *>(x[count - 1] + c)
    for i in range(height):
        for j in range(4):
            sums[i][j] = g[count - 1][r + i] * row[j]
    for t in range(count - 2, -1, -1):
        row = <const lanes *>(x[t] + c)
        for i in range(height):
            for j in range(4):
                sums[i][j] += g[t][r + i] * row[j]
    for i in range(height):
        for j in range(4):
            at = (r + i) * cols + c + 8 * j
            adam_lanes(p + at, sums[i][j], m + at, v + at, step)


cdef inline void adam_products(Py_ssize_t count, Py_ssize_t rows, Py_ssize_t cols, double **g,
                               double **x, double *p, double *m, double *v,
                               const AdamStep *step) noexcept nogil:
    """Adam with the gradient sum over t of g[t] x[t]^T, for `cols` a multiple of 32."""
    cdef Py_ssize_t c, r = 0
    while r + 4 <= rows:
        for c in range(0, cols, 32):
            adam_block(count, 4, cols, g, x, r, c, p, m, v, step)
        r += 4
    while r < rows:
        for c in range(0, cols, 32):
            adam_block(count, 1, cols, g, x, r, c, p, m, v, step)
        r += 1
