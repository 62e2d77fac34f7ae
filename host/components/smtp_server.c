/* The server's machine: replies, and the commands they belong to. */
#include "smtp_session.h"

#include <string.h>

#define TWO_REPLIES 16 /* bytes: shorter ones there are not, but in theory */

void smtp_server_assume(struct mr_smtp_session *s, const struct mr_smtp_host *host, uint32_t n,
                        bool reply_will_come)
{
    for (; n && s->queue.count; n--) {
        struct smtp_record *record = smtp_queue_at(s, s->queue.head);
        struct smtp_record copy = *record;
        if (reply_will_come && s->owed < UINT32_MAX)
            s->owed++;
        if (record->verb == MR_SMTP_FINAL || record->verb == MR_SMTP_BDAT_LAST)
            s->lmtp_left = s->lmtp_best = 0;
        smtp_transact(s, host, &copy, (const uint8_t *)(record + 1), 0);
        smtp_queue_pop(s, &host->memory);
    }
}

/* A reply that only one kind of command can have, which is always the last of the queue: whatever
 * stands before it was answered unseen. */
static bool belongs_to_last(struct mr_smtp_session *s, int code)
{
    uint8_t last = smtp_queue_at(s, s->queue.tail)->verb;

    return (code == 354 && last == MR_SMTP_DATA) || (code == 334 && last == MR_SMTP_AUTH) ||
           (code == 221 && last == MR_SMTP_QUIT);
}

/* After lost commands: the last one seen may have the DATA behind it that a 354 belongs to. */
static bool may_come(struct mr_smtp_session *s)
{
    uint8_t last = smtp_queue_at(s, s->queue.tail)->verb;
    return last == MR_SMTP_MAIL || last == MR_SMTP_RCPT || last == MR_SMTP_RSET ||
           last == MR_SMTP_OTHER;
}

/* The reply lets the client go on, who looks at its first digit only (RFC 5321, 4.2). */
static bool grants(uint8_t verb, int code)
{
    if (verb == MR_SMTP_STARTTLS)
        return code == 220;
    return code / 100 == 3;
}

/* The server did not take the BDAT for one. It may refuse one that it takes, whose chunk comes
 * nevertheless. */
static bool takes_no_chunk(const struct mr_smtp_session *s, int code)
{
    if (!s->chunking && !s->doubt)
        return code >= 400;
    return code >= 500 && code <= 504 && code != 503;
}

/* One reply to the first command of the queue. */
static void answer(struct mr_smtp_session *s, const struct mr_smtp_host *host, int code)
{
    struct smtp_record *record = smtp_queue_at(s, s->queue.head);
    struct smtp_record copy = *record;

    switch (record->verb) {
    case MR_SMTP_DATA:
    case MR_SMTP_AUTH:
    case MR_SMTP_STARTTLS:
        if (grants(record->verb, code)) {
            smtp_client_granted(s, host);
            return;
        }
        if (record->verb == MR_SMTP_STARTTLS)
            smtp_raise(s, host, MR_SMTP_ANOMALY_TLS_REJECTED);
        smtp_client_refused(s);
        break;
    case MR_SMTP_BDAT:
    case MR_SMTP_BDAT_LAST:
    case MR_SMTP_FINAL:
        if (s->wait == SMTP_WAIT_CHUNK && s->queue.count == 1) {
            if (takes_no_chunk(s, code)) {
                /* what stands behind it is read as commands */
                smtp_raise(s, host, MR_SMTP_ANOMALY_INVALID_BDAT);
                smtp_client_refused(s);
                copy.verb = MR_SMTP_BDAT;
                break;
            }
            smtp_client_granted(s, host);
            copy = *record;
        }
        if (record->verb == MR_SMTP_BDAT)
            break;
        if (s->lmtp && !s->lmtp_left)
            s->lmtp_left = s->tx.n_accepted ? s->tx.n_accepted : 1;
        if (s->lmtp && (s->lmtp_best == 0 || code < s->lmtp_best))
            s->lmtp_best = (uint16_t)code;
        if (s->lmtp && --s->lmtp_left)
            return;
        if (s->lmtp)
            code = s->lmtp_best;
        /* A verdict on what has not ended may be a late one on what came before. */
        s->adrift |= (s->deaf || (smtp_client_guessed(s) && !s->body.holed)) &&
                     record->verb == MR_SMTP_FINAL && !record->has_mail;
        code = s->adrift ? 0 : code;
        s->lmtp_best = 0;
        /* Perhaps the end of the data was lost: what comes next tells. */
        if (s->mail_queued && s->mail_record == s->queue.head && s->mode == SMTP_BODY &&
            (s->body.holed || smtp_client_guessed(s)))
            s->wait = SMTP_WAIT_LINE;
        break;
    default:
        /* Who waits for each reply says where they are. */
        s->adrift = s->adrift && (s->queue.count > 1 || s->optional);
        if (s->adrift && code >= 400 && (copy.verb == MR_SMTP_MAIL || copy.verb == MR_SMTP_RCPT))
            code = 0;
        if (s->wait != SMTP_WAIT_RESET || s->queue.count != 1)
            break;
        if (code >= 400) {
            smtp_client_refused(s);
            break;
        }
        smtp_client_granted(s, host);
        copy = *record;
        break;
    }
    smtp_transact(s, host, &copy, (const uint8_t *)(record + 1), code);
    smtp_queue_pop(s, &host->memory);
}

/* The pending reply has its command. */
static void done(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    smtp_count(host, MR_SMTP_COUNT_REPLIES, s->certain);
    s->reply = 0;
    s->reply_pending = false;
}

void smtp_server_drop(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    if (s->reply_pending)
        done(s, host);
}

void smtp_server_matched(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    s->optional = 0;
    s->lost = false;
    s->unsynced = false;
    done(s, host);
}

/* Of several lines is the reply to EHLO as a rule: what stands before one was answered unseen. */
static bool before_helo(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    uint32_t before = 0;

    for (uint32_t at = s->queue.head; before < s->queue.count;
         before++, at = smtp_queue_next(s, at)) {
        uint8_t verb = smtp_queue_at(s, at)->verb;
        if (verb != MR_SMTP_EHLO && verb != MR_SMTP_LHLO)
            continue;
        smtp_server_assume(s, host, before, false);
        s->adrift = false;
        return true;
    }
    return false;
}

/* The reply to DATA may be that to another command. Not where something was missing once, but
 * replies have fitted since: who looks for a hole before each mail makes one. */
static bool perhaps_of_another(const struct mr_smtp_session *s, int code)
{
    return s->adrift || (code < 400 && (s->unsynced || s->lost || s->optional));
}

bool smtp_server_match(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    int code = s->reply;

    if (s->owed) {
        /* What was taken as answered ends with DATA if there is one among it. */
        s->owed = code == 354 ? 0 : s->owed - 1;
    } else if (s->queue.count) {
        /* An answer to a line of AUTH that the client has not said yet, as far as we see. */
        if (s->mode == SMTP_AUTH_LINE && smtp_queue_at(s, s->queue.head)->verb == MR_SMTP_AUTH)
            return false;
        if (code == 354 && s->unsynced && may_come(s)) {
            smtp_client_look_for_data(s);
            return false;
        }
        if (s->several && s->adrift && code == 250 && before_helo(s, host)) {
            s->optional = 0;
        } else if (s->queue.count > 1 && belongs_to_last(s, code)) {
            if (!s->doubt)
                smtp_raise(s, host, MR_SMTP_ANOMALY_UNABLE_TO_MATCH_REPLY_WITH_REQUEST);
            smtp_server_assume(s, host, s->queue.count - 1, false);
        } else if (s->optional && s->queue.count > s->optional) {
            smtp_server_assume(s, host, s->optional, false);
        }
        uint8_t verb = smtp_queue_at(s, s->queue.head)->verb;
        bool stray = (code == 354 && verb != MR_SMTP_DATA) ||
                     (code == 221 && s->doubt && verb != MR_SMTP_QUIT) ||
                     (verb == MR_SMTP_DATA && s->doubt && code < 300);
        if (verb == MR_SMTP_DATA && code >= 300 && perhaps_of_another(s, code)) {
            s->lost = true; /* what the client does next tells */
            return false;
        }
        s->adrift |= stray && s->doubt;
        if (!stray) {
            s->optional = s->lost ? s->optional : 0;
            answer(s, host, code);
            s->lost = false;
            s->unsynced = s->unsynced && s->unsure; /* it may have stood before the hole */
        } else if (!s->doubt) {
            smtp_raise(s, host, MR_SMTP_ANOMALY_UNABLE_TO_MATCH_REPLY_WITH_REQUEST);
        }
    } else if (!s->unsynced || code == 354) {
        /* Commands that come late, or a lost one's reply: 354 tells which when DATA comes, or what
         * can but be its data. */
        if (s->unsynced)
            smtp_client_look_for_data(s);
        return false;
    }
    done(s, host);
    return true;
}

static bool mentions_smtp(const struct mr_smtp_text *line)
{
    for (uint32_t i = 0; i + 3 < line->len; i++) {
        char four[4];
        if ((line->ptr[i + 1] | 0x20) != 'm')
            continue;
        for (uint32_t j = 0; j < 4; j++)
            four[j] = (char)(line->ptr[i + j] | 0x20);
        if (!memcmp(four, "smtp", 4) || !memcmp(four, "lmtp", 4))
            return true;
    }
    return false;
}

/* "250-CHUNKING", of a reply to EHLO (RFC 3030). */
static bool offers_chunking(const struct mr_smtp_text *line)
{
    static const char word[] = "chunking";
    const uint8_t *p = line->ptr + 4;

    if (line->len < 12 || (line->len > 12 && p[8] != ' ' && p[8] != '\t'))
        return false;
    for (uint32_t i = 0; i < 8; i++)
        if ((p[i] | 0x20) != word[i])
            return false;
    return true;
}

/* The first reply: usually nobody asked for it. True: done with it. */
static bool greeting(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    int code = s->reply;

    s->greeted = true;
    if (code == 220) {
        if (s->midstream && s->queue.count &&
            smtp_queue_at(s, s->queue.head)->verb == MR_SMTP_STARTTLS)
            return false;
        if (s->usual_port || s->greeting_evidence)
            smtp_certain(s, host);
        return true;
    }
    s->owed = 0; /* whoever came first, it was not a client in a hurry */
    if (s->midstream || s->lost)
        return false;
    if (code >= 400)
        return true;
    smtp_raise(s, host, MR_SMTP_ANOMALY_NO_SERVER_WELCOME_MESSAGE);
    return false;
}

/* Replies to what is outstanding now may be missing. */
static void replies_lost(struct mr_smtp_session *s)
{
    s->lost = true;
    s->doubt = true;
    s->optional = s->queue.count;
}

static void on_line(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                    const struct mr_smtp_text *line, bool cut)
{
    bool more;
    int code = mr_smtp_parse_reply(line->ptr, line->len, &more);

    if (cut)
        smtp_raise(s, host, MR_SMTP_ANOMALY_MAX_REPLY_LINE_LEN_EXCEEDED);
    if (code < 0 || !mr_smtp_known_code(code) || (s->reply && code != s->reply))
        if (!s->unsynced && !s->lost)
            smtp_raise(s, host, MR_SMTP_ANOMALY_INVALID_REPLY);
    if (code < 0) { /* it may stand for a reply, or for nothing */
        s->adrift |= s->deaf;
        if (!s->reply)
            replies_lost(s);
        return;
    }
    s->several = s->reply != 0;
    s->reply = (uint16_t)code;
    s->chunking |= code == 250 && offers_chunking(line);
    if (!s->greeted && mentions_smtp(line))
        s->greeting_evidence = true;
    if (more)
        return;
    if (!s->greeted && greeting(s, host)) {
        s->reply = 0;
        smtp_count(host, MR_SMTP_COUNT_REPLIES, s->certain);
        return;
    }
    s->reply_pending = true;
    /* Once, not whenever it is tried again: that depends on how the bytes are cut. */
    if (!smtp_server_match(s, host) && !s->queue.count)
        s->adrift |= s->deaf;
}

size_t smtp_server_run(struct mr_smtp_session *s, const struct mr_smtp_host *host, const uint8_t *p,
                       size_t n)
{
    size_t used = 0;
    uint8_t wait = s->wait;
    bool lost = s->lost, adrift = s->adrift;

    /* A client that waited goes first. */
    while (used < n && !s->over && s->wait == wait && s->lost == lost && s->adrift == adrift &&
           !s->reply_pending) {
        struct mr_smtp_text line = {NULL, 0};
        bool cut;
        used += smtp_take_line(s, host, MR_TO_CLIENT, p + used, n - used, &line, &cut);
        if (line.ptr)
            on_line(s, host, &line, cut);
        if (line.ptr)
            smtp_line_done(&s->in[MR_TO_CLIENT], &host->memory);
    }
    return used;
}

/* Is the next reply the verdict on a mail that has ended? */
static bool verdict_due(struct mr_smtp_session *s)
{
    if (s->owed || s->lmtp || !s->queue.count)
        return false;
    const struct smtp_record *record = smtp_queue_at(s, s->queue.head);
    return (record->verb == MR_SMTP_FINAL || record->verb == MR_SMTP_BDAT_LAST) && record->has_mail;
}

void smtp_server_gap(struct mr_smtp_session *s, const struct mr_smtp_host *host, uint64_t gap)
{
    smtp_line_done(&s->in[MR_TO_CLIENT], &host->memory);
    s->reply = 0;
    if (verdict_due(s)) /* one reply at least is lost */
        smtp_server_assume(s, host, 1, false);
    /* but for one reply, to the only command that can be meant */
    s->adrift |= gap >= TWO_REPLIES || s->owed || s->unsynced || s->queue.count != 1;
    s->deaf = true;
    s->owed = 0; /* how many of them are gone is not known */
    replies_lost(s);
}
