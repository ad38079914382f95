/* The yardstick: the recipe of llmhard in plain C, gradients derived by hand, no library but libm.
 *
 *   cc -O3 -march=native -mprefer-vector-width=512 -ffast-math baseline.c -o baseline -lm
 *   baseline PARAMETERS TOKENS STEPS LR LOSSES
 *
 * PARAMETERS  float64, all matrices one after the other in the order of Config.shapes()
 * TOKENS      int32: the number of sentences, then for each its length and its tokens
 * LOSSES      written: float64, the loss of every step
 * It prints the seconds that the steps took. -DVOCAB=..., -DN_LAYER=... and so on set the sizes.
 * With -DCHECK nothing is trained: LOSSES gets, for each step, the loss and all its gradients.
 * With -DPROFILE it also prints what forward, backward and the embeddings' Adam took.
 *
 * How it is fast:
 * - All positions of a sentence are computed at once, and they are what lies in the lanes of a
 *   vector: an activation is stored as x[i] = (position 0, ..., position 7), so that a matrix
 *   product needs no sum across lanes: y[o] += w[o][i] * x[i], with w[o][i] in every lane. Softmax,
 *   exp and RMSNorm work on whole vectors in the same way. Sentences of more positions than a
 *   register has doubles take two vectors an activation, and so on up to the context.
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

/* Numbers in a register, and sums that fit into the registers: 32 of them with AVX-512, else 16. */
#if defined(__AVX512F__)
enum { LANES = 8, SUMS = 16 };
#elif defined(__AVX__)
enum { LANES = 4, SUMS = 8 };
#else
enum { LANES = 2, SUMS = 8 };
#endif

enum {
    HEAD_DIM = N_EMBD / N_HEAD,
    HIDDEN = 4 * N_EMBD,
    MAX_VECTORS = (BLOCK_SIZE + LANES - 1) / LANES, /* of an activation, for all positions */
    MAX_POSITIONS = MAX_VECTORS * LANES,
    LM_HEAD_ROWS = 64,
};
_Static_assert(N_EMBD % 32 == 0, "the weights are updated in pieces of 32");
_Static_assert(HEAD_DIM % LANES == 0, "a head is a whole number of vectors");

static const double EPS_RMSNORM = 1e-5, BETA1 = 0.9, BETA2 = 0.999, EPS_ADAM = 1e-8;

/* A register of doubles; GCC and clang compile it for any processor. */
typedef double vec __attribute__((vector_size(8 * LANES)));
typedef int64_t mask __attribute__((vector_size(8 * LANES)));

#define INLINE static inline __attribute__((always_inline))

/* ---------------------------------------------------------------- parameters */

typedef struct {
    double qkv[3 * N_EMBD][N_EMBD]; /* the query, key and value projections, one below the other */
    double out[N_EMBD][N_EMBD];
    double up[HIDDEN][N_EMBD];
    double down[N_EMBD][HIDDEN];
} Layer;

typedef struct {
    double wte[VOCAB][N_EMBD];
    double wpe[BLOCK_SIZE][N_EMBD];
    Layer layer[N_LAYER];
    double lm_head[VOCAB][N_EMBD];
} Parameters;

enum { N_PARAMETERS = sizeof(Parameters) / sizeof(double) };

static Parameters *w;
static double *m, *v; /* Adam's running means of the gradients and their squares, same order */

/* ---------------------------------------------------------------- vectors */

INLINE vec broadcast(double x) { return (vec){0} + x; }

INLINE vec maximum(vec a, vec b) {
    vec y;
    for (int l = 0; l < LANES; l++) y[l] = a[l] > b[l] ? a[l] : b[l];
    return y;
}

INLINE vec rsqrt(vec x) {
    vec y;
    for (int l = 0; l < LANES; l++) y[l] = 1.0 / sqrt(x[l]);
    return y;
}

/* exp(x) for x <= 0: 2^k e^r with |r| <= log(2)/2, e^r by its Taylor series (error below 1e-16). */
INLINE vec exponential(vec x) {
    vec k;
    x = maximum(x, broadcast(-700.0));
    for (int l = 0; l < LANES; l++) k[l] = rint(x[l] * 0x1.71547652b82fep0);
    mask power = (__builtin_convertvector(k, mask) + 1023) << 52;
    vec r = x - k * 0x1.62e42fefa39efp-1 - k * 0x1.abc9e3b39803fp-56;
    vec r2 = r * r, r4 = r2 * r2, r8 = r4 * r4;
    vec low = (1.0 + r) + r2 * (1.0 / 2 + r * (1.0 / 6));
    vec middle = (1.0 / 24 + r * (1.0 / 120)) + r2 * (1.0 / 720 + r * (1.0 / 5040));
    vec high = (1.0 / 40320 + r * (1.0 / 362880)) + r2 * (1.0 / 3628800 + r * (1.0 / 39916800));
    return (low + r4 * middle + r8 * (high + r4 * (1.0 / 479001600))) * (vec)power;
}

/* ---------------------------------------------------------------- matrix products */

/* y[k] = sum over j of a[k * next_k + j * next_j] * x[j], for SUMS (or 1) values of k;
 * `add`: added to what y is. */
INLINE void multiply(const double *a, int next_k, int next_j, const vec *x, int n_j, vec *y, int nv,
                     int add) {
    vec sum[SUMS] = {0};
    for (int j = 0; j < n_j; j++)
#pragma GCC unroll 16
        for (int k = 0; k < SUMS; k++) sum[k] += a[j * next_j + k * next_k] * x[j * nv];
#pragma GCC unroll 16
    for (int k = 0; k < SUMS; k++) y[k * nv] = add ? y[k * nv] + sum[k] : sum[k];
}

INLINE void multiply_one(const double *a, const vec *x, int n_j, vec *y, int nv, int add) {
    vec y0 = {0};
    for (int j = 0; j < n_j; j++) y0 += a[j] * x[j * nv];
    *y = add ? *y + y0 : y0;
}

/* y = a x, or y += a x: y[n_out][nv], a[n_out][n_in], x[n_in][nv]. */
INLINE void forward(const double *a, const vec *x, vec *y, int n_out, int n_in, int nv, int add) {
    for (int p = 0; p < nv; p++) {
        int o = 0;
        for (; o + SUMS <= n_out; o += SUMS)
            multiply(a + o * n_in, n_in, 1, x + p, n_in, y + o * nv + p, nv, add);
        for (; o < n_out; o++) multiply_one(a + o * n_in, x + p, n_in, y + o * nv + p, nv, add);
    }
}

/* dx = transposed a dy, or dx += that. */
INLINE void backward(const double *a, const vec *dy, vec *dx, int n_out, int n_in, int nv,
                     int add) {
    for (int p = 0; p < nv; p++)
        for (int i = 0; i < n_in; i += SUMS)
            multiply(a + i, 1, n_in, dy + p, n_out, dx + i * nv + p, nv, add);
}

/* From x[n][nv] with the positions in the lanes to rows[position][n]. */
INLINE void to_rows(const vec *x, double *rows, int n, int nv) {
    for (int i = 0; i < n; i += LANES)
        for (int p = 0; p < nv; p++)
            for (int t = 0; t < LANES; t++) {
                vec row;
                for (int k = 0; k < LANES; k++) row[k] = x[(i + k) * nv + p][t];
                *(vec *)(rows + (p * LANES + t) * n + i) = row;
            }
}

INLINE void from_rows(const double *rows, vec *x, int n, int nv) {
    for (int i = 0; i < n; i++)
        for (int p = 0; p < nv; p++)
            for (int t = 0; t < LANES; t++) x[i * nv + p][t] = rows[(p * LANES + t) * n + i];
}

/* ---------------------------------------------------------------- Adam */

static double rate, epsilon; /* of this step, with the corrections for m and v starting at 0 */

static void adam_begin(double lr, int step) {
    double correction1 = 1 - pow(BETA1, step), correction2 = sqrt(1 - pow(BETA2, step));
    rate = lr * correction2 / correction1;
    epsilon = EPS_ADAM * correction2;
}

/* w -= rate * m / (sqrt(v) + epsilon), for a vector of parameters with the gradients g. */
INLINE void adam(double *parameters, vec g) {
    size_t i = (size_t)(parameters - (double *)w);
    vec *w_ = (vec *)parameters, *m_ = (vec *)(m + i), *v_ = (vec *)(v + i);
#ifdef CHECK
    (void)w_, (void)v_;
    *m_ = g;
#else
    vec m1 = *m_ = BETA1 * *m_ + (1 - BETA1) * g;
    vec v1 = *v_ = BETA2 * *v_ + ((1 - BETA2) * g) * g;
    vec r; /* about 1 / sqrt(v) */
    v1 += 1e-36; /* so that it is never 1 / 0; nothing, compared with epsilon */
#ifdef INTRINSICS
    r = (vec)_mm512_rsqrt14_pd((__m512d)v1);
    r += 0.5 * r * (1 - v1 * r * r);
#else
    for (int l = 0; l < LANES; l++) r[l] = 1.0f / sqrtf((float)v1[l]);
#endif
    vec s = v1 * r; /* about sqrt(v); one step of Newton's method makes it so */
    s += 0.5 * r * (v1 - s * s);
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

INLINE void adam_row(double *parameters, const double *g) {
    for (int i = 0; i < N_EMBD; i += LANES) adam(parameters + i, *(const vec *)(g + i));
}

/* The gradient of a[n_out][n_in], the sum over the positions of dy x, given to Adam.
 * dy has the positions in its lanes, x has them as its rows. */
INLINE void update(double *a, const vec *dy, const double *x, int n_out, int n_in, int nv,
                   int positions) {
    const double *dy_ = (const double *)dy;
    for (int o = 0; o < n_out; o++)
        for (int i = 0; i < n_in; i += 4 * LANES) {
            vec g[4] = {0};
            for (int t = 0; t < positions; t++) {
                const vec *xt = (const vec *)(x + t * n_in + i);
                double d = dy_[o * nv * LANES + t];
                g[0] += d * xt[0];
                g[1] += d * xt[1];
                g[2] += d * xt[2];
                g[3] += d * xt[3];
            }
            for (int k = 0; k < 4; k++) adam(a + o * n_in + i + k * LANES, g[k]);
        }
}

/* ---------------------------------------------------------------- rmsnorm */

/* y = x * scale; scale = 1 / sqrt(mean of x^2 + eps). */
INLINE void rmsnorm(const vec *x, vec *y, vec *scale, int nv) {
    for (int p = 0; p < nv; p++) {
        vec sum[4] = {0};
        for (int i = 0; i < N_EMBD; i += 4)
            for (int k = 0; k < 4; k++) sum[k] += x[(i + k) * nv + p] * x[(i + k) * nv + p];
        vec s = rsqrt((sum[0] + sum[1] + sum[2] + sum[3]) / N_EMBD + EPS_RMSNORM);
        for (int i = 0; i < N_EMBD; i++) y[i * nv + p] = x[i * nv + p] * s;
        scale[p] = s;
    }
}

/* dx += scale * (dy - y * mean of dy y). */
INLINE void rmsnorm_backward(const vec *y, const vec *scale, const vec *dy, vec *dx, int nv) {
    for (int p = 0; p < nv; p++) {
        vec sum[4] = {0};
        for (int i = 0; i < N_EMBD; i += 4)
            for (int k = 0; k < 4; k++) sum[k] += dy[(i + k) * nv + p] * y[(i + k) * nv + p];
        vec mean = (sum[0] + sum[1] + sum[2] + sum[3]) / N_EMBD;
        for (int i = 0; i < N_EMBD; i++)
            dx[i * nv + p] += scale[p] * (dy[i * nv + p] - y[i * nv + p] * mean);
    }
}

/* ---------------------------------------------------------------- attention */

/* weights[s][t] = how much position t takes from position s: the softmax over s <= t. */
INLINE void attention(const vec *q, const vec *keys, const vec *values, vec *weights, vec *mixed,
                      int positions, int nv) {
    const double *k_ = (const double *)keys, *v_ = (const double *)values;
    for (int h = 0; h < N_HEAD; h++) {
        int d0 = h * HEAD_DIM;
        vec *weight = weights + h * MAX_POSITIONS * nv;
        for (int p = 0; p < nv; p++) {
            mask t;
            for (int l = 0; l < LANES; l++) t[l] = p * LANES + l;
            vec largest = broadcast(-1e300);
            for (int s = 0; s < positions; s++) {
                vec score = {0};
                for (int d = d0; d < d0 + HEAD_DIM; d++)
                    score += k_[d * nv * LANES + s] * q[d * nv + p];
                score *= 1 / sqrt(HEAD_DIM);
                weight[s * nv + p] = score;
                largest = maximum(largest, score);
            }
            vec sum = {0};
            for (int s = 0; s < positions; s++) {
                vec e = exponential(weight[s * nv + p] - largest);
                e = (vec)((mask)e & (t >= (int64_t)s));
                weight[s * nv + p] = e;
                sum += e;
            }
            vec inverse = 1.0 / sum;
            for (int s = 0; s < positions; s++) weight[s * nv + p] *= inverse;
            for (int d = d0; d < d0 + HEAD_DIM; d++) {
                vec y = {0};
                for (int s = 0; s < positions; s++)
                    y += v_[d * nv * LANES + s] * weight[s * nv + p];
                mixed[d * nv + p] = y;
            }
        }
    }
}

/* From dmixed to dq (positions in the lanes), dk and dv (positions as rows). */
INLINE void attention_backward(const double *q_rows, const vec *keys, const vec *values,
                               const vec *weights, const vec *dmixed, const double *dmixed_rows,
                               vec *dq, double *dk, double *dv, int positions, int nv) {
    const double *k_ = (const double *)keys, *v_ = (const double *)values;
    for (int h = 0; h < N_HEAD; h++) {
        int d0 = h * HEAD_DIM;
        const vec *weight = weights + h * MAX_POSITIONS * nv;
        vec dscore[MAX_POSITIONS * MAX_VECTORS];
        for (int p = 0; p < nv; p++) {
            vec sum = {0};
            for (int s = 0; s < positions; s++) {
                vec dweight = {0};
                for (int d = d0; d < d0 + HEAD_DIM; d++)
                    dweight += v_[d * nv * LANES + s] * dmixed[d * nv + p];
                dscore[s * nv + p] = dweight;
                sum += dweight * weight[s * nv + p];
            }
            for (int s = 0; s < positions; s++)
                dscore[s * nv + p] =
                    weight[s * nv + p] * (dscore[s * nv + p] - sum) * (1 / sqrt(HEAD_DIM));
            for (int d = d0; d < d0 + HEAD_DIM; d++) {
                vec y = {0};
                for (int s = 0; s < positions; s++)
                    y += k_[d * nv * LANES + s] * dscore[s * nv + p];
                dq[d * nv + p] = y;
            }
        }
        const double *dscore_ = (const double *)dscore, *weight_ = (const double *)weight;
        for (int s = 0; s < positions; s++)
            for (int d = d0; d < d0 + HEAD_DIM; d += LANES) {
                vec dk_s = {0}, dv_s = {0};
                for (int t = s; t < positions; t++) {
                    dk_s += dscore_[s * nv * LANES + t] * *(const vec *)(q_rows + t * N_EMBD + d);
                    dv_s +=
                        weight_[s * nv * LANES + t] * *(const vec *)(dmixed_rows + t * N_EMBD + d);
                }
                *(vec *)(dk + s * N_EMBD + d) = dk_s;
                *(vec *)(dv + s * N_EMBD + d) = dv_s;
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
    vec normed1[N_EMBD * MAX_VECTORS], scale1[MAX_VECTORS];
    vec qkv[3 * N_EMBD * MAX_VECTORS];
    vec weights[N_HEAD * MAX_POSITIONS * MAX_VECTORS];
    vec mixed[N_EMBD * MAX_VECTORS];
    vec normed2[N_EMBD * MAX_VECTORS], scale2[MAX_VECTORS];
    vec hidden[HIDDEN * MAX_VECTORS];
} Activations;

/* One sentence of positions + 1 tokens; nv vectors hold its positions. Returns the loss. */
INLINE double train_sentence(const int32_t *tokens, int positions, int nv) {
    static Activations activations[N_LAYER];
    static vec embedded[N_EMBD * MAX_VECTORS], scale0[MAX_VECTORS];
    static vec x[N_EMBD * MAX_VECTORS], logits[VOCAB * MAX_VECTORS];
    static double rows[MAX_POSITIONS * HIDDEN] __attribute__((aligned(64)));
    const int width = N_EMBD * nv; /* vectors of an activation */

    /* Forward. */
    memset(rows, 0, sizeof(double) * MAX_POSITIONS * N_EMBD);
    for (int t = 0; t < positions; t++)
        for (int i = 0; i < N_EMBD; i++)
            rows[t * N_EMBD + i] = w->wte[tokens[t]][i] + w->wpe[t][i];
    from_rows(rows, x, N_EMBD, nv);
    rmsnorm(x, embedded, scale0, nv);
    memcpy(x, embedded, sizeof(vec) * width);
    for (int l = 0; l < N_LAYER; l++) {
        Layer *layer = &w->layer[l];
        Activations *a = &activations[l];
        rmsnorm(x, a->normed1, a->scale1, nv);
        forward(layer->qkv[0], a->normed1, a->qkv, 3 * N_EMBD, N_EMBD, nv, 0);
        attention(a->qkv, a->qkv + width, a->qkv + 2 * width, a->weights, a->mixed, positions, nv);
        forward(layer->out[0], a->mixed, x, N_EMBD, N_EMBD, nv, 1);
        rmsnorm(x, a->normed2, a->scale2, nv);
        forward(layer->up[0], a->normed2, a->hidden, HIDDEN, N_EMBD, nv, 0);
        for (int i = 0; i < HIDDEN * nv; i++) a->hidden[i] = maximum(a->hidden[i], broadcast(0));
        forward(layer->down[0], a->hidden, x, N_EMBD, HIDDEN, nv, 1);
    }
    forward(w->lm_head[0], x, logits, VOCAB, N_EMBD, nv, 0);

    /* The loss, and its gradient in place of the logits: (probability - target) / positions. */
    double loss = 0;
    for (int p = 0; p < nv; p++) {
        vec largest = logits[p], sum = {0}, scale = {0};
        for (int o = 1; o < VOCAB; o++) largest = maximum(largest, logits[o * nv + p]);
        for (int l = 0, t = p * LANES; l < LANES && t < positions; l++, t++)
            loss -= logits[tokens[t + 1] * nv + p][l] - largest[l];
        for (int o = 0; o < VOCAB; o++)
            sum += logits[o * nv + p] = exponential(logits[o * nv + p] - largest);
        for (int l = 0, t = p * LANES; l < LANES && t < positions; l++, t++) {
            loss += log(sum[l]);
            scale[l] = 1 / (sum[l] * positions); /* stays 0 where there is no position */
        }
        for (int o = 0; o < VOCAB; o++) logits[o * nv + p] *= scale;
        for (int l = 0, t = p * LANES; l < LANES && t < positions; l++, t++)
            logits[tokens[t + 1] * nv + p][l] -= 1.0 / positions;
    }
    MARK(FORWARD);

    /* Backward: through a matrix first, then its own gradient. */
    static vec dx[N_EMBD * MAX_VECTORS], dnormed[N_EMBD * MAX_VECTORS];
    static vec dqkv[3 * N_EMBD * MAX_VECTORS], dhidden[HIDDEN * MAX_VECTORS];
    static double dkeys[MAX_POSITIONS * N_EMBD] __attribute__((aligned(64)));
    static double dvalues[MAX_POSITIONS * N_EMBD] __attribute__((aligned(64)));
    static double rows2[MAX_POSITIONS * N_EMBD] __attribute__((aligned(64)));
    to_rows(x, rows, N_EMBD, nv);
    for (int o = 0; o < VOCAB; o += LM_HEAD_ROWS) { /* few enough rows to stay in the L1 cache */
        int n = VOCAB - o < LM_HEAD_ROWS ? VOCAB - o : LM_HEAD_ROWS;
        backward(w->lm_head[o], logits + o * nv, dx, n, N_EMBD, nv, o > 0);
        update(w->lm_head[o], logits + o * nv, rows, n, N_EMBD, nv, positions);
    }
    for (int l = N_LAYER - 1; l >= 0; l--) {
        Layer *layer = &w->layer[l];
        Activations *a = &activations[l];
        backward(layer->down[0], dx, dhidden, N_EMBD, HIDDEN, nv, 0);
        to_rows(a->hidden, rows, HIDDEN, nv);
        update(layer->down[0], dx, rows, N_EMBD, HIDDEN, nv, positions);
        for (int i = 0; i < HIDDEN * nv; i++)
            dhidden[i] = (vec)((mask)dhidden[i] & (a->hidden[i] > 0));
        backward(layer->up[0], dhidden, dnormed, HIDDEN, N_EMBD, nv, 0);
        to_rows(a->normed2, rows, N_EMBD, nv);
        update(layer->up[0], dhidden, rows, HIDDEN, N_EMBD, nv, positions);
        rmsnorm_backward(a->normed2, a->scale2, dnormed, dx, nv);

        backward(layer->out[0], dx, dnormed, N_EMBD, N_EMBD, nv, 0);
        to_rows(a->mixed, rows, N_EMBD, nv);
        update(layer->out[0], dx, rows, N_EMBD, N_EMBD, nv, positions);
        to_rows(a->qkv, rows, N_EMBD, nv);
        to_rows(dnormed, rows2, N_EMBD, nv);
        attention_backward(rows, a->qkv + width, a->qkv + 2 * width, a->weights, dnormed, rows2,
                           dqkv, dkeys, dvalues, positions, nv);
        from_rows(dkeys, dqkv + width, N_EMBD, nv);
        from_rows(dvalues, dqkv + 2 * width, N_EMBD, nv);
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
    static const double zero[N_EMBD] __attribute__((aligned(64)));
    static double *gradient[VOCAB]; /* of each row of wte: in rows2, or null */
    for (int t = 0; t < positions; t++) {
        double **g = &gradient[tokens[t]];
        if (!*g) *g = memset(rows2 + t * N_EMBD, 0, sizeof(double) * N_EMBD);
        for (int i = 0; i < N_EMBD; i++) (*g)[i] += rows[t * N_EMBD + i];
    }
    for (int o = 0; o < VOCAB; o++) adam_row(w->wte[o], gradient[o] ? gradient[o] : zero);
    for (int t = 0; t < positions; t++) gradient[tokens[t]] = NULL;
    for (int t = 0; t < BLOCK_SIZE; t++)
        adam_row(w->wpe[t], t < positions ? rows + t * N_EMBD : zero);
    MARK(EMBEDDINGS);
    return loss / positions;
}

static double train_step(const int32_t *tokens, int positions) {
    /* constants for sentences of up to 8 positions, whatever the width of a register */
    int nv = (positions + LANES - 1) / LANES;
    if (nv == 1) return train_sentence(tokens, positions, 1);
    if (nv == 2) return train_sentence(tokens, positions, 2);
    if (LANES == 2 && nv <= 4) return train_sentence(tokens, positions, 4);
    return train_sentence(tokens, positions, nv);
}

/* ---------------------------------------------------------------- files */

static void *aligned_array(size_t n) {
    void *array = aligned_alloc(64, (n * sizeof(double) + 63) / 64 * 64);
    if (!array) exit(1);
    memset(array, 0, n * sizeof(double));
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
    m = (double *)(w = aligned_array(3 * N_PARAMETERS)) + N_PARAMETERS;
    v = m + N_PARAMETERS;
    FILE *file = open_file(argv[1], "rb");
    read_file(file, w, sizeof(double), N_PARAMETERS);
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
    double *losses = aligned_array((size_t)steps);
    file = open_file(argv[5], "wb");
    double start = now();
#ifdef PROFILE
    since = start;
#endif
    for (int step = 0; step < steps; step++) {
        int i = step % n_sentences;
        adam_begin(lr * (1 - (double)step / steps), step + 1);
        losses[step] = train_step(tokens[i], length[i] - 1);
#ifdef CHECK
        fwrite(&losses[step], sizeof(double), 1, file);
        fwrite(m, sizeof(double), N_PARAMETERS, file);
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
