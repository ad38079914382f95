/* The yardstick: the recipe of llmhard in plain C, gradients derived by hand, no library but libm.
 *
 *   cc -O3 -march=native -mprefer-vector-width=512 -ffast-math baseline.c -o baseline -lm
 *   baseline PARAMETERS TOKENS STEPS LR LOSSES
 *
 * PARAMETERS  float64, all matrices one after the other in the order of Config.shapes()
 * TOKENS      int32: the number of sentences, then for each its length and its tokens
 * LOSSES      written: float64, the loss of every step
 * It prints the seconds that the steps took. -DVOCAB=..., -DN_LAYER=... and so on set the sizes,
 * -DBATCH=16 the sentences of a step, whose loss is the mean over all their tokens.
 * With -DSINGLE all is computed in single precision.
 * With -DCHECK nothing is trained: LOSSES gets, for each step, the loss and all its gradients.
 * With -DPROFILE it also prints what forward, backward and the embeddings' Adam took.
 *
 * How it is fast:
 * - All positions of all sentences of a step are computed at once, and they are what lies in the
 *   lanes of vectors, one sentence after the other: an activation is stored as x[i] = (position 0,
 *   position 1, ...), so that a matrix product needs no sum across lanes: y[o] += w[o][i] * x[i],
 *   with w[o][i] in every lane. Softmax, exp and RMSNorm work on whole vectors in the same way.
 *   (Sixteen sentences one after the other, with their gradients added up, took 1.4 times as long
 *   with the default model and with microgpt's at width 64, and 1.7 times with microgpt's.)
 * - Attention goes by distance: the key of the position before is a vector that begins one lane
 *   earlier in memory. So sentences of any length stand side by side, nothing is padded, and no
 *   position looks at those after it.
 * - Each matrix product keeps its sums in registers; weights are stored row by row, [out, in], and
 *   are read once from their cache for each pass.
 * - The gradient of a weight is never stored: it is summed over the positions in registers, and
 *   Adam moves the weight at once, after the last use of its old value. So w, m and v are read
 *   and written once a step.
 * - Adam's sqrt(v), as slow as its division, starts from 1 / sqrt(v) in single precision, which
 *   processors approximate quickly, and Newton's method makes it double. -DINTRINSICS does the same
 *   for the division, with the AVX-512 instructions rsqrt14 and rcp14.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef INTRINSICS
#include <immintrin.h>
#endif

#ifndef VOCAB
#define VOCAB 597
#endif
#ifndef N_LAYER
#define N_LAYER 2
#endif
#ifndef N_EMBD
#define N_EMBD 32
#endif
#ifndef N_HEAD
#define N_HEAD 4
#endif
#ifndef BLOCK_SIZE
#define BLOCK_SIZE 16
#endif
#ifndef BATCH
#define BATCH 1
#endif

/* Bytes of a register, and sums that fit into the registers: 32 of them with AVX-512, else 16. A
 * product has ROWS x VECTORS sums, or SUMS of one vector. */
#if defined(__AVX512F__)
enum { REGISTER = 64, SUMS = 16, ROWS = 8, VECTORS = 3 };
#elif defined(__AVX__)
enum { REGISTER = 32, SUMS = 8, ROWS = 4, VECTORS = 3 };
#else
enum { REGISTER = 16, SUMS = 8, ROWS = 4, VECTORS = 2 };
#endif

/* A register of numbers, and of integers as wide; GCC and clang compile it for any processor. */
#ifdef SINGLE
typedef float real;
typedef int32_t integer;
enum { MANTISSA = 23, BIAS = 127 };
#else
typedef double real;
typedef int64_t integer;
enum { MANTISSA = 52, BIAS = 1023 };
#endif
typedef real vec __attribute__((vector_size(REGISTER)));
typedef integer mask __attribute__((vector_size(REGISTER)));
typedef real unaligned __attribute__((vector_size(REGISTER), aligned(sizeof(real)), may_alias));

#define SMALLER(a, b) ((a) < (b) ? (a) : (b))

enum {
    LANES = REGISTER / sizeof(real),
    HEAD_DIM = N_EMBD / N_HEAD,
    HIDDEN = 4 * N_EMBD,
    MAX_VECTORS = (BATCH * BLOCK_SIZE + LANES - 1) / LANES, /* of an activation, for all positions */
    MAX_POSITIONS = MAX_VECTORS * LANES,
    MAX_ROW = MAX_VECTORS + 1,                   /* see row_of() */
    DIMS = SMALLER(HEAD_DIM, SUMS / 2),          /* of a head, at once in registers */
    COLUMNS = SMALLER(N_EMBD / LANES, SUMS / 4), /* vectors of a gradient, at once in registers */
    UPDATE_ROWS = SUMS / COLUMNS,                /* and rows of it */
    LM_HEAD_ROWS = 64,
};
_Static_assert(N_EMBD % SUMS == 0 && VOCAB >= SUMS, "a product has enough rows for its registers");
_Static_assert(N_EMBD % (COLUMNS * LANES) == 0, "a row of weights is a whole number of pieces");
_Static_assert(HEAD_DIM % DIMS == 0, "a head is a whole number of pieces");

static const double EPS_RMSNORM = 1e-5, BETA1 = 0.9, BETA2 = 0.999, EPS_ADAM = 1e-8;

#define INLINE static inline __attribute__((always_inline))

/* ---------------------------------------------------------------- parameters */

typedef struct {
    real qkv[3 * N_EMBD][N_EMBD]; /* the query, key and value projections, one below the other */
    real out[N_EMBD][N_EMBD];
    real up[HIDDEN][N_EMBD];
    real down[N_EMBD][HIDDEN];
} Layer;

typedef struct {
    real wte[VOCAB][N_EMBD];
    real wpe[BLOCK_SIZE][N_EMBD];
    Layer layer[N_LAYER];
    real lm_head[VOCAB][N_EMBD];
} Parameters;

enum { N_PARAMETERS = sizeof(Parameters) / sizeof(real) };

static Parameters *w;
static real *m, *v; /* Adam's running means of the gradients and their squares, same order */

/* ---------------------------------------------------------------- vectors */

INLINE vec broadcast(real x) { return (vec){0} + x; }

INLINE vec maximum(vec a, vec b) {
    vec y;
    for (int l = 0; l < LANES; l++) y[l] = a[l] > b[l] ? a[l] : b[l];
    return y;
}

/* a where the mask is set, elsewhere b. */
INLINE vec choose(mask which, vec a, vec b) {
    return (vec)(((mask)a & which) | ((mask)b & ~which));
}

INLINE vec rsqrt(vec x) {
    vec y;
    for (int l = 0; l < LANES; l++) y[l] = 1 / (real)sqrt(x[l]);
    return y;
}

INLINE vec logarithm(vec x) {
    vec y;
    for (int l = 0; l < LANES; l++) y[l] = (real)log(x[l]);
    return y;
}

/* exp(x) for x <= 0: 2^k e^r with |r| <= log(2)/2, e^r by its Taylor series (error below 1e-16). */
INLINE vec exponential(vec x) {
    vec k;
#ifdef SINGLE
    x = maximum(x, broadcast(-87));
    for (int l = 0; l < LANES; l++) k[l] = rintf(x[l] * 0x1.715476p0f);
    vec r = x - k * 0x1.62e4p-1f - k * 0x1.7f7d1cp-20f, r2 = r * r;
    vec low = (1 + r) + r2 * (0.5f + r * (1.0f / 6));
    vec y = low + r2 * r2 * ((1.0f / 24 + r * (1.0f / 120)) + r2 * (1.0f / 720 + r * (1.0f / 5040)));
    k += 0x1.8p23f; /* now its lowest bits are the integer */
#else
    x = maximum(x, broadcast(-700.0));
    for (int l = 0; l < LANES; l++) k[l] = rint(x[l] * 0x1.71547652b82fep0);
    vec r = x - k * 0x1.62e42fefa39efp-1 - k * 0x1.abc9e3b39803fp-56;
    vec r2 = r * r, r4 = r2 * r2, r8 = r4 * r4;
    vec low = (1.0 + r) + r2 * (1.0 / 2 + r * (1.0 / 6));
    vec middle = (1.0 / 24 + r * (1.0 / 120)) + r2 * (1.0 / 720 + r * (1.0 / 5040));
    vec high = (1.0 / 40320 + r * (1.0 / 362880)) + r2 * (1.0 / 3628800 + r * (1.0 / 39916800));
    vec y = low + r4 * middle + r8 * (high + r4 * (1.0 / 479001600));
    k += 0x1.8p52; /* now its lowest bits are the integer */
#endif
    return y * (vec)(((mask)k + BIAS) << MANTISSA);
}

/* ---------------------------------------------------------------- matrix products */

/* Vectors from one activation to the next, of which nv are used: an odd number, since lines of
 * memory at distances that are powers of two push each other out of the cache. */
INLINE int row_of(int nv) { return nv < 3 ? nv : nv | 1; }

/* y[k][p] = sum over j of a[k * next_k + j * next_j] * x[j][p], for `rows` values of k and
 * `vectors` of p; `add`: added to what y is. */
INLINE void multiply(const real *a, int next_k, int next_j, const vec *x, int n_j, vec *y, int row,
                     int add, const int rows, const int vectors) {
    vec sum[SUMS * VECTORS];
#pragma GCC unroll 64
    for (int i = 0; i < rows * vectors; i++) sum[i] = (vec){0};
    for (int j = 0; j < n_j; j++)
#pragma GCC unroll 64
        for (int k = 0; k < rows; k++)
#pragma GCC unroll 64
            for (int p = 0; p < vectors; p++)
                sum[k * vectors + p] += a[j * next_j + k * next_k] * x[j * row + p];
#pragma GCC unroll 64
    for (int k = 0; k < rows; k++)
#pragma GCC unroll 64
        for (int p = 0; p < vectors; p++)
            y[k * row + p] = add ? y[k * row + p] + sum[k * vectors + p] : sum[k * vectors + p];
}

/* The same for n_k values of k, `rows` at a time; where that does not divide them, the last
 * `rows` are computed together and some of them twice. */
INLINE void multiply_rows(const real *a, int next_k, int next_j, const vec *x, int n_j, vec *y,
                          int n_k, int row, int add, const int rows, const int vectors) {
    for (int k = 0; k < n_k; k += rows) {
        if (k > n_k - rows) k = n_k - rows;
        multiply(a + k * next_k, next_k, next_j, x, n_j, y + k * row, row, add, rows, vectors);
    }
}

INLINE void multiply_all(const real *a, int next_k, int next_j, const vec *x, int n_j, vec *y,
                         int n_k, int nv, int add) {
    const int row = row_of(nv);
    int p = 0;
    if (nv >= VECTORS)
        for (; p + VECTORS <= nv; p += VECTORS)
            multiply_rows(a, next_k, next_j, x + p, n_j, y + p, n_k, row, add, ROWS, VECTORS);
    if (nv - p == 2)
        multiply_rows(a, next_k, next_j, x + p, n_j, y + p, n_k, row, add, ROWS, 2);
    else if (nv - p == 1)
        multiply_rows(a, next_k, next_j, x + p, n_j, y + p, n_k, row, add, SUMS, 1);
}

/* y = a x, or y += a x: y[n_out][nv], a[n_out][n_in], x[n_in][nv]. */
INLINE void forward(const real *a, const vec *x, vec *y, int n_out, int n_in, int nv, int add) {
    multiply_all(a, n_in, 1, x, n_in, y, n_out, nv, add);
}

/* dx = transposed a dy, or dx += that. */
INLINE void backward(const real *a, const vec *dy, vec *dx, int n_out, int n_in, int nv, int add) {
    multiply_all(a, 1, n_in, dy, n_out, dx, n_in, nv, add);
}

/* Put the even places of two vectors one after the other with their neighbours: a0 b0 a1 b1 ... */
INLINE void interleave(vec a, vec b, vec *first, vec *second) {
    mask low, high;
    for (int l = 0; l < LANES; l++) {
        low[l] = l / 2 + l % 2 * LANES;
        high[l] = low[l] + LANES / 2;
    }
#ifdef __clang__
    for (int l = 0; l < LANES; l++) {
        (*first)[l] = l % 2 ? b[l / 2] : a[l / 2];
        (*second)[l] = l % 2 ? b[(l + LANES) / 2] : a[(l + LANES) / 2];
    }
#else
    *first = __builtin_shuffle(a, b, low);
    *second = __builtin_shuffle(a, b, high);
#endif
}

/* Make columns of the rows of a square of LANES x LANES. */
INLINE void transpose(vec square[LANES]) {
    vec other[LANES];
#pragma GCC unroll 4
    for (int size = 1; size < LANES; size *= 2) {
#pragma GCC unroll 16
        for (int l = 0; l < LANES / 2; l++)
            interleave(square[l], square[l + LANES / 2], &other[2 * l], &other[2 * l + 1]);
#pragma GCC unroll 16
        for (int l = 0; l < LANES; l++) square[l] = other[l];
    }
}

/* From x[n][nv] with the positions in the lanes to rows[position][n]. */
INLINE void to_rows(const vec *x, real *rows, int n, int nv) {
    const int row = row_of(nv);
    for (int p = 0; p < nv; p++)
        for (int i = 0; i < n; i += LANES) {
            vec square[LANES];
#pragma GCC unroll 16
            for (int l = 0; l < LANES; l++) square[l] = x[(i + l) * row + p];
            transpose(square);
#pragma GCC unroll 16
            for (int l = 0; l < LANES; l++) *(vec *)(rows + (p * LANES + l) * n + i) = square[l];
        }
}

INLINE void from_rows(const real *rows, vec *x, int n, int nv) {
    const int row = row_of(nv);
    for (int p = 0; p < nv; p++)
        for (int i = 0; i < n; i += LANES) {
            vec square[LANES];
#pragma GCC unroll 16
            for (int l = 0; l < LANES; l++)
                square[l] = *(const vec *)(rows + (p * LANES + l) * n + i);
            transpose(square);
#pragma GCC unroll 16
            for (int l = 0; l < LANES; l++) x[(i + l) * row + p] = square[l];
        }
}

/* ---------------------------------------------------------------- Adam */

static real rate, epsilon; /* of this step, with the corrections for m and v starting at 0 */

static void adam_begin(double lr, int step) {
    double correction1 = 1 - pow(BETA1, step), correction2 = sqrt(1 - pow(BETA2, step));
    rate = (real)(lr * correction2 / correction1);
    epsilon = (real)(EPS_ADAM * correction2);
}

/* w -= rate * m / (sqrt(v) + epsilon), for a vector of parameters with the gradients g. */
INLINE void adam(real *parameters, vec g) {
    size_t i = (size_t)(parameters - (real *)w);
    vec *w_ = (vec *)parameters, *m_ = (vec *)(m + i), *v_ = (vec *)(v + i);
#ifdef CHECK
    (void)w_, (void)v_;
    *m_ = g;
#else
    const real beta1 = (real)BETA1, beta2 = (real)BETA2;
    vec m1 = *m_ = beta1 * *m_ + (1 - beta1) * g;
    vec v1 = *v_ = beta2 * *v_ + ((1 - beta2) * g) * g;
    vec r; /* about 1 / sqrt(v) */
    v1 += (real)1e-36; /* so that it is never 1 / 0; nothing, compared with epsilon */
#ifdef INTRINSICS
    r = (vec)_mm512_rsqrt14_pd((__m512d)v1);
    r += (real)0.5 * r * (1 - v1 * r * r);
#else
    for (int l = 0; l < LANES; l++) r[l] = 1.0f / sqrtf((float)v1[l]);
#endif
    vec s = v1 * r; /* about sqrt(v); one step of Newton's method makes it so */
    s += (real)0.5 * r * (v1 - s * s);
#ifdef INTRINSICS
    vec d = s + epsilon;
    vec y = (vec)_mm512_rcp14_pd((__m512d)d);
    y += y * (1 - d * y);
    y += y * (1 - d * y);
    *w_ -= rate * m1 * y;
#else
    *w_ -= rate * m1 / (s + epsilon);
#endif
#endif
}

INLINE void adam_row(real *parameters, const real *g) {
    for (int i = 0; i < N_EMBD; i += LANES) adam(parameters + i, *(const vec *)(g + i));
}

/* The gradient of `rows` rows of a and COLUMNS vectors of each, given to Adam: see update(). */
INLINE void update_piece(real *a, const real *dy, const real *x, int n_in, int row, int positions,
                         const int rows) {
    vec g[SUMS];
#pragma GCC unroll 16
    for (int i = 0; i < rows * COLUMNS; i++) g[i] = (vec){0};
    for (int t = 0; t < positions; t++)
#pragma GCC unroll 16
        for (int o = 0; o < rows; o++)
#pragma GCC unroll 16
            for (int k = 0; k < COLUMNS; k++)
                g[o * COLUMNS + k] +=
                    dy[o * row * LANES + t] * *(const vec *)(x + t * n_in + k * LANES);
#pragma GCC unroll 16
    for (int i = 0; i < rows * COLUMNS; i++)
        adam(a + i / COLUMNS * n_in + i % COLUMNS * LANES, g[i]);
}

/* The gradient of a[n_out][n_in], the sum over the positions of dy x, given to Adam.
 * dy has the positions in its lanes, x has them as its rows. */
INLINE void update(real *a, const vec *dy, const real *x, int n_out, int n_in, int nv,
                   int positions) {
    const int row = row_of(nv);
    int o = 0;
    for (; o + UPDATE_ROWS <= n_out; o += UPDATE_ROWS)
        for (int i = 0; i < n_in; i += COLUMNS * LANES)
            update_piece(a + o * n_in + i, (const real *)(dy + o * row), x + i, n_in, row,
                         positions, UPDATE_ROWS);
    for (; o < n_out; o++)
        for (int i = 0; i < n_in; i += COLUMNS * LANES)
            update_piece(a + o * n_in + i, (const real *)(dy + o * row), x + i, n_in, row,
                         positions, 1);
}

/* ---------------------------------------------------------------- rmsnorm */

/* y = x * scale; scale = 1 / sqrt(mean of x^2 + eps). */
INLINE void rmsnorm(const vec *x, vec *y, vec *scale, int nv) {
    const int row = row_of(nv);
    for (int p = 0; p < nv; p++) {
        vec sum[4] = {0};
        for (int i = 0; i < N_EMBD; i += 4)
            for (int k = 0; k < 4; k++) sum[k] += x[(i + k) * row + p] * x[(i + k) * row + p];
        vec s = rsqrt((sum[0] + sum[1] + sum[2] + sum[3]) / N_EMBD + (real)EPS_RMSNORM);
        for (int i = 0; i < N_EMBD; i++) y[i * row + p] = x[i * row + p] * s;
        scale[p] = s;
    }
}

/* dx += scale * (dy - y * mean of dy y). */
INLINE void rmsnorm_backward(const vec *y, const vec *scale, const vec *dy, vec *dx, int nv) {
    const int row = row_of(nv);
    for (int p = 0; p < nv; p++) {
        vec sum[4] = {0};
        for (int i = 0; i < N_EMBD; i += 4)
            for (int k = 0; k < 4; k++) sum[k] += dy[(i + k) * row + p] * y[(i + k) * row + p];
        vec mean = (sum[0] + sum[1] + sum[2] + sum[3]) / N_EMBD;
        for (int i = 0; i < N_EMBD; i++)
            dx[i * row + p] += scale[p] * (dy[i * row + p] - y[i * row + p] * mean);
    }
}

/* ---------------------------------------------------------------- the sentences of a step */

/* All their positions, one sentence after the other; in the lanes after the last one are zeros. */
typedef struct {
    int positions, nv; /* how many there are, and how many vectors hold them */
    int32_t token[MAX_POSITIONS], target[MAX_POSITIONS];
    union {
        mask in_vectors[MAX_VECTORS];
        integer of[MAX_POSITIONS];
    } before, after; /* how many positions of the same sentence there are */
    int most_before[MAX_VECTORS], most_after[MAX_VECTORS]; /* the largest of these in a vector */
} Step;

static void add_sentence(Step *step, const int32_t *tokens, int positions) {
    for (int i = 0, t = step->positions; i < positions; i++, t++) {
        step->token[t] = tokens[i];
        step->target[t] = tokens[i + 1];
        step->before.of[t] = i;
        step->after.of[t] = positions - 1 - i;
    }
    step->positions += positions;
}

static void end_step(Step *step) {
    step->nv = (step->positions + LANES - 1) / LANES;
    for (int t = step->positions; t < step->nv * LANES; t++)
        step->before.of[t] = step->after.of[t] = 0;
    for (int p = 0; p < step->nv; p++) {
        int before = 0, after = 0;
        for (int t = p * LANES; t < (p + 1) * LANES; t++) {
            if (step->before.of[t] > before) before = (int)step->before.of[t];
            if (step->after.of[t] > after) after = (int)step->after.of[t];
        }
        step->most_before[p] = before;
        step->most_after[p] = after;
    }
}

/* ---------------------------------------------------------------- attention */

/* x at the positions so much later; what lies beyond those of the step is not to be used. */
INLINE vec later(const vec *x, int by) { return (vec) * (const unaligned *)((const real *)x + by); }

/* out = the sum of the vectors of this position and the n - 1 before it, each times its weight. */
INLINE void weighted_sum(vec *out, const vec *vectors, const vec *weights, int n, int row) {
    for (int d0 = 0; d0 < HEAD_DIM; d0 += DIMS) {
        vec y[DIMS] = {0};
        for (int r = 0; r < n; r++)
#pragma GCC unroll 16
            for (int d = 0; d < DIMS; d++)
                y[d] += later(vectors + (d0 + d) * row, -r) * weights[r * row];
#pragma GCC unroll 16
        for (int d = 0; d < DIMS; d++) out[(d0 + d) * row] = y[d];
    }
}

/* weights[r][t] = how much position t takes from the one r before it: the softmax over r. */
INLINE void attention(const vec *q, const vec *keys, const vec *values, vec *weights, vec *mixed,
                      const Step *step, int nv) {
    const int row = row_of(nv);
    for (int h = 0; h < N_HEAD; h++)
        for (int p = 0; p < nv; p++) {
            const int at = h * HEAD_DIM * row + p;
            vec *weight = weights + h * BLOCK_SIZE * row + p;
            const int n = step->most_before[p] + 1;
            vec largest = broadcast((real)-1e30);
            for (int r = 0; r < n; r++) {
                vec score = {0};
                for (int d = 0; d < HEAD_DIM; d++)
                    score += later(keys + at + d * row, -r) * q[at + d * row];
                score *= (real)(1 / sqrt(HEAD_DIM));
                mask there = step->before.in_vectors[p] >= (integer)r;
                weight[r * row] = score = choose(there, score, broadcast((real)-1e30));
                largest = maximum(largest, score);
            }
            vec sum = {0};
            for (int r = 0; r < n; r++)
                sum += weight[r * row] = exponential(weight[r * row] - largest);
            vec inverse = 1 / sum;
            for (int r = 0; r < n; r++) weight[r * row] *= inverse;
            weighted_sum(mixed + at, values + at, weight, n, row);
        }
}

/* From dmixed to dq, dk and dv. */
INLINE void attention_backward(const vec *q, const vec *keys, const vec *values,
                               const vec *weights, const vec *dmixed, vec *dq, vec *dk, vec *dv,
                               const Step *step, int nv) {
    static vec dscores[BLOCK_SIZE * MAX_ROW];
    const int row = row_of(nv);
    for (int h = 0; h < N_HEAD; h++) {
        for (int p = 0; p < nv; p++) {
            const int at = h * HEAD_DIM * row + p;
            const vec *weight = weights + h * BLOCK_SIZE * row + p;
            vec *dscore = dscores + p;
            const int n = step->most_before[p] + 1;
            vec sum = {0};
            for (int r = 0; r < n; r++) {
                vec dweight = {0};
                for (int d = 0; d < HEAD_DIM; d++)
                    dweight += later(values + at + d * row, -r) * dmixed[at + d * row];
                dscore[r * row] = dweight;
                sum += dweight * weight[r * row];
            }
            for (int r = 0; r < n; r++)
                dscore[r * row] =
                    weight[r * row] * (dscore[r * row] - sum) * (real)(1 / sqrt(HEAD_DIM));
            weighted_sum(dq + at, keys + at, dscore, n, row);
        }
        for (int p = 0; p < nv; p++) /* what the positions after it take from each */
            for (int d0 = 0; d0 < HEAD_DIM; d0 += DIMS) {
                const int at = (h * HEAD_DIM + d0) * row + p;
                vec dk_[DIMS] = {0}, dv_[DIMS] = {0};
                for (int r = 0; r <= step->most_after[p]; r++) {
                    mask there = step->after.in_vectors[p] >= (integer)r;
                    vec dscore = later(dscores + r * row + p, r);
                    vec weight = later(weights + (h * BLOCK_SIZE + r) * row + p, r);
                    dscore = choose(there, dscore, broadcast(0));
                    weight = choose(there, weight, broadcast(0));
#pragma GCC unroll 16
                    for (int d = 0; d < DIMS; d++) {
                        dk_[d] += later(q + at + d * row, r) * dscore;
                        dv_[d] += later(dmixed + at + d * row, r) * weight;
                    }
                }
#pragma GCC unroll 16
                for (int d = 0; d < DIMS; d++) {
                    dk[at + d * row] = dk_[d];
                    dv[at + d * row] = dv_[d];
                }
            }
    }
}

/* ---------------------------------------------------------------- a step */

enum { FORWARD, BACKWARD, EMBEDDINGS, PHASES };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#ifdef PROFILE
static double spent[PHASES], since;
#define MARK(phase) (spent[phase] += now() - since, since = now())
#else
#define MARK(phase) (void)0
#endif

/* What backward needs again from forward. */
typedef struct {
    vec normed1[N_EMBD * MAX_ROW], scale1[MAX_VECTORS];
    vec qkv[(3 * N_EMBD + 1) * MAX_ROW];
    vec weights[(N_HEAD * BLOCK_SIZE + 1) * MAX_ROW];
    vec mixed[N_EMBD * MAX_ROW];
    vec normed2[N_EMBD * MAX_ROW], scale2[MAX_VECTORS];
    vec hidden[HIDDEN * MAX_ROW];
} Activations;

/* The sentences of a step, whose positions are in nv vectors. Returns the loss. */
INLINE double train(const Step *step, int nv) {
    static Activations activations[N_LAYER];
    static vec embedded[N_EMBD * MAX_ROW], scale0[MAX_VECTORS];
    static vec x[N_EMBD * MAX_ROW], logits[VOCAB * MAX_ROW];
    static real rows[MAX_POSITIONS * HIDDEN] __attribute__((aligned(64)));
    const int row = row_of(nv), positions = step->positions;
    const int width = N_EMBD * row; /* vectors of an activation */

    /* Forward. */
    memset(rows + positions * N_EMBD, 0, sizeof(real) * (nv * LANES - positions) * N_EMBD);
    for (int t = 0; t < positions; t++)
        for (int i = 0; i < N_EMBD; i++)
            rows[t * N_EMBD + i] = w->wte[step->token[t]][i] + w->wpe[step->before.of[t]][i];
    from_rows(rows, x, N_EMBD, nv);
    rmsnorm(x, embedded, scale0, nv);
    memcpy(x, embedded, sizeof(vec) * width);
    for (int l = 0; l < N_LAYER; l++) {
        Layer *layer = &w->layer[l];
        Activations *a = &activations[l];
        rmsnorm(x, a->normed1, a->scale1, nv);
        forward(layer->qkv[0], a->normed1, a->qkv, 3 * N_EMBD, N_EMBD, nv, 0);
        attention(a->qkv, a->qkv + width, a->qkv + 2 * width, a->weights, a->mixed, step, nv);
        forward(layer->out[0], a->mixed, x, N_EMBD, N_EMBD, nv, 1);
        rmsnorm(x, a->normed2, a->scale2, nv);
        forward(layer->up[0], a->normed2, a->hidden, HIDDEN, N_EMBD, nv, 0);
        for (int i = 0; i < HIDDEN * row; i++) a->hidden[i] = maximum(a->hidden[i], broadcast(0));
        forward(layer->down[0], a->hidden, x, N_EMBD, HIDDEN, nv, 1);
    }
    forward(w->lm_head[0], x, logits, VOCAB, N_EMBD, nv, 0);

    /* The loss, and its gradient but for a factor in place of the logits: exp - target * sum. */
    double loss = 0;
    static vec scale[MAX_VECTORS];
    for (int p = 0; p < nv; p++) {
        vec largest = logits[p], sum = {0};
        for (int o = 1; o < VOCAB; o++) largest = maximum(largest, logits[o * row + p]);
        for (int l = 0, t = p * LANES; l < LANES && t < positions; l++, t++)
            loss -= logits[step->target[t] * row + p][l] - largest[l];
        for (int o = 0; o < VOCAB; o++)
            sum += logits[o * row + p] = exponential(logits[o * row + p] - largest);
        vec log_sum = logarithm(sum);
        scale[p] = (vec){0}; /* it stays 0 where there is no position */
        for (int l = 0, t = p * LANES; l < LANES && t < positions; l++, t++) {
            loss += log_sum[l];
            scale[p][l] = 1 / (sum[l] * (real)positions);
            logits[step->target[t] * row + p][l] -= sum[l];
        }
    }
    MARK(FORWARD);

    /* Backward: through a matrix first, then its own gradient. */
    static vec dx[N_EMBD * MAX_ROW], dnormed[(N_EMBD + 1) * MAX_ROW];
    static vec dqkv[3 * N_EMBD * MAX_ROW], dhidden[HIDDEN * MAX_ROW];
    to_rows(x, rows, N_EMBD, nv);
    for (int o = 0; o < VOCAB; o += LM_HEAD_ROWS) { /* few enough rows to stay in the L1 cache */
        int n = VOCAB - o < LM_HEAD_ROWS ? VOCAB - o : LM_HEAD_ROWS;
        vec *dlogits = logits + o * row;
        for (int i = 0; i < n; i++)
            for (int p = 0; p < nv; p++) dlogits[i * row + p] *= scale[p];
        backward(w->lm_head[o], dlogits, dx, n, N_EMBD, nv, o > 0);
        update(w->lm_head[o], dlogits, rows, n, N_EMBD, nv, positions);
    }
    for (int l = N_LAYER - 1; l >= 0; l--) {
        Layer *layer = &w->layer[l];
        Activations *a = &activations[l];
        backward(layer->down[0], dx, dhidden, N_EMBD, HIDDEN, nv, 0);
        to_rows(a->hidden, rows, HIDDEN, nv);
        update(layer->down[0], dx, rows, N_EMBD, HIDDEN, nv, positions);
        for (int i = 0; i < HIDDEN * row; i++)
            dhidden[i] = (vec)((mask)dhidden[i] & (a->hidden[i] > 0));
        backward(layer->up[0], dhidden, dnormed, HIDDEN, N_EMBD, nv, 0);
        to_rows(a->normed2, rows, N_EMBD, nv);
        update(layer->up[0], dhidden, rows, HIDDEN, N_EMBD, nv, positions);
        rmsnorm_backward(a->normed2, a->scale2, dnormed, dx, nv);

        backward(layer->out[0], dx, dnormed, N_EMBD, N_EMBD, nv, 0);
        to_rows(a->mixed, rows, N_EMBD, nv);
        update(layer->out[0], dx, rows, N_EMBD, N_EMBD, nv, positions);
        attention_backward(a->qkv, a->qkv + width, a->qkv + 2 * width, a->weights, dnormed, dqkv,
                           dqkv + width, dqkv + 2 * width, step, nv);
        backward(layer->qkv[0], dqkv, dnormed, 3 * N_EMBD, N_EMBD, nv, 0);
        to_rows(a->normed1, rows, N_EMBD, nv);
        update(layer->qkv[0], dqkv, rows, 3 * N_EMBD, N_EMBD, nv, positions);
        rmsnorm_backward(a->normed1, a->scale1, dnormed, dx, nv);
    }
    memset(dnormed, 0, sizeof(vec) * width);
    rmsnorm_backward(embedded, scale0, dx, dnormed, nv);
    to_rows(dnormed, rows, N_EMBD, nv);
    MARK(BACKWARD);

    /* The embeddings: most of their rows have no gradient, but Adam moves them all the same. */
    static const real zero[N_EMBD] __attribute__((aligned(64)));
    static real of_tokens[MAX_POSITIONS * N_EMBD] __attribute__((aligned(64)));
    static real of_places[BLOCK_SIZE * N_EMBD] __attribute__((aligned(64)));
    static real *gradient[VOCAB]; /* of each row of wte: in of_tokens, or null */
    memset(of_places, 0, sizeof(of_places));
    for (int t = 0; t < positions; t++) {
        real **g = &gradient[step->token[t]], *place = of_places + step->before.of[t] * N_EMBD;
        if (!*g) *g = memset(of_tokens + t * N_EMBD, 0, sizeof(real) * N_EMBD);
        for (int i = 0; i < N_EMBD; i++) (*g)[i] += rows[t * N_EMBD + i];
        for (int i = 0; i < N_EMBD; i++) place[i] += rows[t * N_EMBD + i];
    }
    for (int o = 0; o < VOCAB; o++) adam_row(w->wte[o], gradient[o] ? gradient[o] : zero);
    for (int t = 0; t < positions; t++) gradient[step->token[t]] = NULL;
    for (int t = 0; t < BLOCK_SIZE; t++) adam_row(w->wpe[t], of_places + t * N_EMBD);
    MARK(EMBEDDINGS);
    return loss / positions;
}

static double train_step(const Step *step) {
    /* constants for single sentences of up to 8 positions, whatever the width of a register */
    if (BATCH == 1 && step->nv == 1) return train(step, 1);
    if (BATCH == 1 && MAX_VECTORS >= 2 && step->nv == 2) return train(step, 2);
    if (BATCH == 1 && MAX_VECTORS >= 4 && LANES == 2 && step->nv <= 4) return train(step, 4);
    return train(step, step->nv);
}

/* ---------------------------------------------------------------- files */

static void *aligned_array(size_t n, size_t size) {
    void *array = aligned_alloc(64, (n * size + 63) / 64 * 64);
    if (!array) exit(1);
    memset(array, 0, n * size);
    return array;
}

static FILE *open_file(const char *path, const char *mode) {
    FILE *file = fopen(path, mode);
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

static void read_file(FILE *file, void *to, size_t size, size_t n) {
    if (fread(to, size, n, file) != n) {
        fprintf(stderr, "a file is shorter than it should be\n");
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: baseline PARAMETERS TOKENS STEPS LR LOSSES\n");
        return 2;
    }
    m = (real *)(w = aligned_array(3 * N_PARAMETERS, sizeof(real))) + N_PARAMETERS;
    v = m + N_PARAMETERS;
    FILE *file = open_file(argv[1], "rb");
    for (int i = 0; i < N_PARAMETERS; i++) {
        double number;
        read_file(file, &number, sizeof(double), 1);
        ((real *)w)[i] = (real)number;
    }
    fclose(file);

    file = open_file(argv[2], "rb");
    int32_t n_sentences;
    read_file(file, &n_sentences, sizeof(int32_t), 1);
    int32_t(*tokens)[BLOCK_SIZE + 1] = malloc(sizeof(*tokens) * (size_t)n_sentences);
    int32_t *length = malloc(sizeof(int32_t) * (size_t)n_sentences);
    for (int i = 0; i < n_sentences; i++) {
        read_file(file, &length[i], sizeof(int32_t), 1);
        if (length[i] < 2 || length[i] > BLOCK_SIZE + 1) {
            fprintf(stderr, "a sentence has %d tokens\n", length[i]);
            return 1;
        }
        read_file(file, tokens[i], sizeof(int32_t), (size_t)length[i]);
    }
    fclose(file);

    int steps = atoi(argv[3]);
    double lr = atof(argv[4]);
    double *losses = aligned_array((size_t)steps, sizeof(double));
    file = open_file(argv[5], "wb");
    double start = now();
#ifdef PROFILE
    since = start;
#endif
    static Step sentences;
    for (int step = 0; step < steps; step++) {
        sentences.positions = 0;
        for (int i = step * BATCH; i < (step + 1) * BATCH; i++)
            add_sentence(&sentences, tokens[i % n_sentences], length[i % n_sentences] - 1);
        end_step(&sentences);
        adam_begin(lr * (1 - (double)step / steps), step + 1);
        losses[step] = train_step(&sentences);
#ifdef CHECK
        fwrite(&losses[step], sizeof(double), 1, file);
        for (int i = 0; i < N_PARAMETERS; i++) {
            double number = m[i];
            fwrite(&number, sizeof(double), 1, file);
        }
#endif
    }
    printf("%.9f\n", now() - start);
#ifdef PROFILE
    for (int phase = 0; phase < PHASES; phase++) printf("%.6f ms\n", 1e3 * spent[phase] / steps);
#endif
#ifndef CHECK
    fwrite(losses, sizeof(double), (size_t)steps, file);
#endif
    fclose(file);
    return 0;
}
