/* The bytes of one mail on their way from the wire into one contiguous buffer.
 *
 * DATA: dots unstuffed, the end found. Only <CR><LF>.<CR><LF> ends a mail; what some other server
 * may take for an end (SMTP smuggling) is noted and goes on as data. BDAT: bytes as they come.
 * The result does not depend on how the bytes are cut into calls.
 */
#ifndef MR_COMPONENTS_SMTP_BODY_H
#define MR_COMPONENTS_SMTP_BODY_H

#include "millrace/component.h"

/* Odd sequences, each noted once a mail; bits of mr_smtp_body.oddities. The order is that of the
 * anomalies in smtp_parser.h. */
enum mr_smtp_oddity {
    MR_SMTP_BARE_CR,
    MR_SMTP_BARE_LF,
    MR_SMTP_LF_DOT_LF, /* near-ends: what stands before the dot, and behind it */
    MR_SMTP_LF_DOT_CR,
    MR_SMTP_LF_DOT_CRLF,
    MR_SMTP_CR_DOT_LF,
    MR_SMTP_CR_DOT_CR,
    MR_SMTP_CR_DOT_CRLF,
    MR_SMTP_CRLF_DOT_LF,
    MR_SMTP_CRLF_DOT_CR,
    MR_SMTP_NUL_DOT, /* a near-end or an end but for NULs before or behind the dot */
    MR_SMTP_N_ODDITIES
};

struct mr_smtp_body;

/* Where memory comes from; as mr_buffer_get() and mr_buffer_put() in millrace/component.h. And
 * where goes what a mail has no room for. */
struct mr_smtp_memory {
    void *user;
    struct mr_buffer *(*get)(void *user, size_t capacity);
    void (*put)(void *user, struct mr_buffer *buffer);
    /* (optional) The next bytes of a mail of which no more is kept than body->buffer; body->reader
     * is the host's, and NULL at first. */
    void (*over)(void *over_user, struct mr_smtp_body *body, const uint8_t *bytes, size_t len);
    void *over_user;
    void (*drop)(void *user, void *reader); /* there will be no mail */
};

struct mr_smtp_body {
    struct mr_buffer *buffer; /* what is kept so far; NULL: nothing yet */
    void *reader;             /* the host's, of what is not kept; NULL: there is none */
    uint64_t bytes;           /* what the mail has so far, kept or not */
    uint32_t limit;           /* keep at most this much */
    uint32_t first_capacity;  /* of the first buffer */
    uint16_t oddities;        /* bits: 1 << enum mr_smtp_oddity */
    uint8_t state;            /* enum of smtp_body.c */
    bool truncated;           /* the limit was passed, or there was no memory */
    bool no_memory;           /* there was no memory */
    bool holed;               /* bytes are missing */
    bool lf_behind_hole;      /* the last bare LF stands behind missing bytes */
};

/* Begins a mail: takes nothing, asks for no memory. */
void mr_smtp_body_begin(struct mr_smtp_body *body, uint32_t limit, uint32_t first_capacity);

/* Feeds bytes of DATA. Returns how many were used: all of them, or, with *ended set, up to and
 * with the end of the mail. */
size_t mr_smtp_body_data(struct mr_smtp_body *body, const struct mr_smtp_memory *memory,
                         const uint8_t *bytes, size_t len, bool *ended);

/* Feeds bytes of a BDAT chunk. */
void mr_smtp_body_chunk(struct mr_smtp_body *body, const struct mr_smtp_memory *memory,
                        const uint8_t *bytes, size_t len);

/* `gap` bytes are lost. */
void mr_smtp_body_gap(struct mr_smtp_body *body, uint64_t gap);

/* Makes room for `more` bytes behind buffer->len, replacing and copying the buffer (NULL: a new
 * one) where it must. False: no memory, or over `limit`; *buffer is as it was. */
bool mr_smtp_room(struct mr_buffer **buffer, const struct mr_smtp_memory *memory, size_t more,
                  size_t limit);

#endif
