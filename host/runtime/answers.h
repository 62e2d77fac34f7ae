/* Rows that a device is asked about. Before a batch enters a parallel group, bytes of its rows (a
 * site of the plan) go to a device, each once, and the batch waits until all of them are back; what
 * is not taken is the function's own to compute. The rules of the group then run as ever, and their
 * functions find what the device says (millrace/device.h).
 */
#ifndef MR_RUNTIME_ANSWERS_H
#define MR_RUNTIME_ANSWERS_H

#include "millrace/component.h"
#include "millrace/device.h"
#include "runtime/runtime.h"

#define MR_ANSWER_WORDS 8 /* of a call, before they need memory of their own */

/* What the device says for one call of the site. */
struct mr_asked_call {
    struct mr_device_answer answer;
    bool there; /* the device has answered */
    uint32_t capacity;
    uint32_t words[MR_ANSWER_WORDS];
};

/* A message under way; its tag is its address. In the token's memory. */
struct mr_asked {
    struct mr_asked_batch *batch;
    const void *ptr;
    uint32_t len, site;
    struct mr_asked_call *calls; /* [of the site] */
};

struct mr_asked_batch {
    struct mr_asked_batch *next; /* of those that a worker has just taken the last answer of */
    struct mr_batch *batch;
    _Atomic uint32_t awaited; /* messages, and who asks */
    uint32_t n, mask;
    uint32_t *index; /* [mask + 1] 1 + row, by what its bytes are; 0: free */
    struct mr_asked rows[];
};

/* ---- for device hooks, in add() ---- */

/* The call of a site, without rows, for the worker to make a text of the message. */
struct mr_call mr_answers_call(struct mr_worker *worker, uint32_t site, uint32_t call);

/* ---- in take() ---- */

static inline struct mr_asked *mr_asked_of(uint64_t tag)
{
    return (struct mr_asked *)(uintptr_t)tag;
}

/* Room for n words of a call; NULL: no memory (counted), and the row is the function's own. */
uint32_t *mr_answers_room(struct mr_worker *worker, struct mr_asked *asked, uint32_t call,
                          uint32_t n);
/* The message is back; all there is to say of it has been noted, with `there` for its calls. */
void mr_answers_back(struct mr_worker *worker, struct mr_asked *asked);

#endif
