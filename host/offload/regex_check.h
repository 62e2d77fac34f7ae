/* At load: is what was compiled here exact? */
#ifndef MR_OFFLOAD_REGEX_CHECK_H
#define MR_OFFLOAD_REGEX_CHECK_H

#include "offload/backend.h"

/* Who knows what is right. */
struct mr_regex_oracle {
    void *context;
    /* Sets the bits of the patterns that match in matches[], and in unfit[] of those that the text
     * is not for (it is not UTF-8). Both are zero before. */
    void (*search)(void *context, const uint8_t *bytes, uint32_t len, uint32_t *matches,
                   uint32_t *unfit);
};

struct mr_regex_checked {
    uint64_t texts, bytes;
    uint32_t demoted; /* patterns */
};

/* Draws so many texts from every pattern, searches them with the back end and the oracle, and
 * demotes patterns about which they differ to MR_TIER_CPU: what a device still says of those is to
 * be ignored. */
enum mr_status mr_regex_check(struct mr_regex_set *set, const struct mr_regex_pattern *patterns,
                              const struct mr_backend *backend,
                              const struct mr_regex_oracle *oracle, uint32_t samples,
                              struct mr_regex_checked *checked, struct mr_error *error);

#endif
