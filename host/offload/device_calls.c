/* Calls that may never return: a driver whose device has gone from the bus, or has stopped. Who is
 * in one cannot be helped; but who waits for him can see it, and leave him there. */
#include "offload/device_parts.h"

#include "base/clock.h"

#include <unistd.h>

#define LEFT UINT64_MAX

static _Thread_local struct mr_call_watch *mine;

void mr_calls_watch(struct mr_call_watch *watch)
{
    mine = watch;
}

void mr_call_begin(void)
{
    if (mine)
        atomic_store(&mine->since_ns, mr_clock_ns());
}

void mr_call_end(void)
{
    if (mine && atomic_exchange(&mine->since_ns, 0) == LEFT)
        for (;;) /* what was there before may be gone */
            pause();
}

void mr_call_hang(void)
{
    mr_call_begin();
    for (;;)
        pause();
}

bool mr_call_leave(struct mr_call_watch *watch, uint64_t most_looks)
{
    uint64_t since_ns = atomic_load(&watch->since_ns);

    if (since_ns != watch->seen_ns)
        watch->n_seen = 0;
    watch->seen_ns = since_ns;
    return since_ns && ++watch->n_seen > most_looks &&
           atomic_compare_exchange_strong(&watch->since_ns, &since_ns, LEFT);
}

enum mr_status mr_call_batch_new(void *state, struct mr_offload_batch **batch,
                                 struct mr_error *error)
{
    mr_call_begin();
    enum mr_status status = mr_device_batch_new(state, batch, error);
    mr_call_end();
    return status;
}

void mr_call_batch_free(void *state, struct mr_offload_batch *batch)
{
    mr_call_begin();
    mr_device_batch_free(state, batch);
    mr_call_end();
}

enum mr_status mr_call_submit(void *state, struct mr_offload_batch *batch, struct mr_error *error)
{
    mr_call_begin();
    enum mr_status status = mr_device_submit(state, batch, error);
    mr_call_end();
    return status;
}

enum mr_status mr_call_poll(void *state, struct mr_offload_batch *batch, struct mr_error *error)
{
    mr_call_begin();
    enum mr_status status = mr_device_poll(state, batch, error);
    mr_call_end();
    return status;
}

void mr_call_close(void *state)
{
    mr_call_begin();
    mr_device_close(state);
    mr_call_end();
}
