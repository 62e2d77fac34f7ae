/* Capture files made in memory: pcap and pcapng, either byte order. */
#include "packets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pk_raw(struct pk_capture *c, const void *bytes, size_t len)
{
    if (len > c->room - c->len) {
        size_t room = (c->len + len) * 2;
        c->bytes = realloc(c->bytes, room);
        if (!c->bytes)
            abort();
        c->room = room;
    }
    if (len)
        memcpy(c->bytes + c->len, bytes, len);
    c->len += len;
}

void pk_raw16(struct pk_capture *c, uint16_t v)
{
    uint8_t b[2] = {(uint8_t)v, (uint8_t)(v >> 8)};
    if (c->big_endian) {
        b[0] = (uint8_t)(v >> 8);
        b[1] = (uint8_t)v;
    }
    pk_raw(c, b, 2);
}

void pk_raw32(struct pk_capture *c, uint32_t v)
{
    uint16_t low = (uint16_t)v, high = (uint16_t)(v >> 16);
    pk_raw16(c, c->big_endian ? high : low);
    pk_raw16(c, c->big_endian ? low : high);
}

void pk_pcap(struct pk_capture *c, uint32_t link_type, bool nanosecond, bool big_endian)
{
    *c = (struct pk_capture){.nanosecond = nanosecond, .big_endian = big_endian};
    pk_raw32(c, nanosecond ? 0xa1b23c4d : 0xa1b2c3d4);
    pk_raw16(c, 2);
    pk_raw16(c, 4);
    pk_raw32(c, 0);
    pk_raw32(c, 0);
    pk_raw32(c, 262144);
    pk_raw32(c, link_type);
}

void pk_pcap_bytes(struct pk_capture *c, uint64_t time_ns, const void *bytes, uint32_t len,
                   uint32_t wire_len)
{
    uint32_t fraction = (uint32_t)(time_ns % 1000000000);
    pk_raw32(c, (uint32_t)(time_ns / 1000000000));
    pk_raw32(c, c->nanosecond ? fraction : fraction / 1000);
    pk_raw32(c, len);
    pk_raw32(c, wire_len ? wire_len : len);
    pk_raw(c, bytes, len);
}

void pk_pcap_frame(struct pk_capture *c, uint64_t time_ns, const struct pk_frame *f)
{
    pk_pcap_bytes(c, time_ns, f->data, f->len, 0);
}

void pk_ng(struct pk_capture *c)
{
    *c = (struct pk_capture){.pcapng = true};
}

void pk_ng_block(struct pk_capture *c, uint32_t type, const void *body, uint32_t len)
{
    uint32_t padded = (len + 3) / 4 * 4;
    pk_raw32(c, type);
    pk_raw32(c, padded + 12);
    pk_raw(c, body, len);
    pk_raw(c, "\0\0\0", padded - len);
    pk_raw32(c, padded + 12);
}

/* The body of a block, in the byte order of the file. */
static struct pk_capture body(const struct pk_capture *c)
{
    return (struct pk_capture){.big_endian = c->big_endian};
}

static void finish(struct pk_capture *c, uint32_t type, struct pk_capture *b)
{
    pk_ng_block(c, type, b->bytes, (uint32_t)b->len);
    free(b->bytes);
}

void pk_ng_section(struct pk_capture *c, bool big_endian)
{
    c->big_endian = big_endian;
    struct pk_capture b = body(c);
    pk_raw32(&b, 0x1a2b3c4d);
    pk_raw16(&b, 1);
    pk_raw16(&b, 0);
    pk_raw32(&b, 0xffffffff);
    pk_raw32(&b, 0xffffffff);
    finish(c, 0x0a0d0d0a, &b);
}

void pk_ng_interface(struct pk_capture *c, uint16_t link_type, uint32_t snaplen, int resolution)
{
    struct pk_capture b = body(c);
    pk_raw16(&b, link_type);
    pk_raw16(&b, 0);
    pk_raw32(&b, snaplen);
    pk_raw16(&b, 2); /* if_name, to have something before if_tsresol */
    pk_raw16(&b, 5);
    pk_raw(&b, "test0\0\0\0", 8);
    if (resolution >= 0) {
        uint8_t value[4] = {(uint8_t)resolution};
        pk_raw16(&b, 9);
        pk_raw16(&b, 1);
        pk_raw(&b, value, 4);
    }
    pk_raw32(&b, 0);
    finish(c, 1, &b);
}

static void padded(struct pk_capture *b, const void *bytes, uint32_t len)
{
    pk_raw(b, bytes, len);
    pk_raw(b, "\0\0\0", (4 - len % 4) % 4);
}

void pk_ng_packet(struct pk_capture *c, uint32_t interface, uint64_t time, const void *bytes,
                  uint32_t len, uint32_t wire_len)
{
    struct pk_capture b = body(c);
    pk_raw32(&b, interface);
    pk_raw32(&b, (uint32_t)(time >> 32));
    pk_raw32(&b, (uint32_t)time);
    pk_raw32(&b, len);
    pk_raw32(&b, wire_len ? wire_len : len);
    padded(&b, bytes, len);
    finish(c, 6, &b);
}

void pk_ng_simple(struct pk_capture *c, const void *bytes, uint32_t len, uint32_t wire_len)
{
    struct pk_capture b = body(c);
    pk_raw32(&b, wire_len ? wire_len : len);
    padded(&b, bytes, len);
    finish(c, 3, &b);
}

void pk_ng_obsolete(struct pk_capture *c, uint16_t interface, uint64_t time, const void *bytes,
                    uint32_t len, uint32_t wire_len)
{
    struct pk_capture b = body(c);
    pk_raw16(&b, interface);
    pk_raw16(&b, 0xffff);
    pk_raw32(&b, (uint32_t)(time >> 32));
    pk_raw32(&b, (uint32_t)time);
    pk_raw32(&b, len);
    pk_raw32(&b, wire_len ? wire_len : len);
    padded(&b, bytes, len);
    finish(c, 2, &b);
}

bool pk_save(const struct pk_capture *c, const char *path)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return false;
    bool whole = !c->len || fwrite(c->bytes, 1, c->len, file) == c->len;
    return fclose(file) == 0 && whole;
}

void pk_capture_free(struct pk_capture *c)
{
    free(c->bytes);
    *c = (struct pk_capture){0};
}
