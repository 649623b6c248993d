/* The weights with which pools are mixed, and their gradients. */
#include <float.h>
#include <math.h>

/* Arrays of (N, C) numbers, and what they are computed with. */
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

/* SparsestMax, see sparsest_max.py; returns the factor of the logits, 0 where one is chosen and -1
 * where all are equal. */
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
    return below[K - 1] <= 2 * step * (K - 1) ? -1 : stretch;
}

static void pull_sparsest(const struct plan *p, double stretch, const double *made,
                          const double *d_made, double *d)
{
    double face = 0, total = 0, along = 0, length = 0, on[POOLS], outward[POOLS];
    for (integer k = 0; k < p->pools; k++)
        face += on[k] = stretch < 0 || made[k] > 0;
    for (integer k = 0; k < p->pools; k++) {
        outward[k] = on[k] * (made[k] - 1 / face);
        length += outward[k] * outward[k];
        total += on[k] * d_made[k] / face;
        along += d_made[k] * outward[k];
    }
    /* Stretched, it can only move around the centre of its face. */
    along = stretch > 1 && length > 0 ? along / length : 0;
    for (integer k = 0; k < p->pools; k++)
        d[k] = on[k] * (d_made[k] - total - along * outward[k]) * fabs(stretch);
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
