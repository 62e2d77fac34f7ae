/* Do tokens cost less than sharing them would? Found out by what they have cost of late. */
#include "runtime/internal.h"

#define JUDGED_TOKENS 32    /* at least, or one a worker */
#define MOST_GAP      65536 /* tokens between two tries whether they are cheap */

/* What is known of tokens that cost `each` on the average: are they cheap? With company they cost
 * more than alone, so what is not far from it is tried alone now and then, the more rarely the more
 * often that was in vain. */
static bool are_cheap(struct mr_runtime *runtime, uint64_t done, uint64_t each)
{
    uint64_t dear = runtime->dear_ticks;

    if (mr_runtime_cheap(runtime)) {
        if (each >= dear + dear / 2)
            return false;
        runtime->try_gap = 0;
        return true;
    }
    if (each >= dear && (each >= 4 * dear || done < runtime->try_at))
        return false;
    runtime->try_gap = runtime->try_gap ? 2 * runtime->try_gap : JUDGED_TOKENS;
    if (runtime->try_gap > MOST_GAP)
        runtime->try_gap = MOST_GAP;
    runtime->try_at = done + runtime->try_gap;
    return true;
}

void mr_runtime_judge(struct mr_runtime *runtime)
{
    uint32_t workers = runtime->config.workers;
    uint32_t enough = workers > JUDGED_TOKENS ? workers : JUDGED_TOKENS;
    uint64_t done =
        runtime->next_number - atomic_load_explicit(&runtime->in_flight_now, memory_order_relaxed);
    uint64_t busy = 0;

    if (!mr_runtime_may_be_cheap(runtime) || done < runtime->judged_tokens + enough)
        return;
    for (uint32_t i = 0; i < workers; i++)
        busy += atomic_load_explicit(&runtime->workers[i].busy_ticks, memory_order_relaxed);
    uint64_t each = (busy - runtime->judged_ticks) / (done - runtime->judged_tokens);
    runtime->judged_tokens = done;
    runtime->judged_ticks = busy;
    bool cheap = are_cheap(runtime, done, each);
    if (cheap != mr_runtime_cheap(runtime))
        atomic_store_explicit(&runtime->cheap, cheap, memory_order_relaxed);
}
