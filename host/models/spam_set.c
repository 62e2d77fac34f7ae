/* Sets of mails. */
#include "models/spam_set.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define MAILS_MAX  (1u << 22)
#define TOKENS_MAX ((size_t)1 << 31)
#define SKETCH     16u /* least hashes, each under another order, ... */
#define BAND       4u  /* ... of which so many in a row must agree */

struct mail {
    uint64_t body[2]; /* hash of its words */
    uint32_t sketch[SKETCH];
};

/* A set of 64-bit keys with numbers, growing. */
struct map {
    uint64_t *keys; /* 0: free; a key 0 is stored as 1 */
    uint32_t *values;
    uint32_t log2, n;
};

struct mr_spam_set {
    enum mr_spam_fields fields;
    struct mr_mime_decoder *decoder;
    uint8_t *text;
    uint64_t *hashes; /* of the mail at hand */
    struct map tokens, bodies;
    uint64_t *token_hashes;
    size_t token_room;
    struct mail *mails;
    bool *is_spam;
    size_t *first;
    uint32_t *ids, *stamps; /* stamps[token]: the last mail that had it, + 1 */
    size_t n_ids, id_room;
    uint32_t n_mails, mail_room, n_duplicates;
};

/* ---- maps ---- */

static bool map_grow(struct map *map)
{
    struct map old = *map, new = {.log2 = old.keys ? old.log2 + 1 : 12, .n = old.n};
    size_t room = (size_t)1 << new.log2, mask = room - 1;

    new.keys = calloc(room, sizeof *new.keys);
    new.values = calloc(room, sizeof *new.values);
    if (!new.keys || !new.values) {
        free(new.keys);
        free(new.values);
        return false;
    }
    for (size_t i = 0; old.keys && i < (size_t)1 << old.log2; i++) {
        if (!old.keys[i])
            continue;
        size_t at = (old.keys[i] * 0x9e3779b97f4a7c15ull >> 20) & mask;
        while (new.keys[at])
            at = (at + 1) & mask;
        new.keys[at] = old.keys[i];
        new.values[at] = old.values[i];
    }
    free(old.keys);
    free(old.values);
    *map = new;
    return true;
}

/* The number of a key; a new one gets `value` and *is_new. NULL: out of memory. */
static uint32_t *map_at(struct map *map, uint64_t key, uint32_t value, bool *is_new)
{
    if ((!map->keys || map->n >= (uint32_t)1 << (map->log2 - 1)) && !map_grow(map))
        return NULL;
    size_t mask = ((size_t)1 << map->log2) - 1;
    key = key ? key : 1;
    size_t at = (key * 0x9e3779b97f4a7c15ull >> 20) & mask;
    while (map->keys[at] && map->keys[at] != key)
        at = (at + 1) & mask;
    *is_new = !map->keys[at];
    if (*is_new) {
        map->keys[at] = key;
        map->values[at] = value;
        map->n++;
    }
    return &map->values[at];
}

static void map_free(struct map *map)
{
    free(map->keys);
    free(map->values);
}

/* ---- a set ---- */

struct mr_spam_set *mr_spam_set_new(enum mr_spam_fields fields)
{
    struct mr_spam_set *set = calloc(1, sizeof *set);

    if (!set)
        return NULL;
    set->fields = fields;
    set->decoder = mr_mime_open(NULL);
    set->text = malloc(MR_SPAM_TEXT_ROOM);
    set->hashes = malloc(MR_SPAM_TOKENS_MAX * sizeof *set->hashes);
    set->first = calloc(1, sizeof *set->first);
    if (set->decoder && set->text && set->hashes && set->first)
        return set;
    mr_spam_set_free(set);
    return NULL;
}

void mr_spam_set_free(struct mr_spam_set *set)
{
    if (!set)
        return;
    mr_mime_close(set->decoder);
    map_free(&set->tokens);
    map_free(&set->bodies);
    free(set->text);
    free(set->hashes);
    free(set->token_hashes);
    free(set->mails);
    free(set->is_spam);
    free(set->first);
    free(set->ids);
    free(set->stamps);
    free(set);
}

static bool grow(void *pointer, size_t bytes)
{
    void **at = pointer, *new = realloc(*at, bytes);

    if (new)
        *at = new;
    return new;
}

static bool room_for_mail(struct mr_spam_set *set)
{
    if (set->n_mails < set->mail_room)
        return true;
    uint32_t room = set->mail_room ? 2 * set->mail_room : 1024;
    if (!grow((void *)&set->mails, room * sizeof *set->mails) ||
        !grow((void *)&set->is_spam, room * sizeof *set->is_spam) ||
        !grow((void *)&set->first, ((size_t)room + 1) * sizeof *set->first))
        return false;
    set->mail_room = room;
    return true;
}

static bool room_for_tokens(struct mr_spam_set *set, uint32_t n)
{
    if (set->n_ids + n > set->id_room) {
        size_t room = 2 * set->id_room + n + 65536;
        if (!grow((void *)&set->ids, room * sizeof *set->ids))
            return false;
        set->id_room = room;
    }
    if (set->tokens.n + n > set->token_room) {
        size_t old = set->token_room, room = 2 * old + n + 65536;
        if (!grow((void *)&set->token_hashes, room * sizeof *set->token_hashes) ||
            !grow((void *)&set->stamps, room * sizeof *set->stamps))
            return false;
        memset(set->stamps + old, 0, (room - old) * sizeof *set->stamps);
        set->token_room = room;
    }
    return true;
}

/* The words of a body (letters only, so that numbers drawn for each copy change nothing): its hash
 * and its sketch. */
static void look_at_body(struct mr_spam_set *set, const struct mr_mime *mail, uint32_t text_len,
                         struct mail *out)
{
    uint8_t *letters;
    uint32_t len = mail->text.len < MR_BAYES_TEXT_BYTES ? mail->text.len : MR_BAYES_TEXT_BYTES, n;

    letters = malloc(len + MR_SPAM_SLACK);
    memset(out, 0xff, sizeof *out);
    if (!letters) { /* then it is like no other */
        out->body[0] = set->n_mails;
        return;
    }
    for (uint32_t i = 0; i < len; i++) {
        uint8_t c = mail->text.ptr[i];
        letters[i] = (c | 0x20u) - 'a' < 26 || c >= 0x80 ? c : ' ';
    }
    memset(letters + len, 0, MR_SPAM_SLACK);
    n = mr_spam_tokens(letters, len, set->hashes, NULL, 0);
    free(letters);
    if (n < 3) /* a picture only: its fields tell it from others */
        n = mr_spam_tokens(set->text, text_len, set->hashes, NULL, 0);
    mr_hash128_public(set->hashes, n * sizeof *set->hashes, (uint8_t *)out->body);
    for (uint32_t i = 0; i + 4 <= n; i++) {
        uint64_t four = mr_hash_public(set->hashes + i, 4 * sizeof *set->hashes);
        for (uint32_t k = 0; k < SKETCH; k++) {
            uint64_t mixed = (four ^ (k + 1) * 0x9e3779b97f4a7c15ull) * 0xff51afd7ed558ccdull;
            uint32_t value = (uint32_t)(mixed >> 32);
            if (value < out->sketch[k])
                out->sketch[k] = value;
        }
    }
    if (n < 4)
        memcpy(out->sketch, out->body, sizeof out->body);
}

static enum mr_status add_tokens(struct mr_spam_set *set, const uint64_t *hashes, uint32_t n)
{
    if (!room_for_tokens(set, n))
        return MR_ERR_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        bool is_new;
        uint32_t *id = map_at(&set->tokens, hashes[i], set->tokens.n, &is_new);
        if (!id)
            return MR_ERR_MEMORY;
        if (is_new)
            set->token_hashes[*id] = hashes[i];
        if (set->stamps[*id] == set->n_mails + 1)
            continue;
        set->stamps[*id] = set->n_mails + 1;
        set->ids[set->n_ids++] = *id;
    }
    return MR_OK;
}

enum mr_status mr_spam_set_add(struct mr_spam_set *set, bool is_spam, const uint8_t *bytes,
                               size_t len)
{
    const struct mr_mime *mail;
    enum mr_status status;
    uint32_t text_len;
    bool is_new;

    if (set->n_mails >= MAILS_MAX || set->n_ids >= TOKENS_MAX)
        return MR_ERR_LIMIT;
    if (!room_for_mail(set))
        return MR_ERR_MEMORY;
    mail = mr_mime_decode(set->decoder, NULL, bytes, len);
    text_len = mr_spam_text(mail, set->fields, set->text);
    memset(set->text + text_len, 0, MR_SPAM_SLACK);
    look_at_body(set, mail, text_len, &set->mails[set->n_mails]);
    mr_mime_release(set->decoder);
    if (!map_at(&set->bodies, set->mails[set->n_mails].body[0], 0, &is_new))
        return MR_ERR_MEMORY;
    if (!is_new) {
        set->n_duplicates++;
        return MR_OK;
    }
    uint32_t n = mr_spam_tokens(set->text, text_len, set->hashes, NULL, 0);
    status = add_tokens(set, set->hashes, n);
    if (status)
        return status;
    set->is_spam[set->n_mails++] = is_spam;
    set->first[set->n_mails] = set->n_ids;
    return MR_OK;
}

struct mr_spam_examples mr_spam_set_examples(const struct mr_spam_set *set)
{
    return (struct mr_spam_examples){.n_mails = set->n_mails,
                                     .n_tokens = set->tokens.n,
                                     .first = set->first,
                                     .tokens = set->ids,
                                     .is_spam = set->is_spam};
}

const uint64_t *mr_spam_set_hashes(const struct mr_spam_set *set)
{
    return set->token_hashes;
}

uint32_t mr_spam_set_duplicates(const struct mr_spam_set *set)
{
    return set->n_duplicates;
}

/* ---- folds ---- */

static uint32_t root_of(uint32_t *parents, uint32_t mail)
{
    while (parents[mail] != mail)
        mail = parents[mail] = parents[parents[mail]];
    return mail;
}

static bool join(const struct mr_spam_set *set, uint32_t *parents)
{
    struct map map = {0};
    bool done = true;

    for (uint32_t mail = 0; mail < set->n_mails && done; mail++)
        for (uint32_t at = 0; at < SKETCH && done; at += BAND) {
            bool is_new;
            uint64_t key = mr_hash_public(set->mails[mail].sketch + at, BAND * 4) + at;
            uint32_t *first = map_at(&map, key, mail, &is_new);
            done = first;
            if (first && !is_new) {
                uint32_t a = root_of(parents, *first), b = root_of(parents, mail);
                parents[a > b ? a : b] = a < b ? a : b;
            }
        }
    map_free(&map);
    return done;
}

struct group {
    uint32_t root, n;
};

static int larger_first(const void *a, const void *b)
{
    const struct group *x = a, *y = b;

    if (x->n != y->n)
        return x->n < y->n ? 1 : -1;
    return (x->root > y->root) - (x->root < y->root);
}

uint32_t mr_spam_set_folds(const struct mr_spam_set *set, uint32_t n_folds, uint8_t *fold)
{
    uint32_t *parents = calloc((size_t)set->n_mails + 1, sizeof *parents), n_groups = 0;
    struct group *groups = calloc((size_t)set->n_mails + 1, sizeof *groups);
    uint32_t sizes[256][2] = {{0, 0}};

    if (!parents || !groups)
        goto out;
    for (uint32_t i = 0; i < set->n_mails; i++)
        parents[i] = i;
    if (!join(set, parents))
        goto out;
    for (uint32_t i = 0; i < set->n_mails; i++)
        groups[root_of(parents, i)].n++;
    for (uint32_t i = 0; i < set->n_mails; i++)
        if (groups[i].n)
            groups[n_groups++] = (struct group){i, groups[i].n};
    qsort(groups, n_groups, sizeof *groups, larger_first);
    for (uint32_t i = 0; i < n_groups; i++) { /* to the fold that has least of this kind */
        uint32_t kind = set->is_spam[groups[i].root], least = 0;
        for (uint32_t k = 1; k < n_folds; k++)
            if (sizes[k][kind] < sizes[least][kind])
                least = k;
        sizes[least][kind] += groups[i].n;
        fold[groups[i].root] = (uint8_t)least;
    }
    for (uint32_t i = 0; i < set->n_mails; i++)
        fold[i] = fold[root_of(parents, i)];
out:
    free(parents);
    free(groups);
    return n_groups;
}
