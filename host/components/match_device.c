/* What a device does of f_match: it is given the patterns, and what it cannot decide is compiled to
 * a database of its own. */
#include "components/match.h"

#include <stdlib.h>
#include <string.h>

static uint32_t n_patterns(const void *memory)
{
    return ((const struct mr_match_config *)memory)->set.n;
}

static struct mr_device_pattern pattern(const void *memory, uint32_t index)
{
    static const struct {
        unsigned theirs, ours;
    } flags[] = {{HS_FLAG_CASELESS, MR_DEVICE_CASELESS},
                 {HS_FLAG_MULTILINE, MR_DEVICE_MULTILINE},
                 {HS_FLAG_DOTALL, MR_DEVICE_DOTALL},
                 {HS_FLAG_UTF8, MR_DEVICE_UTF8},
                 {HS_FLAG_UCP, MR_DEVICE_UCP}};
    const struct mr_match_config *config = memory;
    const struct mr_match_pattern *from = &config->set.patterns[index];
    struct mr_device_pattern result = {.regex = from->regex};

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        result.flags |= from->flags & flags[i].theirs ? flags[i].ours : 0;
    result.flags |= from->ext.flags ? MR_DEVICE_OTHER : 0;
    return result;
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)from, (void)to, (void)flags;
    ((uint32_t *)context)[id >> 5] |= 1u << (id & 31);
    return 0;
}

static void search(const void *memory, const uint8_t *bytes, uint32_t len, uint32_t *matches,
                   uint32_t *unfit)
{
    const struct mr_match_config *config = memory;
    bool is_utf8 = mr_match_utf8(bytes, len);

    for (uint32_t i = 0; i < config->groups.n; i++)
        if (is_utf8 || !config->groups.groups[i].utf8)
            hs_scan(config->groups.groups[i].database, (const char *)bytes, len, 0,
                    config->groups.scratch, on_match, matches);
    for (uint32_t i = 0; !is_utf8 && i < config->set.n; i++)
        if (config->set.patterns[i].flags & HS_FLAG_UTF8)
            unfit[i >> 5] |= 1u << (i & 31);
}

void mr_match_split_free(struct mr_match_split *split)
{
    while (split) {
        struct mr_match_split *before = split->before;
        mr_match_groups_free(&split->rest);
        free(split);
        split = before;
    }
}

static enum mr_status settle(void *memory, const uint8_t *parts)
{
    struct mr_match_config *config = memory;
    struct mr_bind_error error;
    uint32_t n = config->set.n, rest = 0;
    struct mr_match_split *split = calloc(1, sizeof *split + n);

    if (!split)
        return MR_ERR_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        rest += parts[i] != MR_DEVICE_DECIDES;
        split->always |= parts[i] == MR_DEVICE_NEVER;
        split->own[i] = parts[i];
    }
    enum mr_status status =
        rest ? mr_match_compile_some(&split->rest, &config->set, parts, &error) : MR_OK;
    if (status) {
        mr_match_split_free(split);
        return status;
    }
    split->before = atomic_load(&config->split);
    atomic_store(&config->split, split);
    return MR_OK;
}

static const uint8_t *settled(const void *memory)
{
    const struct mr_match_split *split =
        atomic_load(&((struct mr_match_config *)(uintptr_t)memory)->split);
    return split ? split->own : NULL;
}

const struct mr_device_op mr_match_device = {
    .work = MR_DEVICE_REGEX,
    .n_patterns = n_patterns,
    .pattern = pattern,
    .search = search,
    .settle = settle,
    .settled = settled,
};
