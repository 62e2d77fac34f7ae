/* Learning. The regression's loss is minimised by L-BFGS (Nocedal 1980); sums are made in the order
 * of the mails, so that the result is the same in every run. */
#include "models/spam_learn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Measured on the SpamAssassin corpus, 10-fold (bench/README.md). */
#define STRENGTH   0.01 /* of the assumption that a word says nothing: Robinson's s; x is 0.5 */
#define DEVIATION  0.4  /* words whose f is nearer to 0.5 are not in the chi-square sums */
#define COST       3000.0
#define SMOOTH     1.0 /* mails of each kind that have a word besides those seen */
#define REACH      0.5 /* of a word that says nothing by itself */
#define ITERATIONS 60
#define PAIRS      8 /* that L-BFGS remembers */
#define F_MIN      1e-7

static int32_t q24(double x)
{
    return (int32_t)lrint(fmax(-60, fmin(60, x)) * MR_BAYES_ONE);
}

/* ---- the problem: mails in rows, tokens that are in the model in columns ---- */

struct problem {
    uint32_t n_rows, n_columns; /* the last column is the bias */
    size_t *first;
    uint32_t *columns;
    double *scale; /* 1 / sqrt(tokens of the row) */
    double *sign;  /* 1 spam, -1 ham */
    /* REACH and what a column says by itself, |ln P(word | spam) - ln P(word | ham)|: a weight is
     * that times what is learned, so that it costs less where it is likely to be large (naive Bayes
     * as the prior of the regression, after Wang and Manning 2012). Of the bias 1. */
    double *reach;
    double *weights, *slopes; /* [n_columns] scratch of loss() */
};

static double loss(const struct problem *p, const double *w, double *gradient)
{
    double total = 0;

    for (uint32_t i = 0; i < p->n_columns; i++)
        total += 0.5 * w[i] * w[i];
    total -= 0.5 * w[p->n_columns - 1] * w[p->n_columns - 1]; /* the bias is free */
    memcpy(gradient, w, p->n_columns * sizeof *w);
    gradient[p->n_columns - 1] = 0;
    for (uint32_t i = 0; i < p->n_columns; i++)
        p->weights[i] = w[i] * p->reach[i];
    memset(p->slopes, 0, p->n_columns * sizeof *p->slopes);
    for (uint32_t row = 0; row < p->n_rows; row++) {
        double sum = 0, margin, slope;
        for (size_t k = p->first[row]; k < p->first[row + 1]; k++)
            sum += p->weights[p->columns[k]];
        margin = p->sign[row] * (sum * p->scale[row] + w[p->n_columns - 1]);
        total += COST * (margin > 0 ? log1p(exp(-margin)) : log1p(exp(margin)) - margin);
        slope = -COST * p->sign[row] / (1 + exp(fmin(margin, 500)));
        p->slopes[p->n_columns - 1] += slope;
        slope *= p->scale[row];
        for (size_t k = p->first[row]; k < p->first[row + 1]; k++)
            p->slopes[p->columns[k]] += slope;
    }
    for (uint32_t i = 0; i < p->n_columns; i++)
        gradient[i] += p->slopes[i] * p->reach[i];
    return total;
}

static double dot(const double *a, const double *b, uint32_t n)
{
    double sum = 0;

    for (uint32_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void add(double *to, double factor, const double *what, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        to[i] += factor * what[i];
}

struct memory {
    double *s[PAIRS], *y[PAIRS], rho[PAIRS];
    uint32_t n; /* pairs ever stored */
};

/* direction = -H * gradient, by the two loops. */
static void direction_of(const struct memory *m, const double *gradient, double *direction,
                         uint32_t n)
{
    uint32_t kept = m->n < PAIRS ? m->n : PAIRS;
    double alpha[PAIRS];

    for (uint32_t i = 0; i < n; i++)
        direction[i] = -gradient[i];
    for (uint32_t k = 0; k < kept; k++) {
        uint32_t j = (m->n - 1 - k) % PAIRS;
        alpha[j] = m->rho[j] * dot(m->s[j], direction, n);
        add(direction, -alpha[j], m->y[j], n);
    }
    if (kept) {
        uint32_t j = (m->n - 1) % PAIRS;
        double gamma = 1 / (m->rho[j] * dot(m->y[j], m->y[j], n));
        for (uint32_t i = 0; i < n; i++)
            direction[i] *= gamma;
    }
    for (uint32_t k = kept; k-- > 0;) {
        uint32_t j = (m->n - 1 - k) % PAIRS;
        add(direction, alpha[j] - m->rho[j] * dot(m->y[j], direction, n), m->s[j], n);
    }
}

/* One step along `direction`; false: there is none that helps. */
static bool step(const struct problem *p, double *w, double *gradient, double *value,
                 const double *direction, double length, double *w_new, double *g_new)
{
    uint32_t n = p->n_columns;
    double down = dot(direction, gradient, n);

    if (!(down < 0))
        return false;
    for (uint32_t tries = 0; tries < 30; tries++, length *= 0.5) {
        memcpy(w_new, w, n * sizeof *w);
        add(w_new, length, direction, n);
        double v = loss(p, w_new, g_new);
        if (v <= *value + 1e-4 * length * down) {
            *value = v;
            return true;
        }
    }
    return false;
}

static enum mr_status minimise(const struct problem *p, double *w)
{
    uint32_t n = p->n_columns;
    double *work = calloc((size_t)n * (2 * PAIRS + 4), sizeof *work);
    struct memory memory = {.n = 0};
    double *gradient = work, *direction = work + n, *w_new = work + 2 * (size_t)n;
    double *g_new = work + 3 * (size_t)n, value;

    if (!work)
        return MR_ERR_MEMORY;
    for (uint32_t i = 0; i < PAIRS; i++) {
        memory.s[i] = work + (4 + 2 * (size_t)i) * n;
        memory.y[i] = work + (5 + 2 * (size_t)i) * n;
    }
    memset(w, 0, n * sizeof *w);
    value = loss(p, w, gradient);
    for (uint32_t round = 0; round < ITERATIONS; round++) {
        double length = memory.n ? 1 : 1 / sqrt(fmax(dot(gradient, gradient, n), 1e-300));
        double *s = memory.s[memory.n % PAIRS], *y = memory.y[memory.n % PAIRS];
        direction_of(&memory, gradient, direction, n);
        if (!step(p, w, gradient, &value, direction, length, w_new, g_new))
            break;
        for (uint32_t i = 0; i < n; i++) {
            s[i] = w_new[i] - w[i];
            y[i] = g_new[i] - gradient[i];
        }
        memcpy(w, w_new, n * sizeof *w);
        memcpy(gradient, g_new, n * sizeof *w);
        double curve = dot(s, y, n);
        if (curve > 1e-12 * dot(y, y, n)) {
            memory.rho[memory.n % PAIRS] = 1 / curve;
            memory.n++;
        }
    }
    free(work);
    return MR_OK;
}

/* ---- from examples ---- */

static void chi_square_of(struct mr_bayes_entry *entry, double spam, double ham, double n_spam,
                          double n_ham)
{
    double s = spam / fmax(n_spam, 1), h = ham / fmax(n_ham, 1), n = spam + ham;
    double f = (STRENGTH * 0.5 + n * s / (s + h)) / (STRENGTH + n);

    f = fmax(F_MIN, fmin(1 - F_MIN, f));
    if (fabs(f - 0.5) < DEVIATION)
        return;
    entry->spam = q24(log(f));
    entry->ham = q24(log1p(-f));
}

static double reach_of(double spam, double ham, double n_spam, double n_ham)
{
    return REACH + fabs(log((spam + SMOOTH) / (n_spam + 2 * SMOOTH)) -
                        log((ham + SMOOTH) / (n_ham + 2 * SMOOTH)));
}

static void count(const struct mr_spam_examples *e, const uint8_t *use, uint32_t *spam,
                  uint32_t *ham, uint32_t *n_spam, uint32_t *n_ham)
{
    for (uint32_t mail = 0; mail < e->n_mails; mail++) {
        uint32_t *to = e->is_spam[mail] ? spam : ham;
        if (!use[mail])
            continue;
        *n_spam += e->is_spam[mail];
        *n_ham += !e->is_spam[mail];
        for (size_t k = e->first[mail]; k < e->first[mail + 1]; k++)
            to[e->tokens[k]]++;
    }
}

/* columns[token]: its column, or MR_BAYES_NONE. */
static void rows_of(const struct mr_spam_examples *e, const uint8_t *use, const uint32_t *columns,
                    struct problem *p)
{
    size_t at = 0;

    for (uint32_t mail = 0; mail < e->n_mails; mail++) {
        size_t begin = at;
        if (!use[mail])
            continue;
        for (size_t k = e->first[mail]; k < e->first[mail + 1]; k++)
            if (columns[e->tokens[k]] != MR_BAYES_NONE)
                p->columns[at++] = columns[e->tokens[k]];
        p->first[p->n_rows] = begin;
        p->scale[p->n_rows] = 1 / sqrt(fmax((double)(at - begin), 1));
        p->sign[p->n_rows] = e->is_spam[mail] ? 1 : -1;
        p->n_rows++;
    }
    p->first[p->n_rows] = at;
}

static void problem_free(struct problem *p)
{
    free(p->first);
    free(p->columns);
    free(p->scale);
    free(p->sign);
    free(p->reach);
    free(p->weights);
    free(p->slopes);
}

static bool problem_new(struct problem *p, const struct mr_spam_examples *e)
{
    p->first = calloc((size_t)e->n_mails + 1, sizeof *p->first);
    p->columns = calloc(e->first[e->n_mails] + 1, sizeof *p->columns);
    p->scale = calloc((size_t)e->n_mails + 1, sizeof *p->scale);
    p->sign = calloc((size_t)e->n_mails + 1, sizeof *p->sign);
    p->reach = calloc((size_t)e->n_tokens + 1, sizeof *p->reach);
    p->weights = calloc((size_t)e->n_tokens + 1, sizeof *p->weights);
    p->slopes = calloc((size_t)e->n_tokens + 1, sizeof *p->slopes);
    return p->first && p->columns && p->scale && p->sign && p->reach && p->weights && p->slopes;
}

enum mr_status mr_spam_learn(const struct mr_spam_examples *e, const uint8_t *use,
                             uint32_t min_mails, struct mr_spam_learned *out)
{
    size_t room = (size_t)e->n_tokens + 1;
    uint32_t *spam = calloc(room, sizeof *spam), *ham = calloc(room, sizeof *ham);
    uint32_t *columns = calloc(room, sizeof *columns), n_spam = 0, n_ham = 0;
    struct mr_bayes_entry *entries = calloc(room, sizeof *entries);
    double *w = calloc(room, sizeof *w);
    struct problem p = {.n_rows = 0};
    enum mr_status status = MR_ERR_MEMORY;

    *out = (struct mr_spam_learned){0};
    if (!spam || !ham || !columns || !entries || !w || !problem_new(&p, e))
        goto out;
    count(e, use, spam, ham, &n_spam, &n_ham);
    for (uint32_t i = 0; i < e->n_tokens; i++) {
        columns[i] = spam[i] + ham[i] >= min_mails ? out->n_known++ : MR_BAYES_NONE;
        if (columns[i] == MR_BAYES_NONE)
            continue;
        entries[i].fingerprint = 1;
        p.reach[columns[i]] = reach_of(spam[i], ham[i], n_spam, n_ham);
        chi_square_of(&entries[i], spam[i], ham[i], n_spam, n_ham);
    }
    p.n_columns = out->n_known + 1;
    p.reach[out->n_known] = 1;
    rows_of(e, use, columns, &p);
    status = minimise(&p, w);
    if (status)
        goto out;
    for (uint32_t i = 0; i < e->n_tokens; i++)
        if (columns[i] != MR_BAYES_NONE)
            entries[i].weight = q24(w[columns[i]] * p.reach[columns[i]]);
    out->bias = w[out->n_known];
    out->entries = entries;
    entries = NULL;
out:
    problem_free(&p);
    free(w);
    free(entries);
    free(columns);
    free(ham);
    free(spam);
    return status;
}

void mr_spam_learned_sums(const struct mr_spam_examples *e, uint32_t mail,
                          const struct mr_spam_learned *learned, struct mr_bayes_sums *sums)
{
    struct mr_bayes_sums s = {0, 0, 0, 0, 0};

    for (size_t k = e->first[mail]; k < e->first[mail + 1]; k++) {
        const struct mr_bayes_entry *entry = &learned->entries[e->tokens[k]];
        if (!entry->fingerprint)
            continue;
        s.spam += entry->spam;
        s.ham += entry->ham;
        s.weight += entry->weight;
        s.n_known++;
        s.n_strong += entry->spam != 0;
    }
    *sums = s;
}
