/* Training: read, measure by cross-validation, choose the threshold, learn from all, write. */
#include "models/spam_train.h"

#include "models/spam_learn.h"
#include "models/spam_mails.h"
#include "models/spam_set.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct reading {
    struct mr_spam_set *set;
    bool is_spam, progress, names_wanted;
    uint64_t n;
    char **names; /* of the mails of the set, where they are wanted */
    uint32_t n_names, room;
};

/* The mail that was added last, unless it was a duplicate. */
static bool keep_name(struct reading *r, const char *name)
{
    if (mr_spam_set_examples(r->set).n_mails == r->n_names)
        return true;
    if (r->n_names == r->room) {
        uint32_t room = r->room ? 2 * r->room : 1024;
        char **names = realloc(r->names, room * sizeof *names);
        if (!names)
            return false;
        r->names = names;
        r->room = room;
    }
    r->names[r->n_names] = strdup(name);
    return r->names[r->n_names++];
}

static void names_free(struct reading *r)
{
    for (uint32_t i = 0; i < r->n_names; i++)
        free(r->names[i]);
    free(r->names);
}

static enum mr_status each(void *user, const char *name, const uint8_t *mail, size_t len,
                           struct mr_error *error)
{
    struct reading *reading = user;
    enum mr_status status = mr_spam_set_add(reading->set, reading->is_spam, mail, len);

    if (!status && reading->names_wanted && !keep_name(reading, name))
        status = MR_ERR_MEMORY;
    if (reading->progress && ++reading->n % 256 == 0)
        fprintf(stderr, "\rreading: %llu mails", (unsigned long long)reading->n);
    if (status)
        return mr_fail(error, status, "%s: %s", name, mr_status_text(status));
    return MR_OK;
}

static enum mr_status read_all(const struct mr_spam_training *t, struct reading *reading,
                               struct mr_error *error)
{
    enum mr_status status = MR_OK;

    for (uint32_t i = 0; i < t->n_ham && !status; i++)
        status = mr_spam_mails(t->ham[i], each, reading, error);
    reading->is_spam = true;
    for (uint32_t i = 0; i < t->n_spam && !status; i++)
        status = mr_spam_mails(t->spam[i], each, reading, error);
    if (t->progress && reading->n >= 256)
        fprintf(stderr, "\r\033[K");
    return status;
}

/* ---- measuring ---- */

struct judged {
    double z;
    bool is_spam;
    uint8_t fold;
};

static enum mr_status refuse_output(const char *path, struct mr_error *error)
{
    return mr_fail(error, MR_ERR_OUTPUT, "%s cannot be written: %s; give another path", path,
                   strerror(errno));
}

static enum mr_status write_judged(const char *path, const struct judged *judged,
                                   const struct reading *reading, struct mr_error *error)
{
    FILE *file = fopen(path, "w");

    for (uint32_t i = 0; file && i < reading->n_names; i++)
        fprintf(file, "%u %s %.9f %s\n", judged[i].fold, judged[i].is_spam ? "spam" : "ham",
                mr_spam_score(judged[i].z), reading->names[i]);
    if (!file || fclose(file))
        return refuse_output(path, error);
    return MR_OK;
}

static int by_z(const void *a, const void *b)
{
    const struct judged *x = a, *y = b;

    if (x->z != y->z)
        return x->z < y->z ? 1 : -1;
    return (int)x->is_spam - (int)y->is_spam; /* ties: as if ham came first */
}

static enum mr_status cross_validate(const struct mr_spam_training *t, struct mr_spam_set *set,
                                     uint32_t min_mails, struct judged *judged, FILE *out)
{
    struct mr_spam_examples e = mr_spam_set_examples(set);
    uint8_t *fold = calloc((size_t)e.n_mails + 1, 1), *use = calloc((size_t)e.n_mails + 1, 1);
    struct mr_spam_model rule = {.mix = t->no_chi_square ? 0 : MR_SPAM_MIX};
    enum mr_status status = fold && use ? MR_OK : MR_ERR_MEMORY;
    uint32_t groups = status ? 0 : mr_spam_set_folds(set, t->folds, fold);

    if (groups)
        fprintf(out, "folds          %u, of %u groups of mails that are not nearly alike%s\n",
                t->folds, groups, groups < 4 * t->folds ? ": too few, this says little" : "");
    else
        status = MR_ERR_MEMORY;
    for (uint32_t k = 0; k < t->folds && !status; k++) {
        struct mr_spam_learned learned;
        struct mr_bayes_sums sums;
        if (t->progress)
            fprintf(stderr, "\rmeasuring: fold %u of %u", k + 1, t->folds);
        for (uint32_t i = 0; i < e.n_mails; i++)
            use[i] = fold[i] != k;
        status = mr_spam_learn(&e, use, min_mails, &learned);
        rule.bias = learned.bias;
        for (uint32_t i = 0; i < e.n_mails && !status; i++) {
            if (use[i])
                continue;
            mr_spam_learned_sums(&e, i, &learned, &sums);
            judged[i] = (struct judged){mr_spam_z(&rule, &sums), e.is_spam[i], (uint8_t)k};
        }
        free(learned.entries);
    }
    if (t->progress)
        fprintf(stderr, "\r\033[K");
    free(use);
    free(fold);
    return status;
}

/* The lowest z that at most `share` of ham reaches, half way to the ham above it. */
static double cut_for(const struct judged *sorted, uint32_t n, uint32_t n_ham, double share)
{
    uint32_t allowed = (uint32_t)floor(share * n_ham + 1e-9), ham = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (sorted[i].is_spam)
            continue;
        if (ham++ == allowed) /* this one must stay ham: the cut lies above it */
            return i ? (sorted[i].z + sorted[i - 1].z) / 2 : sorted[i].z + 1;
    }
    return n ? sorted[n - 1].z : 0;
}

static void counts_at(const struct judged *sorted, uint32_t n, double cut, uint32_t *ham_called,
                      uint32_t *missed)
{
    *ham_called = *missed = 0;
    for (uint32_t i = 0; i < n; i++) {
        *ham_called += !sorted[i].is_spam && sorted[i].z >= cut;
        *missed += sorted[i].is_spam && sorted[i].z < cut;
    }
}

static double one_less_auc(const struct judged *sorted, uint32_t n, uint32_t n_ham, uint32_t n_spam)
{
    double lost = 0, ham = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (sorted[i].is_spam)
            lost += ham; /* pairs in which ham stands above spam */
        else
            ham++;
    }
    return n_ham && n_spam ? lost / ((double)n_ham * n_spam) : 0;
}

static enum mr_status write_roc(const char *path, const struct judged *sorted, uint32_t n,
                                struct mr_error *error)
{
    FILE *file = fopen(path, "w");
    uint32_t ham = 0, spam = 0;

    if (!file)
        return refuse_output(path, error);
    fprintf(file, "# threshold ham_called_spam spam_found\n");
    for (uint32_t i = 0; i < n; i++) {
        ham += !sorted[i].is_spam;
        spam += sorted[i].is_spam;
        if (i + 1 == n || sorted[i + 1].z != sorted[i].z)
            fprintf(file, "%.9f %u %u\n", mr_spam_score(sorted[i].z), ham, spam);
    }
    if (fclose(file))
        return refuse_output(path, error);
    return MR_OK;
}

static enum mr_status measure(const struct mr_spam_training *t, const struct reading *reading,
                              uint32_t min_mails, struct mr_spam_model *result, FILE *out,
                              struct mr_error *error)
{
    static const double shares[] = {0, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02};
    struct mr_spam_figures *f = &result->figures;
    uint32_t n = f->n_ham + f->n_spam;
    struct judged *judged = calloc((size_t)n + 1, sizeof *judged);
    enum mr_status status =
        judged ? cross_validate(t, reading->set, min_mails, judged, out) : MR_ERR_MEMORY;

    if (status) {
        free(judged);
        return mr_fail(error, status, "training: %s", mr_status_text(status));
    }
    if (t->judged)
        status = write_judged(t->judged, judged, reading, error);
    qsort(judged, n, sizeof *judged, by_z);
    f->folds = t->folds;
    f->one_less_auc = one_less_auc(judged, n, f->n_ham, f->n_spam);
    double cut = cut_for(judged, n, f->n_ham, t->false_positives);
    result->threshold = mr_spam_score(cut);
    counts_at(judged, n, cut, &f->ham_called_spam, &f->spam_missed);
    fprintf(out, "ROC            1-AUC %.4f %%\n", 100 * f->one_less_auc);
    fprintf(out, "               ham called spam   spam missed   threshold\n");
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        uint32_t ham, missed;
        double at = cut_for(judged, n, f->n_ham, shares[i]);
        counts_at(judged, n, at, &ham, &missed);
        fprintf(out, "               %5u  %6.3f %%   %5u  %5.2f %%   %.6f\n", ham,
                100.0 * ham / f->n_ham, missed, 100.0 * missed / f->n_spam, mr_spam_score(at));
    }
    fprintf(out, "at %.6f    %10s %10s\n", result->threshold, "called ham", "called spam");
    fprintf(out, "  ham          %10u %10u\n", f->n_ham - f->ham_called_spam, f->ham_called_spam);
    fprintf(out, "  spam         %10u %10u\n", f->spam_missed, f->n_spam - f->spam_missed);
    if (t->roc && !status)
        status = write_roc(t->roc, judged, n, error);
    free(judged);
    return status;
}

/* ---- the model ---- */

/* Of how many mails a token must be, so that there are at most max_tokens. */
static enum mr_status least_mails(const struct mr_spam_training *t,
                                  const struct mr_spam_examples *e, uint32_t *least)
{
    uint32_t *counts = calloc((size_t)e->n_tokens + 1, sizeof *counts), left;

    *least = t->min_mails ? t->min_mails : 1;
    if (!counts)
        return MR_ERR_MEMORY;
    for (size_t k = 0; k < e->first[e->n_mails]; k++)
        counts[e->tokens[k]]++;
    do {
        left = 0;
        for (uint32_t i = 0; i < e->n_tokens; i++)
            left += counts[i] >= *least;
    } while (t->max_tokens && left > t->max_tokens && ++*least);
    free(counts);
    return MR_OK;
}

/* A table three quarters full at most, in which every token finds room. */
static struct mr_spam_model *table_of(const struct mr_spam_learned *learned,
                                      const struct mr_spam_examples *e, const uint64_t *hashes)
{
    for (uint32_t log2 = MR_SPAM_BUCKETS_MIN; log2 <= MR_SPAM_BUCKETS_MAX; log2++) {
        if (((uint64_t)1 << log2) * MR_BAYES_SLOTS * 3 / 4 < learned->n_known)
            continue;
        struct mr_spam_model *model = mr_spam_model_new(log2);
        enum mr_spam_added added = MR_SPAM_ADDED;
        if (!model)
            return NULL;
        for (uint32_t i = 0; i < e->n_tokens && added != MR_SPAM_NO_ROOM; i++)
            if (learned->entries[i].fingerprint)
                added = mr_spam_model_add(model, hashes[i], learned->entries[i]);
        if (added != MR_SPAM_NO_ROOM)
            return model;
        mr_spam_model_free(model);
    }
    return NULL;
}

static enum mr_status finish(const struct mr_spam_training *t, const struct mr_spam_set *set,
                             uint32_t min_mails, const struct mr_spam_model *result,
                             struct mr_error *error)
{
    struct mr_spam_examples e = mr_spam_set_examples(set);
    uint8_t *use = malloc((size_t)e.n_mails + 1);
    struct mr_spam_learned learned = {0};
    enum mr_status status = use ? MR_OK : MR_ERR_MEMORY;
    struct mr_spam_model *model = NULL;

    if (use) {
        memset(use, 1, e.n_mails);
        status = mr_spam_learn(&e, use, min_mails, &learned);
    }
    if (!status)
        model = table_of(&learned, &e, mr_spam_set_hashes(set));
    if (!model) {
        status = mr_fail(error, MR_ERR_MEMORY,
                         "%s: no memory for the model, or over 12 million "
                         "tokens: see --max-tokens",
                         t->output);
    } else {
        model->fields = t->fields;
        model->n_ham = result->figures.n_ham;
        model->n_spam = result->figures.n_spam;
        model->n_duplicates = mr_spam_set_duplicates(set);
        model->bias = learned.bias;
        model->mix = t->no_chi_square ? 0 : MR_SPAM_MIX;
        model->threshold = result->threshold;
        model->false_positives = t->false_positives;
        if (result->figures.folds)
            model->figures = result->figures;
        memcpy(model->created, result->created, sizeof model->created);
        snprintf(model->note, sizeof model->note, "%s", t->note ? t->note : "");
        status = mr_spam_model_write(model, t->output, error);
    }
    mr_spam_model_free(model);
    free(learned.entries);
    free(use);
    return status;
}

enum mr_status mr_spam_train(const struct mr_spam_training *t, FILE *out, struct mr_error *error)
{
    struct mr_spam_set *set = mr_spam_set_new(t->fields);
    struct reading reading = {.set = set, .progress = t->progress, .names_wanted = t->judged};
    struct mr_spam_model result = {.threshold = 0.5};
    enum mr_status status = set ? read_all(t, &reading, error)
                                : mr_fail(error, MR_ERR_MEMORY, "training: out of memory");
    struct mr_spam_examples e;
    time_t now = time(NULL);
    uint32_t min_mails = 1;

    if (status)
        goto out;
    e = mr_spam_set_examples(set);
    for (uint32_t i = 0; i < e.n_mails; i++)
        *(e.is_spam[i] ? &result.figures.n_spam : &result.figures.n_ham) += 1;
    fprintf(out, "mails          %u ham, %u spam; %u duplicates left out\n", result.figures.n_ham,
            result.figures.n_spam, mr_spam_set_duplicates(set));
    if (!result.figures.n_ham || !result.figures.n_spam) {
        const char *missing = result.figures.n_ham ? "spam" : "ham";
        status = mr_fail(error, MR_ERR_INPUT,
                         "training wants ham and spam; there is no %s but what the other kind has "
                         "too: give mails with --%s PATH",
                         missing, missing);
        goto out;
    }
    strftime(result.created, sizeof result.created, "%Y-%m-%d", gmtime(&now));
    if (t->date)
        snprintf(result.created, sizeof result.created, "%s", t->date);
    status = least_mails(t, &e, &min_mails);
    if (status)
        goto out;
    fprintf(out, "tokens         %u different; those of at least %u mails count\n", e.n_tokens,
            min_mails);
    if (t->folds)
        status = measure(t, &reading, min_mails, &result, out, error);
    if (!status && t->output)
        status = finish(t, set, min_mails, &result, error);
out:
    names_free(&reading);
    mr_spam_set_free(set);
    return status;
}
