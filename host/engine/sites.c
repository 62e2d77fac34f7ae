/* Bytes of sites on their way to a device and back: the hooks of the runtime. */
#include "engine/sites.h"

#include "runtime/answers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct mr_site *site_of(void *user, uint32_t index)
{
    const struct mr_engine *engine = user;
    const struct mr_sites *sites = engine->sites;

    return sites && index < sites->n ? sites->list[index] : NULL;
}

/* ---- there ---- */

static bool is_off(const struct mr_site_part *part)
{
    return atomic_load_explicit(&part->off, memory_order_relaxed);
}

static bool all_off(const struct mr_site *site)
{
    for (uint32_t p = 0; p < site->n_parts; p++)
        if (!is_off(&site->parts[p]))
            return false;
    return true;
}

static bool wanted(void *user, uint32_t index, uint64_t bytes, uint64_t waited_ns)
{
    struct mr_site *site = site_of(user, index);

    if (!site || !site->offload || all_off(site))
        return false;
    uint64_t waiting = atomic_load_explicit(&site->waiting, memory_order_relaxed) / site->workers;
    pthread_mutex_lock(&site->lock);
    bool on_device = mr_placement_on_device(&site->placement, waiting + bytes, waited_ns);
    pthread_mutex_unlock(&site->lock);
    return on_device;
}

/* One whose views have to be made: they stand where the next one's will. */
static bool add_made(struct mr_site *site, struct mr_worker *worker, uint32_t index,
                     const struct mr_device_row *row)
{
    struct mr_view views[MR_VIEWS_MAX];

    for (uint32_t v = 0; v < site->work.n_views; v++) {
        uint32_t c = site->view_calls[v];
        views[v] = (struct mr_view){row->bytes, row->len};
        if (c == MR_NO_INDEX)
            continue;
        struct mr_call call = mr_answers_call(worker, index, c);
        struct mr_device_text text = call.function->device->view(&call, row->bytes, row->len);
        if (!text.bytes)
            return false;
        views[v] = (struct mr_view){text.bytes, text.len};
    }
    return mr_offload_add_many(site->offload, views, &row->tag, 1) != 0;
}

static uint32_t add(void *user, struct mr_worker *worker, uint32_t index,
                    const struct mr_device_row *rows, uint32_t n)
{
    static_assert(MR_DEVICE_ROWS <= MR_OFFLOAD_MANY, "they go there at once");
    struct mr_site *site = site_of(user, index);
    struct mr_view views[MR_DEVICE_ROWS];
    uint64_t tags[MR_DEVICE_ROWS];
    uint32_t taken = 0;

    if (site->work.n_views > 1 || site->view_calls[0] != MR_NO_INDEX) {
        for (uint32_t i = 0; i < n; i++)
            taken |= (uint32_t)add_made(site, worker, index, &rows[i]) << i;
        return taken;
    }
    for (uint32_t i = 0; i < n; i++) {
        views[i] = (struct mr_view){rows[i].bytes, rows[i].len};
        tags[i] = rows[i].tag;
    }
    return mr_offload_add_many(site->offload, views, tags, n);
}

static void searched(void *user, uint32_t index, uint64_t bytes, uint64_t ns)
{
    struct mr_site *site = site_of(user, index);

    if (!site || !site->offload)
        return;
    if (!ns) {
        atomic_fetch_add_explicit(&site->waiting, bytes, memory_order_relaxed);
        return;
    }
    atomic_fetch_sub_explicit(&site->waiting, bytes, memory_order_relaxed);
    pthread_mutex_lock(&site->lock);
    mr_placement_learn(&site->placement, bytes, ns);
    pthread_mutex_unlock(&site->lock);
}

/* ---- and back ---- */

static bool ready(void *user)
{
    const struct mr_sites *sites = ((struct mr_engine *)user)->sites;

    for (uint32_t i = 0; sites && i < sites->n; i++) {
        const struct mr_offload *offload =
            atomic_load_explicit(&sites->list[i]->offload, memory_order_acquire);
        if (offload && mr_offload_ready(offload))
            return true;
    }
    return false;
}

/* Calls `with` for every call that a match is an answer to. */
static void for_calls(const struct mr_site *site, const struct mr_offload_done *done,
                      void (*with)(struct mr_asked *asked, uint32_t call, uint32_t word))
{
    const struct mr_offload_batch *batch = done->batch;

    for (uint32_t i = 0; i < batch->n_matches; i++) {
        uint32_t pattern = batch->matches[i].pattern & ~MR_REGEX_UNDECIDED;
        uint32_t part = site->part_of[pattern];
        uint32_t word = pattern - site->parts[part].first;
        struct mr_asked *asked = mr_asked_of(done->tags[batch->matches[i].message]);
        if (batch->matches[i].pattern & MR_REGEX_UNDECIDED)
            word |= MR_ANSWER_UNDECIDED;
        for (uint32_t c = 0; c < site->n_calls; c++)
            if (site->call_parts[c] == part && asked->calls[c].there)
                with(asked, c, word);
    }
}

static void count_word(struct mr_asked *asked, uint32_t call, uint32_t word)
{
    (void)word;
    asked->calls[call].answer.n++;
}

static void put_word(struct mr_asked *asked, uint32_t call, uint32_t word)
{
    struct mr_device_answer *answer = &asked->calls[call].answer;
    ((uint32_t *)(uintptr_t)answer->words)[answer->n++] = word;
}

/* What is to be said for each call of a message but its matches. */
static void begin_calls(const struct mr_site *site, const struct mr_offload_done *done, uint32_t m)
{
    static_assert(MR_ANSWER_WORDS * sizeof(uint32_t) >= sizeof(struct mr_bayes_sums),
                  "sums need no memory of their own");
    const struct mr_offload_batch *batch = done->batch;
    struct mr_asked *asked = mr_asked_of(done->tags[m]);

    for (uint32_t c = 0; c < site->n_calls; c++) {
        const struct mr_site_part *part = &site->parts[site->call_parts[c]];
        struct mr_asked_call *call = &asked->calls[c];
        call->answer.check =
            m >= done->check_first && (m - done->check_first) % done->check_every == 0;
        if (is_off(part) || batch->redo[m] == MR_REDO_ALL)
            continue;
        if (part->op->work == MR_DEVICE_REGEX) {
            call->there = !(batch->redo[m] & MR_REDO_SEARCH);
            continue;
        }
        const struct mr_bayes_sums *sums = mr_batch_sums(batch, part->model, m);
        call->there = sums->n_known != MR_BAYES_NONE;
        memcpy(call->words, sums, sizeof *sums);
        call->answer.words = call->words;
        call->answer.n = sizeof *sums / sizeof call->words[0];
    }
}

/* Room for the matches that were counted. */
static void make_room(const struct mr_site *site, struct mr_worker *worker, struct mr_asked *asked)
{
    for (uint32_t c = 0; c < site->n_calls; c++) {
        struct mr_asked_call *call = &asked->calls[c];
        if (!call->there || site->parts[site->call_parts[c]].op->work != MR_DEVICE_REGEX)
            continue;
        call->there = mr_answers_room(worker, asked, c, call->answer.n) != NULL;
        call->answer.n = 0;
    }
}

static void finish(struct mr_site *site, struct mr_worker *worker,
                   const struct mr_offload_done *done)
{
    const struct mr_offload_batch *batch = done->batch;

    for (uint32_t m = 0; m < batch->n_messages; m++)
        begin_calls(site, done, m);
    for_calls(site, done, count_word);
    for (uint32_t m = 0; m < batch->n_messages; m++)
        make_room(site, worker, mr_asked_of(done->tags[m]));
    for_calls(site, done, put_word);
    for (uint32_t m = 0; m < batch->n_messages; m++)
        mr_answers_back(worker, mr_asked_of(done->tags[m]));
    mr_offload_release(site->offload, done);
}

static bool take(void *user, struct mr_worker *worker)
{
    const struct mr_sites *sites = ((struct mr_engine *)user)->sites;
    struct mr_offload_done done;

    for (uint32_t i = 0; sites && i < sites->n; i++) {
        struct mr_site *site = sites->list[i];
        if (!site->offload || !mr_offload_take(site->offload, &done))
            continue;
        finish(site, worker, &done);
        return true;
    }
    return false;
}

/* ---- checks ---- */

/* Whoever asks for the model has the CPU's from now on. */
static void leave_model(struct mr_site *site, uint32_t model)
{
    for (uint32_t p = 0; p < site->n_parts; p++)
        if (site->parts[p].op->work == MR_DEVICE_BAYES && site->parts[p].model == model)
            atomic_store(&site->parts[p].off, 1);
}

/* The binding is left to the CPU until its other patterns have been compiled without this one. */
static void differs(struct mr_site *site, struct mr_site_part *part, uint32_t index)
{
    bool is_model = part->op->work == MR_DEVICE_BAYES;
    uint32_t at = is_model ? site->set.n + part->model : part->first + index;
    char line[256];

    if (!mr_offload_demote(site->offload, at))
        return;
    /* in this order: mr_site_settle_again() looks at the number behind what it does with `off` */
    uint32_t n = atomic_fetch_add(&part->n_demoted, 1) + 1;
    if (is_model)
        leave_model(site, part->model);
    else
        atomic_store(&part->off, 1);
    if (n > MR_DEMOTED_MOST + 1)
        return;
    snprintf(
        line, sizeof line, "it and the CPU differ about %s%.120s: the CPU decides %s from now on",
        is_model ? "a model of spam" : "the pattern ", is_model ? "" : site->patterns[at].regex,
        n > MR_DEMOTED_MOST ? "it, and all others," : "it");
    mr_site_say(site, line);
    if (is_model || n > MR_DEMOTED_MOST)
        return;
    atomic_store(&site->resettle, 1);
    mr_keeper_wake(site->engine->keeper);
}

static void checked(void *user, uint32_t index, uint32_t call, const uint32_t *indices, uint32_t n)
{
    struct mr_site *site = site_of(user, index);
    struct mr_site_part *part = &site->parts[site->call_parts[call]];

    for (uint32_t i = 0; i < n; i++)
        differs(site, part, indices[i]);
    mr_offload_checked(site->offload, n);
}

struct mr_device_hooks mr_sites_hooks(void)
{
    return (struct mr_device_hooks){.wanted = wanted,
                                    .add = add,
                                    .searched = searched,
                                    .ready = ready,
                                    .take = take,
                                    .checked = checked};
}
