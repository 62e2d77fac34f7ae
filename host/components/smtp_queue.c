/* The commands that have no reply yet, in order. */
#include "smtp_session.h"

#include <string.h>

#define QUEUE_BYTES (1u << 20)

static uint32_t record_bytes(const struct smtp_record *record)
{
    return (uint32_t)sizeof *record + ((record->text_len + 7) & ~7u);
}

struct smtp_record *smtp_queue_at(struct mr_smtp_session *s, uint32_t offset)
{
    return (struct smtp_record *)(void *)(s->queue.buffer->data + offset);
}

uint32_t smtp_queue_next(struct mr_smtp_session *s, uint32_t offset)
{
    return offset + record_bytes(smtp_queue_at(s, offset));
}

/* Moves what is left to the front. */
static void compact(struct mr_smtp_session *s)
{
    struct smtp_queue *q = &s->queue;

    memmove(q->buffer->data, q->buffer->data + q->head, q->buffer->len - q->head);
    q->buffer->len -= q->head;
    q->tail -= q->head;
    s->mail_record -= s->mail_queued ? q->head : 0;
    q->head = 0;
}

/* Room for a record of this size. */
static bool room(struct mr_smtp_session *s, const struct mr_smtp_memory *memory, uint32_t bytes)
{
    struct smtp_queue *q = &s->queue;
    struct mr_buffer *own = &s->short_queue.buffer;

    if (!q->buffer && bytes <= SMTP_QUEUE_BYTES) {
        *own = (struct mr_buffer){.data = s->short_queue.bytes, .capacity = SMTP_QUEUE_BYTES};
        q->buffer = own;
    }
    if (q->buffer && q->buffer->capacity - q->buffer->len >= bytes)
        return true;
    /* Moving at most what was popped since: linear in what passes. */
    if (q->buffer && q->head >= q->buffer->len / 2)
        compact(s);
    if (q->buffer != own)
        return mr_smtp_room(&q->buffer, memory, bytes, QUEUE_BYTES);
    if (own->capacity - own->len >= bytes)
        return true;
    struct mr_buffer *larger = memory->get(memory->user, (size_t)own->len + bytes);
    if (!larger)
        return false;
    memcpy(larger->data, own->data, own->len);
    larger->len = own->len;
    q->buffer = larger;
    return true;
}

bool smtp_queue_push(struct mr_smtp_session *s, const struct mr_smtp_memory *memory,
                     const struct smtp_record *record, const uint8_t *text)
{
    struct smtp_queue *q = &s->queue;
    uint32_t bytes = record_bytes(record);

    if (q->count >= s->limits->outstanding)
        return false;
    if (!room(s, memory, bytes))
        return false;
    q->tail = q->buffer->len;
    q->buffer->len += bytes;
    memcpy(q->buffer->data + q->tail, record, sizeof *record);
    if (record->text_len)
        memcpy(q->buffer->data + q->tail + sizeof *record, text, record->text_len);
    q->count++;
    return true;
}

void smtp_queue_pop(struct mr_smtp_session *s, const struct mr_smtp_memory *memory)
{
    struct smtp_queue *q = &s->queue;

    if (s->mail_queued && s->mail_record == q->head)
        s->mail_queued = false;
    q->head += record_bytes(smtp_queue_at(s, q->head));
    if (s->optional)
        s->optional--;
    if (--q->count)
        return;
    if (q->buffer != &s->short_queue.buffer)
        memory->put(memory->user, q->buffer);
    *q = (struct smtp_queue){0};
}
