/* The inside of an SMTP session: what smtp_parser.c (input), smtp_client.c, smtp_server.c,
 * smtp_queue.c and smtp_transaction.c share. Nobody else includes this.
 *
 * client machine --records--> queue --(record, reply)--> transaction machine
 *       ^                       ^
 *       +---- wait is over -----+---- server machine
 */
#ifndef MR_COMPONENTS_SMTP_SESSION_H
#define MR_COMPONENTS_SMTP_SESSION_H

#include "smtp_command.h"

#include <assert.h>

/* Bytes and gaps of one direction that wait: items of a 64-bit head (length << 1 | is a gap) and,
 * for bytes, the bytes. */
struct smtp_held {
    struct mr_buffer *buffer;
    uint32_t at;    /* the first item */
    uint32_t used;  /* of its bytes */
    uint32_t last;  /* the last item, if bytes can be added to it; else UINT32_MAX */
    uint32_t bytes; /* in all */
    uint32_t gaps;
    uint32_t lost; /* bytes behind all of this for which there was no memory; at most UINT32_MAX */
};

struct smtp_input {
    struct mr_buffer *line; /* the part of a line that came, NULL: none */
    struct smtp_held held;
    bool seen;    /* bytes came */
    bool cut;     /* the line is longer than what is kept of it */
    bool started; /* line is begun even if nothing of it is kept */
};

enum smtp_mode { SMTP_COMMANDS, SMTP_BODY, SMTP_CHUNK, SMTP_AUTH_LINE };
/* SMTP_WAIT_CHUNK: behind a BDAT to a server that has not said that it knows it, or one that is
 * spelt oddly: what comes is a chunk, or commands. SMTP_WAIT_RESET: behind a command that ends the
 * mail between whose chunks it stands, if it is granted, or behind an EHLO, which then ends the
 * transaction (and stands last in what is sent at once, RFC 2920). SMTP_WAIT_LINE: no reply is
 * waited for, but the next line is looked at before it is taken as data: the end of the data may be
 * lost; or as a command: DATA may be. */
enum smtp_wait {
    SMTP_NO_WAIT,
    SMTP_WAIT_DATA,
    SMTP_WAIT_STARTTLS,
    SMTP_WAIT_AUTH,
    SMTP_WAIT_CHUNK,
    SMTP_WAIT_RESET,
    SMTP_WAIT_LINE
};

/* A command without a reply, in the queue; its text follows it, padded to 8 bytes. */
struct smtp_record {
    uint8_t verb; /* enum mr_smtp_verb */
    bool utf8 : 1;
    bool has_mail : 1; /* FINAL, BDAT_LAST: the mail that ended; others: one that this aborts */
    bool long_path : 1;
    uint16_t text_len;
    uint32_t number; /* of its transaction */
    struct mr_smtp_mail mail;
};

struct smtp_queue {
    struct mr_buffer *buffer; /* NULL while empty */
    uint32_t head, tail;      /* offsets of the first and of the last record */
    uint32_t count;
};

/* The queue's buffer for as long as few commands wait: one that sends them one by one needs no
 * other. */
#define SMTP_QUEUE_BYTES 136
struct smtp_short_queue {
    struct mr_buffer buffer;
    uint8_t bytes[SMTP_QUEUE_BYTES];
};

struct smtp_open_transaction {
    struct mr_buffer *envelope; /* entries of smtp_transaction.c */
    uint32_t from_at, kept;
    uint32_t n_accepted, n_rejected;
    struct mr_smtp_mail mail;
    uint32_t number; /* of the last command that counted */
    uint16_t reply;
    bool open : 1, has_from : 1, from_accepted : 1, from_rejected : 1, utf8 : 1, refused : 1;
    bool from_guessed : 1; /* neither a reply tells that it was accepted nor what came behind it */
    bool has_mail : 1;
    bool answered : 1; /* the final reply came before the end of the data */
};

struct mr_smtp_session {
    struct mr_buffer *self;
    const struct mr_smtp_limits *limits;
    struct smtp_input in[2]; /* by enum mr_direction */
    uint64_t pending;        /* anomalies that wait for certainty */
    uint64_t raised;         /* anomalies that need not be told again */
    bool certain, over, tls, usual_port, midstream;

    /* client */
    uint8_t mode, wait; /* enum smtp_mode, smtp_wait */
    bool unsure;        /* after a gap, or midstream: only what can but be a command is one */
    bool refused_data;  /* DATA was refused just now */
    bool chunk_last;    /**/
    bool chunking;      /* the server knows BDAT */
    bool chunks_lost;   /* perhaps: a hole since the last command that begins a mail anew */
    bool mail_open;     /**/
    bool mail_bdat;     /**/
    bool mail_queued;   /* its record is in the queue, at mail_record */
    bool has_aborted;   /* aborted waits for the record of what aborts it */
    bool client_only;   /* the server is not seen */
    bool begun;         /* the client is at a transaction, of the number below */
    bool told;          /* one was told */
    uint32_t mail_record;
    uint64_t chunk_left;
    uint64_t announced; /* SIZE= of the last MAIL */
    struct mr_smtp_body body;
    struct mr_smtp_mail aborted;

    /* server */
    uint16_t reply;     /* code so far, of a reply of several lines; 0: between replies */
    bool reply_pending; /* complete, its command is not known */
    bool greeted;       /* the first reply passed */
    bool greeting_evidence;
    bool unsynced;      /* commands are missing: a reply without one is theirs */
    bool lost;          /* replies are missing since the last one that fitted */
    bool doubt;         /* something was missing once: a mismatch says nothing */
    bool deaf;          /* replies were missing once: those that come may be late */
    bool adrift;        /* they may be those to other commands: no verdict is told */
    bool several;       /* the reply has several lines */
    uint32_t optional;  /* so many of the queue's first may have been answered in the hole */
    uint32_t owed;      /* replies to come to commands that were taken as answered */
    uint32_t lmtp_left; /* replies to come to the end of the data */
    uint16_t lmtp_best; /* the best of those that came */
    bool lmtp;
    uint8_t at_hole; /* client: bytes behind a hole in the mail that may end the dot's line */

    struct smtp_queue queue;
    struct smtp_open_transaction tx;
    uint32_t number; /* of the transaction that the client is at */
    bool has_helo : 1, helo_accepted : 1, helo_guessed : 1; /* guessed: as tx.from_guessed */
    uint16_t helo_len;
    /* not zero at first, so that most of it is never touched */
    struct smtp_short_queue short_queue;
    uint8_t helo[MR_SMTP_PATH_BYTES];
};

static_assert(sizeof(struct mr_smtp_session) <= 1024, "a buffer of the pool");

/* ---- smtp_parser.c ---- */

void smtp_raise(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                enum mr_smtp_anomaly anomaly);
void smtp_certain(struct mr_smtp_session *s, const struct mr_smtp_host *host);
void smtp_count(const struct mr_smtp_host *host, enum mr_smtp_count what, uint64_t n);
/* Bytes up to and with a line end. *line.ptr is set when the line is complete; smtp_line_done()
 * frees it. *cut: longer than limit, the rest is gone. */
size_t smtp_take_line(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                      enum mr_direction direction, const uint8_t *p, size_t n,
                      struct mr_smtp_text *line, bool *cut);
void smtp_line_done(struct smtp_input *in, const struct mr_smtp_memory *memory);
/* The first bytes that are held, up to a gap. */
size_t smtp_peek(const struct smtp_held *held, uint8_t *to, size_t n);

/* ---- smtp_client.c ---- */

size_t smtp_client_run(struct mr_smtp_session *s, const struct mr_smtp_host *host, const uint8_t *p,
                       size_t n);
void smtp_client_gap(struct mr_smtp_session *s, const struct mr_smtp_host *host, uint64_t gap);
/* DATA, STARTTLS, AUTH (334), BDAT or what ends a mail was granted, or anything else came: the wait
 * is over. */
void smtp_client_granted(struct mr_smtp_session *s, const struct mr_smtp_host *host);
void smtp_client_refused(struct mr_smtp_session *s);
/* The reply does not come, or there is none: go by what the client does next. */
void smtp_client_assume(struct mr_smtp_session *s, const struct mr_smtp_host *host);
/* Transactions are numbered by what the client says, not by how it is answered: so the mail has the
 * number before its transaction is over. Gives that of a command: MAIL behind anything of one
 * begins the next; RSET and others that end one are of the one they end. EHLO, which may be
 * refused, leaves that to smtp_client_granted(). */
uint32_t smtp_client_number(struct mr_smtp_session *s, enum mr_smtp_verb verb);
/* So many of the next bytes, or a line, tell what it does: at most SMTP_LOOK_BYTES. */
#define SMTP_LOOK_BYTES 80 /* names of header fields are shorter */
size_t smtp_client_look_at(const struct mr_smtp_session *s);
/* Commands are lost, and a 354 is pending or no reply is seen: if DATA is among them what the
 * client says next is data. */
void smtp_client_look_for_data(struct mr_smtp_session *s);
/* The mail that is open may be commands: whether it was granted is a guess. */
bool smtp_client_guessed(const struct mr_smtp_session *s);
/* The mail that is open ends here. */
void smtp_client_end_mail(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                          bool complete);

/* ---- smtp_server.c ---- */

size_t smtp_server_run(struct mr_smtp_session *s, const struct mr_smtp_host *host, const uint8_t *p,
                       size_t n);
void smtp_server_gap(struct mr_smtp_session *s, const struct mr_smtp_host *host, uint64_t gap);
/* Tries to match the pending reply. False: its command is not known. */
bool smtp_server_match(struct mr_smtp_session *s, const struct mr_smtp_host *host);
/* The pending reply belongs to what was lost. */
void smtp_server_matched(struct mr_smtp_session *s, const struct mr_smtp_host *host);
/* The pending reply, if there is one, is nobody's. */
void smtp_server_drop(struct mr_smtp_session *s, const struct mr_smtp_host *host);
/* Takes the first n commands as answered. */
void smtp_server_assume(struct mr_smtp_session *s, const struct mr_smtp_host *host, uint32_t n,
                        bool reply_will_come);

/* ---- smtp_queue.c ---- */

/* Appends; false: no room. */
bool smtp_queue_push(struct mr_smtp_session *s, const struct mr_smtp_memory *memory,
                     const struct smtp_record *record, const uint8_t *text);
struct smtp_record *smtp_queue_at(struct mr_smtp_session *s, uint32_t offset);
/* The place behind a record's. */
uint32_t smtp_queue_next(struct mr_smtp_session *s, uint32_t offset);
void smtp_queue_pop(struct mr_smtp_session *s, const struct mr_smtp_memory *memory);

/* ---- smtp_transaction.c ---- */

/* A command and the code of its reply; 0: taken as done. Takes the record's mail. */
void smtp_transact(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                   struct smtp_record *record, const uint8_t *text, int code);
/* The data of a transaction ended whose final reply came before. */
void smtp_transaction_mail(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                           const struct mr_smtp_mail *mail);
void smtp_transaction_tls(struct mr_smtp_session *s, const struct mr_smtp_host *host);
void smtp_transaction_end(struct mr_smtp_session *s, const struct mr_smtp_host *host);

#endif
