/* Bytes of sites on their way to a device and back: the hooks of the runtime. */
#include "engine/sites.h"

#include "runtime/answers.h"

#include <stdlib.h>
#include <string.h>

static struct mr_site *site_of(void *user, uint32_t index)
{
    const struct mr_engine *engine = user;
    const struct mr_sites *sites = engine->sites;

    return sites && index < sites->n ? sites->list[index] : NULL;
}

/* ---- there ---- */

static bool wanted(void *user, uint32_t index, uint64_t bytes, uint64_t waited_ns)
{
    struct mr_site *site = site_of(user, index);

    if (!site || !site->offload || atomic_load_explicit(&site->retired, memory_order_relaxed))
        return false;
    uint64_t waiting = atomic_load_explicit(&site->waiting, memory_order_relaxed) / site->workers;
    pthread_mutex_lock(&site->lock);
    bool on_device = mr_placement_on_device(&site->placement, waiting + bytes, waited_ns);
    pthread_mutex_unlock(&site->lock);
    return on_device;
}

static bool add(void *user, uint32_t index, const void *bytes, uint32_t len, uint64_t tag)
{
    return mr_offload_add(site_of(user, index)->offload, bytes, len, tag) == MR_OK;
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

    for (uint32_t i = 0; sites && i < sites->n; i++)
        if (sites->list[i]->offload && mr_offload_ready(sites->list[i]->offload))
            return true;
    return false;
}

/* Calls `with` for every call that a match is an answer to. */
static void for_calls(const struct mr_site *site, const struct mr_offload_done *done,
                      void (*with)(struct mr_asked *asked, uint32_t call, uint32_t word))
{
    const struct mr_batch *batch = done->batch;

    for (uint32_t i = 0; i < batch->n_matches; i++) {
        uint32_t pattern = batch->matches[i].pattern & ~MR_REGEX_UNDECIDED;
        uint32_t part = site->part_of[pattern];
        uint32_t word = pattern - site->parts[part].first;
        struct mr_asked *asked = mr_asked_of(done->tags[batch->matches[i].message]);
        if (!asked->there)
            continue;
        if (batch->matches[i].pattern & MR_REGEX_UNDECIDED)
            word |= MR_ANSWER_UNDECIDED;
        for (uint32_t c = 0; c < site->n_calls; c++)
            if (site->call_parts[c] == part)
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

static void finish(struct mr_site *site, struct mr_worker *worker,
                   const struct mr_offload_done *done)
{
    const struct mr_batch *batch = done->batch;
    bool retired = atomic_load_explicit(&site->retired, memory_order_relaxed);

    for (uint32_t m = 0; m < batch->n_messages; m++) {
        struct mr_asked *asked = mr_asked_of(done->tags[m]);
        bool check = m >= done->check_first && (m - done->check_first) % done->check_every == 0;
        asked->there = !retired && !batch->redo[m];
        for (uint32_t c = 0; c < site->n_calls; c++)
            asked->calls[c].answer.check = check;
    }
    for_calls(site, done, count_word);
    for (uint32_t m = 0; m < batch->n_messages; m++) {
        struct mr_asked *asked = mr_asked_of(done->tags[m]);
        for (uint32_t c = 0; asked->there && c < site->n_calls; c++) {
            asked->there = mr_answers_room(worker, asked, c, asked->calls[c].answer.n) != NULL;
            asked->calls[c].answer.n = 0;
        }
    }
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

static void checked(void *user, uint32_t index, uint32_t call, const uint32_t *indices, uint32_t n)
{
    struct mr_site *site = site_of(user, index);
    const struct mr_site_part *part = &site->parts[site->call_parts[call]];

    for (uint32_t i = 0; i < n; i++)
        mr_offload_demote(site->offload, part->first + indices[i]);
    mr_offload_checked(site->offload, n);
    if (n && !atomic_exchange_explicit(&site->retired, 1, memory_order_relaxed))
        fprintf(site->engine->config.diagnostics,
                "millrace: device: %s: it and the CPU differ about %u pattern%s (the first is %s): "
                "the CPU decides from now on\n",
                site->name, n, n == 1 ? "" : "s", site->patterns[part->first + indices[0]].regex);
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
