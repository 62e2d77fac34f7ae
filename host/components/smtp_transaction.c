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

/* Tells the transaction, whose envelope stays. */
static void tell_part(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                      enum mr_smtp_status status)
{
    struct smtp_open_transaction *tx = &s->tx;
    struct mr_smtp_transaction out = {
        .number = tx->has_mail ? tx->mail.number
                  : tx->open   ? tx->number
                               : s->number,
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
    s->told = true;
    if (s->certain)
        host->transaction(host->user, &out);
    else if (tx->has_mail)
        host->memory.put(host->memory.user, tx->mail.note);
    tx->has_mail = false;
}

static void tell(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                 enum mr_smtp_status status)
{
    tell_part(s, host, status);
    host->memory.put(host->memory.user, s->tx.envelope);
    s->tx = (struct smtp_open_transaction){0};
    s->raised &= ~(((uint64_t)1 << MR_SMTP_ANOMALY_INVALID_REPLY) -
                   ((uint64_t)1 << MR_SMTP_ANOMALY_DUPLICATE_FIELDS));
}

/* ---- the transaction of a mail that has just ended ---- */

/* Texts one behind the other; at NULL: only counted. */
struct copying {
    uint8_t *at;
    size_t bytes;
};

static const uint8_t *copy_bytes(struct copying *to, const void *bytes, size_t len)
{
    uint8_t *copy = to->at;

    to->bytes += len;
    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, bytes, len);
    to->at += len;
    return copy;
}

static struct mr_smtp_text copy_text(struct copying *to, const void *bytes, uint32_t len)
{
    return (struct mr_smtp_text){copy_bytes(to, bytes, len), len};
}

static struct mr_smtp_text copy_entry(struct copying *to, enum entry_kind kind, const void *text,
                                      uint32_t len)
{
    struct entry entry = {(uint16_t)len, (uint8_t)kind, 0};

    copy_bytes(to, &entry, sizeof entry);
    return copy_text(to, text, len);
}

/* What replies have said of it already. */
static void copy_answered(struct copying *to, const struct mr_smtp_session *s,
                          struct mr_smtp_transaction *out)
{
    const struct mr_buffer *envelope = s->tx.envelope;

    for (uint32_t at = 0; envelope && at < envelope->len;) {
        struct entry entry;
        memcpy(&entry, envelope->data + at, sizeof entry);
        struct mr_smtp_text text = copy_entry(to, (enum entry_kind)entry.kind,
                                              envelope->data + at + sizeof entry, entry.len);
        if (s->tx.has_from && at == s->tx.from_at)
            out->mail_from = text;
        at += (uint32_t)sizeof entry + entry.len;
    }
    out->has_mail_from = s->tx.has_from;
}

/* The end of the commands before the mail that have no reply yet; the next one is the mail's, or
 * what ended it. */
static uint32_t end_of_outstanding(const struct mr_smtp_session *s)
{
    return !s->queue.count ? s->queue.head : s->mail_queued ? s->mail_record : s->queue.tail;
}

/* Those are granted, as far as anybody knows. False: one of them ends what was answered. */
static bool goes_on(struct mr_smtp_session *s, uint32_t number)
{
    uint32_t end = end_of_outstanding(s);

    for (uint32_t at = s->queue.head; at < end; at = smtp_queue_next(s, at)) {
        const struct smtp_record *record = smtp_queue_at(s, at);
        if (record->number < number ||
            (record->verb == MR_SMTP_MAIL && s->tx.open && s->tx.number < record->number))
            return false;
    }
    return true;
}

static void copy_helo(struct copying *to, struct mr_smtp_session *s,
                      struct mr_smtp_transaction *out)
{
    uint32_t end = end_of_outstanding(s), len = s->helo_len;
    const void *helo = s->helo;

    out->has_helo = s->has_helo;
    for (uint32_t at = s->queue.head; at < end; at = smtp_queue_next(s, at)) {
        const struct smtp_record *record = smtp_queue_at(s, at);
        if (record->verb != MR_SMTP_EHLO && record->verb != MR_SMTP_LHLO)
            continue;
        out->has_helo = true;
        helo = record + 1;
        len = record->text_len;
    }
    out->helo = copy_text(to, helo, len);
}

static void copy_outstanding(struct copying *to, struct mr_smtp_session *s,
                             struct mr_smtp_transaction *out)
{
    uint32_t end = end_of_outstanding(s), kept = s->tx.kept;

    for (uint32_t at = s->queue.head; at < end; at = smtp_queue_next(s, at)) {
        const struct smtp_record *record = smtp_queue_at(s, at);
        if (record->number != out->number)
            continue;
        if (record->verb == MR_SMTP_MAIL) {
            out->has_mail_from = true;
            out->mail_from = copy_entry(to, SENDER, record + 1, record->text_len);
        } else if (record->verb == MR_SMTP_RCPT && kept++ < s->limits->recipients) {
            copy_entry(to, RECIPIENT, record + 1, record->text_len);
        }
    }
}

size_t mr_smtp_transaction_of(struct mr_smtp_session *s, const struct mr_smtp_mail *mail,
                              struct mr_smtp_transaction *out, struct mr_buffer *envelope,
                              uint8_t *memory)
{
    struct copying to = {.at = memory};

    *out = (struct mr_smtp_transaction){
        .number = mail->number, .has_mail = true, .mail = *mail, .envelope = envelope};
    copy_helo(&to, s, out);
    size_t before = to.bytes;
    *envelope = (struct mr_buffer){.data = to.at};
    if (goes_on(s, mail->number))
        copy_answered(&to, s, out);
    copy_outstanding(&to, s, out);
    envelope->len = (uint32_t)(to.bytes - before);
    return to.bytes;
}

static enum mr_smtp_status unfinished(const struct smtp_open_transaction *tx)
{
    bool rejected = tx->from_rejected || tx->refused || (tx->n_rejected && !tx->n_accepted);
    return rejected ? MR_SMTP_STATUS_REJECTED : MR_SMTP_STATUS_ABORTED;
}

/* A transaction is over without a final reply. */
static void close_unfinished(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    if (s->tx.open)
        tell(s, host, unfinished(&s->tx));
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

/* The command, or the mail, counts. A mail that ended before it was the transaction's; what comes
 * now, in the same envelope as far as we see (DATA granted between chunks), is the next one. */
static void begin(struct mr_smtp_session *s, const struct mr_smtp_host *host, uint32_t number)
{
    struct smtp_open_transaction *tx = &s->tx;

    if (tx->has_mail && tx->mail.number < number)
        tell_part(s, host, unfinished(tx));
    tx->open = true;
    tx->number = number;
}

static void add_mail(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                     const struct mr_smtp_mail *mail)
{
    begin(s, host, mail->number);
    s->tx.has_mail = true;
    s->tx.mail = *mail;
}

static void helo(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                 const struct smtp_record *record, const uint8_t *text, int code)
{
    bool accepted = code < 300;

    if (s->helo_accepted && !s->helo_guessed)
        smtp_raise(s, host, MR_SMTP_ANOMALY_DUPLICATE_FIELDS);
    if (accepted)
        close_unfinished(s, host);
    else if (s->helo_accepted)
        return;
    s->helo_accepted = accepted;
    s->helo_guessed = !code;
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

    s->helo_guessed = false;
    if (tx->from_accepted && !tx->from_guessed)
        smtp_raise(s, host, MR_SMTP_ANOMALY_DUPLICATE_FIELDS);
    /* refused between the chunks of a mail it has the mail's number: that goes on */
    if (!accepted && (tx->from_accepted || (tx->open && tx->number == record->number)))
        return;
    if (tx->has_from || tx->refused || tx->n_accepted || tx->n_rejected || tx->has_mail)
        close_unfinished(s, host);
    begin(s, host, record->number);
    tx->from_at = tx->envelope ? tx->envelope->len : 0;
    tx->has_from = keep_address(s, host, SENDER, text, record->text_len);
    tx->from_accepted = accepted;
    tx->from_guessed = !code;
    tx->from_rejected = !accepted;
    tx->utf8 = record->utf8;
    tx->reply = (uint16_t)(code ? code : tx->reply);
}

static void recipient(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                      const struct smtp_record *record, const uint8_t *text, int code)
{
    struct smtp_open_transaction *tx = &s->tx;
    bool accepted = code < 300;

    begin(s, host, record->number);
    tx->from_guessed = false;
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
    begin(s, host, record->number);
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
        helo(s, host, record, text, code);
        break;
    case MR_SMTP_MAIL:
        sender(s, host, record, text, code);
        break;
    case MR_SMTP_RCPT:
        recipient(s, host, record, text, code);
        break;
    case MR_SMTP_DATA: /* refused: a DATA that is granted becomes FINAL */
        begin(s, host, record->number);
        s->tx.refused = true;
        s->tx.reply = (uint16_t)code;
        smtp_raise(s, host, MR_SMTP_ANOMALY_DATA_COMMAND_REJECTED);
        break;
    case MR_SMTP_BDAT:
        begin(s, host, record->number);
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
    if (!s->told && s->has_helo)
        tell(s, host, MR_SMTP_STATUS_NONE);
}
