/* The transaction machine: commands with their replies, in order, become transactions. */
#include "smtp_session.h"

#include <string.h>

enum entry_kind { SENDER, RECIPIENT, REFUSED_RECIPIENT };

/* An address in the envelope; its bytes follow. */
struct entry {
    uint16_t len;
    uint8_t kind;
    uint8_t zero;
};

#define ENVELOPE_BYTES (2u << 20)

static bool keep_address(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                         enum entry_kind kind, const uint8_t *text, uint32_t len)
{
    struct entry entry = {(uint16_t)len, (uint8_t)kind, 0};
    struct mr_buffer **to = &s->tx.envelope;

    if (!mr_smtp_room(to, &host->memory, sizeof entry + len, ENVELOPE_BYTES)) {
        smtp_count(host, MR_SMTP_COUNT_NO_MEMORY, 1);
        return false;
    }
    memcpy((*to)->data + (*to)->len, &entry, sizeof entry);
    if (len)
        memcpy((*to)->data + (*to)->len + sizeof entry, text, len);
    (*to)->len += (uint32_t)sizeof entry + len;
    return true;
}

bool mr_smtp_next_recipient(const struct mr_smtp_transaction *transaction, uint32_t *cursor,
                            struct mr_smtp_text *path, bool *accepted)
{
    const struct mr_buffer *envelope = transaction->envelope;

    while (envelope && *cursor < envelope->len) {
        struct entry entry;
        memcpy(&entry, envelope->data + *cursor, sizeof entry);
        *path = (struct mr_smtp_text){envelope->data + *cursor + sizeof entry, entry.len};
        *cursor += (uint32_t)sizeof entry + entry.len;
        if (entry.kind != SENDER) {
            *accepted = entry.kind == RECIPIENT;
            return true;
        }
    }
    return false;
}

static void tell(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                 enum mr_smtp_status status)
{
    struct smtp_open_transaction *tx = &s->tx;
    struct mr_smtp_transaction out = {
        .number = s->n_transactions++,
        .status = status,
        .reply = tx->reply,
        .has_helo = s->has_helo,
        .has_mail_from = tx->has_from,
        .has_mail = tx->has_mail,
        .utf8 = tx->utf8,
        .helo = {s->helo, s->helo_len},
        .n_accepted = tx->n_accepted,
        .n_rejected = tx->n_rejected,
        .mail = tx->mail,
        .envelope = tx->envelope,
    };
    if (tx->has_from && tx->envelope) {
        struct entry entry;
        memcpy(&entry, tx->envelope->data + tx->from_at, sizeof entry);
        out.mail_from.ptr = tx->envelope->data + tx->from_at + sizeof entry;
        out.mail_from.len = entry.len;
    }
    if (s->certain)
        host->transaction(host->user, &out);
    else if (tx->has_mail)
        host->memory.put(host->memory.user, tx->mail.note);
    host->memory.put(host->memory.user, tx->envelope);
    *tx = (struct smtp_open_transaction){0};
    s->raised &= ~(((uint64_t)1 << MR_SMTP_ANOMALY_INVALID_REPLY) -
                   ((uint64_t)1 << MR_SMTP_ANOMALY_DUPLICATE_FIELDS));
}

/* A transaction is over without a final reply. */
static void close_unfinished(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    struct smtp_open_transaction *tx = &s->tx;

    if (!tx->open)
        return;
    bool rejected = tx->from_rejected || tx->refused || (tx->n_rejected && !tx->n_accepted);
    tell(s, host, rejected ? MR_SMTP_STATUS_REJECTED : MR_SMTP_STATUS_ABORTED);
}

/* The final reply and the end of the data are both there. */
static void close_finished(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    struct smtp_open_transaction *tx = &s->tx;
    enum mr_smtp_status status = MR_SMTP_STATUS_UNANSWERED;

    if (tx->reply >= 200 && tx->reply < 300)
        status = MR_SMTP_STATUS_ACCEPTED;
    else if (tx->reply)
        status = MR_SMTP_STATUS_REJECTED;
    else if (tx->mail.flags & MR_SMTP_MAIL_INCOMPLETE)
        status = MR_SMTP_STATUS_ABORTED;
    tell(s, host, status);
}

static void add_mail(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                     const struct mr_smtp_mail *mail)
{
    if (s->tx.has_mail) /* two mails in one transaction: the later one stands */
        host->memory.put(host->memory.user, s->tx.mail.note);
    s->tx.has_mail = true;
    s->tx.open = true;
    s->tx.mail = *mail;
}

static void helo(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                 const struct smtp_record *record, const uint8_t *text, bool accepted)
{
    if (s->helo_accepted)
        smtp_raise(s, host, MR_SMTP_ANOMALY_DUPLICATE_FIELDS);
    if (accepted)
        close_unfinished(s, host);
    else if (s->helo_accepted)
        return;
    s->helo_accepted = accepted;
    s->has_helo = true;
    s->helo_len = (uint16_t)record->text_len;
    if (record->text_len)
        memcpy(s->helo, text, record->text_len);
    s->lmtp = accepted && record->verb == MR_SMTP_LHLO;
}

static void sender(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                   const struct smtp_record *record, const uint8_t *text, int code)
{
    struct smtp_open_transaction *tx = &s->tx;
    bool accepted = code < 300;

    if (tx->from_accepted)
        smtp_raise(s, host, MR_SMTP_ANOMALY_DUPLICATE_FIELDS);
    if (tx->from_accepted && !accepted)
        return;
    if (tx->has_from || tx->refused || tx->n_accepted || tx->n_rejected)
        close_unfinished(s, host);
    tx->open = true;
    tx->from_at = tx->envelope ? tx->envelope->len : 0;
    tx->has_from = keep_address(s, host, SENDER, text, record->text_len);
    tx->from_accepted = accepted;
    tx->from_rejected = !accepted;
    tx->utf8 = record->utf8;
    tx->reply = (uint16_t)(code ? code : tx->reply);
}

static void recipient(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                      const struct smtp_record *record, const uint8_t *text, int code)
{
    struct smtp_open_transaction *tx = &s->tx;
    bool accepted = code < 300;

    tx->open = true;
    tx->reply = (uint16_t)(code ? code : tx->reply);
    if (accepted)
        tx->n_accepted++;
    else
        tx->n_rejected++;
    if (tx->kept >= s->limits->recipients) {
        smtp_raise(s, host, MR_SMTP_ANOMALY_TOO_MANY_RECIPIENTS);
        return;
    }
    tx->kept++;
    keep_address(s, host, accepted ? RECIPIENT : REFUSED_RECIPIENT, text, record->text_len);
}

/* FINAL, BDAT_LAST: in LMTP there is one reply for each recipient that was accepted, and the mail
 * is accepted if one of them is positive; smtp_server.c counts them. */
static void final_reply(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                        const struct smtp_record *record, int code)
{
    s->tx.open = true;
    s->tx.reply = (uint16_t)code;
    if (record->has_mail)
        close_finished(s, host);
    else
        s->tx.answered = true;
}

void smtp_transact(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                   struct smtp_record *record, const uint8_t *text, int code)
{
    if (s->tx.answered) /* its data never ended, as far as we see */
        close_finished(s, host);
    if (record->has_mail)
        add_mail(s, host, &record->mail);
    if (record->long_path)
        smtp_raise(s, host, MR_SMTP_ANOMALY_LONG_PATH);
    switch (record->verb) {
    case MR_SMTP_EHLO:
    case MR_SMTP_LHLO:
        helo(s, host, record, text, code < 300);
        break;
    case MR_SMTP_MAIL:
        sender(s, host, record, text, code);
        break;
    case MR_SMTP_RCPT:
        recipient(s, host, record, text, code);
        break;
    case MR_SMTP_DATA: /* refused: a DATA that is granted becomes FINAL */
        s->tx.open = true;
        s->tx.refused = true;
        s->tx.reply = (uint16_t)code;
        smtp_raise(s, host, MR_SMTP_ANOMALY_DATA_COMMAND_REJECTED);
        break;
    case MR_SMTP_BDAT:
        s->tx.open = true;
        s->tx.refused |= code >= 400;
        s->tx.reply = (uint16_t)(code ? code : s->tx.reply);
        break;
    case MR_SMTP_BDAT_LAST:
    case MR_SMTP_FINAL:
        final_reply(s, host, record, code);
        break;
    case MR_SMTP_RSET:
        if (code < 300)
            close_unfinished(s, host);
        break;
    case MR_SMTP_QUIT:
        if (code < 400)
            close_unfinished(s, host);
        break;
    default:
        break;
    }
}

void smtp_transaction_mail(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                           const struct mr_smtp_mail *mail)
{
    add_mail(s, host, mail);
    close_finished(s, host);
}

void smtp_transaction_tls(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    if (s->tx.answered)
        close_finished(s, host);
    close_unfinished(s, host);
    tell(s, host, MR_SMTP_STATUS_TLS);
}

void smtp_transaction_end(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    if (s->tx.answered)
        close_finished(s, host);
    close_unfinished(s, host);
    if (!s->n_transactions && s->has_helo)
        tell(s, host, MR_SMTP_STATUS_NONE);
}
