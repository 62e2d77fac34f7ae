/* Compiled sets kept in a folder, by what they were compiled from: patterns, limits, and the
 * program that did it. A file says so itself and has a checksum; one that is damaged, or that
 * somebody else could have written, is compiled anew. The folder is bounded: the sets used longest
 * ago go.
 */
#ifndef MR_OFFLOAD_REGEX_CACHE_H
#define MR_OFFLOAD_REGEX_CACHE_H

#include "offload/regex.h"

#include <stdbool.h>

#define MR_CACHE_FILES_MAX 256u
#define MR_CACHE_BYTES_MAX ((uint64_t)1 << 30)

struct mr_regex_cached {
    bool loaded;    /* it was there */
    char note[384]; /* what is wrong with the folder or the file, in a line; "": nothing */
};

/* mr_regex_compile(), or the same from the folder; what was compiled is put there. NULL: no folder.
 * A folder that cannot be used is no error. `ns` of the set: what this took. */
enum mr_status mr_regex_compile_cached(struct mr_regex_set *set,
                                       const struct mr_regex_pattern *patterns, uint32_t n,
                                       const struct mr_regex_limits *limits, uint32_t n_threads,
                                       const char *folder, struct mr_regex_cached *cached,
                                       struct mr_error *error);

#endif
