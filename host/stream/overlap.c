/* Overlap policies: their names and what they decide. */
#include "stream/overlap.h"

#include <string.h>

static const struct {
    const char *name;
    enum mr_overlap_policy policy;
} policies[] = {
    {"first", MR_OVERLAP_FIRST}, {"last", MR_OVERLAP_LAST},       {"bsd", MR_OVERLAP_BSD},
    {"linux", MR_OVERLAP_LINUX}, {"windows", MR_OVERLAP_WINDOWS}, {"solaris", MR_OVERLAP_SOLARIS},
};

bool mr_overlap_policy_parse(const char *name, enum mr_overlap_policy *policy)
{
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        if (!strcmp(name, policies[i].name)) {
            *policy = policies[i].policy;
            return true;
        }
    }
    return false;
}

bool mr_overlap_new_wins_ip(enum mr_overlap_policy policy, int64_t start_delta, int64_t end_delta)
{
    switch (policy) {
    case MR_OVERLAP_LAST:
        return true;
    case MR_OVERLAP_BSD:
        return start_delta < 0;
    case MR_OVERLAP_LINUX:
        return start_delta <= 0;
    case MR_OVERLAP_WINDOWS:
        return start_delta < 0 && end_delta > 0;
    case MR_OVERLAP_SOLARIS:
        return start_delta < 0 && end_delta >= 0;
    case MR_OVERLAP_FIRST:
        break;
    }
    return false;
}

bool mr_overlap_new_wins_tcp(enum mr_overlap_policy policy, int64_t start_delta, int64_t end_delta)
{
    switch (policy) {
    case MR_OVERLAP_LAST:
        return true;
    case MR_OVERLAP_BSD:
    case MR_OVERLAP_WINDOWS:
        return start_delta < 0;
    case MR_OVERLAP_LINUX:
        return start_delta < 0 || (start_delta == 0 && end_delta > 0);
    case MR_OVERLAP_SOLARIS:
        return start_delta <= 0 ? end_delta >= 0 : end_delta > 0;
    case MR_OVERLAP_FIRST:
        break;
    }
    return false;
}
