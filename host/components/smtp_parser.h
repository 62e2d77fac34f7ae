/* SMTP (RFC 5321, 3030, 3207, 4954, LMTP 2033) as it passes by: two byte streams in; mails,
 * transactions and anomalies out. Knows no engine: memory and results go through a host.
 *
 * The two directions are two machines that wait for each other where the protocol does: the
 * client's stands still behind DATA, STARTTLS and AUTH until the reply is known (and behind BDAT,
 * where the server has not offered CHUNKING: what it does not know has no chunk), the server's
 * stands still behind a reply until its command is known. What comes meanwhile is held, within a
 * bound. So the result depends neither on how the bytes are cut nor on how the directions
 * interleave. Where one direction is missing or has holes, the other one's behaviour decides.
 */
#ifndef MR_COMPONENTS_SMTP_PARSER_H
#define MR_COMPONENTS_SMTP_PARSER_H

#include "smtp_body.h"

struct mr_smtp_limits {
    uint32_t mail_bytes;         /* kept of a mail */
    uint32_t command_line_bytes; /* of a line, without its end; what is over it is skipped */
    uint32_t reply_line_bytes;
    uint32_t recipients;  /* kept of a transaction; the others are counted */
    uint32_t path_bytes;  /* kept of an address or a name; at most MR_SMTP_PATH_BYTES */
    uint32_t outstanding; /* commands without a reply */
    uint32_t held_bytes;  /* while one direction waits for the other */
};

#define MR_SMTP_PATH_BYTES 512
/* Lines of 4,096 bytes with their end. */
#define MR_SMTP_DEFAULT_LIMITS                                                                     \
    {                                                                                              \
        32u << 20, 4094, 4094, 1000, MR_SMTP_PATH_BYTES, 512, 64u << 10                            \
    }

/* Anomalies, by Suricata's names where it has the same. */
#define MR_SMTP_ANOMALY_LIST(X)                                                                    \
    /* once a mail; the order is that of enum mr_smtp_oddity */                                    \
    X(BARE_CR)                                                                                     \
    X(BARE_LF)                                                                                     \
    X(SMUGGLING_LF_DOT_LF)                                                                         \
    X(SMUGGLING_LF_DOT_CR)                                                                         \
    X(SMUGGLING_LF_DOT_CRLF)                                                                       \
    X(SMUGGLING_CR_DOT_LF)                                                                         \
    X(SMUGGLING_CR_DOT_CR)                                                                         \
    X(SMUGGLING_CR_DOT_CRLF)                                                                       \
    X(SMUGGLING_CRLF_DOT_LF)                                                                       \
    X(SMUGGLING_CRLF_DOT_CR)                                                                       \
    X(SMUGGLING_NUL_DOT)                                                                           \
    X(MAIL_TRUNCATED) /* over the limit, or no memory */                                           \
    /* once a transaction */                                                                       \
    X(DUPLICATE_FIELDS)      /* HELO after HELO, MAIL within a transaction */                      \
    X(DATA_COMMAND_REJECTED) /* DATA was not answered by 3xx */                                    \
    X(TOO_MANY_RECIPIENTS)                                                                         \
    X(LONG_PATH)                                                                                   \
    X(UNPARSABLE_CONTENT) /* DATA within a mail sent by BDAT */                                    \
    /* once a session */                                                                           \
    X(INVALID_REPLY)                                                                               \
    X(UNABLE_TO_MATCH_REPLY_WITH_REQUEST)                                                          \
    X(TRUNCATED_LINE) /* a command line over the limit */                                          \
    X(MAX_REPLY_LINE_LEN_EXCEEDED)                                                                 \
    X(INVALID_PIPELINED_SEQUENCE) /* no command stands behind a DATA that was refused */           \
    X(INVALID_BDAT)               /* or one that the server does not know */                       \
    X(BDAT_CHUNK_LEN_EXCEEDED)    /* a size that nobody can mean */                                \
    X(NO_SERVER_WELCOME_MESSAGE)                                                                   \
    X(TLS_REJECTED)                                                                                \
    X(STARTTLS_INJECTION) /* plain text stands behind a STARTTLS that was granted */               \
    X(TOO_MANY_OUTSTANDING_COMMANDS)

enum mr_smtp_anomaly {
#define X(name) MR_SMTP_ANOMALY_##name,
    MR_SMTP_ANOMALY_LIST(X)
#undef X
        MR_SMTP_N_ANOMALIES
};

/* "BARE_CR". */
const char *mr_smtp_anomaly_text(enum mr_smtp_anomaly anomaly);

/* Counters that only the parser sees. */
enum mr_smtp_count {
    MR_SMTP_COUNT_COMMANDS,
    MR_SMTP_COUNT_REPLIES,
    MR_SMTP_COUNT_GAPS,
    MR_SMTP_COUNT_NO_MEMORY, /* something was dropped because the pool was at its cap */
    MR_SMTP_COUNT_UNKNOWN_COMMANDS,
    MR_SMTP_N_COUNTS
};

enum mr_smtp_mail_flag {
    MR_SMTP_MAIL_INCOMPLETE = 1 << 0, /* bytes are missing, or the end was not seen */
    MR_SMTP_MAIL_TRUNCATED = 1 << 1,  /* not all bytes were kept */
    MR_SMTP_MAIL_BDAT = 1 << 2        /* came in BDAT chunks */
};

struct mr_smtp_mail {
    uint64_t bytes;         /* of the mail, dots unstuffed, kept or not */
    struct mr_buffer *note; /* what the host made of it; NULL: nothing */
    uint32_t number;        /* of its transaction */
    uint8_t flags;          /* enum mr_smtp_mail_flag */
};

#define MR_SMTP_STATUS_LIST(X)                                                                     \
    X(ACCEPTED, "accepted")     /* the server took the mail */                                     \
    X(REJECTED, "rejected")     /* the server refused the sender, all recipients or the mail */    \
    X(ABORTED, "aborted")       /* RSET, HELO, QUIT or the end of the session came first */        \
    X(UNANSWERED, "unanswered") /* the mail was sent, its reply not seen */                        \
    X(TLS, "tls")               /* no transaction in clear text: STARTTLS */                       \
    X(NONE, "none")             /* no transaction at all */

enum mr_smtp_status {
#define X(name, text) MR_SMTP_STATUS_##name,
    MR_SMTP_STATUS_LIST(X)
#undef X
};

const char *mr_smtp_status_text(enum mr_smtp_status status);

struct mr_smtp_text {
    const uint8_t *ptr;
    uint32_t len;
};

/* A transaction that is over. Borrowed during the call that tells it. */
struct mr_smtp_transaction {
    uint32_t number;               /* in the session, from 0, ascending */
    enum mr_smtp_status status;    /**/
    uint16_t reply;                /* code of the last reply that counted; 0: none */
    bool has_helo, has_mail_from;  /**/
    bool has_mail;                 /* mail data passed */
    bool utf8;                     /* MAIL had SMTPUTF8 */
    struct mr_smtp_text helo;      /* as written */
    struct mr_smtp_text mail_from; /* as written, with its brackets */
    uint32_t n_accepted;           /* recipients, those not kept too */
    uint32_t n_rejected;
    struct mr_smtp_mail mail;
    const struct mr_buffer *envelope; /* for mr_smtp_next_recipient() */
};

/* The next recipient kept, as written; *cursor is 0 at first. False: no more. */
bool mr_smtp_next_recipient(const struct mr_smtp_transaction *transaction, uint32_t *cursor,
                            struct mr_smtp_text *path, bool *accepted);

struct mr_smtp_session;

/* What is known of the transaction of a mail while the host is told of the mail: its envelope, of
 * which the replies may be still to come (a client that sends BDAT need not wait): who was not
 * refused is taken as accepted. Without status, reply and numbers of recipients. Copies the texts
 * and the envelope to `to` and returns their bytes; NULL: only that. */
size_t mr_smtp_transaction_of(struct mr_smtp_session *session, const struct mr_smtp_mail *mail,
                              struct mr_smtp_transaction *transaction, struct mr_buffer *envelope,
                              uint8_t *to);

struct mr_smtp_host {
    struct mr_smtp_memory memory;
    void *user; /* for the calls below */
    uint32_t typical_mail_bytes;
    uint32_t mail_bytes; /* kept of a mail; 0: as the session's limits say */
    /* It is SMTP beyond doubt; comes before everything below. */
    void (*certain)(void *user);
    /* The data of a mail ended. Gives `bytes` (NULL: none were kept) and the `reader` that
     * memory.over() made, or NULL. Returns what shall come back with the transaction, or NULL;
     * takes it back then. */
    struct mr_buffer *(*mail)(void *user, const struct mr_smtp_mail *mail, struct mr_buffer *bytes,
                              void *reader);
    /* Gives transaction->mail.note back. */
    void (*transaction)(void *user, const struct mr_smtp_transaction *transaction);
    void (*anomaly)(void *user, enum mr_smtp_anomaly anomaly);
    /* STARTTLS was granted: nothing more comes from this session. */
    void (*tls)(void *user);
    void (*count)(void *user, enum mr_smtp_count what, uint64_t n);
};

enum mr_smtp_open_flag {
    MR_SMTP_MIDSTREAM = 1 << 0, /* the beginning was not seen */
    MR_SMTP_USUAL_PORT = 1 << 1 /* a 220 alone is evidence enough */
};

/* A session; NULL when there is no memory. `limits` is borrowed until mr_smtp_close(). */
struct mr_smtp_session *mr_smtp_open(const struct mr_smtp_memory *memory,
                                     const struct mr_smtp_limits *limits, unsigned flags);

/* It will be needed soon. NULL is allowed. */
void mr_smtp_prefetch(const struct mr_smtp_session *session);

/* The next bytes of a direction. */
void mr_smtp_data(struct mr_smtp_session *session, const struct mr_smtp_host *host,
                  enum mr_direction direction, const uint8_t *bytes, size_t len);

/* `gap` bytes of a direction are lost. */
void mr_smtp_gap(struct mr_smtp_session *session, const struct mr_smtp_host *host,
                 enum mr_direction direction, uint64_t gap);

/* Both directions are over: tells what is open. */
void mr_smtp_end(struct mr_smtp_session *session, const struct mr_smtp_host *host);

/* Gives all memory back and tells nothing; a note of the host is given to memory->put too. */
void mr_smtp_close(struct mr_smtp_session *session, const struct mr_smtp_memory *memory);

#endif
