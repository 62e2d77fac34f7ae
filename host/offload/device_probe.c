/* Is there a device? A driver that hangs, as one does whose GPU has gone from the bus, is not to
 * keep an engine from starting that can do without: it is asked by a thread that may be left in the
 * call. */
#include "offload/device_parts.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct asking {
    const struct mr_device *device;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool answered, left; /* who comes last frees it */
    int n, code;
};

static void asking_free(struct asking *a)
{
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->changed);
    free(a);
}

static void *ask(void *memory)
{
    struct asking *a = memory;
    int n = 0, code = a->device->count(&n);

    pthread_mutex_lock(&a->lock);
    a->n = n;
    a->code = code;
    a->answered = true;
    bool left = a->left;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
    if (left)
        asking_free(a);
    return NULL;
}

static bool start(struct asking *a)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool started = !pthread_create(&thread, &attributes, ask, a);
    pthread_attr_destroy(&attributes);
    return started;
}

/* False: it has not answered. */
static bool count_within(const struct mr_device *device, uint64_t most_ns, int *n, int *code)
{
    struct asking *a = most_ns ? calloc(1, sizeof *a) : NULL;
    uint64_t until = mr_clock_ns() + most_ns;
    struct timespec at = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
    pthread_condattr_t clock;
    int waited = 0;

    if (!a) {
        *code = device->count(n);
        return true;
    }
    a->device = device;
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&a->changed, &clock);
    pthread_condattr_destroy(&clock);
    if (!start(a)) {
        asking_free(a);
        *code = device->count(n);
        return true;
    }
    pthread_mutex_lock(&a->lock);
    while (!a->answered && !waited)
        waited = pthread_cond_timedwait(&a->changed, &a->lock, &at);
    bool answered = a->answered;
    a->left = !answered;
    *n = a->n;
    *code = a->code;
    pthread_mutex_unlock(&a->lock);
    if (answered)
        asking_free(a);
    return answered;
}

enum mr_status mr_device_probe(const struct mr_device *device, uint64_t most_ns,
                               struct mr_error *error)
{
    int n = 0, code = 0;

    if (!count_within(device, most_ns, &n, &code))
        return mr_fail(error, MR_ERR_LIMIT, "device %s: its driver has not answered for %.3g s",
                       device->name, (double)most_ns * 1e-9);
    if (code)
        return mr_fail(error, MR_ERR_START, "device %s: it cannot be used: %s (%d)", device->name,
                       device->error_text(code), code);
    return n > 0 ? MR_OK
                 : mr_fail(error, MR_ERR_START, "device %s: there is none here", device->name);
}
