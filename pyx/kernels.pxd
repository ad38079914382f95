"""The arithmetic of every operation, on raw memory, without the GIL.

An elementwise operation is defined once, as a function of plain numbers: its value and its local
gradients. Single Values call these functions directly; runs call them in a loop. A header (.pxd),
so that the C compiler sees the definitions and can turn the loops into vector instructions.
"""
from libc.math cimport INFINITY, exp, log, pow, sqrt, tanh


cdef enum Op:
    LEAF, VIEW, CUSTOM,                             # no arithmetic of their own
    ADD, SUB, MUL, DIV, POW,                        # elementwise, two operands
    NEG, EXP, LOG, RELU, TANH, SQRT,                # elementwise, one operand
    SUM, DOT, MATVEC, VECMAT, SOFTMAX, GATHER       # on whole runs


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

cdef inline double run_sum(Py_ssize_t n, const double *a) noexcept nogil:
    cdef Py_ssize_t i
    cdef double total = 0.0
    for i in range(n):
        total += a[i]
    return total


cdef inline double dot(Py_ssize_t n, const double *a, const double *b) noexcept nogil:
    cdef Py_ssize_t i
    cdef double total = 0.0
    for i in range(n):
        total += a[i] * b[i]
    return total


cdef inline void add_scaled(Py_ssize_t n, double *out, double scale,
                            const double *a) noexcept nogil:
    """out += scale * a"""
    cdef Py_ssize_t i
    for i in range(n):
        out[i] += scale * a[i]


# A matrix has `rows` rows of `cols` neighbouring numbers; row r begins at m + r * stride.
# For the widths of the default model, `cols` is a constant at the call, which lets the compiler
# unroll the inner loops and keep a whole row in registers.

cdef inline void matvec_loop(Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t stride, double *out,
                             const double *m, const double *x) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(rows):
        out[r] = dot(cols, m + r * stride, x)


cdef inline void matvec(Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t stride, double *out,
                        const double *m, const double *x) noexcept nogil:
    if cols == 8:
        matvec_loop(rows, 8, stride, out, m, x)
    elif cols == 32:
        matvec_loop(rows, 32, stride, out, m, x)
    elif cols == 128:
        matvec_loop(rows, 128, stride, out, m, x)
    else:
        matvec_loop(rows, cols, stride, out, m, x)


cdef inline void matvec_back_loop(Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t stride,
                                  const double *g, const double *m, double *gm,
                                  const double *x, double *gx) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(rows):
        add_scaled(cols, gm + r * stride, g[r], x)
        add_scaled(cols, gx, g[r], m + r * stride)


cdef inline void matvec_backward(Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t stride,
                                 const double *g, const double *m, double *gm,
                                 const double *x, double *gx) noexcept nogil:
    if cols == 8:
        matvec_back_loop(rows, 8, stride, g, m, gm, x, gx)
    elif cols == 32:
        matvec_back_loop(rows, 32, stride, g, m, gm, x, gx)
    elif cols == 128:
        matvec_back_loop(rows, 128, stride, g, m, gm, x, gx)
    else:
        matvec_back_loop(rows, cols, stride, g, m, gm, x, gx)


cdef inline void vecmat(Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t stride, double *out,
                        const double *w, const double *m) noexcept nogil:
    cdef Py_ssize_t r, c
    for c in range(cols):
        out[c] = 0.0
    for r in range(rows):
        add_scaled(cols, out, w[r], m + r * stride)


cdef inline void vecmat_backward(Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t stride,
                                 const double *g, const double *w, double *gw,
                                 const double *m, double *gm) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(rows):
        gw[r] += dot(cols, g, m + r * stride)
        add_scaled(cols, gm + r * stride, w[r], g)


cdef inline void softmax(Py_ssize_t n, double *out, const double *a) noexcept nogil:
    cdef Py_ssize_t i
    cdef double biggest = -INFINITY
    cdef double scale
    for i in range(n):
        if a[i] > biggest:
            biggest = a[i]
    for i in range(n):
        out[i] = exp(a[i] - biggest)
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

cdef inline void adam(Py_ssize_t n, double *p, double *g, double *m, double *v,
                      double rate, double beta1, double beta2, double eps,
                      double v_scale) noexcept nogil:
    """rate = lr / (1 - beta1**t) and v_scale = 1 / sqrt(1 - beta2**t) hold the bias corrections.

    Sets g to zero as it goes: it is in the cache now.
    """
    cdef Py_ssize_t i
    cdef double mean, square
    for i in range(n):
        mean = beta1 * m[i] + (1.0 - beta1) * g[i]
        square = beta2 * v[i] + (1.0 - beta2) * g[i] * g[i]
        m[i] = mean
        v[i] = square
        p[i] -= rate * mean / (sqrt(square) * v_scale + eps)
        g[i] = 0.0
