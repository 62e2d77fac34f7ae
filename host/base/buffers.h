/* The buffer pool: bounded, size-classed memory for bytes that outlive a token (segments held out
 * of order, mails being assembled, fragments). Thread-safe.
 *
 * Classes are powers of two from 512 bytes to 64 MiB. A buffer given back stays in the list of its
 * class; the sum of all buffers, used and listed, never passes the cap. Where another class wants
 * the room of listed ones, the system gets about as many bytes of them back as are missing: no
 * request pays for all that lies listed.
 */
#ifndef MR_BASE_BUFFERS_H
#define MR_BASE_BUFFERS_H

#include "millrace/component.h"

struct mr_buffers;

/* What the pool holds now and has refused. */
struct mr_buffers_usage {
    uint64_t cap_bytes, used_bytes, token_bytes, kept_bytes, listed_bytes, peak_bytes;
    uint64_t refused; /* requests that would have passed the cap */
};

enum mr_status mr_buffers_new(struct mr_buffers **out, uint64_t cap_bytes);
void mr_buffers_free(struct mr_buffers *pool); /* NULL is allowed; all buffers must be back */

/* Contracts as of mr_buffer_get() and mr_buffer_put() in millrace/component.h. What is held over
 * time (segments, mails, fragments) may fill seven eighths of the cap, whatever tokens have; the
 * rest is for what lives as long as a token, so that the engine goes on when the former is used up.
 */
struct mr_buffer *mr_buffers_get(struct mr_buffers *pool, size_t capacity);
struct mr_buffer *mr_buffers_get_for_token(struct mr_buffers *pool, size_t capacity);
void mr_buffers_put(struct mr_buffers *pool, struct mr_buffer *buffer);

/* From now on the buffer, got by mr_buffers_get(), lives as long as a token: it is given back soon,
 * whatever comes. Its user; before another thread may give it back. */
void mr_buffers_keep(struct mr_buffers *pool, struct mr_buffer *buffer);

/* For so many tokens that want so much, with what they bring to be held over time, there is room
 * beside what is held already; at least one. While those under way have a third of it, with
 * what they keep (mails that wait for a device), it is but one. Any thread. */
uint32_t mr_buffers_room(const struct mr_buffers *pool, uint64_t token_bytes);

void mr_buffers_usage(struct mr_buffers *pool, struct mr_buffers_usage *usage);

#endif
