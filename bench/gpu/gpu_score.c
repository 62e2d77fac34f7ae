/* The scoring stage of spam: texts of mails summed up by a model, in batches that are filled
 * already, several at once, copies included; beside it the host's scorer on all cores, over the
 * same texts. What the device says is compared with the host, bit for bit. */
#include "gpu_bench.h"

#include "base/clock.h"
#include "mime/mime.h"
#include "models/spam_text.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS     6
#define CORES_MAX 256

struct texts {
    uint8_t *bytes;
    uint32_t *at, *len;
    uint32_t n, n_bytes;
};

/* Mails become what is scored. */
static bool make_texts(const struct kit *kit, struct texts *t)
{
    struct mr_mime_decoder *decoder = mr_mime_open(NULL);
    size_t room = kit->messages.bytes + (size_t)kit->messages.n * 64 + MR_SPAM_TEXT_ROOM;

    t->bytes = malloc(room * 2);
    t->at = calloc(kit->messages.n, sizeof *t->at);
    t->len = calloc(kit->messages.n, sizeof *t->len);
    bool good = decoder && t->bytes && t->at && t->len;
    for (uint32_t i = 0; good && i < kit->messages.n; i++) {
        if (t->n_bytes + MR_SPAM_TEXT_ROOM > room * 2)
            break;
        const struct mr_mime *mail =
            mr_mime_decode(decoder, NULL, kit->messages.at[i], kit->messages.len[i]);
        t->at[t->n] = t->n_bytes;
        t->len[t->n] =
            mr_spam_text(mail, (enum mr_spam_fields)kit->model->fields, t->bytes + t->n_bytes);
        mr_mime_release(decoder);
        t->n_bytes += t->len[t->n++];
    }
    mr_mime_close(decoder);
    return good && t->n;
}

static void free_texts(struct texts *t)
{
    free(t->bytes);
    free(t->at);
    free(t->len);
}

/* ---- the host ---- */

struct crowd {
    const struct kit *kit;
    const struct texts *texts;
    _Atomic uint64_t mails;
    uint64_t until_ns;
};

static void *score(void *memory)
{
    struct crowd *c = memory;
    struct mr_spam_scratch *scratch = mr_spam_scratch_new();
    struct mr_bayes_sums sums;
    uint64_t mails = 0;

    for (uint32_t i = 0; scratch && (i % 16 || mr_clock_ns() < c->until_ns); i++, mails++) {
        uint32_t k = i % c->texts->n;
        mr_spam_sums(c->kit->model, scratch, c->texts->bytes + c->texts->at[k], c->texts->len[k],
                     &sums);
    }
    atomic_fetch_add(&c->mails, mails);
    mr_spam_scratch_free(scratch);
    return NULL;
}

/* Mails a second, with so many threads. */
static double on_host(const struct kit *kit, const struct texts *texts, uint32_t n_threads)
{
    pthread_t threads[CORES_MAX];
    uint64_t began = mr_clock_ns();
    struct crowd c = {.kit = kit, .texts = texts};
    uint32_t n = 0;

    c.until_ns = began + (uint64_t)(kit->seconds * 1e9);
    while (n < n_threads && !pthread_create(&threads[n], NULL, score, &c))
        n++;
    for (uint32_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    return (double)c.mails * 1e9 / (double)(mr_clock_ns() - began);
}

/* ---- the device ---- */

struct flow {
    void *state;
    struct mr_offload_batch *batches[SLOTS];
    uint64_t mails, bytes, n, device_ns, kernels_ns, wall_ns;
};

static void fill(struct mr_offload_batch *batch, const struct texts *texts, uint32_t *next)
{
    while (mr_batch_add(batch, texts->bytes + texts->at[*next], texts->len[*next]))
        *next = (*next + 1) % texts->n;
}

static enum mr_status circulate(const struct kit *kit, struct flow *f, struct mr_error *error)
{
    uint64_t began = mr_clock_ns(), until = began + (uint64_t)(kit->seconds * 1e9);
    enum mr_status status = MR_OK;
    uint32_t under_way = 0;

    for (int i = 0; i < SLOTS && !status; i++, under_way++)
        status = kit->backend->submit(f->state, f->batches[i], error);
    for (uint32_t i = 0; under_way && !status; i = (i + 1) % SLOTS) {
        struct mr_offload_batch *batch = f->batches[i];
        if (!batch)
            continue;
        status = kit->backend->poll(f->state, batch, error);
        if (status == MR_AGAIN) {
            status = MR_OK;
            continue;
        }
        f->mails += batch->n_messages;
        f->bytes += batch->n_bytes;
        f->device_ns += batch->device_ns;
        f->kernels_ns += batch->kernels_ns;
        f->n++;
        if (status || (mr_clock_ns() >= until && f->n >= SLOTS)) {
            f->batches[i] = NULL; /* the caller frees it */
            under_way--;
        } else {
            status = kit->backend->submit(f->state, batch, error);
        }
    }
    f->wall_ns = mr_clock_ns() - began;
    return status;
}

static int compare(const struct kit *kit, const struct mr_offload_batch *batch)
{
    struct mr_spam_scratch *scratch = mr_spam_scratch_new();
    uint8_t *text = malloc(MR_SPAM_TEXT_ROOM);
    int code = scratch && text ? 0 : 2;

    for (uint32_t m = 0; m < batch->n_messages && !code; m++) {
        const struct mr_bayes_sums *theirs = mr_batch_sums(batch, 0, m);
        struct mr_bayes_sums right;
        memcpy(text, batch->bytes + batch->messages[m].offset, batch->messages[m].len);
        mr_spam_sums(kit->model, scratch, text, batch->messages[m].len, &right);
        if (theirs->n_known != MR_BAYES_NONE && memcmp(theirs, &right, sizeof right) != 0)
            code = 2;
    }
    if (code)
        fprintf(stderr, "gpu_bench: the device sums up something else than the host\n");
    mr_spam_scratch_free(scratch);
    free(text);
    return code;
}

static int measure(const struct kit *kit, const struct texts *texts, struct flow *f,
                   struct mr_offload_batch *batches[SLOTS])
{
    struct mr_backend_config config = {.work = {.models = {{kit->model, 0}}, .n_models = 1},
                                       .bytes_max = kit->batch_bytes,
                                       .messages_max = 8192,
                                       .matches_each = 1};
    struct mr_error error = {0};
    uint32_t next = 0;
    int code = 0;
    enum mr_status status = kit->backend->open(&config, &f->state, &error);

    for (int i = 0; i < SLOTS && !status; i++) {
        status = kit->backend->batch_new(f->state, &batches[i], &error);
        f->batches[i] = batches[i];
        if (!status)
            fill(batches[i], texts, &next);
    }
    if (!status)
        status = circulate(kit, f, &error);
    for (int i = 0; i < SLOTS && !status && !code; i++)
        code = compare(kit, batches[i]);
    if (status)
        fprintf(stderr, "gpu_bench: %s\n", error.text);
    return status ? 2 : code;
}

int part_score(struct kit *kit)
{
    struct texts texts = {0};
    struct mr_offload_batch *batches[SLOTS] = {NULL};
    struct flow f = {0};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t n_threads = cores < 1 ? 1 : cores > CORES_MAX ? CORES_MAX : (uint32_t)cores;
    int code = make_texts(kit, &texts) ? measure(kit, &texts, &f, batches) : 2;

    for (int i = 0; i < SLOTS; i++)
        if (batches[i])
            kit->backend->batch_free(f.state, batches[i]);
    if (f.state)
        kit->backend->close(f.state);
    if (!code) {
        double one = on_host(kit, &texts, 1), all = on_host(kit, &texts, n_threads);
        double device = (double)f.mails * 1e9 / (double)f.wall_ns;
        fprintf(
            kit->out,
            "\"texts\": %u, \"text_bytes\": %u, \"batches\": %lu, \"mails_per_s\": %.0f, "
            "\"gbit_per_s\": %.3f, \"kernels_mails_per_s\": %.0f, \"turn_us\": %.1f, "
            "\"host_threads\": %u, \"host_mails_per_s\": %.0f, \"host_core_mails_per_s\": %.0f, "
            "\"times_host\": %.3f",
            texts.n, texts.n_bytes, (unsigned long)f.n, device,
            (double)f.bytes * 8 / (double)f.wall_ns,
            f.kernels_ns ? (double)f.mails * 1e9 / (double)f.kernels_ns : 0,
            (double)f.device_ns * 1e-3 / (double)f.n, n_threads, all, one,
            all > 0 ? device / all : 0);
    }
    free_texts(&texts);
    return code;
}
