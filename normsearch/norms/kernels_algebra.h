/* The algebra on (N, C) numbers, and its gradient. */
#include <float.h>
#include <math.h>

/* ---- the algebra on rows: every array is (N, C), pooled moments repeated ---- */

struct state {
    const struct parameters *given;
    const struct running *running;
    double *mean, *variance;         /* of each row */
    double *pooled_mean[POOLS];
    double *pooled[POOLS];           /* variance, or 1/sqrt(variance + eps) if outputs are mixed */
    double *scale, *shift;           /* of the mixture */
    double *group_mean, *group_root; /* of the second norm */
    double *share[POOLS];            /* of each channel */
    double variance_share[POOLS];
    double stretch[2];               /* SPARSEST: the factor of the logits, of both gates */
};

/* The channel of the next row: a division for each row would be felt on small maps. */
#define NEXT(c, C) ((c) + 1 < (C) ? (c) + 1 : 0)

/* What squares are taken around: the block's mean, 0, or each row's own mean. */
enum around { JOINT, ORIGIN, OWN };

/* Mean and variance of blocks, each repeated at all rows of its block. */
static void pool(const struct plan *p, integer samples, integer channels, enum around around,
                 const double *mean, const double *variance, double *pooled_mean,
                 double *pooled_variance)
{
    integer C = p->channels;
    for (integer top = 0; top < p->samples; top += samples) {
        integer end = top + samples < p->samples ? top + samples : p->samples;
        for (integer left = 0; left < C; left += channels) {
            double sum = 0, squares = 0, size = (double)((end - top) * channels);
            for (integer n = top; n < end; n++)
                for (integer i = n * C + left; i < n * C + left + channels; i++)
                    sum += mean[i];
            sum = around == ORIGIN ? 0 : sum / size;
            for (integer n = top; n < end; n++)
                for (integer i = n * C + left; i < n * C + left + channels; i++) {
                    double away = around == OWN ? 0 : mean[i] - sum;
                    squares += variance[i] + away * away;
                }
            for (integer n = top; n < end; n++)
                for (integer i = n * C + left; i < n * C + left + channels; i++)
                    pooled_mean[i] = sum, pooled_variance[i] = squares / size;
        }
    }
}

/* The gradient of `pool`: d_pooled_mean and d_pooled_variance hold what came to each row. */
static void pull_pool(const struct plan *p, integer samples, integer channels, enum around around,
                      const double *mean, const double *pooled_mean, const double *d_pooled_mean,
                      const double *d_pooled_variance, double *d_mean, double *d_variance)
{
    integer C = p->channels;
    for (integer top = 0; top < p->samples; top += samples) {
        integer end = top + samples < p->samples ? top + samples : p->samples;
        for (integer left = 0; left < C; left += channels) {
            double of_mean = 0, of_variance = 0, size = (double)((end - top) * channels);
            for (integer n = top; n < end; n++)
                for (integer i = n * C + left; i < n * C + left + channels; i++)
                    of_mean += d_pooled_mean[i], of_variance += d_pooled_variance[i];
            of_mean = around == ORIGIN ? 0 : of_mean / size, of_variance /= size;
            for (integer n = top; n < end; n++)
                for (integer i = n * C + left; i < n * C + left + channels; i++) {
                    d_mean[i] += of_mean + 2 * (mean[i] - pooled_mean[i]) * of_variance;
                    d_variance[i] += of_variance;
                }
        }
    }
}

static void roots(const struct plan *p, double *values)
{
    for (integer i = 0; i < p->samples * p->channels; i++)
        values[i] = p->by == CENTRE ? 1 : 1 / sqrt(values[i] + p->eps);
}

/* SparsestMax, see sparsest_max.py; returns the factor of the logits, 0 where one is chosen. */
static double sparsest(const struct plan *p, integer choice, const float *logits, double *made)
{
    const double step = 2 * FLT_EPSILON, square = p->radius * p->radius * (1 + 4 * step);
    integer order[POOLS] = {0}, K = p->pools;
    double below[POOLS], mean[POOLS], sum = 0, squares = 0, stretch = 1, threshold = INFINITY;
    for (integer k = 0; k < K; k++) {
        integer place = k;
        for (; place && logits[order[place - 1]] < logits[k]; place--)
            order[place] = order[place - 1];
        order[place] = k;
        made[k] = k == choice;
    }
    if (0 <= choice && choice < K)
        return 0;
    for (integer m = 0; m < K; m++) {
        below[m] = (double)logits[order[0]] - logits[order[m]] + m * step;
        sum += below[m], squares += below[m] * below[m], mean[m] = sum / (m + 1);
        double needed = m ? (square + 1.0 / K - 1.0 / (m + 1)) / (squares - sum * mean[m]) : 1;
        stretch = needed > stretch ? needed : stretch;
    }
    stretch = sqrt(stretch);
    for (integer m = 0; m < K; m++)
        threshold = fmin(threshold, 1.0 / (m + 1) + stretch * mean[m]);
    for (integer m = 0; m < K; m++)
        made[order[m]] = fmax(0, threshold - stretch * below[m]);
    return stretch;
}

static void pull_sparsest(const struct plan *p, double stretch, const double *made,
                          const double *d_made, double *d)
{
    double face = 0, total = 0, along = 0, length = 0, outward[POOLS];
    for (integer k = 0; k < p->pools; k++)
        face += made[k] > 0;
    for (integer k = 0; k < p->pools; k++) {
        outward[k] = made[k] > 0 ? made[k] - 1 / face : 0;
        length += outward[k] * outward[k];
        total += made[k] > 0 ? d_made[k] / face : 0;
        along += d_made[k] * outward[k];
    }
    /* Stretched, it can only move around the centre of its face. */
    along = stretch > 1 && length > 0 ? along / length : 0;
    for (integer k = 0; k < p->pools; k++)
        d[k] = made[k] > 0 ? (d_made[k] - total - along * outward[k]) * stretch : 0;
}

/* The weights of the pools, from their logits or as they are given. */
static void gate(const struct plan *p, struct state *s, int which, const float *given,
                 double *made)
{
    double top = given[0], sum = 0;
    if (p->gate == SPARSEST) {
        s->stretch[which] = sparsest(p, p->choice[which], given, made);
        return;
    }
    for (integer k = 1; k < p->pools; k++)
        top = given[k] > top ? given[k] : top;
    for (integer k = 0; k < p->pools; k++)
        sum += made[k] = p->gate == SOFTMAX ? exp(given[k] - top) : given[k];
    for (integer k = 0; p->gate == SOFTMAX && k < p->pools; k++)
        made[k] /= sum;
}

/* A gradient goes where it is wanted. */
static void give(float *d, integer i, double value)
{
    if (d)
        d[i] = (float)value;
}

/* POOLS of them: one without a pool has no gradient. */
static void pull_gate(const struct plan *p, const struct state *s, int which, const double *made,
                      const double *d_made, float *d_given)
{
    double mean = 0, d[POOLS] = {0};
    for (integer k = 0; p->gate == SOFTMAX && k < p->pools; k++)
        mean += made[k] * d_made[k];
    for (integer k = 0; k < p->pools; k++)
        d[k] = p->gate == SOFTMAX ? made[k] * (d_made[k] - mean) : d_made[k];
    if (p->gate == SPARSEST)
        pull_sparsest(p, s->stretch[which], made, d_made, d);
    for (integer k = 0; k < POOLS; k++)
        give(d_given, k, d[k]);
}

/* From `shares` as they were given to what is mixed with. */
static void open_shares(const struct plan *p, struct state *s)
{
    const float *shares = s->given->shares;
    double mean_share[POOLS];
    if (s->given->variance_shares) {
        gate(p, s, 0, shares, mean_share);
        gate(p, s, 1, s->given->variance_shares, s->variance_share);
    }
    for (integer k = 0; k < p->pools; k++)
        for (integer c = 0; c < p->channels; c++) {
            double share = shares ? shares[p->by_channel ? c : 0] : 1;
            if (s->given->variance_shares)
                share = mean_share[k];
            s->share[k][c] = p->gate == COMPLEMENT && k ? 1 - share : share;
        }
}

/* From the gradients of what was mixed with to those of what was given. */
static void pull_shares(const struct plan *p, const struct state *s, double *d_share[POOLS],
                        const double *d_variance_share, const struct parameters *d)
{
    double mean_share[POOLS], totals[POOLS] = {0};
    for (integer k = 0; k < p->pools; k++) {
        mean_share[k] = s->share[k][0];
        for (integer c = 0; c < p->channels; c++)
            totals[k] += d_share[k][c];
    }
    if (s->given->variance_shares) {
        pull_gate(p, s, 0, mean_share, totals, d->shares);
        pull_gate(p, s, 1, s->variance_share, d_variance_share, d->variance_shares);
    } else if (d->shares && p->by_channel)
        for (integer c = 0; c < p->channels; c++)
            d->shares[c] = (float)(d_share[0][c] - (p->gate == COMPLEMENT ? d_share[1][c] : 0));
    else if (d->shares)
        d->shares[0] = (float)(totals[0] - (p->gate == COMPLEMENT ? totals[1] : 0));
}

/* Global Response Normalization: scale is the L2 norm of each row over the mean one of a sample. */
static void respond(const struct plan *p, struct state *s)
{
    for (integer top = 0; top < p->samples * p->channels; top += p->channels) {
        double sum = 0;
        for (integer i = top; i < top + p->channels; i++) {
            s->scale[i] = sqrt(p->pixels * (s->variance[i] + s->mean[i] * s->mean[i]));
            sum += s->scale[i];
        }
        for (integer i = top; i < top + p->channels; i++) {
            s->pooled[0][i] = 1 / (sum / p->channels + p->eps);
            s->scale[i] *= s->pooled[0][i];
            s->shift[i] = s->mean[i] * s->scale[i];
        }
    }
}

static void pull_respond(const struct plan *p, const struct state *s, const double *d_scale,
                         const double *d_shift, double *d_mean, double *d_variance)
{
    for (integer top = 0; top < p->samples * p->channels; top += p->channels) {
        double through = 0;
        for (integer i = top; i < top + p->channels; i++)
            through += (d_scale[i] + d_shift[i] * s->mean[i]) * s->scale[i];
        for (integer i = top; i < top + p->channels; i++) {
            double root = s->pooled[0][i], norm = s->scale[i] / root;
            double d_norm = root * (d_scale[i] + d_shift[i] * s->mean[i] - through / p->channels);
            double d_square = norm > 0 ? d_norm * p->pixels / (2 * norm) : 0;
            d_variance[i] += d_square;
            d_mean[i] += 2 * s->mean[i] * d_square + s->scale[i] * d_shift[i];
        }
    }
}

/* From the moments of the rows, and the running ones, to scale and shift of the mixture. */
static void mix(const struct plan *p, const double *running, struct state *s)
{
    integer C = p->channels, rows = p->samples * C;
    int mixes_moments = s->given->variance_shares != NULL;
    if (p->by == RESPONSE) {
        respond(p, s);
        return;
    }
    open_shares(p, s);
    for (integer k = 0; k < p->pools; k++) {
        if (p->block_samples[k])
            pool(p, p->block_samples[k], p->block_channels[k], p->by == SQUARES ? ORIGIN : JOINT,
                 s->mean, s->variance, s->pooled_mean[k], s->pooled[k]);
        for (integer i = 0, c = 0; !p->block_samples[k] && i < rows; i++, c = NEXT(c, C)) {
            s->pooled_mean[k][i] = running[c];
            s->pooled[k][i] = running[C + c];
        }
        if (!mixes_moments)
            roots(p, s->pooled[k]);
    }
    for (integer i = 0, c = 0; i < rows; i++, c = NEXT(c, C)) {
        double scale = 0, shift = 0;
        for (integer k = 0; k < p->pools; k++) {
            double part = s->share[k][c] * (mixes_moments ? 1 : s->pooled[k][i]);
            scale += mixes_moments ? s->variance_share[k] * s->pooled[k][i] : part;
            shift += part * (s->mean[i] - s->pooled_mean[k][i]);
        }
        if (mixes_moments)
            scale = 1 / sqrt(scale + p->eps), shift *= scale;
        s->scale[i] = scale;
        s->shift[i] = shift + (s->given->inner_bias ? s->given->inner_bias[c] : 0);
        if (p->function == SILU)
            s->shift[i] = 0;
        else if (p->function && p->function != CUT)
            s->scale[i] = 1, s->shift[i] = 0;   /* RATIO has its deviations, others have none */
    }
}

/* The second norm: a row of the mixture has the mean `shift` and the variance scale²·variance. */
static void regroup(const struct plan *p, struct state *s, double *scale, double *shift)
{
    integer rows = p->samples * p->channels;
    if (!p->group) {
        memcpy(scale, s->scale, rows * sizeof *scale);
        memcpy(shift, s->shift, rows * sizeof *shift);
        return;
    }
    for (integer i = 0; i < rows; i++)
        scale[i] = s->scale[i] * s->scale[i] * s->variance[i];
    pool(p, 1, p->group, JOINT, s->shift, scale, s->group_mean, s->group_root);
    roots(p, s->group_root);
    for (integer i = 0; i < rows; i++) {
        scale[i] = s->scale[i] * s->group_root[i];
        shift[i] = (s->shift[i] - s->group_mean[i]) * s->group_root[i];
    }
}

/* The gradients of scale and shift, from after `regroup` to before it; they are overwritten. */
static void pull_regroup(const struct plan *p, const struct state *s, double *d_scale,
                         double *d_shift, double *d_variance, double *spare[])
{
    integer rows = p->samples * p->channels;
    if (!p->group)
        return;
    memset(spare[2], 0, rows * sizeof **spare);
    for (integer i = 0; i < rows; i++) {
        double root = s->group_root[i], away = s->shift[i] - s->group_mean[i];
        double d_root = d_scale[i] * s->scale[i] + d_shift[i] * away;
        d_scale[i] *= root;
        d_shift[i] *= root;
        spare[0][i] = -d_shift[i];
        spare[1][i] = -0.5 * root * root * root * d_root;
    }
    pull_pool(p, 1, p->group, JOINT, s->shift, s->group_mean, spare[0], spare[1], d_shift,
              spare[2]);
    for (integer i = 0; i < rows; i++) {
        d_scale[i] += 2 * s->scale[i] * s->variance[i] * spare[2][i];
        d_variance[i] += s->scale[i] * s->scale[i] * spare[2][i];
    }
}

/* The gradient of `mix`: is added to the moments', and goes to that of the shares. */
static void pull_mix(const struct plan *p, const struct state *s, const double *d_scale,
                     const double *d_shift, double *d_mean, double *d_variance,
                     const struct parameters *d, double *spare[])
{
    integer C = p->channels;
    int mixes_moments = s->given->variance_shares != NULL;
    if (p->by == RESPONSE) {
        pull_respond(p, s, d_scale, d_shift, d_mean, d_variance);
        return;
    }
    double d_variance_share[POOLS] = {0}, *d_share[POOLS];
    for (integer k = 0; k < p->pools; k++) {
        d_share[k] = spare[2] + k * C;
        memset(d_share[k], 0, C * sizeof **d_share);
        for (integer n = 0, i = 0; n < p->samples; n++)
            for (integer c = 0; c < C; c++, i++) {
                double share = s->share[k][c], away = s->mean[i] - s->pooled_mean[k][i];
                double root = mixes_moments ? s->scale[i] : s->pooled[k][i];
                double mixed_away = mixes_moments ? s->shift[i] / root : away;
                double d_root = d_scale[i] + d_shift[i] * mixed_away;
                double d_away = root * d_shift[i], d_spread = -0.5 * root * root * root * d_root;
                d_spread *= p->by != CENTRE;
                d_share[k][c] += mixes_moments ? d_away * away : root * d_root;
                d_variance_share[k] += d_spread * s->pooled[k][i];
                d_mean[i] += share * d_away;
                spare[0][i] = -share * d_away;
                spare[1][i] = d_spread * (mixes_moments ? s->variance_share[k] : share);
            }
        if (p->block_samples[k])
            pull_pool(p, p->block_samples[k], p->block_channels[k],
                      p->by == SQUARES ? ORIGIN : JOINT, s->mean, s->pooled_mean[k], spare[0],
                      spare[1], d_mean, d_variance);
    }
    pull_shares(p, s, d_share, d_variance_share, d);
}
