/* Functions of single values: what a norm without statistics, or with an activation, is made of.
 *
 * y = factor * f(x; arguments) + offset, all but x one for each row. Compilers have no vectors of
 * exp, tanh and erf short of -ffast-math, so they are written out here, for float.
 */

typedef int32_t integers __attribute__((vector_size(4 * LANES)));

static inline lanes pick(integers mask, lanes yes, lanes no)
{
    return (lanes)((mask & (integers)yes) | (~mask & (integers)no));
}

/* e^x = 2^n * e^r with r within half of log 2, by its Taylor series; 0 below -87, cut off at 87. */
static inline lanes exponential(lanes x)
{
    const lanes zero = {0}, least = zero - 87.0f, most = zero + 87.0f, round = zero + 12582912.0f;
    integers none = x < least;
    x = pick(none, least, pick(x > most, most, x));   /* NaN stays */
    lanes n = x * 1.44269504f + round;   /* the sum has no bits left behind the point */
    integers power = (integers)n << 23;
    n -= round;
    lanes r = x - n * 0.693359375f + n * 2.12194440e-4f;
    lanes sum = r * (1 / 720.0f) + 1 / 120.0f;
    sum = sum * r + 1 / 24.0f;
    sum = sum * r + 1 / 6.0f;
    sum = sum * r + 0.5f;
    sum = sum * r * r + r + 1.0f;
    return (lanes)(~none & ((integers)sum + power));
}

/* An odd function by Eigen's rational minimax approximations, x P(x^2) / Q(x^2): within 4e-7 of the
 * value. Beyond `most` it is 1 or -1; NaN stays. */
static inline lanes odd_ratio(lanes x, float most, const float *p, int of_p, const float *q, int of_q)
{
    const lanes zero = {0}, one = zero + 1.0f;
    lanes square = x * x, above = zero + p[0], below = zero + q[0];
    for (int i = 1; i < of_p; i++)
        above = above * square + p[i];
    for (int i = 1; i < of_q; i++)
        below = below * square + q[i];
    return pick(x > most, one, pick(x < -most, -one, x * (above / below)));
}

static inline lanes hyperbolic_tangent(lanes x)
{
    static const float p[] = {-2.76076847742355e-16f, 2.00018790482477e-13f, -8.60467152213735e-11f,
                              5.12229709037114e-08f, 1.48572235717979e-05f, 6.37261928875436e-04f,
                              4.89352455891786e-03f};
    static const float q[] = {1.19825839466702e-06f, 1.18534705686654e-04f, 2.26843463243900e-03f,
                              4.89352518554385e-03f};
    return odd_ratio(x, 7.99881172180175781f, p, 7, q, 4);
}

static inline lanes error_function(lanes x)
{
    static const float p[] = {-2.72614225801306e-10f, 2.77068142495902e-08f, -2.10102402082508e-06f,
                              -5.69250639462346e-05f, -7.34990630326855e-04f,
                              -2.95459980854025e-03f, -1.60960333262415e-02f};
    static const float q[] = {-1.45660718464996e-05f, -2.13374055278905e-04f,
                              -1.68282697438203e-03f, -7.37332916720468e-03f,
                              -1.42647390514189e-02f};
    return odd_ratio(x, 3.92f, p, 7, q, 5);
}

/* A function's value and derivative, and the factors of dy in the sums over a row. */
struct terms {
    lanes value, slope, sum[SUMS];
};

static inline struct terms terms_of(enum function function, lanes x, const lanes *a)
{
    const lanes zero = {0}, one = zero + 1.0f;
    struct terms made = {.sum = {one}};
    if (function == TANH) {          /* tanh(a x) */
        made.value = hyperbolic_tangent(a[0] * x);
        lanes rise = 1.0f - made.value * made.value;
        made.slope = a[0] * rise, made.sum[2] = x * rise;
    } else if (function == ERF) {    /* erf(a x + b) */
        lanes u = a[0] * x + a[1];
        made.value = error_function(u);
        made.sum[3] = 1.12837917f * exponential(-u * u);
        made.slope = a[0] * made.sum[3], made.sum[2] = x * made.sum[3];
    } else if (function == SILU) {   /* x sigmoid(a x) */
        lanes gate = 1.0f / (1.0f + exponential(-a[0] * x)), rise = gate * (1.0f - gate) * x;
        made.value = x * gate;
        made.slope = gate + a[0] * rise, made.sum[2] = x * rise;
    } else if (function == RATIO) {  /* x / max(b, a x + c) */
        lanes own = a[0] * x + a[2], root = 1.0f / pick(own > a[1], own, a[1]);
        integers mine = own > a[1];
        made.value = x * root;
        lanes by_root = -made.value * root, by_own = pick(mine, by_root, zero);
        made.slope = root + a[0] * by_own;
        made.sum[2] = x * by_own, made.sum[3] = by_root - by_own, made.sum[4] = by_own;
    } else {                         /* CUT: max(a x + b, c) */
        lanes own = a[0] * x + a[1];
        integers mine = ~(own <= a[2]);   /* also where it is NaN */
        made.value = pick(mine, own, a[2]);
        made.slope = pick(mine, a[0], zero), made.sum[0] = pick(mine, one, zero);
        made.sum[1] = pick(mine, x, zero), made.sum[2] = 1.0f - made.sum[0];
        return made;
    }
    made.sum[1] = made.value;
    return made;
}

#define SUMS_OF(function) ((function) == RATIO ? 5 : (function) == ERF ? 4 : 3)
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* A row's numbers in all lanes; x is taken relative to the mean where it is centred. */
struct row {
    lanes centre, factor, offset, argument[ARGUMENTS];
};

ALWAYS_INLINE struct row row_of(const struct pass *pass, integer row, enum function function)
{
    const lanes zero = {0};
    struct row made = {.factor = zero + (float)pass->factor[row]};
    if (function == CUT)
        made.centre += (float)pass->mean[row];
    if (pass->offset)
        made.offset += (float)pass->offset[row];
    for (int k = 0; k < ARGUMENTS; k++)
        made.argument[k] = zero + (float)pass->argument[k][row];
    return made;
}

/* One vector of each pass; `count` is LANES, or less at the end of a row. */
ALWAYS_INLINE void value_step(const struct row *row, const float *x, float *out, integer count,
                              enum function function)
{
    lanes value = terms_of(function, load(x, count) - row->centre, row->argument).value;
    store(out, row->factor * value + row->offset, count);
}

ALWAYS_INLINE void sums_step(const struct row *row, const float *x, const float *dy, float *out,
                             integer count, enum function function, lanes *sum)
{
    lanes d = load(dy, count);
    struct terms terms = terms_of(function, load(x, count) - row->centre, row->argument);
    for (int k = 0; k < SUMS_OF(function); k++)
        sum[k] += d * terms.sum[k];
    store(out, row->factor * d * terms.slope, count);
}

ALWAYS_INLINE void values_of(const struct pass *pass, integer unit, enum function function)
{
    integer at, count, i = 0, start = locate(pass, unit, &at, &count);
    const struct row row = row_of(pass, at, function);
    const float *x = pass->x + start;
    float *out = pass->out + start;
    for (; i + LANES <= count; i += LANES)
        value_step(&row, x + i, out + i, LANES, function);
    if (i < count)
        value_step(&row, x + i, out + i, count - i, function);
}

ALWAYS_INLINE void sums_of(const struct pass *pass, integer unit, enum function function)
{
    integer at, count, start = locate(pass, unit, &at, &count);
    const struct row row = row_of(pass, at, function);
    const float *x = pass->x + start, *dy = pass->dy + start;
    float *out = pass->out + start;
    double *sums = pass->sums + pass->width * unit;
    memset(sums, 0, SUMS * sizeof *sums);
    for (integer i = 0; i < count;) {
        integer stop = count - i < BLOCK ? count : i + BLOCK;
        lanes sum[SUMS] = {0};
        for (; i + LANES <= stop; i += LANES)
            sums_step(&row, x + i, dy + i, out + i, LANES, function, sum);
        if (i < stop)
            sums_step(&row, x + i, dy + i, out + i, stop - i, function, sum);
        i = stop;
        for (int k = 0; k < SUMS_OF(function); k++)
            sums[k] += sum_of(sum[k]);
    }
}

/* The compiler makes a loop of its own for each function. */
#define FOR_EACH_FUNCTION(call)                                      \
    switch (pass->plan->function) {                                  \
    case TANH: call(pass, unit, TANH); break;                        \
    case ERF: call(pass, unit, ERF); break;                          \
    case SILU: call(pass, unit, SILU); break;                        \
    case RATIO: call(pass, unit, RATIO); break;                      \
    case CUT: call(pass, unit, CUT); break;                          \
    }

static void function_unit(const struct pass *pass, integer unit)
{
    FOR_EACH_FUNCTION(values_of)
}

/* The sums, and dx, to which the moments' part is still to be added. */
static void function_gradient_unit(const struct pass *pass, integer unit)
{
    FOR_EACH_FUNCTION(sums_of)
}

/* ---- the numbers of rows, and their gradients ---- */

/* Factor and offset were those of the affine map; they become those of the function. */
static void open_function(const struct plan *p, const struct state *s, double *factor,
                          double *offset, double *argument[ARGUMENTS])
{
    for (integer i = 0, c = 0; i < p->samples * p->channels; i++, c = NEXT(c, p->channels)) {
        for (int k = 0; k < 2; k++) {
            const float *given = s->given->argument[k];
            argument[k][i] = given ? given[p->by_layer ? 0 : c] : 0;
        }
        if (p->function == CUT) {
            argument[2][i] = argument[0][i];
            argument[0][i] = factor[i], argument[1][i] = offset[i];
            factor[i] = 1, offset[i] = 0;
            continue;
        }
        argument[2][i] = 0;
        if (p->function == RATIO)
            argument[1][i] = 1 / s->pooled[0][i], argument[2][i] = 1 / s->pooled[1][i];
    }
}

/* The gradients of the arguments; those of RATIO's deviations go on to the moments. */
static void pull_function(const struct pass *pass, const struct state *s, double *d_mean,
                          double *d_variance, const struct parameters *d, double *spare[])
{
    const struct plan *p = pass->plan;
    integer C = p->channels, rows = p->samples * C;
    double layer[2] = {0};
    for (integer c = 0; c < C; c++) {
        double channel[2] = {0};
        for (integer i = c; i < rows; i += C) {
            double sums[SUMS] = {0};
            for (integer j = 0; j < pass->chunks * SUMS; j++)
                sums[j % SUMS] += pass->sums[i * pass->chunks * SUMS + j];
            for (int k = 0; k < 2; k++)
                channel[k] += pass->factor[i] * sums[2 + k];
            for (int k = 0; k < 2 && p->function == RATIO; k++)
                spare[k][i] = 0.5 * s->pooled[k][i] * pass->factor[i] * sums[3 + k];
        }
        for (int k = 0; k < 2; k++) {
            layer[k] += channel[k];
            give(p->by_layer ? NULL : d->argument[k], c, channel[k]);
        }
    }
    for (int k = 0; k < 2 && p->by_layer; k++)
        give(d->argument[k], 0, layer[k]);
    memset(spare[2], 0, rows * sizeof **spare);
    for (int k = 0; k < 2 && p->function == RATIO; k++)
        if (p->block_samples[k])
            pull_pool(p, p->block_samples[k], p->block_channels[k], JOINT, s->mean,
                      s->pooled_mean[k], spare[2], spare[k], d_mean, d_variance);
}
