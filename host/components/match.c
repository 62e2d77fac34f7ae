/* f_match: which patterns match a string. Hyperscan in block mode; every pattern is reported once
 * for a message, so the result is the set of the patterns that match. Patterns with flag 8 match
 * nothing in a message that is not UTF-8 as a whole (PCRE does the same): what Hyperscan would find
 * there is undefined. */
#include "components/match.h"

#include <stdlib.h>
#include <string.h>

#define MAX_ALERTS 64 /* for one row */

enum { MESSAGES, BYTES, MATCHES, ALERTS_LEFT_OUT, INVALID_UTF8, SCAN_FAILED };

static const char *const counters[] = {"messages",     "bytes",       "matches", "alerts_left_out",
                                       "invalid_utf8", "scan_failed", NULL};

/* One worker's. */
struct thread {
    hs_scratch_t *scratch;
    const struct mr_match_split *split; /* that the scratch fits */
    uint64_t *answered;                 /* [words] a row that is checked: what the device said */
    uint32_t n, found;                  /* patterns; of these, matched in the row at hand */
    uint64_t matched[];                 /* a bit for each pattern; zero between rows */
};

/* ---- start-up ---- */

static void unbind(void *memory)
{
    struct mr_match_config *config = memory;

    if (!config)
        return;
    mr_match_groups_free(&config->groups);
    mr_match_split_free(atomic_load(&config->split));
    mr_match_set_free(&config->set);
    free(config);
}

static enum mr_status bind(const struct mr_constant *constants, uint32_t n_constants, void **out,
                           struct mr_bind_error *error)
{
    (void)n_constants;
    struct mr_match_config *config = calloc(1, sizeof *config);
    enum mr_status status = config ? MR_OK : MR_ERR_MEMORY;

    if (!status)
        status = mr_match_set_read(&config->set, &constants[0], error);
    if (!status)
        status = mr_match_compile(&config->groups, &config->set, error);
    if (status) {
        unbind(config);
        return status;
    }
    for (uint32_t i = 0; i < config->groups.n; i++)
        config->any_utf8 |= config->groups.groups[i].utf8;
    *out = config;
    return MR_OK;
}

static void thread_close(void *memory)
{
    struct thread *thread = memory;

    if (!thread)
        return;
    hs_free_scratch(thread->scratch);
    free(thread->answered);
    free(thread);
}

static const struct mr_match_split *split_of(const struct mr_match_config *config)
{
    return atomic_load_explicit(&((struct mr_match_config *)(uintptr_t)config)->split,
                                memory_order_acquire);
}

/* Makes the scratch fit what the split leaves to f_match: when it is opened, and when another one
 * has taken its place, once. False: there is no memory. */
static bool fit(struct thread *thread, const struct mr_match_split *split)
{
    for (uint32_t i = 0; split && i < split->rest.n; i++)
        if (hs_alloc_scratch(split->rest.groups[i].database, &thread->scratch))
            return false;
    thread->split = split;
    return true;
}

static enum mr_status thread_open(const void *memory, void **out)
{
    const struct mr_match_config *config = memory;
    size_t words = ((size_t)config->set.n + 63) / 64;
    struct thread *thread = calloc(1, sizeof *thread + words * sizeof thread->matched[0]);

    if (!thread)
        return MR_ERR_MEMORY;
    thread->n = config->set.n;
    thread->answered = calloc(words + 1, sizeof *thread->answered);
    if (!thread->answered || hs_clone_scratch(config->groups.scratch, &thread->scratch) ||
        !fit(thread, split_of(config))) {
        thread_close(thread);
        return MR_ERR_MEMORY;
    }
    *out = thread;
    return MR_OK;
}

/* ---- scanning ---- */

static int on_match(unsigned index, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)from, (void)to, (void)flags;
    struct thread *thread = context;
    uint64_t *word = &thread->matched[index / 64], bit = (uint64_t)1 << index % 64;

    thread->found += !(*word & bit);
    *word |= bit;
    return thread->found == thread->n; /* nothing is left to be found */
}

static void alert(struct mr_call *call, uint32_t row, const struct mr_match_pattern *pattern)
{
    struct mr_event *event = mr_event_open(call, row, "alert");

    mr_event_object(event, "alert");
    mr_event_string(event, "action", "allowed", strlen("allowed"));
    mr_event_int(event, "gid", 1);
    mr_event_int(event, "signature_id", pattern->id);
    mr_event_int(event, "rev", 1);
    mr_event_string(event, "signature", pattern->text, strlen(pattern->text));
    mr_event_string(event, "category", "", 0);
    mr_event_int(event, "severity", 3);
    mr_event_end(event);
    mr_event_close(event);
}

/* Alerts for what was found in the row, ids ascending; forgets it. */
static void tell(struct mr_call *call, uint32_t row, const struct mr_match_set *set,
                 struct thread *thread)
{
    uint32_t told = 0;

    for (uint32_t word = 0; thread->found; word++) {
        uint64_t bits = thread->matched[word];
        thread->matched[word] = 0;
        for (; bits; bits &= bits - 1, thread->found--)
            if (told++ < MAX_ALERTS)
                alert(call, row, &set->patterns[word * 64 + (uint32_t)__builtin_ctzll(bits)]);
    }
    mr_count(call, MATCHES, told);
    if (told > MAX_ALERTS)
        mr_count(call, ALERTS_LEFT_OUT, told - MAX_ALERTS);
}

/* One row on its way: its bytes, and what went wrong. */
struct row {
    const char *bytes;
    uint32_t len;
    bool is_utf8;
    uint64_t failed;
};

static void scan(struct thread *thread, const struct mr_match_groups *groups, struct row *row)
{
    for (uint32_t i = 0; i < groups->n; i++) {
        const struct mr_match_group *group = &groups->groups[i];
        if (group->utf8 && !row->is_utf8)
            continue;
        hs_error_t error =
            hs_scan(group->database, row->bytes, row->len, 0, thread->scratch, on_match, thread);
        row->failed += error != HS_SUCCESS && error != HS_SCAN_TERMINATED;
    }
}

static void forget(struct thread *thread)
{
    memset(thread->matched, 0, ((size_t)thread->n + 63) / 64 * sizeof *thread->matched);
    thread->found = 0;
}

/* With what a device says, and a scan for what it leaves open. False: it says nothing useful. */
static bool take_answer(const struct mr_match_config *config, const struct mr_match_split *split,
                        struct thread *thread, const struct mr_device_answer *answer,
                        struct row *row)
{
    bool open = split->always;

    for (uint32_t i = 0; i < answer->n; i++) {
        uint32_t index = answer->words[i] & ~MR_ANSWER_UNDECIDED;
        if (split->own[index] == MR_DEVICE_NEVER)
            continue; /* what is said of those means nothing */
        if (answer->words[i] & MR_ANSWER_UNDECIDED) {
            if (split->own[index] == MR_DEVICE_DECIDES) {
                forget(thread);
                return false;
            }
            open = true;
        } else if (row->is_utf8 || !(config->set.patterns[index].flags & HS_FLAG_UTF8)) {
            on_match(index, 0, 0, 0, thread);
        }
    }
    if (open)
        scan(thread, &split->rest, row);
    return true;
}

/* The row is scanned as well; what is found so is what is right. */
static void check(struct mr_call *call, uint32_t at, const struct mr_match_config *config,
                  struct thread *thread, struct row *row)
{
    enum { MOST = 64 };
    uint32_t different[MOST], n = 0;
    size_t words = ((size_t)thread->n + 63) / 64;

    memcpy(thread->answered, thread->matched, words * sizeof *thread->matched);
    forget(thread);
    scan(thread, &config->groups, row);
    for (uint32_t w = 0; w < words; w++)
        for (uint64_t bits = thread->answered[w] ^ thread->matched[w]; bits && n < MOST;
             bits &= bits - 1)
            different[n++] = w * 64 + (uint32_t)__builtin_ctzll(bits);
    mr_device_checked(call, at, different, n);
}

static void match(struct mr_call *call)
{
    const struct mr_match_config *config = call->config;
    const union mr_value *messages = call->args[0];
    struct thread *thread = call->thread;
    const struct mr_match_split *split = split_of(config);
    uint64_t bytes = 0, invalid = 0, failed = 0;

    if (split != thread->split && !fit(thread, split))
        split = NULL;
    for (uint32_t i = 0; i < call->n; i++) {
        struct row row = {.len = messages[i].b.len};
        row.bytes = row.len ? messages[i].b.ptr : "";
        row.is_utf8 = !config->any_utf8 || mr_match_utf8((const uint8_t *)row.bytes, row.len);
        invalid += !row.is_utf8;
        const struct mr_device_answer *answer = split ? mr_device_answer(call, i) : NULL;
        if (!answer || !take_answer(config, split, thread, answer, &row))
            scan(thread, &config->groups, &row);
        else if (answer->check)
            check(call, i, config, thread, &row);
        failed += row.failed;
        call->out[i] = thread->found ? MR_VALUE_TEXT("true") : MR_VALUE_TEXT("false");
        if (thread->found)
            tell(call, i, &config->set, thread);
        bytes += row.len;
    }
    mr_count(call, MESSAGES, call->n);
    mr_count(call, BYTES, bytes);
    if (invalid)
        mr_count(call, INVALID_UTF8, invalid);
    if (failed)
        mr_count(call, SCAN_FAILED, failed);
}

static const struct mr_function functions[] = {
    {
        .name = "f_match",
        .summary = "\"true\" when a pattern (\"regex\", \"/regex/flags\", @\"file\") matches; "
                   "raises alerts",
        .args = {MR_TYPE_STRING, MR_TYPE_STRING},
        .n_args = 2,
        .n_constant = 1,
        .result = MR_TYPE_STRING,
        .order = MR_ORDER_NONE,
        .flow_use = MR_FLOW_TELLS,
        .shape = MR_SHAPE_MAP,
        .backends = "cpu gpu",
        .counters = counters,
        .bind = bind,
        .unbind = unbind,
        .thread_open = thread_open,
        .thread_close = thread_close,
        .device = &mr_match_device,
        .call = match,
    },
};

extern const struct mr_component mr_component_match;
const struct mr_component mr_component_match = {
    .abi = MR_COMPONENT_ABI,
    .bytes = sizeof(struct mr_component),
    .name = "match",
    .summary = "regular expressions with Hyperscan",
    .functions = functions,
    .n_functions = sizeof functions / sizeof functions[0],
};
