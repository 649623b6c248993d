/* The algebra on (N, C) numbers, and its gradient: every array is (N, C), pooled moments repeated. */

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
