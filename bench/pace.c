/* Sends the frames of a capture (pcap, little-endian, Ethernet) out of an interface at a steady
 * rate, again and again for so long; prints what it managed as JSON.
 * usage: pace INTERFACE FILE MBIT_PER_SECOND SECONDS */
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BATCH       32
#define FILE_HEADER 24
#define RECORD      16

struct sender {
    const uint8_t *bytes;
    size_t len, at;
    int fd;
    struct iovec pieces[BATCH];
    struct mmsghdr messages[BATCH];
    int n;
    uint64_t packets, sent_bytes;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void flush(struct sender *s)
{
    for (int done = 0; done < s->n;) {
        int n = sendmmsg(s->fd, s->messages + done, (unsigned)(s->n - done), 0);
        if (n > 0)
            done += n;
    }
    s->n = 0;
}

/* The next frame joins the batch. */
static void add(struct sender *s)
{
    uint32_t len;
    if (s->at + RECORD > s->len)
        s->at = FILE_HEADER;
    memcpy(&len, s->bytes + s->at + 8, 4);
    s->pieces[s->n] = (struct iovec){(void *)(uintptr_t)(s->bytes + s->at + RECORD), len};
    s->messages[s->n].msg_hdr = (struct msghdr){.msg_iov = &s->pieces[s->n], .msg_iovlen = 1};
    s->n++;
    s->at += RECORD + len;
    s->packets++;
    s->sent_bytes += len;
    if (s->n == BATCH)
        flush(s);
}

int main(int argc, char **argv)
{
    struct sender s = {.at = FILE_HEADER};
    struct stat about;
    int on = 1;

    if (argc != 5)
        return 1;
    int file = open(argv[2], O_RDONLY);
    s.fd = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(argv[1])};
    if (file < 0 || fstat(file, &about) || s.fd < 0 ||
        bind(s.fd, (struct sockaddr *)&to, sizeof to)) {
        perror("pace");
        return 2;
    }
    s.len = (size_t)about.st_size;
    s.bytes = mmap(NULL, s.len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (s.bytes == MAP_FAILED || s.len < FILE_HEADER + RECORD) {
        fprintf(stderr, "pace: %s is no capture\n", argv[2]);
        return 2;
    }
    setsockopt(s.fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
    double bits_a_ns = strtod(argv[3], NULL) / 1000;
    uint64_t start = now_ns(), now = start, end = start + (uint64_t)(strtod(argv[4], NULL) * 1e9);
    for (; now < end; now = now_ns()) {
        bool due = (double)s.sent_bytes * 8 <= (double)(now - start) * bits_a_ns;
        for (int i = 0; due && i < BATCH; i++) {
            add(&s);
            due = (double)s.sent_bytes * 8 <= (double)(now - start) * bits_a_ns;
        }
        flush(&s);
        uint64_t next = start + (uint64_t)((double)s.sent_bytes * 8 / bits_a_ns);
        if (next > now + 100000) { /* else spin: sleeps are not that exact */
            struct timespec nap = {.tv_sec = (time_t)((next - now - 60000) / 1000000000u),
                                   .tv_nsec = (long)((next - now - 60000) % 1000000000u)};
            nanosleep(&nap, NULL);
        }
    }
    double seconds = (double)(now - start) / 1e9;
    printf("{\"packets\": %llu, \"bytes\": %llu, \"seconds\": %.3f, \"mbit\": %.2f}\n",
           (unsigned long long)s.packets, (unsigned long long)s.sent_bytes, seconds,
           (double)s.sent_bytes * 8 / seconds / 1e6);
    return 0;
}
