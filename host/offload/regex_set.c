/* A set of patterns: each by itself on all threads, then what they share. */
#include "offload/regex_pattern.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 64u

const struct mr_regex_limits mr_regex_limits_default = {
    .dfa_states_max = 4000,
    .group_states_max = 2000,
    .tables_bytes_max = 24u << 20,
    .positions_max = 1500,
};

const char *mr_regex_tier_name(enum mr_regex_tier tier)
{
    static const char *const names[MR_TIERS] = {"literal", "dfa",        "nfa", "factor+cpu",
                                                "group",   "always-nfa", "cpu"};
    return names[tier];
}

/* ---- each pattern ---- */

struct work {
    const struct mr_regex_pattern *patterns;
    const struct mr_regex_limits *limits;
    struct mr_compiled *compiled;
    uint32_t n;
    _Atomic uint32_t next;
};

struct thread {
    struct work *work;
    struct mr_arena scratch, keep;
    pthread_t id;
    bool started;
};

static void *compile_some(void *memory)
{
    struct thread *thread = memory;
    struct work *work = thread->work;
    uint32_t i;

    while ((i = atomic_fetch_add(&work->next, 1)) < work->n)
        mr_regex_compile_one(&work->patterns[i], work->limits, &thread->scratch, &thread->keep,
                             &work->compiled[i]);
    return NULL;
}

static void compile_each(struct work *work, struct thread *threads, uint32_t n_threads)
{
    for (uint32_t i = 0; i < n_threads; i++) {
        threads[i].work = work;
        mr_arena_init(&threads[i].scratch, 0);
        mr_arena_init(&threads[i].keep, 0);
        threads[i].started = i && !pthread_create(&threads[i].id, NULL, compile_some, &threads[i]);
    }
    compile_some(&threads[0]);
    for (uint32_t i = 0; i < n_threads; i++) {
        if (threads[i].started)
            pthread_join(threads[i].id, NULL);
        mr_arena_free(&threads[i].scratch);
    }
}

/* ---- what they share ---- */

static enum mr_status make_factors(const struct mr_compiled *compiled, uint32_t n,
                                   uint32_t gram_bytes, struct mr_factor_table **table,
                                   struct mr_error *error)
{
    struct mr_factor *factors = malloc(((size_t)n * MR_FACTORS_EACH + 1) * sizeof *factors);
    uint32_t count = 0;

    if (!factors)
        return mr_fail(error, MR_ERR_MEMORY, "no memory for the factors of %u patterns", n);
    for (uint32_t i = 0; i < n; i++) {
        const struct mr_regex_factors *f = &compiled[i].factors;
        if (!f->n || (compiled[i].place.factor_len_min == 3) != (gram_bytes == 3) ||
            compiled[i].place.tier > MR_TIER_FACTOR_CPU)
            continue;
        for (uint32_t k = 0; k < f->n; k++)
            factors[count++] = (struct mr_factor){f->v[k].bytes, f->v[k].len, i, f->v[k].caseless};
    }
    enum mr_status status = mr_factor_table_compile(factors, count, gram_bytes, table, error);
    free(factors);
    return status;
}

/* The largest automata leave until the rest fits. */
static void fit(struct mr_compiled *compiled, uint32_t n, const struct mr_laid_out *groups,
                uint32_t n_groups, uint32_t max)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < n_groups; i++)
        sum += groups[i].header.bytes;
    for (uint32_t i = 0; i < n; i++)
        sum += compiled[i].automaton.header.bytes;
    while (sum > max) {
        struct mr_compiled *largest = NULL;
        for (uint32_t i = 0; i < n; i++)
            if (!largest || compiled[i].automaton.header.bytes > largest->automaton.header.bytes)
                largest = &compiled[i];
        if (!largest || !largest->automaton.header.bytes)
            return;
        sum -= largest->automaton.header.bytes;
        free(largest->automaton.data);
        largest->automaton = (struct mr_laid_out){0};
        largest->place.tier =
            largest->place.tier == MR_TIER_ALWAYS_NFA ? MR_TIER_CPU : MR_TIER_FACTOR_CPU;
        largest->place.why = "the tables of all patterns together are too large";
        largest->place.bytes = 0;
    }
}

/* The patterns' own automata in their order, then those that always run. */
static enum mr_status make_table(struct mr_regex_set *set, struct mr_compiled *compiled,
                                 const struct mr_laid_out *groups, uint32_t n_groups)
{
    struct mr_laid_out *all = calloc((size_t)set->n * 2 + n_groups + 1, sizeof *all);
    uint32_t n = set->n;

    if (!all)
        return MR_ERR_MEMORY;
    for (uint32_t i = 0; i < set->n; i++) {
        compiled[i].automaton.header.pattern = i;
        if (compiled[i].place.tier == MR_TIER_ALWAYS_NFA)
            all[n++] = compiled[i].automaton;
        else if (compiled[i].place.tier <= MR_TIER_NFA)
            all[i] = compiled[i].automaton;
    }
    for (uint32_t i = 0; i < n_groups; i++)
        all[n++] = groups[i];
    enum mr_status status = mr_layout_table(all, n, set->n, &set->table);
    free(all);
    return status;
}

static enum mr_status assemble(struct mr_regex_set *set, const struct mr_regex_pattern *patterns,
                               struct mr_compiled *compiled, const struct mr_regex_limits *limits,
                               struct mr_error *error)
{
    struct mr_laid_out *groups = NULL;
    uint32_t n_groups = 0;
    enum mr_status status = mr_regex_group(patterns, compiled, set->n, limits, &groups, &n_groups);

    fit(compiled, set->n, groups, status ? 0 : n_groups, limits->tables_bytes_max);
    if (!status)
        status = make_table(set, compiled, groups, n_groups);
    for (uint32_t i = 0; i < n_groups; i++)
        free(groups[i].data);
    free(groups);
    if (status)
        return mr_fail(error, status, "no memory for the tables of %u patterns", set->n);
    status = make_factors(compiled, set->n, 4, &set->factors, error);
    if (!status)
        status = make_factors(compiled, set->n, 3, &set->factors_3, error);
    for (uint32_t i = 0; i < set->n; i++) {
        set->places[i] = compiled[i].place;
        set->tiers[compiled[i].place.tier]++;
    }
    return status;
}

enum mr_status mr_regex_compile(struct mr_regex_set *set, const struct mr_regex_pattern *patterns,
                                uint32_t n, const struct mr_regex_limits *limits,
                                uint32_t n_threads, struct mr_error *error)
{
    struct work work = {.patterns = patterns, .limits = limits, .n = n};
    struct thread threads[THREADS_MAX];
    enum mr_status status = MR_OK;
    uint64_t began = mr_clock_ns();

    *set = (struct mr_regex_set){.n = n};
    n_threads = n_threads > THREADS_MAX ? THREADS_MAX : n_threads ? n_threads : 1;
    work.compiled = calloc((size_t)n + 1, sizeof *work.compiled);
    set->places = calloc((size_t)n + 1, sizeof *set->places);
    if (!work.compiled || !set->places) {
        free(work.compiled);
        return mr_fail(error, MR_ERR_MEMORY, "no memory for %u patterns", n);
    }
    compile_each(&work, threads, n_threads);
    for (uint32_t i = 0; i < n && !status; i++)
        status = work.compiled[i].status;
    if (status)
        mr_fail(error, status, "no memory to compile %u patterns", n);
    else
        status = assemble(set, patterns, work.compiled, limits, error);
    for (uint32_t i = 0; i < n; i++)
        free(work.compiled[i].automaton.data);
    for (uint32_t i = 0; i < n_threads; i++)
        mr_arena_free(&threads[i].keep);
    free(work.compiled);
    set->compile_ns = mr_clock_ns() - began;
    return status;
}

void mr_regex_set_free(struct mr_regex_set *set)
{
    free(set->places);
    free(set->texts);
    free(set->table);
    mr_factor_table_free(set->factors);
    mr_factor_table_free(set->factors_3);
    *set = (struct mr_regex_set){0};
}
