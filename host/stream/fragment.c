/* The table of datagrams under way: who they are, how long they may wait, what they may hold. */
#include "stream/fragment.h"

#include "stream/fragment_build.h"
#include "stream/pieces.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS 1000000000ull
#define LINK_RAW  101

/* Compared and hashed as bytes. */
struct key {
    uint8_t src[16], dst[16];
    uint32_t id, zone;
    uint8_t family;
    uint8_t protocol; /* IPv4 only */
    uint8_t atomic;   /* whole in one fragment: no other belongs to it (RFC 6946) */
    uint8_t zero[5];
};

/* A place in a list of datagrams. */
struct link {
    struct datagram *previous, *next;
};

struct datagram {
    struct key key;
    uint64_t first_ns;
    struct datagram *next_in_bucket; /* or in the list of free ones */
    struct link age, use;
    uint32_t bucket;
    uint32_t n_fragments; /* that wait here */
    struct mr_pieces pieces;
    struct mr_buffer *header; /* of the first fragment */
    uint32_t end;             /* of the last byte seen */
    bool end_known;           /* the last fragment came: `end` is the datagram's */
    uint8_t next_protocol;
    enum mr_drop refused; /* MR_DROP_NONE, or why all of it is thrown away */
};

struct list {
    struct datagram *first, *last; /* oldest first */
};

struct mr_fragments {
    struct mr_fragment_config config;
    struct mr_buffers *buffers;
    struct mr_secret secret;
    struct datagram *datagrams, *free;
    struct datagram **table;
    uint32_t mask, begun; /* of the datagrams, so many have been in use */
    struct list by_age, by_use;
    uint32_t held;
    uint64_t used_bytes;
    uint32_t given_up;        /* during this call */
    struct datagram *current; /* not to be evicted */
    struct mr_piece_rules rules;
};

/* ---- lists ---- */

static struct link *link_of(struct datagram *d, bool by_age)
{
    return by_age ? &d->age : &d->use;
}

static struct list *list_of(struct mr_fragments *f, bool by_age)
{
    return by_age ? &f->by_age : &f->by_use;
}

static void append(struct mr_fragments *f, struct datagram *d, bool by_age)
{
    struct list *list = list_of(f, by_age);

    *link_of(d, by_age) = (struct link){.previous = list->last};
    if (list->last)
        link_of(list->last, by_age)->next = d;
    else
        list->first = d;
    list->last = d;
}

static void detach(struct mr_fragments *f, struct datagram *d, bool by_age)
{
    struct list *list = list_of(f, by_age);
    struct link *link = link_of(d, by_age);

    if (link->previous)
        link_of(link->previous, by_age)->next = link->next;
    else
        list->first = link->next;
    if (link->next)
        link_of(link->next, by_age)->previous = link->previous;
    else
        list->last = link->previous;
}

/* ---- datagrams ---- */

/* Gives the bytes of a datagram back; its fragments no longer wait. */
static void empty(struct mr_fragments *f, struct datagram *d)
{
    mr_pieces_clear(&d->pieces, &f->rules);
    if (d->header)
        f->rules.put(f, d->header);
    d->header = NULL;
    f->held -= d->n_fragments;
    d->n_fragments = 0;
}

static void release(struct mr_fragments *f, struct datagram *d)
{
    struct datagram **at = &f->table[d->bucket];

    assert(at);
    while (*at && *at != d)
        at = &(*at)->next_in_bucket;
    if (*at)
        *at = d->next_in_bucket;
    detach(f, d, true);
    detach(f, d, false);
    empty(f, d);
    d->next_in_bucket = f->free;
    f->free = d;
}

static void give_up(struct mr_fragments *f, struct datagram *d)
{
    f->given_up += d->n_fragments;
    release(f, d);
}

/* Throws away what came of the datagram, and what will come. */
static enum mr_drop refuse(struct mr_fragments *f, struct datagram *d, enum mr_drop reason)
{
    f->given_up += d->n_fragments;
    empty(f, d);
    d->refused = reason;
    return reason;
}

/* Gives up the datagram that was longest unused; false: there is none but the current one. */
static bool evict(struct mr_fragments *f)
{
    struct datagram *d = f->by_use.first;

    if (d == f->current && d)
        d = d->use.next;
    if (!d)
        return false;
    give_up(f, d);
    return true;
}

/* A time that is far before the datagram's first fragment is another capture's, or nonsense. */
static bool expired(const struct mr_fragments *f, const struct datagram *d, uint64_t now_ns)
{
    return now_ns > d->first_ns ? now_ns - d->first_ns > f->config.timeout_ns
                                : d->first_ns - now_ns > f->config.timeout_ns;
}

static void make_key(const struct mr_packet *packet, const struct mr_fragment_view *view,
                     struct key *key)
{
    *key = (struct key){.id = view->id,
                        .zone = packet->src.zone,
                        .family = packet->src.family,
                        .protocol = packet->src.family == 4 ? view->next_protocol : 0,
                        .atomic = !view->offset && !view->more};
    memcpy(key->src, packet->src.address, sizeof key->src);
    memcpy(key->dst, packet->dst.address, sizeof key->dst);
}

static struct datagram *find_or_add(struct mr_fragments *f, const struct key *key, uint64_t now_ns)
{
    uint32_t bucket = (uint32_t)mr_hash_bytes(&f->secret, key, sizeof *key) & f->mask;
    struct datagram *d = f->table[bucket];

    while (d && memcmp(&d->key, key, sizeof *key))
        d = d->next_in_bucket;
    if (d) {
        detach(f, d, false);
        append(f, d, false);
        return d;
    }
    if (!f->free && f->begun < f->config.max_datagrams) {
        d = &f->datagrams[f->begun++];
    } else {
        if (!f->free)
            evict(f);
        d = f->free;
        assert(d); /* evict() gives one back */
        f->free = d->next_in_bucket;
    }
    *d = (struct datagram){
        .key = *key, .first_ns = now_ns, .bucket = bucket, .next_in_bucket = f->table[bucket]};
    f->table[bucket] = d;
    append(f, d, true);
    append(f, d, false);
    return d;
}

/* ---- memory ---- */

static struct mr_buffer *get(void *user, size_t capacity)
{
    struct mr_fragments *f = user;

    while (f->used_bytes + capacity > f->config.max_bytes)
        if (!evict(f))
            return NULL;
    struct mr_buffer *buffer;
    while (!(buffer = mr_buffers_get(f->buffers, capacity)))
        if (!evict(f))
            return NULL;
    f->used_bytes += buffer->capacity;
    return buffer;
}

static void put(void *user, struct mr_buffer *buffer)
{
    struct mr_fragments *f = user;

    f->used_bytes -= buffer->capacity;
    mr_buffers_put(f->buffers, buffer);
}

/* ---- fragments ---- */

static enum mr_drop check(const struct mr_packet *packet, const struct mr_fragment_view *view)
{
    uint32_t room = mr_fragment_room(packet, view);

    if (packet->flags & MR_PACKET_TRUNCATED)
        return MR_DROP_TRUNCATED;
    if (!view->payload_len || view->offset > room || view->payload_len > room - view->offset ||
        (view->more && view->payload_len % 8) ||
        view->payload_offset + (uint64_t)view->payload_len > packet->len ||
        packet->l3_offset + (uint64_t)view->unfragmentable_len > packet->len)
        return MR_DROP_FRAGMENT_BAD;
    return MR_DROP_NONE;
}

/* Does the fragment end where the others say? Learns the datagram's end. */
static bool fits_end(struct datagram *d, const struct mr_fragment_view *view)
{
    uint32_t end = view->offset + view->payload_len;

    if (d->end_known ? end > d->end || (!view->more && end != d->end) : !view->more && end < d->end)
        return false;
    d->end_known |= !view->more;
    if (end > d->end)
        d->end = end;
    return true;
}

/* IPv6: does the fragment touch another one? *same: it is that one again. */
static bool touches(const struct datagram *d, const struct mr_packet *packet,
                    const struct mr_fragment_view *view, bool *same)
{
    const struct mr_kept *k = mr_pieces_overlap(&d->pieces, view->offset, view->payload_len);

    *same = k && k->start == view->offset && k->len == view->payload_len &&
            !memcmp(k->buffer->data + k->skip, packet->data + view->payload_offset, k->len);
    return k;
}

/* Keeps the header of the first fragment. */
static bool take_header(struct mr_fragments *f, struct datagram *d, const struct mr_packet *packet,
                        const struct mr_fragment_view *view)
{
    if (view->offset || d->header)
        return true;
    d->header = get(f, view->unfragmentable_len);
    if (!d->header)
        return false;
    memcpy(d->header->data, packet->data + packet->l3_offset, view->unfragmentable_len);
    d->header->len = view->unfragmentable_len;
    d->next_protocol = view->next_protocol;
    return true;
}

/* Puts the datagram together in one buffer: header, pieces. */
static enum mr_drop build(struct mr_fragments *f, const struct datagram *d,
                          const struct mr_packet *packet, struct mr_packet *whole,
                          struct mr_buffer **out)
{
    uint32_t header_len = d->header->len, len = header_len + d->end;
    uint32_t count = mr_pieces_count(&d->pieces);
    const struct mr_kept *k = mr_pieces_front(&d->pieces);
    struct mr_buffer *buffer = get(f, len);

    if (!buffer)
        return MR_DROP_FRAGMENT_LIMIT;
    f->used_bytes -= buffer->capacity; /* the caller's from here on */
    memcpy(buffer->data, d->header->data, header_len);
    for (uint32_t i = 0; i < count; i++)
        memcpy(buffer->data + header_len + k[i].start, k[i].buffer->data + k[i].skip, k[i].len);
    buffer->len = len;
    if (len > UINT16_MAX + (d->key.family == 6 ? MR_IPV6_HEADER_BYTES : 0) ||
        !mr_fragment_header(buffer->data, header_len, d->key.family, d->next_protocol, d->end)) {
        mr_buffers_put(f->buffers, buffer);
        return MR_DROP_FRAGMENT_BAD;
    }
    struct mr_packet result = {
        .data = buffer->data,
        .time_ns = packet->time_ns,
        .number = packet->number,
        .len = len,
        .wire_len = len,
        .n_vlan = packet->n_vlan,
        .flags = (uint8_t)((packet->flags & MR_PACKET_TUNNELED) | MR_PACKET_REASSEMBLED),
        .interface = packet->interface,
        .link_type = LINK_RAW,
        .src = {.zone = packet->src.zone},
        .dst = {.zone = packet->dst.zone}};
    memcpy(result.vlan, packet->vlan, sizeof result.vlan);
    *whole = result;
    *out = buffer;
    return MR_DROP_NONE;
}

/* A fragment of a datagram that is not refused. */
static enum mr_drop add(struct mr_fragments *f, struct datagram *d, const struct mr_packet *packet,
                        const struct mr_fragment_view *view, struct mr_packet *whole,
                        struct mr_buffer **buffer)
{
    const struct mr_piece piece = {.start = view->offset,
                                   .len = view->payload_len,
                                   .data = packet->data + view->payload_offset};
    bool v6 = packet->src.family == 6, same;

    if (d->n_fragments >= f->config.max_fragments)
        return refuse(f, d, MR_DROP_FRAGMENT_LIMIT);
    if (v6 && touches(d, packet, view, &same)) {
        if (!same)
            return refuse(f, d, MR_DROP_FRAGMENT_OVERLAP);
        d->n_fragments++;
        f->held++;
        return MR_DROP_FRAGMENT_HELD;
    }
    if (!fits_end(d, view))
        return v6 ? refuse(f, d, MR_DROP_FRAGMENT_BAD) : MR_DROP_FRAGMENT_BAD;
    if (!take_header(f, d, packet, view) || !mr_pieces_insert(&d->pieces, &f->rules, piece))
        return refuse(f, d, MR_DROP_FRAGMENT_LIMIT);
    if (!d->end_known || !d->header || d->pieces.bytes != d->end) {
        d->n_fragments++;
        f->held++;
        return MR_DROP_FRAGMENT_HELD;
    }
    enum mr_drop reason = build(f, d, packet, whole, buffer);
    if (reason != MR_DROP_NONE)
        f->given_up += d->n_fragments;
    release(f, d);
    return reason;
}

enum mr_drop mr_fragments_add(struct mr_fragments *f, const struct mr_packet *packet,
                              const struct mr_fragment_view *view, struct mr_packet *whole,
                              struct mr_buffer **buffer, uint32_t *given_up)
{
    struct key key;

    f->given_up = 0;
    f->current = NULL;
    while (f->by_age.first && expired(f, f->by_age.first, packet->time_ns))
        give_up(f, f->by_age.first);
    enum mr_drop reason = check(packet, view);
    if (reason == MR_DROP_NONE) {
        make_key(packet, view, &key);
        struct datagram *d = find_or_add(f, &key, packet->time_ns);
        f->current = d;
        reason = d->refused ? d->refused : add(f, d, packet, view, whole, buffer);
    }
    *given_up = f->given_up;
    return reason;
}

uint32_t mr_fragments_held(const struct mr_fragments *f)
{
    return f->held;
}

/* ---- birth and death ---- */

static void set_defaults(struct mr_fragment_config *config)
{
    if (!config->timeout_ns)
        config->timeout_ns = 30 * SECOND_NS;
    if (!config->max_datagrams)
        config->max_datagrams = 4096;
    if (!config->max_fragments)
        config->max_fragments = 1024;
    if (!config->max_bytes)
        config->max_bytes = 32u << 20;
}

enum mr_status mr_fragments_new(struct mr_fragments **out, const struct mr_fragment_config *config,
                                struct mr_buffers *buffers, const struct mr_secret *secret)
{
    struct mr_fragments *f = calloc(1, sizeof *f);

    if (!f)
        return MR_ERR_MEMORY;
    f->config = *config;
    set_defaults(&f->config);
    f->buffers = buffers;
    f->secret = *secret;
    f->rules = (struct mr_piece_rules){.user = f,
                                       .get = get,
                                       .put = put,
                                       .new_wins = mr_overlap_new_wins_ip,
                                       .policy = f->config.policy,
                                       .max_bytes = UINT16_MAX,
                                       .max_pieces = UINT32_MAX};
    while (f->mask + 1 < f->config.max_datagrams)
        f->mask = f->mask * 2 + 1;
    f->table = calloc((size_t)f->mask + 1, sizeof *f->table);
    f->datagrams = calloc(f->config.max_datagrams, sizeof *f->datagrams);
    if (!f->table || !f->datagrams) {
        mr_fragments_free(f);
        return MR_ERR_MEMORY;
    }
    *out = f;
    return MR_OK;
}

void mr_fragments_free(struct mr_fragments *f)
{
    if (!f)
        return;
    while (f->by_age.first)
        release(f, f->by_age.first);
    free(f->table);
    free(f->datagrams);
    free(f);
}
