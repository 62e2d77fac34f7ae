/* For tests of functions without a runtime: nothing is shared. Defines what
 * include/millrace/component.h declares, so one file of a program includes it. */
#ifndef MR_TESTS_UNSHARED_H
#define MR_TESTS_UNSHARED_H

#include <millrace/component.h>

void mr_share(struct mr_call *call, union mr_value value)
{
    (void)call, (void)value;
}

bool mr_is_shared(const struct mr_call *call, union mr_value value)
{
    (void)call, (void)value;
    return false;
}

uint32_t mr_sharers(const struct mr_call *call)
{
    (void)call;
    return 1;
}

const void *mr_shared(struct mr_call *call, union mr_value value, const void *key)
{
    (void)call, (void)value, (void)key;
    return NULL;
}

void *mr_share_alloc(struct mr_call *call, size_t bytes)
{
    (void)call, (void)bytes;
    return NULL;
}

const void *mr_share_made(struct mr_call *call, union mr_value value, const void *key,
                          const void *made)
{
    (void)call, (void)value, (void)key;
    return made;
}

#endif
