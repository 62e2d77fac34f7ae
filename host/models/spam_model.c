/* Model files. Everything in one is checked before it is used: it may come from anywhere. */
#include "models/spam_model.h"

#include "base/hash.h"
#include "base/open.h"
#include "base/plain.h"
#include "base/replace.h"
#include "models/spam_text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRY_MAX (64 * MR_BAYES_ONE) /* no logarithm or weight is larger: sums cannot overflow */

static size_t table_bytes(uint32_t bucket_log2)
{
    return ((size_t)1 << bucket_log2) * MR_BAYES_SLOTS * sizeof(struct mr_bayes_entry);
}

_Static_assert(sizeof(struct mr_spam_model) == 512, "buckets lie in cache lines");

static void checksum(const struct mr_spam_model *model, uint8_t sum[16])
{
    struct {
        struct mr_spam_model header;
        uint8_t table[16];
    } both;

    both.header = *model;
    memset(both.header.checksum, 0, sizeof both.header.checksum);
    mr_hash128_public(mr_spam_buckets(model), table_bytes(model->bucket_log2), both.table);
    mr_hash128_public(&both, sizeof both, sum);
}

static bool number(double x, double max)
{
    return isfinite(x) && fabs(x) <= max;
}

static bool within(int32_t x)
{
    return x >= -ENTRY_MAX && x <= ENTRY_MAX;
}

static const char *check_header(const struct mr_spam_model *m, size_t n)
{
    if (n < sizeof *m || memcmp(m->magic, MR_SPAM_MODEL_MAGIC, 8) != 0)
        return "it is no spam model";
    if (m->version != MR_SPAM_MODEL_VERSION)
        return "it was made by another version of millrace: train it again";
    if (m->header_bytes != sizeof *m || m->bucket_log2 < MR_SPAM_BUCKETS_MIN ||
        m->bucket_log2 > MR_SPAM_BUCKETS_MAX)
        return "its header is damaged";
    if (m->bytes != n || n != sizeof *m + table_bytes(m->bucket_log2))
        return "it is cut, or something was added to it";
    return NULL;
}

static const char *check_content(const struct mr_spam_model *m)
{
    const struct mr_bayes_entry *e = mr_spam_buckets(m);
    uint32_t n = (1u << m->bucket_log2) * MR_BAYES_SLOTS, used = 0;

    if (m->fields >= MR_SPAM_N_FIELDS || !number(m->bias, 1e6) || !number(m->mix, 1e6) ||
        !number(m->threshold, 1) || !number(m->false_positives, 1) ||
        !number(m->figures.one_less_auc, 1))
        return "a number in its header is out of range";
    if (!memchr(m->note, 0, sizeof m->note) || !memchr(m->created, 0, sizeof m->created))
        return "a text in its header has no end";
    for (uint32_t i = 0; i < n; i++) {
        used += e[i].fingerprint != 0;
        if (!within(e[i].spam) || !within(e[i].ham) || !within(e[i].weight))
            return "a number in its table is out of range";
    }
    if (used != m->n_entries)
        return "its table does not have the entries that its header says";
    return NULL;
}

const char *mr_spam_model_check(const void *bytes, size_t n)
{
    const char *wrong = check_header(bytes, n);
    const struct mr_spam_model *model = bytes;
    uint8_t sum[16];

    if (wrong)
        return wrong;
    checksum(model, sum);
    if (memcmp(sum, model->checksum, sizeof sum) != 0)
        return "its checksum is wrong: it is damaged";
    return check_content(bytes);
}

static enum mr_status fail(struct mr_error *error, const char *path, const char *what)
{
    return mr_fail(error, MR_ERR_INPUT, "%s: %s", path, what);
}

enum mr_status mr_spam_model_read(const char *path, struct mr_spam_model **out,
                                  struct mr_error *error)
{
    static const char advice[] = "give a file that `millrace train spam -o FILE` has written";
    enum mr_status status = MR_OK;
    struct mr_spam_model *model = NULL;
    const char *wrong;
    struct stat about;
    int fd = mr_open_read(path);
    FILE *file = fd >= 0 ? fdopen(fd, "rb") : NULL;

    *out = NULL;
    if (!file) {
        status = mr_fail(error, MR_ERR_INPUT, "cannot read the model %s: %s; %s", path,
                         strerror(errno), advice);
        if (fd >= 0)
            close(fd);
        return status;
    }
    if (fstat(fd, &about) || !S_ISREG(about.st_mode)) {
        status = mr_fail(error, MR_ERR_INPUT, "cannot read the model %s: it is %s; %s", path,
                         S_ISDIR(about.st_mode) ? "a folder" : "no regular file", advice);
        goto out;
    }
    if (about.st_size < (off_t)sizeof *model ||
        about.st_size > (off_t)(sizeof *model + table_bytes(MR_SPAM_BUCKETS_MAX))) {
        status = mr_fail(error, MR_ERR_PROGRAM, "%s: it is no spam model; %s", path, advice);
        goto out;
    }
    size_t n = (size_t)about.st_size;
    model = aligned_alloc(64, (n + 63) / 64 * 64);
    if (!model) {
        status = mr_fail(error, MR_ERR_MEMORY, "%s: no memory for %zu bytes", path, n);
        goto out;
    }
    if (fread(model, 1, n, file) != n) {
        status = fail(error, path, "it cannot be read to its end");
        goto out;
    }
    wrong = mr_spam_model_check(model, n);
    if (wrong)
        status = mr_fail(error, MR_ERR_PROGRAM, "%s: %s; %s", path, wrong, advice);
out:
    fclose(file);
    if (status)
        free(model);
    else
        *out = model;
    return status;
}

void mr_spam_model_free(struct mr_spam_model *model)
{
    free(model);
}

enum mr_status mr_spam_model_write(struct mr_spam_model *model, const char *path,
                                   struct mr_error *error)
{
    uint8_t sum[16];
    enum mr_status status = mr_may_replace(path, error);

    if (status)
        return status;
    checksum(model, sum);
    memcpy(model->checksum, sum, sizeof sum);
    struct mr_replacement new;
    bool begun = mr_replace_begin(&new, path);
    if (begun)
        fwrite(model, 1, model->bytes, new.file); /* an error is met again at the end */
    if (begun && mr_replace_end(&new))
        return MR_OK;
    return mr_fail(error, MR_ERR_OUTPUT,
                   "the model %s cannot be written: %s; give another path with -o", path,
                   strerror(errno));
}

struct mr_spam_model *mr_spam_model_new(uint32_t bucket_log2)
{
    size_t bytes = sizeof(struct mr_spam_model) + table_bytes(bucket_log2);
    struct mr_spam_model *model = aligned_alloc(64, (bytes + 63) / 64 * 64);

    if (!model)
        return NULL;
    memset(model, 0, bytes);
    memcpy(model->magic, MR_SPAM_MODEL_MAGIC, 8);
    model->version = MR_SPAM_MODEL_VERSION;
    model->header_bytes = sizeof *model;
    model->bytes = bytes;
    model->bucket_log2 = bucket_log2;
    return model;
}

enum mr_spam_added mr_spam_model_add(struct mr_spam_model *model, uint64_t hash,
                                     struct mr_bayes_entry entry)
{
    struct mr_bayes_entry *entries =
        (struct mr_bayes_entry *)(void *)((uint8_t *)model + model->header_bytes);
    uint32_t last = (1u << model->bucket_log2) - 1;
    uint32_t bucket = mr_bayes_bucket(hash, model->bucket_log2);

    entry.fingerprint = mr_bayes_fingerprint(hash);
    for (uint32_t probe = 0; probe < MR_BAYES_PROBES; probe++, bucket = (bucket + 1) & last)
        for (uint32_t i = 0; i < MR_BAYES_SLOTS; i++) {
            struct mr_bayes_entry *at = &entries[bucket * MR_BAYES_SLOTS + i];
            if (at->fingerprint == entry.fingerprint)
                return MR_SPAM_CLASHES;
            if (at->fingerprint)
                continue;
            *at = entry;
            model->n_entries++;
            return MR_SPAM_ADDED;
        }
    return MR_SPAM_NO_ROOM;
}

void mr_spam_model_show(const struct mr_spam_model *m, const char *path, FILE *out)
{
    static const char *const fields[] = {"all header fields but dates and what filters add",
                                         "header fields that the sender writes",
                                         "none: bodies only"};
    const struct mr_spam_figures *f = &m->figures;

    fprintf(out, "model          %s\n", path);
    fprintf(out, "made           "); /* who made the file wrote this, and the note */
    mr_print_plain(out, m->created, strlen(m->created));
    fprintf(out, ", format %u, %llu bytes, checksum ", m->version, (unsigned long long)m->bytes);
    for (size_t i = 0; i < sizeof m->checksum; i++)
        fprintf(out, "%02x", m->checksum[i]);
    fprintf(out, "\nrule           logistic over tokens%s; score = 1 / (1 + exp(-z))\n",
            m->mix > 0 ? ", with Robinson-Fisher chi-square" : "");
    fprintf(out, "looks at       %s\n", fields[m->fields]);
    fprintf(out, "tokens         %u (hashes only), %.0f %% of the table\n", m->n_entries,
            100.0 * m->n_entries / ((1u << m->bucket_log2) * MR_BAYES_SLOTS));
    fprintf(out, "trained on     %u ham, %u spam; %u duplicates left out\n", m->n_ham, m->n_spam,
            m->n_duplicates);
    fprintf(out, "threshold      %.6f: spam at or above it (for %.3f %% of ham)\n", m->threshold,
            100 * m->false_positives);
    if (f->folds)
        fprintf(out,
                "measured       %u-fold on mails not trained on: %u of %u ham called spam "
                "(%.2f %%),\n"
                "               %u of %u spam missed (%.2f %%), 1-AUC %.4f %%\n",
                f->folds, f->ham_called_spam, f->n_ham, 100.0 * f->ham_called_spam / f->n_ham,
                f->spam_missed, f->n_spam, 100.0 * f->spam_missed / f->n_spam,
                100 * f->one_less_auc);
    if (m->note[0]) {
        fprintf(out, "note           ");
        mr_print_plain(out, m->note, strlen(m->note));
        fputc('\n', out);
    }
}
