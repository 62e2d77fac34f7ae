/* A table of counts; the entry that was asked for longest ago makes room. */
#include "engine/anomaly_caps.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES 32768u
#define BUCKETS ENTRIES
#define NONE    UINT32_MAX

struct entry {
    uint8_t key[MR_ANOMALY_KEY_BYTES];
    uint32_t next;         /* in its bucket */
    uint32_t newer, older; /* by when they were asked for */
    uint32_t n;
};

struct mr_anomaly_caps {
    uint32_t used, newest, oldest;
    uint32_t buckets[BUCKETS];
    struct entry entries[ENTRIES];
};

struct mr_anomaly_caps *mr_anomaly_caps_new(void)
{
    struct mr_anomaly_caps *caps = calloc(1, sizeof *caps);

    if (!caps)
        return NULL;
    caps->newest = caps->oldest = NONE;
    memset(caps->buckets, 0xff, sizeof caps->buckets);
    return caps;
}

void mr_anomaly_caps_free(struct mr_anomaly_caps *caps)
{
    free(caps);
}

static uint32_t *bucket_of(struct mr_anomaly_caps *caps, const uint8_t *key)
{
    uint32_t hash;

    memcpy(&hash, key, sizeof hash);
    return &caps->buckets[hash % BUCKETS];
}

static void take_out(struct mr_anomaly_caps *caps, uint32_t i)
{
    struct entry *e = &caps->entries[i];

    *(e->newer == NONE ? &caps->newest : &caps->entries[e->newer].older) = e->older;
    *(e->older == NONE ? &caps->oldest : &caps->entries[e->older].newer) = e->newer;
}

static void put_first(struct mr_anomaly_caps *caps, uint32_t i)
{
    struct entry *e = &caps->entries[i];

    e->newer = NONE;
    e->older = caps->newest;
    *(caps->newest == NONE ? &caps->oldest : &caps->entries[caps->newest].newer) = i;
    caps->newest = i;
}

static uint32_t make_room(struct mr_anomaly_caps *caps)
{
    if (caps->used < ENTRIES)
        return caps->used++;
    uint32_t i = caps->oldest, *at = bucket_of(caps, caps->entries[i].key);
    take_out(caps, i);
    while (*at != i)
        at = &caps->entries[*at].next;
    *at = caps->entries[i].next;
    return i;
}

bool mr_anomaly_caps_admit(struct mr_anomaly_caps *caps, const uint8_t key[MR_ANOMALY_KEY_BYTES])
{
    uint32_t *bucket = bucket_of(caps, key), i = *bucket;

    while (i != NONE && memcmp(caps->entries[i].key, key, MR_ANOMALY_KEY_BYTES) != 0)
        i = caps->entries[i].next;
    if (i == NONE) {
        i = make_room(caps);
        memcpy(caps->entries[i].key, key, MR_ANOMALY_KEY_BYTES);
        caps->entries[i].n = 0;
        caps->entries[i].next = *bucket;
        *bucket = i;
    } else {
        take_out(caps, i);
    }
    put_first(caps, i);
    if (caps->entries[i].n == MR_MAX_ANOMALIES)
        return false;
    caps->entries[i].n++;
    return true;
}
