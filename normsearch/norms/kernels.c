/* Forward and backward of every composite norm, in two passes over the pixels each way.
 *
 * x is (N, C, M), contiguous float32. Between the passes stands the algebra on (N, C) numbers, in
 * double, as a `plan` tells it: moments are pooled over blocks of samples and channels, mixed,
 * and, if asked for, normalized once more by groups of channels:
 *
 *     y = weight * (scale * (x - mean of the row) + shift) + bias,   a row being one n and c.
 *
 * compiled.py compiles this file without torch's headers and without -fopenmp: the threads are
 * those of the OpenMP runtime that torch has loaded, found by name, so that no second one comes in.
 * Work is cut at places that do not depend on the number of threads, and so no result does.
 */
#include <stdlib.h>

#include "kernels_passes.h"
#include "kernels_algebra.h"

/* ---- what Python calls; 0, or 1 where there is no memory ---- */

/* Give out, in one piece: arrays of (N, C), `count` more of them, and room for all units' sums. */
static double *open_state(const struct plan *p, struct pass *pass, struct state *s,
                          const double *kept, double **more, int count)
{
    integer C = p->channels, rows = p->samples * C;
    double **own[] = {&s->scale, &s->shift, &s->group_mean, &s->group_root};
    pass->chunks = (p->pixels + CHUNK - 1) / CHUNK;
    integer arrays = 2 * p->pools + 4 + count + 2 * pass->chunks;
    double *memory = malloc((size_t)(rows * arrays + 2 * POOLS * C) * sizeof *memory);
    double *next = memory;
    if (!memory)
        return NULL;
    for (int k = 0; k < p->pools; k++, next += 2 * rows)
        s->pooled_mean[k] = next, s->pooled[k] = next + rows;
    for (int i = 0; i < 4; i++, next += rows)
        *own[i] = next;
    for (int i = 0; i < count; i++, next += rows)
        more[i] = next;
    next += POOLS * C;               /* the last of `more` holds as much more, for the shares */
    for (int k = 0; k < POOLS; k++, next += C)
        s->share[k] = next;
    s->mean = (double *)kept, s->variance = s->mean + rows;
    pass->plan = p, pass->mean = kept, pass->sums = next;
    return memory;
}

static void close_moments(const struct pass *pass, struct state *s)
{
    integer pixels = pass->plan->pixels, rows = pass->plan->samples * pass->plan->channels;
    for (integer row = 0; row < rows; row++) {
        const double *sums = pass->sums + 2 * row * pass->chunks;
        double mean = sums[0], squares = sums[1];
        for (integer chunk = 1, done = CHUNK; chunk < pass->chunks; chunk++, done += CHUNK)
            merge(&mean, &squares, done, sums[2 * chunk], sums[2 * chunk + 1],
                  pixels - done < CHUNK ? pixels - done : CHUNK);
        s->mean[row] = mean, s->variance[row] = squares / pixels;
    }
}

static double clip(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

/* Batch Renormalization's r and d, from the batch's moments and the running ones before it. */
static void correct(const struct plan *p, const struct state *s, double *mean, double *variance)
{
    float *r = s->given->shares, *d = s->given->inner_bias;
    pool(p, p->samples, 1, JOINT, s->mean, s->variance, mean, variance);
    for (integer c = 0; c < p->channels; c++) {
        double running = sqrt(p->running_variance[c] + p->eps);
        int seen = *p->batches > 0;
        double ratio = sqrt(variance[c] + p->eps) / running;
        r[c] = seen ? (float)clip(ratio, 1 / p->rmax, p->rmax) : 1;
        d[c] = seen ? (float)clip((mean[c] - p->running_mean[c]) / running, -p->dmax, p->dmax) : 0;
    }
}

/* Take the batch's moments into the running ones, as torch's BatchNorm does. */
static void track(const struct plan *p, const struct state *s, double *mean, double *variance)
{
    double step = p->momentum;
    enum around around = p->apart ? OWN : JOINT;
    *p->batches += 1;
    if (step < 0)
        step = 1.0 / *p->batches;
    pool(p, p->samples, p->tracked, around, s->mean, s->variance, mean, variance);
    for (integer j = 0, c = 0; c < p->channels; j++, c += p->tracked) {
        float *at = p->running_mean + j, *spread = p->running_variance + j;
        *at += (float)(step * (mean[c] - *at));
        *spread += (float)(step * (variance[c] * p->unbias - *spread));
    }
}

/* y, and in `kept`, (2, N, C) and (2, C), what the way back needs. */
int normalize(const struct plan *p, const float *x, float *y, double *kept, float *weight,
              float *bias, float *shares, float *variance_shares, float *inner_bias)
{
    integer C = p->channels, rows = p->samples * C;
    struct parameters given = {weight, bias, shares, variance_shares, inner_bias};
    struct state s = {.given = &given};
    struct pass pass = {.x = x};
    double *more[2], *running = kept + 2 * rows, *memory;
    if (!(memory = open_state(p, &pass, &s, kept, more, 2)))
        return 1;
    run(&pass, moments_unit);
    close_moments(&pass, &s);
    if (p->rmax)
        correct(p, &s, more[0], more[1]);
    if (p->tracked)
        track(p, &s, more[0], more[1]);
    for (integer k = 0; k < p->pools; k++)
        for (integer c = 0; !p->block_samples[k] && c < C; c++) {
            running[c] = p->running_mean[c / p->block_channels[k]];
            running[C + c] = p->running_variance[c / p->block_channels[k]];
        }
    mix(p, running, &s);
    regroup(p, &s, more[0], more[1]);
    for (integer i = 0; i < rows; i++) {
        more[0][i] *= weight[i % C];
        more[1][i] = more[1][i] * weight[i % C] + bias[i % C];
        if (p->by == RESPONSE)
            more[0][i] += 1, more[1][i] += s.mean[i];
    }
    pass.slope = more[0], pass.offset = more[1], pass.out = y;
    run(&pass, affine_unit);
    free(memory);
    return 0;
}

/* From the sums over dy to the gradients of weight and bias, and of scale and shift before them.
 * The mean's own, in x - mean, begins d_mean; scale is multiplied by the weight on the way. */
static void pull_weight(const struct pass *pass, const struct state *s, double *scale,
                        const double *shift, double *d_scale, double *d_shift, double *d_mean,
                        const struct parameters *d)
{
    integer C = pass->plan->channels, rows = pass->plan->samples * C;
    for (integer c = 0; c < C; c++) {
        double of_weight = 0, of_bias = 0;
        for (integer i = c; i < rows; i += C) {
            const double *sums = pass->sums + 2 * i * pass->chunks;
            double total = 0, along = 0, weight = s->given->weight[c];
            for (integer chunk = 0; chunk < pass->chunks; chunk++)
                total += sums[2 * chunk], along += sums[2 * chunk + 1];
            along -= (s->mean[i] - (float)s->mean[i]) * total;
            of_weight += scale[i] * along + shift[i] * total;
            of_bias += total;
            scale[i] *= weight;
            d_mean[i] = -scale[i] * total;
            d_scale[i] = weight * along, d_shift[i] = weight * total;
        }
        d->weight[c] = (float)of_weight, d->bias[c] = (float)of_bias;
    }
}

/* The gradients of x and of the parameters; the d_ of a missing one is missing too. */
int pull_back(const struct plan *p, const float *x, const float *dy, const double *kept, float *dx,
              float *weight, float *bias, float *shares, float *variance_shares, float *inner_bias,
              float *d_weight, float *d_bias, float *d_shares, float *d_variance_shares,
              float *d_inner_bias)
{
    integer C = p->channels, rows = p->samples * C;
    struct parameters given = {weight, bias, shares, variance_shares, inner_bias};
    struct parameters d = {d_weight, d_bias, d_shares, d_variance_shares, d_inner_bias};
    struct state s = {.given = &given};
    struct pass pass = {.x = x, .dy = dy};
    double *more[9], *memory;
    if (!(memory = open_state(p, &pass, &s, kept, more, 9)))
        return 1;
    double *scale = more[0], *shift = more[1], *d_scale = more[2], *d_shift = more[3];
    double *d_mean = more[4], *d_variance = more[5], **spare = more + 6;
    run(&pass, gradient_unit);
    mix(p, kept + 2 * rows, &s);
    regroup(p, &s, scale, shift);
    memset(d_variance, 0, rows * sizeof *d_variance);
    pull_weight(&pass, &s, scale, shift, d_scale, d_shift, d_mean, &d);
    pull_regroup(p, &s, d_scale, d_shift, d_variance, spare);
    for (integer c = 0; d_inner_bias && c < C; c++) {
        double sum = 0;
        for (integer i = c; i < rows; i += C)
            sum += d_shift[i];
        d_inner_bias[c] = (float)sum;
    }
    pull_mix(p, &s, d_scale, d_shift, d_mean, d_variance, &d, spare);
    for (integer i = 0; i < rows; i++) {
        d_mean[i] /= p->pixels;
        d_variance[i] *= 2.0 / p->pixels;
        scale[i] += p->by == RESPONSE;   /* the input's own part */
    }
    pass.factor = scale, pass.slope = d_variance, pass.offset = d_mean, pass.out = dx;
    run(&pass, affine_unit);
    free(memory);
    return 0;
}
