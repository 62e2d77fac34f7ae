/* What becomes of bodies that are not in memory: their encoding is undone and they are hashed as
 * they pass; text is kept until its part ends. A line end goes on when it is known that no
 * delimiter follows, whose it would be. */
#include "digest.h"

#include <string.h>

/* Messages in messages hold the same bytes over and over: the outermost are hashed. */
#define MOST_MESSAGES MR_MIME_READ_MESSAGES

struct passing {
    uint32_t part;
    uint8_t skip; /* so many bytes of the line end that waits stand before it */
    bool open;
    struct mime_content content;
    struct mime_hashing hashing;
};

struct mime_pass {
    unsigned content_hashes, body_hashes;
    uint8_t waiting[2]; /* a line end */
    uint8_t n_waiting;
    bool text; /* the leaf's bytes are kept, too */
    uint32_t n_messages;
    struct passing messages[MOST_MESSAGES], leaf, root, uu;
};

size_t mime_pass_bytes(void)
{
    return sizeof(struct mime_pass);
}

void mime_pass_open(struct mr_mime_decoder *d, unsigned content_hashes, unsigned body_hashes)
{
    struct mime_pass *pass = d->pass;

    pass->content_hashes = content_hashes;
    pass->body_hashes = body_hashes;
    pass->n_waiting = 0;
    pass->text = pass->leaf.open = pass->root.open = pass->uu.open = false;
    pass->n_messages = 0;
}

static void give_one(struct passing *to, const uint8_t *bytes, size_t n, bool waited)
{
    uint8_t skip = waited && to->skip < n ? to->skip : waited ? (uint8_t)n : 0;

    mime_content_feed(&to->content, bytes + skip, n - skip);
    if (waited)
        to->skip = 0;
}

static void give(struct mr_mime_decoder *d, const uint8_t *bytes, size_t n, bool waited)
{
    struct mime_pass *pass = d->pass;
    uint8_t skip = waited ? pass->leaf.skip : 0;

    if (!n)
        return;
    d->result.work += n;
    if (pass->leaf.open && pass->text && n > skip)
        mime_append(d, &d->body, bytes + skip, n - skip, d->limits.text_bytes);
    if (pass->leaf.open)
        give_one(&pass->leaf, bytes, n, waited);
    if (pass->root.open)
        give_one(&pass->root, bytes, n, waited);
    for (uint32_t i = 0; i < pass->n_messages; i++)
        give_one(&pass->messages[i], bytes, n, waited);
}

void mime_pass(struct mr_mime_decoder *d, const uint8_t *to, bool all)
{
    struct mime_pass *pass = d->pass;
    const uint8_t *from = d->reading.passed;
    size_t n = (size_t)(to - from), stays = 0;

    if (!pass)
        return;
    d->reading.passed = to;
    if (!pass->leaf.open && !pass->root.open && !pass->n_messages) {
        pass->n_waiting = 0;
        return;
    }
    if (!n && !all)
        return;
    if (!all && n == 1 && *from == '\n' && pass->n_waiting == 1 && pass->waiting[0] == '\r') {
        pass->waiting[pass->n_waiting++] = '\n';
        return;
    }
    if (!all && to[-1] == '\n')
        stays = n > 1 && to[-2] == '\r' ? 2 : 1;
    else if (!all && to[-1] == '\r')
        stays = 1;
    give(d, pass->waiting, pass->n_waiting, true);
    give(d, from, n - stays, false);
    memcpy(pass->waiting, to - stays, stays);
    pass->n_waiting = (uint8_t)stays;
}

static void open_one(struct passing *p, const struct mime_pass *pass, uint32_t part,
                     uint8_t encoding, unsigned hashes)
{
    p->part = part;
    p->skip = pass->n_waiting;
    p->open = true;
    mime_hashing_begin(&p->hashing, hashes);
    mime_content_begin(&p->content, encoding, mime_hashing_add, &p->hashing);
}

void mime_pass_begin(struct mr_mime_decoder *d, uint32_t part)
{
    struct mime_pass *pass = d->pass;
    const struct mr_mime_part *p = &d->parts[part];

    if (!pass)
        return;
    mime_pass(d, d->reading.at, false);
    if (!part && pass->body_hashes)
        open_one(&pass->root, pass, part, MR_MIME_IDENTITY, pass->body_hashes);
    if (p->kind == MR_MIME_MESSAGE && p->is_file && pass->n_messages < MOST_MESSAGES)
        open_one(&pass->messages[pass->n_messages++], pass, part, MR_MIME_IDENTITY,
                 pass->content_hashes);
    if (p->kind != MR_MIME_LEAF)
        return;
    open_one(&pass->leaf, pass, part, p->encoding, pass->content_hashes);
    pass->text = p->is_text;
    d->body.len = 0;
}

static const struct mr_mime_digest *close_one(struct mr_mime_decoder *d, struct passing *p)
{
    struct mr_mime_digest *digest = mime_alloc(d, sizeof *digest);

    p->open = false;
    if (!digest)
        return NULL;
    memset(digest, 0, sizeof *digest);
    digest->anomalies = mime_content_end(&p->content);
    digest->size = p->content.size;
    mime_hashing_end(&p->hashing, digest);
    return digest;
}

void mime_pass_end(struct mr_mime_decoder *d, uint32_t part)
{
    struct mime_pass *pass = d->pass;

    if (!pass)
        return;
    if (pass->leaf.open && pass->leaf.part == part)
        d->parts[part].digest = close_one(d, &pass->leaf);
    if (pass->n_messages && pass->messages[pass->n_messages - 1].part == part)
        d->parts[part].digest = close_one(d, &pass->messages[--pass->n_messages]);
    if (pass->root.open && !part)
        d->result.body = close_one(d, &pass->root);
}

void mime_pass_uu(struct mr_mime_decoder *d, const uint8_t *line, const uint8_t *stop)
{
    struct mime_pass *pass = d->pass;

    if (!pass)
        return;
    if (!line) {
        open_one(&pass->uu, pass, MIME_NO_PART, MR_MIME_UUENCODE, pass->content_hashes);
        return;
    }
    mime_content_feed(&pass->uu.content, line, (size_t)(stop - line));
    mime_content_feed(&pass->uu.content, (const uint8_t *)"\n", 1);
}

void mime_pass_uu_end(struct mr_mime_decoder *d, uint32_t part)
{
    if (d->pass && part != MIME_NO_PART)
        d->parts[part].digest = close_one(d, &d->pass->uu);
}
